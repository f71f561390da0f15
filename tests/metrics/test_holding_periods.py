"""How long positions are held: worked by hand, and beside a queue of single shares."""

import json
import math
from collections import deque

import numpy as np
import pytest

from finrl_ray.errors import DataError
from finrl_ray.metrics.holding_periods import HoldingPeriods, holding_periods


def of(trades: list[list[float]], price: list[list[float]] | None = None) -> HoldingPeriods:
    bought = np.array(trades, dtype=float)
    unit = np.ones_like(bought) if price is None else np.array(price, dtype=float)
    return holding_periods(bought, unit)


def test_two_positions_of_one_ticker() -> None:
    # 10 shares over 2 closes; 5 over 1, and 15 over 3 more to the end
    found = of([[10], [0], [-10], [5], [10], [0], [0]])
    assert found.n_positions == 2
    assert found.n_open == 1
    assert found.mean_days == pytest.approx((2 + 4) / 2)
    assert found.median_days == pytest.approx(3)
    # 10 shares stay 2, 5 stay 4, 10 stay 3
    assert found.mean_days_of_money == pytest.approx((10 * 2 + 5 * 4 + 10 * 3) / 25)


def test_mean_and_median_differ_over_tickers() -> None:
    # A is held 1 and 1, B 6
    found = of([[1, 2], [-1, 0], [1, 0], [-1, 0], [0, 0], [0, 0]])
    assert (found.n_positions, found.n_open) == (3, 1)
    assert found.mean_days == pytest.approx(8 / 3)
    assert found.median_days == pytest.approx(1)
    assert found.mean_days_of_money == pytest.approx((1 + 1 + 2 * 6) / 4)


def test_tickers_are_weighed_by_their_price() -> None:
    price = [[1, 30], [3, 10], [2, 20]]  # 2 and 20 on average
    found = of([[1, 1], [-1, 0], [0, 0]], price)
    assert found.mean_days_of_money == pytest.approx((2 * 1 + 20 * 3) / 22)


def test_a_turn_from_long_to_short_ends_a_position_and_begins_one() -> None:
    found = of([[4], [0], [-10], [0], [6]])
    assert (found.n_positions, found.n_open) == (2, 0)
    assert found.mean_days == pytest.approx(2)
    # 4 long shares for 2 closes, 6 owed for 2
    assert found.mean_days_of_money == pytest.approx((4 * 2 + 6 * 2) / 10)


def test_buy_and_hold_is_held_to_the_end() -> None:
    trades = np.zeros((100, 3))
    trades[0] = [1.0, 2.0, 3.0]
    found = holding_periods(trades, np.full((100, 3), 7.0))
    assert (found.n_positions, found.n_open) == (3, 3)
    assert found.mean_days == found.median_days == found.mean_days_of_money == 100.0


def test_fractions_that_do_not_come_to_zero_are_closed() -> None:
    found = of([[0.1], [0.2], [-0.3], [0.0]])  # 0.1 + 0.2 - 0.3 is not 0
    assert (found.n_positions, found.n_open) == (1, 0)
    assert found.mean_days == pytest.approx(2)


def by_a_queue(trades: np.ndarray) -> tuple[list[int], list[int]]:
    """Return the closes of each position, and those of each share, sold first in, first out."""
    positions, shares = [], []
    for column in trades.T.astype(int):
        open_since: deque[int] = deque()
        began = None
        for step, traded in enumerate(column):
            for _ in range(max(traded, 0)):
                open_since.append(step)
            shares += [step - open_since.popleft() for _ in range(max(-traded, 0))]
            if open_since and began is None:
                began = step
            if not open_since and began is not None:
                positions.append(step - began)
                began = None
        shares += [len(column) - since for since in open_since]
        if began is not None:
            positions.append(len(column) - began)
    return positions, shares


@pytest.mark.parametrize("seed", range(5))
def test_it_is_what_a_queue_of_shares_says(seed: int) -> None:
    rng = np.random.default_rng(seed)
    trades = np.zeros((60, 4))
    held = np.zeros(4, dtype=int)
    for row in trades:
        row[:] = rng.integers(-held, 4) * (rng.random(4) < 0.5)
        held += row.astype(int)
    positions, shares = by_a_queue(trades)
    found = holding_periods(trades, np.full(trades.shape, 5.0))
    assert found.n_positions == len(positions) > 4
    assert found.mean_days == pytest.approx(np.mean(positions))
    assert found.median_days == pytest.approx(np.median(positions))
    assert found.mean_days_of_money == pytest.approx(np.mean(shares))
    # owed shares are counted alike
    mirrored = holding_periods(-trades, np.full(trades.shape, 5.0))
    assert mirrored == found


def test_without_a_trade_nothing_is_known() -> None:
    found = of([[0.0, 0.0]])
    assert (found.n_positions, found.n_open) == (0, 0)
    assert math.isnan(found.mean_days)
    assert math.isnan(found.mean_days_of_money)
    assert found.sentence() == "no position was opened"
    assert holding_periods(np.zeros((0, 2)), np.zeros((0, 2))).n_positions == 0


def test_it_is_said_in_one_sentence() -> None:
    assert of([[10], [0], [-10], [5], [10], [0], [0]]).sentence() == (
        "2 positions were held for 3.0 days on average (median 3.0, 1 of them to the end); money "
        "that was put into one stayed 2.8 days on average"
    )
    assert of([[1], [-1]]).sentence().startswith("1 position was held for 1.0 days")


@pytest.mark.parametrize("trades", [[[10], [0], [-10]], [[0.0]]])
def test_it_is_read_again_from_json(trades) -> None:
    found = of(trades)
    read = HoldingPeriods.from_dict(json.loads(json.dumps(found.to_dict())))
    np.testing.assert_equal(read.to_dict(), found.to_dict())
    assert read.n_positions == found.n_positions


@pytest.mark.parametrize(
    ("trades", "price", "match"),
    [
        ([1.0, 2.0], [1.0, 2.0], "must both be of shape"),
        ([[1.0]], [[1.0, 2.0]], r"got \(1, 1\) and \(1, 2\)"),
        ([[np.nan]], [[1.0]], "finite numbers alone"),
        ([[1.0]], [[np.inf]], "finite numbers alone"),
    ],
)
def test_what_is_no_table_of_trades_is_refused(trades, price, match) -> None:
    with pytest.raises(DataError, match=match):
        holding_periods(np.array(trades), np.array(price))
