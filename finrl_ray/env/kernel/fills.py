"""How the orders of a step change cash and shares: all sells of an account, then its buys."""

import math
from typing import Any

import numpy as np

from finrl_ray._typing import FloatArray
from finrl_ray.env.kernel.compile import inlined_njit, njit
from finrl_ray.env.kernel.order_rules import exact_quantity, whole_lots
from finrl_ray.env.kernel.slippage import fill_buys_with_slippage, fill_sells_with_slippage

# An order that costs less than cash by this factor is paid for, however its terms are rounded; as
# long as all of them are within these bounds, so that rounding is relative.
_SURELY = 1.0 + 1e-9
_TINY, _HUGE = 1e-100, 1e100


@inlined_njit
def fill_sells(e: int, plan: Any, account: Any, orders: Any, market: Any, books: Any) -> None:
    """Fill account e's sells in the order of trading, all of a position when liquidating."""
    signed, executed, sequence = orders.signed, orders.executed, orders.sequence
    shares, rate, price, row = books.shares, books.sell_rate, market.price, plan.row
    cash, cost, traded = account.cash, account.cost, 0.0
    for k in range(plan.n_sells):
        i = np.uint64(sequence[e, k])
        held = shares[e, i]
        quantity = held if plan.liquidate or held < -signed[e, i] else -signed[e, i]
        amount = price[row, i] * quantity
        cash += amount * (1.0 - rate[e, i])
        cost += amount * rate[e, i]
        traded += amount
        shares[e, i] = held - quantity
        executed[e, i] = -quantity
    account.cash, account.cost = cash, cost
    plan.traded = plan.traded + traded


@inlined_njit
def fill_buys(
    e: int,
    plan: Any,
    account: Any,
    orders: Any,
    market: Any,
    books: Any,
    lots: FloatArray,
    switches: Any,
) -> int:
    """Fill account e's buys in the order of trading; return an undefined order's ticker or -1.

    Most orders are far below cash, or above all of it: these are decided without a division, with
    the quantity that the division would give.
    """
    signed, executed, sequence = orders.signed, orders.executed, orders.sequence
    shares, rate, price, row = books.shares, books.buy_rate, market.price, plan.row
    fractional, finrl = switches.fractional, switches.finrl_prices
    cash, cost, traded = account.cash, account.cost, 0.0
    count, empty, failed = 0, 0, -1
    has_traded = account.has_traded or plan.n_sells > 0
    for k in range(plan.n_buys):
        i = np.uint64(sequence[e, signed.shape[1] - 1 - k])
        quantity, unit = signed[e, i], price[row, i] * (1.0 + rate[e, i])
        in_full = price[row, i] * quantity * (1.0 + rate[e, i])
        ordinary = (price[row, i] > _TINY) & (price[row, i] < _HUGE) & (in_full > _TINY)
        if not (ordinary & (in_full * _SURELY <= cash)):
            if 0.0 <= cash < unit and not fractional:
                empty += 1
                continue
            quantity = exact_quantity(
                quantity, cash, price[row, i], rate[e, i], fractional, finrl, has_traded
            )
            if math.isnan(quantity):
                failed = int(i)
                break
        if lots.shape[0] > 0:
            quantity = whole_lots(quantity, lots[i])
        if quantity == 0.0:
            empty += 1
            continue
        amount = price[row, i] * quantity
        cash -= amount * (1.0 + rate[e, i])
        if not finrl:
            cash = max(cash, 0.0)
        cost += amount * rate[e, i]
        traded += abs(amount)
        shares[e, i] += quantity
        executed[e, i] = quantity
        count += 1
        has_traded = True
    filled = plan.n_stops + plan.n_sells + count
    account.cash, account.cost = cash, cost
    account.n_trades += filled + (empty if switches.count_empty else 0)
    account.has_traded = account.has_traded or filled > 0
    plan.traded = plan.traded + traded
    return failed


@njit
def fill_orders(
    block: Any,
    orders: Any,
    market: Any,
    books: Any,
    lots: FloatArray,
    switches: Any,
    impact: Any,
) -> tuple[int, int]:
    """Fill all sells of each account, then its buys.

    Returns
    -------
    tuple
        An account and its ticker whose order is undefined; -1 and -1 if there is none.
    """
    for e in range(block.first, block.end):
        account, plan = books.records[e], block.plans[e - block.first]
        if plan.over:
            continue
        if impact is not None and impact.shape[0] > 0:
            fill_sells_with_slippage(e, plan, account, orders, market, books, impact)
            fill_buys_with_slippage(e, plan, account, orders, market, books, lots, impact, switches)
            continue
        fill_sells(e, plan, account, orders, market, books)
        failed = fill_buys(e, plan, account, orders, market, books, lots, switches)
        if failed >= 0:
            return e, failed
    return -1, -1
