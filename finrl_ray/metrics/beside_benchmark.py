"""Measures of one return series beside that of a benchmark on the same periods.

The benchmark is buy & hold of the same tickers at the same costs. Edges follow the rules of
`finrl_ray.metrics.performance`: NaN in the input is a `DataError`, infinite returns and fewer than
`MIN_PERIODS` of them give NaN.

References
----------
.. [1] Jensen (1968), "The Performance of Mutual Funds in the Period 1945-1964", Journal of Finance
   23(2), 389-416.
.. [2] Treynor and Black (1973), "How to Use Security Analysis to Improve Portfolio Selection",
   Journal of Business 46(1), 66-86.
.. [3] Grinold and Kahn (1999), "Active Portfolio Management", chapters 2 and 5.
"""

import numpy as np

from finrl_ray._typing import FloatArray
from finrl_ray.errors import DataError
from finrl_ray.metrics.performance import MIN_PERIODS, is_constant, sharpe_ratio
from finrl_ray.metrics.returns import check_returns

MULTIPLE_TOLERANCE = 1e-9
"""Residual deviation, relative to that of the returns, up to which returns count as a multiple of
the benchmark's."""
DAMPING = 0.05
"""Share of the benchmark's deviation that is added to the residual one, in squares: without it an
account that differs from a multiple of the benchmark by next to nothing has any ratio at all."""


def beta(returns: FloatArray, benchmark_returns: FloatArray) -> float:
    """Return how much of each of the benchmark's returns an account takes part in.

    ``sum((b - mean b) (r - mean r)) / sum((b - mean b)^2)``, by least squares [1]_.

    Parameters
    ----------
    returns, benchmark_returns : arrays of shape (T,)
        Simple returns on the same periods, as fractions.

    Returns
    -------
    float
        0.0 if all returns are 0; NaN for fewer than 3, for infinite ones, and where the benchmark's
        are constant.

    Raises
    ------
    DataError
        If the lengths differ, or an array is not 1-D, holds NaN or a value below -1.
    """
    own, market = _checked(returns, benchmark_returns)
    if not _is_comparable(own, market):
        return float("nan")
    if not own.any():
        return 0.0
    return float("nan") if is_constant(market) else _slope(own, market)


def residual_returns(returns: FloatArray, benchmark_returns: FloatArray) -> FloatArray:
    """Return what the benchmark does not explain of an account: ``r - beta * b``, shape (T,).

    Its mean is Jensen's alpha [1]_, with the risk-free rate left out. All 0 for returns that are a
    multiple of the benchmark's, cash and the benchmark itself among them, where the difference is
    rounding; all NaN where `beta` is.

    Parameters
    ----------
    returns, benchmark_returns : arrays of shape (T,)
        Simple returns on the same periods, as fractions.

    Raises
    ------
    DataError
        As `beta`.
    """
    own, market = _checked(returns, benchmark_returns)
    slope = beta(own, market)
    residual: FloatArray = own - slope * market
    if np.isfinite(slope) and not is_constant(own) and _is_multiple(own, residual):
        return np.zeros(own.size)
    return residual


def appraisal_ratio(
    returns: FloatArray,
    benchmark_returns: FloatArray,
    *,
    periods_per_year: float = 252.0,
    damping: float = DAMPING,
) -> float:
    """Return the annualized appraisal ratio [2]_: what is earned beside the market per risk taken.

    With a the `residual_returns` and s standard deviations (ddof 1):
    ``mean(a) / sqrt(s_a^2 + (damping * s_b)^2) * sqrt(periods_per_year)``.

    Parameters
    ----------
    returns, benchmark_returns : arrays of shape (T,)
        Simple returns on the same periods, as fractions.
    periods_per_year : periods/year
    damping : fraction of the benchmark's deviation; 0 gives the ratio as it is published

    Returns
    -------
    float
        0.0 if all returns are 0, if they are constant, and if they are a multiple of the
        benchmark's (``s_a <= 1e-9 s_r``); NaN for fewer than 3, for infinite ones, and where the
        benchmark's are constant.

    Raises
    ------
    DataError
        As `beta`.
    """
    own, market = _checked(returns, benchmark_returns)
    if not _is_comparable(own, market):
        return float("nan")
    if not own.any():
        return 0.0
    if is_constant(market):
        return float("nan")
    residual = own - _slope(own, market) * market
    if is_constant(own) or _is_multiple(own, residual):
        return 0.0
    spread = np.hypot(np.std(residual, ddof=1), damping * np.std(market, ddof=1))
    return float(np.mean(residual) / spread * np.sqrt(periods_per_year))


def information_ratio(
    returns: FloatArray, benchmark_returns: FloatArray, *, periods_per_year: float = 252.0
) -> float:
    """Return the annualized Sharpe ratio of an account's returns less the benchmark's [3]_.

    It takes beta as 1: an account in cash has that of the benchmark sold short.

    Parameters
    ----------
    returns, benchmark_returns : arrays of shape (T,)
        Simple returns on the same periods, as fractions.
    periods_per_year : periods/year

    Returns
    -------
    float
        0.0 for the benchmark itself; NaN for fewer than 3 returns, for infinite ones, and where
        the differences are constant otherwise.

    Raises
    ------
    DataError
        As `beta`.
    """
    own, market = _checked(returns, benchmark_returns)
    if not _is_comparable(own, market):
        return float("nan")
    # a difference of two returns may be below -1, which no return of an account is
    active = own - market
    scale = max(1.0, float(np.max(np.abs(active))))
    return sharpe_ratio(active / scale, periods_per_year=periods_per_year)


def _checked(returns: FloatArray, benchmark_returns: FloatArray) -> tuple[FloatArray, FloatArray]:
    own, market = check_returns(returns), check_returns(benchmark_returns)
    if own.shape != market.shape:
        raise DataError(
            "returns and benchmark_returns must be of the same periods, got "
            f"{own.size} and {market.size} of them"
        )
    return own, market


def _is_comparable(own: FloatArray, market: FloatArray) -> bool:
    return bool(own.size >= MIN_PERIODS and np.isfinite(own).all() and np.isfinite(market).all())


def _slope(own: FloatArray, market: FloatArray) -> float:
    centred = market - np.mean(market)
    return float(centred @ (own - np.mean(own)) / (centred @ centred))


def _is_multiple(own: FloatArray, residual: FloatArray) -> bool:
    return bool(np.std(residual, ddof=1) <= MULTIPLE_TOLERANCE * np.std(own, ddof=1))
