"""An ensemble on disk: the same after loading, damaged, of another format, not there."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from small_models import small_env, small_model

from finrl_ray.agents.ensemble_model.files import (
    SavedMember,
    load_ensemble,
    load_members,
    read_ensemble,
    save_ensemble,
    view_names,
)
from finrl_ray.agents.model_files import ENSEMBLE_FILE
from finrl_ray.agents.models import save_model
from finrl_ray.config.env import EnvConfig
from finrl_ray.errors import SearchError
from finrl_ray.files.manifest import write_folder_manifest

ENV = EnvConfig(action="target_weights", return_horizons=(1, 2), observation="stationary")


def member(trial: int, **changes) -> SavedMember:
    first = SavedMember(
        file="",
        sha256="",
        algorithm="ppo",
        env=ENV,
        normalized=True,
        view="observation",
        trial=trial,
        rank=trial + 1,
        sample={"learning_rate": 1e-3, "data.features": ["macd"]},
    )
    return replace(first, **changes)


@pytest.fixture
def models(tmp_path: Path) -> list[Path]:
    files = []
    for seed in range(2):
        model = small_model("ppo", 2)
        model.set_random_seed(seed)
        model.learn(64)
        (tmp_path / str(seed)).mkdir()
        files.append(tmp_path / str(seed) / "model.zip")
        save_model(model, files[-1])
    return files


@pytest.fixture
def saved(tmp_path: Path, models: list[Path]) -> Path:
    target = tmp_path / "best_model"
    members = list(zip([member(3), member(5)], models, strict=True))
    save_ensemble(target, members, {"wanted": 2, "notes": []})
    return target


def test_it_acts_as_before_after_loading(saved: Path, models: list[Path]) -> None:
    loaded = load_ensemble(saved)
    assert [one.name for one in loaded.members] == ["trial 3", "trial 5"]
    assert loaded.members[0].env == ENV
    before = load_members([(member(3), models[0], None), (member(5), models[1], None)])
    seen = small_env(2, noise=0.1).reset()
    found = loaded.predict(seen, deterministic=True)[0]
    np.testing.assert_array_equal(found, before.predict(seen, deterministic=True)[0])
    members, facts = read_ensemble(saved)
    assert [one.trial for one in members] == [3, 5]
    assert members[0].sample == {"learning_rate": 1e-3, "data.features": ["macd"]}
    assert facts["wanted"] == 2


def test_the_same_models_are_the_same_file(saved: Path, models: list[Path], tmp_path) -> None:
    before = (saved / ENSEMBLE_FILE).read_bytes()
    members = list(zip([member(3), member(5)], models, strict=True))
    save_ensemble(saved, members, {"wanted": 2, "notes": []})
    assert (saved / ENSEMBLE_FILE).read_bytes() == before
    save_ensemble(saved, members[::-1], {"wanted": 2, "notes": []})
    assert (saved / ENSEMBLE_FILE).read_bytes() != before


@pytest.mark.parametrize("name", ["member_1.zip", "member_2.zip", ENSEMBLE_FILE])
def test_a_changed_byte_is_found(saved: Path, name: str) -> None:
    content = bytearray((saved / name).read_bytes())
    content[len(content) // 2] ^= 1
    (saved / name).write_bytes(content)
    with pytest.raises(SearchError, match=f"is damaged: {name} does not match its checksum"):
        load_ensemble(saved)


def test_a_member_that_is_missing_is_found(saved: Path) -> None:
    (saved / "member_2.zip").unlink()
    with pytest.raises(SearchError, match=r"is damaged: member_2\.zip is missing"):
        load_ensemble(saved)


def test_a_folder_without_one_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SearchError, match="holds no ensemble of several models"):
        load_ensemble(tmp_path)


@pytest.mark.parametrize(
    ("change", "said"),
    [({"format": 9}, "has format 9"), ({"members": [{"file": "x"}]}, "is damaged")],
)
def test_another_content_is_refused(saved: Path, change, said) -> None:
    content = json.loads((saved / ENSEMBLE_FILE).read_text())
    (saved / ENSEMBLE_FILE).write_text(json.dumps({**content, **change}))
    write_folder_manifest(saved)
    with pytest.raises(SearchError, match=said):
        load_ensemble(saved)


def test_statistics_that_a_member_needs_are_missed(tmp_path: Path) -> None:
    model = small_model("ppo", 2, normalize=False)
    save_model(model, tmp_path / "model.zip")
    with pytest.raises(SearchError, match="no statistics of VecNormalize, and trial 3 was"):
        load_members([(member(3), tmp_path / "model.zip", None)])
    found = load_members([(member(3, normalized=False), tmp_path / "model.zip", None)])
    assert found.members[0].statistics is None


def test_views_have_one_name_where_all_see_the_same() -> None:
    assert view_names(["x", "x"]) == ["observation", "observation"]
    assert view_names(["x", "y", "x"]) == ["observation_1", "observation_2", "observation_1"]
