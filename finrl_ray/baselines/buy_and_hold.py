"""What an account without an agent would have done on the same days at the same costs."""

import numpy as np

from finrl_ray._typing import BoolArray, FloatArray
from finrl_ray.config.env import EnvConfig
from finrl_ray.data.market_data import MarketData
from finrl_ray.env.accounts import Accounts


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
    unit_cost = prices * (1.0 + config.buy_cost_pct)
    return _drifting_curve(
        market_data.close, unit_cost, bought, config.initial_amount, config.fractional_shares
    )


def buy_and_hold_of(accounts: Accounts, index: int = 0) -> FloatArray:
    """Return `buy_and_hold` for the market, the cash and the costs of one account of an env.

    Shares that the account starts with count as cash at the first close.
    """
    market, settings, rules = accounts.table.market, accounts.settings, accounts.rules
    row = int(rules.fill == "next_open")
    unit_cost = market.price[row] * (1.0 + settings.buy_rate[index])
    amount = float(settings.initial_amount[index])
    amount += float(market.close[0] @ settings.initial_shares[index])
    return _drifting_curve(
        market.close, unit_cost, market.tradable[row], amount, rules.fractional_shares
    )


def _drifting_curve(
    close: FloatArray, unit_cost: FloatArray, bought: BoolArray, amount: float, fractional: bool
) -> FloatArray:
    budget = amount / max(1, int(bought.sum()))
    cost_of_one = np.where(bought, unit_cost, np.inf)
    shares = budget / cost_of_one
    if not fractional:
        shares = np.floor(shares)
    spent = float((shares[bought] * cost_of_one[bought]).sum())
    values: FloatArray = amount - spent + close @ shares
    # like an agent's account, the curve starts before the first order is filled
    values[0] = amount
    return values
