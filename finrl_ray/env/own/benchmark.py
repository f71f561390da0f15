"""Equal-weight buy & hold of a window, at the costs of a config, beside which accounts stand."""

from finrl_ray._typing import FloatArray
from finrl_ray.config.env import EnvConfig
from finrl_ray.data.market_data import MarketData
from finrl_ray.env.benchmark import drifting_curve, equal_weight_purchase
from finrl_ray.env.orders.volume import fills_of


def held_over(market_data: MarketData, config: EnvConfig) -> FloatArray:
    """Return what `finrl_ray.baselines.buy_and_hold.buy_and_hold` returns, shape (T,), currency.

    Parameters
    ----------
    market_data : the window, T rows
    config : account and costs
    """
    row = int(config.fill == "next_open")
    price, tradable, impact = fills_of(market_data, config)
    amount = config.initial_amount
    bought = equal_weight_purchase(
        price[row],
        config.buy_cost_pct,
        tradable[row],
        amount,
        not config.fractional_shares,
        impact[row] if impact.size else None,
    )
    return drifting_curve(market_data.close, amount, *bought)
