"""From target weights to share orders: what `env.action: target_weights` means; compiled.

An action says which share of the account each ticker should have after the trade. The orders that
lead there are worked out from the close that the agent has seen, before the step fills them like
any other orders. Amounts are in currency; sums run from the first ticker to the last.
"""

from typing import Any, NamedTuple

import numpy as np

from finrl_ray._typing import FloatArray
from finrl_ray.env.kernel import arrays, order_rules, slippage
from finrl_ray.env.kernel.arrays import Books, Limits, Market
from finrl_ray.env.kernel.compile import cached_njit, digest_of, inlined_njit, njit
from finrl_ray.env.kernel.order_rules import whole_lots
from finrl_ray.env.kernel.slippage import share_of_buys, value_after_slippage, worth_trading

# Quantities this close to a whole number of shares or lots, relative to it, have lost it to
# rounding only.
_SNAP = 1e-9
# Shrunk buys are repeated until the account that they leave is known to so much of itself.
SETTLED = 1e-15
MOST_ROUNDS = 64
# Weights beside what is left alone that exceed the account by more than rounding.
SURELY_SHORT = 1.0 + 1e-12


class WeightRules(NamedTuple):
    """The options of `target_weights`, as numbers."""

    zero_weight: float
    """Share of the account that an action of 0 stands for; added to every action."""
    max_weight: float
    """Largest share of the account in one ticker."""
    band: float
    """Difference of weights up to which a ticker is left alone."""
    trade_rate: float
    """Part of the way to a weight that one step trades."""
    fractional: bool


class Plan(NamedTuple):
    """What one account is to trade, of N tickers: scratch space, written for account by account."""

    wanted: FloatArray
    """Weights of the tickers that move; 0 for those that are left alone."""
    held: FloatArray
    """Currency in the tickers that move; 0 for those that are left alone."""
    amount: FloatArray
    """Currency to buy, and below 0 to sell; 0 for those that are left alone."""


@inlined_njit
def all_finite(values: FloatArray) -> bool:
    """Return whether no value is NaN or infinite."""
    finite = True
    for i in range(values.shape[0]):
        finite &= bool(np.isfinite(values[i]))
    return finite


@inlined_njit
def look_at_account(
    e: int, actions: FloatArray, plan: Any, market: Any, books: Any, zero_weight: float
) -> float:
    """Turn account e's actions into weights that sum to at most 1, in place; return its value.

    `zero_weight` is added to each. Those then below 0 are 0 and those above 1 are 1; where they sum
    to more than 1 they are divided by their sum. `plan.held` becomes what each ticker is worth at
    today's close.
    """
    close, shares, today = market.close, books.shares, books.records[e].day
    for i in range(actions.shape[0]):
        actions[i] = min(max(actions[i] + zero_weight, 0.0), 1.0)
        plan.held[i] = close[today, i] * shares[e, i]
    total, value = 0.0, books.records[e].cash
    # two sums in one loop take no longer than one
    for i in range(actions.shape[0]):
        total += actions[i]
        value += plan.held[i]
    divisor = max(total, 1.0)
    for i in range(actions.shape[0]):
        actions[i] = actions[i] / divisor
    return float(value)


@inlined_njit
def part_of_the_way(weight: float, held: float, value: float, rate: float) -> float:
    """Return the weight to go to, a part of the way from the one that is held to `weight`.

    Trading a fixed part of the way toward an aim is what is best where trades cost and the reason
    for them lasts longer than a step (Garleanu and Pedersen 2013, "Dynamic trading with predictable
    returns and transaction costs", proposition 1).
    """
    now = held / value if value > 0.0 else 0.0
    return float(now + rate * (weight - now))


@inlined_njit
def choose_moves(
    e: int,
    value: float,
    weights: FloatArray,
    plan: Any,
    market: Any,
    books: Any,
    limits: Any,
    options: Any,
) -> None:
    """Write which tickers of account e move: the others get 0 in `plan.wanted` and `plan.held`.

    Of a weight, what is above `max_weight` is cut off. Tickers without a quote or in their
    cool-down keep what they hold, and so do those whose weight is within the band of what it is;
    but a weight of 0 sells whatever is held. The band is judged on the whole way to the weight, of
    which a step goes `trade_rate`; the end of the way to 0, once it is within the band, is sold.
    """
    tradable, today = market.tradable, books.records[e].day
    allowed = options.band * value
    for i in range(weights.shape[0]):
        weight, held = min(weights[i], options.max_weight), plan.held[i]
        apart = abs(weight * value - held) > allowed
        moves = (apart | (weight == 0.0)) & tradable[today, i]
        if limits is not None and limits.free_from.shape[1] > 0:
            moves = moves & (today >= limits.free_from[e, i])
        if options.trade_rate < 1.0 and apart:
            weight = part_of_the_way(weight, held, value, options.trade_rate)
        # multiplied, because a branch would be as good as random
        plan.wanted[i] = weight * moves
        plan.held[i] = held * moves


@inlined_njit
def same_sides(one: float, other: float, plan: Any) -> bool:
    """Return whether the same tickers are bought if the account is left with `one` or `other`."""
    wanted, held = plan.wanted, plan.held
    differ = False
    for i in range(wanted.shape[0]):
        differ |= (wanted[i] * one > held[i]) != (wanted[i] * other > held[i])
    return not differ


@inlined_njit
def value_after(e: int, value: float, plan: Any, books: Any) -> tuple[float, bool]:
    """Return what an account of `value` is worth after the trade, and whether cash suffices for it.

    The value a after the costs solves a = value - sum(buy_rate * (w * a - h)) -
    sum(sell_rate * (h - w * a)), the first sum over the tickers that are bought (w * a > h) and the
    second over those that are sold. The right side is concave and made of straight lines, so
    Newton's method, which solves for the lines at the last a, ends after a few rounds at the exact
    solution. Cash does not suffice where what is left alone takes more than its weight.
    """
    wanted, held = plan.wanted, plan.held
    buy_rate, sell_rate = books.buy_rate, books.sell_rate
    after = value
    for _ in range(wanted.shape[0] + 2):
        fixed, slope, moving, total = value, 1.0, 0.0, 0.0
        for i in range(wanted.shape[0]):
            buy, sell = buy_rate[e, i], sell_rate[e, i]
            rate = buy if wanted[i] * after > held[i] else -sell
            fixed += rate * held[i]
            slope += rate * wanted[i]
            moving += held[i]
            total += wanted[i]
        before, after = after, fixed / slope
        if same_sides(before, after, plan):
            break
    left_alone = value - books.records[e].cash - moving
    return after, left_alone + total * after <= after * SURELY_SHORT


@njit
def shrunk_value_after(e: int, value: float, after: float, plan: Any, books: Any) -> float:
    """Return the value after a trade whose buys are cut to what cash pays for.

    What is left alone may take more than its weight; then there is less to buy and less to pay.
    """
    wanted, held = plan.wanted, plan.held
    buy_rate, sell_rate = books.buy_rate, books.sell_rate
    for _ in range(MOST_ROUNDS):
        cash, needed, sell_cost, buy_cost = books.records[e].cash, 0.0, 0.0, 0.0
        for i in range(wanted.shape[0]):
            amount = wanted[i] * after - held[i]
            if amount > 0.0:
                needed += amount * (1.0 + buy_rate[e, i])
                buy_cost += amount * buy_rate[e, i]
            else:
                cash -= amount * (1.0 - sell_rate[e, i])
                sell_cost -= amount * sell_rate[e, i]
        share = cash / needed if needed > cash else 1.0
        found = value - sell_cost - share * buy_cost
        settled = abs(found - after) <= SETTLED * value
        after = found
        if settled:
            break
    return after


@inlined_njit
def in_units(quantity: float, limits: Any, i: int, fractional: bool) -> float:
    """Return a quantity of ticker i in whole shares or lots, rounded down but for rounding errors.

    Fractions of shares stay as they are where there are no lots.
    """
    if limits is not None and limits.lots.shape[0] > 0:
        lot = limits.lots[i]
        count = quantity / lot
        nearest = np.rint(count)
        snaps = abs(count - nearest) <= _SNAP * max(1.0, nearest)
        return float(nearest * lot) if snaps else whole_lots(quantity, lot)
    if fractional:
        return quantity
    nearest = np.rint(quantity)
    snaps = abs(quantity - nearest) <= _SNAP * max(1.0, nearest)
    return float(nearest if snaps else np.floor(quantity))


@inlined_njit
def in_units_of_step(
    quantity: float, limits: Any, i: int, fractional: bool, trade_rate: float
) -> float:
    """Return `in_units`, and one unit for a part of one on a way of at least one.

    Otherwise a small account with whole shares would never come nearer than 1 / rate of them.
    """
    units = in_units(quantity, limits, i, fractional)
    if trade_rate < 1.0 and units == 0.0 and quantity > 0.0:
        lot = 1.0
        if limits is not None and limits.lots.shape[0] > 0:
            lot = limits.lots[i]
        units = min(in_units(quantity / trade_rate, limits, i, fractional), lot)
    return float(units)


@inlined_njit
def write_sells(
    e: int,
    after: float,
    orders: FloatArray,
    plan: Any,
    market: Any,
    books: Any,
    limits: Any,
    options: Any,
) -> tuple[float, float]:
    """Write account e's sells; return the cash after them and what its buys would need."""
    wanted, held, amount = plan.wanted, plan.held, plan.amount
    fractional, rate = options.fractional, options.trade_rate
    close, shares, today = market.close, books.shares, books.records[e].day
    for i in range(wanted.shape[0]):
        asked = wanted[i] * after - held[i]
        amount[i] = asked
        if limits is not None and limits.impact.shape[0] > 0:
            curve = limits.impact[today, i] / close[today, i]
            amount[i] = worth_trading(
                asked, held[i], books.buy_rate[e, i], books.sell_rate[e, i], curve
            )
        part = in_units_of_step(max(-amount[i], 0.0) / close[today, i], limits, i, fractional, rate)
        # an order of whole shares for a fraction of one sells that fraction
        whole = shares[e, i] if fractional else np.ceil(shares[e, i])
        quantity = part if wanted[i] > 0.0 or amount[i] > asked else whole
        orders[i] = -quantity if amount[i] < 0.0 else 0.0
    cash, needed = books.records[e].cash, 0.0
    for i in range(wanted.shape[0]):
        sold = min(-orders[i], shares[e, i]) * close[today, i]
        cash += sold * (1.0 - books.sell_rate[e, i])
        needed += max(amount[i], 0.0) * (1.0 + books.buy_rate[e, i])
    return cash, needed


@inlined_njit
def write_orders(
    e: int,
    after: float,
    orders: FloatArray,
    plan: Any,
    market: Any,
    books: Any,
    limits: Any,
    options: Any,
) -> None:
    """Write account e's orders; the sells are whole before it is known what they pay for."""
    close, today, amount = market.close, books.records[e].day, plan.amount
    cash, needed = write_sells(e, after, orders, plan, market, books, limits, options)
    share = cash / needed if needed > cash else 1.0
    if limits is not None and limits.impact.shape[0] > 0:
        share = share_of_buys(e, orders, plan, market, books, limits.impact)
    for i in range(amount.shape[0]):
        quantity = share * max(amount[i], 0.0) / close[today, i]
        bought = in_units_of_step(quantity, limits, i, options.fractional, options.trade_rate)
        orders[i] = bought if amount[i] > 0.0 else orders[i]


def _plan_orders(digest: int) -> Any:
    """Return `plan_orders`, kept on disk until this file or those behind `digest` change."""

    @cached_njit
    def plan_orders(orders: FloatArray, market: Any, books: Any, limits: Any, rules: Any) -> None:
        """Turn actions into the share orders that lead to their weights, in place.

        Nothing is read but today's row of the market and the accounts.

        Parameters
        ----------
        orders : array of shape (E, N)
            Actions; overwritten with signed shares. Rows with an action that is not finite are
            left as they are, for `step_accounts` to refuse.
        market, books, rules : the fields of Market, Books and WeightRules
            Plain tuples, which are handed over in half the time of named ones.
        limits : the fields of Limits, or None without lots, cool-down and slippage
        """
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
            value = look_at_account(e, row, plan, table, accounts, options.zero_weight)
            choose_moves(e, value, row, plan, table, accounts, given, options)
            # the argument itself, so that the branch is left out where it is None
            if limits is not None and Limits(*limits).impact.shape[0] > 0:
                impact = Limits(*limits).impact
                after = value_after_slippage(e, value, plan, table, accounts, impact)
            else:
                after, suffices = value_after(e, value, plan, accounts)
                if not suffices:
                    after = shrunk_value_after(e, value, after, plan, accounts)
            write_orders(e, after, row, plan, table, accounts, given, options)

    return plan_orders


PARTS = (arrays, order_rules, slippage)
"""The files of which compiled code is part of `plan_orders`."""
plan_orders = _plan_orders(digest_of(*(part.__file__ for part in PARTS)))
