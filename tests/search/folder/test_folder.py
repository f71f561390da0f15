"""How many trials a search's folder holds when it is finished, and whether it is."""

from pathlib import Path
from typing import Any

import pytest
from small_search import small_config

from finrl_ray.config.data import DataConfig
from finrl_ray.data.load import load_market_data
from finrl_ray.data.windows.split import make_split
from finrl_ray.search.folder.folder import FolderKind, SearchFolder, create_folder, open_folder
from finrl_ray.search.journal.events import append_event


def made(storage: Path, kind: FolderKind = "search", **search: Any) -> SearchFolder:
    config = small_config(storage, search=search)
    data = load_market_data(DataConfig())[0]
    return create_folder(config, data, make_split(data, config.split), {}, storage, kind)


def end(folder: SearchFolder, *indices: int) -> None:
    records = folder.records()
    for index in indices:
        trial = {"trial_id": f"t{index}"}
        append_event(folder.path, records, "start", **trial, index=index, sample={})
        append_event(folder.path, records, "end", **trial, state="completed", reason="")


@pytest.mark.parametrize(
    ("kind", "search", "planned"),
    [
        ("search", {"num_samples": 3}, 3),
        ("confirmation", {"num_samples": 3}, 3),
        # one training, whatever its config says of a search
        ("train", {"num_samples": 3}, 1),
        ("search", {"num_samples": 2, "space": {"n_steps": {"grid": [64, 128, 256]}}}, 6),
    ],
)
def test_planned_trials_follow_from_kind_and_config(tmp_path, kind, search, planned) -> None:
    folder = made(tmp_path, kind, **search)
    assert folder.planned == planned
    assert open_folder(folder.path).planned == planned


def test_a_search_is_finished_when_every_planned_trial_has_ended(tmp_path) -> None:
    folder = made(tmp_path, num_samples=2)
    assert not folder.is_finished(folder.records())
    end(folder, 0)
    assert not folder.is_finished(folder.records())
    end(folder, 1)
    assert folder.is_finished(folder.records())


def test_a_search_that_its_budget_has_ended_is_finished_with_fewer_trials(tmp_path) -> None:
    folder = made(tmp_path, num_samples=5)
    end(folder, 0)
    append_event(folder.path, folder.records(), "search", state="finished", ended_by="time")
    assert folder.is_finished(folder.records())


def test_a_training_is_finished_with_its_one_trial(tmp_path) -> None:
    folder = made(tmp_path, "train", num_samples=5)
    end(folder, 0)
    assert folder.is_finished(folder.records())
