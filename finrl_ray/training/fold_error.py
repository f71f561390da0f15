"""How sure the mean of a measure over several trainings is."""

from collections.abc import Sequence

import numpy as np

from finrl_ray._typing import FloatArray
from finrl_ray.statistics.sharpe_inference import estimate_sharpe, sharpe_standard_error


def standard_error(values: Sequence[float], first: FloatArray | None, year: float) -> float:
    """Return the standard error of the mean; of a single fold that of its own ratio.

    One fold's spread is unknown, and to call it 0 would let trials that were stopped early win.
    Where the measure is no Sharpe ratio, whose error is known, it is taken to be as large as the
    value.

    Parameters
    ----------
    values : of the folds
    first : returns of the first fold, of which its value is the Sharpe ratio; None if it is none
    year : root of the periods per year
    """
    if len(values) > 1:
        return float(np.std(values, ddof=1) / np.sqrt(len(values)))
    if first is None:
        return abs(values[0])
    estimate = estimate_sharpe(first)
    if not np.isfinite(estimate.sharpe) or not np.isfinite(estimate.skew):
        return 0.0
    error = sharpe_standard_error(
        estimate.sharpe, estimate.n_periods, skew=estimate.skew, kurtosis=estimate.kurtosis
    )
    return float(error * year)
