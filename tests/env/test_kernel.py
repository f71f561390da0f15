import hypothesis.strategies as st
import numpy as np
import pytest
from env_markets import random_market
from hypothesis import given, settings

from finrl_ray.env.arrays import as_read_only
from finrl_ray.env.kernel import (
    affordable,
    affordable_finrl,
    floor_quotient,
    sort_orders,
    step_accounts,
    value_of,
)
from finrl_ray.env.vec_env import StockTradingVecEnv


@given(
    cash=st.floats(-1.0, 1e12, allow_nan=False),
    unit=st.floats(1e-3, 1e6, allow_nan=False),
)
@settings(max_examples=300, deadline=None)
def test_floor_quotient_equals_python(cash, unit):
    assert floor_quotient(cash, unit) == cash // unit


def test_floor_quotient_on_exact_multiples():
    rng = np.random.default_rng(0)
    units = rng.uniform(0.1, 500, 20_000)
    counts = np.floor(rng.uniform(0, 1000, 20_000))
    for cash, unit in zip(units * counts, units, strict=True):
        assert floor_quotient(cash, unit) == cash // unit


def sequence_of(orders):
    values, n = np.array(orders, dtype=float), len(orders)
    sequence = np.full(n, -1)
    sort_orders(values, sequence, np.empty((2, n)), np.empty((2, n), dtype=np.int64))
    sells, buys = int((values < 0).sum()), int((values > 0).sum())
    return sequence[:sells].tolist(), sequence[n - buys :][::-1].tolist()


@pytest.mark.parametrize(
    ("orders", "sells", "buys"),
    [
        ([0, 0, 0], [], []),
        ([-1, -5, -3], [1, 2, 0], []),
        ([1, 5, 3], [], [1, 2, 0]),
        ([2, -2, 0, 7, -9], [4, 1], [3, 0]),
        # equal orders keep the order of the tickers
        ([3, -4, 3, -4, 3], [1, 3], [0, 2, 4]),
    ],
)
def test_largest_orders_go_first(orders, sells, buys):
    assert sequence_of(orders) == (sells, buys)


def test_order_equals_argsort_without_ties():
    orders = np.random.default_rng(1).permutation(np.arange(-20, 21)).astype(float)
    expected = np.argsort(orders)
    assert sequence_of(orders) == (expected[:20].tolist(), expected[::-1][:20].tolist())


def test_value_is_summed_left_to_right():
    shares = np.array([1.0, 1.0, 1.0])
    # 1e16 + 1 is 1e16 in float64, so the order of the sum shows
    assert value_of(0.0, shares, np.array([1e16, 1.0, -1e16])) == 0.0
    assert value_of(0.0, shares, np.array([1e16, -1e16, 1.0])) == 1.0


def test_affordable_never_exceeds_cash():
    rng = np.random.default_rng(2)
    for price, rate, count in zip(
        rng.uniform(0.5, 900, 5_000), rng.uniform(0, 0.02, 5_000), rng.integers(1, 400, 5_000),
        strict=True,
    ):  # fmt: skip
        cash = price * count * (1 + rate)
        for fractional in (False, True):
            quantity = affordable(1e9, cash, price, rate, fractional)
            assert quantity >= 0
            assert price * quantity * (1 + rate) <= cash * (1 + 1e-15)


def test_affordable_counts_whole_shares():
    assert affordable(100.0, 1000.0, 99.0, 0.01, False) == 10.0
    assert affordable(3.0, 1000.0, 99.0, 0.01, False) == 3.0
    assert affordable(100.0, 50.0, 99.0, 0.01, False) == 0.0
    assert affordable(100.0, -1e-9, 99.0, 0.01, False) == 0.0
    assert affordable(100.0, 50.0, 100.0, 0.0, True) == 0.5


def test_finrl_quantities_at_the_edges():
    assert affordable_finrl(7.0, 10.0, 0.0, 0.001, True) == 7.0
    assert np.isnan(affordable_finrl(7.0, 10.0, 0.0, 0.001, False))
    assert np.isnan(affordable_finrl(7.0, 0.0, 0.0, 0.001, True))
    # rounding can take FinRL's cash below 0; it then "buys" -1 share
    assert affordable_finrl(7.0, -1e-9, 50.0, 0.001, True) == -1.0


def test_read_only_arrays_are_shared_not_copied():
    array = np.zeros((3, 2))
    view = as_read_only(array)
    assert np.shares_memory(array, view)
    assert not view.flags.writeable
    assert array.flags.writeable


def test_all_envs_share_one_compilation():
    market = random_market()
    for options in ({}, {"parity": True}, {"fill": "next_open"}, {"record_trades": False}):
        env = StockTradingVecEnv(market, 2, **options)
        env.step(np.zeros((2, 3), dtype=np.float32))
        env.step(np.zeros((2, 3), dtype=np.float64))
    # the limits' type is None unless an option is on
    assert sum(str(signature[-1]) == "none" for signature in step_accounts.signatures) == 1
