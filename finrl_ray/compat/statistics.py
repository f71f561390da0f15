"""FinRL's `get_daily_return` and `backtest_stats` of an account curve."""

from typing import Any

import numpy as np
import pandas as pd

from finrl_ray._typing import DateArray
from finrl_ray.data.periods_per_year import periods_per_year as spacing_of
from finrl_ray.env.finrl_frame import to_dates
from finrl_ray.errors import DataError
from finrl_ray.metrics.registry import performance_summary

STATISTICS = {
    "Annual return": "annual_return",
    "Cumulative returns": "total_return",
    "Annual volatility": "annual_volatility",
    "Sharpe ratio": "sharpe_ratio",
    "Calmar ratio": "calmar_ratio",
    "Max drawdown": "max_drawdown",
    "Sortino ratio": "sortino_ratio",
}
"""Labels as pyfolio prints them, and the measure of `finrl_ray.metrics` behind each."""


def get_daily_return(df: pd.DataFrame, value_col_name: str = "account_value") -> "pd.Series[Any]":
    """Return the simple return of each row since the one before, the first NaN.

    Parameters
    ----------
    df : frame with `date` and the column of values
    value_col_name : that column

    Returns
    -------
    pandas.Series
        `daily_return`, indexed by date in UTC, as pyfolio and quantstats take it.

    Raises
    ------
    DataError
        If a column is missing.
    """
    values = _values(df, value_col_name)
    dates = pd.DatetimeIndex(pd.to_datetime(df["date"], utc=True), name="date")
    return pd.Series(values, index=dates, name="daily_return").pct_change()


def backtest_stats(
    account_value: pd.DataFrame,
    value_col_name: str = "account_value",
    *,
    periods_per_year: float | None = None,
    risk_free_rate: float = 0.0,
) -> "pd.Series[float]":
    """Return the performance of an account curve under the labels of FinRL's reports.

    Parameters
    ----------
    account_value : frame with `date` and the column of values, such as `DRL_prediction` returns
    value_col_name : that column; `close` for a baseline
    periods_per_year : rows per year; None: read from the spacing of the dates
    risk_free_rate : 1/year, simple

    Returns
    -------
    pandas.Series
        The entries of `STATISTICS`; rates are fractions, the drawdown is <= 0.

    Raises
    ------
    DataError
        If a column is missing, a value cannot be an account value, or the dates follow no pattern
        and `periods_per_year` is None.
    """
    values = _values(account_value, value_col_name)
    if periods_per_year is None:
        # the order of rows does not matter to the spacing
        periods_per_year = spacing_of(np.unique(_dates(account_value)), "periods_per_year")
    summary = performance_summary(
        values,
        periods_per_year=periods_per_year,
        risk_free_rate=risk_free_rate,
    )
    return pd.Series({label: summary[name] for label, name in STATISTICS.items()}, dtype=float)


def _dates(df: pd.DataFrame) -> DateArray:
    return to_dates(df.assign(tic="the account"))


def _values(df: pd.DataFrame, name: str) -> Any:
    missing = [column for column in ("date", name) if column not in df.columns]
    if missing:
        raise DataError(f"the frame must have the columns {missing}, got {list(df.columns)}")
    return df[name].to_numpy(dtype=np.float64)
