"""Which Sharpe ratio the best trial must reach to count as evidence: said before a search starts.

The rules are those of `finrl_ray.statistics.verdict`, solved for the Sharpe ratio; what a search is
told to need before it is what it needs after it.
"""

import math
from dataclasses import dataclass

from finrl_ray.statistics.overfitting import luck_alone
from finrl_ray.statistics.sharpe_inference import NORMAL

DSR_LEAST = 0.95
"""Deflated Sharpe ratio from which a verdict may be `evidence`."""
P_BELOW = 0.05
"""Level of the SPA test in `evidence`, and of both tests of `weak evidence` together."""
P_BELOW_EACH = 0.01
"""Level of each of the two tests of which one suffices for `weak evidence`. Bonferroni's 0.025
would do for tests that keep their level; the p-values are too small on a year of autocorrelated or
fat-tailed returns, on which both together came out at 9 % (benchmarks/verdicts.py)."""
MIN_PERIODS = 60
"""Below this number of returns no deflated Sharpe ratio is called evidence."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DetectableSharpe:
    """Annual Sharpe ratios of residual returns below which the best trial is not told from luck.

    Parameters
    ----------
    weak : from which Sidak's p-value is below 0.01
    evidence : from which the deflated Sharpe ratio is at least 0.95
    luck : what the best of as many trials without skill shows in the mean
    """

    weak: float
    evidence: float
    luck: float


def detectable_sharpe(
    n_periods: int,
    n_trials: int,
    periods_per_year: float = 252.0,
    *,
    dependence: float = 1.0,
    skew: float = 0.0,
    kurtosis: float = 3.0,
) -> DetectableSharpe:
    """Return what the best of N trials must show on T days.

    Parameters
    ----------
    n_periods : T, returns per trial
    n_trials : N
    periods_per_year : periods/year
    dependence : see `dependence_factor`; 1 for independent returns
    skew, kurtosis : of the winner's returns; before a search those of normal ones

    Returns
    -------
    DetectableSharpe
        Infinity where so few returns never suffice.

    Raises
    ------
    ValueError
        If T is below 2 or N below 1.
    """
    if n_periods < 2 or n_trials < 1:
        raise ValueError(f"n_periods must be >= 2 and n_trials >= 1, got {n_periods}, {n_trials}")
    year = math.sqrt(periods_per_year)
    # what the error is at a Sharpe ratio of 0; it grows with the ratio itself
    variance = dependence / (n_periods - 1)
    luck = max(0.0, luck_alone(n_trials)) * math.sqrt(dependence / n_periods)
    shape = skew, (kurtosis - 1.0) / 4.0
    one_of_n = NORMAL.inv_cdf((1.0 - P_BELOW_EACH) ** (1.0 / n_trials))
    evidence = _reaching(luck, NORMAL.inv_cdf(DSR_LEAST), variance, *shape)
    weak = _reaching(0.0, one_of_n, variance, *shape)
    return DetectableSharpe(weak=weak * year, evidence=evidence * year, luck=luck * year)


def _reaching(
    luck: float, quantile: float, variance: float, skew: float, curvature: float
) -> float:
    """Return the x at which x - luck = quantile sqrt(variance (1 - skew x + curvature x^2))."""
    scale = quantile**2 * variance
    leading = 1.0 - scale * curvature
    middle = 2.0 * luck - scale * skew
    inside = middle**2 - 4.0 * leading * (luck**2 - scale)
    if leading <= 0 or inside < 0:
        return math.inf
    return (middle + math.sqrt(inside)) / (2.0 * leading)
