"""Own code in a search's folder: copied with hashes, edited files noticed, run only with trust."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from made_search import made_config, prices

from finrl_ray.config.data import DataConfig
from finrl_ray.config.load import parse_config
from finrl_ray.config.trial.config_of_sample import config_of_sample
from finrl_ray.config.trial.own_code import own_references
from finrl_ray.data.load import market_data_of
from finrl_ray.data.windows.split import make_split
from finrl_ray.errors import ConfigError, SearchError
from finrl_ray.files import signature
from finrl_ray.own_code.code_files import CodeFiles
from finrl_ray.own_code.finder import activate, active_code
from finrl_ray.own_code.load import load_object
from finrl_ray.report.listing import list_searches
from finrl_ray.search.folder.folder import SearchFolder, create_folder, open_folder
from finrl_ray.search.folder.own_code import code_of, opened_code, run_code

REFERENCE = "my_callback:Mine"
TEXT = "import my_parts\n\nclass Mine:\n    parts = my_parts.COUNT\n"


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[SearchFolder]:
    beside = tmp_path / "beside"
    beside.mkdir()
    (beside / "my_callback.py").write_text(TEXT, encoding="utf-8")
    (beside / "my_parts.py").write_text("COUNT = 3\n", encoding="utf-8")
    config = made_config(tmp_path / "runs", 2, agent={"callbacks": [REFERENCE]})
    data, _ = market_data_of(prices(("AAA", "BBB")), DataConfig(features=()))
    code = code_of(config, beside)
    made = create_folder(
        config, data, make_split(data, config.split), {}, tmp_path / "runs", code=code
    )
    shutil.rmtree(beside)
    yield made
    activate(CodeFiles())


def test_the_files_and_what_they_import_lie_in_the_folder(folder: SearchFolder) -> None:
    assert (folder.path / "code" / "my_callback.py").read_text(encoding="utf-8") == TEXT
    opened = open_folder(folder.path)
    assert opened.code.digest == folder.code.digest
    assert sorted(opened.code.files) == ["my_callback.py", "my_parts.py"]
    opened.run_code()
    assert load_object(REFERENCE, "callback").parts == 3
    # on another machine the folder alone is needed
    moved = folder.path.rename(folder.path.with_name("moved"))
    activate(CodeFiles())
    open_folder(moved).run_code()
    assert load_object(REFERENCE, "callback").parts == 3


@pytest.mark.parametrize("name", ["my_callback.py", "my_parts.py"])
def test_an_edited_or_missing_file_is_refused_like_an_edited_config(
    folder: SearchFolder, name: str
) -> None:
    file = folder.path / "code" / name
    file.write_text(file.read_text(encoding="utf-8") + "# edited\n", encoding="utf-8")
    with pytest.raises(SearchError, match=rf"{name} has been edited since the search began"):
        open_folder(folder.path)
    file.unlink()
    with pytest.raises(SearchError, match=rf"{name} is missing"):
        open_folder(folder.path)


def edit_facts(folder: Path, **changes: object) -> None:
    path = folder / "experiment.json"
    facts = json.loads(path.read_text(encoding="utf-8"))
    for name, value in changes.items():
        if value is None:
            facts.pop(name)
        else:
            facts[name] |= value
    path.write_text(json.dumps(facts), encoding="utf-8")


def test_opening_and_listing_import_nothing(folder: SearchFolder) -> None:
    code = folder.path / "code" / "my_callback.py"
    trap = CodeFiles(files={"my_callback.py": b"raise SystemExit('imported')"})
    code.write_bytes(trap.files["my_callback.py"])
    hashes = {**folder.code.hashes, **trap.hashes}
    edit_facts(folder.path, own_code={"files": hashes})
    assert open_folder(folder.path).config.agent.callbacks == (REFERENCE,)
    assert list_searches(folder.path.parent)


def test_somebody_elses_code_runs_with_trust_alone(
    folder: SearchFolder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    open_folder(folder.path).run_code()
    activate(CodeFiles())
    monkeypatch.setattr(signature, "key_file", lambda: tmp_path / "elsewhere" / "owner.key")
    opened = open_folder(folder.path)
    with pytest.raises(SearchError, match=r"holds code .*my_callback:Mine.*add --trust"):
        opened.run_code()
    with pytest.raises(ConfigError, match="there is no module 'my_callback' here"):
        load_object(REFERENCE, "callback")
    opened.run_code(trust=True)
    assert load_object(REFERENCE, "callback").parts == 3


@pytest.mark.parametrize("changed", ["files", "references", "signature"])
def test_what_is_signed_cannot_be_changed(folder: SearchFolder, changed: str) -> None:
    now = {
        "files": {
            "my_other.py": CodeFiles(files={"my_other.py": b"x = 1\n"}).hashes["my_other.py"]
        },
        "references": {"agent.callbacks": "os:system"},
        "signature": "",
    }[changed]
    (folder.path / "code" / "my_other.py").write_bytes(b"x = 1\n")
    if isinstance(now, dict):
        facts = json.loads((folder.path / "experiment.json").read_text(encoding="utf-8"))
        now = {**facts["own_code"][changed], **now}
    edit_facts(folder.path, own_code={changed: now})
    with pytest.raises(SearchError, match="add --trust"):
        open_folder(folder.path).run_code()
    edit_facts(folder.path, own_code=None)
    with pytest.raises(SearchError, match="does not say which files it is"):
        open_folder(folder.path)


def test_an_installed_function_of_somebody_elses_config_needs_trust_too(tmp_path: Path) -> None:
    config = made_config(tmp_path / "runs", 2, agent={"callbacks": ["os:system"]})
    data, _ = market_data_of(prices(("AAA", "BBB")), DataConfig(features=()))
    made = create_folder(config, data, make_split(data, config.split), {}, tmp_path / "runs")
    edit_facts(made.path, own_code={"signature": "0" * 64})
    with pytest.raises(SearchError, match="os:system"):
        open_folder(made.path).run_code()


def test_a_sample_that_names_other_code_than_the_config_is_refused() -> None:
    space = {"agent.policy": {"choice": ["MlpPolicy", "my_policy:Mine"]}}
    config = parse_config({"search": {"space": space}})
    trial = config_of_sample(config, {"agent.policy": "my_policy:Mine"})
    assert trial.agent.policy == "my_policy:Mine"
    with pytest.raises(ConfigError, match=r"trial's agent\.policy names os:system"):
        config_of_sample(config, {"agent.policy": "os:system"})


@pytest.mark.parametrize(
    "sample",
    [
        {"env.class_": "torch.hub:load", "env.class_kwargs": {"model": "m"}},
        {"env.class": "torch.hub:load"},
        {"agent.callbacks": ["os:system"]},
        {"data.source": "os:system"},
        {"policy_kwargs": {"features_extractor_class": "os:system"}},
        {"ppo.policy_kwargs": {"features_extractor_class": "os:system"}},
        {"agent.policy_kwargs.features_extractor_class": "os:system"},
        {"agent.model_kwargs": {"policy_kwargs": {"features_extractor_class": "os:system"}}},
        {"env.reward": "os:system"},
        {"agent.algorithm": "os:system"},
        {"data.features": ["os:system"]},
    ],
)
def test_no_name_of_a_sample_lets_other_code_in(sample: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=r"names (os:system|torch\.hub:load)|no option|searched"):
        config_of_sample(parse_config({}), sample)


def test_code_that_no_key_names_is_not_run(tmp_path: Path) -> None:
    """As in a reproduction file whose config names nothing and whose code/ is full."""
    run_code(parse_config({}), CodeFiles(files={"my_trap.py": b"raise SystemExit('imported')"}))
    assert not active_code().files


def test_keywords_of_one_algorithm_name_code_too(tmp_path: Path) -> None:
    extractor = {"features_extractor_class": "my_net:Net"}
    space = {"ppo.policy_kwargs": {"choice": [extractor]}}
    (found,) = own_references(parse_config({"search": {"space": space}}))
    assert (found.reference, found.kind) == ("my_net:Net", "features_extractor")
    named = {"data": {"source": "a:b.csv"}}
    assert own_references(parse_config(named)) == []


def test_the_algorithm_that_an_own_one_is_derived_from_is_known_without_it(
    folder: SearchFolder,
) -> None:
    config = made_config(folder.path.parent, 2, agent={"algorithm": "my_algo:Mine"})
    for algorithms in (None, {}, {"my_algo:Mine": "foo"}):
        facts = {"own_code": {"files": {}, "references": {}}}
        if algorithms is not None:
            facts["own_code"]["algorithms"] = algorithms
        with pytest.raises(SearchError, match="it was edited or damaged"):
            opened_code(folder.path, facts, config)


def test_a_config_in_somebody_elses_folder_is_not_run(
    folder: SearchFolder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (folder.path / "my_callback.py").write_text("class Mine: ...\n", encoding="utf-8")
    assert code_of(folder.config, folder.path).files
    monkeypatch.setattr(signature, "key_file", lambda: tmp_path / "elsewhere" / "owner.key")
    with pytest.raises(SearchError, match=r"copy config\.yaml and the files of code/"):
        code_of(folder.config, folder.path)
