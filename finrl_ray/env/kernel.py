"""The trading rules, once: compiled functions that step E accounts by one day.

Sums run left to right and nothing is reassociated, so a result depends neither on the number of
accounts nor on the machine's vector width. `finrl_ray.env.arrays` describes the arguments.

All of it is in this one file, because Numba's cache is renewed when the file of the outermost
function changes and not when another file that it calls into does.
"""

import math
from typing import Any

import numpy as np
from numba import njit

from finrl_ray._typing import BoolArray, Float32Array, FloatArray, IntArray

compiled = njit(cache=True, nogil=True, error_model="numpy")
# so that the tuples below are not copied for every account
inlined = njit(cache=True, nogil=True, error_model="numpy", forceinline=True)

# A rounded quotient this close to a whole number, or this large, may have crossed one.
_NEAR_INTEGER = 1e-6
_LARGE_QUOTIENT = 1e8


@compiled
def floor_quotient(cash: float, unit: float) -> float:
    """Return `cash // unit` exactly as Python floors floats; `unit` is not 0."""
    quotient = cash / unit
    floored = np.floor(quotient)
    distance = quotient - floored
    if _NEAR_INTEGER < distance < 1.0 - _NEAR_INTEGER and abs(quotient) < _LARGE_QUOTIENT:
        return float(floored)
    return cash // unit


@compiled
def value_of(cash: float, shares: FloatArray, close: FloatArray) -> float:
    """Return cash plus the positions at `close`, summed from the first ticker to the last."""
    total = 0.0
    for i in range(shares.shape[0]):
        total += close[i] * shares[i]
    return cash + total


@compiled
def first_non_finite(orders: FloatArray) -> int:
    """Return the flat index of the first NaN or infinite order of shape (E, N), or -1."""
    n_assets: int = orders.shape[1]
    for e in range(orders.shape[0]):
        for i in range(n_assets):
            if not math.isfinite(orders[e, i]):
                return e * n_assets + i
    return -1


@compiled
def count_before(values: FloatArray, k: int, n: int) -> int:
    """Return how many of the first n values sort before value k, equal ones in their order."""
    value = values[k]
    before = 0
    for j in range(k):
        before += values[j] <= value
    for j in range(n - k - 1):
        before += values[k + 1 + j] < value
    return before


@compiled
def sort_orders(
    orders: FloatArray, sequence: IntArray, values: FloatArray, tickers: IntArray
) -> None:
    """Write the order of trading: sells from the front of `sequence`, buys from its back.

    The largest order goes first, among equal ones the ticker listed first. Each order's place is
    counted: without branches to mispredict this takes a third of an insertion sort at N = 29.

    Parameters
    ----------
    values, tickers : arrays of shape (2, N)
        Scratch space: row 0 for sells, row 1 for buys.
    """
    n_assets = orders.shape[0]
    n_sells, n_buys = 0, 0
    for i in range(n_assets):
        order = orders[i]
        values[0, n_sells] = order
        values[1, n_buys] = -order
        tickers[0, n_sells] = i
        tickers[1, n_buys] = i
        n_sells += order < 0.0
        n_buys += order > 0.0
    for k in range(n_sells):
        sequence[count_before(values[0], k, n_sells)] = tickers[0, k]
    for k in range(n_buys):
        sequence[n_assets - 1 - count_before(values[1], k, n_buys)] = tickers[1, k]


@compiled
def prepare_orders(orders: FloatArray, liquidate: bool, fractional: bool) -> tuple[int, int]:
    """Make orders whole, or all sells when liquidating; return the numbers of sells and buys."""
    n_sells, n_buys = 0, 0
    for i in range(orders.shape[0]):
        if liquidate:
            orders[i] = -1.0
        elif not fractional:
            orders[i] = np.trunc(orders[i])
        if orders[i] < 0.0:
            n_sells += 1
        elif orders[i] > 0.0:
            n_buys += 1
    return n_sells, n_buys


@compiled
def whole_lots(quantity: float, lot: float) -> float:
    """Return the largest multiple of `lot`, as rounded to a float, that is not above `quantity`."""
    count = np.floor(quantity / lot)
    if (count + 1.0) * lot <= quantity:
        count += 1.0
    while count > 0.0 and count * lot > quantity:
        count -= 1.0
    return float(count * lot)


@compiled
def lots_of(quantity: float, lots: FloatArray, i: int) -> float:
    """Return the quantity in whole lots of ticker i, or as it is without lots."""
    return whole_lots(quantity, lots[i]) if lots.shape[0] > 0 else quantity


@compiled
def affordable(order: float, cash: float, price: float, rate: float, fractional: bool) -> float:
    """Return how much of a buy order `cash` pays for, costs included."""
    if not cash > 0.0:
        return 0.0
    unit = price * (1.0 + rate)
    if fractional:
        return min(order, cash / unit)
    quantity = min(floor_quotient(cash, unit), order)
    # the amount is rounded in another order than the unit price, so it may exceed cash by a hair
    while quantity > 0.0 and price * quantity * (1.0 + rate) > cash:
        quantity -= 1.0
    return quantity


@compiled
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


@compiled
def limit_orders(
    orders: FloatArray, shares: FloatArray, lots: FloatArray, free_from: IntArray, today: int
) -> None:
    """Drop the orders of tickers that cool down, and round the others toward zero to lots.

    An order to sell all that is held is not rounded, so that less than a lot can be sold.
    """
    for i in range(orders.shape[0]):
        if free_from.shape[0] > 0 and today < free_from[i]:
            orders[i] = 0.0
        elif lots.shape[0] > 0 and -orders[i] >= shares[i] and orders[i] < 0.0:
            orders[i] = -shares[i]
        else:
            quantity = lots_of(abs(orders[i]), lots, i)
            orders[i] = quantity if orders[i] > 0.0 else -quantity


# The loops below take rows of plain arrays: passing the tuples to a function that is called
# for every order takes longer than the order.


@compiled
def fill_sells(
    orders: FloatArray,
    sequence: IntArray,
    n_sells: int,
    executed: FloatArray,
    shares: FloatArray,
    cash: float,
    cost: float,
    price: FloatArray,
    tradable: BoolArray,
    rate: FloatArray,
    liquidate: bool,
    by_price: bool,
) -> tuple[float, float, float, int]:
    """Fill the first `n_sells` orders of `sequence`, all of a position when liquidating.

    Returns
    -------
    tuple
        Cash, cost (both carried on), the amount traded, and the number of trades.
    """
    traded, count = 0.0, 0
    for k in range(n_sells):
        i = sequence[k]
        held = shares[i]
        allowed = price[i] > 0.0 if by_price else tradable[i]
        if allowed and held > 0.0:
            quantity = held if liquidate else min(-orders[i], held)
            amount = price[i] * quantity
            cash += amount * (1.0 - rate[i])
            cost += amount * rate[i]
            traded += amount
            shares[i] = held - quantity
            executed[i] = -quantity
            count += 1
    return cash, cost, traded, count


@compiled
def sell_stopped(
    orders: FloatArray,
    executed: FloatArray,
    shares: FloatArray,
    cash: float,
    cost: float,
    close: FloatArray,
    price: FloatArray,
    tradable: BoolArray,
    rate: FloatArray,
    buy_price: FloatArray,
    stop: float,
    profit: float,
) -> tuple[float, float, float, int]:
    """Sell whole positions at a loss beyond the stop or at the profit; drop the orders in them.

    Returns
    -------
    tuple
        Cash, cost (both carried on), the amount traded, and the number of trades.
    """
    traded, count = 0.0, 0
    for i in range(orders.shape[0]):
        held = shares[i]
        kept = stop * buy_price[i] <= close[i] < profit * buy_price[i]
        if held > 0.0 and tradable[i] and not kept:
            amount = price[i] * held
            cash += amount * (1.0 - rate[i])
            cost += amount * rate[i]
            traded += amount
            shares[i] = 0.0
            executed[i] = -held
            orders[i] = 0.0
            count += 1
    return cash, cost, traded, count


@compiled
def fill_buys(
    orders: FloatArray,
    sequence: IntArray,
    n_buys: int,
    executed: FloatArray,
    shares: FloatArray,
    cash: float,
    cost: float,
    price: FloatArray,
    tradable: BoolArray,
    rate: FloatArray,
    fractional: bool,
    finrl: bool,
    has_traded: bool,
    limits: Any,
) -> tuple[float, float, float, int, int, int]:
    """Fill the last `n_buys` orders of `sequence`, from its end.

    Returns
    -------
    tuple
        Cash, cost (both carried on), the amount traded, the number of trades, the number of orders
        that could not pay for one share or lot, and the ticker whose order is undefined or -1.
    """
    traded, count, empty = 0.0, 0, 0
    for k in range(n_buys):
        i = sequence[orders.shape[0] - 1 - k]
        if not tradable[i]:
            continue
        if finrl:
            quantity = affordable_finrl(orders[i], cash, price[i], rate[i], has_traded)
            if math.isnan(quantity):
                return cash, cost, traded, count, empty, i
        else:
            quantity = affordable(orders[i], cash, price[i], rate[i], fractional)
            if limits is not None:
                quantity = lots_of(quantity, limits.lots, i)
        if quantity == 0.0:
            empty += 1
            continue
        amount = price[i] * quantity
        cash -= amount * (1.0 + rate[i])
        if not finrl:
            cash = max(cash, 0.0)
        cost += amount * rate[i]
        traded += abs(amount)
        shares[i] += quantity
        executed[i] = quantity
        count += 1
        has_traded = True
    return cash, cost, traded, count, empty, -1


@compiled
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


@inlined
def trade(
    e: int,
    orders: FloatArray,
    executed: FloatArray,
    sequence: IntArray,
    scratch: tuple[FloatArray, IntArray],
    market: Any,
    books: Any,
    switches: Any,
    limits: Any,
) -> tuple[float, int]:
    """Fill one account's orders: what is stopped out, all sells, then the buys.

    A NaN turbulence neither liquidates nor buys, as in FinRL. Returns the amount traded, and the
    ticker whose order is undefined or -1.
    """
    threshold = books.threshold[e]
    ruled = not math.isnan(threshold)
    liquidate = ruled and books.turbulence[e] >= threshold
    may_buy = not ruled or books.turbulence[e] < threshold
    executed[:] = 0.0
    today = books.day[e]
    row = today + switches.lag
    price, tradable, shares = market.price[row], market.tradable[row], books.shares[e]
    cash, cost, stopped, stops = books.cash[e], books.cost[e], 0.0, 0
    if limits is not None:
        if not liquidate:
            limit_orders(orders, shares, limits.lots, limits.free_from[e], today)
        if limits.stop > 0.0 and not liquidate:
            cash, cost, stopped, stops = sell_stopped(
                orders,
                executed,
                shares,
                cash,
                cost,
                market.close[today],
                price,
                tradable,
                books.sell_rate[e],
                limits.buy_price[e],
                limits.stop,
                limits.profit,
            )
    n_sells, n_buys = prepare_orders(orders, liquidate, switches.fractional)
    if not switches.presorted:
        sort_orders(orders, sequence, scratch[0], scratch[1])
    cash, cost, sold, sells = fill_sells(
        orders,
        sequence,
        n_sells,
        executed,
        shares,
        cash,
        cost,
        price,
        tradable,
        books.sell_rate[e],
        liquidate,
        liquidate and switches.finrl_liquidation,
    )
    cash, cost, bought, buys, empty, failed = fill_buys(
        orders,
        sequence,
        n_buys if may_buy else 0,
        executed,
        shares,
        cash,
        cost,
        price,
        tradable,
        books.buy_rate[e],
        switches.fractional,
        switches.finrl_prices,
        books.has_traded[e] or sells > 0,
        limits,
    )
    if limits is not None:
        remember_trades(
            executed,
            shares,
            price,
            limits.buy_price[e],
            limits.free_from[e],
            today + 1 + limits.cooldown,
        )
    books.cash[e] = cash
    books.cost[e] = cost
    books.n_trades[e] += stops + sells + buys + (empty if switches.count_empty else 0)
    books.has_traded[e] |= stops + sells + buys > 0
    return stopped + sold + bought, failed


@inlined
def close_day(
    e: int, cost: float, traded: float, market: Any, books: Any, switches: Any, limits: Any
) -> None:
    """Move account e to the next day's close: value, reward, turbulence, ledger row."""
    today = books.day[e] + 1
    value = value_of(books.cash[e], books.shares[e], market.close[today])
    reward = value - books.value[e]
    books.day[e] = today
    books.value[e] = value
    penalty = 0.0
    if limits is not None:
        penalty = max(0.0, limits.cash_share * value - books.cash[e])
        if limits.penalty.shape[1] > 0:
            limits.penalty[e, today - books.start[e] - 1] = penalty
    books.reward[e] = (reward - penalty) * switches.reward_scaling
    books.turbulence[e] = 0.0 if math.isnan(books.threshold[e]) else market.risk[today]
    books.finished[e] = today == market.close.shape[0] - 1 and not switches.dummy_step
    entry = books.ledger[e, today - books.start[e]]
    entry[0] = value
    entry[1] = books.cash[e]
    entry[2] = reward
    entry[3] = cost
    entry[4] = traded


@compiled
def write_observations(
    out: Float32Array,
    table: Float32Array,
    day: IntArray,
    cash: FloatArray,
    shares: FloatArray,
    factors: FloatArray,
) -> None:
    """Write [cash, close (N), shares (N), indicators (F*N)] of every account."""
    n_assets = shares.shape[1]
    # counting from 0 in every loop lets the compiler use vector moves
    for e in range(out.shape[0]):
        today = day[e]
        out[e, 0] = cash[e] * factors[0]
        for i in range(n_assets):
            out[e, 1 + i] = table[today, i]
        for i in range(n_assets):
            out[e, 1 + n_assets + i] = shares[e, i] * factors[1 + i]
        for i in range(table.shape[1] - n_assets):
            out[e, 1 + 2 * n_assets + i] = table[today, n_assets + i]


@compiled
def step_accounts(
    orders: FloatArray,
    executed: FloatArray,
    sequence: IntArray,
    observations: Float32Array,
    market: Any,
    books: Any,
    switches: Any,
    limits: Any,
) -> int:
    """Trade and advance every account by one day.

    Parameters
    ----------
    orders : array of shape (E, N)
        Signed shares; overwritten.
    executed : array of shape (E, N)
        Filled with the shares that changed hands.
    sequence : array of shape (E, N)
        The order of trading if `switches.presorted`, else scratch space.
    observations : array of shape (E, 1 + 2N + F*N)
        Filled with what is seen after the step.
    market, books, switches : Market, Books, Switches
    limits : Limits, or None where no option needs them
        A type of its own, for which the branches that use it are left out of the compiled code.

    Returns
    -------
    int
        0; or 1 + k if order k of the E*N is not finite (nothing has been traded then); or -1 - k
        if order k is undefined (a price of 0 that FinRL cannot divide by).
    """
    bad = first_non_finite(orders)
    if bad >= 0:
        return 1 + bad
    last = market.close.shape[0] - 1
    n_assets: int = orders.shape[1]
    shape = (2, n_assets)
    scratch = (np.empty(shape), np.empty(shape, dtype=np.int64))
    for e in range(orders.shape[0]):
        today = books.day[e]
        if today >= last:
            books.finished[e] = True
        else:
            cost_before = books.cost[e]
            traded, failed = trade(
                e, orders[e], executed[e], sequence[e], scratch, market, books, switches, limits
            )
            if failed >= 0:
                return -1 - (e * n_assets + failed)
            if books.trades.shape[1] > 0:
                books.trades[e, today - books.start[e]] = executed[e]
            close_day(e, books.cost[e] - cost_before, traded, market, books, switches, limits)
    write_observations(
        observations, market.table, books.day, books.cash, books.shares, market.factors
    )
    return 0
