"""`short: true` with orders: costs, borrowing, margin and other rules, worked out by hand."""

import dataclasses
import math

import numpy as np
import pytest
from env_markets import column, hand_market, play

from finrl_ray.env.stock_trading import StockTradingEnv
from finrl_ray.env.vec_env import StockTradingVecEnv
from finrl_ray.metrics.registry import performance_summary

FLAT = [[10.0, 20.0]] * 5
FREE = {"initial_amount": 1_000.0, "buy_cost_pct": 0.0, "sell_cost_pct": 0.0, "borrow_rate": 0.0}


def env_on(close, **options):
    market_options = {k: options.pop(k) for k in ("open_", "tradable", "risk") if k in options}
    market = hand_market(close, **market_options)
    env = StockTradingEnv(market, **{"hmax": 100, "short": True, **FREE, **options})
    env.reset()
    return env


# -- orders ------------------------------------------------------------------------------------


def test_a_sell_beyond_what_is_held_opens_a_short_position_and_a_buy_covers_first():
    history = play(env_on(FLAT), [[0.3, 0.0], [-0.7, 0.0], [0.5, 0.0], [0.1, 0.0]])
    # 30 held; 70 sold: 30 of them held, 40 owed; 50 bought: 40 cover, 10 are new
    assert history.trades[:, 0].tolist() == [30.0, -70.0, 50.0, 10.0]
    assert history.cash.tolist() == [1000.0, 700.0, 1400.0, 900.0, 800.0]
    assert history.account_value.tolist() == [1000.0] * 5


def test_a_short_position_gains_where_the_price_falls_and_loses_where_it_rises():
    history = play(env_on(column(10.0, 8.0, 11.0)), [[-0.5], [0.0]])
    assert history.account_value.tolist() == [1000.0, 1100.0, 950.0]
    assert history.cash.tolist() == [1000.0, 1500.0, 1500.0]


def test_costs_are_paid_on_both_sides():
    env = env_on(column(10.0, 10.0, 10.0), buy_cost_pct=0.02, sell_cost_pct=0.01)
    history = play(env, [[-0.5], [0.5]])
    # 500 sold bring 495; 500 bought cost 510
    assert history.cash.tolist() == [1000.0, 1495.0, 985.0]
    assert history.cost.tolist() == [5.0, 10.0]
    assert history.traded_amount.tolist() == [500.0, 500.0]
    assert env.trades == 2


def test_openings_are_cut_where_positions_would_exceed_the_account_largest_first():
    # 80 A at 10 take 800 of 1000; 60 B short at 20 would take 1200: 10 of them fit
    history = play(env_on(FLAT), [[0.8, -0.6]])
    assert history.trades.tolist() == [[80.0, -10.0]]
    # the larger order first, whichever side it is on
    history = play(env_on(FLAT), [[0.3, -0.4]])
    assert history.trades.tolist() == [[20.0, -40.0]]
    # of equal ones the first ticker
    assert play(env_on(FLAT), [[-0.6, 0.6]]).trades.tolist() == [[-60.0, 20.0]]


def test_what_an_opening_costs_is_cut_too():
    # each share short takes 10 and the cost of its sale, 1: 1000 // 11 = 90
    history = play(env_on(column(10.0, 10.0), sell_cost_pct=0.1), [[-1.0]])
    assert history.trades.tolist() == [[-90.0]]
    assert history.cash[-1] == 1000.0 + 90 * 9.0
    # what is left, 910, covers 900
    assert history.account_value[-1] == 910.0


def test_what_reduces_positions_is_filled_before_what_opens_them():
    history = play(env_on(FLAT), [[-1.0, 0.0], [1.0, 0.5]])
    # all of the account is owed in A; the cover frees it for B, though B is the smaller order
    assert history.trades.tolist() == [[-100.0, 0.0], [100.0, 50.0]]
    history = play(env_on(FLAT), [[-1.0, 0.0], [0.4, -0.5]])
    # a cover of 40 frees 400: 20 B
    assert history.trades.tolist() == [[-100.0, 0.0], [40.0, -20.0]]


def test_a_price_rise_leaves_nothing_free_but_covers_can_be_paid():
    env = env_on([[10.0, 20.0], [15.0, 20.0], [15.0, 20.0], [15.0, 20.0]])
    history = play(env, [[-0.6, 0.0], [-0.1, 0.0], [0.6, 0.0]])
    # 1600 of cash less 900 owed are 700: no more than that may be owed or held together
    assert history.account_value.tolist() == [1000.0, 700.0, 700.0, 700.0]
    assert history.trades[:, 0].tolist() == [-60.0, 0.0, 60.0]


def test_fractions_of_shares():
    env = env_on(column(10.0, 10.0, 10.0), fractional_shares=True, hmax=1, sell_cost_pct=0.25)
    history = play(env, [[-0.5], [0.75]])
    assert history.trades.ravel().tolist() == [-0.5, 0.75]
    assert history.cash.tolist() == [1000.0, 1003.75, 996.25]


def test_lots_and_cool_down():
    env = env_on(column(10.0, 10.0, 10.0, 10.0), lot_size=20, num_stock_shares=[7])
    # 57 sold: the odd 7 held, and 50 more of which two lots are owed; 33 bought: one lot covers
    assert play(env, [[-0.57], [0.33], [0.2]]).trades.ravel().tolist() == [-47.0, 20.0, 20.0]
    env = env_on(column(*[10.0] * 5), cooldown=1)
    history = play(env, [[-0.5], [0.5], [0.5], [-0.5]])
    assert history.trades.ravel().tolist() == [-50.0, 0.0, 50.0, 0.0]


def test_a_ticker_without_a_quote_is_neither_sold_nor_covered():
    env = env_on(column(*[10.0] * 4), tradable=column(True, False, False, True))
    history = play(env, [[-0.5], [0.5], [-0.5]])
    assert history.trades.ravel().tolist() == [-50.0, 0.0, 0.0]


# -- the price of borrowing --------------------------------------------------------------------


def test_borrowed_shares_cost_their_rate_for_the_days_that_have_passed():
    market = hand_market(column(10.0, 20.0, 5.0), start="2021-01-01")
    dates = np.array(["2021-01-01", "2021-01-04", "2021-01-05"], dtype="datetime64[ns]")
    market = dataclasses.replace(market, dates=dates)
    env = StockTradingEnv(market, **{**FREE, "short": True, "borrow_rate": 0.365})
    env.reset()
    history = play(env, [[-0.25], [0.0]])
    # 25 owed: at 20 for three days, 500 * .001 * 3; at 5 for one, 125 * .001
    assert history.cost.tolist() == pytest.approx([1.5, 0.125], rel=1e-12)
    assert history.cash.tolist() == pytest.approx([1000.0, 1248.5, 1248.375], rel=1e-12)
    assert history.account_value.tolist() == pytest.approx([1000.0, 748.5, 1123.375], rel=1e-12)
    assert history.traded_amount.tolist() == [250.0, 0.0]


def test_the_close_at_which_a_position_is_covered_costs_for_the_days_before_it_only():
    env = env_on(column(10.0, 10.0, 10.0), borrow_rate=3.65)
    history = play(env, [[-0.1], [0.1]])
    assert history.cost.tolist() == pytest.approx([1.0, 0.0], rel=1e-12)


# -- margin ------------------------------------------------------------------------------------


def test_a_forced_cover_at_the_close_that_breaks_the_margin():
    # 80 owed at 10, cash 1800. At 18 the account is 360, a quarter of 1440; at 18.5 it is 320
    env = env_on(column(10.0, 18.0, 18.5, 18.5, 18.5), maintenance_margin=0.25)
    history = play(env, [[-0.8], [0.0], [-0.5], [-0.1]])
    # covered at 18.5, and the order of that step is dropped; the next is taken again
    assert history.trades.ravel().tolist() == [-80.0, 0.0, 80.0, -10.0]
    assert history.account_value.tolist() == [1000.0, 360.0, 320.0, 320.0, 320.0]
    assert history.cash.tolist() == [1000.0, 1800.0, 1800.0, 320.0, 505.0]


def test_with_next_open_a_forced_cover_fills_at_the_open_after():
    env = env_on(
        column(10.0, 18.5, 18.0, 18.0),
        open_=column(9.0, 10.0, 20.0, 18.0),
        fill="next_open",
        buy_cost_pct=0.01,
    )
    history = play(env, [[-0.8], [0.0]])
    # owed at 10, 320 < 370 at the close of the second day, covered at 20 and 1 %
    assert history.trades.ravel().tolist() == [-80.0, 80.0]
    assert history.cash.tolist() == [1000.0, 1800.0, 184.0]
    assert history.cost.tolist() == [0.0, 16.0]


def test_longs_are_sold_first_as_far_as_cash_is_needed():
    closes = [[10.0, 10.0, 50.0]] * 2 + [[5.0, 24.0, 50.0]] * 2
    weights = {"action": "target_weights", "no_trade_band": 0.0}
    env = env_on(closes, maintenance_margin=1.0, **weights)
    history = play(env, [[0.1, -0.5, 0.4], [0.1, -0.5, 0.4], [0.1, -0.5, 0.4]])
    # cash 1000, B owes 1200, C is worth 400, A 50: the account is 250, a margin of 1200 is wanted.
    # 200 are missing: C, worth most, 4 of 8 shares
    assert history.trades.tolist() == [[10.0, -50.0, 8.0], [0.0, 0.0, 0.0], [0.0, 50.0, -4.0]]
    assert history.cash[-1] == 0.0
    assert history.account_value[-1] == 250.0


def test_a_forced_cover_waits_for_a_quote():
    env = env_on(column(10.0, 18.5, 18.5, 18.5), tradable=column(True, False, True, True))
    history = play(env, [[-0.8], [0.0], [0.0]])
    assert history.trades.ravel().tolist() == [-80.0, 0.0, 80.0]


@pytest.mark.parametrize(
    "reward", ["account_change", "log_return", "active", "differential_sharpe"]
)
def test_an_account_that_has_lost_all_ends_and_is_never_below_zero(reward):
    env = env_on(column(10.0, 10.0, 30.0, 5.0, 5.0), reward=reward, reward_scaling=1.0)
    env.step(np.array([-1.0]))
    _, paid, terminated, truncated, info = env.step(np.array([0.0]))
    # 2000 of cash and 3000 owed
    assert (terminated, truncated) == (True, False)
    assert math.isfinite(paid)
    history = info["account_history"]
    assert history.account_value.tolist() == [1000.0, 1000.0, 1e-9, 1e-9, 1e-9]
    assert history.cash.tolist() == [1000.0, 2000.0, 1e-9, 1e-9, 1e-9]
    # the broker closes what is left
    assert history.trades.ravel().tolist() == [-100.0, 100.0, 0.0, 0.0]
    assert env.asset_memory == [1000.0, 1000.0, 1e-9]
    assert env.state[2] == 0.0
    if reward == "account_change":
        assert paid == 1e-9 - 1000.0
    if reward == "log_return":
        assert paid == math.log(1e-12)
        assert sum(history.rewards) == pytest.approx(math.log(1e-9 / 1000.0))
    if reward == "active":  # buy & hold has 100 shares, which go from 10 to 30
        assert paid == pytest.approx(math.log(1e-12) - math.log(3.0))
    # what it owed counts as invested
    assert history.position_value.tolist() == [0.0, 1000.0, 0.0, 0.0, 0.0]
    measures = performance_summary(
        history.account_value,
        position_value=history.position_value,
        benchmark_value=history.benchmark_value,
    )
    assert all(map(math.isfinite, measures.values()))
    assert measures["exposure"] == 0.25
    with pytest.raises(RuntimeError, match="the episode has ended"):
        env.step(np.array([0.0]))
    observation, _ = env.reset()
    assert observation[0] == 1000.0


def test_a_vec_env_says_that_such_an_episode_was_not_cut_off():
    market = hand_market(column(10.0, 10.0, 30.0, 5.0, 5.0))
    env = StockTradingVecEnv(market, 2, short=True, **FREE)
    env.reset()
    env.step(np.array([[-1.0], [0.1]]))
    _, _, dones, infos = env.step(np.array([[0.0], [0.0]]))
    assert dones.tolist() == [True, False]
    assert infos[0]["TimeLimit.truncated"] is False
    assert infos[0]["episode"]["l"] == 2
    assert infos[0]["terminal_observation"].tolist() == pytest.approx([1e-9, 30.0, 0.0])
    assert env.get_attr("day") == [0, 2]
    for _ in range(2):
        _, _, dones, infos = env.step(np.array([[0.0], [0.0]]))
    assert infos[1]["TimeLimit.truncated"] is True


def test_an_account_that_loses_all_on_the_last_day_is_not_cut_off_either():
    env = env_on(column(10.0, 30.0))
    *_, terminated, truncated, _ = env.step(np.array([-1.0]))
    assert (terminated, truncated) == (True, False)


# -- other rules on top ------------------------------------------------------------------------


def test_the_stop_of_a_short_position_is_a_rise_and_its_profit_a_fall():
    env = env_on(column(10.0, 11.0, 11.1, 11.1), stop_loss=0.9)
    # 11 is at the loss of 10 %, 11.1 beyond it; the order is dropped
    assert play(env, [[-0.5], [0.0], [-0.2]]).trades.ravel().tolist() == [-50.0, 0.0, 50.0]
    env = env_on(column(10.0, 8.1, 8.0, 8.0), stop_loss=0.9, profit_loss_ratio=2.0)
    assert play(env, [[-0.5], [0.0], [-0.2]]).trades.ravel().tolist() == [-50.0, 0.0, 50.0]


def test_the_average_sale_price_is_weighted_and_starts_anew_on_the_other_side():
    # 10 at 10 and 10 at 14: 12 on average, stopped above 18
    env = env_on(column(10.0, 14.0, 18.0, 18.1, 18.1), stop_loss=0.5, hmax=10)
    history = play(env, [[-1.0], [-1.0], [0.0], [0.0]])
    assert history.trades.ravel().tolist() == [-10.0, -10.0, 0.0, 20.0]
    # 10 long at 10, turned at 20: stopped above 22, and then long at 22.1
    env = env_on(column(10.0, 20.0, 22.0, 22.1, 22.1), stop_loss=0.9, hmax=20)
    history = play(env, [[0.5], [-1.0], [0.0], [0.0]])
    assert history.trades.ravel().tolist() == [10.0, -20.0, 0.0, 10.0]


def test_turbulence_closes_both_sides_and_opens_nothing():
    env = env_on(FLAT, risk=[0.0, 9.0, 9.0, 0.0, 0.0], turbulence_threshold=5.0)
    history = play(env, [[0.4, -0.2], [0.5, -0.5], [-0.5, 0.5], [0.1, 0.0]])
    assert history.trades.tolist() == [[40.0, -20.0], [-40.0, 20.0], [0.0, 0.0], [10.0, 0.0]]


def test_the_cash_penalty_counts_the_cash_of_short_sales():
    env = env_on(column(10.0, 10.0), cash_penalty_proportion=0.9, reward_scaling=1.0)
    assert env.step(np.array([-0.5]))[1] == 0.0


def test_cash_below_0_is_no_penalty_where_there_is_none():
    # 500 are covered with 100, because what is held has no quote: cash is -400 and the account 200
    state = [100.0, 10.0, 10.0, -50.0, 60.0]
    env = env_on(
        [[10.0, 10.0]] * 3,
        tradable=[[True, False]] * 3,
        maintenance_margin=0.9,
        initial=False,
        previous_state=state,
        reward_scaling=1.0,
    )
    assert env.step(np.zeros(2))[1] == 0.0
    assert (env.state[0], env.asset_memory[-1]) == (-400.0, 200.0)
