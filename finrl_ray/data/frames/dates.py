"""The dates of a long frame: naive ones as written, instants on one clock, days by local date.

A row of a market is one instant. So dates with a time of day and a time zone are converted to one
zone, whatever zones they were written in; a day (midnight where it was written) keeps its date.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Literal, TypeAlias

import numpy as np
import pandas as pd

from finrl_ray._typing import AnyArray, BoolArray, DateArray
from finrl_ray.data.frames.missing_cells import is_missing
from finrl_ray.errors import DataError

DateLike: TypeAlias = str | date | np.datetime64 | pd.Timestamp
DateKind: TypeAlias = Literal["naive", "days", "instants"]

DEFAULT_ZONE = "UTC"

_ISO_DATE = re.compile(
    r"\d{4}-?\d{2}-?\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d{1,9})?)?)?", re.ASCII
)
_OFFSET = re.compile(r"\s*(?:Z|UTC|(?P<sign>[+-])(?P<h>\d{2})(?::?(?P<m>\d{2}))?)$", re.ASCII)
_HOW_TO_WRITE_DATES = (
    "write dates as YYYY-MM-DD, between 1677-09-22 and 2262-04-11, or convert the column with "
    "pd.to_datetime first"
)
_ONE_SECOND = pd.Timedelta(seconds=1)


@dataclass(frozen=True, kw_only=True)
class RowDates:
    """The dates of rows without a time zone, and what the zone was.

    Parameters
    ----------
    dates : array of shape (R,), datetime64[ns]
    kind : `naive`: there was no zone; `days`: all were midnight where they were written, and the
        local dates were kept; `instants`: converted to `zone`
    zone : name of a time zone, by whose clock `instants` are written
    """

    dates: DateArray
    kind: DateKind
    zone: str

    @property
    def note(self) -> str:
        """What was done about the zone, as a sentence; empty where there was none."""
        if self.kind == "days":
            return (
                "The dates had a time zone; the local dates were kept and the zone was taken off."
            )
        if self.kind == "instants":
            return (
                f"The dates had a time zone and a time of day; they were converted to {self.zone}, "
                "so that each row is one instant."
            )
        return ""

    @property
    def _are_days(self) -> bool:
        return bool((self.dates == self.dates.astype("datetime64[D]")).all())

    def bound(self, value: DateLike, name: str) -> np.datetime64:
        """Return a user's date as these dates are written.

        Parameters
        ----------
        value : one with a time zone is converted as the rows were; one without is by their clock
        name : of the argument, for messages

        Raises
        ------
        DataError
            If it is no date, or has a time zone where the rows are times without one.
        """
        try:
            stamp = pd.Timestamp(value)
            has_zone = stamp.tzinfo is not None
            if has_zone and self.kind == "instants":
                stamp = stamp.tz_convert(self.zone)
            stamp = stamp.tz_localize(None)
            readable = not pd.isna(stamp)
        except (ValueError, TypeError, OverflowError, AttributeError):
            readable = False
        if not readable:
            raise DataError(f"{name} must be a date such as 2020-01-31, got {value!r}")
        if has_zone and self.kind == "naive" and not self._are_days:
            raise DataError(
                f"{name} must have no time zone, as the dates have none, got {value!r}; give the "
                "clock time of the rows"
            )
        # a date such as 9999-12-31 does not fit into nanoseconds
        return min(max(stamp, pd.Timestamp.min), pd.Timestamp.max).as_unit("ns").to_datetime64()


def read_dates(
    series: "pd.Series[Any]", tickers: AnyArray, timezone: str | None = None
) -> RowDates:
    """Return the dates of rows.

    Parameters
    ----------
    series : ISO texts, timestamps or dates, all with a time zone or none
    tickers : of the same rows, for messages
    timezone : name of the zone that instants are converted to; UTC when None

    Raises
    ------
    DataError
        If a date is missing, cannot be read, or only some dates have a time zone; if the clock of
        `timezone` shows two of the instants alike.
    """
    if pd.api.types.is_datetime64_any_dtype(series.dtype) and isinstance(
        series.dtype, (np.dtype, pd.DatetimeTZDtype)
    ):
        read = _read_typed(pd.DatetimeIndex(series))
    else:
        read = _read_objects(series, tickers)
    missing = np.flatnonzero(read.wall.isna())
    if missing.size:
        row = int(missing[0])
        raise DataError(
            f"'date' must be filled in every row, but row {row} (ticker {tickers[row]}) has none"
        )
    zone = DEFAULT_ZONE if timezone is None else timezone
    try:
        return _on_one_clock(read, zone)
    except DataError:
        raise
    except (ValueError, OverflowError):
        raise DataError(
            "dates must lie between 1677-09-22 and 2262-04-11, got "
            f"{read.wall.min()} to {read.wall.max()}"
        ) from None


def written_dates(rows: RowDates, written: Iterable[Any], dates: DateArray) -> tuple[Any, ...]:
    """Return, for each of `dates`, how it was written in a row.

    Parameters
    ----------
    rows : dates of rows
    written : the same as the user wrote them
    dates : some of them, each once

    Returns
    -------
    tuple
        Where one date was written in several ways, the first of these as text, so that the order of
        the rows does not matter.
    """
    label_of: dict[np.datetime64, Any] = {}
    for stamp, label in zip(rows.dates, written, strict=True):
        known = label_of.setdefault(stamp, label)
        if known is not label and str(label) < str(known):
            label_of[stamp] = label
    return tuple(label_of[stamp] for stamp in dates)


@dataclass(frozen=True, kw_only=True)
class _Read:
    """Local clock times of rows; where there is a zone, also UTC, and which begin a local day."""

    wall: pd.DatetimeIndex
    utc: pd.DatetimeIndex | None = None
    begins_day: BoolArray | None = None


def _read_typed(index: pd.DatetimeIndex) -> _Read:
    if index.tz is None:
        return _Read(wall=index)
    wall = index.tz_localize(None)
    return _Read(
        wall=wall,
        utc=index.tz_convert("UTC").tz_localize(None),
        begins_day=_begins_day(index, wall),
    )


def _begins_day(index: pd.DatetimeIndex, wall: pd.DatetimeIndex) -> BoolArray:
    """Return which instants are the first of their local day, also where that is 01:00."""
    begins: BoolArray = np.asarray(wall == wall.normalize())
    rest = ~begins & ~np.asarray(wall.isna())
    if rest.any():
        before = (index[rest] - _ONE_SECOND).tz_localize(None)
        begins[rest] = before.normalize() != wall[rest].normalize()
    return begins


def _on_one_clock(read: _Read, zone: str) -> RowDates:
    if read.utc is None or read.begins_day is None:
        return RowDates(dates=_as_ns(read.wall), kind="naive", zone=zone)
    if read.begins_day.all():
        return RowDates(dates=_as_ns(read.wall.normalize()), kind="days", zone=zone)
    utc = read.utc.as_unit("ns")
    local = utc.tz_localize("UTC").tz_convert(zone)
    wall = local.tz_localize(None)
    if _begins_day(local, wall).all():
        return RowDates(dates=_as_ns(wall.normalize()), kind="days", zone=zone)
    _check_clock(utc, wall, zone)
    return RowDates(dates=_as_ns(wall), kind="instants", zone=zone)


def _check_clock(utc: pd.DatetimeIndex, wall: pd.DatetimeIndex, zone: str) -> None:
    """Refuse a zone whose clock, set back in autumn, shows two of the instants alike."""
    instants = utc.unique()
    shown = pd.Series(instants, index=wall[~utc.duplicated()])
    twice = shown.index[shown.index.duplicated()]
    if len(twice):
        both = sorted(shown.loc[[twice[0]]])
        raise DataError(
            f"the clock of {zone} shows {twice[0]} twice, for the rows of {both[0]} and "
            f"{both[1]} UTC; leave data.timezone out (UTC), which has no summer time"
        )


def _as_ns(index: pd.DatetimeIndex) -> DateArray:
    result: DateArray = index.as_unit("ns").to_numpy()
    return result


@dataclass(frozen=True, slots=True)
class _Cell:
    """One distinct value: its local clock time, and the offset from UTC where it has a zone."""

    wall: Any  # ISO text, or pd.Timestamp without a zone
    offset: timedelta | None = None
    begins_day: bool = False


def _read_objects(series: "pd.Series[Any]", tickers: AnyArray) -> _Read:
    known: dict[tuple[Any, ...], int] = {}
    cells: list[_Cell] = []
    codes = np.empty(len(series), dtype=np.int64)
    for row, value in enumerate(series.tolist()):
        try:
            key = _key(value)
            code = known.get(key)
        except TypeError:
            raise _bad_date(value, row, tickers) from None
        if code is None or value != value:
            cell = _read_cell(value, row, tickers)
            _check_zone(cells, cell, value, row, tickers)
            code = known[key] = len(cells)
            cells.append(cell)
        codes[row] = code
    walls = _to_datetimes([cell.wall for cell in cells], codes, tickers)
    wall = pd.DatetimeIndex(walls)
    if not cells or cells[0].offset is None:
        return _Read(wall=wall[codes])
    offsets = np.array([cell.offset for cell in cells], dtype="timedelta64[us]")
    begins = np.asarray(wall == wall.normalize()) | [cell.begins_day for cell in cells]
    return _Read(
        wall=wall[codes],
        utc=pd.DatetimeIndex((walls - offsets)[codes]),
        begins_day=np.asarray(begins, dtype=bool)[codes],
    )


def _key(value: Any) -> tuple[Any, ...]:
    """Return what tells values apart; instants in two zones are equal, but not the same date."""
    if isinstance(value, datetime) and value.tzinfo is not None:
        return (type(value), value, id(value.tzinfo), value.utcoffset())
    return (type(value), value)


def _check_zone(cells: list[_Cell], cell: _Cell, value: Any, row: int, tickers: AnyArray) -> None:
    if cells and (cells[0].offset is None) != (cell.offset is None):
        found, first = ("no", "a") if cell.offset is None else ("a", "no")
        raise DataError(
            f"either all dates have a time zone or none, but {value!r} of {tickers[row]} (row "
            f"{row}) has {found} time zone and the first date has {first} time zone"
        )


def _read_cell(value: Any, row: int, tickers: AnyArray) -> _Cell:
    if is_missing(value):
        raise DataError(
            f"'date' must be filled in every row, but row {row} (ticker {tickers[row]}) has "
            f"{value!r}"
        )
    if isinstance(value, str):
        return _read_text(value, row, tickers)
    if not isinstance(value, (date, np.datetime64)):
        raise _bad_date(value, row, tickers)
    try:
        stamp = pd.Timestamp(value)
        if stamp.tzinfo is None:
            return _Cell(stamp)
        index = pd.DatetimeIndex([stamp])
        wall = index.tz_localize(None)
        utc = index.tz_convert("UTC").tz_localize(None)
        begins = bool(_begins_day(index, wall)[0])
        return _Cell(wall[0], (wall[0] - utc[0]).to_pytimedelta(), begins)
    except (ValueError, OverflowError):
        raise _bad_date(value, row, tickers) from None


def _read_text(value: str, row: int, tickers: AnyArray) -> _Cell:
    text = value.strip().replace("/", "-")
    zone = _OFFSET.search(text) if ":" in text or text.endswith(("Z", "UTC")) else None
    wall = text[: zone.start()] if zone else text
    if _ISO_DATE.fullmatch(wall) is None:
        raise _bad_date(value, row, tickers)
    if zone is None:
        return _Cell(wall)
    offset = timedelta(hours=int(zone["h"] or 0), minutes=int(zone["m"] or 0))
    return _Cell(wall, -offset if zone["sign"] == "-" else offset)


def _to_datetimes(walls: list[Any], codes: AnyArray, tickers: AnyArray) -> AnyArray:
    texts = [isinstance(wall, str) for wall in walls]
    result = np.empty(len(walls), dtype="datetime64[us]")
    for position, (wall, is_text) in enumerate(zip(walls, texts, strict=True)):
        if not is_text:
            result[position] = wall.to_datetime64()
    if any(texts):
        where = np.flatnonzero(texts)
        read = pd.to_datetime(
            pd.Series([walls[i] for i in where]), format="ISO8601", errors="coerce"
        )
        bad = np.flatnonzero(read.isna().to_numpy())
        if bad.size:
            position = int(where[bad[0]])
            row = int(np.flatnonzero(codes == position)[0])
            raise _bad_date(walls[position], row, tickers)
        result[where] = read.to_numpy()
    return result


def _bad_date(value: Any, row: int, tickers: AnyArray) -> DataError:
    return DataError(
        f"'date' {value!r} of {tickers[row]} (row {row}) cannot be read as a date; "
        f"{_HOW_TO_WRITE_DATES}"
    )
