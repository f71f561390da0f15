"""What an account without an agent would have done on the same days at the same costs."""

import numpy as np

from finrl_ray._typing import FloatArray
from finrl_ray.config import EnvConfig
from finrl_ray.data.market_data import MarketData


def buy_and_hold(market_data: MarketData, config: EnvConfig) -> FloatArray:
    """Return the account values of equal-weight buy & hold, shape (T,), in currency.

    On the first day each of the tickers that trade gets an equal share of the cash, at the fill
    price of the config and at its buying cost, in whole shares unless fractions are allowed; the
    rest stays cash. Nothing is traded afterwards, so that the weights drift.

    Parameters
    ----------
    market_data : the window, T rows
    config : account and costs
    """
    if config.fill == "next_open":
        prices, bought = market_data.open[1], market_data.tradable[1]
    else:
        prices, bought = market_data.close[0], market_data.tradable[0]
    budget = config.initial_amount / max(1, int(bought.sum()))
    cost_of_one = np.where(bought, prices * (1.0 + config.buy_cost_pct), np.inf)
    shares = budget / cost_of_one
    if not config.fractional_shares:
        shares = np.floor(shares)
    spent = float((shares[bought] * cost_of_one[bought]).sum())
    values: FloatArray = config.initial_amount - spent + market_data.close @ shares
    # like an agent's account, the curve starts before the first order is filled
    values[0] = config.initial_amount
    return values
