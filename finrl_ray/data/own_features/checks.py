"""Features of own code: the same when asked again, without holes, and without the future."""

import numpy as np

from finrl_ray._typing import FloatArray, IntArray
from finrl_ray.data.labels import date_label
from finrl_ray.data.own_features.tables import Asked, Call, Columns, called
from finrl_ray.own_code.failures import OwnCodeError
from finrl_ray.support.text import listed

N_CUTS = 8
"""Dates after which the prices are taken away."""
TOLERANCE = 1e-9
"""Relative to the deviation of a column: sums of other lengths agree to rounding."""


def check_columns(call: Call, asked: Asked, found: Columns) -> None:
    """Refuse infinities, and NaN after the first number of a column.

    Raises
    ------
    OwnCodeError
        Naming file, line, column, ticker, date and remedy.
    """
    tradable = asked.market_data.tradable[np.ix_(asked.rows, asked.assets)]
    for name, values in found.items():
        infinite = np.argwhere(np.isinf(values) & tradable)
        if infinite.size:
            raise call.refused(
                f"returned an infinite value{_in(name)} for {_cell(asked, infinite[0])}",
                "do not divide by what may be zero",
            )
        begun = np.maximum.accumulate(np.isfinite(values), axis=0)
        never = np.flatnonzero(~begun[-1]) if len(values) else np.arange(values.shape[1])
        if never.size:
            ticker = asked.market_data.tickers[int(asked.assets[never[0]])]
            raise call.refused(
                f"returned no number{_in(name)} for {ticker} in {len(values)} rows",
                "use a shorter window, or leave the ticker out",
            )
        holes = np.argwhere(np.isnan(values) & begun & tradable)
        if holes.size:
            raise call.refused(
                f"returned NaN{_in(name)} for {_cell(asked, holes[0])}, after numbers "
                f"({len(holes)} such cells)",
                "NaN may stand at the beginning alone, until there are enough rows; fill others "
                "with what is known on their day",
            )


def check_again(call: Call, asked: Asked, found: Columns) -> None:
    """Call the function once more: the same prices must give the same bits.

    Raises
    ------
    OwnCodeError
        Naming file, line, column, ticker, date and remedy, if they do not.
    """
    again = called(call, asked)
    _check_same_names(call, found, again, "when it was called again")
    for name, values in found.items():
        apart = (values != again[name]) & ~(np.isnan(values) & np.isnan(again[name]))
        if apart.any():
            cell = np.argwhere(apart)[0]
            raise call.refused(
                f"returned {float(values[tuple(cell)])!r}{_in(name)} for {_cell(asked, cell)}, and "
                f"{float(again[name][tuple(cell)])!r} when it was called again with the same "
                "prices",
                "let the same prices give the same numbers: fix the seed of what is random, and "
                "keep nothing from one call to the next",
            )


def check_without_future(call: Call, asked: Asked, found: Columns) -> None:
    """Call the function without the last rows, for several dates: earlier values must stay.

    Raises
    ------
    OwnCodeError
        Naming file, line, column, ticker, date and remedy, if they do not.
    """
    for count in _cuts(found):
        shorter = called(call, asked.first(count))
        last = date_label(asked.market_data.dates[asked.rows[count - 1]])
        _check_same_names(call, found, shorter, f"without the rows after {last}")
        for name, values in found.items():
            cell = _first_apart(values[:count], shorter[name])
            if cell is None:
                continue
            raise call.refused(
                f"looks ahead: {f'{name!r} of ' if name else 'its value for '}"
                f"{_cell(asked, cell)} is {values[tuple(cell)]:.6g}, but "
                f"{shorter[name][tuple(cell)]:.6g} without the rows after {last}",
                "compute each row from rows up to its own: no shift(-1), no centred window, no "
                "bfill(), no mean, rank or scaling over all rows",
            )


def check_same_columns(call: Call, asked: Asked, found: Columns, first: Columns) -> None:
    """Refuse columns that one ticker has and another has not.

    Raises
    ------
    OwnCodeError
        Naming file, line, ticker and remedy.
    """
    _check_same_names(call, first, found, f"for {asked.who}")


def _check_same_names(call: Call, one: Columns, other: Columns, when: str) -> None:
    if list(one) == list(other):
        return
    raise _other_columns(call, one, other, when)


def _other_columns(call: Call, one: Columns, other: Columns, when: str) -> OwnCodeError:
    return call.refused(
        f"returned the columns {_names(other)} {when}, and {_names(one)} before",
        "return the same columns in the same order, whatever the prices are",
    )


def _names(found: Columns) -> str:
    return listed(found) if "" not in found else "of a series"


def _cuts(found: Columns) -> IntArray:
    """Return numbers of rows, spread over the later half and after the first complete row."""
    complete = np.ones(1, dtype=bool)
    for values in found.values():
        complete = complete & np.isfinite(values).all(axis=1)
    rows = len(complete)
    first = max(rows // 2, int(complete.argmax()) + 2)
    # not beyond the last row but one, and some of them one row apart
    spread = np.linspace(first, rows - 1, N_CUTS).astype(np.int64)
    return np.unique(spread[(spread > 0) & (spread < rows)])


def _first_apart(values: FloatArray, others: FloatArray) -> IntArray | None:
    scale = float(np.nanstd(values)) if np.isfinite(values).any() else 0.0
    with np.errstate(invalid="ignore"):
        apart = np.abs(values - others) > TOLERANCE * max(scale, 1e-12)
    apart |= np.isnan(values) != np.isnan(others)
    return np.argwhere(apart)[0] if apart.any() else None


def _in(name: str) -> str:
    return f" in {name!r}" if name else ""


def _cell(asked: Asked, cell: IntArray) -> str:
    row, column = int(cell[0]), int(cell[1])
    data = asked.market_data
    ticker = data.tickers[int(asked.assets[column])]
    return f"{ticker} on {date_label(data.dates[asked.rows[row]])}"
