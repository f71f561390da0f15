"""The columns of a long frame as plain arrays: ticker names, numbers and flags.

Whatever a cell holds, it becomes a checked value or a `DataError` that names the cell.
"""

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd

from finrl_ray._typing import AnyArray, BoolArray, FloatArray
from finrl_ray.data.frames.missing_cells import is_missing
from finrl_ray.data.indicators import is_indicator
from finrl_ray.data.labels import how_to_compute, nearest_column
from finrl_ray.errors import DataError
from finrl_ray.support.text import did_you_mean, listed

REQUIRED_COLUMNS = ("date", "tic", "close")


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
    missing = [name for name in wanted if name not in columns]
    if missing:
        raise DataError(_missing_features(missing, columns))
    return columns


def _missing_features(missing: Sequence[str], columns: list[str]) -> str:
    name = missing[0]
    message = f"the data has no column {name!r}; it has {listed(columns)}."
    nearest = did_you_mean(name, columns)
    computed = [name for name in missing if is_indicator(name)]
    return message + (how_to_compute(computed) if computed and not nearest else nearest)


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
        if is_missing(value) or (isinstance(value, str) and not value.strip()):
            raise DataError(f"'tic' must be filled in every row, but row {row} has {value!r}")
        if not isinstance(value, str):
            raise DataError(
                f"'tic' must hold names, but row {row} has {value!r} of type "
                f"{type(value).__name__}; convert it with df['tic'].astype(str)"
            )
        known.add(value)
    return np.array([str(value) for value in values], dtype=object)


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
    if is_missing(value):
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


def read_flags(series: "pd.Series[Any]", where: Callable[[int], str]) -> BoolArray:
    """Return the column `tradable` as bools; a missing cell says nothing, so it is True.

    Raises
    ------
    DataError
        If a cell is neither true nor false.
    """
    known: dict[Any, bool] = {True: True, False: False, "true": True, "false": False}
    known |= {"1": True, "0": False, "1.0": True, "0.0": False}
    flags = np.ones(len(series), dtype=np.bool_)
    for row, value in enumerate(series.tolist()):
        if is_missing(value):
            continue
        flag = known.get(value.strip().lower() if isinstance(value, str) else value)
        if flag is None:
            raise DataError(
                f"{series.name} of {where(row)} must be True or False, got {value!r}: it says "
                "whether the ticker has a quote of its own; rename a column of another meaning"
            )
        flags[row] = flag
    return flags
