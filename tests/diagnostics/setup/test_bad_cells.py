"""Bad cells are named by column, ticker and date, and counted."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from env_markets import hand_market, random_market

from finrl_ray.diagnostics.setup.bad_cells import array_cells, frame_cells, table_cells
from finrl_ray.env.stock_trading import StockTradingEnv


def frame(**columns: object) -> pd.DataFrame:
    days = pd.date_range("2020-01-01", periods=3).strftime("%Y-%m-%d")
    base = {"date": np.repeat(days, 2), "tic": ["A", "B"] * 3, "close": [1.0] * 6}
    return pd.DataFrame({**base, **columns})


def words(df: pd.DataFrame, *columns: str) -> list[str]:
    return [str(cells) for cells in frame_cells(df, columns)]


def test_a_clean_frame_has_none() -> None:
    assert words(frame(), "close") == []


def test_each_kind_is_named() -> None:
    df = frame(
        close=[1.0, np.nan, 0.0, 2.0, -1.0, np.nan],
        volume=[0, 1, 2, 3, -4, 5],
        mine=["x", "1", "2", "inf", None, "3"],
    )
    assert words(df, "close", "volume", "mine") == [
        "close of B is missing (NaN) on 2020-01-01, 2020-01-03",
        "close of A is negative on 2020-01-03",
        "close of A is 0 on 2020-01-02",
        "volume of A is negative on 2020-01-03",
        "mine of A is no number on 2020-01-01",
        "mine of A is missing (NaN) on 2020-01-03",
        "mine of B is infinite on 2020-01-02",
    ]


def test_a_date_without_a_row_is_one_only_between_the_first_and_the_last() -> None:
    df = frame().drop(index=[2])
    assert words(df, "close") == ["A has no row on 2020-01-02"]
    assert words(frame().drop(index=[0, 5]), "close") == []


@pytest.mark.parametrize(
    "write",
    [
        lambda day: day.replace("-", "/"),
        lambda day: day.replace("-", ""),
        lambda day: f"{day} 00:00:00",
        lambda day: f"{day}T00:00",
        lambda day: pd.Timestamp(day),
        lambda day: pd.Timestamp(day).date(),
    ],
)
def test_a_date_may_be_written_in_several_ways(write: Any) -> None:
    df = frame()
    df["date"] = [
        write(day) if tic == "B" else day for day, tic in zip(df["date"], df["tic"], strict=True)
    ]
    assert words(df, "close") == []
    assert words(df.drop(index=[3]), "close") == ["B has no row on 2020-01-02"]


def test_instants_of_two_zones_are_no_missing_rows() -> None:
    df = frame(date=[
        "2020-01-01T15:00+00:00", "2020-01-01T10:00-05:00",
        "2020-01-01T16:00+00:00", "2020-01-01T11:00-05:00",
        "2020-01-01T17:00+00:00", "2020-01-01T12:00-05:00",
    ])  # fmt: skip
    assert words(df, "close") == []
    found = words(df.drop(index=[2]), "close")
    assert found == ["A has no row on 2020-01-01 16:00:00"]


def test_dates_that_are_timestamps_read_like_dates() -> None:
    df = frame(close=[1.0, np.nan, 1.0, 1.0, 1.0, 1.0])
    df["date"] = pd.to_datetime(df["date"])
    assert words(df, "close") == ["close of B is missing (NaN) on 2020-01-01"]


def test_only_the_first_dates_are_listed() -> None:
    values = np.full((6, 1), np.nan)
    cells = array_cells("macd", values, ["A"], [f"day {i}" for i in range(6)], price=False)
    assert [str(c) for c in cells] == [
        "macd of A is missing (NaN) on day 0, day 1, day 2 and 3 more dates"
    ]
    assert str(array_cells("x", values[:4], ["A"], "abcd")[0]).endswith("a, b, c and 1 more date")


def test_the_table_of_a_clean_market_has_none() -> None:
    assert table_cells(StockTradingEnv(random_market(20, halts=0.2)).accounts.table) == []


def test_opens_without_a_quote_do_not_count() -> None:
    close = [[10.0], [11.0], [12.0]]
    market = hand_market(
        close, open_=[[10.0], [np.nan], [12.0]], tradable=[[True], [False], [True]]
    )
    table = StockTradingEnv(market, fill="next_open").accounts.table
    assert table_cells(table) == []
