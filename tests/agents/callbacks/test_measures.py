"""Evaluation by a metric of the user's own."""

import math
from typing import Any

import numpy as np
import own_metrics
import pytest
from market_env import MarketEnv
from small_models import small_env, small_model

from finrl_ray.agents.callbacks.early_stopping import StopTrainingOnNoModelImprovement
from finrl_ray.agents.callbacks.evaluation import EvalCallback, TradingEvalCallback
from finrl_ray.agents.callbacks.measures import Judge, judge_of
from finrl_ray.agents.rollout import Episode
from finrl_ray.env.account_history import AccountHistory
from finrl_ray.errors import ConfigError
from finrl_ray.own_code.failures import OwnCodeError
from finrl_ray.own_code.metric import load_metric


def history(*values: float, benchmark: Any = None) -> AccountHistory:
    n_days = len(values)
    return AccountHistory(
        dates=np.datetime64("2020-01-06", "ns") + np.arange(n_days) * np.timedelta64(1, "D"),
        tickers=("A",),
        account_value=np.array(values),
        cash=np.array(values) * 0.5,
        rewards=np.zeros(n_days - 1),
        trades=None,
        cost=np.zeros(n_days - 1),
        traded_amount=np.zeros(n_days - 1),
        n_trades=3,
        initial_amount=values[0],
        benchmark_value=benchmark,
    )


def episodes(*accounts: AccountHistory) -> list[Episode]:
    return [Episode(history=account, reward=0.0, length=3) for account in accounts]


def test_values_of_several_accounts_are_averaged_by_hand() -> None:
    # root mean squares of (0, 10 %) and of (0, 20 %)
    both = episodes(history(100.0, 90.0), history(100.0, 80.0))
    judge = judge_of("own_metrics:ulcer_index", periods_per_year=252.0)
    assert (judge.metric, judge.mode) == ("ulcer_index", "min")
    measures, reason = judge.measure(both)
    expected = (0.1 + 0.2) / 2 / math.sqrt(2)
    assert measures["ulcer_index"] == pytest.approx(expected)
    assert measures["objective"] == pytest.approx(-expected)
    assert reason == ""
    linear = judge_of(own_metrics.ulcer_index, metric_kwargs={"power": 1.0}, periods_per_year=252.0)
    assert linear.measure(both)[0]["ulcer_index"] == pytest.approx((0.05 + 0.1) / 2)


def test_others_are_measured_beside_the_metric() -> None:
    own = load_metric("own_metrics:worst_day", {})
    judge = judge_of("total_return", own_metrics=[own], periods_per_year=252.0)
    measures, _ = judge.measure(episodes(history(100.0, 90.0, 99.0)))
    assert measures["worst_day"] == pytest.approx(-0.1)
    assert measures["objective"] == measures["total_return"] == pytest.approx(-0.01)


def test_no_number_has_a_finite_objective_and_its_reason() -> None:
    judge = judge_of("own_metrics:nan_when_it_falls", periods_per_year=252.0)
    measures, reason = judge.measure(episodes(history(100.0, 90.0)))
    assert math.isnan(measures["nan_when_it_falls"])
    assert measures["objective"] == -1e9
    assert reason.startswith("nan_when_it_falls is undefined: evaluation.metric own_metrics:nan_")
    assert reason.endswith(") returned nan")
    judge = judge_of("own_metrics:days_beyond", periods_per_year=252.0)
    measures, reason = judge.measure(episodes(history(100.0, 90.0)))
    assert measures["objective"] == -1e9
    assert reason == "days_beyond is undefined: the env gives no benchmark_value"


def test_an_account_on_which_it_raises_is_named_with_the_line() -> None:
    judge = judge_of("own_metrics:raises_late", periods_per_year=252.0)
    with pytest.raises(OwnCodeError, match=r"ValueError: thirteen days.*own_metrics.py, line \d+"):
        judge.measure(episodes(history(*np.linspace(100.0, 90.0, 13))))


def test_the_callback_takes_a_function_and_follows_its_mode() -> None:
    seen: dict[str, Any] = {}
    stop = StopTrainingOnNoModelImprovement(50)
    callback = TradingEvalCallback(
        small_env(market_seed=3),
        callback_after_eval=stop,
        eval_freq=40,
        n_eval_episodes=1,
        metric=own_metrics.ulcer_index,
        metric_kwargs={"power": 1.0},
    )
    model = small_model("a2c")
    model.learn(100, callback)
    assert (callback.metric, callback.mode) == ("ulcer_index", "min")
    assert callback.log.timesteps == [40, 80]
    values = callback.log.history("ulcer_index")
    (account,) = callback.account_histories
    assert values[-1] == pytest.approx(own_metrics.ulcer_index(account.account_value, power=1.0))
    assert callback.best_mean_reward == -min(values)
    seen.update(callback.logger.name_to_value)
    assert callback.last_measures["objective"] == -values[-1]


def test_sb3s_callback_needs_an_env_with_accounts_for_it() -> None:
    callback = EvalCallback(MarketEnv(), eval_freq=40, metric="own_metrics:worst_day")
    assert callback.metric == "worst_day"
    small_model("a2c").learn(50, callback)
    assert callback.log.history("worst_day")[0] <= 0.0


@pytest.mark.parametrize(
    ("metric", "kwargs", "message"),
    [
        ("sharp_ratio", {}, r"metric must be one of sharpe_ratio.*or your own \(a function"),
        ("sharpe_ratio", {"power": 1}, "metric_kwargs are keywords of an own metric"),
        ("own_metrics:raises", {}, "IndexError"),
        (lambda returns: returns[1000], {}, "IndexError"),
    ],
)
def test_what_cannot_judge_is_refused(metric: Any, kwargs: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        TradingEvalCallback(small_env(), metric=metric, metric_kwargs=kwargs)


def test_a_judge_knows_no_metric_that_it_was_not_given() -> None:
    with pytest.raises(ConfigError, match="metric must be one of"):
        Judge(metric="ulcer_index")
