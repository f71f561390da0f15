"""Jumps of a price that look like a stock split which the prices were not adjusted for."""

from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from finrl_ray._typing import FloatArray

_WHOLE = (2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 15, 16, 20, 25, 30, 40, 50, 60, 75, 80, 100, 150, 200)
RATIOS = tuple(sorted([Fraction(3, 2), Fraction(5, 2), *(Fraction(k) for k in _WHOLE)]))
"""New shares for each old one; a reverse split has one of their inverses."""
AROUND = 60
"""Rows on either side whose median volumes are compared."""
FEWEST = 3
"""Rows on either side without which volumes say nothing."""
SMALLEST_JUMP = 0.3
"""Log of the smallest jump that is looked at; 3:2 is 0.41."""
CLEAR = 8.0
"""Standard deviations of daily moves that a jump must exceed."""
_LARGE = Fraction(3)
# of the log ratio of volumes, as shares of the log of the split's ratio
_VOLUME_LOW, _VOLUME_HIGH, _VOLUME_NOISE = 0.5, 1.5, 0.1
_UNCHANGED = 0.4


@dataclass(frozen=True, kw_only=True, slots=True)
class SplitJump:
    """A jump between two quotes.

    Parameters
    ----------
    row : the first quote after it
    ratio : new shares per old one
    volume_ratio : median volume after over before; None where it says nothing
    """

    row: int
    ratio: Fraction
    volume_ratio: float | None

    @property
    def name(self) -> str:
        """The split in words: `4:1`, `3:2`, `1:10`."""
        return f"{self.ratio.numerator}:{self.ratio.denominator}"

    @property
    def price_ratio(self) -> float:
        """Price after over price before."""
        return float(1 / self.ratio)


def find_split_jumps(close: FloatArray, open_: FloatArray, volume: FloatArray) -> list[SplitJump]:
    """Return the jumps that a split explains better than trading does.

    A jump must be far beyond the usual moves, lie near a usual ratio of splits, last, and move the
    volume in shares as a split does. Where volumes say nothing the price has to be nearer to the
    ratio; where they stay as they were (adjusted for a split that the prices were not), the jump
    has to be a large one.

    Parameters
    ----------
    close : quotes of one ticker, above 0, of shape (rows,)
    open_, volume : of the same rows, NaN where there is none
    """
    if len(close) < 2:
        return []
    moves = np.diff(np.log(close))
    deviation = _deviation(moves)
    large = np.flatnonzero(np.abs(moves) > max(SMALLEST_JUMP, CLEAR * deviation)) + 1
    found = []
    for row in large.tolist():
        jump = _split_at(row, close, open_, volume, deviation)
        if jump is not None:
            found.append(jump)
    return found


def _deviation(moves: FloatArray) -> float:
    """Return a robust standard deviation of those moves that are not 0."""
    sizes = np.abs(moves[moves != 0])
    return float(1.4826 * np.median(sizes)) if sizes.size else 0.0


def _split_at(
    row: int, close: FloatArray, open_: FloatArray, volume: FloatArray, deviation: float
) -> SplitJump | None:
    move = float(np.log(close[row] / close[row - 1]))
    # trading of the day itself is not in the open
    gap = float(np.log(open_[row] / close[row - 1])) if open_[row] > 0 else move
    ratio = _nearest(gap)
    expected = -float(np.log(float(ratio)))
    miss, day_miss = abs(gap - expected), abs(move - expected)
    # half the way to a neighbouring ratio at most
    loose = min(0.08, 3.0 * deviation + 0.01)
    if miss > loose or day_miss > 6.0 * deviation + 0.02 or not _lasts(row, close, expected):
        return None
    evidence = _volume_evidence(row, volume)
    if evidence is None:
        # real moves of a half are not rare enough to be told from 3:2 and 2:3
        small = max(ratio, 1 / ratio) < 2
        strict = min(0.01, deviation) if small else min(0.06, 2.0 * deviation + 0.005)
        known = miss <= strict and not (small and ratio < 1)
        return SplitJump(row=row, ratio=ratio, volume_ratio=None) if known else None
    if not _agrees(evidence, -expected, ratio, row, volume):
        return None
    return SplitJump(row=row, ratio=ratio, volume_ratio=float(np.exp(evidence)))


def _nearest(gap: float) -> Fraction:
    candidates = [ratio for known in RATIOS for ratio in (known, 1 / known)]
    return min(candidates, key=lambda ratio: abs(gap + float(np.log(float(ratio)))))


def _lasts(row: int, close: FloatArray, expected: float) -> bool:
    """Return whether the price stays at its new level; a wrong quote is followed by a right one."""
    after = close[row : row + 6]
    before = close[max(0, row - 5) : row]
    level = float(np.log(np.median(after) / np.median(before)))
    return abs(level - expected) < abs(expected) / 2


def _volume_evidence(row: int, volume: FloatArray) -> float | None:
    """Return the log of the median volume after the jump over that before it."""
    before = _positive(volume[max(0, row - AROUND) : row])
    after = _positive(volume[row : row + AROUND])
    if min(before.size, after.size) < FEWEST or np.ptp(np.concatenate([before, after])) == 0:
        return None
    return float(np.log(np.median(after) / np.median(before)))


def _positive(volume: FloatArray) -> FloatArray:
    kept: FloatArray = volume[volume > 0]
    return kept


def _agrees(
    evidence: float, expected: float, ratio: Fraction, row: int, volume: FloatArray
) -> bool:
    size = abs(expected)
    along = evidence if expected > 0 else -evidence
    if _VOLUME_LOW * size <= along <= _VOLUME_HIGH * size + _VOLUME_NOISE:
        return True
    if max(ratio, 1 / ratio) < _LARGE or abs(evidence) > _UNCHANGED:
        return False
    # prices that fall so far by trading do it in a rush
    usual = _positive(volume[max(0, row - AROUND) : row])
    return bool(volume[row] < 2.0 * float(max(ratio, 1 / ratio)) * np.median(usual))
