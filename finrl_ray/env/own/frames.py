"""A window as the frames that env classes of other packages and of users take."""

from typing import TYPE_CHECKING, Any

import numpy as np

from finrl_ray.data.columns import PRICE_COLUMNS
from finrl_ray.data.labels import date_label
from finrl_ray.data.market_data import MarketData
from finrl_ray.errors import ConfigError

if TYPE_CHECKING:
    import pandas as pd


def long_frame(market: MarketData) -> "pd.DataFrame":
    """Return a window in FinRL's long format, as FinRL's envs take it.

    One row per date and ticker, in the order of both, with `date` (text), `tic`, the prices and
    volumes that the market has, its features and its market-wide series; the index is the number of
    the day, so that `df.loc[day]` are its tickers.

    Parameters
    ----------
    market : T rows of N tickers
    """
    import pandas as pd

    days, n = market.n_periods, market.n_assets
    labels = np.array([date_label(date) for date in market.dates], dtype=object)
    columns: dict[str, Any] = {
        "date": np.repeat(labels, n),
        "tic": np.tile(np.array(market.tickers, dtype=object), days),
    }
    for name in PRICE_COLUMNS:
        values = getattr(market, name)
        if name == "close" or bool(np.isfinite(values).all()):
            columns[name] = values.ravel()
    for position, name in enumerate(market.feature_names):
        columns[name] = market.features[:, :, position].ravel()
    for position, name in enumerate(market.market_feature_names):
        columns[name] = np.repeat(market.market_features[:, position], n)
    return pd.DataFrame(columns, index=np.repeat(np.arange(days), n))


def require_one_ticker(market: MarketData, who: str) -> None:
    """Refuse a market of several tickers for an env that trades one.

    Raises
    ------
    ConfigError
        Naming the tickers.
    """
    if market.n_assets != 1:
        raise ConfigError(
            f"{who} trade one ticker: data.tickers must name one, got {market.n_assets} "
            f"({', '.join(market.tickers[:5])}{', ...' if market.n_assets > 5 else ''})"
        )
