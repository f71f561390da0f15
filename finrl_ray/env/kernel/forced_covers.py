"""What the broker trades unasked where shares are owed: margin calls and turbulence; compiled."""

import math
from typing import Any

import numpy as np

from finrl_ray._typing import FloatArray
from finrl_ray.env.kernel.compile import njit
from finrl_ray.env.kernel.signed_trades import impact_of, trade

# What rounding leaves of cash that was to become 0, as a share of what was paid.
_ROUNDING = 1e-9
# Cash that is short of what is needed by so much of it is short by rounding.
_ENOUGH = 1.0 - 1e-12


@njit
def value_owed(shares: FloatArray, price: FloatArray) -> float:
    """Return what the shares owed are worth, in currency, 0 or above."""
    owed = 0.0
    for i in range(shares.shape[0]):
        if shares[i] < 0.0:
            owed -= price[i] * shares[i]
    return owed


@njit
def is_called(account: Any, shares: FloatArray, close: FloatArray, maintenance: float) -> bool:
    """Return whether shares are owed and the account is below their margin at today's close."""
    owed = value_owed(shares, close)
    return bool(owed > 0.0 and account.value < maintenance * owed)


@njit
def close_side(
    e: int, owed: bool, plan: Any, orders: Any, market: Any, books: Any, impact: FloatArray
) -> None:
    """Sell all that is held, or cover all that is owed, of the tickers that trade, unasked."""
    shares, tradable = books.shares, market.tradable
    for i in range(shares.shape[1]):
        held = shares[e, i]
        if tradable[plan.row, i] and (held < 0.0 if owed else held > 0.0):
            trade(e, i, -held, plan, orders, market, books, impact)


@njit
def shares_that_bring(needed: float, held: float, price: float, rate: float, each: float) -> float:
    """Return how many of the shares held bring `needed` in cash after costs, unrounded.

    With slippage more shares bring less from (1 - rate) / (2 * each) on, which is the most that is
    sold; without, the number may be more than is held.
    """
    unit = price * (1.0 - rate)
    if each == 0.0:
        return needed / unit
    root = unit * unit - 4.0 * price * each * needed
    if root < 0.0:
        return min((1.0 - rate) / (2.0 * each), held)
    return 2.0 * needed / (unit + math.sqrt(root))


@njit
def raise_cash(
    e: int,
    needed: float,
    plan: Any,
    orders: Any,
    market: Any,
    books: Any,
    limits: Any,
    fractional: bool,
) -> None:
    """Sell what is held until cash reaches `needed`: the position worth most first, then the next.

    Of the last one only as much as is needed is sold, rounded up to whole shares or lots. With
    slippage no more of a position is sold than brings more cash.
    """
    account, shares, lots = books.records[e], books.shares, limits.lots
    slips = limits.impact.shape[0] > 0
    for _ in range(shares.shape[1]):
        most, largest = 0.0, -1
        for i in range(shares.shape[1]):
            sold = slips and orders.executed[e, i] != 0.0
            if market.tradable[plan.row, i] and shares[e, i] > 0.0 and not sold:
                amount = market.price[plan.row, i] * shares[e, i]
                if amount > most:
                    most, largest = amount, i
        enough = needed * _ENOUGH if slips else needed
        if largest < 0 or account.cash >= enough:
            return
        quantity = shares_that_bring(
            needed - account.cash,
            shares[e, largest],
            market.price[plan.row, largest],
            books.sell_rate[e, largest],
            impact_of(limits.impact, plan.row, largest),
        )
        if lots.shape[0] > 0:
            quantity = np.ceil(quantity / lots[largest]) * lots[largest]
        elif not fractional:
            quantity = np.ceil(quantity)
        quantity = min(quantity, shares[e, largest])
        trade(e, largest, -quantity, plan, orders, market, books, limits.impact)


@njit
def cover_all(
    e: int,
    plan: Any,
    orders: Any,
    market: Any,
    books: Any,
    limits: Any,
    fractional: bool,
) -> None:
    """Buy back all shares that are owed; of what is held only as much is sold as cash needs."""
    account, needed, impact = books.records[e], 0.0, limits.impact
    for i in range(books.shares.shape[1]):
        owed = -books.shares[e, i]
        if market.tradable[plan.row, i] and owed > 0.0:
            amount = market.price[plan.row, i] * owed
            needed += amount * (1.0 + books.buy_rate[e, i])
            needed += amount * (impact_of(impact, plan.row, i) * owed)
    raise_cash(e, needed, plan, orders, market, books, limits, fractional)
    close_side(e, True, plan, orders, market, books, impact)
    if abs(account.cash) <= _ROUNDING * needed:
        account.cash = max(account.cash, 0.0)
