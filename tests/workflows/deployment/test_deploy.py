"""From a finished search to an agent's folder: its trial's model, of rows before a date alone."""

import dataclasses
import importlib.util
import json
import shutil
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch as th
from made_search import made_search, prices

from finrl_ray.agents.ensemble_model.files import load_ensemble, read_ensemble
from finrl_ray.agents.models import load_model
from finrl_ray.agents.normalization import read_statistics
from finrl_ray.config.trial.config_of_sample import config_of_sample
from finrl_ray.data.chosen_features import market_of_sample
from finrl_ray.deployment.agent_folder import (
    RECORD_FILE,
    AgentFolder,
    read_agent_folder,
)
from finrl_ray.deployment.onnx_policy.export import ONNX_FILE
from finrl_ray.env.scaling import fitted_scaling
from finrl_ray.errors import ConfigError, DataError, SearchError
from finrl_ray.own_code.code_files import CodeFiles
from finrl_ray.own_code.finder import activate
from finrl_ray.search.folder.folder import SearchFolder
from finrl_ray.search.folder.names import OPENINGS_FILE, VERDICT_FILE
from finrl_ray.search.results.table import winner
from finrl_ray.support.extras import EXTRAS
from finrl_ray.training.agent import train_agent
from finrl_ray.training.threads import threads_of_a_trial
from finrl_ray.workflows.deployment.deploy import Deployment, deploy
from finrl_ray.workflows.deployment.planned import train_planned

SECTIONS: dict[str, Any] = {
    "env": {"observation_scaling": "train", "random_start": True},
    "agent": {"total_timesteps": 1024, "n_envs": 2, "normalize": True},
}
END_OF_TRAIN = "2020-07-01"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> SearchFolder:
    return made_search(tmp_path_factory.mktemp("made"), n_trials=3, failed=[1], **SECTIONS)


@pytest.fixture(scope="module")
def deployed(folder) -> Deployment:
    return deploy(folder.path)


def parameters(agent: AgentFolder) -> dict[str, Any]:
    model = load_model(agent.config.agent.algorithm, agent.model_path, device="cpu")
    return dict(model.policy.state_dict())


def assert_same_model(one: AgentFolder, other: AgentFolder) -> None:
    first, second = parameters(one), parameters(other)
    assert [name for name in first if not th.equal(first[name], second[name])] == []
    known, again = read_statistics(one.model_path), read_statistics(other.model_path)
    assert known is not None
    assert again is not None
    for name, (mean, var, count) in known.moments.items():
        assert mean.tolist() == again.moments[name][0].tolist()
        assert (var.tolist(), count) == (again.moments[name][1].tolist(), again.moments[name][2])


def test_the_folder_says_what_it_is(folder, deployed) -> None:
    assert deployed.path == folder.path / "agent"
    agent = read_agent_folder(deployed.path)
    record = winner(folder.records().in_order(), folder.config)
    trial = config_of_sample(folder.config, record.sample)
    assert deployed.trials == (record.index,)
    assert agent.facts["trial"] == record.index
    assert agent.facts["sample"] == record.sample
    assert agent.facts["trained"]["first"] == "2020-01-01"
    assert agent.facts["trained"]["until"] == "2021-02-01"  # where the sealed test window begins
    rows = folder.market_data.rows(0, folder.split.test.first_row)
    assert agent.facts["data_hash"] == rows.content_hash
    assert agent.facts["versions"]["numpy"]
    assert agent.config.env == trial.env
    assert agent.config.agent == trial.agent
    assert agent.config.data.tickers == ("AAA", "BBB", "CCC")
    assert pd.to_datetime(agent.bars["date"]).max() < pd.Timestamp("2021-02-01")


def test_it_carries_the_verdict_and_says_it(folder, deployed) -> None:
    written = json.loads((folder.path / VERDICT_FILE).read_text())
    assert written["verdict"] == "no evidence of skill"
    carried = read_agent_folder(deployed.path).facts["verdict"]
    assert {name: carried[name] for name in written} == written
    said = "\n".join(deployed.sentences())
    assert "no evidence of skill" in said
    assert "nothing here says that it beats buy & hold" in said
    assert "2020-01-01 to 2021-02-01 (not included)" in said


def test_observations_are_scaled_by_the_rows_that_it_was_trained_on(folder, deployed) -> None:
    agent = read_agent_folder(deployed.path)
    rows = folder.market_data.rows(0, folder.split.test.first_row)
    (scaling,) = agent.scalings.values()
    fitted = fitted_scaling(agent.config.env, rows)
    assert fitted is not None
    assert scaling.key() == fitted.key()
    of_train = fitted_scaling(agent.config.env, folder.train_data)
    assert of_train is not None
    assert scaling.key() != of_train.key()


def test_twice_is_the_same_model(folder, deployed, tmp_path) -> None:
    again = deploy(folder.path, out=tmp_path / "again")
    assert again.trials == deployed.trials
    assert_same_model(read_agent_folder(deployed.path), read_agent_folder(again.path))


def test_later_rows_are_not_read(folder, deployed, tmp_path) -> None:
    rows = prices(("AAA", "BBB", "CCC"))
    rows.loc[rows["date"] >= "2021-02-01", "close"] *= 2.5
    other = made_search(tmp_path, n_trials=3, failed=[1], rows=rows, **SECTIONS)
    changed = read_agent_folder(deploy(other.path).path)
    agent = read_agent_folder(deployed.path)
    assert_same_model(agent, changed)
    assert agent.facts["data_hash"] == changed.facts["data_hash"]
    pd.testing.assert_frame_equal(agent.bars, changed.bars, check_exact=True)


def test_up_to_the_train_windows_end_it_is_the_trials_own_model(folder, tmp_path) -> None:
    found = deploy(folder.path, until=END_OF_TRAIN, out=tmp_path / "agent")
    record = winner(folder.records().in_order(), folder.config)
    with threads_of_a_trial(folder.config):
        model = train_agent(
            record.sample,
            folder.config,
            folder.train_data,
            folder.validation_data,
            lambda metrics, save: None,
        )
    agent = read_agent_folder(found.path)
    assert found.timesteps == (record.last["timesteps"],) == (model.num_timesteps,)
    known, own = model.policy.state_dict(), parameters(agent)
    assert [name for name in known if not th.equal(known[name], own[name])] == []


def test_an_opened_test_window_is_trained_on(folder, tmp_path) -> None:
    moved = tmp_path / "search"
    shutil.copytree(folder.path, moved)
    (moved / OPENINGS_FILE).write_text("{}\n")
    found = deploy(moved, out=tmp_path / "agent")
    assert found.trained == ("2020-01-01", "2021-07-14")
    assert found.n_rows == folder.market_data.n_periods


def test_another_trial(folder, tmp_path) -> None:
    record = winner(folder.records().in_order(), folder.config)
    other = {0: 2, 2: 0}[record.index]
    found = deploy(folder.path, trial=other, out=tmp_path / "agent")
    assert found.trials == (other,)
    assert f"is on trial {record.index}, the winner" in "\n".join(found.sentences())


def test_errors_come_before_anything_is_trained(folder, deployed, tmp_path) -> None:
    with pytest.raises(SearchError, match="holds an agent already; add --replace"):
        deploy(folder.path)
    with pytest.raises(DataError, match="until must be after 2020-01-01 and at most 2021-07-14"):
        deploy(folder.path, until="2031-01-01", out=tmp_path / "a")
    with pytest.raises(SearchError, match="is not the folder of a search"):
        deploy(tmp_path)
    with pytest.raises(SearchError, match="has no trial 7"):
        deploy(folder.path, trial=7, out=tmp_path / "a")
    assert not (tmp_path / "a").exists()
    assert deployed.path.is_dir()


def test_an_older_agent_with_a_record_is_kept(folder, deployed, tmp_path) -> None:
    target = tmp_path / "agent"
    shutil.copytree(deployed.path, target)
    (target / RECORD_FILE).write_text("{}\n")
    found = deploy(folder.path, out=target, replace=True)
    assert found.kept is not None
    assert (found.kept / RECORD_FILE).read_text() == "{}\n"
    assert not (target / RECORD_FILE).exists()
    assert f"kept in {found.kept}" in found.sentences()[-1]
    read_agent_folder(target)


@pytest.mark.parametrize("replace", [True, False])
def test_what_comes_while_it_is_trained_is_not_lost(
    folder, deployed, tmp_path, monkeypatch, replace
) -> None:
    """`signal` begins a record, or another `deploy` is done first."""
    target = tmp_path / "agent"
    if replace:
        shutil.copytree(deployed.path, target)

    def meanwhile(*given: Any) -> Any:
        shutil.copytree(deployed.path, target, dirs_exist_ok=True)
        (target / RECORD_FILE).write_text("{}\n")
        return train_planned(*given)

    monkeypatch.setattr("finrl_ray.workflows.deployment.deploy.train_planned", meanwhile)
    if replace:
        kept = deploy(folder.path, out=target, replace=True).kept
        assert kept is not None
        assert not (target / RECORD_FILE).exists()
    else:
        kept = target
        with pytest.raises(SearchError, match="holds an agent already; add --replace"):
            deploy(folder.path, out=target)
    assert (kept / RECORD_FILE).read_text() == "{}\n"


def test_of_a_search_in_a_store_it_is_said_where_the_agent_is(
    folder, deployed, monkeypatch
) -> None:
    assert "on this machine alone" not in "\n".join(deployed.sentences())
    monkeypatch.setattr(
        "finrl_ray.workflows.deployment.deploy.open_folder",
        lambda path: dataclasses.replace(folder, remote="s3://bucket/runs/one"),
    )
    said = deploy("s3://bucket/runs/one", replace=True).sentences()  # the same model again
    assert f"the agent is in {folder.path / 'agent'} on this machine alone" in "\n".join(said)


def test_as_onnx_too(folder, deployed, tmp_path) -> None:
    pytest.importorskip("onnx", reason="the extra onnx is not installed")
    runtime = pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")
    found = deploy(folder.path, out=tmp_path / "agent", onnx=True)
    agent = read_agent_folder(found.path)  # the manifest has the file
    assert_same_model(agent, read_agent_folder(deployed.path))
    session = runtime.InferenceSession(found.path / ONNX_FILE)
    model = load_model(agent.config.agent.algorithm, agent.model_path, device="cpu")
    statistics = read_statistics(agent.model_path)
    mean, var, _ = statistics.moments["obs:"]
    rows = mean + np.sqrt(var) * np.random.default_rng(0).normal(size=(50, mean.size))
    rows = rows.astype(np.float32)
    settings = statistics.settings
    seen = (rows - mean) / np.sqrt(var + settings["epsilon"])
    seen = np.clip(seen, -settings["clip_obs"], settings["clip_obs"]).astype(np.float32)
    (actions,) = session.run(None, {"observation": rows})
    expected, _ = model.predict(seen, deterministic=True)
    np.testing.assert_allclose(actions, expected, rtol=0.0, atol=1e-5)
    (found.path / ONNX_FILE).write_bytes(b"other")
    with pytest.raises(SearchError, match=ONNX_FILE.replace(".", r"\.")):
        read_agent_folder(found.path)


def test_onnx_is_refused_before_anything_is_trained(folder, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"pip install 'finrl-ray\[onnx\]'"):
        deploy(folder.path, out=tmp_path / "agent", onnx=True)
    assert not (tmp_path / "agent").exists()


def assert_acts_alike(agent: AgentFolder) -> None:
    """Compare the file of an ensemble with what it does."""
    runtime = importlib.import_module("onnxruntime")
    session = runtime.InferenceSession(agent.path / ONNX_FILE)
    (shown,) = session.get_inputs()
    assert shown.name == "observation"
    rows = np.random.default_rng(0).normal(size=(50, shown.shape[1])).astype(np.float32)
    (actions,) = session.run(None, {"observation": rows})
    model = load_ensemble(agent.model_path)
    np.testing.assert_allclose(
        actions, model.predict(rows, deterministic=True)[0], rtol=0.0, atol=1e-5
    )
    told = session.get_modelmeta().custom_metadata_map
    assert [one["name"] for one in json.loads(told["members"])] == [
        f"trial {trial}" for trial in agent.facts["members"]
    ]


def test_an_ensemble_is_trained_member_by_member(tmp_path) -> None:
    folder = made_search(tmp_path, n_trials=3, search={"ensemble": 2}, **SECTIONS)
    with_onnx = all(map(importlib.util.find_spec, EXTRAS["onnx"]))
    found = deploy(folder.path, onnx=with_onnx)
    assert len(found.trials) == 2
    agent = read_agent_folder(found.path)
    if with_onnx:
        assert_acts_alike(agent)
    members, _ = read_ensemble(agent.model_path)
    assert tuple(member.trial for member in members) == found.trials
    for member, one in zip(members, agent.facts["trials"], strict=True):
        assert (member.trial, member.sample) == (one["trial"], one["sample"])
    alone = deploy(folder.path, trial=found.trials[1], out=tmp_path / "alone")
    own = parameters(read_agent_folder(alone.path))
    file = agent.model_path / members[1].file
    model = load_model(members[1].algorithm, file, device="cpu").policy.state_dict()
    assert [name for name in own if not th.equal(own[name], model[name])] == []
    rows = folder.market_data.rows(0, folder.split.test.first_row)
    for member in members:
        fitted = fitted_scaling(member.env, market_of_sample(rows, member.sample))
        assert fitted is not None
        assert agent.scalings[member.view].key() == fitted.key()


OWN_FEATURE = """
import pandas as pd


def compute(df: pd.DataFrame) -> pd.Series:
    return df["close"].pct_change(3)
"""


def test_own_code_goes_along(tmp_path) -> None:
    (tmp_path / "my_features.py").write_text(OWN_FEATURE)
    data = {"source": "memory", "features": ["my_features:compute"]}
    try:
        folder = made_search(tmp_path, n_trials=2, base_dir=tmp_path, data=data, **SECTIONS)
        (tmp_path / "my_features.py").unlink()
        agent = read_agent_folder(deploy(folder.path, until=END_OF_TRAIN).path)
    finally:
        activate(CodeFiles())
    assert dict(agent.code.files) == {"my_features.py": OWN_FEATURE.encode()}
    assert agent.config.data.features == ("my_features:compute",)
    assert agent.facts["trained"]["first"] == "2020-01-06"  # the first with a change of three days
