"""`create_env`: one env from a table of prices, the same way for train, validation and test."""

import logging
from typing import Any

import pandas as pd

from finrl_ray.data.market_data import TRADABLE_COLUMN, MarketData
from finrl_ray.env.stock_trading import StockTradingEnv
from finrl_ray.errors import DataError

logger = logging.getLogger(__name__)

NOT_INDICATORS = frozenset(
    {"date", "time", "timestamp", "tic", "day", "open", "high", "low", "close", "adjcp", "volume"}
    | {"vix", "turbulence", TRADABLE_COLUMN}
)
"""Columns of FinRL's long format that describe the day or the whole market, not one ticker."""


def create_env(data: pd.DataFrame | MarketData, **env_kwargs: Any) -> StockTradingEnv:
    """Return one account over all of `data`.

    Parameters
    ----------
    data : frame in FinRL's long format, one row per date and ticker, or MarketData. Of a frame,
        the indicators are the numeric columns beyond FinRL's own (prices, volume, `day`, `vix`,
        `turbulence`, `tradable` and an unnamed index), in their order, unless
        `tech_indicator_list` is given.
    env_kwargs : arguments of `StockTradingEnv`

    Raises
    ------
    ConfigError
        If an argument does not fit the data or another argument.
    DataError
        If the data cannot be traded, or is neither a frame nor MarketData.
    """
    if isinstance(data, MarketData):
        return StockTradingEnv(data, **env_kwargs)
    if not hasattr(data, "columns"):
        raise DataError(
            "create_env needs a pandas DataFrame in FinRL's long format (date, tic, close, "
            f"indicators) or a MarketData, got a {type(data).__name__}"
        )
    if env_kwargs.get("tech_indicator_list") is None:
        risk = env_kwargs.get("risk_indicator_col")
        names = [name for name in indicator_columns(data) if name != risk]
        logger.debug("the indicators are %s", names)
        env_kwargs = {**env_kwargs, "tech_indicator_list": names}
    return StockTradingEnv(data, **env_kwargs)


def indicator_columns(df: pd.DataFrame) -> list[str]:
    """Return the columns of a frame in FinRL's long format that hold indicators, in order."""
    return [
        str(name)
        for name in df.columns
        if str(name).lower() not in NOT_INDICATORS
        and not str(name).startswith("Unnamed")
        and pd.api.types.is_numeric_dtype(df[name].dtype)
    ]
