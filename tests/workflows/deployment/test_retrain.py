"""The next agent of a schedule: when it is due, on which bars; the one before; what changed."""

import json
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch as th
import yaml
from made_search import made_search, prices

from finrl_ray.agents.models import load_model
from finrl_ray.deployment.agent import load_agent
from finrl_ray.deployment.agent_folder import (
    BARS_FILE,
    PAPER_FOLDER,
    RECORD_FILE,
    read_agent_folder,
)
from finrl_ray.deployment.onnx_policy.export import ONNX_FILE
from finrl_ray.errors import DataError, SearchError
from finrl_ray.files.manifest import write_folder_manifest
from finrl_ray.own_code.code_files import CodeFiles
from finrl_ray.own_code.finder import activate
from finrl_ray.workflows.deployment.deploy import deploy
from finrl_ray.workflows.deployment.retrain import retrain

SECTIONS: dict[str, Any] = {
    "env": {"observation_scaling": "train", "random_start": True},
    "agent": {"total_timesteps": 256, "n_envs": 2, "normalize": True},
    "deploy": {"retrain": {"every": 20}},
}
TICKERS = ("AAA", "BBB", "CCC")
UNTIL, LAST = "2021-02-01", "2021-03-01"


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_search(tmp_path_factory.mktemp("made"), n_trials=1, **SECTIONS).path


@pytest.fixture(scope="module")
def deployed(searched) -> Path:
    return deploy(searched).path


@pytest.fixture
def agent(deployed, tmp_path) -> Path:
    place = tmp_path / "agent"
    shutil.copytree(deployed, place)
    return place


def bars(first: str = UNTIL, last: str = LAST) -> pd.DataFrame:
    df = prices(TICKERS)
    return df[(df["date"] >= first) & (df["date"] <= last)].reset_index(drop=True)


def network(path: Path) -> dict[str, Any]:
    folder = read_agent_folder(path)
    model = load_model(folder.config.agent.algorithm, folder.model_path, device="cpu")
    return dict(model.policy.state_dict())


def assert_same_network(one: Path, other: Path) -> None:
    first, second = network(one), network(other)
    assert [name for name in first if not th.equal(first[name], second[name])] == []


def test_before_it_is_due_nothing_is_done(agent) -> None:
    found = retrain(agent, prices=bars(last="2021-02-10"), last="2021-02-10")
    assert (found.due, found.trained, found.kept) == (False, False, None)
    assert "8 bars of 20 have come since 2021-01-29, the last bar that it was" in found.changed[0]
    assert "it is due in 12 bars" in found.changed[0]
    assert [path.name for path in agent.parent.iterdir()] == ["agent"]


def test_the_next_agent_is_what_deploy_would_give(agent, searched, deployed, tmp_path) -> None:
    (agent / RECORD_FILE).write_text("{}\n")
    found = retrain(agent, prices=bars(), last=LAST)
    assert (found.due, found.trained) == (True, True)
    new = read_agent_folder(agent)
    assert new.facts["trained"]["first"] == "2020-01-01"
    assert new.facts["trained"]["last"] == LAST
    same = deploy(searched, until="2021-03-02", out=tmp_path / "same")
    assert_same_network(agent, same.path)
    again = read_agent_folder(same.path)
    assert new.facts["data_hash"] == again.facts["data_hash"]
    pd.testing.assert_frame_equal(new.bars, again.bars, check_exact=True)
    # the one before is whole, with its record
    assert found.kept is not None
    assert (found.kept / RECORD_FILE).read_text() == "{}\n"
    assert_same_network(found.kept, deployed)
    assert new.facts["follows"]["folder"] == found.kept.name
    assert new.facts["follows"]["manifest_sha256"] == read_agent_folder(deployed).sha256
    assert not (agent / RECORD_FILE).exists()
    assert new.facts["verdict"] == read_agent_folder(deployed).facts["verdict"]
    # and may be trained again
    assert not retrain(agent).due


def test_an_agent_that_has_onnx_has_it_again(searched, tmp_path) -> None:
    pytest.importorskip("onnx", reason="the extra onnx is not installed")
    pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")
    path = deploy(searched, out=tmp_path / "agent", onnx=True).path
    before = (path / ONNX_FILE).read_bytes()
    assert retrain(path, prices=bars(), last=LAST).trained
    assert (path / ONNX_FILE).read_bytes() != before
    same = deploy(searched, until="2021-03-02", out=tmp_path / "same", onnx=True)
    assert (path / ONNX_FILE).read_bytes() == (same.path / ONNX_FILE).read_bytes()


OWN_REWARD = """
import numpy as np


def growth(account_value, account_value_before):
    return np.log(account_value / account_value_before)
"""


def test_a_reward_of_ones_own_goes_along(tmp_path) -> None:
    (tmp_path / "my_growth.py").write_text(OWN_REWARD)
    env = {**SECTIONS["env"], "reward": "my_growth:growth"}
    sections = {**SECTIONS, "env": env}
    try:
        folder = made_search(
            tmp_path, n_trials=1, base_dir=tmp_path, data={"features": []}, **sections
        )
        path = deploy(folder.path).path
        assert (path / "own_code" / "my_growth.py").read_text() == OWN_REWARD
        same = deploy(folder.path, until="2021-03-02", out=tmp_path / "same")
        (tmp_path / "my_growth.py").write_text("raise RuntimeError")
        activate(CodeFiles())
        assert retrain(path, prices=bars(), last=LAST).trained
        assert_same_network(path, same.path)
    finally:
        activate(CodeFiles())


@pytest.mark.parametrize(
    "names",
    [
        {"env": {"reward": "os:system", "reward_kwargs": {"command": "touch {}"}}},
        {"agent": {"callbacks": ["os:system"]}},
    ],
)
def test_code_that_a_foreign_folder_names_is_not_run(agent, names, tmp_path) -> None:
    ran = tmp_path / "ran"
    raw = yaml.safe_load((agent / "config.yaml").read_text())
    for section, options in names.items():
        raw[section] |= json.loads(json.dumps(options).replace("{}", str(ran)))
    (agent / "config.yaml").write_text(yaml.safe_dump(raw))
    write_folder_manifest(agent, folders={})
    with pytest.raises(SearchError, match=r"os:system\. To go on is to run that code"):
        retrain(agent, prices=bars(), last=LAST)
    assert not ran.exists()
    # the agent acts without it
    assert load_agent(agent).tickers == TICKERS


def test_what_changed_is_said(agent) -> None:
    said = retrain(agent, prices=bars(), last=LAST).changed
    assert said[0] == (
        "trained on 304 bars, 2020-01-01 to 2021-03-01; the one before on 283 bars, 2020-01-01 to "
        "2021-01-29"
    )
    (beside,) = [line for line in said if "which the new one has learned from" in line]
    assert beside.startswith("from 2021-02-01 to 2021-03-01, ")
    assert "the one before has not" in beside
    assert "from cash the new one would have made" in beside
    assert "share of the account" in said[-1]


def test_a_rolling_window_keeps_its_length(tmp_path) -> None:
    rolling = {**SECTIONS, "deploy": {"retrain": {"every": 20, "window": "rolling"}}}
    folder = made_search(tmp_path, n_trials=1, **rolling)
    path = deploy(folder.path).path
    retrain(path, prices=bars(), last=LAST)
    trained = read_agent_folder(path).facts["trained"]
    assert (trained["rows"], trained["last"]) == (283, LAST)
    assert trained["first"] == "2020-01-30"  # 21 weekdays later


def test_bars_that_the_agent_has_seen_are_enough(agent, searched, tmp_path) -> None:
    seen = agent / PAPER_FOLDER / BARS_FILE
    seen.parent.mkdir()
    bars().to_parquet(seen)
    found = retrain(agent)
    assert found.due
    assert found.kept is not None
    assert (found.kept / PAPER_FOLDER / BARS_FILE).is_file()
    assert_same_network(agent, deploy(searched, until="2021-03-02", out=tmp_path / "same").path)


def test_it_may_be_trained_before_it_is_due(agent) -> None:
    found = retrain(agent, prices=bars(last="2021-02-10"), last="2021-02-10", at_once=True)
    assert (found.due, found.trained) == (False, True)
    with pytest.raises(DataError, match="there is no bar that the agent was not trained on"):
        retrain(agent, at_once=True)


def test_a_bar_that_comes_early_counts(agent) -> None:
    """As the end of a month: the median step after the last one is later."""
    facts = json.loads((agent / "agent.json").read_text(encoding="utf-8"))
    facts["trained"]["until"] = "2021-02-04"
    (agent / "agent.json").write_text(json.dumps(facts), encoding="utf-8")
    write_folder_manifest(agent, folders={})
    (said,) = retrain(agent, prices=bars(last="2021-02-10"), last="2021-02-10").changed
    assert said.startswith("not due: 8 bars of 20 have come since 2021-01-29")


@pytest.mark.parametrize("given", [True, False])
def test_a_date_is_read_as_signal_reads_it(agent, given) -> None:
    seen = agent / PAPER_FOLDER / BARS_FILE
    seen.parent.mkdir()
    bars(last="2021-02-10").to_parquet(seen)
    more = bars(last="2021-02-10") if given else None
    for date in ("foo", "NaT", "9999-01-01"):
        with pytest.raises(DataError, match=f"--date must be a date such as .*got '{date}'"):
            retrain(agent, prices=more, last=date)
    for date in ("2021-02-08", "2021-02-08T00:00:00+02:00"):
        assert "not due: 6 bars of 20" in retrain(agent, prices=more, last=date).changed[0]
    if not given:
        with pytest.raises(DataError, match=r"up to --date 2019-01-01, but the first .*2020-01"):
            retrain(agent, last="2019-01-01")


def test_an_ensemble_is_trained_again(tmp_path) -> None:
    folder = made_search(tmp_path, n_trials=2, search={"ensemble": 2}, **SECTIONS)
    path = deploy(folder.path).path
    found = retrain(path, prices=bars(), last=LAST)
    assert found.trained
    new = read_agent_folder(path)
    assert len(new.facts["members"]) == 2
    same = deploy(folder.path, until="2021-03-02", out=tmp_path / "same")
    hashes = [
        [one.name for one in sorted(folder.model_path.glob("*.zip"))]
        for folder in (new, read_agent_folder(same.path))
    ]
    assert hashes[0] == hashes[1]


def test_other_prices_are_refused(agent) -> None:
    changed = bars(first="2021-01-15")
    changed.loc[changed["date"] < UNTIL, "close"] *= 0.5
    with pytest.raises(DataError):  # its words are those of `read_new_bars`
        retrain(agent, prices=changed, last=LAST)
    assert [path.name for path in agent.parent.iterdir()] == ["agent"]


def test_a_folder_that_is_no_agents_is_refused(tmp_path) -> None:
    with pytest.raises(SearchError, match="is no agent's folder"):
        retrain(tmp_path)
