"""`BarGrid`: a table of bars as arrays over dates and tickers, with the words for its cells."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from finrl_ray._typing import BoolArray, DateArray, FloatArray
from finrl_ray.data.frames.columns import check_columns, read_tickers
from finrl_ray.data.frames.dates import DateKind, read_dates
from finrl_ray.data.frames.long_table import read_table
from finrl_ray.data.labels import date_label
from finrl_ray.errors import DataError

_PRICES = ("open", "high", "low", "close")
_MOST = 0.5


@dataclass(frozen=True, kw_only=True)
class BarGrid:
    """Bars of N tickers over T dates.

    Parameters
    ----------
    dates : array of shape (T,), datetime64[ns], strictly increasing
    tickers : N names
    columns : arrays of shape (T, N) by name, NaN where a cell is empty or has no row
    there : array of shape (T, N), bool: whether there is a row
    own : array of shape (T, N), bool: whether that row is a quote of its date (not `tradable`
        False)
    """

    dates: DateArray
    tickers: tuple[str, ...]
    columns: dict[str, FloatArray]
    there: BoolArray
    own: BoolArray

    @classmethod
    def of(
        cls,
        frame: pd.DataFrame,
        wanted: Sequence[str],
        tickers: Sequence[str],
        timezone: str | None,
    ) -> "BarGrid":
        """Return the rows of some tickers, every value checked.

        Parameters
        ----------
        frame : in FinRL's long format; not changed
        wanted : columns beside prices and volume
        tickers : N names, all of them in the frame
        timezone : as `data.timezone`

        Raises
        ------
        DataError
            Naming ticker, date and column: for what is no date or number, for negative prices, and
            for rows that contradict each other.
        """
        table = read_table(frame, wanted, tickers, None, None, timezone)
        dates, rows = np.unique(table.dates, return_inverse=True)
        position = {name: index for index, name in enumerate(tickers)}
        assets = np.array([position[name] for name in table.names], dtype=np.int64)[table.codes]
        shape = (len(dates), len(tickers))
        there, own = np.zeros(shape, dtype=np.bool_), np.zeros(shape, dtype=np.bool_)
        there[rows, assets] = True
        own[rows, assets] = True if table.flags is None else table.flags
        columns = {}
        for name, values in table.columns.items():
            columns[name] = np.full(shape, np.nan)
            columns[name][rows, assets] = values
        return cls(dates=dates, tickers=tuple(tickers), columns=columns, there=there, own=own)

    def with_tickers(self, tickers: Sequence[str]) -> "BarGrid":
        """Return the grid of these tickers; those that it has not have no rows in it."""
        if tuple(tickers) == self.tickers:
            return self
        at = [list(tickers).index(name) for name in self.tickers]
        shape = (len(self.dates), len(tickers))

        def wider(values: FloatArray) -> FloatArray:
            result = np.full(shape, np.nan)
            result[:, at] = values
            return result

        there, own = np.zeros(shape, dtype=np.bool_), np.zeros(shape, dtype=np.bool_)
        there[:, at], own[:, at] = self.there, self.own
        return BarGrid(
            dates=self.dates,
            tickers=tuple(tickers),
            columns={name: wider(values) for name, values in self.columns.items()},
            there=there,
            own=own,
        )

    @property
    def close(self) -> FloatArray:
        """Closes, of shape (T, N)."""
        return self.columns["close"]

    def where(self, row: int, asset: int) -> str:
        """Return `AAPL on 2020-01-02` for a cell."""
        return f"{self.tickers[asset]} on {date_label(self.dates[row])}"

    def usual(self, name: str) -> BoolArray:
        """Return for which tickers, of shape (N,), most rows have a value in a column.

        Of prices that is one above 0.
        """
        if name not in self.columns:
            return np.zeros(len(self.tickers), dtype=np.bool_)
        values, rows = self.columns[name], self.there & self.own
        filled = np.isfinite(values) & ((values > 0) | (name not in _PRICES))
        counts = (filled & rows).sum(axis=0)
        return np.asarray(counts > _MOST * np.maximum(rows.sum(axis=0), 1))


@dataclass(frozen=True, kw_only=True)
class Stamps:
    """The dates of the rows of a table, in the order of the table.

    Parameters
    ----------
    dates : array of shape (R,), datetime64[ns]
    tickers : of the same rows
    kind : as `RowDates` has it: whether there was a time zone
    """

    dates: DateArray
    tickers: tuple[str, ...]
    kind: DateKind

    @classmethod
    def of(cls, frame: pd.DataFrame, timezone: str | None) -> "Stamps":
        """Return the dates of a long frame.

        Raises
        ------
        DataError
            If columns are missing, there is no row, or a date or ticker cannot be read.
        """
        check_columns(frame, ())
        if not len(frame):
            raise DataError("there must be rows, but there is none")
        tickers = read_tickers(frame["tic"])
        read = read_dates(frame["date"], tickers, timezone)
        return cls(dates=read.dates, tickers=tuple(tickers), kind=read.kind)

    @property
    def are_days(self) -> bool:
        """Whether all dates are without a time of day."""
        return bool((self.dates == self.dates.astype("datetime64[D]")).all())
