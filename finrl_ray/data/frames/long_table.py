"""From a long frame to sorted, checked rows and then to (date, ticker) grids."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from finrl_ray._typing import AnyArray, BoolArray, DateArray, FloatArray, IntArray
from finrl_ray.data.columns import PRICE_COLUMNS, TRADABLE_COLUMN
from finrl_ray.data.frames.columns import (
    check_columns,
    read_flags,
    read_numbers,
    read_tickers,
)
from finrl_ray.data.frames.dates import DateLike, RowDates, read_dates
from finrl_ray.data.labels import date_label
from finrl_ray.errors import DataError
from finrl_ray.support.text import did_you_mean, listed

_LOW_HIGH_TOLERANCE = 1e-6


@dataclass(frozen=True, kw_only=True)
class LongTable:
    """Rows sorted by (date, ticker), each pair once; every number finite or NaN."""

    dates: DateArray
    """Shape (R,), datetime64[ns]."""
    names: tuple[str, ...]
    """Every ticker of the rows, in alphabetical order."""
    codes: IntArray
    """Shape (R,): positions in `names`."""
    columns: dict[str, FloatArray]
    """Prices, volume and the wanted columns, each of shape (R,); `close` is always there."""
    flags: BoolArray | None = None
    """Shape (R,): the column `tradable`, if there is one."""
    notes: tuple[str, ...] = ()

    def where(self, row: int) -> str:
        """Return `AAPL on 2020-01-02` for a row number."""
        return f"{self.names[self.codes[row]]} on {date_label(self.dates[row])}"

    def take(self, rows: IntArray | BoolArray) -> "LongTable":
        """Return the table with only these rows, in this order."""
        columns = {name: values[rows] for name, values in self.columns.items()}
        used, codes = np.unique(self.codes[rows], return_inverse=True)
        names = tuple(self.names[code] for code in used)
        flags = None if self.flags is None else self.flags[rows]
        return replace(
            self, dates=self.dates[rows], names=names, codes=codes, columns=columns, flags=flags
        )

    def noted(self, *notes: str) -> "LongTable":
        """Return the table with sentences added to its notes."""
        return replace(self, notes=(*self.notes, *notes))


def read_table(
    df: pd.DataFrame,
    wanted: Sequence[str],
    tickers: Sequence[str] | None,
    start: DateLike | None,
    end: DateLike | None,
    timezone: str | None = None,
) -> LongTable:
    """Return the selected rows of a long frame, sorted, without duplicates, every value checked.

    Parameters
    ----------
    df : frame in FinRL's long format; not changed
    wanted : columns to read beside prices and volume
    tickers : names to keep; all when None
    start, end : first date kept, first date not kept
    timezone : zone that dates with a zone and a time of day are converted to; UTC when None

    Raises
    ------
    DataError
        For anything in the selected rows that cannot be used; see docs/data.md.
    """
    names = check_columns(df, wanted)
    if len(df) == 0:
        raise DataError("the data must have at least 2 dates, but the frame has no rows")
    all_tickers = read_tickers(df["tic"])
    row_dates = read_dates(df["date"], all_tickers, timezone)
    all_dates = row_dates.dates
    rows = _selected_rows(all_tickers, row_dates, tickers, start, end)
    codes, uniques = pd.factorize(all_tickers[rows], sort=True)
    read = [name for name in PRICE_COLUMNS if name in names]
    read += [name for name in dict.fromkeys(wanted) if name not in read]
    table = LongTable(
        dates=all_dates[rows], names=tuple(uniques), codes=codes.astype(np.int64), columns={}
    )
    for name in read:
        table.columns[name] = read_numbers(df[name].iloc[rows], name, table.where)
    if TRADABLE_COLUMN in names:
        flags = read_flags(df[TRADABLE_COLUMN].iloc[rows], table.where)
        table = replace(table, flags=flags)
    if row_dates.note:
        table = table.noted(row_dates.note)
    left_out = _unused_text_columns(df, names, read)
    if left_out:
        table = table.noted(f"Columns that hold no numbers were ignored: {listed(left_out)}.")
    order = np.lexsort((table.codes, table.dates))
    table = _without_duplicates(table.take(order))
    _check_signs(table)
    return _with_range_note(table)


def _selected_rows(
    tickers: AnyArray,
    row_dates: RowDates,
    wanted: Sequence[str] | None,
    start: DateLike | None,
    end: DateLike | None,
) -> IntArray:
    dates = row_dates.dates
    keep = np.ones(len(dates), dtype=bool)
    if wanted is not None:
        known = sorted(set(tickers))
        for name in wanted:
            if name not in known:
                raise DataError(
                    f"the data has no ticker {name!r}; it has {listed(known)}."
                    f"{did_you_mean(str(name), known)}"
                )
        keep &= pd.Series(tickers, dtype=object).isin(list(wanted)).to_numpy()
    first, last = date_label(dates.min()), date_label(dates.max())
    if start is not None:
        keep &= dates >= row_dates.bound(start, "start")
    if end is not None:
        keep &= dates < row_dates.bound(end, "end")
    if not keep.any():
        raise DataError(
            f"no rows lie within start {start} and end {end} (not included); the data covers "
            f"{first} to {last}"
        )
    return np.flatnonzero(keep)


def _unused_text_columns(df: pd.DataFrame, names: Sequence[str], read: Sequence[str]) -> list[str]:
    used = {"date", "tic", TRADABLE_COLUMN, *read}
    dtypes = {name: df[name].dtype for name in names if name not in used}
    return [name for name, dtype in dtypes.items() if not pd.api.types.is_numeric_dtype(dtype)]


def _without_duplicates(table: LongTable) -> LongTable:
    same = (table.dates[1:] == table.dates[:-1]) & (table.codes[1:] == table.codes[:-1])
    repeats = np.flatnonzero(same) + 1
    if not repeats.size:
        return table
    for name, values in table.columns.items():
        now, before = values[repeats], values[repeats - 1]
        differ = np.flatnonzero(~((now == before) | (np.isnan(now) & np.isnan(before))))
        if differ.size:
            row = int(repeats[differ[0]])
            raise DataError(
                f"{table.where(row)} has two rows that contradict each other: {name} is "
                f"{values[row - 1]} and {values[row]}; keep one row for each date and ticker"
            )
    keep = np.ones(len(table.dates), dtype=bool)
    keep[repeats] = False
    first = table.where(int(repeats[0]))
    return table.take(keep).noted(
        f"{repeats.size} rows repeated the row before them exactly (the first: {first}); one of "
        "each was kept."
    )


def _check_signs(table: LongTable) -> None:
    for name in PRICE_COLUMNS:
        values = table.columns.get(name)
        if values is None:
            continue
        negative = np.flatnonzero(values < 0)
        if negative.size:
            row = int(negative[0])
            raise DataError(
                f"{name} of {table.where(row)} must not be negative, got {values[row]} "
                f"({negative.size} such values); correct the row, or leave the cell empty if "
                "there was no quote"
            )


def _with_range_note(table: LongTable) -> LongTable:
    columns = table.columns
    close = np.where(columns["close"] > 0, columns["close"], np.nan)
    low = columns.get("low", np.full_like(close, np.nan))
    high = columns.get("high", np.full_like(close, np.nan))
    low, high = np.where(low > 0, low, np.nan), np.where(high > 0, high, np.nan)
    slack = _LOW_HIGH_TOLERANCE * close
    odd = np.flatnonzero((high < low) | (close < low - slack) | (close > high + slack))
    if not odd.size:
        return table
    row = int(odd[0])
    return table.noted(
        f"Warning: in {odd.size} rows the close lies outside low..high, or high is below low (the "
        f"first: {table.where(row)}, low {low[row]:g}, high {high[row]:g}, close "
        f"{close[row]:g}). Are all prices adjusted in the same way?"
    )
