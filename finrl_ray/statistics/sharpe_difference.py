"""Is one Sharpe ratio larger than another: the studentised block bootstrap of Ledoit and Wolf.

References
----------
.. [1] Ledoit and Wolf (2008), "Robust performance hypothesis testing with the Sharpe ratio",
   Journal of Empirical Finance 15(5), 850-859.
.. [2] Andrews (1991), "Heteroskedasticity and Autocorrelation Consistent Covariance Matrix
   Estimation", Econometrica 59(3), 817-858: the kernel and its bandwidth.
"""

import math
from dataclasses import dataclass

import numpy as np

from finrl_ray._typing import FloatArray
from finrl_ray.errors import DataError
from finrl_ray.statistics.block_bootstrap import MIN_BLOCK

_MIN_PERIODS = 20
_CHUNK = 250


@dataclass(frozen=True, kw_only=True, slots=True)
class SharpeDifference:
    """The difference of two Sharpe ratios per period.

    Parameters
    ----------
    difference : of the first less the second
    standard_error : by a HAC estimate
    p_value : two-sided, of no difference
    block_length : of the bootstrap
    """

    difference: float
    standard_error: float
    p_value: float
    block_length: int


def sharpe_difference(
    first: FloatArray,
    second: FloatArray,
    *,
    block_length: int = MIN_BLOCK,
    n_bootstrap: int = 4_999,
    seed: int = 0,
) -> SharpeDifference:
    """Return the test of Ledoit and Wolf for the difference of two Sharpe ratios [1]_.

    The statistic |difference| / standard error is compared with that of circular block resamples
    around the difference found, each with a standard error from its own blocks. The standard error
    of the data is a HAC estimate with the quadratic spectral kernel and Andrews' bandwidth [2]_,
    without prewhitening.

    Parameters
    ----------
    first, second : arrays of shape (T,), excess returns on the same days
    block_length : periods
    n_bootstrap : resamples
    seed : of the resamples

    Raises
    ------
    DataError
        If the series differ in shape, are shorter than 20, not finite, or do not vary.
    """
    pair = _checked(first, second)
    t = len(pair)
    if not 1 <= block_length <= t // 2:
        raise DataError(f"block_length must be within 1..{t // 2}, got {block_length}")
    difference = float(_difference(_moments(pair)))
    error = _hac_error(pair)
    if error == 0:  # one is a multiple of the other
        return SharpeDifference(
            difference=difference,
            standard_error=0.0,
            p_value=1.0 if abs(difference) < 1e-12 else 0.0,
            block_length=block_length,
        )
    statistic = abs(difference) / error
    rng, exceeding = np.random.default_rng(seed), 0
    for begin in range(0, n_bootstrap, _CHUNK):
        count = min(_CHUNK, n_bootstrap - begin)
        exceeding += _count_exceeding(pair, difference, statistic, block_length, count, rng)
    return SharpeDifference(
        difference=difference,
        standard_error=error,
        p_value=(exceeding + 1) / (n_bootstrap + 1),
        block_length=block_length,
    )


def _checked(first: FloatArray, second: FloatArray) -> FloatArray:
    one, two = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if one.ndim != 1 or one.shape != two.shape or one.size < _MIN_PERIODS:
        raise DataError(
            f"both must have one shape (T,) with T >= {_MIN_PERIODS}, got {one.shape} and "
            f"{two.shape}"
        )
    pair = np.column_stack([one, two])
    if not np.isfinite(pair).all() or (pair.std(axis=0) <= 1e-12 * np.abs(pair.mean(axis=0))).any():
        raise DataError("both series must be finite and vary")
    return pair


def _moments(pair: FloatArray) -> FloatArray:
    """Return means and mean squares of both, of shape (..., 4)."""
    means: FloatArray = np.concatenate([pair.mean(axis=-2), (pair**2).mean(axis=-2)], axis=-1)
    return means


def _difference(moments: FloatArray) -> FloatArray:
    mean, square = moments[..., :2], moments[..., 2:]
    ratios = mean / np.sqrt(square - mean**2)
    result: FloatArray = ratios[..., 0] - ratios[..., 1]
    return result


def _gradient(moments: FloatArray) -> FloatArray:
    """Return the derivatives of the difference by its four moments, of shape (..., 4)."""
    mean, square = moments[..., :2], moments[..., 2:]
    cubed = (square - mean**2) ** 1.5
    sign = np.array([1.0, -1.0])
    result: FloatArray = np.concatenate(
        [sign * square / cubed, -sign * mean / (2.0 * cubed)], axis=-1
    )
    return result


def _hac_error(pair: FloatArray) -> float:
    moments = _moments(pair)
    influence = (np.concatenate([pair, pair**2], axis=1) - moments) @ _gradient(moments)
    t = len(influence)
    if np.ptp(influence) <= 1e-12 * np.abs(pair).max():
        return 0.0
    covariance = np.array([float(influence[k:] @ influence[: t - k]) for k in range(t)]) / t
    slope = float(influence[1:] @ influence[:-1]) / float(influence[:-1] @ influence[:-1])
    slope = float(np.clip(slope, -0.97, 0.97))
    width = 1.3221 * (4 * slope**2 / (1 - slope) ** 4 * t) ** 0.2
    lags = np.arange(1, t)
    weights = _quadratic_spectral(lags / width) if width > 1e-8 else np.zeros(t - 1)
    # four moments were estimated
    total = (covariance[0] + 2.0 * float(weights @ covariance[1:])) * t / (t - 4)
    return math.sqrt(max(total, 1e-300) / t)


def _quadratic_spectral(x: FloatArray) -> FloatArray:
    z = 6.0 * np.pi * x / 5.0
    result: FloatArray = 3.0 / z**2 * (np.sin(z) / z - np.cos(z))
    return result


def _count_exceeding(
    pair: FloatArray,
    difference: float,
    statistic: float,
    block_length: int,
    count: int,
    rng: np.random.Generator,
) -> int:
    t = len(pair)
    n_blocks = t // block_length
    starts = rng.integers(0, t, size=(count, n_blocks, 1))
    rows = (starts + np.arange(block_length)) % t
    drawn = pair[rows.reshape(count, -1)]
    moments = _moments(drawn)
    values = np.concatenate([drawn, drawn**2], axis=2) - moments[:, None, :]
    influence = np.einsum("btm,bm->bt", values, _gradient(moments))
    sums = influence.reshape(count, n_blocks, block_length).sum(axis=2)
    variance = (sums**2).mean(axis=1) / block_length
    errors = np.sqrt(variance / (n_blocks * block_length))
    distance = np.abs(_difference(moments) - difference)
    with np.errstate(divide="ignore", invalid="ignore"):
        return int((distance / errors >= statistic).sum())
