"""Worked numbers: every expected value here is computed by hand in the test."""

import numpy as np
import pytest
from env_markets import hand_market, random_market

from finrl_ray.env.stock_trading import StockTradingEnv
from finrl_ray.env.vec_env import StockTradingVecEnv
from finrl_ray.errors import ConfigError, DataError


def run(env, actions):
    env.reset()
    return [env.step(np.array(action, dtype=np.float64)) for action in actions]


def test_buy_and_hold_by_hand():
    market = hand_market([[10.0, 20.0], [11.0, 19.0], [12.0, 25.0]])
    env = StockTradingEnv(
        market, hmax=10, initial_amount=1000.0, buy_cost_pct=0.01, reward_scaling=0.5
    )
    results = run(env, [[1.0, 0.5], [0.0, 0.0]])
    # 10 shares at 10 and 5 at 20, 1 % cost each: 100 + 100 + 2
    cash = 1000 - 202
    assert env.asset_memory == pytest.approx([1000, cash + 110 + 95, cash + 120 + 125], rel=1e-15)
    assert [r[1] for r in results] == pytest.approx([0.5 * 3, 0.5 * 40], rel=1e-12)
    assert env.cost == pytest.approx(2.0)
    assert env.trades == 2
    assert env.state == [cash, 12.0, 25.0, 10.0, 5.0]
    assert [tuple(r[2:4]) for r in results] == [(False, False), (False, True)]


def test_history_by_hand():
    market = hand_market([[10.0, 20.0], [11.0, 19.0], [12.0, 25.0]])
    env = StockTradingEnv(
        market, hmax=10, initial_amount=1000.0, buy_cost_pct=0.01, sell_cost_pct=0.02
    )
    results = run(env, [[1.0, 0.5], [-0.4, 0.0]])
    assert results[0][4] == {}
    history = results[1][4]["account_history"]
    sold = 4 * 11 * 0.98
    assert history.tickers == ("A", "B")
    assert history.dates.tolist() == market.dates.tolist()
    np.testing.assert_allclose(history.cash, [1000, 798, 798 + sold], rtol=1e-15)
    np.testing.assert_allclose(history.account_value, [1000, 1003, 798 + sold + 72 + 125])
    np.testing.assert_allclose(history.rewards, np.diff(history.account_value))
    np.testing.assert_allclose(history.cost, [2.0, 0.88])
    np.testing.assert_allclose(history.traded_amount, [200.0, 44.0])
    np.testing.assert_array_equal(history.trades, [[10, 5], [-4, 0]])
    assert (history.n_trades, history.initial_amount) == (3, 1000.0)


def test_cash_goes_to_the_largest_order_first():
    market = hand_market([[10.0, 10.0, 10.0]] * 2)
    env = StockTradingEnv(market, hmax=10, initial_amount=150.0, buy_cost_pct=0.0)
    run(env, [[0.8, 1.0, 0.9]])
    assert env.account_history.trades.tolist() == [[0, 10, 5]]
    assert env.trades == 2


def test_sells_pay_for_buys_of_the_same_day():
    market = hand_market([[10.0, 10.0]] * 2)
    env = StockTradingEnv(
        market,
        hmax=10,
        initial_amount=1.0,
        num_stock_shares=[5, 0],
        buy_cost_pct=0.0,
        sell_cost_pct=0.0,
    )
    run(env, [[-1.0, 1.0]])
    # only 5 held; 50 + 1 of cash buy 5
    assert env.account_history.trades.tolist() == [[-5, 5]]
    assert env.state[0] == 1.0


def test_orders_are_truncated_toward_zero():
    market = hand_market([[10.0, 10.0, 10.0]] * 2)
    env = StockTradingEnv(market, hmax=10, num_stock_shares=[5, 5, 5])
    run(env, [[0.19, -0.19, 0.09]])
    assert env.account_history.trades.tolist() == [[1, -1, 0]]


def test_float32_actions_are_multiplied_in_float32():
    market = hand_market([[10.0]] * 3)
    env = StockTradingEnv(market, hmax=100)
    env.reset()
    # 0.29 is 0.28999999165 in float32, but times 100 in float32 it is 29 again
    env.step(np.array([0.29], dtype=np.float32))
    env.step(np.array([np.float32(0.29)], dtype=np.float64))
    assert env.account_history.trades.tolist() == [[29], [28]]


def test_next_open_fills_at_the_next_open():
    market = hand_market(
        [[10.0], [12.0], [13.0]], open_=[[9.0], [11.0], [12.5]], tradable=[[1], [1], [1]]
    )
    env = StockTradingEnv(
        market, hmax=10, initial_amount=1000.0, buy_cost_pct=0.01, fill="next_open"
    )
    results = run(env, [[1.0], [-0.5]])
    cash = 1000 - 10 * 11 * 1.01
    assert env.asset_memory[1] == pytest.approx(cash + 10 * 12)
    after = cash + 5 * 12.5 * (1 - 0.001)
    assert env.asset_memory[2] == pytest.approx(after + 5 * 13)
    assert results[1][3] is True


def test_next_open_affordability_is_checked_at_the_fill():
    market = hand_market([[10.0], [12.0]], open_=[[10.0], [20.0]])
    env = StockTradingEnv(market, hmax=10, initial_amount=100.0, buy_cost_pct=0.0, fill="next_open")
    run(env, [[1.0]])
    assert env.account_history.trades.tolist() == [[5]]
    assert env.state[0] == 0.0


def test_next_open_does_not_fill_without_a_quote():
    market = hand_market(
        [[10.0, 10.0]] * 3,
        open_=[[10.0, 10.0], [np.nan, 10.0], [10.0, 10.0]],
        tradable=[[1, 1], [0, 1], [1, 1]],
    )
    env = StockTradingEnv(market, hmax=10, fill="next_open")
    run(env, [[1.0, 1.0], [1.0, 1.0]])
    assert env.account_history.trades.tolist() == [[0, 10], [10, 10]]


def test_next_open_needs_open_prices():
    with pytest.raises(ConfigError, match="needs an open price"):
        StockTradingEnv(hand_market([[10.0], [11.0]]), fill="next_open")
    with pytest.raises(DataError, match=r"open of A .* must be positive"):
        StockTradingEnv(hand_market([[10.0], [11.0]], open_=[[10.0], [0.0]]), fill="next_open")


def test_untradable_ticker_is_valued_but_not_traded():
    market = hand_market([[10.0], [10.0], [11.0], [12.0]], tradable=[[1], [0], [1], [1]])
    env = StockTradingEnv(market, hmax=10, initial_amount=1000.0, buy_cost_pct=0.0)
    run(env, [[1.0], [-1.0], [0.0]])
    assert env.account_history.trades.tolist() == [[10], [0], [0]]
    assert env.asset_memory == [1000.0, 1000.0, 1010.0, 1020.0]
    assert env.trades == 1


def test_fractional_shares():
    market = hand_market([[30.0, 7.0], [33.0, 7.0]])
    env = StockTradingEnv(
        market, hmax=10, initial_amount=100.0, buy_cost_pct=0.0, fractional_shares=True
    )
    run(env, [[0.125, 1.0]])
    # 10 x 7 first (the larger order), then 1.25 shares would cost 37.5 of the 30 left
    assert env.account_history.trades.tolist() == [[1.0, 10.0]]
    assert env.state[0] == 0.0
    env = StockTradingEnv(
        market, hmax=10, initial_amount=100.0, buy_cost_pct=0.0, fractional_shares=True
    )
    run(env, [[0.125, -1.0]])
    assert env.account_history.trades.tolist() == [[1.25, 0.0]]
    assert env.asset_memory[1] == 100.0 + 1.25 * 3


@pytest.mark.parametrize("fractional", [False, True])
def test_cash_is_never_negative_and_value_is_conserved(fractional):
    market = random_market(200, 4, 1, seed=5)
    env = StockTradingEnv(market, hmax=500, initial_amount=20_000.0, fractional_shares=fractional)
    rng = np.random.default_rng(6)
    run(env, rng.uniform(-1, 1, (199, 4)))
    history = env.account_history
    assert (history.cash >= 0).all()
    held = history.trades.cumsum(axis=0)
    assert (held >= -1e-9).all()
    value = history.cash[1:] + (held * market.close[1:]).sum(axis=1)
    np.testing.assert_allclose(history.account_value[1:], value, rtol=1e-9)
    # without costs the account would have what it paid: cash changes by flows and costs alone
    flows = -(history.trades * market.close[:-1]).sum(axis=1) - history.cost
    np.testing.assert_allclose(np.diff(history.cash), flows, atol=1e-6)


def test_turbulence_sells_everything_and_buys_nothing():
    market = hand_market([[10.0, 10.0]] * 4, risk=[0.0, 80.0, 0.0, 0.0])
    env = StockTradingEnv(
        market,
        hmax=2,
        initial_amount=1000.0,
        buy_cost_pct=0.0,
        sell_cost_pct=0.1,
        num_stock_shares=[7, 0],
        turbulence_threshold=80.0,
    )
    env.reset()
    env.step(np.array([1.0, 1.0]))
    assert env.turbulence == 80.0
    env.step(np.array([1.0, 1.0]))
    env.step(np.array([0.5, 0.0]))
    # 9 and 2 sold whole although hmax is 2
    assert env.account_history.trades.tolist() == [[2, 2], [-9, -2], [1, 0]]
    assert env.cost == pytest.approx(0.1 * 110)


def test_first_day_risk_counts():
    market = hand_market([[10.0]] * 3, risk=[90.0, 0.0, 0.0])
    options = {"hmax": 2, "num_stock_shares": [5], "turbulence_threshold": 80.0}
    env = StockTradingEnv(market, **options)
    run(env, [[1.0], [1.0]])
    assert env.account_history.trades.tolist() == [[-5], [2]]
    env = StockTradingEnv(market, **options, first_day_risk=False)
    run(env, [[1.0], [1.0]])
    assert env.account_history.trades.tolist() == [[2], [2]]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("parity", [False, True])
def test_non_finite_actions_name_account_and_ticker(bad, parity):
    env = StockTradingVecEnv(random_market(), 3, parity=parity)
    env.reset()
    actions = np.zeros((3, 3), dtype=np.float32)
    actions[1, 2] = bad
    with pytest.raises(ValueError, match=r"actions must be finite.* T02 in account 1"):
        env.step(actions)


def test_wrong_action_shape_is_refused():
    env = StockTradingEnv(random_market())
    env.reset()
    with pytest.raises(ValueError, match="actions must have shape"):
        env.step(np.zeros(4))


def test_per_ticker_costs_and_hmax():
    market = hand_market([[10.0, 10.0]] * 2)
    env = StockTradingEnv(
        market, hmax=[4, 8], initial_amount=1000.0, buy_cost_pct=[0.0, 0.5], reward_scaling=1.0
    )
    results = run(env, [[1.0, 1.0]])
    assert env.account_history.trades.tolist() == [[4, 8]]
    assert results[0][1] == -40.0
    assert env.hmax == [4, 8]
    assert env.buy_cost_pct == [0.0, 0.5]
