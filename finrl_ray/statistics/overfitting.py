"""How much of the best of many is luck: expected maximum, deflated Sharpe ratio and others.

Sharpe ratios are per period (see `finrl_ray.statistics.sharpe_inference`) where nothing else is
said.
The number of trials is that of all configurations started, stopped and failed ones too.

References
----------
.. [1] Bailey and Lopez de Prado (2014), "The Deflated Sharpe Ratio", Journal of Portfolio
   Management 40(5), 94-107.
.. [2] Bailey, Borwein, Lopez de Prado and Zhu (2014), "Pseudo-Mathematics and Financial
   Charlatanism", Notices of the AMS 61(5), 458-471.
.. [3] Sidak (1967), "Rectangular Confidence Regions for the Means of Multivariate Normal
   Distributions", Journal of the American Statistical Association 62, 626-633.
.. [4] Lopez de Prado, Lipton and Zoonekynd (2025), "How to Use the Sharpe Ratio".
.. [5] Roy and Vetterli (2007), "The Effective Rank", EUSIPCO.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from finrl_ray._typing import FloatArray
from finrl_ray.errors import DataError
from finrl_ray.statistics.sharpe_inference import (
    NORMAL,
    probabilistic_sharpe_ratio,
    variance_factor,
)

EULER_GAMMA = 0.5772156649015329
EXACT_BELOW = 10
"""Below this number of trials the approximation is off by several percent, the integral is not."""
NO_DEFLATION = "no deflation possible"
_GRID = 20_001
_SPAN = 12.0


def expected_maximum(n_trials: float) -> float:
    """Return the mean of the largest of `n_trials` standard normal numbers, approximately [1]_.

    (1 - g) * Z^-1(1 - 1/N) + g * Z^-1(1 - 1/(N e)), g Euler's constant: 0.9 % too large at N = 100,
    2.3 % at 10. Not below 0, which it would be for fractional N near 1.

    Raises
    ------
    DataError
        If `n_trials` is less than 1.
    """
    _check_trials(n_trials)
    if n_trials == 1:
        return 0.0
    first = NORMAL.inv_cdf(1.0 - 1.0 / n_trials)
    second = NORMAL.inv_cdf(1.0 - 1.0 / (n_trials * math.e))
    return max(0.0, (1.0 - EULER_GAMMA) * first + EULER_GAMMA * second)


def expected_maximum_exact(n_trials: float) -> float:
    """Return the same by integration over the distribution of the largest.

    Raises
    ------
    DataError
        If `n_trials` is less than 1.
    """
    return maximum_moments(n_trials)[0]


@lru_cache(maxsize=256)
def maximum_moments(n_trials: float) -> tuple[float, float]:
    """Return mean and variance of the largest of `n_trials` standard normal numbers.

    Raises
    ------
    DataError
        If `n_trials` is less than 1.
    """
    _check_trials(n_trials)
    x = np.linspace(-_SPAN, _SPAN, _GRID)
    below = np.array([NORMAL.cdf(float(value)) for value in x])
    # the density of the largest; it vanishes at both ends, so that the plain sum is exact
    weight = n_trials * below ** (n_trials - 1) * np.exp(-(x**2) / 2) * (x[1] - x[0])
    weight /= math.sqrt(2 * math.pi)
    mean = float((weight * x).sum())
    return mean, float((weight * x**2).sum()) - mean**2


def _check_trials(n_trials: float) -> None:
    if not n_trials >= 1:
        raise DataError(f"n_trials must be >= 1, got {n_trials}")


def luck_alone(n_trials: float) -> float:
    """Return the expected maximum used here: exact below 10 trials, else the approximation."""
    exact = n_trials < EXACT_BELOW
    return expected_maximum_exact(n_trials) if exact else expected_maximum(n_trials)


@dataclass(frozen=True, kw_only=True, slots=True)
class DeflatedSharpe:
    """What is left of the best of N trials.

    Parameters
    ----------
    sr0 : the Sharpe ratio per period that the best of N without skill is expected to show
    dsr : probability that the true one is above it (PSR against `sr0`)
    dsr_calibrated : the variant of 2025, whose false positives are 5 % at 0.95
    label : `no deflation possible` where N is 1 or trials without skill do not differ, else empty
    """

    sr0: float
    dsr: float
    dsr_calibrated: float
    label: str = ""


def deflated_sharpe_ratio(
    sharpe: float,
    n_periods: int,
    *,
    n_trials: float,
    dependence: float = 1.0,
    variance: float | None = None,
    skew: float = 0.0,
    kurtosis: float = 3.0,
) -> DeflatedSharpe:
    """Return the deflated Sharpe ratio [1]_: PSR against SR0 = sqrt(variance) * E[max of N].

    As published, `variance` is that of the trials' Sharpe ratios, in which skill counts as luck:
    a search some of whose trials are good is deflated for it. Without one it is f / T, the variance
    of the Sharpe ratio of a trial without skill.

    Parameters
    ----------
    sharpe : of the best trial, per period
    n_periods : T, different days
    n_trials : N, all configurations started. Not an effective number, with `variance` over
        correlated trials: that would count the correlation twice.
    dependence : f, see `finrl_ray.statistics.dependence`
    variance : of the Sharpe ratios of trials without skill, per period; None: f / T
    skew, kurtosis : of the best trial's returns

    Raises
    ------
    DataError
        If N < 1, `variance` is negative, or no series has such moments.
    """
    if variance is None:
        variance = dependence / n_periods
    if variance < 0:
        raise DataError(f"variance must be >= 0, got {variance}")
    label = NO_DEFLATION if n_trials == 1 or variance == 0 else ""
    sr0 = 0.0 if label else math.sqrt(variance) * luck_alone(n_trials)
    moments = {"skew": skew, "kurtosis": kurtosis}
    dsr = probabilistic_sharpe_ratio(
        sharpe, n_periods, benchmark=sr0, dependence=dependence, **moments
    )
    spread = dependence * maximum_moments(n_trials)[1]
    error = math.sqrt(max(0.0, variance_factor(sr0, **moments)) / n_periods * spread)
    calibrated = NORMAL.cdf((sharpe - sr0) / error) if error > 0 else math.nan
    if math.isnan(sharpe):
        calibrated = math.nan
    return DeflatedSharpe(sr0=sr0, dsr=dsr, dsr_calibrated=calibrated, label=label)


def sidak_p_value(psr: float, n_trials: float) -> float:
    """Return the probability that the best of N without skill does as well: 1 - PSR**N [3]_.

    Exact for independent trials, too large for trials that resemble each other.

    Raises
    ------
    DataError
        If N < 1 or `psr` is not within [0, 1].
    """
    _check_trials(n_trials)
    if math.isnan(psr):
        return math.nan
    if not 0 <= psr <= 1:
        raise DataError(f"psr must be within [0, 1], got {psr}")
    if psr == 0:
        return 1.0
    return -math.expm1(n_trials * math.log(psr))


def minimum_backtest_length(sharpe_annual: float, n_trials: float) -> float:
    """Return the years below which the best of N without skill shows `sharpe_annual` [2]_.

    (E[max of N] / SR)**2.

    Returns
    -------
    float
        Years; infinity if the Sharpe ratio is not positive, NaN if it is NaN.
    """
    if math.isnan(sharpe_annual):
        return math.nan
    if sharpe_annual <= 0:
        return math.inf
    return (expected_maximum(n_trials) / sharpe_annual) ** 2


def effective_number_of_trials(mean_correlation: float, n_trials: float) -> float:
    """Return rho + (1 - rho) * N, the number of independent trials that N resemble [1]_.

    For display: the deflated Sharpe ratio takes the raw number.

    Raises
    ------
    DataError
        If N < 1 or the correlation is not within [-1, 1].
    """
    _check_trials(n_trials)
    if not -1 <= mean_correlation <= 1:
        raise DataError(f"mean_correlation must be within [-1, 1], got {mean_correlation}")
    return mean_correlation + (1.0 - mean_correlation) * n_trials


def mean_correlation(returns: FloatArray) -> float:
    """Return the mean correlation of the pairs of columns that vary; 0 if fewer than two do.

    Parameters
    ----------
    returns : array of shape (T, N), without NaN
    """
    varying = returns[:, returns.std(axis=0) > 0]
    n = varying.shape[1]
    if n < 2:
        return 0.0
    standard = (varying - varying.mean(axis=0)) / varying.std(axis=0)
    # the sum over all pairs is the square of the row sums, less the diagonal
    total = float((standard.sum(axis=1) ** 2).mean())
    return float(np.clip((total - n) / (n * (n - 1)), -1.0, 1.0))


def effective_rank(correlation: FloatArray) -> float:
    """Return the exponential of the entropy of a correlation matrix's eigenvalues [5]_.

    Parameters
    ----------
    correlation : array of shape (N, N), symmetric

    Raises
    ------
    DataError
        If it is not square.
    """
    matrix = np.asarray(correlation, dtype=np.float64)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise DataError(f"correlation must be square, got shape {matrix.shape}")
    shares = np.clip(np.linalg.eigvalsh(matrix), 0.0, None)
    shares = shares[shares > 0] / shares.sum()
    return float(np.exp(-(shares * np.log(shares)).sum()))
