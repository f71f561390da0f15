"""Markets of any size for measurements: random walks, with indicators of noise."""

import numpy as np
import pandas as pd

from finrl_ray.data.market_data import MarketData
from finrl_ray.env.stock_trading import StockTradingEnv

N_VALIDATION = 85
"""Days on which whole searches judge their trials, the last but two."""


def synthetic_market(n_periods: int, n_assets: int = 29, n_features: int = 8) -> MarketData:
    """Return `n_periods` days of `n_assets` random walks with `n_features` indicators each."""
    rng = np.random.default_rng(0)
    shape = (n_periods, n_assets)
    close = 100 * np.exp(rng.normal(0, 0.01, shape).cumsum(axis=0) / np.sqrt(n_periods / 335))
    nothing = np.full(shape, np.nan)
    return MarketData(
        dates=pd.date_range("1900-01-01", periods=n_periods, freq="D", unit="ns").to_numpy(),
        tickers=tuple(f"T{i:03d}" for i in range(n_assets)),
        open=nothing,
        high=nothing.copy(),
        low=nothing.copy(),
        close=close,
        volume=nothing.copy(),
        features=rng.normal(0, 1, (*shape, n_features)),
        feature_names=tuple(f"feature_{k}" for k in range(n_features)),
        tradable=np.ones(shape, dtype=np.bool_),
        market_features=np.zeros((n_periods, 0)),
        market_feature_names=(),
    )


def finrl_frame(market: MarketData) -> pd.DataFrame:
    """Return a market in FinRL's long format."""
    frame = StockTradingEnv(market).df
    return frame.assign(date=frame["date"].astype(str))
