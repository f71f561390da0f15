"""Small markets for the tests of this folder."""

import dataclasses
from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from finrl_ray.data.market_data import MarketData

RISK = "turbulence"


def hand_market(
    close: Any,
    *,
    open_: Any = None,
    tradable: Any = None,
    features: Any = None,
    feature_names: tuple[str, ...] = (),
    risk: Any = None,
    tickers: tuple[str, ...] | None = None,
    start: str = "2020-01-01",
) -> MarketData:
    """A market with the prices written in the test; rows are days, columns tickers."""
    prices = np.array(close, dtype=np.float64)
    t, n = prices.shape
    nothing = np.full((t, n), np.nan)
    return MarketData(
        dates=pd.date_range(start, periods=t, freq="D", unit="ns").to_numpy(),
        tickers=tickers or tuple("ABCDEFGHIJKLMNOPQRSTUVWXYZ"[i] for i in range(n)),
        open=nothing if open_ is None else np.array(open_, dtype=np.float64),
        high=nothing.copy(),
        low=nothing.copy(),
        close=prices,
        volume=nothing.copy(),
        features=np.zeros((t, n, 0)) if features is None else np.array(features, dtype=np.float64),
        feature_names=feature_names,
        tradable=np.ones((t, n), bool) if tradable is None else np.array(tradable, bool),
        market_features=np.zeros((t, 0)) if risk is None else np.array(risk, float)[:, None],
        market_feature_names=() if risk is None else (RISK,),
    )


def random_market(
    n_periods: int = 40, n_assets: int = 3, n_features: int = 2, seed: int = 0, halts: float = 0.0
) -> MarketData:
    """Random-walk prices with opens, random indicators, a risk series and some halts."""
    rng = np.random.default_rng(seed)
    close = 50 * np.exp(rng.normal(0, 0.02, (n_periods, n_assets)).cumsum(axis=0))
    return hand_market(
        close,
        open_=close * np.exp(rng.normal(0, 0.005, close.shape)),
        tradable=rng.random(close.shape) >= halts,
        features=rng.normal(0, 1, (n_periods, n_assets, n_features)),
        feature_names=tuple(f"feature_{k}" for k in range(n_features)),
        risk=rng.uniform(0, 100, n_periods),
        tickers=tuple(f"T{i:02d}" for i in range(n_assets)),
    )


def another_future(market: MarketData, row: int) -> MarketData:
    """The market with other prices, volumes, quotes and risk after a row."""
    later = np.arange(market.n_periods)[:, None] > row
    return dataclasses.replace(
        market,
        close=np.where(later, market.close * 3.0, market.close),
        open=np.where(later, market.open / 2.0, market.open),
        volume=np.where(later, market.volume * 7.0 + 1.0, market.volume),
        market_features=np.where(later, 99.0, market.market_features),
        tradable=np.where(later, ~market.tradable, market.tradable),
    )


def column(*values: float) -> list[list[float]]:
    """Prices of one ticker."""
    return [[value] for value in values]


def play(env: Any, actions: Iterable[Any]) -> Any:
    """The account's history after these actions."""
    for action in actions:
        env.step(np.array(action, dtype=np.float64))
    return env.account_history


def finrl_frame(market: MarketData) -> pd.DataFrame:
    """The market in FinRL's long format: rows (date, tic), index the day number."""
    t, n = market.close.shape
    columns: dict[str, Any] = {
        "date": np.repeat(pd.DatetimeIndex(market.dates).strftime("%Y-%m-%d").to_numpy(), n),
        "tic": np.tile(np.array(market.tickers), t),
        "close": market.close.ravel(),
    }
    for k, name in enumerate(market.feature_names):
        columns[name] = market.features[:, :, k].ravel()
    for k, name in enumerate(market.market_feature_names):
        columns[name] = np.repeat(market.market_features[:, k], n)
    return pd.DataFrame(columns, index=np.repeat(np.arange(t), n))
