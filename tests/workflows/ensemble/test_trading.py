"""One continuous account through all windows, and thresholds from days, not rows."""

import logging
from typing import Any

import numpy as np
import pandas as pd
import pytest
from ensemble_cases import MacdPolicy, small_agent, small_frame

from finrl_ray.env.account_history import AccountHistory
from finrl_ray.workflows.ensemble import trading
from finrl_ray.workflows.ensemble.account_run import join_histories, run_account
from finrl_ray.workflows.ensemble.agent import DRLEnsembleAgent
from finrl_ray.workflows.ensemble.strategy import WindowChoice
from finrl_ray.workflows.ensemble.trading import trade_windows, window_thresholds
from finrl_ray.workflows.ensemble.window_training import evaluation_env


def chained(
    agent: DRLEnsembleAgent, policy: Any, threshold: float | None, monkeypatch: pytest.MonkeyPatch
) -> AccountHistory:
    monkeypatch.setattr(trading, "model_from_bytes", lambda algorithm, content: policy)
    choices = [
        WindowChoice(
            window=window,
            threshold=threshold,
            sharpe={},
            failures={},
            outcomes={},
            algorithm="ppo",
            model=b"fixed",
            scaling=None,
        )
        for window in agent.windows
    ]
    records = trade_windows(agent._market, choices, agent._account)
    return join_histories([record.history for record in records])


@pytest.mark.parametrize("n_dates", [70, 75, 71, 80])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"fill": "next_open"},
        {"fractional_shares": True},
        {"action": "target_weights", "max_weight": 0.6},
        {"action": "target_weights", "trade_rate": 0.3},
        {"short": True},
        {"action": "target_weights", "short": True, "fractional_shares": True},
        {"hmax_unit": "money", "hmax": 3_000},
        {"action": "target_weights", "fractional_shares": True, "no_trade_band": 0.0},
    ],
    ids=str,
)
@pytest.mark.parametrize("threshold", [None, 85.0])
def test_the_chained_account_is_one_run_over_the_whole_period(
    n_dates: int,
    options: dict[str, Any],
    threshold: float | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    agent = small_agent(small_frame(n_dates), **options)
    assert len(agent.windows) > 1
    found = chained(agent, MacdPolicy(), threshold, monkeypatch)
    rows = agent._market.market_data.rows(agent.windows[0].trade_start, n_dates)
    env = evaluation_env(rows, agent._account, scaling=None, threshold=threshold)
    whole, _ = run_account(MacdPolicy(), env)
    assert whole.trades is not None
    assert np.abs(whole.trades).sum() > 100
    np.testing.assert_array_equal(found.dates, whole.dates)
    np.testing.assert_allclose(found.account_value, whole.account_value, rtol=1e-12)
    np.testing.assert_allclose(found.cash, whole.cash, rtol=1e-9, atol=1e-6)
    np.testing.assert_allclose(found.trades, whole.trades, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(found.rewards, whole.rewards, rtol=1e-9, atol=1e-6)
    np.testing.assert_allclose(found.cost, whole.cost, rtol=1e-9, atol=1e-9)


def test_the_overnight_move_between_windows_is_in_the_curve_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # buy on the first traded day and hold: every later change is the market's
    df = small_frame(70)
    agent = small_agent(df, buy_cost_pct=0.0)

    class BuyOnce:
        def predict(self, observation: Any, *, deterministic: bool) -> tuple[np.ndarray, None]:
            first = float(observation[0]) == 100_000
            return np.full(3, 1.0 if first else 0.0, dtype=np.float32), None

    found = chained(agent, BuyOnce(), None, monkeypatch)
    close = df["close"].to_numpy().reshape(-1, 3)[agent.windows[0].trade_start :]
    expected = 100_000 + 100 * (close - close[0]).sum(axis=1)
    np.testing.assert_allclose(found.account_value, expected, rtol=1e-12)
    assert len(found.account_value) == len(close)


def test_without_a_model_target_weights_hold_what_there_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    agent = small_agent(action="target_weights", no_trade_band=0.0)

    class ThirdEach:
        def predict(self, observation: Any, *, deterministic: bool) -> tuple[np.ndarray, None]:
            return np.full(3, 1.0, dtype=np.float32), None

    monkeypatch.setattr(trading, "model_from_bytes", lambda algorithm, content: ThirdEach())
    names = ("ppo", None, "ppo")
    choices = [
        WindowChoice(
            window=window,
            threshold=None,
            sharpe={},
            failures={},
            outcomes={},
            algorithm=name,
            model=None if name is None else b"fixed",
            scaling=None,
        )
        for window, name in zip(agent.windows, names, strict=True)
    ]
    first, second, third = (
        record.history for record in trade_windows(agent._market, choices, agent._account)
    )
    for traded in (first, third):
        assert traded.trades is not None
        assert np.count_nonzero(traded.trades) > 5
    assert second.trades is not None
    assert np.count_nonzero(second.trades) == 0
    assert second.cash[-1] == first.cash[-1] < 0.01 * first.account_value[-1]


def test_histories_with_a_gap_are_not_joined() -> None:
    agent = small_agent()
    account, data = agent._account, agent._market.market_data
    parts = [
        run_account(
            MacdPolicy(),
            evaluation_env(data.rows(*rows), account, scaling=None, threshold=None),
        )[0]
        for rows in ((50, 60), (60, 70))
    ]
    with pytest.raises(ValueError, match="must start on the day the one before ended"):
        join_histories(parts)


def thresholds(df: pd.DataFrame, **options: Any) -> list[float | None]:
    agent = small_agent(df)
    rule = {"risk_name": "turbulence", "lookback": 10, "quantile": 0.9, **options}
    return window_thresholds(agent._market, agent.windows, **rule)


def with_turbulence(values: np.ndarray) -> pd.DataFrame:
    df = small_frame()
    df["turbulence"] = np.repeat(values, 3)
    return df


def test_one_value_per_day_counts_and_not_one_per_row() -> None:
    # 40 training days: five early days at 50, the last three at 60, the others at 1. The 0.9
    # quantile is 50. The mean of the last 10 days is 18.7: calm, so the highest day is the
    # threshold. The last 10 rows would be 3.3 days with a mean of about 60: turmoil.
    values = np.ones(80)
    values[5:10], values[37:40] = 50.0, 60.0
    assert thresholds(with_turbulence(values))[0] == 60.0
    # 9 wild days among the last 10: turmoil by days too, and the quantile is 60
    values[31:40] = 60.0
    values[39] = 200.0
    assert thresholds(with_turbulence(values))[0] == 60.0


def test_each_window_sees_its_training_days_only() -> None:
    values = np.linspace(1, 2, 80)
    values[75:] = 1000.0
    before = thresholds(with_turbulence(values))
    changed = values.copy()
    changed[50:] = 5000.0
    after = thresholds(with_turbulence(changed))
    # validation starts on rows 40, 50, 60: the first two have seen nothing of rows 50 and later
    assert before[:2] == after[:2]
    assert before[2] != after[2]


def test_zeros_before_the_first_value_are_no_measurements(
    caplog: pytest.LogCaptureFixture,
) -> None:
    # 36 leading zeros would make the 0.9 quantile 0, below every later day: nothing ever traded
    values = np.zeros(80)
    values[36:] = np.linspace(5, 9, 44)
    found = thresholds(with_turbulence(values))[0]
    assert found is not None
    assert found >= 5
    # a series without any value in training says nothing
    values[:45] = 0.0
    with caplog.at_level(logging.WARNING, "finrl_ray"):
        first, *later = thresholds(with_turbulence(values))
    assert first is None
    assert None not in later
    assert "window 20: 'turbulence' does not vary before its validation" in caplog.text


def test_without_the_column_there_is_no_threshold_and_it_is_said(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING, "finrl_ray"):
        assert thresholds(small_frame(turbulence=False)) == [None, None, None]
    assert "no column 'turbulence'" in caplog.text
