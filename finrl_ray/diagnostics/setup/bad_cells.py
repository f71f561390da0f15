"""Cells of prices and features that no agent should learn from, by column, ticker and date."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from finrl_ray._typing import AnyArray, BoolArray, DateArray
from finrl_ray.data.columns import PRICE_COLUMNS
from finrl_ray.data.labels import date_label
from finrl_ray.env.finrl_frame import to_dates
from finrl_ray.env.market_table import MarketTable

_SHOWN_DATES = 3
_WORDS = {
    "missing": "is missing (NaN)",
    "infinite": "is infinite",
    "zero": "is 0",
    "negative": "is negative",
    "text": "is no number",
    "absent": "has no row",
}
UNUSABLE = ("infinite", "negative", "text")
"""Kinds that loading refuses; the others have a rule (see docs/data.md)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BadCells:
    """All cells of one column and one ticker that are wrong in one way.

    Parameters
    ----------
    column : name, empty where a whole row is concerned
    ticker : name
    kind : `missing`, `infinite`, `zero`, `negative`, `text` or `absent`
    count : number of dates
    dates : the first of them
    """

    column: str
    ticker: str
    kind: str
    count: int
    dates: tuple[str, ...]

    def __str__(self) -> str:
        """Return `close of AAPL is missing (NaN) on 2020-01-03 and 4 more dates`."""
        what = f"{self.column} of {self.ticker}" if self.column else self.ticker
        rest = self.count - len(self.dates)
        more = f" and {rest} more {'date' if rest == 1 else 'dates'}" if rest > 0 else ""
        return f"{what} {_WORDS[self.kind]} on {', '.join(self.dates)}{more}"


def table_cells(table: MarketTable) -> list[BadCells]:
    """Return what is wrong with the prices, features and risk series that an env trades on."""
    market, labels, tickers = table.market, table.labels, table.tickers
    found = array_cells("close", market.close, tickers, labels)
    if market.price is not market.close and not np.array_equal(market.price, market.close):
        fills = np.where(market.tradable, market.price, 1.0)
        found += array_cells("open", fills, tickers, labels)
    for index, name in enumerate(table.feature_names):
        values = table.features[:, :, index]
        found += array_cells(name, values, tickers, labels, price=False)
    if table.has_risk:
        risk = np.asarray(market.risk).reshape(-1, 1)
        found += array_cells(table.risk_name, risk, ("the market",), labels, price=False)
    return found


def array_cells(
    column: str,
    values: AnyArray,
    tickers: Sequence[str],
    labels: Sequence[Any],
    *,
    price: bool = True,
) -> list[BadCells]:
    """Return the bad cells of one column.

    Parameters
    ----------
    column : its name
    values : array of shape (T, N)
    tickers : N names
    labels : T dates
    price : values at or below 0 are wrong too
    """
    masks = {"missing": np.isnan(values), "infinite": np.isinf(values)}
    if price:
        masks |= {"zero": values == 0, "negative": (values < 0) & ~masks["infinite"]}
    found = []
    for kind, mask in masks.items():
        for asset in np.flatnonzero(mask.any(axis=0)).tolist():
            rows = np.flatnonzero(mask[:, asset])
            dates = tuple(_date_text(labels[row]) for row in rows[:_SHOWN_DATES])
            found.append(
                BadCells(
                    column=column, ticker=tickers[asset], kind=kind, count=len(rows), dates=dates
                )
            )
    return found


def frame_cells(
    df: pd.DataFrame, columns: Iterable[str], dates: DateArray | None = None
) -> list[BadCells]:
    """Return the bad cells of a frame in FinRL's long format, and the dates without a row.

    Parameters
    ----------
    df : frame with `date` and `tic`
    columns : the columns to look at; prices must be positive, volume must not be negative
    dates : of each row, as the loader reads them: one date may be written in several ways; read
        here when None

    Raises
    ------
    DataError
        If a date cannot be read.
    """
    found = []
    dates = to_dates(df) if dates is None else dates
    tickers = df["tic"].to_numpy()
    for name in columns:
        for kind, mask in _masks(df[name], name).items():
            found += _by_ticker(name, kind, tickers[mask], dates[mask])
    return [*found, *_absent_rows(tickers, dates)]


def _masks(column: "pd.Series[Any]", name: str) -> dict[str, BoolArray]:
    missing = column.isna().to_numpy()
    numbers = pd.to_numeric(column, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
    masks = {
        "text": np.isnan(numbers) & ~missing,
        "missing": missing,
        "infinite": np.isinf(numbers),
    }
    if name in PRICE_COLUMNS:
        masks["negative"] = (numbers < 0) & ~masks["infinite"]
        if name != "volume":
            masks["zero"] = numbers == 0
    return masks


def _by_ticker(name: str, kind: str, tickers: AnyArray, dates: DateArray) -> list[BadCells]:
    return [
        _cells(name, str(ticker), kind, np.unique(rows.to_numpy()))
        for ticker, rows in pd.Series(dates).groupby(tickers, sort=True)
    ]


def _absent_rows(tickers: AnyArray, dates: DateArray) -> list[BadCells]:
    """Return the tickers that lack rows between their first and their last one."""
    days, row_of = np.unique(dates, return_inverse=True)
    found = []
    for ticker, rows in pd.Series(row_of).groupby(tickers, sort=True):
        present = np.unique(rows.to_numpy())
        absent = np.setdiff1d(np.arange(present[0], present[-1] + 1), present)
        if absent.size:
            found.append(_cells("", str(ticker), "absent", days[absent]))
    return found


def _cells(column: str, ticker: str, kind: str, dates: DateArray) -> BadCells:
    shown = tuple(date_label(date) for date in dates[:_SHOWN_DATES])
    return BadCells(column=column, ticker=ticker, kind=kind, count=len(dates), dates=shown)


def _date_text(value: Any) -> str:
    return str(value).removesuffix(".000000000").removesuffix("T00:00:00").removesuffix(" 00:00:00")
