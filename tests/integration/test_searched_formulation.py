"""A search over options of env, agent and data: one right table, whatever interrupts it."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from interrupted_search import searched_with_a_copy, table
from small_search import small_config, write_small_config

from finrl_ray.report.read_search import read_search
from finrl_ray.report.winner_account import validation_account
from finrl_ray.search.folder.folder import open_folder
from finrl_ray.search.reproduce.replay import replay
from finrl_ray.search.reproduce.reproduce import reproduce
from finrl_ray.search.results.winner import load_winner
from finrl_ray.search.run.runner import resume_search, run_search
from finrl_ray.workflows.backtest import backtest
from finrl_ray.workflows.confirm import confirm

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("ray_session")]

SPACE = {
    "env.hmax": {"choice": [30, 300]},
    "env.random_start": {"choice": [True, False]},
    "env.action": {"choice": ["orders", "target_weights"]},
    "env.reward": {"choice": ["account_change", "active", "log_return", "differential_sharpe"]},
    "env.observation": {"choice": ["finrl", "stationary"]},
    # beside FinRL's observation it has no meaning, and is 1
    "env.lookback": {"choice": [1, 3]},
    "agent.normalize": {"choice": [False, True, "observations", "rewards"]},
    "data.features": {"choice": [["macd"], ["rsi_30", "close_60_sma"], "finrl"]},
}
OPTIONS = list(SPACE)
COMMON = {"net_arch": "tiny"}
PPO = {"n_steps": {"choice": [64, 128]}, "batch_size": 64, "n_epochs": 1}
SAC = {"learning_starts": 64, "buffer_size": 600, "batch_size": 32, "train_freq": 4}
ALGORITHMS = {
    "ppo": PPO,
    "both": {
        "agent.algorithm": {"choice": ["ppo", "sac"]},
        **{f"ppo.{name}": entry for name, entry in PPO.items()},
        **{f"sac.{name}": entry for name, entry in SAC.items()},
    },
}


# "both" has all that "ppo" has, and entries by algorithm
@pytest.mark.parametrize("algorithms", [pytest.param("ppo", marks=pytest.mark.long), "both"])
def test_a_search_over_the_formulation_goes_on_and_its_winner_stands_by_its_numbers(
    algorithms, tmp_path
) -> None:
    agent = {"algorithm": "ppo", "total_timesteps": 512, "n_envs": 4, "normalize": False}
    space = {**SPACE, **COMMON, **ALGORITHMS[algorithms]}
    sections: dict[str, dict[str, Any]] = {
        "agent": agent,
        "env": {"cooldown": 1},
        "evaluation": {"eval_freq": 256},
        "search": {"space": space, "default_space": False, "num_samples": 6},
    }
    folder = tmp_path / "interrupted"
    config = write_small_config(tmp_path / "config.yaml", tmp_path / "undisturbed", **sections)
    found = searched_with_a_copy(config, 5, folder)
    assert resume_search(folder).finished
    pd.testing.assert_frame_equal(table(folder), found)

    assert set(OPTIONS) <= set(found.columns)
    orders = found["env.action"] == "orders"
    assert set(found.loc[orders, "env.hmax"]) <= {30, 300}
    # weights have no number of shares
    assert set(found.loc[~orders, "env.hmax"]) <= {100}
    assert found["data.features"].nunique() > 1
    samples = {r.index: r.sample for r in open_folder(folder).records().in_order()}
    for row in found.to_dict("records"):
        if row["env.action"] == "orders":
            assert str(samples[row["trial"]]["env.hmax"]) == str(row["env.hmax"])

    # the winner's model stands in the env of its own trial: the account of its last evaluation
    search_folder = open_folder(folder)
    record, _, _ = load_winner(search_folder)
    account = validation_account(read_search(folder))
    curves = pd.read_parquet(folder / "account_curves.parquet")
    last = curves[(curves["trial"] == record.index) & (curves["timesteps"] == 512)]
    daily = account.groupby("date")["account_value"].first().to_numpy()
    np.testing.assert_array_equal(daily, last["account_value"].to_numpy())

    assert reproduce(folder).exact
    if algorithms == "both":
        assert set(found["agent.algorithm"]) == {"ppo", "sac"}
        assert found["n_steps"].isna().tolist() == (found["agent.algorithm"] == "sac").tolist()
    for trial in found.groupby(found.get("agent.algorithm", found["state"]))["trial"].min():
        assert replay(folder, int(trial)).agreement == "exact"
    opened = backtest(folder)
    assert opened.trial == record.index
    assert np.isfinite(opened.measures["agent"]["total_return"])


def test_trials_of_several_trainings_choose_their_formulation_too(tmp_path) -> None:
    space = {
        "agent.algorithm": {"choice": ["a2c", "sac"]},
        "env.hmax": {"choice": [30, 300]},
        "env.action": {"choice": ["orders", "target_weights"]},
        "env.observation": {"choice": ["stationary", "finrl"]},
        "agent.normalize": {"choice": ["rewards", True]},
        "data.features": {"choice": [["macd"], ["rsi_30", "volume"]]},
        "net_arch": "tiny",
        "a2c.n_steps": 16,
        **{f"sac.{name}": value for name, value in SAC.items()},
    }
    config = small_config(
        tmp_path,
        validation={"scheme": "walk_forward", "n_windows": 2},
        agent={"total_timesteps": 256, "normalize": False},
        evaluation={"eval_freq": 256},
        search={"space": space, "default_space": False, "num_samples": 3},
    )
    found = run_search(config)
    assert found.finished
    assert set(OPTIONS) & set(space) <= set(found.table.columns)
    # trained once more on all rows before the test window, as its trial was
    assert (found.path / "final_model" / "model.zip").is_file()
    assert np.isfinite(backtest(found.path).measures["agent"]["total_return"])
    assert reproduce(found.path).exact
    confirmed = confirm(found.path, top=2, seeds=1, windows=2)
    assert confirmed.finished
    assert np.isfinite(confirmed.table["lower_bound"].astype(float)).all()
    again = open_folder(confirmed.path).records().in_order()
    first = open_folder(found.path).records().in_order()
    samples = {record.index: record.sample for record in first}
    for record, trial in zip(
        again, confirmed.table.sort_values("search_rank")["trial"], strict=True
    ):
        same = {n: v for n, v in samples[trial].items() if n != "seed_draw"}
        assert {n: v for n, v in record.sample.items() if n != "seed_draw"} == same
