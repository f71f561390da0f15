"""`train_from_config`: what the folder says about the model that is in it."""

import json
from pathlib import Path

import pytest
from stable_baselines3 import PPO

from finrl_ray.agents.rollout import evaluate_account
from finrl_ray.config.experiment import ExperimentConfig
from finrl_ray.config.load import load_config
from finrl_ray.config.search import SearchConfig
from finrl_ray.errors import ConfigError
from finrl_ray.metrics.registry import performance_summary
from finrl_ray.search.folder.folder import open_folder
from finrl_ray.workflows.pipeline.from_config import (
    _build,
    resume_training,
    train_from_config,
    wants_test,
)


def config(tmp_path: Path, text: str) -> ExperimentConfig:
    path = tmp_path / "config.yaml"
    path.write_text(text, encoding="utf-8")
    return load_config(path, [f"search.storage_path={tmp_path / 'runs'}"])


def test_a_training_run_writes_to_a_folder(tmp_path) -> None:
    search = SearchConfig(storage_path="s3://bucket/runs")
    with pytest.raises(ConfigError, match=r"storage_path must be a folder for `finrl-ray train`"):
        train_from_config(ExperimentConfig(search=search))


@pytest.mark.slow
def test_the_final_measures_are_those_of_the_final_model(tmp_path) -> None:
    # the last evaluation within a rollout falls on the last timestep, before the last update
    made = config(
        tmp_path,
        "agent: {total_timesteps: 512, n_envs: 2, model_kwargs: {n_steps: 128}}\n"
        "evaluation: {eval_freq: 256}\n",
    )
    path, completed = train_from_config(made)
    assert completed
    folder = open_folder(path)
    _, env, eval_env = _build(folder)
    history = evaluate_account(PPO.load(path / "final_model.zip"), eval_env)[0]
    env.close()
    expected = performance_summary(history.account_value)
    written = json.loads((path / "metrics.json").read_text())["validation"]["final_model"]
    assert written["total_return"] == pytest.approx(expected["total_return"], rel=1e-12)
    (record,) = folder.records().in_order()
    assert record.last["eval/total_return"] == pytest.approx(expected["total_return"], rel=1e-12)
    assert [result["timesteps"] for result in record.results] == [256, 512]


@pytest.mark.slow
def test_beyond_the_drawdown_limit_only_at_the_end_is_beyond_it(tmp_path) -> None:
    made = config(
        tmp_path,
        "agent: {total_timesteps: 512, n_envs: 2, model_kwargs: {n_steps: 128}}\n"
        "evaluation: {eval_freq: 512}\nsearch: {max_drawdown_limit: -1.0e-9}\n",
    )
    said: list[str] = []
    path, _ = train_from_config(made, say=said.append)
    (record,) = open_folder(path).records().in_order()
    assert record.state == "rejected"
    assert said[-1] == f"training has ended: {record.reason}"
    assert json.loads((path / "metrics.json").read_text())["stop_reason"] == record.reason


@pytest.mark.slow
@pytest.mark.parametrize("open_test", [True, False])
def test_a_resumed_run_remembers_whether_the_test_window_stays_sealed(open_test, tmp_path) -> None:
    made = config(tmp_path, "agent: {total_timesteps: 64, model_kwargs: {n_steps: 64}}\n")
    path, _ = train_from_config(made, open_test=open_test)
    assert wants_test(path) is open_test
    assert resume_training(path) == (path, True)
    assert wants_test(tmp_path) is False
    assert not (path / "test_openings.jsonl").exists()
