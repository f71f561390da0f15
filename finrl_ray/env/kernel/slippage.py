"""Slippage as a share of the traded volume, in fills and in planned weights; compiled.

One share moves the price of its trade by the fraction `impact`, which is `env.volume_slippage` by
the volume of the row, so q shares at a price p cost p * q * (impact * q) beside the proportional
cost: linear temporary impact [1]_. A price does not fall below 0, so a sell costs at most what it
brings.

References
----------
.. [1] Almgren and Chriss (2001), "Optimal Execution of Portfolio Transactions", Journal of Risk
   3(2), 5-39.
"""

import math
from typing import Any

import numpy as np

from finrl_ray._typing import FloatArray
from finrl_ray.env.kernel.compile import njit
from finrl_ray.env.kernel.order_rules import fewer, slippage_of, whole_lots

# The account after a trade is known to so much of itself.
_SETTLED = 1e-15
_MOST_ROUNDS = 200
# Weights beside what is left alone that exceed the account by more than rounding.
_SURELY_SHORT = 1.0 + 1e-12
# Whole shares that cash pays for are off by fewer from the root of what they cost.
_NEAR = 4


@njit
def largest_share(cash: float, linear: float, quadratic: float) -> float:
    """Return the s >= 0 of which linear * s + quadratic * s^2 is `cash`; `linear` is not 0."""
    if not cash > 0.0:
        return 0.0
    return 2.0 * cash / (linear + math.sqrt(linear * linear + 4.0 * quadratic * cash))


@njit
def price_of_buy(quantity: float, price: float, rate: float, impact: float) -> float:
    """Return what a buy takes of the cash."""
    amount = price * quantity
    return amount * (1.0 + rate) + amount * (impact * quantity)


@njit
def affordable_with_slippage(
    order: float, cash: float, price: float, rate: float, impact: float, fractional: bool
) -> float:
    """Return how much of a buy order `cash` pays for, costs and slippage included."""
    if price_of_buy(order, price, rate, impact) <= cash:
        return order
    most = min(order, largest_share(cash, price * (1.0 + rate), price * impact))
    if fractional:
        return most
    most = np.floor(most)
    for _ in range(_NEAR):
        if most + 1.0 <= order and price_of_buy(most + 1.0, price, rate, impact) <= cash:
            most += 1.0
    tries = 0
    while most > 0.0 and price_of_buy(most, price, rate, impact) > cash:
        tries += 1
        most = fewer(most, tries)
    return float(most)


@njit
def fill_sells_with_slippage(
    e: int, plan: Any, account: Any, orders: Any, market: Any, books: Any, impact: FloatArray
) -> None:
    """Do what `fill_sells` does, with slippage."""
    for k in range(plan.n_sells):
        i = orders.sequence[e, k]
        held, rate = books.shares[e, i], books.sell_rate[e, i]
        quantity = held if plan.liquidate else min(held, -orders.signed[e, i])
        amount = market.price[plan.row, i] * quantity
        slippage = slippage_of(amount, quantity, impact, plan.row, i)
        account.cash += max(amount * (1.0 - rate) - slippage, 0.0)
        account.cost += min(amount * rate + slippage, amount)
        plan.traded += amount
        books.shares[e, i] = held - quantity
        orders.executed[e, i] = -quantity


@njit
def fill_buys_with_slippage(
    e: int,
    plan: Any,
    account: Any,
    orders: Any,
    market: Any,
    books: Any,
    lots: FloatArray,
    impact: FloatArray,
    switches: Any,
) -> None:
    """Do what `fill_buys` does, with slippage."""
    count, empty = 0, 0
    for k in range(plan.n_buys):
        i = orders.sequence[e, orders.signed.shape[1] - 1 - k]
        price, rate = market.price[plan.row, i], books.buy_rate[e, i]
        each = impact[plan.row, i]
        quantity = affordable_with_slippage(
            orders.signed[e, i], account.cash, price, rate, each, switches.fractional
        )
        if lots.shape[0] > 0:
            quantity = whole_lots(quantity, lots[i])
        if quantity == 0.0:
            empty += 1
            continue
        amount = price * quantity
        account.cash = max(account.cash - price_of_buy(quantity, price, rate, each), 0.0)
        account.cost += amount * rate + amount * (each * quantity)
        plan.traded += amount
        books.shares[e, i] += quantity
        orders.executed[e, i] = quantity
        count += 1
    filled = plan.n_stops + plan.n_sells + count
    account.n_trades += filled + (empty if switches.count_empty else 0)
    account.has_traded = account.has_traded or filled > 0


# -- target weights ---------------------------------------------------------------------------


@njit
def worth_trading(amount: float, held: float, buy: float, sell: float, curve: float) -> float:
    """Return so much of a planned trade as is worth its costs, in currency, sells below 0.

    Of a sell each further share brings less, and from (1 - rate) / (2 * curve) on it costs more
    than it brings, so that a larger one brings less in all. A cover is bounded alike: by where its
    last share costs its worth once more. A buy that opens a position is as it was asked for.

    Parameters
    ----------
    held : the position before the trade, below 0 for shares owed
    buy, sell : cost rates
    curve : slippage of a trade as a fraction of the square of its amount
    """
    if amount < 0.0:
        bound = 1.0 - sell
        return amount if -2.0 * curve * amount <= bound else -bound / (2.0 * curve)
    bound = 1.0 - buy
    if held < 0.0 and 2.0 * curve * min(amount, -held) > bound:
        return bound / (2.0 * curve)
    return amount


@njit
def cost_and_slope(
    e: int, after: float, plan: Any, close: FloatArray, impact: FloatArray, books: Any
) -> tuple[float, float]:
    """Return what a trade to weights of `after` costs, and its derivative by `after`."""
    cost, slope = 0.0, 0.0
    for i in range(close.shape[0]):
        weight, buy, sell = plan.wanted[i], books.buy_rate[e, i], books.sell_rate[e, i]
        asked = weight * after - plan.held[i]
        curve = impact[i] / close[i]
        amount = worth_trading(asked, plan.held[i], buy, sell, curve)
        moves = weight if amount == asked else 0.0
        if amount > 0.0:
            cost += buy * amount + curve * amount * amount
            slope += (buy + 2.0 * curve * amount) * moves
        else:
            cost += -sell * amount + curve * amount * amount
            slope += (2.0 * curve * amount - sell) * moves
    return cost, slope


@njit
def shortened_value(
    e: int, after: float, value: float, plan: Any, close: FloatArray, impact: FloatArray, books: Any
) -> float:
    """Return the value after a trade to weights of `after`, with buys cut to what cash pays for."""
    cash, linear, quadratic = books.records[e].cash, 0.0, 0.0
    sell_cost, buy_cost = 0.0, 0.0
    for i in range(close.shape[0]):
        buy, sell = books.buy_rate[e, i], books.sell_rate[e, i]
        curve = impact[i] / close[i]
        amount = plan.wanted[i] * after - plan.held[i]
        amount = worth_trading(amount, plan.held[i], buy, sell, curve)
        if amount > 0.0:
            linear += amount * (1.0 + buy)
            quadratic += curve * amount * amount
            buy_cost += amount * buy
        else:
            own = -sell * amount + curve * amount * amount
            cash -= amount + own
            sell_cost += own
    share = largest_share(cash, linear, quadratic) if linear + quadratic > cash else 1.0
    return float(value - sell_cost - share * buy_cost - share * share * quadratic)


@njit
def unshrunk_value(
    e: int, value: float, plan: Any, close: FloatArray, impact: FloatArray, books: Any
) -> float:
    """Return what an account of `value` is worth after the trade where cash suffices for it.

    The value a after the trade solves a = value - costs(a), to 1e-15 of the account. Newton's
    method starts from `value`; where it leaves the interval that holds the solution (costs of
    covers are not concave), the interval is halved. Where shares that are owed cost more to close
    than there is, it is 0.
    """
    low, high, after = 0.0, value, value
    for _ in range(_MOST_ROUNDS):
        cost, slope = cost_and_slope(e, after, plan, close, impact, books)
        excess = value - cost - after
        if abs(excess) <= _SETTLED * value:
            break
        if excess > 0.0:
            low = after
        else:
            high = after
        following = after + excess / (1.0 + slope)
        inside = low < following < high
        after = following if inside else 0.5 * (low + high)
        if high - low <= _SETTLED * value:
            break
    return float(after)


@njit
def fits_with_slippage(
    e: int, after: float, plan: Any, close: FloatArray, impact: FloatArray, books: Any
) -> bool:
    """Return whether all positions together are at most the account after the trade."""
    positions = 0.0
    for i in range(close.shape[0]):
        left_alone = abs(close[i] * books.shares[e, i]) - abs(plan.held[i])
        amount = worth_trading(
            plan.wanted[i] * after - plan.held[i],
            plan.held[i],
            books.buy_rate[e, i],
            books.sell_rate[e, i],
            impact[i] / close[i],
        )
        positions += left_alone + abs(plan.held[i] + amount)
    return positions <= after * _SURELY_SHORT


@njit
def value_after_slippage(
    e: int, value: float, plan: Any, market: Any, books: Any, impacts: FloatArray
) -> float:
    """Return what an account of `value` is worth after the trade, at the close and volume seen.

    Where cash does not suffice, because what is left alone takes more than its weight, or what is
    sold is not all that was asked for, the buys shrink, and the interval that holds the value is
    halved.
    """
    today = books.records[e].day
    close, impact = market.close[today], impacts[today]
    after = unshrunk_value(e, value, plan, close, impact, books)
    if fits_with_slippage(e, after, plan, close, impact, books):
        return float(after)
    low, high = 0.0, value
    while high - low > _SETTLED * value:
        middle = 0.5 * (low + high)
        if not low < middle < high:
            break
        if shortened_value(e, middle, value, plan, close, impact, books) > middle:
            low = middle
        else:
            high = middle
    return float(low)


@njit
def share_of_buys(
    e: int, orders: FloatArray, plan: Any, market: Any, books: Any, impacts: FloatArray
) -> float:
    """Return the part of the planned buys that cash pays for after the sells in `orders`."""
    today = books.records[e].day
    close, impact = market.close[today], impacts[today]
    cash, linear, quadratic = books.records[e].cash, 0.0, 0.0
    for i in range(close.shape[0]):
        sold = max(min(-orders[i], books.shares[e, i]), 0.0)
        amount = close[i] * sold
        kept = amount * (1.0 - books.sell_rate[e, i]) - amount * (impact[i] * sold)
        cash += max(kept, 0.0)
        bought = max(plan.amount[i], 0.0)
        linear += bought * (1.0 + books.buy_rate[e, i])
        quadratic += impact[i] / close[i] * bought * bought
    return largest_share(cash, linear, quadratic) if linear + quadratic > cash else 1.0
