"""One training and its validation: causes of failure, no look-ahead, no trace left behind."""

import math
from typing import Any

import numpy as np
import pytest
import torch as th
from bit_equality import assert_equal_bits
from ensemble_cases import SMALL_A2C, SMALL_PPO, small_agent, small_frame

from finrl_ray.agents.drl_agent import DRLAgent
from finrl_ray.env.vec_env import StockTradingVecEnv
from finrl_ray.metrics.performance import sharpe_ratio
from finrl_ray.metrics.returns import simple_returns
from finrl_ray.workflows.ensemble import window_training
from finrl_ray.workflows.ensemble.strategy import TrainingPlan, retrain_task, validation_task
from finrl_ray.workflows.ensemble.window_training import (
    TrainingTask,
    build_model,
    model_from_bytes,
    run_task,
)


def task(agent: Any, algorithm: str = "ppo", **changes: Any) -> TrainingTask:
    kwargs = changes.pop("kwargs", {"ppo": SMALL_PPO, "a2c": SMALL_A2C}.get(algorithm, {}))
    plan = TrainingPlan(
        model_kwargs={algorithm: kwargs},
        total_timesteps={algorithm: 128},
        account=agent._account,
        seed=3,
        n_envs=changes.pop("n_envs", 1),
        periods_per_year=252.0,
        retrain=False,
    )
    return validation_task(agent.windows[changes.pop("window", 0)], None, algorithm, plan)


def test_the_sharpe_is_the_annualized_one_of_the_validation_days() -> None:
    agent = small_agent()
    outcome = run_task(agent._market.market_data, task(agent))
    assert outcome.failure == ""
    assert outcome.model is not None
    history = outcome.validation
    assert history is not None
    dates = agent._market.market_data.dates
    np.testing.assert_array_equal(history.dates, dates[40:50])
    assert history.account_value[0] == 100_000
    returns = simple_returns(history.account_value)
    expected = returns.mean() / returns.std(ddof=1) * math.sqrt(252)
    assert outcome.sharpe == pytest.approx(expected)
    assert outcome.sharpe == sharpe_ratio(returns)


@pytest.mark.parametrize(
    "options",
    [
        {"observation_scaling": "none"},
        {"observation_scaling": "train"},
        {"observation": "stationary", "return_horizons": (1,), "state_space": 13},
    ],
    ids=str,
)
def test_prices_from_the_first_traded_day_on_change_nothing(options: dict[str, Any]) -> None:
    df = small_frame()
    other = df.copy()
    late = other.index >= 50  # the first window trades from row 50 on
    other.loc[late, ["close", "open", "macd", "turbulence"]] *= 3.0
    outcomes = []
    for frame in (df, other):
        agent = small_agent(frame, **options)
        assert agent.windows[0].trade_start == 50
        outcomes.append(run_task(agent._market.market_data, task(agent)))
    assert outcomes[0].sharpe == outcomes[1].sharpe
    assert not math.isnan(outcomes[0].sharpe)
    assert outcomes[0].model is not None
    scalings = [outcome.scaling for outcome in outcomes]
    assert (scalings[0] is None) == (options.get("observation_scaling") == "none")
    assert len({scaling and scaling.key() for scaling in scalings}) == 1
    models = [model_from_bytes("ppo", outcome.model or b"") for outcome in outcomes]
    for one, two in zip(*(model.policy.parameters() for model in models), strict=True):
        assert_equal_bits(one, two)


def test_retraining_sees_the_validation_days_and_nothing_after(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    agent = small_agent()
    seen = []
    original = window_training.train_model

    def spy(rows: Any, *rest: Any) -> Any:
        seen.append((rows.dates[0], rows.dates[-1]))
        return original(rows, *rest)

    monkeypatch.setattr(window_training, "train_model", spy)
    data = agent._market.market_data
    run_task(data, task(agent))
    again = run_task(data, retrain_task(task(agent), 3))
    assert seen == [(data.dates[0], data.dates[39]), (data.dates[0], data.dates[49])]
    assert again.model is not None
    assert math.isnan(again.sharpe)


def test_a_diverged_training_is_an_outcome_with_its_reason() -> None:
    agent = small_agent()
    broken = task(agent, "a2c", kwargs={**SMALL_A2C, "learning_rate": 1e38})
    outcome = run_task(agent._market.market_data, broken)
    assert math.isnan(outcome.sharpe)
    assert outcome.model is None
    assert "NaN or infinite" in outcome.failure


def test_an_exception_is_an_outcome_and_ctrl_c_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    agent = small_agent()

    def fail(*_: Any) -> None:
        raise raised

    monkeypatch.setattr(DRLAgent, "train_model", staticmethod(fail))
    raised: BaseException = RuntimeError("no memory for 3 tensors")
    outcome = run_task(agent._market.market_data, task(agent))
    assert outcome.failure == "RuntimeError: no memory for 3 tensors"
    raised = KeyboardInterrupt("stop")
    with pytest.raises(KeyboardInterrupt, match="stop"):
        run_task(agent._market.market_data, task(agent))


def test_an_account_that_never_trades_has_a_ratio_of_zero() -> None:
    agent = small_agent(hmax=1e-9)  # every order is truncated to 0 shares
    outcome = run_task(agent._market.market_data, task(agent))
    assert outcome.sharpe == 0.0


def test_random_streams_and_threads_are_left_as_they_were() -> None:
    agent = small_agent()
    np.random.seed(11)  # noqa: NPY002  # the stream that SB3 seeds
    th.manual_seed(11)
    expected = np.random.random(), th.rand(1).item()  # noqa: NPY002
    np.random.seed(11)  # noqa: NPY002
    th.manual_seed(11)
    threads = th.get_num_threads()
    outcome = run_task(agent._market.market_data, task(agent))
    model_from_bytes("ppo", outcome.model or b"")
    assert (np.random.random(), th.rand(1).item()) == expected  # noqa: NPY002
    assert th.get_num_threads() == threads


def test_equal_tasks_give_equal_models_and_other_seeds_others() -> None:
    agent = small_agent()
    data = agent._market.market_data
    first, second = (run_task(data, task(agent)) for _ in range(2))
    assert first.sharpe == second.sharpe
    other = run_task(data, task(agent, window=1))
    assert other.sharpe != first.sharpe


def test_a_buffer_is_no_larger_than_training_can_fill() -> None:
    agent = small_agent()
    wanted = task(agent, "td3", kwargs={"policy_kwargs": {"net_arch": [8]}})
    rows = agent._market.market_data.rows(0, 40)
    model = build_model(StockTradingVecEnv(rows, 1, **agent._account.env_options()), wanted)
    # 128 steps, and an episode of slack
    assert model.replay_buffer.buffer_size == 128 + 50
