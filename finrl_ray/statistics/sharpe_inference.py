"""How well a Sharpe ratio is known: standard errors, probabilities, track record.

Everything here is per period, never annual: SR = mean / standard deviation (ddof 1) of T returns
in excess of the risk-free rate. Skewness and kurtosis are the plain moments (ddof 0); the kurtosis
of a normal distribution is 3, not 0.

References
----------
.. [1] Lo (2002), "The Statistics of Sharpe Ratios", Financial Analysts Journal 58(4), 36-52.
.. [2] Mertens (2002), "Comments on Variance of the IID estimator in Lo (2002)".
.. [3] Bailey and Lopez de Prado (2012), "The Sharpe Ratio Efficient Frontier", Journal of Risk
   15(2), 3-44.
.. [4] Lopez de Prado, Lipton and Zoonekynd (2025), "How to Use the Sharpe Ratio".
"""

import math
import warnings
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal

import numpy as np

from finrl_ray._typing import FloatArray
from finrl_ray.errors import DataError
from finrl_ray.support.text import counted

NORMAL = NormalDist()
Flag = Literal["", "no_trades", "constant", "too_short", "infinite"]
_CONSTANT = 1e-12
_MIN_PERIODS = 3
_ANNUAL_PERIODS = 100


@dataclass(frozen=True, kw_only=True, slots=True)
class SharpeEstimate:
    """A Sharpe ratio per period with the moments that its uncertainty depends on.

    Parameters
    ----------
    sharpe : mean / deviation; 0 if all returns are 0; NaN if it is not defined
    skew, kurtosis : moments; NaN where `sharpe` is, and where all returns are 0
    n_periods : T, the number of returns that count
    n_dropped : NaN that were left out
    flag : `no_trades` (all returns are 0), `constant`, `too_short` (T < 3), `infinite`, or empty
    reason : the same as a sentence
    """

    sharpe: float
    skew: float
    kurtosis: float
    n_periods: int
    n_dropped: int = 0
    flag: Flag = ""
    reason: str = ""


def estimate_sharpe(returns: FloatArray) -> SharpeEstimate:
    """Return the Sharpe ratio of a series with its moments.

    Parameters
    ----------
    returns : array of shape (T,)
        Excess returns per period, as fractions. NaN are left out and counted.

    Raises
    ------
    DataError
        If `returns` is not 1-D.
    """
    values = np.asarray(returns, dtype=np.float64)
    if values.ndim != 1:
        raise DataError(f"returns must be 1-D, got shape {values.shape}")
    kept = values[~np.isnan(values)]
    flag, reason = _what_is_wrong(kept)
    sharpe, skew, kurtosis = math.nan, math.nan, math.nan
    if not flag:
        mean, centred = float(kept.mean()), kept - kept.mean()
        variance = float((centred**2).mean())
        sharpe = mean / float(kept.std(ddof=1))
        skew = float((centred**3).mean()) / variance**1.5
        kurtosis = float((centred**4).mean()) / variance**2
    elif flag == "no_trades":
        sharpe = 0.0
    return SharpeEstimate(
        sharpe=sharpe,
        skew=skew,
        kurtosis=kurtosis,
        n_periods=kept.size,
        n_dropped=values.size - kept.size,
        flag=flag,
        reason=reason,
    )


def _what_is_wrong(values: FloatArray) -> tuple[Flag, str]:
    if np.isinf(values).any():
        return "infinite", f"{int(np.isinf(values).sum())} returns are infinite"
    if values.size < _MIN_PERIODS:
        return "too_short", f"{counted(values.size, 'return')}; at least {_MIN_PERIODS} are needed"
    if not values.any():
        return "no_trades", "all returns are 0: nothing was traded"
    if values.std() <= _CONSTANT * abs(values.mean()):
        return "constant", f"all returns are {values[0]:.6g}, so that they have no deviation"
    return "", ""


def check_moments(sharpe: float, n_periods: int, skew: float, kurtosis: float) -> None:
    """Refuse moments that no series has, and warn of a Sharpe ratio that looks annual.

    Raises
    ------
    DataError
        If kurtosis < 1 + skew**2, which holds for no distribution, or `n_periods` is below 2.
    """
    if n_periods < 2:
        raise DataError(f"n_periods must be >= 2, got {n_periods}")
    # moments of real series touch the bound where they take two values only
    if kurtosis < (1.0 + skew**2) * (1.0 - 1e-9):
        raise DataError(
            f"kurtosis must be >= 1 + skew**2 = {1.0 + skew**2:.6g}, got {kurtosis:.6g}: was the "
            "excess kurtosis passed? A normal distribution has 3 here"
        )
    if abs(sharpe) > 1 and n_periods > _ANNUAL_PERIODS:
        warnings.warn(
            f"a Sharpe ratio of {sharpe:.4g} per period over {n_periods} periods: was an "
            "annualised SR passed? Divide it by the root of the periods per year",
            stacklevel=3,
        )


def variance_factor(
    sharpe: float, *, skew: float = 0.0, kurtosis: float = 3.0, autocorrelation: float = 0.0
) -> float:
    """Return T times the variance of an estimated Sharpe ratio.

    With r the first-order autocorrelation: a - b * skew * SR + c * (kurtosis - 1) / 4 * SR**2,
    where a = (1 + r) / (1 - r), b = 1 + r / (1 - r) + r**2 / (1 - r**2) and
    c = (1 + r**2) / (1 - r**2) [4]_; without autocorrelation it is Mertens' [2]_, and for normal
    returns Lo's 1 + SR**2 / 2 [1]_.

    Raises
    ------
    DataError
        If `autocorrelation` is not within (-1, 1).
    """
    r = autocorrelation
    if not -1 < r < 1:
        raise DataError(f"autocorrelation must be within (-1, 1), got {r}")
    a = (1 + r) / (1 - r)
    b = 1 + r / (1 - r) + r**2 / (1 - r**2)
    c = (1 + r**2) / (1 - r**2)
    return a - b * skew * sharpe + c * (kurtosis - 1) / 4 * sharpe**2


def sharpe_standard_error(
    sharpe: float,
    n_periods: int,
    *,
    skew: float = 0.0,
    kurtosis: float = 3.0,
    autocorrelation: float = 0.0,
) -> float:
    """Return the standard error of a Sharpe ratio per period; see `variance_factor`.

    Raises
    ------
    DataError
        If no series has such moments.
    """
    check_moments(sharpe, n_periods, skew, kurtosis)
    factor = variance_factor(sharpe, skew=skew, kurtosis=kurtosis, autocorrelation=autocorrelation)
    return math.sqrt(max(0.0, factor) / n_periods)


def annual_standard_error(
    estimate: SharpeEstimate, dependence: float, periods_per_year: float
) -> float:
    """Return the standard error of an annual Sharpe ratio, for the moments of an estimate.

    With T returns, their `dependence_factor` f and `variance_factor` v of their ratio per period:
    ``sqrt(f * v / (T - 1) * periods_per_year)``.

    Parameters
    ----------
    estimate : without a flag
    dependence : f, by which dependence inflates the variance of the mean; 1 for none
    periods_per_year : periods/year
    """
    factor = variance_factor(estimate.sharpe, skew=estimate.skew, kurtosis=estimate.kurtosis)
    variance = dependence * max(0.0, factor) / (estimate.n_periods - 1)
    return math.sqrt(variance) * math.sqrt(periods_per_year)


def annualization_factor(autocorrelation: float, periods: int) -> float:
    """Return what a Sharpe ratio per period is multiplied by for `periods` of them.

    q / sqrt(q + 2 * sum over k of (q - k) * r**k), which is sqrt(q) without autocorrelation; for
    returns that follow an AR(1) process [1]_.

    Raises
    ------
    DataError
        If `autocorrelation` is not within (-1, 1) or `periods` is less than 1.
    """
    if not -1 < autocorrelation < 1:
        raise DataError(f"autocorrelation must be within (-1, 1), got {autocorrelation}")
    if periods < 1:
        raise DataError(f"periods must be >= 1, got {periods}")
    lags = np.arange(1, periods)
    together = float(((periods - lags) * autocorrelation**lags).sum())
    return periods / math.sqrt(periods + 2.0 * together)


def probabilistic_sharpe_ratio(
    sharpe: float,
    n_periods: int,
    *,
    benchmark: float = 0.0,
    skew: float = 0.0,
    kurtosis: float = 3.0,
    dependence: float = 1.0,
) -> float:
    """Return the probability that the true Sharpe ratio is above `benchmark` (2012) [3]_.

    Z[(SR - benchmark) * sqrt(T - 1) / sqrt(f * (1 - skew * SR + (kurtosis - 1) / 4 * SR**2))], with
    f = 1 for returns that do not depend on each other, as published.

    Parameters
    ----------
    sharpe, benchmark : per period
    n_periods : T
    skew, kurtosis : of the returns
    dependence : f, see `finrl_ray.statistics.dependence`

    Returns
    -------
    float
        NaN if `sharpe` is.

    Raises
    ------
    DataError
        If no series has such moments.
    """
    if math.isnan(sharpe):
        return math.nan
    check_moments(sharpe, n_periods, skew, kurtosis)
    factor = dependence * variance_factor(sharpe, skew=skew, kurtosis=kurtosis)
    return _probability((sharpe - benchmark) * math.sqrt(n_periods - 1), factor)


def probabilistic_sharpe_ratio_h0(
    sharpe: float,
    n_periods: int,
    *,
    benchmark: float = 0.0,
    skew: float = 0.0,
    kurtosis: float = 3.0,
    autocorrelation: float = 0.0,
) -> float:
    """Return the same with the variance that the estimate has if `benchmark` is true (2025) [4]_.

    Z[(SR - benchmark) * sqrt(T) / sqrt(variance_factor(benchmark))]. For skewed returns it differs
    much from the formula of 2012. Parameters and errors are those of `probabilistic_sharpe_ratio`
    and `variance_factor`.
    """
    if math.isnan(sharpe):
        return math.nan
    check_moments(sharpe, n_periods, skew, kurtosis)
    factor = variance_factor(
        benchmark, skew=skew, kurtosis=kurtosis, autocorrelation=autocorrelation
    )
    return _probability((sharpe - benchmark) * math.sqrt(n_periods), factor)


def _probability(distance: float, factor: float) -> float:
    if (
        factor <= 0
    ):  # returns that take two values: by this approximation the estimate has no variance
        return 0.5 if distance == 0 else float(distance > 0)
    return NORMAL.cdf(distance / math.sqrt(factor))


def minimum_track_record_length(
    sharpe: float,
    *,
    benchmark: float = 0.0,
    skew: float = 0.0,
    kurtosis: float = 3.0,
    dependence: float = 1.0,
    confidence: float = 0.95,
) -> float:
    """Return the periods that it takes for PSR(benchmark) to reach `confidence` (2012) [3]_.

    1 + f * (1 - skew * SR + (kurtosis - 1) / 4 * SR**2) * (Z^-1(confidence) / (SR - benchmark))**2.

    Returns
    -------
    float
        Periods, not rounded; infinity if `sharpe` is not above `benchmark`, NaN if it is NaN.

    Raises
    ------
    DataError
        If `confidence` is not within (0, 1) or no series has such moments.
    """
    factor = dependence * variance_factor(sharpe, skew=skew, kurtosis=kurtosis)
    length = _record_length(sharpe, benchmark, skew, kurtosis, confidence, factor)
    return 1.0 + length


def minimum_track_record_length_h0(
    sharpe: float,
    *,
    benchmark: float = 0.0,
    skew: float = 0.0,
    kurtosis: float = 3.0,
    autocorrelation: float = 0.0,
    confidence: float = 0.95,
) -> float:
    """Return the same by the formula of 2025 [4]_: the variance is the one under `benchmark`."""
    factor = variance_factor(
        benchmark, skew=skew, kurtosis=kurtosis, autocorrelation=autocorrelation
    )
    return _record_length(sharpe, benchmark, skew, kurtosis, confidence, factor)


def _record_length(
    sharpe: float, benchmark: float, skew: float, kurtosis: float, confidence: float, factor: float
) -> float:
    if not 0 < confidence < 1:
        raise DataError(f"confidence must be within (0, 1), got {confidence}")
    if math.isnan(sharpe):
        return math.nan
    check_moments(sharpe, 2, skew, kurtosis)
    if sharpe <= benchmark:
        return math.inf
    return factor * (NORMAL.inv_cdf(confidence) / (sharpe - benchmark)) ** 2
