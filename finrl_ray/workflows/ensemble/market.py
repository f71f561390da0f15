"""The user's frame and periods as market data and rows."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from finrl_ray._typing import DateArray
from finrl_ray.data.frames.dates import RowDates, read_dates, written_dates
from finrl_ray.data.indicators import is_indicator
from finrl_ray.data.labels import date_label, how_to_compute
from finrl_ray.data.market_data import MarketData
from finrl_ray.errors import ConfigError, DataError

logger = logging.getLogger(__name__)

Period = Sequence[Any]
"""Two dates."""

EDGE_TOLERANCE_DAYS = 10
"""How far a period may reach beyond the data: as far as holidays, not by a mistake."""


@dataclass(frozen=True, eq=False, kw_only=True)
class EnsembleMarket:
    """Market data up to the end of the test period, and which rows the periods are.

    Parameters
    ----------
    market_data : up to the last date of the test period
    labels : T dates as the user wrote them (strings stay strings)
    train_start : first row of training
    first_row, stop_row : the validation and test period, [first_row, stop_row)
    """

    market_data: MarketData
    labels: tuple[Any, ...]
    train_start: int
    first_row: int
    stop_row: int


def read_market(
    df: "pd.DataFrame | MarketData",
    *,
    features: Sequence[str],
    risk_name: str,
    train_period: Period,
    val_test_period: Period,
) -> EnsembleMarket:
    """Return the data of a frame in FinRL's long format, and the rows of the periods.

    Parameters
    ----------
    df : frame with `date`, `tic`, `close`, the columns `features` and, for a turbulence
        threshold, `risk_name`; or MarketData with these features. A frame's rows may have any
        order; its tickers come in alphabetical order, as FinRL's `data_split` sorts them.
    features : indicator columns, in observation order
    risk_name : used if the data has it
    train_period : training starts on the first date >= the first; the second must not lie after
        the start of `val_test_period`
    val_test_period : dates > the first and <= the second, as in FinRL

    Raises
    ------
    ConfigError
        If a column is missing, or a period is not in the data, or the periods overlap.
    DataError
        If the data cannot be traded; the message names ticker, date and column.
    """
    rows = None if isinstance(df, MarketData) else _row_dates(df, features)
    train = _period("train_period", train_period, rows)
    val_test = _period("val_test_period", val_test_period, rows)
    if train[1] > val_test[0]:
        raise ConfigError(
            f"train_period must end where val_test_period starts, or before, got {train_period[1]} "
            f"and {val_test_period[0]}: the periods overlap"
        )
    if isinstance(df, MarketData):
        market_data, labels = _cut(df, features, val_test[1])
    else:
        assert rows is not None
        market_data, labels = _read(df, rows, features, risk_name, val_test[1])
    dates = market_data.dates
    _check_covered("train_period", train, dates)
    _check_covered("val_test_period", val_test, dates)
    market = EnsembleMarket(
        market_data=market_data,
        labels=labels,
        train_start=int(np.searchsorted(dates, train[0], side="left")),
        first_row=int(np.searchsorted(dates, val_test[0], side="right")),
        stop_row=len(dates),
    )
    if market.train_start < market_data.warmup:
        raise ConfigError(
            f"train_period must not start before {date_label(dates[market_data.warmup])}, the "
            f"first date with complete features, got {train_period[0]}"
        )
    return market


def _row_dates(df: "pd.DataFrame", features: Sequence[str]) -> RowDates:
    missing = [name for name in ("date", "tic", "close", *features) if name not in df.columns]
    if missing:
        computed = [name for name in missing if name in features and is_indicator(name)]
        raise ConfigError(
            "df must have the columns date, tic, close and every name of tech_indicator_list; "
            f"{missing} missing, got {list(df.columns)}."
            f"{how_to_compute(computed) if computed else ''}"
        )
    return read_dates(df["date"], df["tic"].to_numpy(dtype=object))


def _period(
    name: str, period: Period, rows: RowDates | None
) -> tuple[np.datetime64, np.datetime64]:
    """Return the dates of a period, by the clock of the rows where it has a time zone."""
    if isinstance(period, str) or not isinstance(period, Sequence) or len(period) != 2:
        raise ConfigError(f"{name} must be two dates, (start, end), got {period!r}")
    if any(isinstance(item, int | float | np.number) for item in period):
        # pandas would count nanoseconds since 1970
        raise ConfigError(
            f"{name} must be two dates such as '2020-07-01', got the numbers {period!r}"
        )
    try:
        stamps = [pd.Timestamp(item) for item in period]
        start, end = (
            stamp.to_datetime64() if rows is None else rows.bound(stamp, name) for stamp in stamps
        )
    except (TypeError, ValueError) as error:
        raise ConfigError(
            f"{name} must be two dates such as '2020-07-01', got {period!r} ({error})"
        ) from error
    if not start < end:
        raise ConfigError(f"{name} must start before it ends, got {period!r}")
    return start, end


def _cut(
    data: MarketData, features: Sequence[str], end: np.datetime64
) -> tuple[MarketData, tuple[Any, ...]]:
    if list(features) != list(data.feature_names):
        raise ConfigError(
            f"tech_indicator_list must be this market's features {list(data.feature_names)}, got "
            f"{list(features)}"
        )
    cut = data.rows(0, max(1, int(np.searchsorted(data.dates, end, side="right"))))
    return cut, tuple(pd.Timestamp(date) for date in cut.dates)


def _read(
    df: "pd.DataFrame", rows: RowDates, features: Sequence[str], risk_name: str, end: np.datetime64
) -> tuple[MarketData, tuple[Any, ...]]:
    kept = df[rows.dates <= end]
    if kept.empty:
        raise ConfigError(f"df must have dates up to {date_label(end)}, got none")
    known = [risk_name] if risk_name in df.columns and risk_name not in features else []
    market_data = MarketData.from_finrl(
        kept,
        features=list(features),
        market_columns=known,
    )
    return market_data, written_dates(rows, df["date"], market_data.dates)


def _check_covered(
    name: str, period: tuple[np.datetime64, np.datetime64], dates: DateArray
) -> None:
    slack = np.timedelta64(EDGE_TOLERANCE_DAYS, "D")
    if period[0] + slack < dates[0] or period[1] - slack > dates[-1]:
        raise ConfigError(
            f"{name} must lie within the data, {date_label(dates[0])} to {date_label(dates[-1])} "
            f"(up to {EDGE_TOLERANCE_DAYS} days beyond it for holidays), got "
            f"{date_label(period[0])} to {date_label(period[1])}"
        )
    if not ((dates >= period[0]) & (dates <= period[1])).any():
        raise ConfigError(
            f"{name} must hold dates of the data, but there is none from {date_label(period[0])} "
            f"to {date_label(period[1])}"
        )


def check_tickers(market_data: MarketData, stock_dim: int) -> None:
    """Raise DataError if tickers were lost because they are quoted too late."""
    if market_data.n_assets < stock_dim:
        raise DataError(
            f"stock_dim is {stock_dim}, but only {market_data.n_assets} tickers have quotes early "
            f"enough: {list(market_data.tickers)}; take the others out of df"
        )
