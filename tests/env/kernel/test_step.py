import pickle
from pathlib import Path

import hypothesis.strategies as st
import numpy as np
import pytest
from env_markets import hand_market, random_market
from hypothesis import given, settings

from finrl_ray.env.kernel import order_sequence
from finrl_ray.env.kernel.arrays import as_read_only
from finrl_ray.env.kernel.compile import digest_of
from finrl_ray.env.kernel.order_rules import affordable, affordable_finrl, floor_quotient
from finrl_ray.env.kernel.sorting_network import sorting_network
from finrl_ray.env.kernel.step import PARTS, step_accounts
from finrl_ray.env.kernel.values import value_of
from finrl_ray.env.stock_trading import StockTradingEnv
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


def trading_order(orders, hmax, **options):
    """In which order buys fill: what each of them leaves decides what the next one gets."""
    n = len(orders)
    market = hand_market(np.full((3, n), 10.0), tickers=tuple(f"T{i:03d}" for i in range(n)))
    found = []
    for cash in np.cumsum(sorted(orders)[::-1]) * 10.0:
        env = StockTradingEnv(
            market, hmax=hmax, initial_amount=cash, buy_cost_pct=0.0, sell_cost_pct=0.0, **options
        )
        env.step(np.array(orders, dtype=np.float64) / hmax)
        filled = env.account_history.trades[0]
        found += [i for i in np.flatnonzero(filled) if i not in found]
    return found


# 4 tickers go through the sorting network, or are counted if orders are large or no whole numbers;
# 70 are sorted by digits
@pytest.mark.parametrize("n", [4, 64, 65, 70])
@pytest.mark.parametrize(
    ("hmax", "fractional"), [(64, False), (2**26, False), (64, True), (2**26, True)]
)
def test_largest_buys_go_first_and_of_equal_ones_the_first_ticker(n, hmax, fractional):
    steps = np.random.default_rng(n).integers(1, 5, n)
    orders = steps * hmax / 4 + (0.25 if fractional else 0.0)
    expected = sorted(range(n), key=lambda i: (-steps[i], i))
    assert trading_order(orders, hmax, fractional_shares=fractional) == expected


@pytest.mark.parametrize("n", [5, 40, 64, 65, 200])
@pytest.mark.parametrize(
    ("hmax", "fractional"), [(7, False), (300, False), (1e9, False), (5, True)]
)
def test_the_order_of_sells_decides_how_they_are_summed(n, hmax, fractional):
    rng = np.random.default_rng(n)
    close = np.tile(np.exp(rng.normal(0, 8, n)), (3, 1))
    market = hand_market(close, tickers=tuple(f"T{i:03d}" for i in range(n)))
    held = np.full(n, 2.0 * hmax)
    env = StockTradingEnv(
        market, hmax=hmax, num_stock_shares=held, initial_amount=1.0, fractional_shares=fractional
    )
    orders = -np.round(rng.uniform(0, 1, n), 1) * hmax
    env.step(orders / hmax)
    quantities = -orders if fractional else np.trunc(-orders)
    cash = 1.0
    for i in sorted(range(n), key=lambda i: (-quantities[i], i)):
        if quantities[i]:
            cash += close[0, i] * quantities[i] * (1.0 - 0.001)
    assert env.state[0] == cash


def test_a_sorting_network_sorts():
    for n in (1, 2, 3, 29, 33, 64):
        columns = np.random.default_rng(n).integers(0, 2, (n, 500)).astype(np.int32)
        expected = np.sort(columns, axis=0)
        order_sequence.sort_columns(columns, sorting_network(n), 500)
        np.testing.assert_array_equal(columns, expected)
    assert sorting_network(65).shape == (0, 2)


@pytest.mark.parametrize("margin", [-1e-6, -1e-9, -1e-12, -1e-16, 0.0, 1e-16, 1e-12, 1e-9, 1e-6])
def test_buys_at_the_limit_of_cash_are_what_the_division_gives(margin):
    rng = np.random.default_rng(3)
    prices, orders = rng.uniform(1, 500, (500, 1)), rng.integers(1, 200, 500)
    for price, order in zip(prices, orders, strict=True):
        cash = float(price[0] * order * 1.001 * (1.0 + margin))
        env = StockTradingEnv(hand_market([price, price]), hmax=200, initial_amount=cash)
        env.step(np.array([order / 200 + 1e-9]))
        quantity = affordable(float(order), cash, float(price[0]), 0.001, False)
        assert env.account_history.trades[0, 0] == quantity


def test_compiled_code_is_renewed_when_a_file_behind_it_changes(tmp_path):
    files = [module.__file__ for module in PARTS]
    folder = Path(step_accounts.py_func.__code__.co_filename).parent
    own_digest = {
        "__init__.py", "step.py", "target_weights.py", "short_weights.py", "compile.py",
    }  # fmt: skip
    not_compiled = {"sorting_network.py"}
    parts = {file.name for file in folder.glob("*.py")} - own_digest - not_compiled
    assert {Path(file).name for file in files} == parts
    (cell,) = step_accounts.py_func.__closure__
    assert cell.cell_contents == digest_of(*files)
    for k, file in enumerate(files):
        changed = tmp_path / Path(file).name
        changed.write_bytes(Path(file).read_bytes() + b"#")
        assert digest_of(*files[:k], changed, *files[k + 1 :]) != digest_of(*files)


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
        pickle.loads(pickle.dumps(env)).step(np.zeros((2, 3), dtype=np.float32))
        env.step(np.zeros((2, 3), dtype=np.float64))
    # the limits' type is None unless an option is on
    assert sum(str(signature[-1]) == "none" for signature in step_accounts.signatures) == 1
