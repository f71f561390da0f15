"""From target weights of -1 to 1 to share orders (`env.short` with `target_weights`); compiled.

What `target_weights` of this folder does, with weights below 0: the share of the account that is
owed in a ticker. Long and short weights together are at most 1. A position that only shrinks
(`reduces`) frees as much of the account as it brings or costs, and one that grows or changes sides
(`opens`) takes as much; free is cash less twice what is owed.
"""

import math
from typing import Any

import numpy as np

from finrl_ray._typing import FloatArray
from finrl_ray.env.kernel import arrays, order_rules, short_sales, target_weights
from finrl_ray.env.kernel.arrays import Books, Limits, Market
from finrl_ray.env.kernel.compile import cached_njit, digest_of, inlined_njit, njit
from finrl_ray.env.kernel.short_sales import value_owed
from finrl_ray.env.kernel.target_weights import (
    MOST_ROUNDS,
    SETTLED,
    SURELY_SHORT,
    Plan,
    WeightRules,
    all_finite,
    choose_moves,
    in_units_of_step,
    value_after,
)


@inlined_njit
def look_at_account(
    e: int, actions: FloatArray, plan: Any, market: Any, books: Any, max_weight: float
) -> float:
    """Turn account e's actions into weights of -1 to 1, in place; return the account's value.

    Actions beyond -1 and 1 are cut off; where they are more than 1 together, without their signs,
    they are divided by that sum; what is beyond `max_weight` on either side is cut off.
    `plan.held` becomes what each position is worth at today's close, below 0 for shares owed.
    """
    close, shares, today = market.close, books.shares, books.records[e].day
    total, value = 0.0, books.records[e].cash
    for i in range(actions.shape[0]):
        actions[i] = min(max(actions[i], -1.0), 1.0)
        plan.held[i] = close[today, i] * shares[e, i]
        total += abs(actions[i])
        value += plan.held[i]
    divisor = max(total, 1.0)
    for i in range(actions.shape[0]):
        actions[i] = min(max(actions[i] / divisor, -max_weight), max_weight)
    return float(value)


@njit
def reduces_and_opens(target: float, held: float) -> tuple[float, float]:
    """Return by how much a position of `held` shrinks, and how much of it is new, in currency."""
    if target * held < 0.0:
        return abs(held), abs(target)
    change = abs(target) - abs(held)
    return max(-change, 0.0), max(change, 0.0)


@njit
def fits(e: int, after: float, plan: Any, market: Any, books: Any) -> bool:
    """Return whether all positions together are at most the account after the trade."""
    close, today = market.close, books.records[e].day
    positions = 0.0
    for i in range(plan.wanted.shape[0]):
        held = abs(close[today, i] * books.shares[e, i])
        positions += held - abs(plan.held[i]) + abs(plan.wanted[i]) * after
    return positions <= after * SURELY_SHORT


@njit
def share_of(free: float, needed: float) -> float:
    """Return which part of what opens can be paid for; what is free may be less than nothing."""
    return max(free, 0.0) / needed if needed > max(free, 0.0) else 1.0


@njit
def shrunk_value_after(
    e: int, value: float, after: float, free: float, plan: Any, books: Any
) -> float:
    """Return the value after a trade of which all that opens is cut to what is free for it."""
    wanted, held = plan.wanted, plan.held
    for _ in range(MOST_ROUNDS):
        there, needed, closing_cost, opening_cost = free, 0.0, 0.0, 0.0
        for i in range(wanted.shape[0]):
            buy, sell = books.buy_rate[e, i], books.sell_rate[e, i]
            reduces, opens = reduces_and_opens(wanted[i] * after, held[i])
            rate = sell if held[i] > 0.0 else buy
            there += reduces * (1.0 - rate)
            closing_cost += reduces * rate
            rate = buy if wanted[i] > 0.0 else sell
            needed += opens * (1.0 + rate)
            opening_cost += opens * rate
        share = share_of(there, needed)
        found = value - closing_cost - share * opening_cost
        settled = abs(found - after) <= SETTLED * value
        after = found
        if settled:
            break
    return after


@njit
def write_orders(
    e: int,
    after: float,
    free: float,
    orders: FloatArray,
    plan: Any,
    market: Any,
    books: Any,
    limits: Any,
    options: Any,
) -> None:
    """Write account e's orders; what reduces is whole before it is known what it frees."""
    close, today, shares, opening = market.close, books.records[e].day, books.shares, plan.amount
    fractional, rate_of_way, needed = options.fractional, options.trade_rate, 0.0
    for i in range(orders.shape[0]):
        target, held = plan.wanted[i] * after, plan.held[i]
        reduces, opens = reduces_and_opens(target, held)
        quantity = in_units_of_step(reduces / close[today, i], limits, i, fractional, rate_of_way)
        if reduces > 0.0 and (target == 0.0 or target * held < 0.0):
            # an order of whole shares for a fraction of one closes that fraction
            quantity = abs(shares[e, i]) if fractional else np.ceil(abs(shares[e, i]))
        rate = books.sell_rate[e, i] if held > 0.0 else books.buy_rate[e, i]
        free += min(quantity, abs(shares[e, i])) * close[today, i] * (1.0 - rate)
        rate = books.buy_rate[e, i] if target > 0.0 else books.sell_rate[e, i]
        needed += opens * (1.0 + rate)
        opening[i] = opens
        orders[i] = -math.copysign(quantity, held)
    share = share_of(free, needed)
    for i in range(orders.shape[0]):
        quantity = share * opening[i] / close[today, i]
        opened = in_units_of_step(quantity, limits, i, fractional, rate_of_way)
        orders[i] += math.copysign(opened, plan.wanted[i])


def _plan_short_orders(digest: int) -> Any:
    """Return `plan_short_orders`, kept on disk until this file or those behind `digest` change."""

    @cached_njit
    def plan_short_orders(
        orders: FloatArray, market: Any, books: Any, limits: Any, rules: Any
    ) -> None:
        """Do what `plan_orders` does, with the same arguments, for weights of -1 to 1."""
        _ = digest  # so that it is a free variable, whose value Numba compares
        table, accounts = Market(*market), Books(*books)
        options = WeightRules(*rules)
        given = None if limits is None else Limits(*limits)
        n = orders.shape[1]
        plan = Plan(np.empty(n), np.empty(n), np.empty(n))
        for e in range(orders.shape[0]):
            row = orders[e]
            if not all_finite(row):
                continue
            value = look_at_account(e, row, plan, table, accounts, options.max_weight)
            choose_moves(e, value, row, plan, table, accounts, given, options)
            after = value_after(e, value, plan, accounts)[0]
            account = accounts.records[e]
            owed = value_owed(accounts.shares[e], table.close[account.day])
            free = account.cash - 2.0 * owed
            if not fits(e, after, plan, table, accounts):
                after = shrunk_value_after(e, value, after, free, plan, accounts)
            write_orders(e, after, free, row, plan, table, accounts, given, options)

    return plan_short_orders


PARTS = (arrays, order_rules, short_sales, target_weights)
"""The files of which compiled code is part of `plan_short_orders`."""
plan_short_orders = _plan_short_orders(digest_of(*(part.__file__ for part in PARTS)))
