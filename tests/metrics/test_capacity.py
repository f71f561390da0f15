"""Orders beside the traded volume, worked by hand."""

import json
import math

import numpy as np
import pytest

from finrl_ray.errors import DataError
from finrl_ray.metrics.capacity import Capacity, capacity, volume_shares

DATES = np.array(["2021-03-01", "2021-03-02", "2021-03-03", "2021-03-04"], dtype="datetime64[ns]")
# day by day the largest share: 2 % of B, none, 0.5 % of A, 8 % of B
TRADES = np.array([[10.0, -20.0], [0.0, 0.0], [5.0, 0.0], [-1.0, 40.0]])
VOLUME = np.array([[1000.0, 1000.0], [1000.0, 1000.0], [1000.0, 1000.0], [1000.0, 500.0]])


def found(trades=TRADES, volume=VOLUME, amount=50_000.0) -> Capacity:
    return capacity(trades, volume, amount, DATES, ("A", "B"))


def test_shares_of_the_volume() -> None:
    volume = VOLUME.copy()
    volume[0, 0], volume[3, 0], volume[1, 0] = 0.0, np.nan, np.nan
    shares = volume_shares(TRADES, volume)
    expected = [[np.nan, 0.02], [0.0, 0.0], [0.005, 0.0], [np.nan, 0.08]]
    np.testing.assert_allclose(shares, expected)


def test_median_and_worst_day() -> None:
    own = found()
    assert own.n_days == 3
    assert own.n_unknown == 0
    assert own.median_share == pytest.approx(0.02)
    assert own.worst_share == pytest.approx(0.08)
    assert (own.worst_date, own.worst_ticker) == ("2021-03-04", "B")


def test_the_account_at_which_a_share_is_passed() -> None:
    own = found()
    assert own.account_size(0.01) == pytest.approx(25_000)
    assert own.account_size(0.05) == pytest.approx(125_000)
    assert own.account_size(0.01, worst=True) == pytest.approx(6_250)
    assert own.account_size(0.05, worst=True) == pytest.approx(31_250)
    # an account of that size, with the same weights, does have such an order
    larger = found(TRADES * 125_000 / 50_000, amount=125_000.0)
    assert larger.median_share == pytest.approx(0.05)
    assert larger.account_size(0.05) == pytest.approx(125_000)


def test_orders_without_a_volume_are_counted_and_left_out() -> None:
    volume = VOLUME.copy()
    volume[3, 1] = np.nan
    own = found(volume=volume)
    assert own.n_unknown == 1
    assert own.worst_share == pytest.approx(0.02)
    assert own.lines()[-1] == "1 order in rows without a volume is left out of that"


def test_it_is_said_in_words() -> None:
    assert found().lines() == [
        "the largest order of a day was 2.00 % of its ticker's traded volume on the median day "
        "with orders, and 8.00 % on the worst (B, 2021-03-04)",
        "it passes 1% on the median day for an account that begins with more than 25,000, and on "
        "the worst with more than 6,250",
        "it passes 5% on the median day for an account that begins with more than 125,000, and on "
        "the worst with more than 31,250",
    ]
    assert "was 0.0003 % of" in found(volume=VOLUME * 6_666.7).lines()[0]


@pytest.mark.parametrize("volume", [VOLUME, np.full(VOLUME.shape, np.nan)])
def test_without_orders_or_volumes_nothing_is_known(volume) -> None:
    own = found(TRADES * 0.0 if volume is VOLUME else TRADES, volume)
    assert own.n_days == 0
    assert math.isnan(own.account_size(0.01))
    assert own.lines()[0] == "capacity is not known: no order was filled in a row with a volume"


def test_a_bar_within_a_day_is_named_with_its_time() -> None:
    hours = np.array(["2021-03-01T10:00", "2021-03-01T11:00"], dtype="datetime64[ns]")
    own = capacity(np.array([[1.0], [2.0]]), np.full((2, 1), 9.0), 1.0, hours, ("A",))
    assert own.worst_date == "2021-03-01T11:00:00"


@pytest.mark.parametrize("volume", [VOLUME, np.full(VOLUME.shape, np.nan)])
def test_it_is_read_again_from_json(volume) -> None:
    own = found(volume=volume)
    content = json.loads(json.dumps(own.to_dict()))
    np.testing.assert_equal(Capacity.from_dict(content).to_dict(), own.to_dict())
    if own.n_days:
        assert content["account_sizes"]["0.05"] == pytest.approx(
            {"median_day": 125_000, "worst_day": 31_250}
        )


@pytest.mark.parametrize(
    ("trades", "volume", "match"),
    [
        (TRADES, VOLUME[1:], "must both be of shape"),
        (TRADES[0], VOLUME[0], "must both be of shape"),
        (np.full(VOLUME.shape, np.nan), VOLUME, "finite numbers alone"),
    ],
)
def test_what_is_no_table_of_trades_is_refused(trades, volume, match) -> None:
    with pytest.raises(DataError, match=match):
        volume_shares(trades, volume)
