"""Slippage of accounts that may owe shares: numbers worked out by hand."""

import dataclasses
import math

import numpy as np
import pytest
from env_markets import column, hand_market, play

from finrl_ray.env.kernel.signed_trades import most_to_open, taken_by_opening
from finrl_ray.env.stock_trading import StockTradingEnv

FREE = {"initial_amount": 1_000.0, "buy_cost_pct": 0.0, "sell_cost_pct": 0.0, "borrow_rate": 0.0}
WEIGHTS = {"action": "target_weights", "no_trade_band": 0.0, "fractional_shares": True}


def env_on(close, volume, **options):
    market_options = {k: options.pop(k) for k in ("open_", "tradable", "risk") if k in options}
    market = hand_market(close, **market_options)
    volume = np.array(np.broadcast_to(np.array(volume, dtype=np.float64), market.close.shape))
    market = dataclasses.replace(market, volume=volume)
    given = {"hmax": 100, "short": True, "volume_slippage": 1.0, **FREE, **options}
    if given.get("action") == "target_weights":
        given.pop("hmax")
    env = StockTradingEnv(market, **given)
    env.reset()
    return env


def goes_on(cash, shares, close, volume, **options):
    """An account that has this cash and these shares, owed below 0, on the first day."""
    state = [cash, *np.array(close[0]), *shares]
    return env_on(close, volume, initial=False, previous_state=state, **options)


# -- orders ------------------------------------------------------------------------------------


def test_a_short_sale_and_a_cover_move_the_price_against_the_account():
    history = play(env_on(column(10.0, 10.0, 10.0), 100.0), [[-0.2], [0.2]])
    # 20 shares are a fifth of the volume: 200 less 40, then 200 and 40
    assert history.cash.tolist() == [1_000.0, 1_160.0, 920.0]
    assert history.account_value.tolist() == [1_000.0, 960.0, 920.0]
    assert history.cost.tolist() == [40.0, 40.0]
    assert history.traded_amount.tolist() == [200.0, 200.0]
    # beside 1 % of a sale and 2 % of a buy
    env = env_on(column(10.0, 10.0, 10.0), 100.0, sell_cost_pct=0.01, buy_cost_pct=0.02)
    assert play(env, [[-0.2], [0.2]]).cost.tolist() == pytest.approx([42.0, 44.0], rel=1e-14)


def test_an_order_that_turns_a_position_is_one_trade():
    env = env_on(column(10.0, 10.0, 10.0), 100.0, num_stock_shares=[30])
    history = play(env, [[-0.5], [0.5]])
    # 50 are half of the volume, whichever part closes: 500 less 250, then 500 and 250
    assert history.cash.tolist() == pytest.approx([1_000.0, 1_250.0, 500.0], rel=1e-14)
    assert history.cost.tolist() == pytest.approx([250.0, 250.0], rel=1e-14)
    assert history.trades.ravel().tolist() == [-50.0, 50.0]
    # twice the volume bring nothing at all, though the 30 that are held brought 210 by themselves
    env = env_on(column(10.0, 10.0), 25.0, num_stock_shares=[30])
    assert play(env, [[-0.5]]).cash.tolist() == [1_000.0, 1_000.0]


def test_what_opens_takes_its_slippage_of_what_is_free():
    history = play(env_on(column(10.0, 10.0), 100.0), [[-1.0]])
    # 10 q + 10 q^2 / 100 <= 1000: 61 for 610 and 372.1
    assert history.trades.ravel().tolist() == [-61.0]
    assert history.cash[1] == pytest.approx(1_000.0 + 610.0 - 372.1, rel=1e-14)
    part = play(env_on(column(10.0, 10.0), 100.0, fractional_shares=True), [[-1.0]])
    assert part.trades[0, 0] == pytest.approx((10.0 - math.sqrt(500.0)) / 0.2, rel=1e-14)
    # the next one gets what is left: 400 and 160 of 1000, then 10 q + q^2 / 10 <= 440: 33
    both = play(env_on([[10.0, 10.0]] * 2, 100.0), [[-0.4, 0.39]])
    assert both.trades.tolist() == [[-40.0, 33.0]]


def test_what_a_turning_order_opens_pays_for_its_whole_size():
    # 40 are sold for 400 - 160; then 10 q + 10 (q^2 + 2 * 40 q) / 100 <= 840: 18 q + q^2 / 10, 38
    env = env_on(column(10.0, 10.0), 100.0, num_stock_shares=[40], initial_amount=600.0)
    history = play(env, [[-1.0]])
    assert history.trades.ravel().tolist() == [-78.0]
    assert history.cash[1] == pytest.approx(600.0 + 780.0 - 608.4, rel=1e-14)


def test_a_short_sale_is_for_nothing_at_worst():
    # from 10 shares on, ten times their share of the volume, they bring nothing: 50 owe 500 of 500
    history = play(env_on(column(10.0, 10.0), 100.0, volume_slippage=10.0), [[-1.0]])
    assert history.trades.ravel().tolist() == [-50.0]
    assert (history.cash[1], history.account_value[1]) == (1_000.0, 500.0)
    assert history.cost.tolist() == [500.0]


def test_the_most_that_can_be_opened_is_what_fits():
    rng = np.random.default_rng(0)
    for _ in range(2_000):
        order, free, price = 10.0 ** rng.uniform(-1.0, 6.0, 3)
        rate, each = float(rng.choice([0.0, 0.01, 0.3])), float(10.0 ** rng.uniform(-9.0, 2.0))
        before, sells = float(rng.choice([0.0, 1.0, 50.0])), bool(rng.integers(2))
        at, near = (price, rate, each, before), free * 1e-12 + price * before * 1e-15
        most = most_to_open(order, sells, free, *at, True)
        assert most <= order
        assert taken_by_opening(most, sells, *at) <= free + near
        if most < order:
            assert taken_by_opening(most * (1.0 + 1e-9), sells, *at) > free - near
        whole = most_to_open(np.floor(order), sells, free, *at, False)
        assert taken_by_opening(whole, sells, *at) <= free
        if whole < np.floor(order):
            assert taken_by_opening(whole + 1.0, sells, *at) > free
    assert most_to_open(5.0, True, 0.0, 10.0, 0.0, 1.0, 0.0, True) == 0.0


def test_a_cover_is_for_what_cash_pays_for_and_may_lose_the_account():
    # 10 q + 10 q^2 / 50 <= 800: 43 for 430 and 369.8; 0.2 are left and 7 are owed
    env = goes_on(800.0, [-50], column(10.0, 10.0, 10.0), 50.0)
    *_, terminated, truncated, info = env.step(np.array([0.5]))
    assert (terminated, truncated) == (True, False)
    history = info["account_history"]
    assert history.trades[0, 0] == 50.0  # 43, and 7 by the broker
    assert history.account_value.tolist() == pytest.approx([300.0, 3e-10, 3e-10])


def test_a_forced_cover_pays_it_and_may_lose_the_account():
    close = column(10.0, 18.5, 18.5, 18.5)
    # 320 of account for 1480 owed; 80 of 1480 shares of volume cost 80
    history = play(goes_on(1_800.0, [-80], close, 1_480.0), [[0.0], [0.0], [0.0]])
    assert history.trades.ravel().tolist() == [0.0, 80.0, 0.0]
    assert history.cash.tolist() == pytest.approx([1_800.0, 1_800.0, 240.0, 240.0], rel=1e-14)
    # 80 of 100 cost 1184 beside 1480: 864 more than there are
    env = goes_on(1_800.0, [-80], close, 100.0, reward="log_return", reward_scaling=1.0)
    env.step(np.array([0.0]))
    _, paid, terminated, _, info = env.step(np.array([0.0]))
    assert terminated
    assert paid == math.log(1e-12)
    assert info["account_history"].account_value[-1] == pytest.approx(320e-12)
    assert info["account_history"].cost.tolist() == pytest.approx([0.0, 1_184.0, 0.0])


@pytest.mark.parametrize("fractional", [False, True])
def test_what_pays_for_a_forced_cover_is_sold_with_slippage(fractional):
    # A costs 500 and 50; 450 are missing: 10 q - 10 q^2 / 400 = 450 at 51.7 of C, 52 bring 452.4
    env = goes_on(
        100.0, [-50, 60], [[10.0, 10.0]] * 3, [500.0, 400.0], maintenance_margin=0.9,
        fractional_shares=fractional,
    )  # fmt: skip
    history = play(env, [[0.0, 0.0]])
    sold = 200.0 - math.sqrt(22_000.0) if fractional else 52.0
    assert history.trades.tolist() == [[50.0, pytest.approx(-sold, rel=1e-12)]]
    left = 0.0 if fractional else 2.4
    assert history.cash[1] == pytest.approx(left, abs=1e-9)


def test_no_more_of_a_position_is_sold_than_brings_more():
    # half of the volume of C brings the most, 250; the 200 that are missing come from 22 of D,
    # which bring 220 - 12.1
    env = goes_on(
        100.0, [-50, 60, 25], [[10.0] * 3] * 3, [500.0, 100.0, 400.0], maintenance_margin=1.0
    )
    history = play(env, [[0.0] * 3])
    assert history.trades.tolist() == [[50.0, -50.0, -22.0]]
    assert history.cash[1] == pytest.approx(7.9, rel=1e-12)


def test_stops_and_turbulence_pay_it_on_both_sides():
    env = env_on(column(10.0, 12.0, 12.0), 100.0, stop_loss=0.9)
    # sold for 200 - 40, covered for 240 and 48
    assert play(env, [[-0.2], [0.0]]).cash.tolist() == pytest.approx([1_000.0, 1_160.0, 872.0])
    env = env_on([[10.0, 10.0]] * 3, 100.0, risk=[0.0, 9.0, 9.0], turbulence_threshold=5.0)
    history = play(env, [[-0.2, 0.1], [0.0, 0.0]])
    assert history.trades.tolist() == [[-20.0, 10.0], [20.0, -10.0]]
    # 160 - 110, then 90 - 240
    assert history.cash.tolist() == pytest.approx([1_000.0, 1_050.0, 900.0], rel=1e-14)


def test_nothing_is_sold_short_or_covered_in_a_row_without_volume():
    volume = column(0.0, 100.0, 0.0, 100.0, 100.0)
    history = play(env_on(column(*[10.0] * 5), volume), [[-0.2], [-0.2], [0.2], [0.2]])
    assert history.trades.ravel().tolist() == [0.0, -20.0, 0.0, 20.0]
    # a forced cover waits for it too
    close = column(10.0, 18.5, 18.5, 18.5)
    env = goes_on(1_800.0, [-80], close, column(1.0, 0.0, 1_480.0, 1.0))
    assert play(env, [[0.0]] * 3).trades.ravel().tolist() == [0.0, 0.0, 80.0]


def test_borrowing_costs_the_same_with_slippage():
    history = play(env_on(column(10.0, 20.0), 100.0, borrow_rate=3.65), [[-0.1]])
    # 10 of slippage, and a hundredth of 200
    assert history.cost.tolist() == pytest.approx([12.0], rel=1e-14)


# -- target weights ----------------------------------------------------------------------------


def test_weights_below_zero_are_those_after_slippage():
    env = env_on(column(10.0, 10.0, 10.0), 100.0, **WEIGHTS)
    history = play(env, [[-0.5], [0.0]])
    # a = 1000 - (a / 2)^2 / (10 * 100); then all of it is covered for as much again
    after = 2_000.0 * (math.sqrt(2.0) - 1.0)
    assert history.account_value[1] == pytest.approx(after, rel=1e-14)
    assert history.trades[0, 0] == pytest.approx(-0.05 * after, rel=1e-13)
    assert history.account_value[2] == pytest.approx(2.0 * after - 1_000.0, rel=1e-13)
    assert env.state[2] == 0.0


def test_a_turn_to_the_other_side_is_planned_as_one_trade():
    env = env_on(
        column(10.0, 10.0), 100.0, num_stock_shares=[20], **{**WEIGHTS, "initial_amount": 800.0}
    )
    history = play(env, [[-0.2]])
    # a = 1000 - (200 + .2 a)^2 / 1000, so .00004 a^2 + 1.08 a = 960
    after = (math.sqrt(1.08**2 + 4 * 0.00004 * 960.0) - 1.08) / 0.00008
    assert history.account_value[1] == pytest.approx(after, rel=1e-13)
    assert env.state[2] == pytest.approx(-0.02 * after, rel=1e-12)


def test_what_cannot_be_traded_shrinks_what_is_sold_short():
    env = env_on(
        [[10.0, 10.0]] * 2, 100.0, tradable=[[False, True]] * 2, num_stock_shares=[50, 0],
        **{**WEIGHTS, "initial_amount": 500.0},
    )  # fmt: skip
    history = play(env, [[0.0, -1.0]])
    # 500 are free: x + x^2 / 1000 = 500
    opened = 500.0 * (math.sqrt(3.0) - 1.0)
    assert history.trades[0].tolist() == [0.0, pytest.approx(-opened / 10.0, rel=1e-12)]


def test_a_planned_cover_ends_where_its_last_share_costs_its_worth_once_more():
    # half of the volume: 50 of 80, for 500 and 250; the rest on the next row, for 300 and 90
    env = goes_on(1_800.0, [-80], column(10.0, 10.0, 10.0), 100.0, **WEIGHTS)
    history = play(env, [[0.0], [0.0]])
    assert history.trades.ravel().tolist() == pytest.approx([50.0, 30.0], rel=1e-14)
    assert history.cash.tolist() == pytest.approx([1_800.0, 1_050.0, 660.0], rel=1e-14)
    assert env.state[2] == 0.0
    # nothing is opened on the other side before
    env = goes_on(1_800.0, [-80], column(10.0, 10.0), 100.0, **WEIGHTS)
    assert play(env, [[0.5]]).trades.ravel().tolist() == pytest.approx([50.0], rel=1e-14)
