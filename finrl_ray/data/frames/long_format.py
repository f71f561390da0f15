"""FinRL's long format into arrays of shape (T, N), causally.

No value comes from a later date or from another ticker.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

import numpy as np
import pandas as pd

from finrl_ray._typing import BoolArray, DateArray, FloatArray, IntArray
from finrl_ray.data.columns import PRICE_COLUMNS
from finrl_ray.data.frames.dates import DateLike
from finrl_ray.data.frames.long_table import LongTable, read_table
from finrl_ray.data.labels import date_label
from finrl_ray.data.report import DataReport, DroppedRows, UntradableCells
from finrl_ray.errors import DataError
from finrl_ray.support.text import counted, listed
from finrl_ray.support.time_zones import require_timezone


class LongOptions(TypedDict, total=False):
    """Keywords of `arrays_from_long` beside `features`."""

    tickers: Sequence[str] | None
    """Names to keep, in this order; all in alphabetical order when None."""
    start: DateLike | None
    """First date kept."""
    end: DateLike | None
    """First date not kept."""
    market_columns: Sequence[str]
    """Columns with one value per date, the same for all tickers."""
    max_late_rows: int
    """A ticker first quoted later than this many rows after the first date is dropped; for an
    earlier one the rows before its first quote are dropped."""
    timezone: str | None
    """Name of the zone that dates with a zone and a time of day are converted to, so that a row is
    one instant; UTC when None. Days keep their local date."""


def arrays_from_long(
    df: pd.DataFrame,
    *,
    features: Sequence[str] = (),
    tickers: Sequence[str] | None = None,
    start: DateLike | None = None,
    end: DateLike | None = None,
    market_columns: Sequence[str] = (),
    max_late_rows: int = 252,
    timezone: str | None = None,
) -> tuple[dict[str, Any], DataReport]:
    """Return the fields of a `MarketData`, and a report of what was done.

    The parameters and the errors are those of `finrl_ray.data.market_data.market_data_from_long`.
    """
    features = _checked_names(features, "features")
    market_columns = _checked_names(market_columns, "market_columns")
    order = None if tickers is None else _checked_names(tickers, "tickers")
    if order is not None and not order:
        raise DataError("tickers must name at least one ticker, got an empty list")
    if max_late_rows < 0:
        raise DataError(f"max_late_rows must be >= 0, got {max_late_rows}")
    if timezone is not None:
        require_timezone(timezone)
    table = read_table(df, (*features, *market_columns), order, start, end, timezone)
    table, dropped = _without_late_tickers(table, max_late_rows)
    names = tuple(name for name in order or table.names if name not in dropped)
    grid = _Grid.of(table, names)
    first_row = int(grid.first_quotes.max())
    if len(grid.dates) - first_row < 2:
        raise DataError(
            "the data must have at least 2 dates on which every ticker has been quoted, but "
            f"{listed(names)} have {len(grid.dates) - first_row}: dates run from "
            f"{date_label(grid.dates[0])} to {date_label(grid.dates[-1])} and "
            f"{names[int(grid.first_quotes.argmax())]!r} is first quoted on "
            f"{date_label(grid.dates[first_row])}"
        )
    fields, notes = _fields(grid, features, market_columns, first_row)
    report = _report(grid, first_row, dropped, (*table.notes, *notes))
    return fields, report


def _checked_names(names: Sequence[str], argument: str) -> tuple[str, ...]:
    if isinstance(names, str) or not isinstance(names, Iterable):
        raise DataError(f"{argument} must be a list of names, got {names!r}")
    result = tuple(names)
    for position, name in enumerate(result):
        if not isinstance(name, str):
            raise DataError(f"{argument} must hold strings, got {name!r}")
        if name in result[:position]:
            raise DataError(f"{argument} must name each entry once, but {name!r} comes twice")
    return result


def _without_late_tickers(table: LongTable, max_late_rows: int) -> tuple[LongTable, dict[str, str]]:
    """Drop late tickers. Looks at no row later than the first quote or the limit."""
    dates, rows = np.unique(table.dates, return_inverse=True)
    never = len(dates)
    first = np.full(len(table.names), never)
    quoted = table.columns["close"] > 0
    np.minimum.at(first, table.codes[quoted], rows[quoted])
    dropped: dict[str, str] = {}
    for name, row in zip(table.names, first, strict=True):
        if row == never:
            dropped[name] = "no row has a close above 0"
        elif row > max_late_rows:
            dropped[name] = (
                f"its first quote is on {date_label(dates[row])}, {counted(row, 'row')} after the "
                "first date "
                f"{date_label(dates[0])}, and max_late_rows is {max_late_rows}"
            )
    keep = (first <= max_late_rows)[table.codes] & (first < never)[table.codes]
    if not keep.any():
        reasons = "; ".join(f"{name}: {why}" for name, why in list(dropped.items())[:5])
        raise DataError(f"no ticker is left ({reasons}); choose other dates or raise max_late_rows")
    return table.take(keep), dropped


@dataclass(frozen=True, kw_only=True)
class _Grid:
    """Columns as (T, N) arrays over all dates of the kept tickers; NaN where there is no cell.

    A cell is `quoted` where it has a close, and `tradable` where that is one of its own date.
    """

    dates: DateArray
    tickers: tuple[str, ...]
    columns: dict[str, FloatArray]
    quoted: BoolArray
    tradable: BoolArray
    first_quotes: IntArray

    @classmethod
    def of(cls, table: LongTable, tickers: tuple[str, ...]) -> "_Grid":
        dates, rows = np.unique(table.dates, return_inverse=True)
        position = {name: index for index, name in enumerate(tickers)}
        assets = np.array([position[name] for name in table.names], dtype=np.int64)[table.codes]
        columns = {}
        for name, values in table.columns.items():
            columns[name] = np.full((len(dates), len(tickers)), np.nan)
            columns[name][rows, assets] = values
        quoted = columns["close"] > 0
        own = np.ones(quoted.shape, dtype=np.bool_)
        if table.flags is not None:
            own[rows, assets] = table.flags
        return cls(
            dates=dates,
            tickers=tickers,
            columns=columns,
            quoted=quoted,
            tradable=quoted & own,
            first_quotes=quoted.argmax(axis=0),
        )

    def where(self, row: int, asset: int) -> str:
        return f"{self.tickers[asset]} on {date_label(self.dates[row])}"


def forward_fill(values: FloatArray) -> FloatArray:
    """Return a copy in which each NaN holds the last earlier value of its own column.

    Parameters
    ----------
    values : array of shape (T, N)
        NaN before the first value of a column stay NaN.
    """
    rows = np.where(np.isnan(values), 0, np.arange(len(values))[:, None])
    return np.take_along_axis(values, np.maximum.accumulate(rows, axis=0), axis=0)


def _fields(
    grid: _Grid, features: Sequence[str], market_columns: Sequence[str], first_row: int
) -> tuple[dict[str, Any], list[str]]:
    notes = []
    prices: dict[str, Any] = {}
    for name in PRICE_COLUMNS:
        prices[name], note = _price_column(grid, name, first_row)
        notes += note
    blocks = []
    for name in features:
        block, note = _feature(grid, name, first_row)
        blocks.append(block)
        notes += note
    series = []
    for name in market_columns:
        values, note = _market_series(grid, name, first_row)
        series.append(values)
        notes += note
    t, n = len(grid.dates) - first_row, len(grid.tickers)
    warmup = max([0, *(_leading_gap(block) for block in (*blocks, *(s[:, None] for s in series)))])
    fields = {
        **prices,
        "dates": grid.dates[first_row:],
        "tickers": grid.tickers,
        "features": np.stack(blocks, axis=2) if blocks else np.zeros((t, n, 0)),
        "feature_names": tuple(features),
        "tradable": grid.tradable[first_row:].copy(),
        "market_features": np.stack(series, axis=1) if series else np.zeros((t, 0)),
        "market_feature_names": tuple(market_columns),
        "warmup": warmup,
    }
    return fields, notes


def _price_column(grid: _Grid, name: str, first_row: int) -> tuple[FloatArray, list[str]]:
    """Return one of the five arrays: close carried, the others NaN where there is no quote."""
    values = grid.columns.get(name)
    if values is None:
        return np.full((len(grid.dates) - first_row, len(grid.tickers)), np.nan), []
    if name == "close":
        return forward_fill(np.where(grid.quoted, values, np.nan))[first_row:], []
    present = np.isfinite(values) if name == "volume" else values > 0
    kept = np.where(grid.tradable & present, values, np.nan)[first_row:]
    holes = np.argwhere((grid.tradable & ~present)[first_row:])
    if not holes.size:
        return kept, []
    row, asset = (int(i) for i in holes[0])
    kind = "missing" if name == "volume" else "zero or missing"
    return kept, [
        f"{name} is {kind} in {len(holes)} rows that have a close (the first: "
        f"{grid.where(first_row + row, asset)}); the close counts, the cell is left empty."
    ]


def _feature(grid: _Grid, name: str, first_row: int) -> tuple[FloatArray, list[str]]:
    # a row that repeats prices repeats features too
    values = np.where(grid.quoted, grid.columns[name], np.nan)
    filled = forward_fill(values)
    kept = filled[first_row:]
    empty = np.flatnonzero(np.isnan(kept[-1]))
    if empty.size:
        ticker = grid.tickers[int(empty[0])]
        raise DataError(
            f"the feature {name!r} has no value at all for {ticker} on the dates it is quoted; "
            "leave the feature or the ticker out"
        )
    carried = np.argwhere((np.isnan(values) & grid.quoted)[first_row:] & np.isfinite(kept))
    return kept, _carried_note(grid, f"the feature {name!r}", carried, first_row)


def _carried_note(grid: _Grid, what: str, cells: IntArray, first_row: int) -> list[str]:
    if not cells.size:
        return []
    row, asset = (int(i) for i in cells[0])
    return [
        f"{len(cells)} missing values of {what} were carried forward from the ticker's own last "
        f"value (the first: {grid.where(first_row + row, asset)})."
    ]


def _market_series(grid: _Grid, name: str, first_row: int) -> tuple[FloatArray, list[str]]:
    values = grid.columns[name]
    rows = np.arange(len(values))
    given = np.isfinite(values)
    # FinRL's habit of fillna(0) writes zeros beside missing quotes; quoted rows say what was meant
    quoted = given & grid.quoted
    given = np.where(quoted.any(axis=1, keepdims=True), quoted, given)
    series = values[rows, given.argmax(axis=1)]
    clash = np.argwhere(given & (values != series[:, None]))
    if clash.size:
        row, asset = (int(i) for i in clash[0])
        other = int(given[row].argmax())
        raise DataError(
            f"the market column {name!r} must have one value per date, but on "
            f"{date_label(grid.dates[row])} it is {series[row]} for {grid.tickers[other]} and "
            f"{values[row, asset]} for {grid.tickers[asset]}; name it under features instead"
        )
    filled = forward_fill(series[:, None])[first_row:, 0]
    if np.isnan(filled[-1]):
        raise DataError(f"the market column {name!r} has no value at all; leave it out")
    carried = np.flatnonzero(np.isnan(series[first_row:]) & np.isfinite(filled))
    if not carried.size:
        return filled, []
    first = date_label(grid.dates[first_row + int(carried[0])])
    return filled, [
        f"The market column {name!r} has no value on {carried.size} dates (the first: {first}); "
        "its last value was carried forward."
    ]


def _leading_gap(values: FloatArray) -> int:
    """Return the number of leading rows in which any column is NaN."""
    return int(np.isfinite(values).all(axis=1).argmax())


def _report(
    grid: _Grid, first_row: int, dropped: dict[str, str], notes: Iterable[str]
) -> DataReport:
    dates, tradable = grid.dates[first_row:], grid.tradable[first_row:]
    untradable = {}
    for asset, name in enumerate(grid.tickers):
        rows = np.flatnonzero(~tradable[:, asset])
        if rows.size:
            first = date_label(dates[rows[0]])
            untradable[name] = UntradableCells(count=int(rows.size), first_date=first)
    leading: tuple[DroppedRows, ...] = ()
    if first_row:
        late = [n for n, row in zip(grid.tickers, grid.first_quotes, strict=True) if row]
        start = date_label(dates[0])
        reason = f"{listed(late)} had no quote on the first date, and all have one by {start}"
        leading = (DroppedRows(count=first_row, reason=reason),)
    return DataReport(
        source="A frame in FinRL's long format",
        n_periods=len(dates),
        n_assets=len(grid.tickers),
        first_date=date_label(dates[0]),
        last_date=date_label(dates[-1]),
        dropped_tickers=dropped,
        dropped_rows=leading,
        untradable=untradable,
        notes=tuple(notes),
    )
