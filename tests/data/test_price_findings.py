"""Splits, delistings, renames and late listings are found, and real prices are left in peace."""

from fractions import Fraction
from typing import Any

import numpy as np
import pandas as pd
import pytest
from repository import SHARED

from finrl_ray.config.data import DataConfig
from finrl_ray.data.load import market_data_of
from finrl_ray.data.market_data import MarketData
from finrl_ray.data.price_findings import (
    PriceFinding,
    dropped_tickers,
    market_findings,
    price_findings,
)
from finrl_ray.data.sources.bundled import read_bundled

DAYS = pd.bdate_range("2019-01-01", periods=400)
EVENT = 250


def ticker(name: str, seed: int, first: int = 0, stop: int = 400, **options: Any) -> pd.DataFrame:
    """A random walk of 1.5 % a day with volumes around a million, from row `first` to `stop`."""
    rng = np.random.default_rng(seed)
    deviation = options.get("deviation", 0.015)
    close = options.get("price", 50.0) * np.exp(np.cumsum(rng.normal(0, deviation, 400)))
    frame = pd.DataFrame({
        "date": DAYS.strftime("%Y-%m-%d"),
        "tic": name,
        "open": close * np.exp(rng.normal(0, 0.004, 400)),
        "close": close,
        "volume": rng.lognormal(14, 0.5, 400).round(),
    })  # fmt: skip
    return frame.iloc[first:stop]


def after(frame: pd.DataFrame, price: float, volume: float | None) -> pd.DataFrame:
    """Multiply prices and volume from the event on; None takes the volume out."""
    frame = frame.copy()
    late = frame["date"] >= f"{DAYS[EVENT]:%Y-%m-%d}"
    frame.loc[late, ["open", "close"]] *= price
    if volume is None:
        return frame.drop(columns="volume")
    frame["volume"] = frame["volume"].where(~late, frame["volume"] * volume)
    return frame


def found(*frames: pd.DataFrame, **data: Any) -> list[PriceFinding]:
    df = pd.concat(frames).sample(frac=1.0, random_state=0)
    config = DataConfig(source="prices.csv", features=(), **data)
    _, report = market_data_of(df, config)
    return [*price_findings(df, config), *dropped_tickers(report)]


def test_the_market_of_the_other_tests_has_nothing() -> None:
    assert found(ticker("A", 1), ticker("B", 2)) == []


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize(
    "ratio", ["2", "3", "3/2", "4", "5", "7", "10", "20", "1/2", "1/3", "1/8", "1/10", "1/50"]
)
def test_a_split_moves_price_and_volume(ratio: str, seed: int) -> None:
    shares = float(Fraction(ratio))
    (item,) = found(after(ticker("A", seed), 1 / shares, shares), ticker("B", 9))
    assert (item.kind, item.ticker, item.date) == ("split", "A", f"{DAYS[EVENT]:%Y-%m-%d}")
    fraction = Fraction(ratio)
    assert f"{fraction.numerator}:{fraction.denominator} split" in item.what
    assert "adjusted prices" in item.remedy


@pytest.mark.parametrize("ratio", [2.0, 4.0, 10.0, 0.1])
def test_a_split_without_volumes_is_known_by_the_price_alone(ratio: float) -> None:
    kinds = [item.kind for item in found(after(ticker("A", 3), 1 / ratio, None))]
    assert kinds == ["split"]


def test_volumes_that_were_adjusted_already_do_not_hide_a_split() -> None:
    assert [item.kind for item in found(after(ticker("A", 4), 0.25, 1.0))] == ["split"]


@pytest.mark.parametrize("seed", [1, 2, 3, 4, 5])
@pytest.mark.parametrize(
    ("price", "volume"),
    [(0.7, 1.0), (0.7, 3.0), (0.7, None), (0.58, 5.0), (0.55, None), (0.4, 8.0), (0.5, 1.0),
     (0.5, 6.0), (1.4, 3.0), (1.8, 2.0), (2.0, 2.0), (0.28, 9.0), (1.52, None)],
)  # fmt: skip
def test_a_crash_and_a_leap_are_no_splits(price: float, volume: float | None, seed: int) -> None:
    assert found(after(ticker("A", seed), price, volume)) == []


def test_a_wrong_quote_that_is_put_right_is_no_split() -> None:
    frame = ticker("A", 1)
    frame.iloc[EVENT, [2, 3]] = frame.iloc[EVENT, [2, 3]].to_numpy() / 4
    assert found(frame) == []


def test_days_of_wild_moves_are_no_splits() -> None:
    wild = np.random.default_rng(0).standard_t(2, size=(20, 400)) * 0.05
    frames = [
        ticker(f"T{k}", k).assign(close=50 * np.exp(np.cumsum(np.clip(moves, -0.6, 0.6))))
        for k, moves in enumerate(wild)
    ]
    assert found(*(frame.assign(open=frame["close"]) for frame in frames)) == []


def test_a_delisted_ticker_is_named_with_its_last_day() -> None:
    (item,) = found(ticker("A", 1), ticker("OLD", 2, stop=300))
    assert (item.kind, item.ticker, item.date) == ("ended", "OLD", f"{DAYS[299]:%Y-%m-%d}")
    assert "100 of 400 dates" in item.what
    assert found(ticker("A", 1), ticker("B", 2, stop=398)) == []


@pytest.mark.parametrize("gap", [0, 1, 3])
def test_a_renamed_ticker_is_no_delisting(gap: int) -> None:
    whole = ticker("NEW", 3)
    old = whole.iloc[:200].assign(tic="OLD")
    new = whole.iloc[200 + gap :]
    # and the dates before are lost, as the second name is late
    late, item = found(ticker("A", 1), old, new)
    assert (late.kind, late.ticker) == ("late", "NEW")
    assert (item.kind, item.ticker) == ("renamed", "OLD")
    assert item.date == f"{DAYS[200 + gap]:%Y-%m-%d}"
    assert "NEW begins on" in item.what
    assert "give the rows of OLD the name NEW" in item.remedy


def test_another_price_or_an_earlier_day_is_no_rename() -> None:
    for other in (ticker("B", 3, first=200, price=250.0), ticker("B", 3, first=230)):
        items = found(ticker("A", 1), ticker("OLD", 3, stop=200), other)
        assert {item.ticker: item.kind for item in items}["OLD"] == "ended"


def test_dates_lost_to_one_late_listing_are_counted() -> None:
    items = found(ticker("A", 1), ticker("B", 2, first=30), ticker("IPO", 3, first=180))
    (item,) = [item for item in items if item.kind == "late"]
    assert (item.ticker, item.date) == ("IPO", f"{DAYS[180]:%Y-%m-%d}")
    assert "180 of 400 dates" in item.what
    assert "keeps 150 dates more" in item.remedy
    # one that is dropped costs no dates
    (item,) = found(ticker("A", 1), ticker("IPO", 3, first=180), max_late_rows=100)
    assert (item.kind, item.ticker) == ("dropped", "IPO")


def test_a_flat_price_is_named() -> None:
    (item,) = found(ticker("A", 1), ticker("B", 2).assign(close=10.0, open=10.0))
    assert (item.kind, item.ticker) == ("flat", "B")
    assert "never moves: it is 10 in all its 400 quotes" in item.what


def test_only_what_is_read_counts() -> None:
    split, gone = after(ticker("A", 1), 0.25, 4.0), ticker("OLD", 2, stop=300)
    assert found(split, gone, ticker("B", 3), tickers=("B",)) == []
    assert found(split, ticker("B", 3), end=DAYS[200].date()) == []


def test_prices_in_memory_are_looked_at_too() -> None:
    df = pd.concat([after(ticker("A", 1), 0.25, 4.0), ticker("OLD", 2, stop=300)])
    kinds = [item.kind for item in market_findings(MarketData.from_finrl(df))]
    assert kinds == ["split", "ended"]


def test_coins_by_the_hour() -> None:
    hours = pd.date_range("2023-01-01", periods=400, freq="h").strftime("%Y-%m-%d %H:%M:%S")
    calm = [ticker(name, k, deviation=0.006).assign(date=hours) for k, name in enumerate("AB")]
    assert found(*calm) == []


def test_real_prices_have_none() -> None:
    assert price_findings(read_bundled(), DataConfig()) == ()
    folder = SHARED / "data"
    for path in folder.glob("*.parquet"):
        assert price_findings(pd.read_parquet(path), DataConfig(source=path.name)) == ()
