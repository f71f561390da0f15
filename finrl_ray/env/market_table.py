"""`MarketTable`: a market in the arrays that the kernel reads, shared by all envs of a process."""

import hashlib
import weakref
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from finrl_ray._typing import AnyArray, BoolArray, DateArray, Float32Array, FloatArray
from finrl_ray.data.columns import TRADABLE_COLUMN
from finrl_ray.data.market_data import MarketData
from finrl_ray.env.kernel.arrays import Market, as_read_only
from finrl_ray.env.observed_columns import (
    FINRL,
    check_look_back,
    check_table_size,
    column_kinds,
    describe_columns,
    observed_columns,
    with_lookback,
)
from finrl_ray.env.orders.volume import check_volume, tradable_in_volume, volume_impact
from finrl_ray.env.rules import TradingRules
from finrl_ray.env.scaling import STANDARD_LIMIT, ObservationScaling
from finrl_ray.errors import ConfigError, DataError

if TYPE_CHECKING:
    import pandas as pd

_TABLES: "weakref.WeakKeyDictionary[MarketData, dict[bytes, Float32Array]]" = (
    weakref.WeakKeyDictionary()
)
_LIVE: "weakref.WeakSet[MarketTable]" = weakref.WeakSet()


@dataclass(frozen=True, eq=False, kw_only=True)
class MarketTable:
    """One window of a market as an env trades it; arrays are shared, read-only and never copied.

    Parameters
    ----------
    dates : array of shape (T,), datetime64[ns]
    labels : T dates as the user wrote them (strings stay strings)
    tickers : N names
    feature_names : F names
    features : array of shape (T, N, F), float64
    market : the kernel's arrays
    has_risk : whether `market.risk` holds data; otherwise no turbulence threshold can be set
    risk_name : the name of that series
    seams : rows before which rows are missing; no episode crosses one
    observed : what observations show of the market, in words
    scaling : by which that is scaled
    volume : array of shape (T, N), shares, where trades have slippage; else None
    """

    dates: DateArray
    labels: tuple[Any, ...]
    tickers: tuple[str, ...]
    feature_names: tuple[str, ...]
    features: FloatArray
    market: Market
    has_risk: bool
    risk_name: str
    seams: tuple[int, ...] = ()
    observed: str = FINRL
    scaling: ObservationScaling | None = None
    volume: FloatArray | None = None

    def __post_init__(self) -> None:
        _LIVE.add(self)

    @property
    def n_periods(self) -> int:
        """T, the number of days."""
        return len(self.dates)

    @property
    def n_assets(self) -> int:
        """N, the number of tickers."""
        return len(self.tickers)

    @property
    def segments(self) -> tuple[tuple[int, int], ...]:
        """Rows between seams, each as first row and row after the last."""
        return tuple(pairwise((0, *self.seams, self.n_periods)))

    @property
    def observation_size(self) -> int:
        """Entries of an observation; see `observation_size` of `finrl_ray.env.observed_columns`."""
        return int(1 + self.n_assets + self.market.table.shape[1])

    @property
    def fingerprint(self) -> tuple[Any, ...]:
        """Names, extent and price sums: differs between markets that an account cannot swap.

        What is observed is part of it, unless that is FinRL's observation.
        """
        ends = (str(self.dates[0]), str(self.dates[-1]), self.n_periods)
        sums = (float(self.market.close[0].sum()), float(self.market.close[-1].sum()))
        observed = () if self.observed == FINRL else (self.observed,)
        return (self.tickers, self.feature_names, *ends, *sums, *observed)

    def impact(self, rules: TradingRules) -> FloatArray:
        """Return by which fraction one share moves the price of its trade, (T, N) or (0, N)."""
        volume = np.zeros((0, self.n_assets)) if self.volume is None else self.volume
        return volume_impact(volume, rules)

    @cached_property
    def observation_hash(self) -> str:
        """SHA-256 over all that observations are made of, besides the accounts."""
        names: tuple[Any, ...] = (self.tickers, self.feature_names)
        if self.observed != FINRL:
            names = (*names, self.observed)
        digest = hashlib.sha256(repr(names).encode())
        digest.update(self.market.table.data)
        digest.update(self.market.factors.data)
        return digest.hexdigest()

    @cached_property
    def frame(self) -> "pd.DataFrame":
        """Close and features in FinRL's long format, indexed by day number."""
        import pandas as pd

        days, n = self.n_periods, self.n_assets
        columns: dict[str, Any] = {
            "date": np.repeat(np.array(self.labels, dtype=object), n),
            "tic": np.tile(np.array(self.tickers, dtype=object), days),
            "close": self.market.close.ravel(),
        }
        for k, name in enumerate(self.feature_names):
            columns[name] = self.features[:, :, k].ravel()
        if self.has_risk and self.risk_name not in columns:
            columns[self.risk_name] = np.repeat(self.market.risk, n)
        if not self.market.tradable.all() and TRADABLE_COLUMN not in columns:
            columns[TRADABLE_COLUMN] = self.market.tradable.ravel()
        return pd.DataFrame(columns, index=np.repeat(np.arange(days), n))

    def __getstate__(self) -> dict[str, Any]:
        return {name: self.__dict__[name] for name in self.__dataclass_fields__}

    def __setstate__(self, state: dict[str, Any]) -> None:
        # pickling loses the read-only flag, on which the compiled functions are specialised
        market = Market(*(as_read_only(array) for array in state["market"]))
        self.__dict__.update(state, market=market)
        _LIVE.add(self)


def find_live_table(observation_hash: str, n_periods: int) -> MarketTable | None:
    """Return a table of this process by its `observation_hash` and length, or None."""
    of_length = (table for table in list(_LIVE) if table.n_periods == n_periods)
    return next((table for table in of_length if table.observation_hash == observation_hash), None)


def observation_table(
    close: FloatArray,
    features: FloatArray,
    rules: TradingRules,
    scaling: ObservationScaling | None,
    seams: Sequence[int] = (),
) -> Float32Array:
    """Return the market entries of observations, float32 of shape (T, M).

    M is N + F*N, or L*(H+F)*N of the stationary observation, L*(H+1+F)*N with `nearest_spread`.

    Raises
    ------
    ConfigError
        If `scaling` was fitted on other columns, or rows look back too far.
    """
    if scaling is None:
        check_look_back(rules, len(close))
    nearest = None if scaling is None else scaling.nearest
    columns = observed_columns(rules, close, features, seams, nearest)
    check_table_size(rules, *columns.shape)
    if scaling is not None:
        _check_scaling(scaling, rules, columns.shape[1])
        columns = (columns - scaling.offset) / scaling.scale
        if rules.observation == "stationary":
            columns = columns.clip(-STANDARD_LIMIT, STANDARD_LIMIT)
    with np.errstate(over="ignore"):  # check_observations names what is too large
        narrow = columns.astype(np.float32)
    return as_read_only(with_lookback(narrow, rules.lookback, seams))


def _check_scaling(scaling: ObservationScaling, rules: TradingRules, n_columns: int) -> None:
    wanted = describe_columns(rules)
    if scaling.columns != wanted:
        raise ConfigError(
            f"the observation scaling was fitted for observations of the kind {scaling.columns!r}, "
            f"but this env shows {wanted!r}; fit it with fit_observation_scaling(train window, "
            "initial_amount, TradingOptions(...)) of the same observation, "
            "return_horizons and nearest_spread"
        )
    if scaling.offset.size != n_columns:
        what = "1" if rules.observation == "finrl" else f"{len(rules.return_horizons)} returns"
        what += " + 1 distance" if rules.nearest_spread else ""
        raise ConfigError(
            f"the observation scaling has {scaling.offset.size} columns, but this market has "
            f"{n_columns} (tickers x ({what} + features)); fit it on the same columns"
        )


def check_observations(
    table: Float32Array, labels: Sequence[Any], tickers: Sequence[str], kinds: Sequence[str]
) -> None:
    """Raise DataError if a close or feature is too large for the float32 of observations.

    Parameters
    ----------
    table : what `observation_table` returned
    labels, tickers : of its rows and columns
    kinds : of its columns, each for all tickers, as `column_kinds` has them
    """
    wrong = np.argwhere(~np.isfinite(table))
    if wrong.size:
        row, column = (int(i) for i in wrong[0])
        kind, asset = divmod(column, len(tickers))
        raise DataError(
            f"{kinds[kind % len(kinds)]} of {tickers[asset]} on {labels[row]} must be less than "
            f"{np.finfo(np.float32).max:.1e} to fit into an observation ({len(wrong)} such "
            "values); use another unit, or an observation_scaling"
        )


def observation_factors(scaling: ObservationScaling | None, n_assets: int) -> FloatArray:
    """Return the factors of cash and shares in FinRL's observation, of shape (1 + N,)."""
    if scaling is None:
        return as_read_only(np.ones(1 + n_assets))
    return as_read_only(np.concatenate([[scaling.cash_factor], scaling.shares_factor]))


def market_table(
    market_data: MarketData,
    rules: TradingRules,
    *,
    scaling: ObservationScaling | None = None,
    risk_name: str = "turbulence",
    labels: tuple[Any, ...] | None = None,
) -> MarketTable:
    """Return `market_data` as an env trades it under `rules`.

    The observation table is built once per market, kind and scaling and shared by all envs of the
    process; the other arrays are `market_data`'s own.

    Raises
    ------
    DataError
        If there are fewer than 2 days, warm-up rows, or an unusable open or risk value.
    ConfigError
        If `rules.fill` is `next_open` and there are no open prices, or trades have slippage and
        there is no volume.
    """
    _check_window(market_data)
    if labels is None:
        labels = tuple(_date_label(date) for date in market_data.dates)
    tables = _TABLES.setdefault(market_data, {})
    observed = observed_in_words(rules)
    key = observed.encode() + (b"" if scaling is None else scaling.key())
    if key not in tables:
        table = observation_table(
            market_data.close, market_data.features, rules, scaling, market_data.seams
        )
        kinds = column_kinds(rules, market_data.feature_names)
        check_observations(table, labels, market_data.tickers, kinds)
        tables[key] = table
    risk = _risk(market_data, risk_name)
    slips = rules.volume_slippage > 0.0
    if slips:
        check_volume(market_data.volume, market_data.tickers)
    tradable = tradable_in_volume(market_data.tradable, market_data.volume, rules)
    market = Market(
        table=tables[key],
        close=as_read_only(market_data.close),
        price=as_read_only(_fill_prices(market_data, rules)),
        tradable=as_read_only(tradable_mask(tradable, market_data.features, rules)),
        risk=as_read_only(np.zeros(market_data.n_periods) if risk is None else risk),
        factors=observation_factors(scaling, market_data.n_assets),
    )
    return MarketTable(
        dates=market_data.dates,
        labels=labels,
        tickers=market_data.tickers,
        feature_names=market_data.feature_names,
        features=market_data.features,
        market=market,
        has_risk=risk is not None,
        risk_name=risk_name,
        seams=market_data.seams,
        observed=observed,
        scaling=scaling,
        volume=market_data.volume if slips else None,
    )


def rescaled(
    table: MarketTable, rules: TradingRules, scaling: ObservationScaling | None
) -> MarketTable:
    """Return the same market, observed under another scaling.

    Raises
    ------
    ConfigError
        If `scaling` was fitted on other columns.
    """
    market = table.market
    seen = observation_table(market.close, table.features, rules, scaling, table.seams)
    kinds = column_kinds(rules, table.feature_names)
    check_observations(seen, table.labels, table.tickers, kinds)
    factors = observation_factors(scaling, table.n_assets)
    return replace(table, market=market._replace(table=seen, factors=factors), scaling=scaling)


def observed_in_words(rules: TradingRules) -> str:
    """Return what observations show of the market, in words: equal for equal observations."""
    rows = f", {rules.lookback} rows" if rules.lookback > 1 else ""
    return describe_columns(rules) + rows


def tradable_mask(tradable: BoolArray, features: FloatArray, rules: TradingRules) -> AnyArray:
    """Return which orders can fill, of shape (T, N)."""
    if rules.halt == "tradable_mask":
        return tradable
    if features.shape[2] == 0:
        return np.ones(tradable.shape, dtype=np.bool_)
    # FinRL's halt flag is whatever indicator comes first
    result: AnyArray = features[:, :, 0] != 1.0
    return result


def check_length(n_periods: int) -> None:
    """Raise DataError if there is no step to take."""
    if n_periods < 2:
        raise DataError(
            f"an episode needs at least 2 days, got {n_periods}; give the env a longer window"
        )


def _check_window(market_data: MarketData) -> None:
    for start, stop in pairwise((0, *market_data.seams, market_data.n_periods)):
        check_length(stop - start)
    if market_data.warmup:
        raise DataError(
            f"the first {market_data.warmup} rows of this market have incomplete features; give "
            "the env a window that starts later: market_data.rows(market_data.warmup, ...)"
        )


def _fill_prices(market_data: MarketData, rules: TradingRules) -> FloatArray:
    if rules.fill == "close":
        return market_data.close
    if not np.isfinite(market_data.open).any():
        raise ConfigError(
            "fill='next_open' needs an open price for every quote, but this market has none; use "
            "fill='close' or a source with open prices"
        )
    wrong = np.argwhere(market_data.tradable & ~(market_data.open > 0))
    if wrong.size:
        row, asset = (int(i) for i in wrong[0])
        raise DataError(
            f"open of {market_data.tickers[asset]} on {market_data.dates[row]} must be positive "
            f"for fill='next_open', got {market_data.open[row, asset]} ({len(wrong)} such values)"
        )
    return market_data.open


def _risk(market_data: MarketData, name: str) -> FloatArray | None:
    if name not in (*market_data.market_feature_names, *market_data.feature_names):
        return None
    risk = market_data.market_series(name)
    wrong = np.flatnonzero(~np.isfinite(risk))
    return None if wrong.size == risk.size else _finite_risk(risk, wrong, name, market_data.dates)


def _finite_risk(risk: FloatArray, wrong: AnyArray, name: str, dates: DateArray) -> FloatArray:
    if wrong.size:
        raise DataError(
            f"the risk series {name!r} must be finite, got {risk[wrong[0]]} on {dates[wrong[0]]} "
            f"({wrong.size} such days)"
        )
    return risk


def _date_label(date: np.datetime64) -> Any:
    import pandas as pd

    return pd.Timestamp(date)
