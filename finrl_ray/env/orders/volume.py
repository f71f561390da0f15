"""What `env.volume_slippage` needs of the traded volume: where one can trade, and how prices move.

A trade of q shares in a row in which v shares were traded moves its price against it by the
fraction `volume_slippage * q / v`: the linear temporary impact of [1]_.

References
----------
.. [1] Almgren and Chriss (2001), "Optimal Execution of Portfolio Transactions", Journal of Risk
   3(2), 5-39.
"""

from collections.abc import Sequence

import numpy as np

from finrl_ray._typing import BoolArray, FloatArray
from finrl_ray.config.env_options.trading import TradingOptions
from finrl_ray.data.market_data import MarketData
from finrl_ray.errors import ConfigError, DataError


def check_volume(volume: FloatArray | None, tickers: Sequence[str]) -> None:
    """Raise unless every ticker has a volume somewhere.

    Parameters
    ----------
    volume : array of shape (T, N), shares, NaN where it is missing; None where there is none
    tickers : N names

    Raises
    ------
    ConfigError
        If the data has no volume at all.
    DataError
        Naming the tickers that have none.
    """
    known = [volume is not None and np.isfinite(volume[:, i]).any() for i in range(len(tickers))]
    if not any(known):
        raise ConfigError(
            "volume_slippage needs the traded volume of every ticker, in a column volume, which "
            "this data does not have; use a source with volumes, or set volume_slippage to 0"
        )
    if not all(known):
        without = [name for name, has in zip(tickers, known, strict=True) if not has]
        raise DataError(
            f"volume_slippage needs the traded volume of every ticker, got none for {without} in "
            "this window; leave these tickers out, or set volume_slippage to 0"
        )


def tradable_in_volume(
    tradable: BoolArray, volume: FloatArray, options: TradingOptions
) -> BoolArray:
    """Return where orders can fill: with slippage, only in rows of a ticker with a volume above 0.

    Parameters
    ----------
    tradable, volume : arrays of shape (T, N)
    """
    if options.volume_slippage == 0.0:
        return tradable
    traded: BoolArray = tradable & (volume > 0.0)
    return traded


def volume_impact(volume: FloatArray, options: TradingOptions) -> FloatArray:
    """Return by which fraction one share moves the price of its trade, of shape (T, N).

    0 where there is no volume, in which nothing is traded; without slippage of shape (0, N).
    """
    if options.volume_slippage == 0.0:
        return np.zeros((0, volume.shape[1]))
    traded = volume > 0.0
    return np.where(traded, options.volume_slippage / np.where(traded, volume, 1.0), 0.0)


def fills_of(
    market_data: MarketData, options: TradingOptions
) -> tuple[FloatArray, BoolArray, FloatArray]:
    """Return the prices, where orders can fill, and the impact per share of the rows of fills.

    Returns
    -------
    (array of shape (T, N), array of shape (T, N), array of shape (T, N) or (0, N))
    """
    price = market_data.open if options.fill == "next_open" else market_data.close
    tradable = tradable_in_volume(market_data.tradable, market_data.volume, options)
    return price, tradable, volume_impact(market_data.volume, options)
