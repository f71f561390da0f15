"""A folder that is whole, or refused with the reason."""

import json
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from bit_equality import assert_equal_bits
from deployed_agents import TRAINED_ROWS, experiment, small_agent

from finrl_ray.deployment import agent_folder
from finrl_ray.deployment.agent_folder import AGENT_FILE, read_agent_folder, write_agent
from finrl_ray.deployment.bars import plain_bars, read_bars
from finrl_ray.errors import ConfigError, DataError, SearchError
from finrl_ray.files.manifest import write_folder_manifest


@pytest.fixture
def copy(deployed, tmp_path) -> Path:
    return Path(shutil.copytree(deployed.folder, tmp_path / "agent"))


def test_what_is_read_is_what_was_written(deployed) -> None:
    read = read_agent_folder(deployed.folder)
    assert read.config == deployed.config
    assert read.facts["trial"] == 3
    assert read.facts["verdict"] == {"sentences": ["No evidence."]}
    assert read.facts["tickers"] == ["AAA", "BBB", "CCC"]
    trained = deployed.market.rows(0, TRAINED_ROWS)
    assert read.facts["data_hash"] == trained.content_hash
    assert read.facts["trained"] == {
        "first": "2020-01-01",
        "last": "2020-03-24",
        "until": "2020-03-25",
        "rows": TRAINED_ROWS,
    }
    assert_equal_bits(read.scalings["observation"].to_dict(), deployed.scaling.to_dict())
    kept = plain_bars(deployed.frame, deployed.config.data)
    pd.testing.assert_frame_equal(
        read.bars, kept[kept["date"] <= pd.Timestamp("2020-03-24")], check_exact=True
    )
    assert read.model_path == deployed.folder / "model.zip"


def test_ranges_are_those_of_the_rows_of_training(deployed) -> None:
    ranges = read_agent_folder(deployed.folder).ranges
    assert ranges.names == ("close", "trend", "swing")
    rows = deployed.frame[deployed.frame["date"] <= "2020-03-24"]
    for name, k in (("close", 0), ("swing", 2)):
        by_ticker = rows.groupby("tic")[name]
        np.testing.assert_array_equal(ranges.least[:, k], by_ticker.min())
        np.testing.assert_array_equal(ranges.most[:, k], by_ticker.max())
        np.testing.assert_allclose(ranges.mean[:, k], by_ticker.mean())
        np.testing.assert_allclose(ranges.std[:, k], by_ticker.std(ddof=0))


def test_each_file_that_is_changed_cut_or_missing_is_named(copy) -> None:
    files = sorted(path for path in copy.rglob("*") if path.is_file())
    assert {path.name for path in files} == {
        *("agent.json", "bars.parquet", "config.yaml", "features.npz", "manifest.json"),
        *("model.zip", "scaling.json"),
    }
    for path in files:
        whole = path.read_bytes()
        changes = [whole[:-1], whole + b" ", bytes([whole[0] ^ 1]) + whole[1:]]
        changes.append(whole[: len(whole) // 2] + b"~" + whole[len(whole) // 2 + 1 :])
        for content in changes:
            path.write_bytes(content)
            if path.name == "manifest.json" and content == whole + b" ":
                continue  # a blank after it changes nothing that it says
            with pytest.raises(SearchError, match=rf"not what was deployed: {path.name}"):
                read_agent_folder(copy)
        path.unlink()
        with pytest.raises(SearchError, match=rf"{path.name}"):
            read_agent_folder(copy)
        path.write_bytes(whole)
    assert read_agent_folder(copy).facts["trial"] == 3


def test_what_was_added_is_refused_and_what_grows_is_not(copy) -> None:
    (copy / "paper").mkdir()
    (copy / "paper" / "bars.parquet").write_bytes(b"later")
    (copy / "forward.jsonl").write_text("{}\n", encoding="utf-8")
    read_agent_folder(copy)
    for added in ("more.py", "members"):
        (copy / added).mkdir()
        with pytest.raises(SearchError, match=f"{added} was added"):
            read_agent_folder(copy)
        (copy / added).rmdir()


@pytest.mark.parametrize(
    "name", ["forward.jsonl", "paper", "paper/bars.parquet", "paper/more", ".forward.lock"]
)
def test_links_in_the_place_of_what_grows_are_refused(copy, tmp_path, name) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (copy / name).parent.mkdir(exist_ok=True)
    for target in (mine, tmp_path / "not there"):
        (copy / name).symlink_to(target)
        with pytest.raises(SearchError, match=f"not what was deployed: {name} is a symbolic link"):
            read_agent_folder(copy)
        (copy / name).unlink()
    read_agent_folder(copy)


def test_what_is_read_while_it_is_replaced_counts_as_the_older_one(copy, monkeypatch) -> None:
    known = read_agent_folder(copy).sha256

    def replaced(path: Path) -> pd.DataFrame:
        write_folder_manifest(copy, folders={}, more="another agent")
        return read_bars(path)

    monkeypatch.setattr(agent_folder, "read_bars", replaced)
    assert read_agent_folder(copy).sha256 == known
    assert read_agent_folder(copy).sha256 != known


def test_facts_that_cannot_be_are_refused_although_the_manifest_fits(copy) -> None:
    facts = json.loads((copy / AGENT_FILE).read_text(encoding="utf-8"))
    facts["format"] = "finrl_ray agent 2"
    (copy / AGENT_FILE).write_text(json.dumps(facts), encoding="utf-8")
    write_folder_manifest(copy)
    with pytest.raises(SearchError, match="has format 'finrl_ray agent 2', and this version"):
        read_agent_folder(copy)
    for name, value in (("tickers", None), ("features", [1]), ("members", "x"), ("trained", [])):
        changed = {**facts, "format": "finrl_ray agent 1", name: value}
        (copy / AGENT_FILE).write_text(json.dumps(changed), encoding="utf-8")
        write_folder_manifest(copy)
        with pytest.raises(SearchError, match="must name tickers, features, members and rows"):
            read_agent_folder(copy)
    with pytest.raises(SearchError, match=r"it has no agent.json; `finrl-ray deploy SEARCH`"):
        read_agent_folder(copy / "paper")


CHANGED: dict[str, tuple[dict[str, object], str]] = {
    "no code": ({"own_code": None}, "own_code in agent.json must have references"),
    "files": ({"own_code": {"files": ["a.py"]}}, "own_code in agent.json must have references"),
    "hash": ({"own_code": {"files": {"a.py": 1}}}, "own_code in agent.json must have references"),
    "bases": ({"own_code": {"algorithms": {"a:b": []}}}, "own_code in agent.json must have"),
    "references": ({"own_code": {"references": 1}}, "own_code in agent.json must have"),
    "verdict": ({"verdict": "good"}, "verdict in .*must be a mapping or null, got 'good'"),
    "versions": ({"versions": [1]}, "versions in .*must be a mapping or null"),
    "backtest": ({"backtest": 1}, "backtest in .*must be a mapping or null"),
    "until": ({"trained": {"until": "2020-03-24"}}, "trained in .*must have the dates first"),
    "no date": (
        {"trained": {"first": "x", "last": "y", "until": "z", "rows": 1}},
        "trained in .*must have the dates first",
    ),
    "order": (
        {"trained": {"first": "2020-01-02", "last": "2020-01-01", "until": "2021", "rows": 1}},
        "trained in .*must have the dates first",
    ),
    "rows": (
        {"trained": {"first": "2020-01-01", "last": "2020-01-02", "until": "2021", "rows": "1"}},
        "trained in .*must have the dates first",
    ),
}


@pytest.mark.parametrize("case", CHANGED)
def test_facts_of_another_shape_are_refused(copy, case) -> None:
    changed, words = CHANGED[case]
    facts = json.loads((copy / AGENT_FILE).read_text(encoding="utf-8"))
    (copy / AGENT_FILE).write_text(json.dumps({**facts, **changed}), encoding="utf-8")
    write_folder_manifest(copy, folders={})
    with pytest.raises(SearchError, match=words):
        read_agent_folder(copy)


@pytest.mark.parametrize(
    "folders", [None, "members", ["members"], {"more": "x"}, {"../a": "x"}, {"members": 1}]
)
def test_folders_of_another_shape_are_refused(copy, folders) -> None:
    write_folder_manifest(copy, folders=folders)
    with pytest.raises(SearchError, match=r"manifest\.json"):
        read_agent_folder(copy)


def test_bars_of_another_shape_are_refused(copy) -> None:
    whole = read_bars(copy / "bars.parquet")
    for bars, words in (
        (whole.drop(columns="tic"), "must have the columns date, tic and close, but lacks tic"),
        (whole.iloc[:0], "must have bars, each with a date, got 0 rows"),
        (whole.assign(date="soon"), "must have bars, each with a date, got .* rows"),
    ):
        bars.to_parquet(copy / "bars.parquet", index=False)
        write_folder_manifest(copy, folders={})
        with pytest.raises((SearchError, DataError), match=words):
            read_agent_folder(copy)


def test_an_agent_is_never_overwritten(deployed) -> None:
    with pytest.raises(SearchError, match="must not be overwritten; give another folder"):
        write_agent(
            deployed.folder,
            config=deployed.config,
            model=deployed.model_file,
            bars=deployed.frame,
            trained=deployed.market,
        )


def test_bars_that_do_not_give_what_was_trained_on_are_refused(deployed, tmp_path) -> None:
    trained = deployed.market.rows(0, TRAINED_ROWS)
    arguments = {"config": deployed.config, "model": deployed.model_file, "trained": trained}
    for name, factor in (("close", 1.001), ("trend", 2.0)):
        frame = deployed.frame.assign(**{name: deployed.frame[name] * factor})
        told = "close" if name == "close" else "features"
        with pytest.raises(DataError, match=f"do not give the {told} that the model was trained"):
            write_agent(tmp_path / "a", bars=frame, scalings=deployed.scaling, **arguments)
    with pytest.raises(ConfigError, match=r"scalings must be fitted_scaling\(config.env, trained"):
        write_agent(tmp_path / "a", bars=deployed.frame, **arguments)
    with pytest.raises(ConfigError, match="facts must not have format"):
        write_agent(tmp_path / "a", bars=deployed.frame, facts={"format": 1}, **arguments)
    with pytest.raises(ConfigError, match="until must be after the last row that was trained on"):
        write_agent(tmp_path / "a", bars=deployed.frame, until="2020-03-24", **arguments)
    assert not (tmp_path / "a").exists()


def test_statistics_travel_inside_the_model(tmp_path) -> None:
    agent = small_agent(tmp_path, experiment("ppo", agent={"normalize": True}))
    with zipfile.ZipFile(agent.folder / "model.zip") as archive:
        assert "finrl_ray_statistics.npz" in archive.namelist()
    assert not (agent.folder / "vecnormalize.pkl").exists()
