"""Orders where shares may be owed (`env.short`): what they open and reduce, and forced covers.

A sell of what is held and a buy of what is owed (a cover) reduce positions; a buy beyond that and a
sell beyond that (a short sale) open them. All that reduces is filled first, the largest order
first, then all that opens, the largest first, each for at most what the free part of the account
pays for. Free is the account value less all positions, long and short, at the prices of the fill:
cash less twice the value of the shares owed, which is cash itself where nothing is owed. So what
opens costs its amount and its cost, whether it is bought or sold, and after it the positions
together are at most the account.
"""

import math
from typing import Any, NamedTuple

import numpy as np

from finrl_ray._typing import FloatArray, IntArray
from finrl_ray.env.kernel.compile import inlined_njit, njit
from finrl_ray.env.kernel.forced_covers import close_side, cover_all, is_called, value_owed
from finrl_ray.env.kernel.order_rules import affordable, lots_of
from finrl_ray.env.kernel.order_sequence import sort_few_orders, sort_many_orders
from finrl_ray.env.kernel.rewards import LEAST_GROWTH
from finrl_ray.env.kernel.signed_trades import (
    affordable_cover,
    impact_of,
    most_to_open,
    taken_by_opening,
    trade,
)
from finrl_ray.env.kernel.values import value_of

# Tickers up to which orders are sorted by counting.
_FEW = 64


class Parts(NamedTuple):
    """One account's orders in two parts: scratch space, written for account by account."""

    reduces: FloatArray
    """(N,) shares of a position that are sold or covered."""
    opens: FloatArray
    """(N,) shares bought or sold short beyond that."""
    keys: FloatArray
    """(N,) to sort by."""
    sequence: IntArray
    """(N,) tickers in the order of trading."""
    values: FloatArray
    tickers: IntArray
    """(2, N), for sorting."""


@inlined_njit
def new_parts(n_assets: int) -> Any:
    """Return scratch space for N tickers."""
    return Parts(
        np.zeros(n_assets),
        np.zeros(n_assets),
        np.zeros(n_assets),
        np.zeros(n_assets, dtype=np.int64),
        np.zeros((2, n_assets)),
        np.zeros((2, n_assets), dtype=np.int64),
    )


@njit
def close_stopped(
    e: int, owed: bool, plan: Any, orders: Any, market: Any, books: Any, limits: Any
) -> None:
    """Close account e's positions at a loss beyond the stop, or at the profit, and drop its orders.

    Of shares owed a rise is the loss: the bounds lie as far from the average price on the other
    side. A cover is for at most what cash pays for.
    """
    account, shares, buy_price = books.records[e], books.shares[e], limits.buy_price[e]
    close, row = market.close[account.day], plan.row
    for i in range(shares.shape[0]):
        held, paid = shares[i], buy_price[i]
        if not market.tradable[row, i] or not (held < 0.0 if owed else held > 0.0):
            continue
        if held > 0.0:
            stays = limits.stop * paid <= close[i] < limits.profit * paid
        else:
            stays = (2.0 - limits.profit) * paid < close[i] <= (2.0 - limits.stop) * paid
        if stays:
            continue
        orders.signed[e, i] = 0.0
        quantity = -held
        if quantity > 0.0:
            rate, each = books.buy_rate[e, i], impact_of(limits.impact, row, i)
            # what is owed may be a fraction of a share, and is covered whole where cash allows
            quantity = affordable_cover(
                quantity, account.cash, market.price[row, i], rate, each, True
            )
        trade(e, i, quantity, plan, orders, market, books, limits.impact)
        account.cash = max(account.cash, 0.0) if quantity > 0.0 else account.cash


@njit
def split_orders(
    e: int, plan: Any, orders: Any, market: Any, books: Any, limits: Any, parts: Any, whole: bool
) -> None:
    """Write how much of each position account e's orders reduce, and how much they open.

    Orders of tickers that cool down or do not trade are dropped; the others are rounded toward zero
    to whole shares and lots, but for what closes a whole position.
    """
    today, lots, free_from = books.records[e].day, limits.lots, limits.free_from[e]
    for i in range(orders.signed.shape[1]):
        parts.reduces[i], parts.opens[i] = 0.0, 0.0
        order, held = orders.signed[e, i], books.shares[e, i]
        cools = free_from.shape[0] > 0 and today < free_from[i]
        if order == 0.0 or cools or not market.tradable[plan.row, i]:
            continue
        size = np.trunc(abs(order)) if whole else abs(order)
        reduces = 0.0
        if order * held < 0.0:
            if lots.shape[0] > 0 and abs(order) >= abs(held):
                # an order for all of a position closes it, in whatever fractions it is
                reduces, size = abs(held), max(size, abs(held))
            else:
                reduces = min(size, abs(held))
        opens = size - reduces
        if reduces > 0.0 and reduces < abs(held):
            reduces = lots_of(reduces, lots, i)
        if whole:
            opens = np.trunc(opens)
        parts.reduces[i] = reduces
        parts.opens[i] = lots_of(opens, lots, i) if plan.may_buy else 0.0


@njit
def sort_largest_first(quantities: FloatArray, parts: Any) -> int:
    """Write the tickers with a quantity above 0 into `parts.sequence`; return how many there are.

    The largest quantity goes first, among equal ones the ticker listed first.
    """
    count = 0
    for i in range(quantities.shape[0]):
        parts.keys[i] = -quantities[i]
        count += quantities[i] > 0.0
    if quantities.shape[0] <= _FEW:
        sort_few_orders(parts.keys, parts.sequence, parts.values, parts.tickers)
    else:
        sort_many_orders(parts.keys, parts.sequence, count, 0, False)
    return count


@njit
def reduce_positions(
    e: int,
    plan: Any,
    orders: Any,
    market: Any,
    books: Any,
    limits: Any,
    parts: Any,
    fractional: bool,
) -> None:
    """Fill account e's sells of what is held, then its covers, each for what cash pays for."""
    account, shares = books.records[e], books.shares[e]
    count = sort_largest_first(parts.reduces, parts)
    for k in range(count):
        i = parts.sequence[k]
        if shares[i] > 0.0:
            trade(e, i, -parts.reduces[i], plan, orders, market, books, limits.impact)
    for k in range(count):
        i = parts.sequence[k]
        if shares[i] < 0.0:
            price, rate = market.price[plan.row, i], books.buy_rate[e, i]
            each = impact_of(limits.impact, plan.row, i)
            wanted = parts.reduces[i]
            quantity = affordable_cover(wanted, account.cash, price, rate, each, fractional)
            if quantity < wanted:
                quantity = lots_of(quantity, limits.lots, i)
            if quantity > 0.0:
                trade(e, i, quantity, plan, orders, market, books, limits.impact)
                account.cash = max(account.cash, 0.0)


@njit
def open_positions(
    e: int,
    plan: Any,
    orders: Any,
    market: Any,
    books: Any,
    limits: Any,
    parts: Any,
    fractional: bool,
) -> None:
    """Fill account e's buys and short sales for at most what its free part pays for."""
    account, price = books.records[e], market.price[plan.row]
    free = account.cash
    for i in range(price.shape[0]):
        if books.shares[e, i] < 0.0:
            # without a quote on the row of the fill the last close counts
            known = price[i] if market.tradable[plan.row, i] else market.close[account.day, i]
            free += 2.0 * known * books.shares[e, i]
    for k in range(sort_largest_first(parts.opens, parts)):
        i = parts.sequence[k]
        order = orders.signed[e, i]
        if order * books.shares[e, i] < 0.0:
            continue  # what was to be closed first has not been
        rate = books.buy_rate[e, i] if order > 0.0 else books.sell_rate[e, i]
        each, before = impact_of(limits.impact, plan.row, i), abs(orders.executed[e, i])
        if each > 0.0:
            quantity = most_to_open(
                parts.opens[i], order < 0.0, free, price[i], rate, each, before, fractional
            )
        else:
            quantity = affordable(parts.opens[i], free, price[i], rate, fractional)
        quantity = lots_of(quantity, limits.lots, i)
        if quantity == 0.0:
            continue
        taken = taken_by_opening(quantity, order < 0.0, price[i], rate, each, before)
        trade(e, i, math.copysign(quantity, order), plan, orders, market, books, limits.impact)
        free = max(free - taken, 0.0)
        account.cash = max(account.cash, 0.0)


@njit
def trade_with_shorts(
    block: Any, orders: Any, market: Any, books: Any, limits: Any, margin: Any, fractional: bool
) -> None:
    """Fill the orders of accounts that may owe shares, or what turbulence and margin demand.

    Turbulence closes every position; a margin call covers what is owed; both drop all orders.
    Neither asks whether cash suffices.
    """
    parts = new_parts(orders.signed.shape[1])
    for e in range(block.first, block.end):
        account, plan = books.records[e], block.plans[e - block.first]
        if plan.over:
            continue
        if plan.liquidate:
            close_side(e, False, plan, orders, market, books, limits.impact)
            cover_all(e, plan, orders, market, books, limits, fractional)
        elif is_called(account, books.shares[e], market.close[account.day], margin.maintenance):
            cover_all(e, plan, orders, market, books, limits, fractional)
        else:
            if limits.stop > 0.0:
                close_stopped(e, False, plan, orders, market, books, limits)
                close_stopped(e, True, plan, orders, market, books, limits)
            split_orders(e, plan, orders, market, books, limits, parts, not fractional)
            reduce_positions(e, plan, orders, market, books, limits, parts, fractional)
            open_positions(e, plan, orders, market, books, limits, parts, fractional)
        for i in range(orders.executed.shape[1]):
            account.n_trades += orders.executed[e, i] != 0.0
        account.has_traded = account.has_traded or plan.traded > 0.0


@njit
def remember_positions(
    executed: FloatArray,
    shares: FloatArray,
    price: FloatArray,
    buy_price: FloatArray,
    free_from: IntArray,
    next_row: int,
) -> None:
    """Do what `remember_trades` does where shares may be owed: for these, the price of their sale.

    What has grown gets the average, what has changed sides the latest price.
    """
    for i in range(executed.shape[0]):
        if executed[i] == 0.0:
            continue
        if free_from.shape[0] > 0:
            free_from[i] = next_row
        if buy_price.shape[0] == 0:
            continue
        before = shares[i] - executed[i]
        if shares[i] == 0.0:
            buy_price[i] = 0.0
        elif before * shares[i] <= 0.0:
            buy_price[i] = price[i]
        elif abs(shares[i]) > abs(before):
            buy_price[i] = (buy_price[i] * before + price[i] * executed[i]) / shares[i]


@njit
def charge_and_settle(
    e: int, before: float, today: int, executed: FloatArray, market: Any, books: Any, margin: Any
) -> tuple[float, bool]:
    """Charge what borrowed shares cost at today's close; return account value and whether it ends.

    An account that has lost all is closed by the broker at that close, who bears what it owes
    beyond: it is left with as much of its value before the step as a log return can show.
    """
    account, shares, close = books.records[e], books.shares[e], market.close[today]
    fee = margin.fees[today] * value_owed(shares, close)
    account.cash -= fee
    account.cost += fee
    value = value_of(account.cash, shares, close)
    least = LEAST_GROWTH * before
    if value > least:
        return value, False
    for i in range(shares.shape[0]):
        executed[i] -= shares[i]
        shares[i] = 0.0
    account.cash = least
    return least, True
