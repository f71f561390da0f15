"""Portfolios of fixed weights, worked by hand: costs, whole shares, the next open, no quotes."""

import dataclasses
from typing import Any

import numpy as np
import pytest

from finrl_ray.baselines.buy_and_hold import buy_and_hold
from finrl_ray.baselines.portfolios import held_curve, rebalanced_curve
from finrl_ray.config.env import EnvConfig
from finrl_ray.data.market_data import MarketData
from finrl_ray.errors import DataError


def market(close: Any, open_: Any = None, tradable: Any = None) -> MarketData:
    values = np.array(close, dtype=np.float64)
    t, n = values.shape
    return MarketData(
        dates=np.datetime64("2020-01-01", "ns") + np.arange(t) * np.timedelta64(1, "D"),
        tickers=tuple("ABCDE"[:n]),
        open=values if open_ is None else np.array(open_, dtype=np.float64),
        high=values,
        low=values,
        close=values,
        volume=np.ones((t, n)),
        features=np.zeros((t, n, 0)),
        feature_names=(),
        tradable=np.ones((t, n), dtype=bool) if tradable is None else np.array(tradable),
        market_features=np.zeros((t, 0)),
        market_feature_names=(),
    )


FREE = EnvConfig(initial_amount=1000.0, buy_cost_pct=0.0, sell_cost_pct=0.0, fractional_shares=True)
HALF = np.array([0.5, 0.5])


def test_daily_rebalancing_without_costs_earns_the_mean_return() -> None:
    rng = np.random.default_rng(0)
    close = 50 * np.cumprod(1 + rng.normal(0, 0.02, (40, 3)), axis=0)
    curve = rebalanced_curve(market(close), np.full(3, 1 / 3), FREE)
    mean = (close[1:] / close[:-1] - 1).mean(axis=1)
    np.testing.assert_allclose(curve, 1000 * np.concatenate([[1], np.cumprod(1 + mean)]))


def test_held_weights_drift() -> None:
    curve = held_curve(market([[10, 10], [20, 10], [20, 5]]), HALF, FREE)
    np.testing.assert_allclose(curve, [1000, 1500, 1250])
    part = held_curve(market([[10, 10], [20, 10], [20, 5]]), np.array([0.5, 0.0]), FREE)
    np.testing.assert_allclose(part, [1000, 1500, 1500])


def test_rebalancing_pays_on_both_sides() -> None:
    config = dataclasses.replace(FREE, buy_cost_pct=0.01, sell_cost_pct=0.02)
    curve = rebalanced_curve(market([[10, 10], [20, 10], [20, 10]]), HALF, config)
    # 500 each would cost 1010: 1000/1010 of it is bought, 49.50495 shares each
    bought = 50 * 1000 / 1010
    assert curve[1] == pytest.approx(bought * 30)
    # back to half and half: sell (20 - 15) / 20 of A's value, and buy what that pays for of B
    value = bought * 30
    sold = (bought * 20 - value / 2) / 20
    proceeds = sold * 20 * 0.98
    wanted = (value / 2 - bought * 10) / 10
    bought_b = min(wanted, proceeds / (10 * 1.01))
    cash = proceeds - bought_b * 10 * 1.01
    assert curve[2] == pytest.approx((bought - sold) * 20 + (bought + bought_b) * 10 + cash)


def test_whole_shares_leave_cash() -> None:
    config = dataclasses.replace(FREE, fractional_shares=False)
    curve = held_curve(market([[300, 7], [330, 7]]), HALF, config)
    # one share of A, 71 of B, and 203 in cash
    np.testing.assert_allclose(curve, [1000, 330 + 71 * 7 + 203])


def test_orders_fill_at_the_next_open() -> None:
    data = market([[10, 10], [12, 10], [15, 10]], open_=[[9, 9], [8, 10], [14, 10]])
    config = dataclasses.replace(FREE, fill="next_open")
    # 500 at the open of 8 are 62.5 shares
    np.testing.assert_allclose(
        held_curve(data, HALF, config), [1000, 62.5 * 12 + 500, 62.5 * 15 + 500]
    )


def test_what_has_no_quote_is_not_traded_and_keeps_its_last_price() -> None:
    tradable = [[True, True], [True, False], [True, True]]
    data = market([[10, 10], [20, 10], [20, 10]], tradable=tradable)
    curve = rebalanced_curve(data, HALF, FREE)
    # on day 1 A alone is traded, to half of 1500; B stays at 50 shares
    np.testing.assert_allclose(curve, [1000, 1500, 1500])
    late = market([[10, 10], [20, 10], [20, 20]], tradable=tradable)
    assert rebalanced_curve(late, HALF, FREE)[2] == pytest.approx(37.5 * 20 + 50 * 20 + 250)


@pytest.mark.parametrize("fill", ["close", "next_open"])
def test_equal_weights_held_are_buy_and_hold(fill) -> None:
    rng = np.random.default_rng(1)
    close = 50 * np.cumprod(1 + rng.normal(0, 0.02, (60, 4)), axis=0)
    data = market(close, open_=close * 1.01)
    config = EnvConfig(fill=fill, fractional_shares=True, buy_cost_pct=0.0)
    np.testing.assert_allclose(
        held_curve(data, np.full(4, 0.25), config), buy_and_hold(data, config), rtol=1e-12
    )


@pytest.mark.parametrize("weights", [[0.5], [0.7, 0.5], [-0.1, 0.5], [np.nan, 0.5]])
def test_weights_that_are_none_are_refused(weights) -> None:
    with pytest.raises(DataError, match="weights must be 2 numbers >= 0"):
        held_curve(market([[1, 1], [1, 1]]), np.array(weights), FREE)
