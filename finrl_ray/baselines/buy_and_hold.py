"""What an account without an agent would have done on the same days at the same costs."""

from finrl_ray._typing import FloatArray
from finrl_ray.config.env import EnvConfig
from finrl_ray.data.market_data import MarketData
from finrl_ray.env.accounts import Accounts
from finrl_ray.env.benchmark import drifting_curve, equal_weight_purchase
from finrl_ray.env.own.benchmark import held_over


def buy_and_hold(market_data: MarketData, config: EnvConfig) -> FloatArray:
    """Return the account values of equal-weight buy & hold, shape (T,), in currency.

    On the first day each of the tickers that trade gets an equal share of the cash, at the fill
    price of the config, at its buying cost and slippage, in whole shares unless fractions are
    allowed; the rest stays cash. Nothing is traded afterwards, so that the weights drift.

    Parameters
    ----------
    market_data : the window, T rows
    config : account and costs
    """
    return held_over(market_data, config)


def buy_and_hold_of(accounts: Accounts, index: int = 0) -> FloatArray:
    """Return `buy_and_hold` for the market, the cash and the costs of one account of an env.

    Shares that the account starts with count as cash at the first close.
    """
    market, settings, rules = accounts.table.market, accounts.settings, accounts.rules
    impact = accounts.limits.impact
    row = int(rules.fill == "next_open")
    amount = float(settings.initial_amount[index])
    amount += float(market.close[0] @ settings.initial_shares[index])
    bought = equal_weight_purchase(
        market.price[row],
        settings.buy_rate[index],
        market.tradable[row],
        amount,
        not rules.fractional_shares,
        impact[row] if impact.size else None,
    )
    return drifting_curve(market.close, amount, *bought)
