"""`DRLEnsembleAgent` as FinRL's users call it."""

import logging
import math
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import processes
import psutil
import pytest
from ensemble_cases import SMALL_A2C, SMALL_PPO, small_agent, small_frame
from local_ray import local_ray

from finrl_ray.data.features import add_features, add_turbulence
from finrl_ray.data.market_data import MarketData
from finrl_ray.data.sources.bundled import read_bundled
from finrl_ray.env.stock_trading import StockTradingEnv
from finrl_ray.errors import ConfigError
from finrl_ray.workflows.ensemble.agent import DRLEnsembleAgent

pytestmark = pytest.mark.slow  # they train, or start a server

STEPS = {"a2c": 60, "ppo": 64}
# FinRL 0.3.7's summary, columns in its order
COLUMNS = ["Iter", "Val Start", "Val End", "Model Used"] + [
    f"{name} Sharpe" for name in ("A2C", "PPO", "DDPG", "SAC", "TD3")
]
DIVERGING = {**SMALL_A2C, "learning_rate": 1e38}


def run(agent: DRLEnsembleAgent, **changes: Any) -> pd.DataFrame:
    arguments: dict[str, Any] = {
        "A2C_model_kwargs": SMALL_A2C,
        "PPO_model_kwargs": SMALL_PPO,
        "DDPG_model_kwargs": None,
        "SAC_model_kwargs": None,
        "TD3_model_kwargs": None,
        "timesteps_dict": STEPS,
    }
    return agent.run_ensemble_strategy(**{**arguments, **changes})


def test_the_summary_has_finrls_columns_labels_and_types() -> None:
    agent = small_agent()
    summary = run(agent)
    assert list(summary.columns) == COLUMNS
    assert set(summary.dtypes) == {np.dtype(object)}
    assert list(summary.index) == [0, 1, 2]
    dates = agent.unique_trade_date
    assert list(summary["Iter"]) == [20, 30, 40]
    assert list(summary["Val Start"]) == [dates[0], dates[10], dates[20]]
    assert list(summary["Val End"]) == [dates[10], dates[20], dates[30]]
    assert set(summary["Model Used"]) <= {"A2C", "PPO"}
    for _, row in summary.iterrows():
        best = "A2C" if row["A2C Sharpe"] >= row["PPO Sharpe"] else "PPO"
        assert row["Model Used"] == best
    assert list(summary["SAC Sharpe"]) == [None] * 3
    first = summary.iloc[0]
    assert agent.get_validation_sharpe(first["Iter"], "ppo") == first["PPO Sharpe"]


def test_the_account_is_one_curve_from_the_first_traded_day_to_the_last() -> None:
    agent = small_agent()
    run(agent)
    assert list(agent.account_value.columns) == ["date", "account_value"]
    assert list(agent.account_value["date"]) == list(agent.unique_trade_date[10:])
    assert agent.account_value["account_value"].iloc[0] == 100_000
    assert list(agent.actions.columns) == ["AAA", "BBB", "CCC"]
    assert list(agent.actions.index) == list(agent.unique_trade_date[10:-1])
    for earlier, later in zip(agent.records, agent.records[1:], strict=False):
        assert later.history.account_value[0] == earlier.history.account_value[-1]
    # positions are carried over: cash alone would be less than the account
    held = agent.records[0].last_state[4:7]
    assert sum(held) > 0
    assert agent.actions.iloc[:10].sum().tolist() == held


def test_finrls_older_call_with_three_algorithms_is_understood() -> None:
    agent = small_agent(small_frame(65))
    summary = agent.run_ensemble_strategy(SMALL_A2C, None, None, {"a2c": 20, "ppo": 20, "ddpg": 20})
    assert set(summary["Model Used"]) == {"A2C"}


def test_all_five_algorithms_take_part() -> None:
    agent = small_agent(small_frame(62))
    off = {"policy_kwargs": {"net_arch": [8]}, "learning_starts": 5, "batch_size": 8}
    summary = run(
        agent,
        DDPG_model_kwargs={**off, "action_noise": "ornstein_uhlenbeck"},
        SAC_model_kwargs=off,
        TD3_model_kwargs=off,
        timesteps_dict={name: 30 for name in ("a2c", "ppo", "ddpg", "sac", "td3")},
    )
    assert summary.filter(like="Sharpe").notna().all(axis=None)


def test_an_algorithm_that_always_fails_does_not_kill_the_run(
    caplog: pytest.LogCaptureFixture,
) -> None:
    agent = small_agent()
    with caplog.at_level(logging.INFO, "finrl_ray"):
        summary = run(agent, A2C_model_kwargs=DIVERGING)
    assert set(summary["Model Used"]) == {"PPO"}
    assert all(math.isnan(value) for value in summary["A2C Sharpe"])
    assert all(record.failures["a2c"] for record in agent.records)
    assert "validation Sharpe ratio" in caplog.text


def test_cash_is_held_where_everything_fails() -> None:
    agent = small_agent()
    summary = run(agent, A2C_model_kwargs=DIVERGING, PPO_model_kwargs=None)
    assert set(summary["Model Used"]) == {"HOLD"}
    assert set(agent.account_value["account_value"]) == {100_000.0}
    assert all("no orders are placed" in record.note for record in agent.records)
    assert agent.records[0].load_model() is None


def test_prices_after_a_windows_first_traded_day_do_not_change_its_choice() -> None:
    df = small_frame()
    other = df.copy()
    first_traded = small_agent(df).windows[1].trade_start
    late = other.index >= first_traded
    for column in ("close", "open", "macd"):
        other.loc[late, column] *= np.linspace(1.5, 3.0, late.sum())
    other.loc[late, "turbulence"] += 500.0
    agents = [small_agent(frame) for frame in (df, other)]
    summaries = [run(agent).iloc[:2] for agent in agents]
    pd.testing.assert_frame_equal(*summaries)
    thresholds = [[r.turbulence_threshold for r in agent.records[:2]] for agent in agents]
    assert thresholds[0] == thresholds[1]
    first = [agent.records[0].history.account_value[:-1] for agent in agents]
    np.testing.assert_array_equal(*first)


def test_options_of_the_envs_reach_training_validation_and_trading() -> None:
    plain = run(small_agent(small_frame(62)))
    seen = {str(plain.iloc[0].to_dict())}
    for options in (
        {"fill": "next_open"},
        {"fractional_shares": True},
        {"random_start": True},
        {"reward": "active"},
        {"reward": "differential_sharpe", "differential_sharpe_rate": 0.1},
        {"observation_scaling": "train"},
        {"n_envs": 2},
        {"observation": "stationary", "return_horizons": [1, 3], "lookback": 2, "state_space": 28},
    ):
        agent = small_agent(small_frame(62), **options)
        seen.add(str(run(agent).iloc[0].to_dict()))
    assert len(seen) == 9


def test_seeds_decide_and_equal_seeds_agree() -> None:
    one, two, other = (run(small_agent(seed=seed)) for seed in (1, 1, 2))
    pd.testing.assert_frame_equal(one, two)
    assert not one["PPO Sharpe"].equals(other["PPO Sharpe"])


def test_nothing_is_written_unless_a_folder_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run(small_agent(small_frame(62)))
    assert list(tmp_path.iterdir()) == []


def test_finrls_files_put_together_are_the_account(tmp_path: Path) -> None:
    agent = small_agent(results_dir=tmp_path / "results")
    summary = run(agent, A2C_model_kwargs={})
    parts = [
        pd.read_csv(tmp_path / f"results/account_value_trade_ensemble_{i}.csv")
        for i in summary["Iter"]
    ]
    whole = pd.concat(parts, ignore_index=True)
    assert list(whole.columns) == ["account_value", "date", "daily_return"]
    pd.testing.assert_frame_equal(whole[["date", "account_value"]], agent.account_value)
    actions = [
        pd.read_csv(tmp_path / f"results/actions_trade_ensemble_{i}.csv", index_col=0)
        for i in summary["Iter"]
    ]
    np.testing.assert_array_equal(pd.concat(actions).to_numpy(), agent.actions.to_numpy())
    validation = pd.read_csv(tmp_path / "results/account_value_validation_ppo_20.csv")
    assert list(validation["date"]) == list(agent.unique_trade_date[:10])
    state = pd.read_csv(tmp_path / "results/last_state_ensemble_20.csv")["last_state"]
    assert state.tolist() == pytest.approx(agent.records[0].last_state)


def test_finrls_single_steps_repeat_what_the_run_did() -> None:
    agent = small_agent()
    run(agent)
    state: list[float] = []
    for record in agent.records:
        model = record.load_model()
        assert model is not None
        state = agent.DRL_prediction(
            model,
            "ensemble",
            state,
            record.iteration,
            record.turbulence_threshold,
            initial=not state,
        )
        assert state == record.last_state
    with pytest.raises(ConfigError, match=r"iter_num must be one of \[20, 30, 40\], got 63"):
        agent.DRL_prediction(model, "ensemble", state, 63, None, initial=True)
    with pytest.raises(ConfigError, match="a validation of 'sac' in iteration 20"):
        agent.get_validation_sharpe(20, "sac")
    rows = agent._market.market_data.rows(40, 50)
    env, observation = StockTradingEnv(rows, **agent._account.env_options()).get_sb_env()
    fresh = agent.get_model("ppo", env, model_kwargs=SMALL_PPO, seed=0, verbose=0)
    trained = agent.train_model(fresh, "ppo", "ppo_20", 20, total_timesteps=64)
    history = agent.DRL_validation(trained, None, env, observation)
    np.testing.assert_array_equal(history.dates, rows.dates)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"A2C_model_kwargs": None, "PPO_model_kwargs": None}, "at least one of A2C_model_kwargs"),
        ({"timesteps_dict": {"a2c": 60}}, "whole number >= 1 for 'ppo', got None"),
        ({"timesteps_dict": {**STEPS, "a2c": 0}}, "whole number >= 1 for 'a2c', got 0"),
        ({"timesteps_dict": {**STEPS, "a2c": 10.5}}, "whole number >= 1 for 'a2c', got 10.5"),
        ({"timesteps_dict": 300}, "timesteps_dict must be a dict of steps per algorithm.*300"),
        ({"timesteps_dict": {**STEPS, "dqn": 9}}, r"got \['dqn'\]"),
        ({"PPO_model_kwargs": {"lr": 1e-3}}, "ppo has no keyword 'lr'"),
        ({"PPO_model_kwargs": 5}, "PPO_model_kwargs must be a dict or None, got 5"),
    ],
)
def test_arguments_of_a_run_are_checked_before_training(
    changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        run(small_agent(), **changes)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rebalance_window": 63, "validation_window": 63}, "at least 126 dates.*got 40"),
        ({"turbulence_quantile": 90}, "turbulence_quantile"),
        ({"seed": -1}, "seed must be a whole number within"),
        ({"seed": None}, "seed must be a whole number within.*None"),
        ({"n_envs": 1.5}, "n_envs must be a whole number >= 1, got 1.5"),
        ({"rebalance_window": 10.0}, "rebalance_window must be a whole number of days, got 10.0"),
        ({"validation_window": "10"}, "validation_window must be a whole number of days"),
        ({"n_envs": 0}, "n_envs must be a whole number >= 1, got 0"),
        ({"time_budget_s": 0}, "time_budget_s must be > 0"),
        ({"observation_scaling": "all"}, "observation_scaling must be"),
    ],
)
def test_arguments_of_the_agent_are_checked(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        small_agent(**options)
    with pytest.raises(TypeError, match="Did you mean 'retrain'"):
        small_agent(retrained=True)


def test_a_spent_time_budget_counts_as_failed() -> None:
    agent = small_agent(time_budget_s=1e-9)
    run(agent)
    assert "time_budget_s 1e-09 was spent" in agent.records[0].failures["ppo"]


# -- on Ray -------------------------------------------------------------------------------------


def bundled_agent(**options: Any) -> DRLEnsembleAgent:
    data = MarketData.from_finrl(read_bundled())
    data = add_turbulence(add_features(data, ["macd", "rsi_30"]))
    dates = [str(date)[:10] for date in data.dates]
    return DRLEnsembleAgent(
        data,
        (dates[260], dates[500]),
        (dates[500], dates[626]),
        42,
        42,
        4,
        100,
        1_000_000,
        0.001,
        0.001,
        1e-4,
        1 + 2 * 4 + 2 * 4,
        4,
        ["macd", "rsi_30"],
        10,
        seed=5,
        **options,
    )


@pytest.mark.slow
def test_ray_gives_what_one_process_gives_and_leaves_nothing_running() -> None:
    import ray

    on_ray = bundled_agent(num_cpus=2, retrain=True)
    assert len(on_ray.windows) == 2
    one = run(on_ray)
    assert not ray.is_initialized()
    local = bundled_agent(use_ray=False, retrain=True)
    two = run(local)
    pd.testing.assert_frame_equal(one, two)
    pd.testing.assert_frame_equal(on_ray.account_value, local.account_value)
    pd.testing.assert_frame_equal(on_ray.actions, local.actions)
    assert on_ray.actions.abs().to_numpy().sum() > 0


@pytest.mark.slow
def test_a_ray_that_runs_already_is_used_and_left_and_failures_stay_apart() -> None:
    import ray

    with local_ray(num_cpus=2):
        summary = run(bundled_agent(max_concurrent=1), A2C_model_kwargs=DIVERGING)
        assert ray.is_initialized()
        assert set(summary["Model Used"]) == {"PPO"}
        # one training can never end within the budget; the run ends all the same
        late = bundled_agent(time_budget_s=2.0)
        started = time.monotonic()
        run(late, A2C_model_kwargs=None, timesteps_dict={"ppo": 10**9})
        assert time.monotonic() - started < processes.LONGEST_S
        assert {record.model_used for record in late.records} == {"HOLD"}
        assert "time_budget_s 2 was spent" in late.records[0].failures["ppo"]


@pytest.mark.slow
def test_ctrl_c_ends_the_run_and_its_workers(tmp_path: Path) -> None:
    script = tmp_path / "endless.py"
    script.write_text(
        textwrap.dedent(
            f"""
            import signal, sys
            # a shell's background jobs, and what they start, ignore it
            signal.signal(signal.SIGINT, signal.default_int_handler)
            sys.path[:0] = {sys.path!r}
            from tests.workflows.ensemble.test_agent import bundled_agent, run
            try:
                print("ready", flush=True)
                run(bundled_agent(num_cpus=2), timesteps_dict={{"a2c": 10**9, "ppo": 10**9}})
            except KeyboardInterrupt:
                print("interrupted", flush=True)
            """
        ),
        encoding="utf-8",
    )
    command = [sys.executable, str(script)]
    with processes.started(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline().strip() == "ready"
        children = processes.wait_until(lambda: _training_below(process.pid))
        os.kill(process.pid, signal.SIGINT)
        out, _ = process.communicate(timeout=processes.LONGEST_S)
        assert "interrupted" in out
        _, alive = psutil.wait_procs(children, timeout=processes.LONGEST_S)
        assert not alive


def _training_below(pid: int) -> list[psutil.Process]:
    """Return the processes below one, once a training is among them."""
    children = psutil.Process(pid).children(recursive=True)
    begun = any("run_task" in " ".join(_command(child)) for child in children)
    return children if begun else []


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []
