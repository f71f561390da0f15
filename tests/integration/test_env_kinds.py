"""Searches over kinds of env: choices, portfolios and stacks, from start to report."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from interrupted_search import start, table, undisturbed_table, wait_for_results
from small_search import small_config, write_small_config

from finrl_ray.agents.ensemble_model.model import EnsembleModel
from finrl_ray.agents.rollout import evaluate_account
from finrl_ray.config.trial.config_of_sample import config_of_sample
from finrl_ray.report.read_search import read_search
from finrl_ray.report.winner_account import validation_account
from finrl_ray.report.write import write_report
from finrl_ray.search.folder.folder import open_folder
from finrl_ray.search.reproduce.reproduce import reproduce
from finrl_ray.search.results.winner import load_winner, winners_env
from finrl_ray.search.run.runner import resume_search, run_search
from finrl_ray.workflows.backtest import backtest
from finrl_ray.workflows.confirm import confirm

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("ray_session_of_two")]

AGENT = {"algorithm": "ppo", "total_timesteps": 256, "n_envs": 4, "normalize": False}
PPO = {"n_steps": 32, "batch_size": 32, "n_epochs": 1, "net_arch": "tiny", "learning_rate": 0.01}
SAC = {"learning_starts": 64, "buffer_size": 600, "batch_size": 32, "train_freq": 4}
KINDS: dict[str, dict[str, Any]] = {
    "choices": {
        "env": {"hmax": 500},
        "agent": AGENT,
        "search": {
            "space": {
                **PPO,
                "env.discrete_actions": {"choice": ["per_ticker", "product"]},
                "agent.n_stack": {"choice": [1, 3]},
            },
            "initial_points": [
                {"env.discrete_actions": "per_ticker", "agent.n_stack": 3},
                {"env.discrete_actions": "product", "agent.n_stack": 1},
            ],
            "num_samples": 2,
            "ensemble": 2,
        },
    },
    "portfolio": {
        "env": {"type": "portfolio", "random_start": True},
        "agent": {**AGENT, "n_envs": 2, "normalize": "observations"},
        "search": {
            "space": {
                **PPO,
                "env.covariance_lookback": {"choice": [20, 60]},
                "env.action_scale": {"choice": [1.0, 3.0]},
            },
            "initial_points": [
                {"env.covariance_lookback": 20, "env.action_scale": 1.0},
                {"env.covariance_lookback": 60, "env.action_scale": 3.0},
            ],
            "num_samples": 2,
            "ensemble": 2,
        },
    },
    "stacks": {
        "agent": {**AGENT, "algorithm": "sac"},
        "search": {
            "space": {
                **SAC,
                "net_arch": "tiny",
                "agent.n_stack": {"choice": [2, 4]},
                "agent.normalize": {"choice": [True, "observations"]},
            },
            "num_samples": 2,
        },
    },
}


# one kind each time; the others have the same path through a search
@pytest.mark.parametrize(
    "kind", ["choices", *(pytest.param(k, marks=pytest.mark.long) for k in KINDS if k != "choices")]
)
def test_a_search_from_start_to_report(kind, tmp_path) -> None:
    sections = {name: dict(section) for name, section in KINDS[kind].items()}
    sections["search"] |= {"default_space": False}
    config = small_config(tmp_path, **sections, evaluation={"eval_freq": 128})
    run = run_search(config)
    folder = open_folder(run.path)
    assert run.finished
    record, model, source = load_winner(folder)
    assert isinstance(model, EnsembleModel) == (kind != "stacks")
    env = winners_env(folder, record, folder.validation_data, source)
    (history,) = evaluate_account(model, env)
    account = validation_account(read_search(folder.path))
    assert account is not None
    daily = account.groupby("date")["account_value"].first().to_numpy()
    np.testing.assert_array_equal(history.account_value, daily)
    assert len(np.unique(history.account_value)) > 2
    trial = config_of_sample(folder.config, record.sample)
    if kind == "stacks":
        assert model.observation_space.shape == env.observation_space.shape
        assert trial.agent.n_stack in (2, 4)
    assert np.isfinite(backtest(folder.path).measures["agent"]["total_return"])
    assert reproduce(folder.path).exact
    assert write_report(folder.path).is_file()


ONE_CHOICE = {
    "env": {"action": "target_weights", "discrete_actions": "product", "random_start": True},
    "agent": {**AGENT, "algorithm": "dqn", "normalize": True},
    "search": {"space": {**SAC, "agent.n_stack": {"choice": [1, 3]}}, "num_samples": 3},
}


@pytest.mark.long
@pytest.mark.parametrize("kind", [*KINDS, "dqn"])
def test_a_killed_search_ends_with_the_table_of_one_undisturbed(kind, tmp_path) -> None:
    sections = {**KINDS, "dqn": ONE_CHOICE}[kind]
    sections = {name: dict(section) for name, section in sections.items()}
    sections["agent"] |= {"total_timesteps": 1024}
    sections["search"] |= {"default_space": False}
    sections["evaluation"] = {"eval_freq": 128}
    found = undisturbed_table(write_small_config(tmp_path / "w.yaml", tmp_path / "w", **sections))
    process = start(write_small_config(tmp_path / "c.yaml", tmp_path / "c", **sections))
    folder = wait_for_results(tmp_path / "c", 4, process)
    process.kill()
    process.communicate(timeout=300)
    assert resume_search(folder).finished
    pd.testing.assert_frame_equal(table(folder), found)
    assert confirm(folder, top=1, seeds=1, windows=1).finished
