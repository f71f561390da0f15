"""Is the best of many better than the benchmark: Reality Check and test for superior ability.

References
----------
.. [1] White (2000), "A Reality Check for Data Snooping", Econometrica 68(5), 1097-1126.
.. [2] Hansen (2005), "A Test for Superior Predictive Ability", Journal of Business and Economic
   Statistics 23(4), 365-380.
"""

import math
from dataclasses import dataclass

import numpy as np

from finrl_ray._typing import FloatArray
from finrl_ray.errors import DataError
from finrl_ray.statistics.block_bootstrap import resampled_means, stationary_indices
from finrl_ray.support.text import counted

N_BOOTSTRAP = 2_000
BLOCK_LENGTH = 5.0
_CHUNK = 250
_CONSTANT = 1e-12


@dataclass(frozen=True, kw_only=True, slots=True)
class SuperiorAbility:
    """P-values of the hypothesis that no trial is better than the benchmark.

    Parameters
    ----------
    consistent : the one to read: trials that are clearly worse do not count
    lower, upper : bounds of it
    reality_check : White's, not studentised: one noisy trial hides a steady one
    statistic : the largest studentised mean, 0 if none is positive
    n_used : trials whose active returns vary
    reason : why the p-values are NaN
    """

    consistent: float
    lower: float
    upper: float
    reality_check: float
    statistic: float
    n_used: int
    reason: str = ""


def superior_predictive_ability(
    active_returns: FloatArray,
    *,
    n_bootstrap: int = N_BOOTSTRAP,
    block_length: float = BLOCK_LENGTH,
    seed: int = 0,
) -> SuperiorAbility:
    """Return the studentised test for superior predictive ability [2]_ and the Reality Check [1]_.

    V = max(0, max over k of sqrt(T) * mean_k / omega_k), with omega by the kernel that the
    stationary bootstrap implies. Resampled means are centred at mean_k where that is at least
    -sqrt(omega_k**2 / T * 2 * ln ln T), else at 0 (`consistent`); at max(mean_k, 0) (`lower`); or
    at mean_k (`upper`).

    Parameters
    ----------
    active_returns : array of shape (T, N)
        Returns of N trials less those of the benchmark on the same T periods.
    n_bootstrap : resamples
    block_length : mean length of a block, periods
    seed : of the resamples

    Raises
    ------
    DataError
        If `active_returns` is not 2-D or not finite.
    """
    values = np.asarray(active_returns, dtype=np.float64)
    if values.ndim != 2 or not np.isfinite(values).all():
        raise DataError(
            f"active_returns must be of shape (T, N) and finite, got shape {values.shape}"
        )
    spread = values.std(axis=0) if values.size else np.zeros(values.shape[1])
    used = values[:, spread > _CONSTANT * np.abs(values.mean(axis=0))] if values.size else values
    t, n = used.shape
    if t < 3 or n == 0:
        reason = (
            f"{counted(t, 'period')}; at least 3 are needed" if t < 3 else "no active returns vary"
        )
        names = ("consistent", "lower", "upper", "reality_check", "statistic")
        unknown = dict.fromkeys(names, math.nan)
        return SuperiorAbility(**unknown, n_used=n, reason=reason)
    return _tested(used, min(block_length, float(t)), n_bootstrap, np.random.default_rng(seed))


def _tested(
    used: FloatArray, length: float, n_bootstrap: int, rng: np.random.Generator
) -> SuperiorAbility:
    t, n = used.shape
    mean, omega, root = used.mean(axis=0), np.sqrt(long_run_variance(used, length)), math.sqrt(t)
    threshold = -omega / root * math.sqrt(2.0 * max(0.0, math.log(math.log(t))))
    centres = {
        "consistent": np.where(mean >= threshold, mean, 0.0),
        "lower": np.maximum(mean, 0.0),
        "upper": mean,
    }
    statistic = max(0.0, float((root * mean / omega).max()))
    raw = float((root * mean).max())
    exceeding = dict.fromkeys((*centres, "reality_check"), 0)
    for first in range(0, n_bootstrap, _CHUNK):
        rows = stationary_indices(t, length, min(_CHUNK, n_bootstrap - first), rng)
        drawn = resampled_means(used, rows)
        for name, centre in centres.items():
            best = np.maximum(0.0, (root * (drawn - centre) / omega).max(axis=1))
            exceeding[name] += int((best >= statistic).sum())
        exceeding["reality_check"] += int(((root * (drawn - mean)).max(axis=1) >= raw).sum())
    return SuperiorAbility(
        consistent=exceeding["consistent"] / n_bootstrap,
        lower=exceeding["lower"] / n_bootstrap,
        upper=exceeding["upper"] / n_bootstrap,
        reality_check=exceeding["reality_check"] / n_bootstrap,
        statistic=statistic,
        n_used=n,
    )


def long_run_variance(values: FloatArray, block_length: float) -> FloatArray:
    """Return T times the variance of each mean under the stationary bootstrap, of shape (N,).

    gamma_0 + 2 * sum over i of kappa(i) * gamma_i, where kappa(i) = (1 - i / T) * (1 - q)**i +
    i / T * (1 - q)**(T - i) and q = 1 / block_length [2]_.

    Parameters
    ----------
    values : array of shape (T, N)
    block_length : mean length of a block, periods
    """
    t = len(values)
    centred = values - values.mean(axis=0)
    # all autocovariances at once, from the spectrum of the series padded with zeros
    size = 1 << (2 * t - 1).bit_length()
    spectrum = np.fft.rfft(centred, size, axis=0)
    covariance = np.fft.irfft(np.abs(spectrum) ** 2, size, axis=0)[:t] / t
    lags, keep = np.arange(1, t), 1.0 - 1.0 / block_length
    kernel = (1.0 - lags / t) * keep**lags + lags / t * keep ** (t - lags)
    total: FloatArray = covariance[0] + 2.0 * (kernel @ covariance[1:])
    # the estimate is positive but for rounding; without dependence it is the variance
    return np.where(total > 0, total, covariance[0])
