"""Account values to returns and back; rates per period to rates per year."""

import numpy as np

from finrl_ray._typing import FloatArray
from finrl_ray.errors import DataError


def simple_returns(account_value: FloatArray) -> FloatArray:
    """Return the simple return of each period of an account curve.

    Parameters
    ----------
    account_value : array of shape (T + 1,)
        Value at the start and after each of the T periods, in the account's currency.

    Returns
    -------
    array of shape (T,), float64
        ``account_value[t + 1] / account_value[t] - 1``, as fractions. An infinite value makes the
        returns around it infinite or NaN.

    Raises
    ------
    DataError
        If `account_value` is empty, not 1-D, holds NaN, is negative anywhere, or is 0 before its
        last entry.
    """
    values = _checked(account_value, "account_value")
    if values.size == 0:
        raise DataError("account_value must have at least 1 entry, got an empty array")
    bad = np.flatnonzero(
        (values < 0) | ((values == 0) & (np.arange(values.size) < values.size - 1))
    )
    if bad.size:
        raise DataError(
            f"account_value must be positive (it may end at 0), got {values[bad[0]]} at entry "
            f"{bad[0]} of {values.size}"
        )
    with np.errstate(invalid="ignore"):
        return values[1:] / values[:-1] - 1.0


def active_returns(account_value: FloatArray, benchmark_value: FloatArray) -> FloatArray:
    """Return an account's simple returns less those of a benchmark, shape (T - 1,).

    Parameters
    ----------
    account_value, benchmark_value : arrays of shape (T,), currency, on the same days

    Raises
    ------
    DataError
        If the lengths differ, or as `simple_returns`.
    """
    if np.shape(account_value) != np.shape(benchmark_value):
        raise DataError(
            f"both curves must have one length, got {np.shape(account_value)} and "
            f"{np.shape(benchmark_value)}"
        )
    return simple_returns(account_value) - simple_returns(benchmark_value)


def log_returns(account_value: FloatArray) -> FloatArray:
    """Return the natural logarithm of the growth of each period of an account curve.

    Parameters
    ----------
    account_value : array of shape (T + 1,)

    Returns
    -------
    array of shape (T,), float64
        ``log(account_value[t + 1] / account_value[t])``; minus infinity where the account is 0.

    Raises
    ------
    DataError
        As `simple_returns`.
    """
    with np.errstate(divide="ignore"):
        return np.log1p(simple_returns(account_value))


def account_values(returns: FloatArray, initial_amount: float = 1.0) -> FloatArray:
    """Return the account curve that compounds simple returns; the inverse of `simple_returns`.

    Parameters
    ----------
    returns : array of shape (T,)
        Simple returns per period, as fractions, each at least -1.
    initial_amount : currency
        Value at the start.

    Returns
    -------
    array of shape (T + 1,), float64

    Raises
    ------
    DataError
        If `returns` is not 1-D, holds NaN or holds a value below -1.
    """
    checked = check_returns(returns)
    return initial_amount * np.concatenate([[1.0], np.cumprod(1.0 + checked)])


def annualized_mean(mean_per_period: float, periods_per_year: float) -> float:
    """Return a mean per period as a simple (not compounded) rate per year."""
    return mean_per_period * periods_per_year


def annualized_deviation(deviation_per_period: float, periods_per_year: float) -> float:
    """Return a standard deviation per period as one per year, for uncorrelated periods."""
    return float(deviation_per_period * np.sqrt(periods_per_year))


def annualized_growth(growth: float, n_periods: int, periods_per_year: float) -> float:
    """Return total growth as compounded growth per year.

    Parameters
    ----------
    growth : final value over initial value
    n_periods : periods over which the growth took place
    periods_per_year : periods/year

    Returns
    -------
    float
        ``growth ** (periods_per_year / n_periods) - 1``; NaN without periods, infinity where the
        power is too large for a float.
    """
    if n_periods == 0:
        return float("nan")
    with np.errstate(over="ignore"):
        return float(np.float64(growth) ** (periods_per_year / n_periods) - 1.0)


def check_returns(returns: FloatArray) -> FloatArray:
    """Return `returns` as a float64 array that is 1-D, free of NaN and nowhere below -1.

    Raises
    ------
    DataError
        With the first value that breaks the rule.
    """
    checked = _checked(returns, "returns")
    low = np.flatnonzero(checked < -1.0)
    if low.size:
        raise DataError(
            f"returns are fractions and must be >= -1, got {checked[low[0]]} in period {low[0]}"
        )
    return checked


def _checked(values: FloatArray, name: str) -> FloatArray:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1:
        raise DataError(f"{name} must be 1-D, got shape {array.shape}")
    missing = np.flatnonzero(np.isnan(array))
    if missing.size:
        raise DataError(
            f"{name} must hold no NaN, got {missing.size} of {array.size}, the first at entry "
            f"{missing[0]}"
        )
    return array
