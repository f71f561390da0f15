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
    assert [part.__name__.rsplit(".", 1)[1] for part in PARTS] == ["arrays", "order_rules"]
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
