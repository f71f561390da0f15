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
from finrl_ray.env.kernel import (
    arrays,
    forced_covers,
    order_rules,
    signed_trades,
    slippage,
    target_weights,
)
from finrl_ray.env.kernel.arrays import Books, Limits, Market
from finrl_ray.env.kernel.compile import cached_njit, digest_of, inlined_njit, njit
from finrl_ray.env.kernel.forced_covers import value_owed
from finrl_ray.env.kernel.slippage import (
    fits_with_slippage,
    largest_share,
    unshrunk_value,
    worth_trading,
)
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

# Halvings after which an interval is as small as a float can tell.
_MOST_HALVINGS = 64


@inlined_njit
def look_at_account(
    e: int, actions: FloatArray, plan: Any, market: Any, books: Any, options: Any
) -> float:
    """Turn account e's actions into weights of -1 to 1, in place; return the account's value.

    `zero_weight` is added to each action. Those then beyond -1 and 1 are cut off; where they are
    more than 1 together, without their signs, they are divided by that sum; what is beyond
    `max_weight` on either side is cut off. `plan.held` becomes what each position is worth at
    today's close, below 0 for shares owed.
    """
    close, shares, today = market.close, books.shares, books.records[e].day
    total, value = 0.0, books.records[e].cash
    for i in range(actions.shape[0]):
        actions[i] = min(max(actions[i] + options.zero_weight, -1.0), 1.0)
        plan.held[i] = close[today, i] * shares[e, i]
        total += abs(actions[i])
        value += plan.held[i]
    divisor, largest = max(total, 1.0), options.max_weight
    for i in range(actions.shape[0]):
        actions[i] = min(max(actions[i] / divisor, -largest), largest)
    return float(value)


@inlined_njit
def reduces_and_opens(target: float, held: float) -> tuple[float, float]:
    """Return by how much a position of `held` shrinks, and how much of it is new, in currency."""
    size = abs(held)
    # what stays of the position; without branches, which would be as good as random
    kept = min(max(target if held >= 0.0 else -target, 0.0), size)
    return size - kept, abs(target) - kept


@inlined_njit
def fits(e: int, after: float, plan: Any, market: Any, books: Any) -> bool:
    """Return whether all positions together are at most the account after the trade."""
    close, today = market.close, books.records[e].day
    positions = 0.0
    for i in range(plan.wanted.shape[0]):
        held = abs(close[today, i] * books.shares[e, i])
        positions += held - abs(plan.held[i]) + abs(plan.wanted[i]) * after
    return positions <= after * SURELY_SHORT


@inlined_njit
def share_of(free: float, needed: float) -> float:
    """Return which part of what opens can be paid for; what is free may be less than nothing."""
    return max(free, 0.0) / needed if needed > max(free, 0.0) else 1.0


@inlined_njit
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


@inlined_njit
def curve_of(i: int, today: int, market: Any, limits: Any) -> float:
    """Return the slippage of a trade of ticker i as a fraction of the square of its amount."""
    if limits is None or limits.impact.shape[0] == 0:
        return 0.0
    return float(limits.impact[today, i] / market.close[today, i])


@inlined_njit
def worth_reducing_and_opening(
    target: float, held: float, buy: float, sell: float, curve: float
) -> tuple[float, float]:
    """Return `reduces_and_opens` of so much of a trade as is worth its costs."""
    reduces, opens = reduces_and_opens(target, held)
    if curve == 0.0:
        return reduces, opens
    amount = abs(worth_trading(target - held, held, buy, sell, curve))
    if amount == abs(target - held):
        return reduces, opens
    reduces = min(reduces, amount)
    return reduces, amount - reduces


@inlined_njit
def part_that_fits(free: float, linear: float, quadratic: float) -> float:
    """Return which part of what opens is paid for, where all takes linear + quadratic."""
    if quadratic == 0.0:
        return float(share_of(free, linear))
    return float(largest_share(free, linear, quadratic)) if linear + quadratic > free else 1.0


@njit
def shrunk_with_slippage(
    e: int, value: float, after: float, free: float, plan: Any, market: Any, books: Any, limits: Any
) -> float:
    """Do what one round of `shrunk_value_after` does, with slippage."""
    today, there, linear, quadratic = books.records[e].day, free, 0.0, 0.0
    closing_cost, rates = 0.0, 0.0
    for i in range(plan.wanted.shape[0]):
        buy, sell = books.buy_rate[e, i], books.sell_rate[e, i]
        target, held, curve = (
            plan.wanted[i] * after,
            plan.held[i],
            curve_of(i, today, market, limits),
        )
        reduces, opens = worth_reducing_and_opening(target, held, buy, sell, curve)
        cost = reduces * ((sell if held > 0.0 else buy) + curve * reduces)
        there += reduces - cost
        closing_cost += cost
        # the two parts of an order that turns a position are one trade
        rate = (buy if target > 0.0 else sell) + 2.0 * curve * reduces
        linear += opens * (1.0 + rate)
        rates += opens * rate
        quadratic += curve * opens * opens
    share = part_that_fits(there, linear, quadratic)
    return float(value - closing_cost - share * rates - share * share * quadratic)


@njit
def short_value_after_slippage(
    e: int, value: float, free: float, plan: Any, market: Any, books: Any, limits: Any
) -> float:
    """Return the value after the trade at the close and the volume seen, with slippage."""
    today = books.records[e].day
    close, impact = market.close[today], limits.impact[today]
    after = unshrunk_value(e, value, plan, close, impact, books)
    if fits_with_slippage(e, after, plan, close, impact, books):
        return float(after)
    low, high = 0.0, value
    for _ in range(_MOST_HALVINGS):
        middle = 0.5 * (low + high)
        if shrunk_with_slippage(e, value, middle, free, plan, market, books, limits) > middle:
            low = middle
        else:
            high = middle
        if not high - low > SETTLED * value:
            break
    return float(low)


@inlined_njit
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
    fractional, rate_of_way, linear, quadratic = options.fractional, options.trade_rate, 0.0, 0.0
    for i in range(orders.shape[0]):
        target, held = plan.wanted[i] * after, plan.held[i]
        buy, sell, curve = (
            books.buy_rate[e, i],
            books.sell_rate[e, i],
            curve_of(i, today, market, limits),
        )
        reduces, opens = worth_reducing_and_opening(target, held, buy, sell, curve)
        quantity = in_units_of_step(reduces / close[today, i], limits, i, fractional, rate_of_way)
        if reduces == abs(held) > 0.0:
            # an order of whole shares for a fraction of one closes that fraction
            quantity = abs(shares[e, i]) if fractional else np.ceil(abs(shares[e, i]))
        rate = sell if held > 0.0 else buy
        closed = min(quantity, abs(shares[e, i])) * close[today, i]
        free += closed * (1.0 - rate) - curve * closed * closed
        rate = (buy if target > 0.0 else sell) + 2.0 * curve * closed
        linear += opens * (1.0 + rate)
        quadratic += curve * opens * opens
        opening[i] = opens
        orders[i] = -math.copysign(quantity, held)
    share = part_that_fits(free, linear, quadratic)
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
            value = look_at_account(e, row, plan, table, accounts, options)
            choose_moves(e, value, row, plan, table, accounts, given, options)
            account = accounts.records[e]
            owed = value_owed(accounts.shares[e], table.close[account.day])
            free = account.cash - 2.0 * owed
            # the argument itself, so that the branch is left out where it is None
            if limits is not None and Limits(*limits).impact.shape[0] > 0:
                after = short_value_after_slippage(
                    e, value, free, plan, table, accounts, Limits(*limits)
                )
            else:
                after = value_after(e, value, plan, accounts)[0]
                if not fits(e, after, plan, table, accounts):
                    after = shrunk_value_after(e, value, after, free, plan, accounts)
            write_orders(e, after, free, row, plan, table, accounts, given, options)

    return plan_short_orders


PARTS = (arrays, forced_covers, order_rules, signed_trades, slippage, target_weights)
"""The files of which compiled code is part of `plan_short_orders`."""
plan_short_orders = _plan_short_orders(digest_of(*(part.__file__ for part in PARTS)))
