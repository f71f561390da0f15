"""A frame of prices alone, where indicators are needed: what to do is said."""

import numpy as np
import pandas as pd
import pytest

from finrl_ray.compat.preprocessing import FeatureEngineer
from finrl_ray.data.market_data import MarketData
from finrl_ray.env.make import create_env
from finrl_ray.errors import ConfigError, DataError


@pytest.fixture
def prices() -> pd.DataFrame:
    dates = pd.bdate_range("2020-01-01", periods=80).strftime("%Y-%m-%d")
    close = 10.0 + np.sin(np.arange(80))
    return pd.concat(
        [
            pd.DataFrame(
                {"date": dates, "tic": tic, "open": close, "high": close + 1, "low": close - 1,
                 "close": close, "volume": 1e5}
            )
            for tic in ("A", "B")
        ]
    )  # fmt: skip


def test_readme_s_snippet_points_to_feature_engineer(prices: pd.DataFrame) -> None:
    with pytest.raises(
        DataError, match=r"FeatureEngineer\(tech_indicator_list=\['macd', 'rsi_30'\]\)"
    ):
        MarketData.from_finrl(prices, features=["macd", "rsi_30"])
    made = FeatureEngineer(tech_indicator_list=["macd", "rsi_30"]).preprocess_data(prices)
    assert MarketData.from_finrl(made, features=["macd", "rsi_30"]).n_assets == 2


def test_so_does_an_env(prices: pd.DataFrame) -> None:
    with pytest.raises(ConfigError, match=r"FeatureEngineer\(tech_indicator_list=\['macd'\]\)"):
        create_env(prices, tech_indicator_list=["macd"])


def test_a_misspelt_column_is_none_to_compute(prices: pd.DataFrame) -> None:
    with pytest.raises(DataError, match="Did you mean 'volume'") as caught:
        MarketData.from_finrl(prices, features=["volumes"])
    assert "FeatureEngineer" not in str(caught.value)
