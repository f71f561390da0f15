"""Equal-weight buy & hold: a backtest's baseline, and what the `active` reward is measured by."""

import numpy as np

from finrl_ray._typing import BoolArray, FloatArray
from finrl_ray.env.kernel.arrays import Limits, Market


def equal_weight_purchase(
    price: FloatArray,
    buy_rate: FloatArray | float,
    tradable: BoolArray,
    amount: float,
    whole: bool,
    impact: FloatArray | None = None,
) -> tuple[FloatArray, float]:
    """Return the shares that equal parts of an amount of cash buy, and the cash that is left.

    Parameters
    ----------
    price : array of shape (N,), currency per share
    buy_rate : cost as a fraction of the amount, one or one per ticker
    tradable : array of shape (N,); the others get nothing, and these share all the cash
    amount : currency
    whole : whether only whole shares are bought
    impact : array of shape (N,), the fraction by which one share moves its price; None: 0

    Returns
    -------
    (array of shape (N,), float)
        Shares, and currency.
    """
    unit_cost = price * (1.0 + buy_rate)
    budget = amount / max(1, int(tradable.sum()))
    cost_of_one = np.where(tradable, unit_cost, np.inf)
    shares = budget / cost_of_one
    slippage = np.zeros(len(price)) if impact is None else np.where(tradable, price * impact, 0.0)
    if impact is not None:
        # the root of cost_of_one * shares + slippage * shares^2 = budget, without cancellation
        shares *= 2.0 / (1.0 + np.sqrt(1.0 + 4.0 * slippage / cost_of_one * shares))
    if whole:
        shares = np.floor(shares)
    spent = float((shares[tradable] * cost_of_one[tradable]).sum())
    spent += float((slippage * shares * shares).sum())
    return shares, amount - spent


def start_benchmark(
    limits: Limits,
    index: int,
    market: Market,
    row: int,
    buy_rate: FloatArray,
    amount: float,
    *,
    whole: bool,
) -> None:
    """Buy the benchmark of an episode of account `index`, if its reward is measured by one.

    Parameters
    ----------
    row : on which the orders of the episode's first step fill
    buy_rate : array of shape (N,)
    amount : what the account is worth at the start; shares that it holds count as cash
    """
    if not limits.benchmark.shape[1]:
        return
    shares, cash = equal_weight_purchase(
        market.price[row],
        buy_rate,
        market.tradable[row],
        amount,
        whole,
        limits.impact[row] if limits.impact.size else None,
    )
    limits.benchmark_shares[index] = shares
    # valued at what it cost until the first order is filled, like the account itself
    limits.benchmark[index] = cash, amount
