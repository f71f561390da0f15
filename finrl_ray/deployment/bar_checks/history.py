"""Whether new bars go on from those that an agent knows: no changed history, no split between.

Where both have a bar it must be the same, to `SAME`: writing a number as text and reading it again
can move it by a few units of its last place. Anything more would give other features than those
that the agent was trained on.
"""

from collections.abc import Collection, Sequence
from fractions import Fraction

import numpy as np

from finrl_ray._typing import BoolArray, FloatArray, IntArray
from finrl_ray.data.labels import date_label
from finrl_ray.data.split_jumps import (
    CLEAR,
    RATIOS,
    SMALLEST_JUMP,
    SplitJump,
    find_split_jumps,
)
from finrl_ray.deployment.bar_checks.grid import BarGrid
from finrl_ray.errors import DataError
from finrl_ray.support.text import counted

SAME = 1e-9
"""Largest relative difference of two values that count as one."""
_SPREAD = 2e-3
"""Closes that were rounded are a constant multiple of others up to this."""
_NEAR_SPLIT = 5e-3
_ROUNDED = 1e-3
_AROUND = 260
"""Known bars before the first new one that are looked at for the size of usual moves."""
_FEWEST_SHIFTED = 3
_NEAR_JUMP, _NEAR_ALWAYS = 3.0, 0.02
"""How near to the log of a ratio a jump lies, in standard deviations of daily moves and besides."""
REBASED = 1e-5
"""The same after prices were rebased: some sources compute adjusted ones anew for each answer."""
_MOST_REBASED = 0.1
_FEWEST_REBASED = 3


def check_overlap(
    known: BarGrid,
    new: BarGrid,
    columns: Sequence[str],
    *,
    not_traded: Collection[str] = (),
    same: float = SAME,
) -> str:
    """Refuse another history than the known one; return what was compared, as a sentence.

    Parameters
    ----------
    known : of the agent
    new : of the same tickers in the same order
    columns : that must be the same; `close` first
    not_traded : tickers that are not compared where they have no row
    same : largest relative difference of two values that count as one

    Raises
    ------
    DataError
        If closes differ by a constant factor (an adjustment since), if all bars bear another date
        (another time zone), or if any value, or the list of dates, differs otherwise; with ticker
        and date.
    """
    _, ours, theirs = np.intersect1d(known.dates, new.dates, return_indices=True)
    within = (new.dates >= known.dates[0]) & (new.dates <= known.dates[-1])
    if not within.any():
        return (
            "No bar is among those that the agent knows, so that a changed history cannot be seen; "
            "give the last known bars too."
        )
    left_out = np.array([name in not_traded for name in known.tickers]) & ~new.there.any(axis=0)
    changed = _first_change(known, new, ours, theirs, columns, ~left_out, same)
    spanned = (known.dates >= new.dates[0]) & (known.dates <= new.dates[-1])
    unknown = new.dates[within & ~np.isin(new.dates, known.dates)]
    lacking = known.dates[spanned & ~np.isin(known.dates, new.dates)]
    if changed is None and not unknown.size and not lacking.size:
        return (
            f"{counted(len(ours), 'bar')} of those that the agent knows "
            f"{'is' if len(ours) == 1 else 'are'} the same, to a relative difference of {same:g}."
        )
    _refuse_shifted(known, new)
    _refuse_adjusted(known, new, ours, theirs)
    if changed is not None:
        raise DataError(changed)
    day = date_label((unknown if unknown.size else lacking)[0])
    what = "has a bar that the agent does not know" if unknown.size else "lacks a bar that it knows"
    raise DataError(
        f"changed history: up to {date_label(known.dates[-1])} there must be the bars that the "
        f"agent knows, but the table {what}, on {day} ({counted(len(unknown), 'unknown bar')}, "
        f"{len(lacking)} missing); give the prices of the same exchange, from the same source"
    )


def rebase_factors(known: BarGrid, new: BarGrid) -> FloatArray:
    """Return by what prices were multiplied since they were known, of shape (N,); 1 where not.

    A factor is one that holds for all bars in common, three or more, and moves prices by 10 % at
    most, as dividends do: a split changes the number of shares too.

    Parameters
    ----------
    known : of the agent
    new : of the same tickers in the same order
    """
    _, ours, theirs = np.intersect1d(known.dates, new.dates, return_indices=True)
    factors = np.ones(len(known.tickers))
    for asset in range(len(known.tickers)):
        old, fresh = known.close[ours, asset], new.close[theirs, asset]
        usable = known.own[ours, asset] & (old > 0) & (fresh > 0)
        ratios = fresh[usable] / old[usable]
        if ratios.size < _FEWEST_REBASED or np.abs(ratios - 1.0).max() <= SAME:
            continue
        factor = float(np.median(ratios))
        spread = np.abs(ratios / factor - 1.0).max()
        if spread <= REBASED and abs(factor - 1.0) <= _MOST_REBASED:
            factors[asset] = factor
    return factors


def check_jumps(known: BarGrid, new: BarGrid, really_moved: Collection[str]) -> None:
    """Refuse a jump of a new bar that looks like a split which the prices were not adjusted for.

    Parameters
    ----------
    known : of the agent
    new : of the same tickers; its rows after the last known bar are looked at
    really_moved : tickers whose price is known to have moved so

    Raises
    ------
    DataError
        With ticker, dates and the ratio.
    """
    later = new.dates > known.dates[-1]
    for asset, ticker in enumerate(known.tickers):
        if ticker in really_moved:
            continue
        old = _quotes(known, asset, np.ones(len(known.dates), dtype=bool))[:, -_AROUND:]
        fresh = _quotes(new, asset, later)
        close, open_, volume = np.concatenate([old, fresh], axis=1)
        jumps = [j for j in find_split_jumps(close, open_, volume) if j.row >= old.shape[1]]
        jumps += _near_splits(close, open_, old.shape[1])
        if jumps:
            rows = np.flatnonzero(later & new.own[:, asset] & (new.close[:, asset] > 0))
            day = date_label(new.dates[rows[jumps[0].row - old.shape[1]]])
            raise DataError(_split_message(ticker, day, close, jumps[0]))


def _near_splits(close: FloatArray, open_: FloatArray, first: int) -> list[SplitJump]:
    """Return jumps near a usual ratio among the rows from `first` on, whatever volumes say.

    Of a bar that has no other after it, less can be known than of the past; and an order on a wrong
    price costs more than a question.
    """
    moves = np.diff(np.log(close))
    sizes = np.abs(moves[moves != 0])
    deviation = float(1.4826 * np.median(sizes)) if sizes.size else 0.0
    found = []
    for row in range(max(first, 1), len(close)):
        move = float(moves[row - 1])
        if abs(move) <= max(SMALLEST_JUMP, CLEAR * deviation):
            continue
        gap = float(np.log(open_[row] / close[row - 1])) if open_[row] > 0 else move
        for size in (gap, move):
            ratio = _nearest_ratio(float(np.exp(size)))
            if abs(size + np.log(float(ratio))) <= _NEAR_JUMP * deviation + _NEAR_ALWAYS:
                found.append(SplitJump(row=row, ratio=ratio, volume_ratio=None))
                break
    return found


def large_moves(known: BarGrid, new: BarGrid, smallest: float = 0.2) -> tuple[str, ...]:
    """Return sentences on tickers whose last close moved by `smallest` or more of the one before.

    Parameters
    ----------
    known, new : of the same tickers
    smallest : as a fraction
    """
    later = new.dates > known.dates[-1]
    found = []
    for asset, ticker in enumerate(known.tickers):
        old = _quotes(known, asset, np.ones(len(known.dates), dtype=bool))[0, -1:]
        closes = np.concatenate([old, _quotes(new, asset, later)[0]])
        if len(closes) > 1 and abs(closes[-1] / closes[-2] - 1.0) >= smallest:
            move = closes[-1] / closes[-2] - 1.0
            found.append(f"{ticker} moved by {move:+.1%} to {closes[-1]:g}: is that its price?")
    return tuple(found)


def _quotes(grid: BarGrid, asset: int, rows: BoolArray) -> FloatArray:
    """Return close, open and volume, of shape (3, quotes)."""
    kept = rows & grid.own[:, asset] & (grid.close[:, asset] > 0)
    empty = np.full(grid.close.shape, np.nan)
    return np.stack(
        [grid.columns.get(name, empty)[kept, asset] for name in ("close", "open", "volume")]
    )


def _split_message(ticker: str, day: str, close: FloatArray, jump: SplitJump) -> str:
    before, after = close[jump.row - 1], close[jump.row]
    factor = max(jump.price_ratio, 1.0 / jump.price_ratio)
    how, back = ("multiply", "divide") if after < before else ("divide", "multiply")
    return (
        f"split-jumped prices: those of {ticker} must go on from the ones that the agent knows, "
        f"but they change from {before:g} to {after:g} on {day}, which looks like a {jump.name} "
        f"split that the known prices are not adjusted for; {how} the prices of {ticker} from "
        f"{day} on by {factor:g} and {back} its volume (and the shares held) by it, or deploy an "
        "agent on the adjusted prices; if the price really moved so, say that it did "
        f"(--really-moved {ticker})"
    )


def _first_change(
    known: BarGrid,
    new: BarGrid,
    ours: IntArray,
    theirs: IntArray,
    columns: Sequence[str],
    compared: BoolArray,
    same: float,
) -> str | None:
    """Return the message of the first cell that differs, by date, then ticker, then column."""
    own = known.own[ours]
    values = [(known.columns[name][ours], new.columns[name][theirs]) for name in columns]
    differ = np.stack([~same_values(old, fresh, same) for old, fresh in values], axis=2)
    # a row that repeats the last prices is no quote, and some sources leave it out
    differ &= (own | (new.own[theirs] & ~known.there[ours]))[:, :, None]
    differ &= compared[None, :, None]
    if not differ.any():
        return None
    row, asset, at = (int(i) for i in np.argwhere(differ)[0])
    old, fresh = values[at][0][row, asset], values[at][1][row, asset]
    rounded = " (rounded?)" if abs(fresh - old) <= _ROUNDED * abs(old) else ""
    return (
        f"changed history: {columns[at]} of {known.where(int(ours[row]), asset)} must be "
        f"{_shown(old)}, as the agent knows it, to a relative difference of {same:g}, got "
        f"{_shown(fresh)}{rounded}; {int(differ.sum())} of {differ.size} values in common differ. "
        "Give the prices of the same source with all their digits, leave the known bars out "
        "if the new ones go on from them, or deploy an agent on the changed prices"
    )


def _shown(value: float) -> str:
    return "empty" if np.isnan(value) else repr(float(value))


def same_values(first: FloatArray, second: FloatArray, same: float = SAME) -> BoolArray:
    """Return where two arrays are the same to a relative difference, or both NaN."""
    with np.errstate(invalid="ignore"):
        near = np.abs(first - second) <= same * np.maximum(np.abs(first), np.abs(second))
    return np.asarray(near | (np.isnan(first) & np.isnan(second)))


def _refuse_shifted(known: BarGrid, new: BarGrid) -> None:
    """Refuse bars that are the known ones under other dates."""
    place = np.flatnonzero(same_values(known.close, new.close[0]).all(axis=1))
    for row in place.tolist():
        length = min(len(known.dates) - row, len(new.dates))
        equal = same_values(known.close[row : row + length], new.close[:length]).all()
        if length < _FEWEST_SHIFTED or not equal or known.dates[row] == new.dates[0]:
            continue
        raise DataError(
            "another time zone: bars must bear the dates that the agent knows them by, but the one "
            f"of {date_label(known.dates[row])} is dated {date_label(new.dates[0])} here, and so "
            f"on for {counted(length, 'bar')}; write the dates by the clock of the agent's own "
            "bars (df['date'].dt.tz_convert(...))"
        )


def _refuse_adjusted(known: BarGrid, new: BarGrid, ours: IntArray, theirs: IntArray) -> None:
    """Refuse closes that are a constant multiple of the known ones."""
    for asset, ticker in enumerate(known.tickers):
        old, fresh = known.close[ours, asset], new.close[theirs, asset]
        usable = known.own[ours, asset] & (old > 0) & (fresh > 0)
        ratios = fresh[usable] / old[usable]
        if not ratios.size or np.abs(ratios - 1.0).max() <= SAME:
            continue
        factor = float(np.median(ratios))
        spread = float(np.abs(ratios / factor - 1.0).max())
        split = _split_of(factor)
        if spread > _SPREAD or abs(factor - 1.0) <= 4.0 * spread:
            continue
        if ratios.size < 2 and split is None:
            continue
        row = int(np.flatnonzero(usable)[0])
        why = "for dividends, or for another event, since"
        if split is not None:
            why = f"for a {split.numerator}:{split.denominator} split since"
        raise DataError(
            f"adjusted history: the prices of {ticker} must be those that the agent knows, but on "
            f"{counted(ratios.size, 'bar')} in common they are {factor:.6g} times those "
            f"({date_label(known.dates[ours[row]])}: {_shown(old[row])} is known, "
            f"{_shown(fresh[row])} came): they were adjusted {why}. {_how_to_go_on(factor, split)}"
        )


def _how_to_go_on(factor: float, split: Fraction | None) -> str:
    if split is None and abs(factor - 1.0) <= _MOST_REBASED:
        return (
            "Let them go on from the known ones (--rebase), or deploy an agent on the adjusted "
            "prices"
        )
    return (
        f"Divide all its prices by {factor:.6g} and multiply its volume by it, so that they go on "
        "from the known ones, or deploy an agent on the adjusted prices"
    )


def _split_of(factor: float) -> Fraction | None:
    """Return the usual split after which earlier prices are `factor` times what they were."""
    nearest = _nearest_ratio(factor)
    return nearest if abs(factor * float(nearest) - 1.0) <= _NEAR_SPLIT else None


def _nearest_ratio(factor: float) -> Fraction:
    """Return the new shares per old one of the usual split that is nearest to a price's factor."""
    ratios = [ratio for known in RATIOS for ratio in (known, 1 / known)]
    return min(ratios, key=lambda ratio: abs(np.log(factor * float(ratio))))
