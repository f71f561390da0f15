"""`action: target_weights`: numbers worked out by hand, and what holds in any market."""

import pickle
from functools import partial

import numpy as np
import pytest
from env_markets import another_future, column, hand_market, play, random_market

from finrl_ray.config.env import EnvConfig
from finrl_ray.env.make import create_env, make_env, make_vec_env
from finrl_ray.env.stock_trading import StockTradingEnv
from finrl_ray.env.vec_env import StockTradingVecEnv
from finrl_ray.errors import ConfigError

FLAT = [[10.0, 20.0]] * 4


def env_on(close, **options):
    market_options = {k: options.pop(k) for k in ("open_", "tradable", "risk") if k in options}
    free = {"initial_amount": 1_000.0, "buy_cost_pct": 0.0, "sell_cost_pct": 0.0}
    env = StockTradingEnv(
        hand_market(close, **market_options),
        **{"action": "target_weights", "no_trade_band": 0.0, **free, **options},
    )
    env.reset()
    return env


# -- from an action to weights -----------------------------------------------------------------


def test_weights_are_shares_of_the_account_and_the_rest_is_cash():
    history = play(env_on(FLAT), [[0.5, 0.2], [0.1, 0.6], [0.0, 0.0]])
    # 500 and 200 of 1000; then 100 and 600; then nothing
    assert history.trades.tolist() == [[50.0, 10.0], [-40.0, 20.0], [-10.0, -30.0]]
    assert history.cash.tolist() == [1000.0, 300.0, 300.0, 1000.0]


def test_a_sum_above_one_is_divided_by_it_and_numbers_are_clipped_to_0_and_1():
    # 1 and 0.25 are 0.8 and 0.2; 7 counts as 1 and -3 as 0
    history = play(env_on(FLAT), [[1.0, 0.25], [7.0, -3.0]])
    assert history.trades.tolist() == [[80.0, 10.0], [20.0, -10.0]]
    assert history.cash.tolist() == [1000.0, 0.0, 0.0, 0.0][: len(history.cash)]


@pytest.mark.parametrize("action", [1.0, 0.6, 1.0 / 3.0])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_equal_actions_of_at_least_one_nth_are_equal_weights(action, dtype):
    env = env_on([[10.0, 20.0, 30.0]] * 2, initial_amount=900.0, no_trade_band=None)
    env.step(np.full(3, action, dtype=dtype))
    assert env.account_history.trades.tolist() == [[30.0, 15.0, 10.0]]


def test_the_smallest_actions_are_all_cash():
    env = env_on(FLAT, num_stock_shares=[3, 4], no_trade_band=None)
    history = play(env, [[-1.0, 0.0]])
    assert history.trades.tolist() == [[-3.0, -4.0]]
    assert history.cash.tolist() == [1000.0, 1110.0]


def test_what_max_weight_cuts_off_stays_cash():
    history = play(env_on(FLAT, max_weight=0.3), [[1.0, 0.0], [1.0, 1.0], [0.9, 0.1]])
    assert history.trades.tolist() == [[30.0, 0.0], [0.0, 15.0], [0.0, -10.0]]
    assert history.cash.tolist() == [1000.0, 700.0, 400.0, 600.0]


def test_one_ticker():
    history = play(env_on(column(10.0, 20.0, 20.0, 5.0)), [[1.0], [0.25], [1.0]])
    # 100 at 10; a quarter of 2000 are 25 at 20; 500 + 1500 of cash buy 75 more
    assert history.trades.ravel().tolist() == [100.0, -75.0, 75.0]
    assert history.account_value.tolist() == [1000.0, 2000.0, 2000.0, 500.0]


# -- costs, whole and fractional shares --------------------------------------------------------


def test_weights_are_those_after_the_costs():
    env = env_on(FLAT, fractional_shares=True, buy_cost_pct=0.01, sell_cost_pct=0.02)
    history = play(env, [[0.5, 0.25]])
    # what is left, 1000 less a hundredth of the three quarters of it that are bought
    after = 1000.0 / 1.0075
    assert history.account_value[1] == pytest.approx(after, rel=1e-14)
    np.testing.assert_allclose(env.state[3:], [0.5 * after / 10.0, 0.25 * after / 20.0], rtol=1e-14)
    # 0.1 of A sold for 0.02, 0.7 of B bought for 0.01:
    # b = a - 0.02 * (0.5 a - 0.1 b) - 0.01 * (0.7 b - 0.25 a), so b (1 + .007 - .002) = .9925 a
    history = play(env, [[0.1, 0.7]])
    second = after * 0.9925 / 1.005
    assert history.account_value[2] == pytest.approx(second, rel=1e-14)
    assert history.cost[1] == pytest.approx(after - second, rel=1e-9)
    np.testing.assert_allclose(
        env.state[3:], [0.1 * second / 10.0, 0.7 * second / 20.0], rtol=1e-14
    )
    assert history.cash[2] == pytest.approx(0.2 * second, rel=1e-12)


@pytest.mark.parametrize("rate", [0.0, 0.001, 0.3, 0.9])
def test_all_in_spends_all_cash_whatever_the_costs(rate):
    env = env_on(FLAT, fractional_shares=True, buy_cost_pct=rate, sell_cost_pct=rate)
    history = play(env, [[0.5, 0.5], [0.9, 0.1], [0.2, 0.8]])
    assert np.all(history.cash[1:] <= 1e-9)
    assert np.all(history.cash >= 0.0)
    assert history.account_value[1] == pytest.approx(1000.0 / (1.0 + rate), rel=1e-14)
    np.testing.assert_allclose(np.diff(history.account_value), -history.cost, rtol=0, atol=1e-10)
    weights = np.array(env.state[3:]) * [10.0, 20.0] / history.account_value[-1]
    np.testing.assert_allclose(weights, [0.2, 0.8], rtol=1e-12)


def test_costs_may_differ_between_tickers():
    env = env_on(FLAT, fractional_shares=True, buy_cost_pct=[0.0, 0.1])
    play(env, [[0.5, 0.5]])
    after = 1000.0 / 1.05
    np.testing.assert_allclose(env.state[3:], [after / 20.0, after / 40.0], rtol=1e-14)


def test_whole_shares_are_rounded_toward_no_trade():
    # 333.33 and 333.33 of 1000 are 47.6 at 7 and 25.6 at 13; then 0.2 and 0.5 of 1000 (flat):
    # 47 - 28.57 = 18.43 sold, 38.46 - 25 = 13.46 bought
    history = play(env_on([[7.0, 13.0]] * 3), [[1 / 3, 1 / 3], [0.2, 0.5]])
    assert history.trades.tolist() == [[47.0, 25.0], [-18.0, 13.0]]
    assert history.cash.tolist() == [1000.0, 346.0, 346.0 + 126.0 - 169.0]


def test_whole_shares_that_rounding_errors_missed_are_whole():
    # 0.1 + 0.7 of 300 is 0.8 of it only up to rounding, and 0.29 * 100 is 28.999...
    history = play(env_on([[1.0, 1.0]] * 2, initial_amount=100.0), [[0.29, 0.57]])
    assert history.trades.tolist() == [[29.0, 57.0]]


def test_whole_sells_that_bring_less_than_planned_shrink_the_buys():
    # B at 30: 30 shares are 900 of 1000. Wanted 0.5 and 0.5: 400 / 30 = 13.3 are sold, 13 bring 390
    # and with 100 of cash pay for 490 of the 500 wanted, 98 at 5 instead of 100
    env = env_on([[5.0, 30.0]] * 2, initial_amount=100.0, num_stock_shares=[0, 30])
    history = play(env, [[0.5, 0.5]])
    assert history.trades.tolist() == [[98.0, -13.0]]
    assert history.cash[-1] == 0.0


def test_weight_0_sells_the_last_fraction_of_a_share_too():
    env = env_on(column(10.0, 10.0), num_stock_shares=[2.5])
    history = play(env, [[0.0]])
    assert history.trades.ravel().tolist() == [-2.5]
    assert history.cash[-1] == 1025.0


# -- the no-trade band -------------------------------------------------------------------------


def test_within_the_band_a_ticker_is_left_alone():
    env = env_on(FLAT, no_trade_band=0.1)
    # 0.1 and less are not bought; a change of 0.1 is within the band, one of 0.11 is not
    history = play(env, [[0.4, 0.1], [0.5, 0.3], [0.29, 0.21]])
    assert history.trades.tolist() == [[40.0, 0.0], [0.0, 15.0], [-11.0, 0.0]]


def test_weight_0_sells_within_the_band_too():
    env = env_on(FLAT, no_trade_band=0.5, num_stock_shares=[1, 0], initial_amount=990.0)
    history = play(env, [[0.0, 0.0]])
    assert history.trades.tolist() == [[-1.0, 0.0]]


@pytest.mark.parametrize(("n", "band"), [(1, 0.03), (4, 0.03), (10, 0.02), (20, 0.01)])
def test_the_default_band_leaves_equal_weights_reachable(n, band):
    inside = env_on([[1.0] * n] * 2, no_trade_band=None, initial_amount=10_000.0)
    inside.step(np.full(n, band))
    assert np.all(inside.account_history.trades == 0.0)
    outside = env_on([[1.0] * n] * 2, no_trade_band=None, initial_amount=10_000.0)
    outside.step(np.full(n, band * 1.01))
    assert np.all(outside.account_history.trades == np.floor(10_000 * band * 1.01))


def test_what_is_left_alone_shrinks_the_buys_to_what_cash_pays_for():
    options = {"no_trade_band": 0.1, "fractional_shares": True}
    market = [[10.0, 10.0, 10.0]] * 2
    env = env_on(market, num_stock_shares=[45, 0, 20], initial_amount=350.0, **options)
    # A has 0.45 and should have 0.4: left alone, 0.05 too much. B should get 0.6 of 1000, and C,
    # sold, brings 200: cash pays for 550
    history = play(env, [[0.4, 0.6, 0.0]])
    np.testing.assert_allclose(history.trades, [[0.0, 55.0, -20.0]], rtol=1e-12)
    assert 0.0 <= history.cash[-1] < 1e-9
    # with costs, and C going to 0.1 of what is left: the sell depends on what the buys cost
    costly = env_on(
        market,
        num_stock_shares=[45, 0, 30],
        initial_amount=250.0,
        buy_cost_pct=0.02,
        sell_cost_pct=0.01,
        **options,
    )
    history = play(costly, [[0.36, 0.54, 0.1]])
    after = history.account_value[-1]
    weights = np.array(costly.state[4:]) * 10.0 / after
    assert weights[0] * after == pytest.approx(450.0)
    assert weights[2] == pytest.approx(0.1, rel=1e-12)
    assert weights[1] < 0.54
    assert 0.0 <= history.cash[-1] < 1e-9
    assert after == pytest.approx(1000.0 - history.cost.sum(), rel=1e-14)


def test_several_buys_shrink_by_the_same_share():
    env = env_on(
        [[10.0, 10.0, 10.0]] * 2,
        num_stock_shares=[50, 0, 0],
        initial_amount=500.0,
        no_trade_band=0.2,
        fractional_shares=True,
    )
    # A keeps 500 though it should have 0.4: of 600 that B and C should get, cash pays for 5 in 6
    history = play(env, [[0.4, 0.3, 0.3]])
    np.testing.assert_allclose(history.trades, [[0.0, 25.0, 25.0]], rtol=1e-12)


# -- what zeros stand for ------------------------------------------------------------------------


def test_zeros_may_stand_for_equal_weights():
    market = [[10.0, 20.0]] * 5
    env = env_on(market, zero_action="equal_weights", fractional_shares=True)
    history = play(env, [[0.0, 0.0], [0.3, -0.6], [0.3, 0.1], [-0.5, -0.9]])
    # 1/2 each; 0.8 and -0.1; 0.8 and 0.6, divided by 1.4; 0 and -0.4
    shares = [[50.0, 25.0], [80.0, 0.0], [400 / 7, 150 / 7], [0.0, 0.0]]
    np.testing.assert_allclose(np.cumsum(history.trades, axis=0), shares, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(history.cash, [1000.0, 0.0, 200.0, 0.0, 1000.0], atol=1e-9)


def test_with_short_sales_zeros_stand_for_equal_weights_too():
    env = env_on(FLAT, zero_action="equal_weights", fractional_shares=True, short=True)
    history = play(env, [[0.0, 0.0], [0.2, -0.8]])
    # 1/2 each; 0.7 and -0.3
    np.testing.assert_allclose(history.trades, [[50.0, 25.0], [20.0, -40.0]], rtol=1e-12)


def test_one_ticker_alone_is_bought_whole_and_can_be_left():
    env = env_on([[10.0]] * 3, zero_action="equal_weights", fractional_shares=True)
    history = play(env, [[0.0], [-1.0]])
    np.testing.assert_allclose(history.trades, [[100.0], [-100.0]], rtol=1e-12)


def test_an_account_that_starts_with_zeros_is_the_one_that_is_told_equal_weights():
    market = random_market(40, 5)
    for actions in (np.zeros((39, 5)), np.random.default_rng(0).uniform(-0.4, 0.4, (39, 5))):
        told = play(env_of(market, "cash"), actions + 0.2)
        by_itself = play(env_of(market, "equal_weights"), actions)
        np.testing.assert_allclose(told.account_value, by_itself.account_value, rtol=1e-6)


def env_of(market, zero_action):
    return StockTradingEnv(
        market, action="target_weights", zero_action=zero_action, fractional_shares=True
    )


# -- a part of the way -------------------------------------------------------------------------


def test_a_step_goes_a_part_of_the_way_from_the_weight_that_is_held():
    history = play(env_on(FLAT, trade_rate=0.5), [[0.8, 0.0], [0.8, 0.2], [0.0, 0.9]])
    # half of 0.8; half of the way from 0.4 to 0.8 and from 0 to 0.2; from 0.6 to 0 and from 0.1
    # to 0.9
    assert history.trades.tolist() == [[40.0, 0.0], [20.0, 5.0], [-30.0, 20.0]]
    assert history.cash.tolist() == [1000.0, 600.0, 300.0, 200.0]


def test_the_part_is_that_of_the_weight_at_todays_price_and_costs_are_paid_out_of_it():
    close = [[10.0], [20.0], [20.0]]
    env = env_on(close, trade_rate=0.25, fractional_shares=True, buy_cost_pct=0.1)
    history = play(env, [[0.8], [1.0]])
    # 0.2 of the 980.39 that are left are 196.08; the price doubles: 392.16 of 1176.47, a third
    first = 1000.0 / 1.02
    value = first * 1.2
    weight = 1 / 3 + 0.25 * (1.0 - 1 / 3)
    assert history.account_value[1] == pytest.approx(value, rel=1e-14)
    # what is left is the value less a tenth of what is bought, (weight * left - value / 3)
    after = value * (1 + 0.1 / 3) / (1 + 0.1 * weight)
    assert history.account_value[2] == pytest.approx(after, rel=1e-14)
    assert env.state[2] == pytest.approx(weight * after / 20.0, rel=1e-14)


def test_the_band_is_judged_on_the_whole_way_and_the_end_of_the_way_to_0_is_sold():
    env = env_on([[10.0, 20.0]] * 6, no_trade_band=0.15, trade_rate=0.5)
    history = play(env, [[0.6, 0.1], [0.44, 0.2], [0.0, 0.0], [0.0, 0.0], [0.0, 0.0]])
    # 0.3 of the 0.6, and 0.1 is within the band; then 0.14 is within it, 0.2 is not; then 0.3 goes
    # to 0.15, and B's 0.1 is sold whole; then A's 0.15 is
    assert history.trades.tolist() == [
        [30.0, 0.0],
        [0.0, 5.0],
        [-15.0, -5.0],
        [-15.0, 0.0],
        [0.0, 0.0],
    ]


@pytest.mark.parametrize(
    ("lot_size", "expected"), [(None, [1.0] * 8 + [0.0]), ([3], [3.0, 3.0] + [0.0] * 7)]
)
def test_a_small_account_comes_near_in_steps_of_one_share_or_lot(lot_size, expected):
    # 80 of 100 are 8 shares, of which a twentieth is less than one
    env = env_on([[10.0]] * 11, initial_amount=100.0, trade_rate=0.05, lot_size=lot_size)
    history = play(env, [[0.8]] * 9)
    assert history.trades.ravel().tolist() == expected
    down = play(env, [[0.0]])
    assert down.trades.ravel()[-1] == -max(expected)


def test_the_whole_way_in_one_step_is_what_it_was_bit_for_bit():
    rng = np.random.default_rng(3)
    market = random_market(30, 4)
    one, other = (
        StockTradingVecEnv(market, 2, action="target_weights", **options)
        for options in ({}, {"trade_rate": 1.0})
    )
    for _ in range(25):
        actions = rng.uniform(-1, 1, (2, 4)).astype(np.float32)
        assert np.array_equal(one.step(actions)[0], other.step(actions)[0])


def test_a_smaller_part_trades_less_on_noise():
    rng = np.random.default_rng(3)
    actions = rng.uniform(0.0, 1.0, (27, 4))
    traded = []
    for rate in (1.0, 0.3, 0.1):
        env = StockTradingEnv(random_market(30, 4), action="target_weights", trade_rate=rate)
        env.reset()
        traded.append(play(env, actions).traded_amount[2:].sum())
    assert traded[0] > 2 * traded[1] > 4 * traded[2] > 0


# -- other rules on top ------------------------------------------------------------------------


def test_next_open_plans_with_the_close_and_fills_at_the_open():
    options = {"open_": [[9.0, 9.0], [8.0, 25.0], [10.0, 20.0]], "fill": "next_open"}
    env = env_on(FLAT[:3], **options)
    history = play(env, [[0.5, 0.5]])
    # planned 50 at 10 and 25 at 20; at the opens 50 cost 400, and 600 buy 24 at 25
    assert history.trades.tolist() == [[50.0, 24.0]]
    assert history.cash.tolist() == [1000.0, 0.0]
    assert history.account_value[1] == 50 * 10.0 + 24 * 20.0


def test_a_ticker_without_a_quote_keeps_what_it_holds():
    tradable = [[True, True], [False, True], [False, True], [True, True]]
    env = env_on(FLAT, tradable=tradable)
    history = play(env, [[0.5, 0.1], [0.0, 1.0], [0.0, 0.0]])
    # A's 500 stay; B should get all and gets the 500 that are left
    assert history.trades.tolist() == [[50.0, 5.0], [0.0, 20.0], [0.0, -25.0]]


def test_an_order_lapses_where_the_next_open_has_no_quote():
    env = env_on(
        FLAT,
        open_=FLAT,
        fill="next_open",
        tradable=[[True, True], [False, True]] + [[True] * 2] * 2,
    )
    history = play(env, [[0.5, 0.5], [0.5, 0.5], [0.5, 0.5]])
    assert history.trades.tolist() == [[0.0, 25.0], [0.0, 0.0], [50.0, 0.0]]


def test_lots():
    env = env_on(FLAT, lot_size=[20, 15])
    # 50 and 25 are 2 lots of 20 and one of 15; 40 - 10 = 30 sold is one lot of 20; 0 sells all
    history = play(env, [[0.5, 0.5], [0.1, 0.3], [0.0, 0.0]])
    assert history.trades.tolist() == [[40.0, 15.0], [-20.0, 0.0], [-20.0, -15.0]]


def test_odd_lots_can_be_sold_by_weight_0():
    env = env_on(FLAT, lot_size=20, num_stock_shares=[7, 0], hmax=1)
    assert play(env, [[0.0, 0.0]]).trades.tolist() == [[-7.0, 0.0]]


def test_fractional_lots():
    env = env_on(
        column(3.0, 3.0), lot_size=0.1, fractional_shares=True, initial_amount=1.0, hmax=0.01
    )
    # 0.9 is three tenths of a share, up to rounding
    assert play(env, [[0.9]]).trades[0, 0] == pytest.approx(0.3, abs=1e-12)


def test_a_ticker_that_cools_down_keeps_what_it_holds():
    env = env_on(FLAT, cooldown=1)
    history = play(env, [[0.5, 0.0], [0.0, 1.0], [0.0, 1.0]])
    # A is held for a day longer; B gets the cash that there is
    assert history.trades.tolist() == [[50.0, 0.0], [0.0, 25.0], [-50.0, 0.0]]


def test_a_stop_sells_whatever_the_weight_is():
    env = env_on([[10.0, 20.0], [8.0, 20.0], [8.0, 20.0]], stop_loss=0.9)
    history = play(env, [[0.5, 0.5], [0.5, 0.5]])
    # A is sold whole at 8. B has 500 of 900 and goes to half of them, 2.5 shares, whole: 2
    assert history.trades.tolist() == [[50.0, 25.0], [-50.0, -2.0]]


def test_turbulence_sells_all_and_buys_nothing():
    env = env_on(FLAT, risk=[0.0, 9.0, 9.0, 0.0], turbulence_threshold=5.0)
    history = play(env, [[0.5, 0.5], [0.5, 0.5], [0.5, 0.5]])
    assert history.trades.tolist() == [[50.0, 25.0], [-50.0, -25.0], [0.0, 0.0]]


def test_hmax_does_not_bound_weights():
    one, other = env_on(FLAT, hmax=1), env_on(FLAT, hmax=100_000)
    actions = [[0.7, 0.3], [0.1, 0.2], [0.9, 0.1]]
    assert play(one, actions).trades.tolist() == play(other, actions).trades.tolist()


# -- actions and spaces ------------------------------------------------------------------------


def test_the_action_space_is_that_of_orders():
    space = env_on(FLAT).action_space
    orders = env_on(FLAT, action="orders", no_trade_band=None).action_space
    assert space == orders
    assert (space.dtype, space.shape) == (np.float32, (2,))


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_actions_that_are_no_numbers_are_refused_and_nothing_is_traded(wrong):
    env = StockTradingVecEnv(random_market(), 2, action="target_weights")
    env.reset()
    actions = np.full((2, 3), 0.3)
    actions[1, 2] = wrong
    with pytest.raises(ValueError, match=f"actions must be finite, got {wrong} for T02 in account"):
        env.step(actions)
    assert env.get_attr("day") == [0, 0]
    assert env.get_attr("asset_memory") == [[1_000_000.0]] * 2
    with pytest.raises(ValueError, match=r"shape \(2, 3\) \(accounts, tickers\), got \(2, 4\)"):
        env.step(np.zeros((2, 4)))


def test_the_yaml_options_and_create_env_arrive():
    options = {
        "action": "target_weights",
        "zero_action": "equal_weights",
        "max_weight": 0.2,
        "no_trade_band": 0.01,
        "trade_rate": 0.5,
    }
    config = EnvConfig(**options)
    market = random_market()
    envs = [
        make_env(market, config),
        make_vec_env(market, config).envs[0],
        create_env(market, **options),
    ]
    for env in envs:
        assert tuple(env.accounts._weights) == (1 / 3, 0.2, 0.01, 0.5, False)
        assert env.accounts.rules.action == "target_weights"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"action": "weights"}, "action must be one of 'orders', 'target_weights', got 'weights'"),
        ({"max_weight": 0.0}, r"max_weight is a share .* within \(0, 1\], got 0.0"),
        ({"max_weight": 1.01}, "max_weight"),
        ({"max_weight": np.nan}, "max_weight"),
        ({"action": np.array(["orders", "orders"])}, "action must be one of 'orders'"),
        ({"max_weight": "much"}, r"must be numbers or None, got {'max_weight': 'much'}"),
        ({"max_weight": np.array([0.1, 0.2])}, "must be numbers or None, got {'max_weight': array"),
        ({"no_trade_band": -0.01}, r"no_trade_band .* within \[0, 1\), got -0.01"),
        ({"no_trade_band": 1.0}, "no_trade_band"),
        (
            {"action": "orders", "max_weight": 0.5},
            "max_weight must be left at the default, or action be 'target_weights', got .* 0.5",
        ),
        ({"trade_rate": 0.0}, r"trade_rate is a part of the way .* within \(0, 1\], got 0.0"),
        ({"trade_rate": 1.5}, "trade_rate"),
        ({"trade_rate": np.nan}, "trade_rate"),
        (
            {"action": "orders", "trade_rate": 0.5},
            "trade_rate must be left at the default, or action be 'target_weights', got trade_rate",
        ),
        ({"action": "orders", "no_trade_band": 0.0}, "no_trade_band must be left at the default"),
        ({"parity": True}, r"leave \['action'\] out"),
        ({"ties": "argsort"}, "target_weights, stop_loss, .* need the mended ties"),
        ({"clean_data": False}, "need the mended clean_data"),
    ],
)
def test_wrong_options_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        StockTradingEnv(random_market(), **{"action": "target_weights", **options})


# -- what holds in any market ------------------------------------------------------------------

MARKETS = 500


def drawn_env(seed, change=lambda market: market, n_envs=1):
    """A random market and random options; the actions are all sorts, all cash and all in among."""
    rng = np.random.default_rng(seed)
    n, halts = int(rng.integers(1, 7)), float(rng.choice([0.0, 0.15]))
    market = change(random_market(14, n, 1, seed=seed, halts=halts))
    costs = rng.choice([0.0, 0.001, 0.05], 2)
    options = {
        "initial_amount": float(rng.choice([300.0, 20_000.0, 1e7])),
        "buy_cost_pct": float(costs[0]),
        "sell_cost_pct": float(costs[1]),
        "fractional_shares": bool(rng.integers(2)),
        "zero_action": ["cash", "equal_weights"][seed % 2],
        "max_weight": float(rng.choice([1.0, 0.4])),
        "no_trade_band": [None, 0.0, 0.1][rng.integers(3)],
        "trade_rate": float(rng.choice([1.0, 0.3])),
        "fill": str(rng.choice(["close", "next_open"])),
        "num_stock_shares": [int(k) for k in rng.integers(0, 4, n)],
    }
    if rng.random() < 0.3:
        options |= {"lot_size": 2, "cooldown": 1, "stop_loss": 0.97}
    if rng.random() < 0.3:
        options["turbulence_threshold"] = 80.0
    env = StockTradingVecEnv(market, n_envs, action="target_weights", **options)
    env.reset()
    actions = rng.uniform(-1.0, 1.0, (13, n_envs, n)) ** rng.integers(1, 4)
    actions[rng.random(actions.shape) < 0.2] = 0.0
    actions[3], actions[8] = 1.0, -1.0
    return env, actions.astype(np.float32), options


@pytest.mark.parametrize("first", range(0, MARKETS, 100))
def test_invariants_in_random_markets(first):
    for seed in range(first, first + 100):
        env, actions, options = drawn_env(seed)
        close = env.accounts.table.market.close
        state = np.array(env.get_attr("state")[0])
        n = env.accounts.table.n_assets
        for step, action in enumerate(actions):
            before = state
            _, _, dones, infos = env.step(action)
            if dones[0]:
                history = infos[0]["account_history"]
                break
            state = np.array(env.get_attr("state")[0])
            cash, shares = state[0], state[1 + n : 1 + 2 * n]
            assert cash >= 0.0
            assert (shares >= 0.0).all()
            value = env.get_attr("asset_memory")[0][-1]
            assert value == pytest.approx(cash + close[step + 1] @ shares, rel=1e-9, abs=1e-9)
            traded = shares - before[1 + n : 1 + 2 * n]
            price = env.accounts.table.market.price[step + (options["fill"] == "next_open")]
            cost = env.accounts.books.ledger[0, step + 1, 3]
            # rounding makes no money: at unchanged prices the account has paid its costs
            paid = before[0] - cash - price @ traded
            assert paid == pytest.approx(cost, rel=1e-9, abs=1e-9 * value)
            expected = price @ (
                np.maximum(traded, 0) * options["buy_cost_pct"]
                + np.maximum(-traded, 0) * options["sell_cost_pct"]
            )
            assert cost == pytest.approx(expected, rel=1e-9, abs=1e-9)
            if not options["fractional_shares"] and "lot_size" not in options:
                assert (traded == np.round(traded)).all()
        assert len(history.account_value) == 14


@pytest.mark.parametrize("first", range(0, MARKETS, 100))
def test_no_order_depends_on_a_later_row(first):
    for seed in range(first, first + 100):
        row = 4 + seed % 8

        drawn = [
            drawn_env(seed),
            drawn_env(seed, partial(another_future, row=row)),
            drawn_env(seed, lambda market, row=row: market.rows(0, row + 2)),
        ]
        planned = []
        for env, actions, _ in drawn:
            for step in range(row):
                env.step(actions[step])
            assert env.get_attr("day") == [row]
            env.accounts._write_orders(actions[row])
            planned.append(env.accounts._orders.copy())
        assert np.array_equal(planned[0], planned[1])
        assert np.array_equal(planned[0], planned[2])


def test_weights_are_met_to_within_the_band_and_rounding():
    for seed in range(100):
        rng = np.random.default_rng(seed)
        n = int(rng.integers(1, 8))
        band = float(rng.choice([0.0, 0.02]))
        market = hand_market(rng.uniform(5.0, 50.0, (1, n)).repeat(9, axis=0))
        env = StockTradingEnv(
            market,
            action="target_weights",
            no_trade_band=band,
            fractional_shares=True,
            buy_cost_pct=float(rng.choice([0.0, 0.01, 0.2])),
            sell_cost_pct=float(rng.choice([0.0, 0.01, 0.2])),
        )
        env.reset()
        for _ in range(8):
            action = rng.uniform(-0.5, 1.0, n)
            wanted = np.clip(action, 0.0, 1.0)
            wanted /= max(1.0, wanted.sum())
            env.step(action)
            value = env.asset_memory[-1]
            met = np.array(env.state[1 + n :]) * market.close[0] / value
            if band == 0.0:
                np.testing.assert_allclose(met, wanted, atol=1e-12)
            assert (met[wanted == 0.0] == 0.0).all()
            assert met.sum() <= 1.0 + 1e-12


@pytest.mark.parametrize(
    "options", [{}, {"fractional_shares": True}, {"cooldown": 1}, {"trade_rate": 0.2}]
)
def test_a_resumed_episode_continues_bit_for_bit(options):
    market = random_market(30, 4)
    env, again = (
        StockTradingVecEnv(market, 3, action="target_weights", random_start=True, **options)
        for _ in range(2)
    )
    env.seed(4)
    env.reset()
    rng = np.random.default_rng(1)
    for _ in range(9):
        env.step(rng.uniform(-1, 1, (3, 4)).astype(np.float32))
    again.set_state(pickle.loads(pickle.dumps(env.get_state())))
    pickled = pickle.loads(pickle.dumps(env))
    for _ in range(40):
        actions = rng.uniform(-1, 1, (3, 4)).astype(np.float32)
        steps = [each.step(actions) for each in (env, again, pickled)]
        for other in steps[1:]:
            assert all(np.array_equal(steps[0][k], other[k]) for k in range(3))
