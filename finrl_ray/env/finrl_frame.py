"""Frames in FinRL's long format as `MarketTable`s, with the dates as the user wrote them."""

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from finrl_ray._typing import AnyArray, DateArray, FloatArray, IntArray
from finrl_ray.data.frames.columns import read_tickers
from finrl_ray.data.frames.dates import read_dates, written_dates
from finrl_ray.data.indicators import is_indicator
from finrl_ray.data.labels import how_to_compute
from finrl_ray.data.market_data import MarketData
from finrl_ray.env.kernel.arrays import Market, as_read_only
from finrl_ray.env.market_table import (
    MarketTable,
    check_length,
    check_observations,
    market_table,
    observation_factors,
    observation_table,
    tradable_mask,
)
from finrl_ray.env.observed_columns import column_kinds
from finrl_ray.env.rules import TradingRules
from finrl_ray.env.scaling import ObservationScaling
from finrl_ray.errors import ConfigError, DataError

logger = logging.getLogger(__name__)


def table_from_frame(
    df: pd.DataFrame,
    features: Sequence[str],
    rules: TradingRules,
    *,
    scaling: ObservationScaling | None,
    risk_name: str,
) -> MarketTable:
    """Return a frame in FinRL's long format as an env trades it under `rules`.

    Parameters
    ----------
    df : frame with `date`, `tic`, `close`, the columns `features` and, for a turbulence
        threshold, the column `risk_name`
    features : indicator columns, in observation order

    Raises
    ------
    ConfigError
        If a column is missing.
    DataError
        If the frame cannot be traded; the message names ticker, date and column.
    """
    missing = [name for name in ("date", "tic", "close", *features) if name not in df.columns]
    if missing:
        computed = [name for name in missing if name in features and is_indicator(name)]
        raise ConfigError(
            f"df must have the columns date, tic, close and every indicator; {missing} missing, "
            f"got {list(df.columns)}.{how_to_compute(computed) if computed else ''}"
        )
    if not rules.clean_data:
        return _raw_table(df, features, rules, scaling=scaling, risk_name=risk_name)
    known = [risk_name] if risk_name in df.columns and risk_name not in features else []
    # in the order of the frame, which need not be alphabetical
    tickers = list(dict.fromkeys(read_tickers(df["tic"]))) or None
    market_data = MarketData.from_finrl(
        df, features=list(features), tickers=tickers, market_columns=known
    )
    return market_table(
        market_data,
        rules,
        scaling=scaling,
        risk_name=risk_name,
        labels=_original_dates(df, market_data.dates),
    )


def _original_dates(df: pd.DataFrame, dates: DateArray) -> tuple[Any, ...]:
    rows = read_dates(df["date"], df["tic"].to_numpy(dtype=object))
    return written_dates(rows, df["date"], dates)


def to_dates(rows: pd.DataFrame) -> DateArray:
    """Return the dates of rows as datetime64[ns], without a time zone, as `read_dates` has them.

    What `MarketData` would refuse, such as 01/31/2020, is left to pandas: FinRL's env only shows
    dates.

    Raises
    ------
    DataError
        If a value is not a date.
    """
    written: pd.Series[Any] = rows["date"]
    try:
        return read_dates(written, rows["tic"].to_numpy(dtype=object)).dates
    except DataError:
        pass
    try:
        stamps = pd.DatetimeIndex(pd.to_datetime(written))
    except (ValueError, TypeError) as error:
        raise DataError(
            f"the column date must hold dates such as '2020-07-01' ({error}), got "
            f"{written.iloc[0]!r} first"
        ) from error
    return stamps.tz_localize(None).to_numpy(dtype="datetime64[ns]")


def _raw_table(
    df: pd.DataFrame,
    features: Sequence[str],
    rules: TradingRules,
    *,
    scaling: ObservationScaling | None,
    risk_name: str,
) -> MarketTable:
    order, n_assets = _rows_by_day(df)
    shape = (len(df) // n_assets, n_assets)
    check_length(shape[0])
    first_rows = df.iloc[order[::n_assets]]
    tickers = tuple(str(tic) for tic in df["tic"].to_numpy(dtype=object)[order[-n_assets:]])

    def column(name: str) -> FloatArray:
        return _numbers(df, name)[order].reshape(shape)

    close = column("close")
    values = np.empty((*shape, len(features)))
    for k, name in enumerate(features):
        values[:, :, k] = column(name)
    labels = tuple(first_rows["date"])
    _check_finite("close", close, tickers, labels)
    for k, name in enumerate(features):
        _check_finite(name, values[:, :, k], tickers, labels)
    has_risk = risk_name in df.columns
    risk = column(risk_name)[:, 0] if has_risk else np.zeros(shape[0])
    mask = np.ones(shape, dtype=np.bool_)
    table = observation_table(close, values, rules, scaling)
    check_observations(table, labels, tickers, column_kinds(rules, features))
    market = Market(
        table=table,
        close=as_read_only(close),
        price=as_read_only(close),
        tradable=as_read_only(tradable_mask(mask, values, rules)),
        risk=as_read_only(risk),
        factors=observation_factors(scaling, n_assets),
    )
    return MarketTable(
        dates=to_dates(first_rows),
        labels=labels,
        tickers=tickers,
        feature_names=tuple(features),
        features=values,
        market=market,
        has_risk=has_risk,
        risk_name=risk_name,
        scaling=scaling,
    )


def _rows_by_day(df: pd.DataFrame) -> tuple[IntArray, int]:
    """Return the row numbers day by day, each day in the frame's own order, and N."""
    n_assets = int(df["tic"].nunique())
    days = df.index.to_numpy()
    numbered = _all_full(days, n_assets) and set(np.unique(days)) == set(range(len(df) // n_assets))
    if not numbered:
        # any other index says nothing about days; FinRL would not run
        days = to_dates(df).astype(np.int64)
        if not _all_full(days, n_assets):
            raise DataError(_gap_message(df, n_assets))
    order = np.argsort(days, kind="stable")
    tics = df["tic"].to_numpy(dtype=object)[order].reshape(-1, n_assets)
    if (tics != tics[0]).any():
        # FinRL goes by position and does not look at the names
        logger.warning("days list the tickers in different orders; sort df by date and tic")
    return order, n_assets


def _all_full(days: AnyArray, n_assets: int) -> bool:
    counts = np.unique(days, return_counts=True)[1]
    return bool(counts.size) and bool((counts == n_assets).all())


def _gap_message(df: pd.DataFrame, n_assets: int) -> str:
    counts = df.groupby("date", sort=True)["tic"].count()
    if counts.empty:
        return "df must have rows, got none"
    date = counts[counts != n_assets].index[0]
    return (
        f"every day must have one row for each of the {n_assets} tickers, but {date} has "
        f"{counts[date]}; fill the gaps, or use parity=False, which carries prices over them"
    )


def _numbers(df: pd.DataFrame, name: str) -> FloatArray:
    try:
        return df[name].to_numpy(dtype=np.float64)
    except (ValueError, TypeError) as error:
        raise DataError(f"the column {name} must hold numbers: {error}") from error


def _check_finite(
    name: str, values: FloatArray, tickers: Sequence[str], labels: Sequence[Any]
) -> None:
    wrong = np.argwhere(~np.isfinite(values))
    if wrong.size:
        row, asset = (int(i) for i in wrong[0])
        raise DataError(
            f"{name} of {tickers[asset]} on {labels[row]} must be finite, got "
            f"{values[row, asset]} ({len(wrong)} such values); clean df first"
        )
