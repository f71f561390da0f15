"""How much less a series says of its mean because its values depend on each other.

References
----------
.. [1] Newey and West (1987), "A Simple, Positive Semi-definite, Heteroskedasticity and
   Autocorrelation Consistent Covariance Matrix", Econometrica 55(3), 703-708.
.. [2] Newey and West (1994), "Automatic Lag Selection in Covariance Matrix Estimation", Review of
   Economic Studies 61(4), 631-653.
"""

import numpy as np

from finrl_ray._typing import FloatArray
from finrl_ray.errors import DataError


def lags_considered(n_periods: int) -> int:
    """Return the number of lags, floor(4 (T / 100)^(2/9)) [2]_, fewer than T."""
    return min(int(4.0 * float((n_periods / 100.0) ** (2.0 / 9.0))), n_periods - 1)


def dependence_factor(values: FloatArray) -> float:
    """Return by what the variance of the mean exceeds that of independent values, at least 1.

    ``max(1, long-run variance / variance)``, the long-run variance
    ``g_0 + 2 sum over l = 1..L of (1 - l / (L + 1)) g_l`` [1]_ with L of `lags_considered` and g_l
    the autocovariance at lag l (sums over T). Values that make up for each other, whose factor
    would be below 1, count as independent ones.

    Parameters
    ----------
    values : array of shape (T,)

    Returns
    -------
    float
        1 for values that do not vary.

    Raises
    ------
    DataError
        If `values` is not 1-D, empty or not finite.
    """
    series = np.asarray(values, dtype=np.float64)
    if series.ndim != 1 or not series.size or not np.isfinite(series).all():
        raise DataError(f"values must be 1-D, finite and not empty, got shape {series.shape}")
    centred = series - series.mean()
    variance = float(centred @ centred)
    if variance == 0.0:
        return 1.0
    lags = lags_considered(series.size)
    covariances = [float(centred[lag:] @ centred[:-lag]) for lag in range(1, lags + 1)]
    weights = [1.0 - lag / (lags + 1.0) for lag in range(1, lags + 1)]
    long_run = variance + 2.0 * sum(w * c for w, c in zip(weights, covariances, strict=True))
    return max(1.0, long_run / variance)
