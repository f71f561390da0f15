"""Which Sharpe ratio the best trial must reach to count as evidence, before a search starts."""

import math
from dataclasses import dataclass

from finrl_ray.statistics.overfitting import luck_alone
from finrl_ray.statistics.sharpe_inference import NORMAL

CONFIDENCE = 0.95


@dataclass(frozen=True, kw_only=True, slots=True)
class DetectableSharpe:
    """Annual Sharpe ratios of active returns below which the best trial cannot be told from luck.

    Parameters
    ----------
    weak : from which Sidak's p-value is below 0.05
    evidence : from which the deflated Sharpe ratio is at least 0.95
    luck : what the best of as many trials without skill shows in the mean
    """

    weak: float
    evidence: float
    luck: float


def detectable_sharpe(
    n_periods: int, n_trials: int, periods_per_year: float = 252.0
) -> DetectableSharpe:
    """Return what the best of N trials must show on T days, for normal, independent trials.

    Parameters
    ----------
    n_periods : T, returns per trial
    n_trials : N
    periods_per_year : periods/year

    Raises
    ------
    ValueError
        If T is below 2 or N below 1.
    """
    if n_periods < 2 or n_trials < 1:
        raise ValueError(f"n_periods must be >= 2 and n_trials >= 1, got {n_periods}, {n_trials}")
    year = math.sqrt(periods_per_year)
    # trials without skill differ by the error of their own Sharpe ratios, 1 / sqrt(T)
    luck = max(0.0, luck_alone(n_trials)) / math.sqrt(n_periods)
    needed = luck
    for _ in range(100):  # the error grows with the ratio itself; this settles in a few rounds
        error = math.sqrt((1.0 + needed**2 / 2.0) / (n_periods - 1))
        needed = luck + NORMAL.inv_cdf(CONFIDENCE) * error
    weak = NORMAL.inv_cdf(CONFIDENCE ** (1.0 / n_trials)) / math.sqrt(n_periods)
    return DetectableSharpe(weak=weak * year, evidence=needed * year, luck=luck * year)
