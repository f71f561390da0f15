"""What a single order may trade: whole shares, lots, what cash pays for, stop loss, cool-down."""

import math
from typing import Any

import numpy as np

from finrl_ray._typing import FloatArray, IntArray
from finrl_ray.env.kernel.compile import njit

# A rounded quotient this close to a whole number, or this large, may have crossed one.
_NEAR_INTEGER = 1e-6
_LARGE_QUOTIENT = 1e8
# Rounding makes a quotient too large by fewer steps from one float to the next.
_MOST_TRIES = 64


@njit
def floor_quotient(cash: float, unit: float) -> float:
    """Return `cash // unit` exactly as Python floors floats; `unit` is not 0."""
    quotient = cash / unit
    floored = np.floor(quotient)
    distance = quotient - floored
    if _NEAR_INTEGER < distance < 1.0 - _NEAR_INTEGER and abs(quotient) < _LARGE_QUOTIENT:
        return float(floored)
    return cash // unit


@njit
def fewer(count: float, tries: int) -> float:
    """Return the next smaller whole number, of those that are floats: beyond 2^53 not all are.

    A count that rounding made too large fits after a few tries. Where prices are so small that they
    are rounded themselves, it is halved.
    """
    if tries > _MOST_TRIES:
        return float(np.floor(0.5 * count))
    return float(min(count - 1.0, np.nextafter(count, 0.0)))


@njit
def whole_lots(quantity: float, lot: float) -> float:
    """Return the largest multiple of `lot`, as rounded to a float, that is not above `quantity`."""
    count = np.floor(quantity / lot)
    if (count + 1.0) * lot <= quantity:
        count += 1.0
    tries = 0
    while count > 0.0 and count * lot > quantity:
        tries += 1
        count = fewer(count, tries)
    return float(count * lot)


@njit
def lots_of(quantity: float, lots: FloatArray, i: int) -> float:
    """Return the quantity in whole lots of ticker i, or as it is without lots."""
    return whole_lots(quantity, lots[i]) if lots.shape[0] > 0 else quantity


@njit
def affordable(order: float, cash: float, price: float, rate: float, fractional: bool) -> float:
    """Return how much of a buy order `cash` pays for, costs included."""
    if not cash > 0.0:
        return 0.0
    unit = price * (1.0 + rate)
    if fractional:
        return min(order, cash / unit)
    quantity = min(floor_quotient(cash, unit), order)
    # the amount is rounded in another order than the unit price, so it may exceed cash by a hair
    tries = 0
    while quantity > 0.0 and price * quantity * (1.0 + rate) > cash:
        tries += 1
        quantity = fewer(quantity, tries)
    return quantity


@njit
def affordable_finrl(
    order: float, cash: float, price: float, rate: float, has_traded: bool
) -> float:
    """Return FinRL's quantity: free shares at a price of 0, -1 share for cash rounded below 0.

    NaN where FinRL stops: it divides a Python number (until shares have changed hands) or no cash
    by 0.
    """
    unit = price * (1.0 + rate)
    if unit == 0.0:
        return order if cash > 0.0 and has_traded else math.nan
    return min(floor_quotient(cash, unit), order)


@njit
def exact_quantity(
    order: float,
    cash: float,
    price: float,
    rate: float,
    fractional: bool,
    finrl: bool,
    has_traded: bool,
) -> float:
    """Return how much of a buy order is filled; NaN where FinRL stops."""
    if finrl:
        return affordable_finrl(order, cash, price, rate, has_traded)
    return affordable(order, cash, price, rate, fractional)


@njit
def limit_orders(
    orders: FloatArray, shares: FloatArray, lots: FloatArray, free_from: IntArray, today: int
) -> None:
    """Drop the orders of tickers that cool down, and round the others toward zero to lots.

    An order to sell all that is held is not rounded, so that less than a lot can be sold.
    """
    if lots.shape[0] == 0 and free_from.shape[0] == 0:
        return
    for i in range(orders.shape[0]):
        if free_from.shape[0] > 0 and today < free_from[i]:
            orders[i] = 0.0
        elif lots.shape[0] > 0 and -orders[i] >= shares[i] and orders[i] < 0.0:
            orders[i] = -shares[i]
        else:
            quantity = lots_of(abs(orders[i]), lots, i)
            orders[i] = quantity if orders[i] > 0.0 else -quantity


@njit
def slippage_of(amount: float, quantity: float, impact: FloatArray, row: int, i: int) -> float:
    """Return what the slippage of a trade of ticker i costs; 0 without slippage."""
    if impact.shape[0] == 0:
        return 0.0
    return float(amount * (impact[row, i] * quantity))


@njit
def sell_stopped(
    e: int, plan: Any, account: Any, orders: Any, market: Any, books: Any, limits: Any
) -> None:
    """Sell account e's positions at a loss beyond the stop, or at the profit, and drop its orders.

    A position is sold whole, whatever the agent orders for that ticker.
    """
    close, price = market.close[account.day], market.price[plan.row]
    tradable, rate = market.tradable[plan.row], books.sell_rate[e]
    shares, buy_price = books.shares[e], limits.buy_price[e]
    signed, executed = orders.signed[e], orders.executed[e]
    cash, cost = account.cash, account.cost
    traded, count = 0.0, 0
    for i in range(signed.shape[0]):
        held = shares[i]
        stays = limits.stop * buy_price[i] <= close[i] < limits.profit * buy_price[i]
        if held > 0.0 and tradable[i] and not stays:
            amount = price[i] * held
            slippage = slippage_of(amount, held, limits.impact, plan.row, i)
            cash += max(amount * (1.0 - rate[i]) - slippage, 0.0)
            cost += min(amount * rate[i] + slippage, amount)
            traded += amount
            shares[i] = 0.0
            executed[i] = -held
            signed[i] = 0.0
            count += 1
    account.cash, account.cost = cash, cost
    plan.traded, plan.n_stops = traded, count


@njit
def remember_trades(
    executed: FloatArray,
    shares: FloatArray,
    price: FloatArray,
    buy_price: FloatArray,
    free_from: IntArray,
    next_row: int,
) -> None:
    """Update the average buy prices, and the row from which traded tickers are free again."""
    for i in range(executed.shape[0]):
        if executed[i] == 0.0:
            continue
        if free_from.shape[0] > 0:
            free_from[i] = next_row
        if buy_price.shape[0] > 0 and executed[i] > 0.0:
            paid = buy_price[i] * (shares[i] - executed[i]) + price[i] * executed[i]
            buy_price[i] = paid / shares[i]
        elif buy_price.shape[0] > 0 and shares[i] == 0.0:
            buy_price[i] = 0.0
