"""The columns of a long frame as plain arrays: dates, ticker names, numbers.

Whatever a cell holds, it becomes a checked value or a `DataError` that names the cell.
"""

import re
from collections.abc import Callable, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd

from finrl_ray._typing import AnyArray, DateArray, FloatArray
from finrl_ray.data.wording import did_you_mean, listed, nearest_column
from finrl_ray.errors import DataError

REQUIRED_COLUMNS = ("date", "tic", "close")

_ISO_DATE = re.compile(
    r"\d{4}-?\d{2}-?\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d{1,9})?)?)?", re.ASCII
)
_OFFSET = re.compile(r"\s*(?:Z|[+-]\d{2}(?::?\d{2})?)$", re.ASCII)
_HOW_TO_WRITE_DATES = (
    "write dates as YYYY-MM-DD, between 1677-09-22 and 2262-04-11, or convert the column with "
    "pd.to_datetime first"
)


def check_columns(df: pd.DataFrame, wanted: Sequence[str]) -> list[str]:
    """Check that a frame has FinRL's columns and those in `wanted`; return all its column names.

    Raises
    ------
    TypeError
        If `df` is no DataFrame.
    DataError
        If the columns have several levels, a name occurs twice, or a column is missing.
    """
    if not isinstance(df, pd.DataFrame):
        raise TypeError(
            f"df must be a pandas DataFrame in FinRL's long format, got a {type(df).__name__}"
        )
    if isinstance(df.columns, pd.MultiIndex):
        raise DataError(
            "the frame must be in FinRL's long format (one row per date and ticker), but its "
            f"columns have {df.columns.nlevels} levels; stack the ticker level into a column 'tic'"
        )
    columns = [name for name in df.columns if isinstance(name, str)]
    duplicates = [str(name) for name in df.columns[df.columns.duplicated()].unique()]
    if duplicates:
        raise DataError(
            f"each column name must occur once, but {listed(duplicates)} occur more than once; "
            "drop or rename them"
        )
    for name in REQUIRED_COLUMNS:
        if name not in columns:
            raise DataError(_missing_column(df, name, columns))
    for name in wanted:
        if name not in columns:
            raise DataError(
                f"the data has no column {name!r}; it has {listed(columns)}."
                f"{did_you_mean(name, columns)}"
            )
    return columns


def _missing_column(df: pd.DataFrame, name: str, columns: list[str]) -> str:
    message = f"the frame must have a column {name!r}, but it has {listed(columns)}."
    if name in df.index.names:
        return f"{message} {name!r} is in the index: call df.reset_index() first"
    nearest = nearest_column(name, columns)
    if nearest is None and name == "tic":
        return (
            f"{message} FinRL's long format has one row per date and ticker; reshape a wide table "
            "with df.melt(id_vars='date', var_name='tic', value_name='close')"
        )
    if nearest is None:
        return message
    return (
        f"{message} Did you mean {nearest!r}? Rename it: "
        f"df.rename(columns={{{nearest!r}: {name!r}}})"
    )


def read_tickers(series: "pd.Series[Any]") -> AnyArray:
    """Return the ticker names as an object array of str.

    Raises
    ------
    DataError
        If a name is missing, blank or not a string.
    """
    values = series.to_numpy(dtype=object)
    known: set[str] = set()
    for row, value in enumerate(values):
        if type(value) is str and value in known:
            continue
        if _is_missing(value) or (isinstance(value, str) and not value.strip()):
            raise DataError(f"'tic' must be filled in every row, but row {row} has {value!r}")
        if not isinstance(value, str):
            raise DataError(
                f"'tic' must hold names, but row {row} has {value!r} of type "
                f"{type(value).__name__}; convert it with df['tic'].astype(str)"
            )
        known.add(value)
    return np.array([str(value) for value in values], dtype=object)


def read_dates(series: "pd.Series[Any]", tickers: AnyArray) -> tuple[DateArray, bool]:
    """Return the dates as datetime64[ns], and whether a time zone was taken off.

    The local wall-clock time is kept: 09:30 in New York stays 09:30.

    Raises
    ------
    DataError
        If a date is missing, cannot be read, or only some dates have a time zone.
    """
    if pd.api.types.is_datetime64_any_dtype(series.dtype) and isinstance(
        series.dtype, (np.dtype, pd.DatetimeTZDtype)
    ):
        aware = isinstance(series.dtype, pd.DatetimeTZDtype)
        wall = pd.DatetimeIndex(series)
        index = wall.tz_localize(None) if aware else wall
    else:
        index, aware = _read_date_objects(series, tickers)
    missing = np.flatnonzero(index.isna())
    if missing.size:
        row = int(missing[0])
        raise DataError(
            f"'date' must be filled in every row, but row {row} (ticker {tickers[row]}) has none"
        )
    try:
        return index.as_unit("ns").to_numpy(), aware
    except (ValueError, OverflowError):
        raise DataError(
            f"dates must lie between 1677-09-22 and 2262-04-11, got {index.min()} to {index.max()}"
        ) from None


def _read_date_objects(
    series: "pd.Series[Any]", tickers: AnyArray
) -> tuple[pd.DatetimeIndex, bool]:
    cache: dict[tuple[type, Any], int] = {}
    stamps: list[Any] = []
    zones: list[bool] = []
    codes = np.empty(len(series), dtype=np.int64)
    for row, value in enumerate(series.tolist()):
        try:
            key = (type(value), value)
            code = cache.get(key)
        except TypeError:
            raise _bad_date(value, row, tickers) from None
        if code is None or value != value:
            stamp, aware = _read_date(value, row, tickers)
            _check_zone(zones, aware, value, row, tickers)
            code = cache[key] = len(stamps)
            stamps.append(stamp)
            zones.append(aware)
        codes[row] = code
    return pd.DatetimeIndex(_to_datetimes(stamps, codes, tickers)[codes]), any(zones)


def _check_zone(zones: list[bool], aware: bool, value: Any, row: int, tickers: AnyArray) -> None:
    if zones and zones[0] != aware:
        found, first = ("a", "no") if aware else ("no", "a")
        raise DataError(
            f"either all dates have a time zone or none, but {value!r} of {tickers[row]} (row "
            f"{row}) has {found} time zone and the first date has {first} time zone"
        )


def _read_date(value: Any, row: int, tickers: AnyArray) -> tuple[Any, bool]:
    """Return (a wall-clock ISO string or datetime, whether it had a time zone)."""
    if _is_missing(value):
        raise DataError(
            f"'date' must be filled in every row, but row {row} (ticker {tickers[row]}) has "
            f"{value!r}"
        )
    if isinstance(value, str):
        return _read_date_text(value, row, tickers)
    if isinstance(value, datetime):
        stamp = pd.Timestamp(value)
        return stamp.tz_localize(None), stamp.tzinfo is not None
    if isinstance(value, (date, np.datetime64)):
        try:
            return pd.Timestamp(value), False
        except (ValueError, OverflowError):
            raise _bad_date(value, row, tickers) from None
    raise _bad_date(value, row, tickers)


def _read_date_text(value: str, row: int, tickers: AnyArray) -> tuple[str, bool]:
    text = value.strip().replace("/", "-")
    zone = _OFFSET.search(text) if ":" in text else None
    wall = text[: zone.start()] if zone else text
    if _ISO_DATE.fullmatch(wall) is None:
        raise _bad_date(value, row, tickers)
    return wall, zone is not None


def _to_datetimes(stamps: list[Any], codes: AnyArray, tickers: AnyArray) -> AnyArray:
    texts = [isinstance(stamp, str) for stamp in stamps]
    result = np.empty(len(stamps), dtype="datetime64[us]")
    for position, (stamp, is_text) in enumerate(zip(stamps, texts, strict=True)):
        if not is_text:
            result[position] = stamp.to_datetime64()
    if any(texts):
        where = np.flatnonzero(texts)
        read = pd.to_datetime(
            pd.Series([stamps[i] for i in where]), format="ISO8601", errors="coerce"
        )
        bad = np.flatnonzero(read.isna().to_numpy())
        if bad.size:
            position = int(where[bad[0]])
            row = int(np.flatnonzero(codes == position)[0])
            raise _bad_date(stamps[position], row, tickers)
        result[where] = read.to_numpy()
    return result


def _bad_date(value: Any, row: int, tickers: AnyArray) -> DataError:
    return DataError(
        f"'date' {value!r} of {tickers[row]} (row {row}) cannot be read as a date; "
        f"{_HOW_TO_WRITE_DATES}"
    )


def _is_missing(value: Any) -> bool:
    return (
        value is None
        or value is pd.NaT
        or value is pd.NA
        or (isinstance(value, (float, np.floating)) and bool(np.isnan(value)))
    )


def read_numbers(series: "pd.Series[Any]", column: str, where: Callable[[int], str]) -> FloatArray:
    """Return a column as float64, missing cells as NaN.

    Parameters
    ----------
    series : the column
    column : its name, for messages
    where : row number to words that name the ticker and the date

    Raises
    ------
    DataError
        If a cell holds something that is not a real number (strings of digits included), or
        infinity.
    """
    dtype = series.dtype
    if pd.api.types.is_numeric_dtype(dtype) and not pd.api.types.is_complex_dtype(dtype):
        values = series.to_numpy(dtype=np.float64, na_value=np.nan)
    else:
        values = _read_number_objects(series.tolist(), column, where)
    infinite = np.flatnonzero(np.isinf(values))
    if infinite.size:
        row = int(infinite[0])
        raise DataError(
            f"{column} of {where(row)} must be finite, got {values[row]}; correct the row, or "
            "leave the cell empty if there was no quote"
        )
    return values


def _read_number_objects(cells: list[Any], column: str, where: Callable[[int], str]) -> FloatArray:
    read = [_read_number(value) for value in cells]
    wrong = [row for row, number in enumerate(read) if number is None]
    if wrong:
        # one bad cell of a CSV file makes texts of the whole column: it is the one to name
        row = next((row for row in wrong if not _is_digits(cells[row])), wrong[0])
        raise _bad_number(cells[row], row, column, where)
    return np.array(read, dtype=np.float64)


def _read_number(value: Any) -> float | None:
    """Return a cell as a number, NaN where it is missing, None where it is no number."""
    if _is_missing(value):
        return float("nan")
    if isinstance(value, (int, float, np.number, Decimal)) and not isinstance(
        value, np.complexfloating
    ):
        try:
            return float(value)
        except (OverflowError, ValueError):
            pass
    return None


def _is_digits(value: Any) -> bool:
    if not isinstance(value, str):
        return False
    try:
        float(value)
    except ValueError:
        return False
    return True


def _bad_number(value: Any, row: int, column: str, where: Callable[[int], str]) -> DataError:
    advice = "correct the cell"
    if isinstance(value, str):
        advice = (
            f"convert the column with pd.to_numeric(df[{column!r}]), after removing thousands "
            "separators or currency signs"
        )
    return DataError(
        f"{column} of {where(row)} must be a number, got {value!r} of type "
        f"{type(value).__name__}; {advice}"
    )
