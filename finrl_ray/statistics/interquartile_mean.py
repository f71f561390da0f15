"""The interquartile mean over seeds x splits, and how much it varies by chance.

References
----------
.. [1] Agarwal et al. (2021), "Deep Reinforcement Learning at the Edge of the Statistical
   Precipice", NeurIPS 34.
"""

import numpy as np

from finrl_ray._typing import AnyArray, FloatArray
from finrl_ray.errors import DataError


def interquartile_mean(scores: AnyArray) -> float:
    """Return the mean of what is left when floor(n / 4) scores are cut off on each side [1]_.

    Parameters
    ----------
    scores : array of any shape, n scores in all

    Raises
    ------
    DataError
        If there is none, or one is NaN.
    """
    values = np.sort(_checked(scores).reshape(-1))
    cut = values.size // 4
    return float(values[cut : values.size - cut].mean())


def interquartile_mean_interval(
    scores: FloatArray, *, confidence: float = 0.95, n_bootstrap: int = 5_000, seed: int = 0
) -> tuple[float, float]:
    """Return the percentile interval of the IQM by the stratified bootstrap [1]_.

    Seeds are drawn anew within each split, so the interval covers the randomness of training alone;
    that of the market is not in it.

    Parameters
    ----------
    scores : array of shape (seeds, splits)
    confidence : such as 0.95
    n_bootstrap : resamples
    seed : of the resamples

    Raises
    ------
    DataError
        If `scores` is not 2-D, empty, or holds NaN.
    """
    values = _checked(scores)
    if values.ndim != 2:
        raise DataError(f"scores must have shape (seeds, splits), got {values.shape}")
    rng = np.random.default_rng(seed)
    drawn = _resampled(values, n_bootstrap, rng)
    flat = np.sort(drawn.reshape(n_bootstrap, -1), axis=1)
    cut = flat.shape[1] // 4
    means = flat[:, cut : flat.shape[1] - cut].mean(axis=1)
    low, high = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def probability_of_improvement(scores: FloatArray, other: FloatArray) -> float:
    """Return the chance that a run of one beats a run of the other on the same split [1]_.

    The mean over splits of the share of pairs in which it is larger; equal ones count half.

    Parameters
    ----------
    scores, other : arrays of shape (seeds, splits); the splits are the same

    Raises
    ------
    DataError
        If they are not 2-D with as many splits, or hold NaN.
    """
    one, two = _checked(scores), _checked(other)
    if one.ndim != 2 or two.ndim != 2 or one.shape[1] != two.shape[1]:
        raise DataError(
            f"both must have shape (seeds, splits) with the same splits, got {one.shape} and "
            f"{two.shape}"
        )
    larger = one[:, None, :] > two[None, :, :]
    equal = one[:, None, :] == two[None, :, :]
    return float((larger + 0.5 * equal).mean())


def _resampled(values: FloatArray, n_bootstrap: int, rng: np.random.Generator) -> FloatArray:
    n_seeds, n_splits = values.shape
    rows = rng.integers(0, n_seeds, size=(n_bootstrap, n_seeds, n_splits))
    drawn: FloatArray = values[rows, np.arange(n_splits)]
    return drawn


def _checked(scores: AnyArray) -> FloatArray:
    values = np.asarray(scores, dtype=np.float64)
    if values.size == 0 or np.isnan(values).any():
        raise DataError(
            f"scores must hold at least one number and no NaN, got shape {values.shape} with "
            f"{int(np.isnan(values).sum())} NaN"
        )
    return values
