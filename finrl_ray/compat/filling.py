"""Gaps in FinRL's long frames: what is dropped and what is carried forward, with a log message.

FinRL drops every ticker with one missing day, then fills up and down over the rows of all tickers.
Here nothing comes from another ticker or from a later date.
"""

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from finrl_ray._typing import DateArray
from finrl_ray.data.columns import TRADABLE_COLUMN
from finrl_ray.data.features import why_never_finite
from finrl_ray.data.frames.columns import read_flags
from finrl_ray.data.frames.dates import read_dates
from finrl_ray.data.labels import date_label
from finrl_ray.data.market_data import market_data_from_long
from finrl_ray.errors import DataError
from finrl_ray.support.text import listed

logger = logging.getLogger(__name__)

_PRICES_OF_ORDERS = ("open", "high", "low")


def row_dates(df: pd.DataFrame) -> DateArray:
    """Return the date of each row, as datetime64[ns] without a time zone.

    Raises
    ------
    DataError
        If a date is missing or cannot be read.
    """
    return read_dates(df["date"], df["tic"].to_numpy(dtype=object)).dates


def with_plain_dates(df: pd.DataFrame) -> pd.DataFrame:
    """Return the frame with each date written in one way, in which dates sort as they should.

    Dates are left as they are written where that holds already; else texts become ISO texts without
    a time zone (instants by UTC's clock, see `finrl_ray.data.frames.dates`), and others datetime64.

    Raises
    ------
    DataError
        If a date is missing or cannot be read.
    """
    rows = read_dates(df["date"], df["tic"].to_numpy(dtype=object))
    if rows.kind == "naive" and _sorts_like(df["date"], rows.dates):
        return df
    if all(isinstance(value, str) for value in df["date"].head(1)):
        codes, stamps = pd.factorize(rows.dates)
        labels = np.array([date_label(stamp) for stamp in stamps], dtype=object)
        return df.assign(date=labels[codes])
    return df.assign(date=rows.dates)


def _sorts_like(written: "pd.Series[Any]", dates: DateArray) -> bool:
    pairs = pd.DataFrame({"written": written.to_numpy(), "date": dates}).drop_duplicates()
    try:
        in_order = pairs.sort_values("written")["date"].to_numpy()
    except TypeError:  # texts beside timestamps
        return False
    return bool((np.diff(in_order) > np.timedelta64(0)).all())


def by_date_and_ticker(df: pd.DataFrame) -> pd.DataFrame:
    """Return the rows sorted by date and ticker and numbered from 0."""
    return df.sort_values(["date", "tic"], kind="stable", ignore_index=True)


def with_quotes(df: pd.DataFrame) -> pd.DataFrame:
    """Return the rows that hold a quote, of the tickers and dates that can be used.

    Rows without a close above 0 and repeated rows go; so do tickers first quoted more than a year
    (252 dates) after the first date, and the dates before all others are quoted. Each is logged.

    Raises
    ------
    DataError
        For what has no repair, naming ticker, date and column; see docs/data.md.
    """
    market, report = market_data_from_long(df)
    lines = [f"{name} was dropped: {why}" for name, why in report.dropped_tickers.items()]
    lines += [f"the first {r.count} dates were dropped: {r.reason}" for r in report.dropped_rows]
    lines += [
        f"{name} has no quote on {cells.count} of {report.n_periods} dates (first "
        f"{cells.first_date})"
        for name, cells in report.untradable.items()
    ]
    for line in lines:
        logger.warning("%s", line)
    df = with_plain_dates(df)
    dates = row_dates(df)
    keep = df["tic"].isin(market.tickers).to_numpy() & (dates >= market.dates[0])
    keep &= df["close"].to_numpy(dtype=np.float64) > 0
    if TRADABLE_COLUMN in df:  # prices that an earlier call repeated are no quotes
        keep &= read_flags(df[TRADABLE_COLUMN], lambda row: f"row {row}")
        df = df.drop(columns=TRADABLE_COLUMN)
    keep &= ~pd.DataFrame({"date": dates, "tic": df["tic"].to_numpy()}).duplicated().to_numpy()
    return by_date_and_ticker(df[keep])


def carry_forward(df: pd.DataFrame) -> pd.DataFrame:
    """Return a frame with a row for each date and ticker; missing ones repeat the ticker's last.

    A repeated row has a volume of 0 and the weekday of its own date, and is 0 in the column
    `tradable`, which is added if there is such a row: the envs trade no repeated price. Dates
    before every ticker has a row are dropped.
    """
    dates, tickers = df["date"].unique(), sorted(df["tic"].unique())
    if len(df) == len(dates) * len(tickers):
        return df
    cells = pd.MultiIndex.from_product([dates, tickers], names=["date", "tic"])
    full = df.set_index(["date", "tic"]).reindex(cells)
    missing = full["close"].isna()
    given = full
    full = full.groupby(level="tic").ffill()
    for name in _PRICES_OF_ORDERS:
        if name in full:  # not carried into rows with a quote: an order could fill there
            full[name] = full[name].where(missing, given[name])
    if "volume" in full:
        full.loc[missing, "volume"] = 0.0
    if "day" in full:
        weekday = df.drop_duplicates("date").set_index("date")["day"]
        full["day"] = weekday.reindex(full.index.get_level_values("date")).to_numpy()
    early = full["close"].isna().groupby(level="date").transform("any")
    logger.info(
        "%d missing rows repeat the ticker's last prices, with a volume of 0; %d early dates were "
        "dropped",
        int((missing & ~early).sum()),
        int(early.sum()) // len(tickers),
    )
    columns = list(df.columns)
    if bool((missing & ~early).any()):
        full[TRADABLE_COLUMN] = (~missing).astype("int64")
        columns = [*df.columns, TRADABLE_COLUMN]
    result: pd.DataFrame = full[~early].reset_index()[columns]
    return result


def complete(df: pd.DataFrame) -> pd.DataFrame:
    """Return the frame without empty cells: carried forward per ticker, early dates cut off.

    Open, high and low are left as they are: in a row with a quote, an order could fill at a
    repeated one.

    Raises
    ------
    DataError
        If a column has no value at all for a ticker.
    """
    left = ("date", "tic", *_PRICES_OF_ORDERS, TRADABLE_COLUMN)
    names = [n for n in df.columns if n not in left and is_number(df, n)]
    filled = df.copy()
    filled[names] = df[names].replace([np.inf, -np.inf], np.nan).groupby(df["tic"]).ffill()
    empty = filled[names].isna()
    if not empty.to_numpy().any():
        return filled
    _raise_never_given(filled, names)
    last = filled["date"][empty.any(axis=1)].max()
    result: pd.DataFrame = filled[filled["date"] > last].reset_index(drop=True)
    columns = [name for name in names if empty[name].any()]
    logger.warning(
        "the dates up to %s were dropped: %s have no value there yet, and none is taken from a "
        "later date",
        last,
        listed(columns),
    )
    return result


def _raise_never_given(df: pd.DataFrame, names: Sequence[str]) -> None:
    last = df[list(names)].isna().groupby(df["tic"]).last()
    wrong = np.argwhere(last.to_numpy())
    if wrong.size:
        row, column = (int(i) for i in wrong[0])
        ticker = last.index[row]
        quotes = df.loc[df["tic"] == ticker, "close"].to_numpy(dtype=np.float64)
        raise DataError(
            f"{names[column]} of {ticker} has no finite value on any date: "
            f"{why_never_finite(quotes)}; leave the column or the ticker out, or use more data"
        )


def is_number(df: pd.DataFrame, name: str) -> bool:
    """Return whether a column holds numbers."""
    return pd.api.types.is_numeric_dtype(df[name].dtype)
