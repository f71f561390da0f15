"""Probability of backtest overfitting by combinatorially symmetric cross-validation (CSCV).

References
----------
.. [1] Bailey, Borwein, Lopez de Prado and Zhu (2017), "The Probability of Backtest Overfitting",
   Journal of Computational Finance 20(4), 39-69: Definition 2.2, Algorithm 2.3.
"""

import math
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from finrl_ray._typing import AnyArray, FloatArray
from finrl_ray.errors import DataError
from finrl_ray.support.text import counted

MIN_TRIALS = 10
MIN_BLOCK_PERIODS = 10
_CHUNK = 2_048
_CONSTANT = 1e-12
_ROUNDING = 1e-12


@dataclass(frozen=True, kw_only=True, eq=False)
class BacktestOverfitting:
    """The result of CSCV; everything is None or empty where `reason` says why it cannot.

    Parameters
    ----------
    pbo : share of the splits in which the best half of the days chooses a trial that is in the
        lower half on the other days
    logits : array of shape (C,), one per split; at most 0 where the choice was overfit
    probability_of_loss : share of the splits in which the chosen trial's ratio is negative on the
        other days
    slope : of its ratio on the other days on that of the days which chose it; NaN if the latter
        does not vary
    mean_in_sample, mean_out_of_sample : of these two ratios, per period
    n_blocks : S
    n_dropped : oldest rows that were left out to make equal blocks
    reason : why there is no result
    """

    pbo: float | None
    logits: FloatArray
    probability_of_loss: float | None = None
    slope: float | None = None
    mean_in_sample: float | None = None
    mean_out_of_sample: float | None = None
    n_blocks: int = 0
    n_dropped: int = 0
    reason: str = ""

    @property
    def n_combinations(self) -> int:
        """Number of splits."""
        return len(self.logits)


def probability_of_backtest_overfitting(
    returns: FloatArray,
    n_blocks: int = 16,
    *,
    risk_free: float = 0.0,
    min_trials: int = MIN_TRIALS,
    min_block_periods: int = MIN_BLOCK_PERIODS,
) -> BacktestOverfitting:
    """Return the PBO of N trials over T periods, judged by the Sharpe ratio [1]_.

    The rows are cut into S blocks; for each of the C(S, S/2) halves the trial that is best on it is
    ranked on the other half: w = rank / (N + 1), logit = ln(w / (1 - w)).

    Parameters
    ----------
    returns : array of shape (T, N)
        Out-of-sample returns of all trials on the same days, as they were in the end. Where S does
        not divide T the oldest rows are left out.
    n_blocks : S, even
    risk_free : per period, taken off before ratios are formed
    min_trials, min_block_periods : below these there is no result but a reason

    Returns
    -------
    BacktestOverfitting
        On noise PBO is around 0.5 with a deviation of 0.14: two digits of it mean something.

    Raises
    ------
    DataError
        If `returns` is not 2-D, holds NaN or infinities, or S is odd or less than 2.
    """
    matrix = np.asarray(returns, dtype=np.float64)
    if matrix.ndim != 2:
        raise DataError(f"returns must have shape (T, N), got {matrix.shape}")
    if n_blocks < 2 or n_blocks % 2:
        raise DataError(f"n_blocks must be even and >= 2, got {n_blocks}")
    bad = np.argwhere(~np.isfinite(matrix))
    if bad.size:
        row, column = (int(i) for i in bad[0])
        raise DataError(
            f"returns must be finite, got {matrix[row, column]} in row {row} of trial {column} "
            f"({len(bad)} such values); leave that trial out"
        )
    t, n = matrix.shape
    length = t // n_blocks
    reason = _too_small(t, n, n_blocks, min_trials, min_block_periods)
    if reason:
        return BacktestOverfitting(pbo=None, logits=np.empty(0), reason=reason)
    dropped = t - length * n_blocks
    blocks = (matrix[dropped:] - risk_free).reshape(n_blocks, length, n)
    halves = _halves(n_blocks)
    logits, inside, outside = _rank_all(blocks, halves)
    return BacktestOverfitting(
        pbo=float((logits <= 0).mean()),
        logits=logits,
        probability_of_loss=float((outside < 0).mean()),
        slope=_slope(inside, outside),
        mean_in_sample=float(inside.mean()),
        mean_out_of_sample=float(outside.mean()),
        n_blocks=n_blocks,
        n_dropped=dropped,
    )


def _too_small(t: int, n: int, n_blocks: int, min_trials: int, min_periods: int) -> str:
    if n < max(2, min_trials):
        return f"{counted(n, 'trial')}; PBO needs at least {max(2, min_trials)}"
    if t // n_blocks < max(1, min_periods):
        return (
            f"{counted(t, 'period')} in {n_blocks} blocks; PBO needs blocks of "
            f"{max(1, min_periods)}"
        )
    return ""


def largest_even_blocks(n_periods: int, most: int = 16) -> int:
    """Return the largest even S up to `most` whose blocks are long enough; 2 if none is."""
    usable = [s for s in range(most, 2, -2) if n_periods // s >= MIN_BLOCK_PERIODS]
    return usable[0] if usable else 2


def _halves(n_blocks: int) -> AnyArray:
    """Return all choices of half of the blocks as rows of 0 and 1, of shape (C, S)."""
    chosen = np.array(list(combinations(range(n_blocks), n_blocks // 2)))
    rows = np.zeros((len(chosen), n_blocks))
    np.put_along_axis(rows, chosen, 1.0, axis=1)
    return rows


def _rank_all(blocks: FloatArray, halves: AnyArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return per split the chosen trial's logit, and its ratios inside and outside.

    A ratio of a half comes from the sums of x and of x**2 per block, so no row is read twice.
    """
    length = blocks.shape[1]
    # sums of squares of nearly equal numbers cancel; around the mean they do not
    centre = blocks.mean(axis=(0, 1))
    centred = blocks - centre
    sums, squares = centred.sum(axis=1), (centred**2).sum(axis=1)
    periods = length * blocks.shape[0] // 2
    n = blocks.shape[2]
    parts: list[tuple[AnyArray, ...]] = []
    for first in range(0, len(halves), _CHUNK):
        half = halves[first : first + _CHUNK]
        inside = _ratios(half, sums, squares, centre, periods)
        outside = _ratios(1.0 - half, sums, squares, centre, periods)
        rows = np.arange(len(half))
        chosen = np.argmax(inside, axis=1)
        own = outside[rows, chosen]
        # ranks from 1; ratios that are equal but for rounding share the mean of theirs
        near = _ROUNDING * np.maximum(1.0, np.abs(own))
        below = (outside < (own - near)[:, None]).sum(axis=1)
        equal = (outside <= (own + near)[:, None]).sum(axis=1) - below
        rank = below + (equal + 1) / 2
        share = rank / (n + 1)
        parts.append((np.log(share / (1.0 - share)), inside[rows, chosen], own))
    logits, within, without = (np.concatenate(column) for column in zip(*parts, strict=True))
    return logits, within, without


def _ratios(
    half: AnyArray,
    sums: FloatArray,
    squares: FloatArray,
    centre: FloatArray,
    periods: int,
) -> FloatArray:
    """Return the Sharpe ratios of a half, of shape (C, N); 0 for a trial that does not move."""
    total = half @ sums
    mean = total / periods
    level = mean + centre
    around = half @ squares
    variance = (around - total * mean) / (periods - 1)
    # the deviation of a constant series is 0 but for rounding
    moves = (variance > _ROUNDING * around / periods) & (variance > (_CONSTANT * level) ** 2)
    deviation = np.sqrt(np.where(moves, variance, 1.0))
    ratios: FloatArray = np.where(moves, level / deviation, 0.0)
    return ratios


def _slope(inside: FloatArray, outside: FloatArray) -> float:
    spread = inside - inside.mean()
    total = float((spread**2).sum())
    return float((spread * outside).sum()) / total if total > 0 else math.nan
