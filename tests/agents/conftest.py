"""One torch thread: results must not depend on the number of cores."""

import numpy as np
import pytest
import torch as th

from finrl_ray.data.market_data import MarketData


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    th.set_num_threads(1)


@pytest.fixture(scope="session")
def market() -> MarketData:
    """60 days of three tickers on random walks, with two features."""
    rng = np.random.default_rng(0)
    close = 50 * np.exp(rng.normal(0, 0.02, (60, 3)).cumsum(axis=0))
    unknown = np.full(close.shape, np.nan)
    return MarketData(
        dates=np.datetime64("2020-01-01", "ns") + np.arange(60) * np.timedelta64(1, "D"),
        tickers=("AAA", "BBB", "CCC"),
        open=unknown.copy(),
        high=unknown.copy(),
        low=unknown.copy(),
        close=close,
        volume=np.full(close.shape, 1e4),
        features=rng.normal(0, 1, (60, 3, 2)),
        feature_names=("first", "second"),
        tradable=np.ones(close.shape, dtype=bool),
        market_features=np.zeros((60, 0)),
        market_feature_names=(),
    )
