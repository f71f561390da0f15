"""Portfolios of fixed weights: bought once and left to drift, or brought back every period.

Like an agent's, an account begins with its initial amount as cash; an order that is decided on row
t fills at the close of row t, or at the open of row t + 1 with `fill: next_open`, at the config's
costs and slippage, in whole shares unless it allows fractions, and only where the ticker has a
quote.
"""

import numpy as np

from finrl_ray._typing import BoolArray, FloatArray
from finrl_ray.config.env import EnvConfig
from finrl_ray.data.market_data import MarketData
from finrl_ray.env.orders.volume import fills_of
from finrl_ray.errors import DataError


def held_curve(market_data: MarketData, weights: FloatArray, config: EnvConfig) -> FloatArray:
    """Return the account values, shape (T,), of weights bought on the first day and held.

    Parameters
    ----------
    market_data : the window, T rows
    weights : array of shape (N,), at least 0 with a sum of at most 1; the rest stays cash
    config : account and costs

    Raises
    ------
    DataError
        If the weights are no such weights.
    """
    return _simulated(market_data, _checked(weights, market_data.n_assets), config, last_order=0)


def rebalanced_curve(market_data: MarketData, weights: FloatArray, config: EnvConfig) -> FloatArray:
    """Return the account values, shape (T,), of weights that are restored on every row.

    Parameters, shapes and errors are those of `held_curve`.
    """
    last = market_data.n_periods - 2
    return _simulated(market_data, _checked(weights, market_data.n_assets), config, last_order=last)


def _checked(weights: FloatArray, n_assets: int) -> FloatArray:
    values = np.asarray(weights, dtype=np.float64)
    fits = values.shape == (n_assets,) and bool(np.isfinite(values).all())
    if not fits or (values < 0).any() or values.sum() > 1 + 1e-9:
        raise DataError(
            f"weights must be {n_assets} numbers >= 0 with a sum of at most 1, got {values}"
        )
    return values


def _simulated(
    market_data: MarketData, weights: FloatArray, config: EnvConfig, *, last_order: int
) -> FloatArray:
    lag = int(config.fill == "next_open")
    prices, fillable, impacts = fills_of(market_data, config)
    none = np.zeros(market_data.n_assets)
    shares, cash = np.zeros(market_data.n_assets), config.initial_amount
    values = np.empty(market_data.n_periods)
    values[0] = cash
    for row in range(market_data.n_periods - 1):
        if row <= last_order:
            fill = row + lag
            tradable = fillable[fill]
            # without a quote of its own a ticker is worth its last close, and is not traded
            price = np.where(tradable, prices[fill], market_data.close[fill])
            slip = price * impacts[fill] if impacts.size else none
            shares, cash = _traded(shares, cash, weights, price, tradable, slip, config)
        values[row + 1] = cash + market_data.close[row + 1] @ shares
    return values


def _traded(
    shares: FloatArray,
    cash: float,
    weights: FloatArray,
    price: FloatArray,
    tradable: BoolArray,
    slip: FloatArray,
    config: EnvConfig,
) -> tuple[FloatArray, float]:
    """Return shares and cash after the orders towards the weights: sells first, then what fits.

    An order of q shares of a ticker costs `slip` * q^2 more.
    """
    value = cash + float(price @ shares)
    orders = np.where(tradable, weights * value / price - shares, 0.0)
    if not config.fractional_shares:
        orders = np.trunc(orders)
    sells, buys = np.minimum(orders, 0.0), np.maximum(orders, 0.0)
    kept = -price * sells * (1.0 - config.sell_cost_pct) - slip * sells * sells
    # summed as without slippage where there is none; a price does not fall below 0
    proceeds = -float(price @ sells) * (1.0 - config.sell_cost_pct)
    cash += float(np.maximum(kept, 0.0).sum()) if slip.any() else proceeds
    cost = price * (1.0 + config.buy_cost_pct)
    wanted, slippage = float(cost @ buys), float(slip @ (buys * buys))
    if wanted + slippage > cash:
        # the root of wanted * share + slippage * share^2 = cash, without cancellation
        buys = buys * (2.0 * cash / (wanted + np.sqrt(wanted * wanted + 4.0 * slippage * cash)))
        if not config.fractional_shares:
            buys = np.floor(buys)
    return shares + sells + buys, cash - float(cost @ buys) - float(slip @ (buys * buys))
