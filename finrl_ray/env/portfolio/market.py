"""`PortfolioMarket`: what `StockPortfolioEnv` reads: closes, indicators and covariances."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from finrl_ray._typing import BoolArray, DateArray, FloatArray
from finrl_ray.data.frames.dates import read_dates, written_dates
from finrl_ray.data.market_data import MarketData
from finrl_ray.errors import ConfigError, DataError
from finrl_ray.support.float32_range import FLOAT32_MAX

if TYPE_CHECKING:
    import pandas as pd

COVARIANCE_COLUMN = "cov_list"
"""FinRL's name for a column that brings the covariance matrix of each date."""


@dataclass(frozen=True, eq=False, kw_only=True)
class PortfolioMarket:
    """The D days that can be traded, all with complete indicators and a covariance.

    Parameters
    ----------
    dates : array of shape (D,), datetime64[ns]
    labels : D dates as the user wrote them
    tickers : N names
    feature_names : F names
    close : array of shape (D, N)
    tradable : array of shape (D, N)
    features : array of shape (D, F, N)
    covariance : array of shape (D, N, N)
        Of simple returns up to and including the day's own.
    risk : array of shape (D,), or None without the risk series
    segments : first day and day after the last of each part that episodes stay in, 2 days or more
    """

    dates: DateArray
    labels: tuple[Any, ...]
    tickers: tuple[str, ...]
    feature_names: tuple[str, ...]
    close: FloatArray
    tradable: BoolArray
    features: FloatArray
    covariance: FloatArray
    risk: FloatArray | None
    segments: tuple[tuple[int, int], ...]

    @property
    def fingerprint(self) -> tuple[Any, ...]:
        """Names, extent and price sums: differs between markets that an account cannot swap."""
        ends = (str(self.dates[0]), str(self.dates[-1]), len(self.dates))
        sums = (float(self.close[0].sum()), float(self.close[-1].sum()))
        return (self.tickers, self.feature_names, *ends, *sums)


def portfolio_size(n_assets: int, n_features: int) -> int:
    """Return the entries of an observation: covariances, indicators and weights, (N + F + 1) N."""
    return (n_assets + n_features + 1) * n_assets


def rolling_covariance(close: FloatArray, lookback: int) -> FloatArray:
    """Return the covariance of the last `lookback` simple returns on each day, as FinRL does.

    Parameters
    ----------
    close : array of shape (T, N)
    lookback : returns per matrix, >= 2

    Returns
    -------
    array of shape (T - lookback, N, N)
        Row i belongs to day i + lookback and ends with that day's return (ddof 1).
    """
    returns = close[1:] / close[:-1] - 1.0
    days = range(lookback, len(close))
    matrices = [np.atleast_2d(np.cov(returns[t - lookback : t], rowvar=False)) for t in days]
    n = close.shape[1]
    return np.array(matrices).reshape(len(matrices), n, n)


def covariance_so_far(
    close: FloatArray, lookback: int, segments: Sequence[tuple[int, int]]
) -> FloatArray:
    """Return the covariance of the last `lookback` simple returns, or of as many as there are.

    Parameters
    ----------
    close : array of shape (D, N)
    lookback : returns per matrix, >= 2
    segments : days in whose first one nothing is known of a day before

    Returns
    -------
    array of shape (D, N, N)
        Row t ends with the return of day t (ddof 1); zeros where there are fewer than 2 returns.
    """
    n = close.shape[1]
    matrices = np.zeros((len(close), n, n))
    for first, stop in segments:
        returns = close[first + 1 : stop] / close[first : stop - 1] - 1.0
        for t in range(2, stop - first):
            seen = returns[max(0, t - lookback) : t]
            matrices[first + t] = np.atleast_2d(np.cov(seen, rowvar=False))
    return matrices


def portfolio_market(
    data: "pd.DataFrame | MarketData",
    tech_indicator_list: Sequence[str] | None,
    *,
    lookback: int,
    risk_name: str,
    every_day: bool = False,
) -> PortfolioMarket:
    """Return the days of a frame or of a MarketData that a portfolio can be held over.

    The first `lookback` days only fill the first covariance; a frame with FinRL's `cov_list`
    brings its own, and loses no day. With `every_day` no day is lost either: covariances of the
    first days are of the returns so far (`covariance_so_far`).

    Raises
    ------
    ConfigError
        If indicators are missing, or rows were taken out of the market without `every_day`.
    DataError
        If fewer than 2 days are left, or a covariance is not an (N, N) matrix of numbers.
    """
    if lookback < 2:
        raise ConfigError(f"lookback must be >= 2 days, got {lookback}")
    if isinstance(data, MarketData):
        market, labels, brought = data, tuple(data.dates), None
        if tech_indicator_list is not None and list(tech_indicator_list) != list(
            data.feature_names
        ):
            raise ConfigError(
                f"tech_indicator_list must be this market's features {list(data.feature_names)} or "
                f"be left out, got {list(tech_indicator_list)}"
            )
    else:
        market, labels, brought = _from_frame(data, tech_indicator_list, risk_name)
    if market.seams and not every_day:
        raise ConfigError(
            "rows were taken out of the middle of this market (MarketData.take); covariances are "
            "then of the returns of each part so far: set every_day=True"
        )
    own = brought is None and not every_day
    first = max(market.warmup, lookback if own else 0)
    if market.n_periods - first < 2:
        raise DataError(
            f"a portfolio needs at least 2 days after the first {first}, which fill the covariance "
            f"(lookback {lookback}) and the indicators, got {market.n_periods} days in all; use "
            "more data or a shorter lookback"
        )
    edges = (first, *(row for row in market.seams if row > first), market.n_periods)
    spans = [(a - first, b - first) for a, b in pairwise(edges)]
    if brought is not None:
        covariance = brought[first:]
    elif every_day:
        covariance = covariance_so_far(market.close[first:], lookback, spans)
    else:
        covariance = rolling_covariance(market.close, lookback)[first - lookback :]
    known = risk_name in (*market.market_feature_names, *market.feature_names)
    risk = market.market_series(risk_name)[first:] if known else None
    if risk is not None and not np.isfinite(risk).all():
        raise DataError(f"the risk series {risk_name!r} must be finite on every day traded")
    _check_range(market, first)
    return PortfolioMarket(
        dates=market.dates[first:],
        labels=labels[first:],
        tickers=market.tickers,
        feature_names=market.feature_names,
        close=market.close[first:],
        tradable=market.tradable[first:],
        features=market.features[first:].transpose(0, 2, 1),
        covariance=covariance,
        risk=risk,
        segments=tuple((a, b) for a, b in spans if b - a >= 2),
    )


def _from_frame(
    df: "pd.DataFrame", features: Sequence[str] | None, risk_name: str
) -> tuple[MarketData, tuple[Any, ...], FloatArray | None]:
    if features is None or isinstance(features, str):
        raise ConfigError(
            "tech_indicator_list must name the indicator columns of df, in observation order ([] "
            f"for none), got {features!r}"
        )
    known = [risk_name] if risk_name in df.columns and risk_name not in features else []
    market = MarketData.from_finrl(df, features=list(features), market_columns=known)
    row_dates = read_dates(df["date"], df["tic"].to_numpy(dtype=object))
    labels = written_dates(row_dates, df["date"], market.dates)
    if COVARIANCE_COLUMN not in df.columns:
        return market, labels, None
    stamps, first_rows = np.unique(row_dates.dates, return_index=True)
    rows = first_rows[np.searchsorted(stamps, market.dates)]
    matrices = df[COVARIANCE_COLUMN].iloc[rows].tolist()
    return market, labels, _checked_matrices(matrices, labels, market.n_assets)


def _check_range(market: MarketData, first: int) -> None:
    wrong = np.argwhere(np.abs(market.features[first:]) > FLOAT32_MAX)
    if wrong.size:
        row, asset, feature = (int(i) for i in wrong[0])
        raise DataError(
            f"{market.feature_names[feature]} of {market.tickers[asset]} on "
            f"{market.dates[first + row]} must be at most {FLOAT32_MAX:.2g} to fit into an "
            f"observation ({len(wrong)} such values); use another unit"
        )


def _checked_matrices(matrices: list[Any], labels: Sequence[Any], n_assets: int) -> FloatArray:
    result = np.empty((len(matrices), n_assets, n_assets))
    for row, (matrix, label) in enumerate(zip(matrices, labels, strict=True)):
        array = np.asarray(matrix)
        shape = (n_assets, n_assets)
        good = array.shape == shape and array.dtype.kind in "fiu"
        if not good or not np.isfinite(array).all():
            raise DataError(
                f"{COVARIANCE_COLUMN} on {label} must be a matrix of shape {shape} of finite "
                f"numbers, got {type(matrix).__name__} of shape {array.shape}; leave the column "
                "out, and it is computed"
            )
        result[row] = array
    return result
