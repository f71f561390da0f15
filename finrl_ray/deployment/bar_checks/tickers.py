"""Whether new bars are of the agent's tickers, and whole on each new date."""

import re
from collections.abc import Collection, Sequence

import numpy as np
import pandas as pd

from finrl_ray._typing import BoolArray
from finrl_ray.data.columns import PRICE_COLUMNS
from finrl_ray.deployment.bar_checks.grid import BarGrid
from finrl_ray.deployment.bar_checks.history import SAME
from finrl_ray.errors import DataError
from finrl_ray.support.text import closest, did_you_mean, listed

_SIMILAR = 0.15
"""Two closes may be those of one company if the log of their ratio is no larger than this."""
_RECENT = 252
_OFTEN_ABSENT = 0.02


def plain_ticker(name: str) -> str:
    """Return a name by which spellings of one ticker are equal: BRK.B, BRK-B, brk/b."""
    return re.sub(r"[./_ -]+", "-", name.strip().upper())


def check_tickers(
    frame: pd.DataFrame,
    known: BarGrid,
    *,
    others: Collection[str],
    not_traded: Collection[str],
    ignore_others: bool,
    timezone: str | None,
) -> None:
    """Refuse rows of other tickers than the agent's.

    Parameters
    ----------
    frame : new bars in FinRL's long format
    known : of the agent's tickers
    others : tickers that the agent's source has beside them
    not_traded : tickers that may be missing
    ignore_others : whether others than these may be there
    timezone : as `data.timezone`

    Raises
    ------
    DataError
        Naming those that are missing and those that are there, and which may be the same.
    """
    names = list(dict.fromkeys(str(name) for name in frame["tic"]))
    missing = [name for name in known.tickers if name not in names and name not in not_traded]
    extra = [name for name in names if name not in known.tickers and name not in others]
    if missing:
        raise DataError(
            f"other tickers: there must be rows of each of {listed(known.tickers)}, but there are "
            f"none of {listed(missing)}{f', and some of {listed(extra)}' if extra else ''}. "
            + _same_company(missing[0], extra, frame, known, timezone)
        )
    if extra and not ignore_others:
        raise DataError(
            f"other tickers: there must be rows of {listed(known.tickers)} alone, but there are "
            f"some of {listed(extra)}.{did_you_mean(extra[0], known.tickers)} Leave their rows "
            "out, or say that they do not matter (--ignore-others)"
        )


def _same_company(
    name: str, extra: Sequence[str], frame: pd.DataFrame, known: BarGrid, timezone: str | None
) -> str:
    """Return what may have become of a ticker, and what to do."""
    spelt = next((one for one in extra if plain_ticker(one) == plain_ticker(name)), None)
    halted = (
        f"give its rows, or, if it was not traded, say so (--not-traded {name}) or give a row with "
        "its last close and tradable False"
    )
    by_price = _like_prices(name, extra, frame, known, timezone)
    found = spelt or by_price[0] or closest(name, extra, 0.75)
    if found is None:
        return halted[0].upper() + halted[1:]
    why = by_price[1] if found == by_price[0] else f"{found} may be {name} under another name"
    return f"{why}: if so, give its rows the name {name}; else {halted}"


def _like_prices(
    name: str, extra: Sequence[str], frame: pd.DataFrame, known: BarGrid, timezone: str | None
) -> tuple[str | None, str]:
    """Return the ticker whose prices are those of another, or go on from them."""
    if not extra:
        return None, ""
    try:
        new = BarGrid.of(frame, (), list(dict.fromkeys(str(n) for n in frame["tic"])), timezone)
    except DataError:
        return None, ""  # what is wrong with it is said when the names are right
    old = known.close[:, known.tickers.index(name)]
    _, ours, theirs = np.intersect1d(known.dates, new.dates, return_indices=True)
    quoted = old[np.isfinite(old)]
    for other in extra:
        fresh = new.close[:, new.tickers.index(other)]
        both = np.isfinite(old[ours]) & np.isfinite(fresh[theirs])
        if both.any() and np.allclose(old[ours][both], fresh[theirs][both], rtol=SAME, atol=0.0):
            return other, f"{other} has the known prices of {name} on {both.sum()} bars"
        later = fresh[(new.dates > known.dates[-1]) & (fresh > 0)]
        if both.any() or not later.size or not quoted.size or quoted[-1] <= 0:
            continue
        if abs(np.log(later[0] / quoted[-1])) <= _SIMILAR:
            return other, f"{other} begins at {later[0]:g}, and {name} ended at {quoted[-1]:g}"
    return None, ""


def check_cells(
    known: BarGrid, new: BarGrid, *, needed: Sequence[str], not_traded: Collection[str]
) -> tuple[str, ...]:
    """Refuse new dates on which a ticker has no whole bar; return what is to be looked at.

    Rows with `tradable` False need a close alone. A ticker that is often absent in the known bars
    (2 % of the last 252) may be absent again, which is said.

    Parameters
    ----------
    known, new : of the agent's tickers
    needed : columns beside prices and volume that features are made of; like these they must be
        there where most known bars have them
    not_traded : tickers without a bar

    Raises
    ------
    DataError
        With ticker, date and column.
    """
    rows = np.flatnonzero(new.dates > known.dates[-1])
    usual = {name: known.usual(name) for name in dict.fromkeys([*PRICE_COLUMNS, *needed])}
    columns = [name for name, tickers in usual.items() if tickers.any()]
    absent = [name for name in columns if name not in new.columns]
    if absent and rows.size:
        raise DataError(
            f"incomplete prices: there must be the columns {listed(columns)}, as in the bars that "
            f"the agent knows, but {listed(absent)} {'is' if len(absent) == 1 else 'are'} missing; "
            "add them"
        )
    notes = []
    often = _often_absent(known)
    for row in rows.tolist():
        for asset, ticker in enumerate(new.tickers):
            if new.there[row, asset]:
                _check_cell(new, row, asset, [name for name in columns if usual[name][asset]])
            elif ticker in not_traded or often[asset]:
                notes.append(f"{new.where(row, asset)} has no bar, and is not traded.")
            else:
                raise DataError(
                    f"incomplete prices: each ticker must have a bar on each new date, but there "
                    f"is none of {new.where(row, asset)}; add the row, or, if it was not traded, "
                    f"say so (--not-traded {ticker}) or give a row with its last close and "
                    "tradable False"
                )
    return tuple(notes)


def _often_absent(known: BarGrid) -> BoolArray:
    """Return which tickers lacked a bar of their own on several of the recent dates."""
    recent = known.there[-_RECENT:] & np.isfinite(known.close[-_RECENT:])
    return np.asarray((~recent).mean(axis=0) >= _OFTEN_ABSENT)


def _check_cell(new: BarGrid, row: int, asset: int, columns: Sequence[str]) -> None:
    own = bool(new.own[row, asset])
    for name in columns if own else ("close",):
        value = float(new.columns[name][row, asset])
        positive = name in PRICE_COLUMNS and name != "volume"
        if np.isfinite(value) and (value > 0 or not positive):
            continue
        must = "a price above 0" if positive else "a number"
        came = "nothing" if np.isnan(value) else repr(value)
        raise DataError(
            f"incomplete prices: {name} of {new.where(row, asset)} must be {must}, got {came}; "
            "correct the row, or wait until the bar is completed"
        )
