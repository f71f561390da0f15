"""Measures of one return series; `finrl_ray.metrics.registry` lists them for all who show them.

Every function takes simple returns per period. Deviations use ddof=1. Rules for the edges, the same
in all functions: input that is not 1-D or holds NaN is a `DataError`; infinite returns give NaN;
a ratio of fewer than `MIN_PERIODS` returns is NaN; a ratio of returns that are all 0 (an agent that
never traded) is 0.0; a ratio whose denominator vanishes otherwise is NaN.
"""

import numpy as np

from finrl_ray._typing import FloatArray
from finrl_ray.errors import DataError
from finrl_ray.metrics.returns import (
    account_values,
    annualized_deviation,
    annualized_growth,
    annualized_mean,
    check_returns,
    simple_returns,
)
from finrl_ray.support.text import counted

MIN_PERIODS = 3
"""Returns needed before a ratio means anything."""

CONSTANT_TOLERANCE = 1e-12
"""Deviation, relative to the largest return, up to which returns count as constant: rounding makes
the deviation of equal returns positive."""

RATIO_ROUNDING = 4.0 * float(np.finfo(np.float64).eps)
"""Deviation that rounding alone leaves in returns computed as a quotient of account values."""


def sharpe_ratio(
    returns: FloatArray, *, periods_per_year: float = 252.0, risk_free_rate: float = 0.0
) -> float:
    """Return the annualized Sharpe ratio of a return series.

    Parameters
    ----------
    returns : array of shape (T,)
        Simple returns per period, as fractions (0.01 is +1 %).
    periods_per_year : periods/year
    risk_free_rate : 1/year
        Simple annual rate; divided by `periods_per_year` before it is subtracted.

    Returns
    -------
    float
        Mean excess return over its deviation (ddof=1), times the square root of
        `periods_per_year`. 0.0 if all returns are 0; NaN if they are constant otherwise, fewer
        than 3, or infinite.

    Raises
    ------
    DataError
        If `returns` is not 1-D, holds NaN or a value below -1.

    References
    ----------
    .. [1] Sharpe (1994), "The Sharpe Ratio", J. Portfolio Management 21(1), 49-58.
    """
    checked = check_returns(returns)
    known = _known_ratio(checked)
    if known is not None:
        return known
    if is_constant(checked):
        return float("nan")
    excess = checked - risk_free_rate / periods_per_year
    return float(np.mean(excess) / np.std(checked, ddof=1) * np.sqrt(periods_per_year))


def sortino_ratio(
    returns: FloatArray, *, periods_per_year: float = 252.0, risk_free_rate: float = 0.0
) -> float:
    """Return the annualized Sortino ratio, with the risk-free rate as the target return.

    Parameters
    ----------
    returns : array of shape (T,)
        Simple returns per period, as fractions.
    periods_per_year : periods/year
    risk_free_rate : 1/year
        Simple annual rate; divided by `periods_per_year` before it is subtracted.

    Returns
    -------
    float
        Mean excess return over the downside deviation (root of the mean over all T periods of
        ``min(excess, 0) ** 2``), times the square root of `periods_per_year`. 0.0 if all returns
        are 0; NaN if no return is below the target, if there are fewer than 3, or if one is
        infinite.

    Raises
    ------
    DataError
        As `sharpe_ratio`.

    References
    ----------
    .. [1] Sortino and Price (1994), "Performance Measurement in a Downside Risk Framework",
       J. of Investing 3(3), 59-64.
    """
    checked = check_returns(returns)
    known = _known_ratio(checked)
    if known is not None:
        return known
    excess = checked - risk_free_rate / periods_per_year
    downside = float(np.sqrt(np.mean(np.minimum(excess, 0.0) ** 2)))
    if downside <= CONSTANT_TOLERANCE * float(np.max(np.abs(excess))):
        return float("nan")
    return float(np.mean(excess) / downside * np.sqrt(periods_per_year))


def calmar_ratio(returns: FloatArray, *, periods_per_year: float = 252.0) -> float:
    """Return the compounded annual return over the depth of the worst drawdown.

    Parameters
    ----------
    returns : array of shape (T,)
        Simple returns per period, as fractions.
    periods_per_year : periods/year

    Returns
    -------
    float
        ``annual_return / -max_drawdown`` over the whole series. 0.0 if all returns are 0; NaN
        without a drawdown, with fewer than 3 returns or an infinite one.

    Raises
    ------
    DataError
        As `sharpe_ratio`.

    References
    ----------
    .. [1] Young (1991), "Calmar Ratio: A Smoother Tool", Futures 20(1), 40.
    """
    checked = check_returns(returns)
    known = _known_ratio(checked)
    if known is not None:
        return known
    depth = -max_drawdown(checked)
    if depth == 0.0:
        return float("nan")
    return annual_return(checked, periods_per_year=periods_per_year) / depth


def max_drawdown(returns: FloatArray) -> float:
    """Return the largest fall of the compounded account from its highest value so far.

    Parameters
    ----------
    returns : array of shape (T,)
        Simple returns per period, as fractions. The start counts as the first high.

    Returns
    -------
    float
        A fraction within [-1, 0] (-0.4 is -40 %); 0.0 for an empty series, NaN with an infinite
        return.

    Raises
    ------
    DataError
        As `sharpe_ratio`.

    References
    ----------
    .. [1] Magdon-Ismail and Atiya (2004), "Maximum Drawdown", Risk Magazine 17(10), 99-102.
    """
    checked = check_returns(returns)
    if not np.isfinite(checked).all():
        return float("nan")
    wealth = account_values(checked)
    # adding 0.0 turns the -0.0 of a curve that never falls into 0.0
    return float(np.min(wealth / np.maximum.accumulate(wealth) - 1.0)) + 0.0


def total_return(returns: FloatArray) -> float:
    """Return the compounded return over the whole series, as a fraction.

    NaN with an infinite return; 0.0 for an empty series. Raises as `sharpe_ratio`.
    """
    checked = check_returns(returns)
    return float(np.prod(1.0 + checked) - 1.0) if np.isfinite(checked).all() else float("nan")


def annual_return(returns: FloatArray, *, periods_per_year: float = 252.0) -> float:
    """Return the compounded return per year, as a fraction (also called CAGR).

    NaN for an empty series or with an infinite return. Raises as `sharpe_ratio`.
    """
    checked = check_returns(returns)
    return annualized_growth(1.0 + total_return(checked), checked.size, periods_per_year)


def annual_volatility(returns: FloatArray, *, periods_per_year: float = 252.0) -> float:
    """Return the standard deviation (ddof=1) of returns, per year.

    NaN for fewer than 2 returns or with an infinite one. Raises as `sharpe_ratio`.
    """
    checked = check_returns(returns)
    if checked.size < 2 or not np.isfinite(checked).all():
        return float("nan")
    return annualized_deviation(float(np.std(checked, ddof=1)), periods_per_year)


def turnover(
    traded_amount: FloatArray, account_value: FloatArray, *, periods_per_year: float = 252.0
) -> float:
    """Return how often per year the account's value is traded, purchases and sales both counted.

    Parameters
    ----------
    traded_amount : array of shape (T,)
        Amount bought plus amount sold in each period, in the account's currency, >= 0.
    account_value : array of shape (T + 1,)
        Value at the start and after each period.
    periods_per_year : periods/year

    Returns
    -------
    float
        Mean of ``traded_amount[t] / account_value[t]``, annualized: selling everything and buying
        something else with it, once a year, is 2.0. NaN without periods.

    Raises
    ------
    DataError
        If lengths disagree or a value is negative, NaN or, in `account_value`, 0 before the end.
    """
    amounts = np.asarray(traded_amount, dtype=np.float64)
    simple_returns(account_value)
    values = np.asarray(account_value, dtype=np.float64)
    if amounts.shape != (values.size - 1,):
        raise DataError(
            f"traded_amount must have one entry per period, shape ({values.size - 1},), "
            f"got {amounts.shape}"
        )
    if not (amounts >= 0).all():
        raise DataError(f"traded_amount must be >= 0 and not NaN, got a minimum of {amounts.min()}")
    if amounts.size == 0:
        return float("nan")
    return annualized_mean(float(np.mean(amounts / values[:-1])), periods_per_year)


def exposure(position_value: FloatArray, account_value: FloatArray) -> float:
    """Return which share of the account was invested, in the mean over the periods.

    Parameters
    ----------
    position_value : array of shape (T + 1,)
        What the positions are worth at the start and after each period, in the account's currency,
        short ones counted as what covering them costs: >= 0.
    account_value : array of shape (T + 1,)
        Value at the start and after each period.

    Returns
    -------
    float
        Mean of ``position_value[t] / account_value[t]`` over t >= 1: the positions that are held
        over a period, at its end. 0 for an account in cash; above 1 with short sales. A period at
        whose end the account is worth 0 counts as 0. NaN without periods.

    Raises
    ------
    DataError
        If lengths disagree or a value is negative, NaN or, in `account_value`, 0 before the end.
    """
    positions = np.asarray(position_value, dtype=np.float64)
    simple_returns(account_value)
    values = np.asarray(account_value, dtype=np.float64)
    if positions.shape != values.shape:
        raise DataError(
            f"position_value must have the shape of account_value, {values.shape}, got "
            f"{positions.shape}"
        )
    if not (positions >= 0).all():
        raise DataError(
            f"position_value must be >= 0 and not NaN, got a minimum of {positions.min()}"
        )
    if values.size == 1:
        return float("nan")
    with np.errstate(invalid="ignore"):  # an infinite account has no shares
        shares = np.divide(positions, values, out=np.zeros(values.shape), where=values > 0)
    return float(np.mean(shares[1:]))


def undefined_reason(returns: FloatArray) -> str:
    """Return in a few words why a measure of these returns is NaN.

    Raises
    ------
    DataError
        As `sharpe_ratio`.
    """
    checked = check_returns(returns)
    if checked.size < MIN_PERIODS:
        return f"{counted(checked.size, 'return')}, at least {MIN_PERIODS} are needed"
    if not np.isfinite(checked).all():
        return "the account value is infinite"
    if is_constant(checked):
        return f"all {checked.size} returns equal {checked[0]:g}"
    return "the returns have no downside"


def _known_ratio(returns: FloatArray) -> float | None:
    """Return a ratio's value where it does not depend on the formula, else None."""
    if returns.size < MIN_PERIODS or not np.isfinite(returns).all():
        return float("nan")
    return 0.0 if not returns.any() else None


def is_constant(returns: FloatArray) -> bool:
    """Return whether returns, of which there are some, differ by no more than rounding."""
    scale = float(np.max(np.abs(returns)))
    return bool(np.std(returns, ddof=1) <= CONSTANT_TOLERANCE * scale + RATIO_ROUNDING)
