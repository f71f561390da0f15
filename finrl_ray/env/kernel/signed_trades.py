"""Trades of signed quantities where shares may be owed, with slippage or without; compiled.

With slippage one share moves the price of its trade by the fraction `each` (see `slippage`). What
a step trades of a ticker is one trade, even if its first part closes a position and its second part
opens the opposite one: the second part pays what it adds to the slippage of all, and a price does
not fall below 0 for all that is sold.
"""

from typing import Any

import numpy as np

from finrl_ray._typing import FloatArray
from finrl_ray.env.kernel.compile import njit
from finrl_ray.env.kernel.order_rules import affordable, fewer
from finrl_ray.env.kernel.slippage import affordable_with_slippage, largest_share

# Whole shares that can be paid for are off by fewer from the root of what they cost.
_NEAR = 4


@njit
def impact_of(impact: FloatArray, row: int, i: int) -> float:
    """Return the fraction by which one share of ticker i moves its price; 0 without slippage."""
    return float(impact[row, i]) if impact.shape[0] > 0 else 0.0


@njit
def cost_of_sale(quantity: float, price: float, rate: float, each: float) -> float:
    """Return what a sale costs, slippage included: at most what the shares are worth."""
    amount = price * quantity
    return float(min(amount * rate + amount * (each * quantity), amount))


@njit
def kept_of_sale(quantity: float, price: float, rate: float, each: float) -> float:
    """Return what a sale brings in cash after its cost, 0 or above."""
    amount = price * quantity
    return float(max(amount * (1.0 - rate) - amount * (each * quantity), 0.0))


@njit
def trade(
    e: int,
    i: int,
    quantity: float,
    plan: Any,
    orders: Any,
    market: Any,
    books: Any,
    impact: FloatArray,
) -> None:
    """Trade a signed quantity of ticker i at the step's price, and pay its cost.

    What the step has traded of that ticker before has the same sign.
    """
    account, price = books.records[e], market.price[plan.row, i]
    size, each = abs(quantity), impact_of(impact, plan.row, i)
    amount = price * size
    if quantity < 0.0:
        rate = books.sell_rate[e, i]
        cash, cost = amount * (1.0 - rate), amount * rate
        if each > 0.0:
            before = abs(orders.executed[e, i])
            cash, cost = (
                kept_of_sale(size, price, rate, each),
                cost_of_sale(size, price, rate, each),
            )
            if before > 0.0:
                cash = kept_of_sale(before + size, price, rate, each)
                cash -= kept_of_sale(before, price, rate, each)
                cost = amount - cash
        account.cash += cash
    else:
        rate = books.buy_rate[e, i]
        cash, cost = amount * (1.0 + rate), amount * rate
        if each > 0.0:
            slippage = amount * (each * (size + 2.0 * abs(orders.executed[e, i])))
            cash, cost = cash + slippage, cost + slippage
        account.cash -= cash
    account.cost += cost
    plan.traded += amount
    books.shares[e, i] += quantity
    orders.executed[e, i] += quantity


@njit
def affordable_cover(
    quantity: float, cash: float, price: float, rate: float, each: float, fractional: bool
) -> float:
    """Return how much of a cover `cash` pays for; a whole cover that it pays for stays as it is."""
    if each > 0.0:
        return float(affordable_with_slippage(quantity, cash, price, rate, each, fractional))
    if price * quantity * (1.0 + rate) > cash:
        return float(affordable(quantity, cash, price, rate, fractional))
    return quantity


@njit
def taken_by_opening(
    quantity: float, sells: bool, price: float, rate: float, each: float, before: float
) -> float:
    """Return what opening `quantity` takes of the free part of the account.

    A buy takes its amount and its cost. A short sale brings cash and owes its amount, which counts
    twice.

    Parameters
    ----------
    before : shares of the same ticker that the step has traded already, of the same sign
    """
    amount = price * quantity
    if each == 0.0:
        return float(amount * (1.0 + rate))
    if not sells:
        return float(amount * (1.0 + rate) + amount * (each * (quantity + 2.0 * before)))
    brought = kept_of_sale(before + quantity, price, rate, each)
    return float(2.0 * amount - (brought - kept_of_sale(before, price, rate, each)))


@njit
def most_to_open(
    order: float,
    sells: bool,
    free: float,
    price: float,
    rate: float,
    each: float,
    before: float,
    fractional: bool,
) -> float:
    """Return how much of an order the free part of the account pays for, with slippage."""
    if not free > 0.0:
        return 0.0
    if taken_by_opening(order, sells, price, rate, each, before) <= free:
        return order
    most = largest_share(free, price * (1.0 + rate + 2.0 * each * before), price * each)
    if sells:
        # at a price of 0 a share more takes twice its worth, and no more slippage
        left = free - kept_of_sale(before, price, rate, each)
        most = max(most, left / (2.0 * price))
    most = min(most, order)
    if fractional:
        return float(most)
    most = np.floor(most)
    for _ in range(_NEAR):
        more = most + 1.0
        if more <= order and taken_by_opening(more, sells, price, rate, each, before) <= free:
            most = more
    tries = 0
    while most > 0.0 and taken_by_opening(most, sells, price, rate, each, before) > free:
        tries += 1
        most = fewer(most, tries)
    return float(most)
