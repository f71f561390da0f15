"""The risk above which a window's account sells everything, from its training days alone."""

import numpy as np

from finrl_ray._typing import FloatArray
from finrl_ray.errors import ConfigError, DataError


def turbulence_threshold(insample: FloatArray, *, lookback: int, quantile: float = 0.90) -> float:
    """Return the turbulence threshold of one window.

    If the mean of the last `lookback` days is above the quantile of all training days, the market
    is taken to be in turmoil and the quantile is the threshold; otherwise the highest training day
    is.

    Parameters
    ----------
    insample : array of shape (T,), one value per date
        The risk series over the window's training days, the last one right before validation.
    lookback : days; all of them if there are fewer
    quantile : within (0, 1)

    Returns
    -------
    float
        In the unit of the series.

    Raises
    ------
    ConfigError
        If `lookback` or `quantile` is out of range.
    DataError
        If `insample` is empty or holds NaN.

    References
    ----------
    .. [1] Yang, Liu, Zhong and Walid (2020), "Deep Reinforcement Learning for Automated Stock
       Trading: An Ensemble Strategy", ICAIF 2020.
    """
    check_turbulence_rule(lookback=lookback, quantile=quantile)
    values = np.asarray(insample, dtype=np.float64)
    if values.ndim != 1 or values.size == 0 or not np.isfinite(values).all():
        raise DataError(
            "the risk series must have one finite value for each training day, got shape "
            f"{values.shape} with {int((~np.isfinite(values)).sum())} values that are not finite"
        )
    calm_limit = float(np.quantile(values, quantile))
    recent = float(np.mean(values[-lookback:]))
    return calm_limit if recent > calm_limit else float(np.max(values))


def check_turbulence_rule(*, lookback: int, quantile: float) -> None:
    """Raise ConfigError if the rule's numbers are out of range."""
    if lookback < 1:
        raise ConfigError(f"turbulence_lookback must be >= 1 day, got {lookback}")
    if not 0.0 < quantile < 1.0:
        raise ConfigError(f"turbulence_quantile must be within (0, 1), got {quantile}")
