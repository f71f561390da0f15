"""Prices from a function of the user's: `data.source: my_source:read`."""

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from finrl_ray.config.data import DataConfig
from finrl_ray.data.frames.long_table import read_table
from finrl_ray.data.labels import date_label
from finrl_ray.errors import DataError
from finrl_ray.own_code.arguments import asked_arguments
from finrl_ray.own_code.definition import OwnFunction
from finrl_ray.own_code.failures import calling
from finrl_ray.own_code.load import load_object
from finrl_ray.support.text import counted

READ_ONCE = "read_once"
"""An attribute of the function: True if reading twice would cost too much."""


def own_source(config: DataConfig) -> OwnFunction:
    """Return the function that `config.source` names.

    Raises
    ------
    ConfigError
        Naming file, line and remedy, if it cannot be loaded.
    """
    function: Callable[..., Any] = load_object(config.source, "source")
    return OwnFunction(reference=config.source, kind="source", function=function)


def read_own_source(config: DataConfig) -> pd.DataFrame:
    """Return the rows that the user's function gives, checked.

    It is called with those of the keywords `tickers` (list of text, or None), `start` and `end`
    (`datetime.date`, or None) that it takes, and with all of `config.source_kwargs`; twice, to see
    that it gives the same rows, unless it has the attribute `read_once`.

    Raises
    ------
    OwnCodeError
        Naming file, line and remedy: if it raises, returns something else than a frame in FinRL's
        long format, a row without date, ticker or close, a row twice, or other rows when it is
        called again.
    """
    source = own_source(config)
    tickers = None if config.tickers is None else list(config.tickers)
    known = {"tickers": tickers, "start": config.start, "end": config.end}
    given, key = config.source_kwargs, "data.source_kwargs"
    asked = asked_arguments(source.function, known, given, who=source.who, key=key)
    arguments = {**{name: known[name] for name in asked}, **given}
    rows = _called(source, arguments)
    _check_rows(source, rows, config)
    if not getattr(source.function, READ_ONCE, False):
        _check_again(source, rows, _called(source, arguments))
    return rows


def _called(source: OwnFunction, arguments: dict[str, Any]) -> pd.DataFrame:
    with calling(source.reference, "source", "when it was asked for prices"):
        rows = source.function(**copy.deepcopy(arguments))
    if isinstance(rows, pd.DataFrame):
        return rows
    remedy = "return a pandas DataFrame with the columns date, tic, close and, if there are any, "
    remedy += "open, high, low, volume"
    if hasattr(rows, "to_pandas"):
        remedy = "return its .to_pandas()"
    elif rows is None:
        remedy += " (is a return missing?)"
    raise source.refused(f"returned {_a(rows)}, not a table", remedy)


def _a(value: object) -> str:
    return "nothing" if value is None else f"a {type(value).__name__}"


def _check_rows(source: OwnFunction, rows: pd.DataFrame, config: DataConfig) -> None:
    """Refuse rows that cannot be used, and those that a function should leave out."""
    _check_cells(source, rows)
    try:
        read_table(rows, (), config.tickers, config.start, config.end, config.timezone)
    except DataError as error:
        raise source.refused(f"returned rows that cannot be used: {error}", "mend it there") from (
            error
        )
    pairs = rows[["date", "tic"]]
    repeated = np.flatnonzero(pairs.duplicated().to_numpy())
    if repeated.size:
        row = int(repeated[0])
        raise source.refused(
            f"returned {counted(repeated.size, 'row')} of a date and ticker that it has already "
            f"(the first: {_where(rows, row)})",
            "keep one row for each: rows.drop_duplicates(['date', 'tic'])",
        )


def _check_cells(source: OwnFunction, rows: pd.DataFrame) -> None:
    for name in ("date", "tic", "close"):
        if list(rows.columns).count(name) != 1:
            continue  # reading the table says so, with the nearest name
        missing = np.flatnonzero(rows[name].isna().to_numpy())
        if missing.size:
            raise source.refused(
                f"returned {counted(missing.size, 'row')} without a {name} (the first: "
                f"{_where(rows, int(missing[0]))})",
                "leave such rows out: a date without a row is one on which the ticker could not "
                "be traded",
            )


def _where(rows: pd.DataFrame, row: int) -> str:
    said = [f"row {row}"]
    for name in ("tic", "date"):
        value = rows[name].iloc[row] if name in rows.columns else None
        if value is not None and not pd.isna(value):
            is_date = isinstance(value, pd.Timestamp) and value.tzinfo is None
            said.append(date_label(value.to_datetime64()) if is_date else str(value))
    return ", ".join(said)


def _check_again(source: OwnFunction, rows: pd.DataFrame, again: pd.DataFrame) -> None:
    """Refuse a function that gives other rows when it is called again."""
    if list(rows.columns) == list(again.columns) and rows.equals(again):
        return
    if rows.shape != again.shape or list(rows.columns) != list(again.columns):
        what = f"{rows.shape[0]} rows of {list(rows.columns)} and then {again.shape[0]} of "
        what += f"{list(again.columns)}"
    else:
        what = _first_difference(rows, again)
    raise source.refused(
        f"returned other rows when it was called a second time: {what}",
        "let the same arguments give the same rows: fix the seed of what is random, sort what has "
        "no order, and give data.end, so that a bar of today does not count; or, if calling it "
        f"twice is what changes them, set {getattr(source.function, '__name__', 'read')}."
        f"{READ_ONCE} = True",
    )


def _first_difference(rows: pd.DataFrame, again: pd.DataFrame) -> str:
    for name in rows.columns:
        first, second = rows[name].reset_index(drop=True), again[name].reset_index(drop=True)
        if first.dtype != second.dtype:
            return f"{name} was {first.dtype} and then {second.dtype}"
        apart = np.flatnonzero(((first != second) & ~(first.isna() & second.isna())).to_numpy())
        if apart.size:
            row = int(apart[0])
            return f"{name} of {_where(rows, row)} was {first[row]!s} and then {second[row]!s}"
    return "the same cells under another index"
