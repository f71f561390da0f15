"""Bootstraps that keep the dependence of neighbouring returns: whole blocks are drawn.

References
----------
.. [1] Politis and Romano (1992), "A Circular Block-Resampling Procedure for Stationary Data".
.. [2] Politis and Romano (1994), "The Stationary Bootstrap", JASA 89, 1303-1313.
.. [3] Politis and White (2004), "Automatic Block-Length Selection for the Dependent Bootstrap",
   Econometric Reviews 23(1), 53-70; corrected by Patton, Politis and White (2009), 28(4), 372-375.
"""

import math

import numpy as np

from finrl_ray._typing import FloatArray, IntArray
from finrl_ray.errors import DataError

MIN_BLOCK = 5


def circular_block_indices(
    n_periods: int, block_length: int, n_bootstrap: int, rng: np.random.Generator
) -> IntArray:
    """Return rows drawn in blocks of one length that wrap around the end [1]_.

    Returns
    -------
    array of shape (n_bootstrap, n_periods), int64

    Raises
    ------
    DataError
        If a number is less than 1 or a block longer than the series.
    """
    _check(n_periods, block_length, n_bootstrap)
    n_blocks = -(-n_periods // block_length)
    starts = rng.integers(0, n_periods, size=(n_bootstrap, n_blocks, 1))
    rows = (starts + np.arange(block_length)) % n_periods
    return rows.reshape(n_bootstrap, -1)[:, :n_periods]


def stationary_indices(
    n_periods: int, block_length: float, n_bootstrap: int, rng: np.random.Generator
) -> IntArray:
    """Return rows drawn in blocks of random lengths, `block_length` in the mean [2]_.

    Returns
    -------
    array of shape (n_bootstrap, n_periods), int64

    Raises
    ------
    DataError
        If a number is less than 1 or a block longer than the series.
    """
    _check(n_periods, block_length, n_bootstrap)
    shape = (n_bootstrap, n_periods)
    begins = rng.random(shape) < 1.0 / block_length
    begins[:, 0] = True
    starts = rng.integers(0, n_periods, size=shape)
    places = np.arange(n_periods)
    # the row at which each row's block began
    latest = np.maximum.accumulate(np.where(begins, places, 0), axis=1)
    return (np.take_along_axis(starts, latest, axis=1) + places - latest) % n_periods


def _check(n_periods: int, block_length: float, n_bootstrap: int) -> None:
    if n_periods < 1 or n_bootstrap < 1:
        raise DataError(
            f"n_periods and n_bootstrap must be >= 1, got {n_periods} and {n_bootstrap}"
        )
    if not 1 <= block_length <= n_periods:
        raise DataError(f"block_length must be within 1..{n_periods}, got {block_length}")


def resampled_means(values: FloatArray, rows: IntArray) -> FloatArray:
    """Return the column means of each resample, of shape (n_bootstrap, N).

    Parameters
    ----------
    values : array of shape (T, N)
    rows : array of shape (n_bootstrap, T)
    """
    n_bootstrap, n_periods = rows.shape
    # how often each row is drawn, times the values: one product instead of n_bootstrap copies
    flat = rows + np.arange(n_bootstrap)[:, None] * n_periods
    counts = np.bincount(flat.reshape(-1), minlength=n_bootstrap * n_periods)
    result: FloatArray = counts.reshape(n_bootstrap, n_periods) @ values / n_periods
    return result


def optimal_block_lengths(values: FloatArray) -> tuple[float, float]:
    """Return the block lengths of Politis and White for the stationary and the circular bootstrap.

    Parameters
    ----------
    values : array of shape (T,)

    Returns
    -------
    stationary, circular : float
        Not rounded; 1 where the series is constant.

    Raises
    ------
    DataError
        If the series is not 1-D, shorter than 10 or not finite.
    """
    series = np.asarray(values, dtype=np.float64)
    if series.ndim != 1 or series.size < 10 or not np.isfinite(series).all():
        raise DataError(
            f"values must be 1-D, finite and have at least 10 entries, got shape {series.shape}"
        )
    n, centred = series.size, series - series.mean()
    longest = math.ceil(min(3 * math.sqrt(n), n / 3))
    in_a_row = max(5, int(math.log10(n)))
    most = math.ceil(math.sqrt(n)) + in_a_row
    if not centred.any():
        return 1.0, 1.0
    lags = range(min(most, n - 2) + 1)
    covariance = np.array([float(centred[k:] @ centred[: n - k]) / n for k in lags])
    ends = [
        math.sqrt(
            float(centred[k + 1 :] @ centred[k + 1 :])
            * float(centred[: -k - 1] @ centred[: -k - 1])
        )
        for k in lags
    ]
    correlation = np.abs(covariance) * n / np.maximum(ends, 1e-300)
    small = correlation < 2 * math.sqrt(math.log10(n) / n)
    # the first of a run of lags without correlation, as the authors' own code has it
    cut = next((k for k in range(1, len(small) - in_a_row) if small[k : k + in_a_row].all()), None)
    width = min(most, len(covariance) - 1, most if cut is None else 2 * cut)
    k = np.arange(1, width + 1)
    taper = np.minimum(1.0, 2.0 * (1.0 - k / width))
    moment = float((2 * taper * k * covariance[1 : width + 1]).sum())
    long_run = float(covariance[0] + (2 * taper * covariance[1 : width + 1]).sum())
    if long_run == 0 or moment == 0:
        return 1.0, 1.0
    lengths = [
        (2 * moment**2 / (factor * long_run**2)) ** (1 / 3) * n ** (1 / 3) for factor in (2, 4 / 3)
    ]
    return min(lengths[0], longest), min(lengths[1], longest)


def block_length_of(values: FloatArray) -> int:
    """Return the block length used for Sharpe ratios: Politis and White's, at least 5.

    Never more than a third of the series, and 1 for fewer than 10 values.
    """
    if len(values) < 10:
        return 1
    length = math.ceil(optimal_block_lengths(values)[1])
    return max(1, min(max(MIN_BLOCK, length), len(values) // 3))


def sharpe_interval(
    returns: FloatArray,
    *,
    confidence: float = 0.95,
    n_bootstrap: int = 2_000,
    block_length: int | None = None,
    seed: int = 0,
) -> tuple[float, float]:
    """Return the percentile interval of a Sharpe ratio per period by circular blocks.

    It says nothing of the luck of having been chosen: the best of a search without skill has an
    interval far above 0.

    Parameters
    ----------
    returns : array of shape (T,), finite
    block_length : None for `block_length_of`

    Returns
    -------
    low, high : float
        NaN if the series is constant or shorter than 3.
    """
    values = np.asarray(returns, dtype=np.float64)
    if values.size < 3 or values.std() <= 1e-12 * abs(values.mean()):
        return math.nan, math.nan
    length = block_length_of(values) if block_length is None else block_length
    rng = np.random.default_rng(seed)
    drawn = values[circular_block_indices(values.size, length, n_bootstrap, rng)]
    deviations = drawn.std(axis=1, ddof=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = drawn.mean(axis=1) / deviations
    ratios = ratios[deviations > 1e-12 * np.abs(drawn.mean(axis=1))]
    if not ratios.size:
        return math.nan, math.nan
    low, high = np.quantile(ratios, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)
