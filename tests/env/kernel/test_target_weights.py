"""The compiled part of `action: target_weights`: one compilation, renewed with what it calls."""

import pickle

import numpy as np
import pytest
from env_markets import hand_market, random_market

from finrl_ray.env.kernel.compile import digest_of
from finrl_ray.env.kernel.target_weights import PARTS, in_units, plan_orders
from finrl_ray.env.stock_trading import StockTradingEnv
from finrl_ray.env.vec_env import StockTradingVecEnv


def test_compiled_code_is_renewed_when_a_file_behind_it_changes():
    assert [part.__name__.rsplit(".", 1)[1] for part in PARTS] == [
        "arrays",
        "order_rules",
        "slippage",
    ]
    (cell,) = plan_orders.py_func.__closure__
    assert cell.cell_contents == digest_of(*(part.__file__ for part in PARTS))


def test_all_envs_without_limits_share_one_compilation():
    market = random_market()
    for options in ({}, {"fill": "next_open"}, {"fractional_shares": True, "max_weight": 0.2}):
        env = StockTradingVecEnv(market, 2, action="target_weights", **options)
        env.step(np.zeros((2, 3), dtype=np.float32))
        pickle.loads(pickle.dumps(env)).step(np.zeros((2, 3), dtype=np.float64))
        env.step(np.zeros((3, 2)).T)
        single = StockTradingEnv(market, action="target_weights", **options)
        single.step(np.zeros(6)[::2])
    assert sum("none" in map(str, signature) for signature in plan_orders.signatures) == 1


@pytest.mark.parametrize(
    ("quantity", "expected"),
    [(0.0, 0.0), (2.9, 2.0), (3.0 - 1e-12, 3.0), (3.0 - 1e-6, 2.0), (1e9 - 0.5, 1e9), (7.2, 7.0)],
)
def test_whole_shares_are_rounded_down_but_for_rounding_errors(quantity, expected):
    assert in_units(quantity, None, 0, False) == expected
    assert in_units(quantity, None, 0, True) == quantity


def test_newton_meets_the_costs_of_any_rate():
    rng = np.random.default_rng(0)
    for _ in range(300):
        n = int(rng.integers(1, 9))
        buy, sell = rng.uniform(0.0, 0.99, (2, n))
        held = rng.integers(0, 50, n).astype(float)
        close = np.tile(rng.uniform(1.0, 40.0, n), (2, 1))
        env = StockTradingEnv(
            hand_market(close),
            action="target_weights",
            no_trade_band=0.0,
            fractional_shares=True,
            buy_cost_pct=buy,
            sell_cost_pct=sell,
            num_stock_shares=held,
            initial_amount=float(rng.uniform(1.0, 2_000.0)),
        )
        env.reset()
        wanted = rng.dirichlet(np.ones(n)) * rng.choice([1.0, 0.6])
        value = env.asset_memory[0]
        env.step(wanted)
        after = env.asset_memory[1]
        change = wanted * after - held * close[0]
        costs = np.maximum(change, 0.0) @ buy + np.maximum(-change, 0.0) @ sell
        assert after == pytest.approx(value - costs, rel=1e-12)
        np.testing.assert_allclose(
            np.array(env.state[1 + n :]) * close[0] / after, wanted, atol=1e-12
        )


def slow_orders(action, cash, shares, price, free, options):
    """Orders in fractions of shares, by bisection for what the account is worth afterwards."""
    zero = 1 / len(action) if options["zero_action"] == "equal_weights" else 0.0
    wanted = np.clip(action + zero, 0.0, 1.0)
    wanted = np.minimum(wanted / max(1.0, wanted.sum()), options["max_weight"])
    value = cash + shares @ price
    held = shares * price
    apart = np.abs(wanted - held / value) > options["no_trade_band"]
    moves = free & ((wanted == 0.0) | apart)
    part = held / value + options["trade_rate"] * (wanted - held / value)
    wanted = np.where(apart, part, wanted)

    def trade(after):
        change = np.where(moves, wanted * after - held, 0.0)
        sells, buys = np.maximum(-change, 0.0), np.maximum(change, 0.0)
        there = cash + sells.sum() - sells @ options["sell_cost_pct"]
        needed = buys.sum() + buys @ options["buy_cost_pct"]
        buys = buys * min(1.0, there / needed) if needed > 0 else buys
        cost = sells @ options["sell_cost_pct"] + buys @ options["buy_cost_pct"]
        return buys - sells, value - cost

    low, high = 0.0, value
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if trade(middle)[1] > middle else (low, middle)
    return trade(low)[0] / price


def test_orders_are_those_of_a_slow_solution():
    rng = np.random.default_rng(5)
    shrunk = 0
    for _ in range(400):
        n = int(rng.integers(1, 8))
        price = rng.uniform(1.0, 40.0, n)
        free = rng.random(n) < 0.8
        options = {
            "zero_action": str(rng.choice(["cash", "equal_weights"])),
            "max_weight": float(rng.choice([1.0, 0.5])),
            "no_trade_band": float(rng.choice([0.0, 0.05, 0.2])),
            "trade_rate": float(rng.choice([1.0, 0.4, 0.1])),
            "buy_cost_pct": rng.choice([0.0, 0.02, 0.2], n),
            "sell_cost_pct": rng.choice([0.0, 0.02, 0.2], n),
        }
        env = StockTradingEnv(
            hand_market([price, price], tradable=[free, free]),
            action="target_weights",
            fractional_shares=True,
            num_stock_shares=rng.integers(0, 30, n),
            initial_amount=float(rng.choice([1.0, 300.0, 2_000.0])),
            **options,
        )
        cash, shares = env.initial_amount, np.array(env.num_stock_shares, dtype=float)
        env.reset()
        action = rng.uniform(-0.5, 1.0, n)
        env.step(action)
        expected = slow_orders(action, cash, shares, price, free, options)
        value = cash + shares @ price
        np.testing.assert_allclose(
            env.account_history.trades[0] * price, expected * price, rtol=0, atol=1e-9 * value
        )
        left_alone = shares[expected == 0.0] @ price[expected == 0.0]
        shrunk += left_alone > 0 and bool((expected > 0).any()) and env.state[0] < 1e-9 * value
    assert shrunk > 20
