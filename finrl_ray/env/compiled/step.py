"""One step of all accounts as a part of compiled loops: from actions to observations and rewards.

What `Accounts.step` does, for float32 actions. A loop that is kept on disk has the digest of
`FILES` among its free variables (see `env.kernel.compile`).
"""

from typing import Any, NamedTuple

import numpy as np

from finrl_ray._typing import Float32Array, FloatArray, IntArray
from finrl_ray.env.compiled import address
from finrl_ray.env.compiled.address import call_for_nothing, call_for_number
from finrl_ray.env.kernel import arrays
from finrl_ray.env.kernel.arrays import Books, Market
from finrl_ray.env.kernel.compile import njit
from finrl_ray.env.orders import sizes
from finrl_ray.env.orders.sizes import FLOAT32_RESOLUTION, NEAREST

SHARES, MONEY, ACCOUNT_SHARE = 0, 1, 2
"""The unit of `hmax`, as the kernel is told it."""
UNITS = {"shares": SHARES, "money": MONEY, "account_share": ACCOUNT_SHARE}


class Sizing(NamedTuple):
    """How actions become orders where they are fractions of `hmax`."""

    unit: int
    """One of `UNITS`."""
    narrow: bool
    """Fractions of shares are multiplied in float32."""
    fractional: bool


class Stepping(NamedTuple):
    """What a step reads and writes beside actions and observations; see `step_accounts`."""

    orders: FloatArray
    executed: FloatArray
    sequence: IntArray
    network: IntArray
    market: Any
    books: Any
    switches: Any
    margin: Any
    limits: Any
    planning: Any
    """The fields of Limits as `plan_orders` is given them, or None."""
    weights: Any
    """The fields of WeightRules; None where actions are fractions of `hmax`."""
    hmax: FloatArray
    """(E, N)"""
    sizing: Any
    """The fields of Sizing."""
    step_at: int
    """The address of `step_accounts` for these arguments."""
    plan_at: int
    """That of `plan_orders` or `plan_short_orders`; 0 where `weights` is None."""


@njit
def _currency_orders(
    actions: Float32Array, orders: FloatArray, market: Any, books: Any, hmax: FloatArray, how: Any
) -> None:
    """Do what `orders_in_currency` does."""
    for e in range(orders.shape[0]):
        account = books.records[e]
        close = market.close[account.day]
        for i in range(orders.shape[1]):
            most = hmax[e, i] * account.value if how.unit == ACCOUNT_SHARE else hmax[e, i]
            exact = np.float64(actions[e, i]) * most / close[i]
            whole = np.rint(exact)
            near = abs(exact - whole) <= min(FLOAT32_RESOLUTION * abs(exact), NEAREST)
            orders[e, i] = whole if near and not how.fractional else exact


@njit
def write_orders(
    actions: Float32Array,
    orders: FloatArray,
    market: Any,
    books: Any,
    planning: Any,
    weights: Any,
    hmax: FloatArray,
    sizing: Any,
    plan_at: int,
) -> None:
    """Fill the orders (E, N) that actions (E, N) ask for, in shares."""
    if weights is None:
        how = Sizing(*sizing)
        if how.unit != SHARES:
            _currency_orders(actions, orders, Market(*market), Books(*books), hmax, how)
            return
        for e in range(orders.shape[0]):
            for i in range(orders.shape[1]):
                if how.narrow:
                    orders[e, i] = actions[e, i] * np.float32(hmax[e, i])
                else:
                    orders[e, i] = np.float64(actions[e, i]) * hmax[e, i]
        return
    for e in range(orders.shape[0]):
        for i in range(orders.shape[1]):
            orders[e, i] = actions[e, i]
    call_for_nothing(plan_at, (orders, market, books, planning, weights))


@njit
def take_step(actions: Float32Array, observations: Float32Array, stepping: Any) -> int:
    """Trade and advance every account by one day.

    Rewards and ends of episodes are in the records of the books, as after `Accounts.step`.

    Parameters
    ----------
    actions : array of shape (E, N), clipped to the action space
    observations : array of shape (E, S), filled
    stepping : the fields of Stepping, a plain tuple of plain tuples

    Returns
    -------
    int
        0, or what `step_accounts` says of an error; `CompiledSteps.refuse` puts it into words.
    """
    s = Stepping(*stepping)
    write_orders(
        actions,
        s.orders,
        s.market,
        s.books,
        s.planning,
        s.weights,
        s.hmax,
        s.sizing,
        s.plan_at,
    )
    return int(
        call_for_number(
            s.step_at,
            (
                s.orders,
                s.executed,
                s.sequence,
                s.network,
                observations,
                s.market,
                s.books,
                s.switches,
                s.margin,
                s.limits,
            ),
        )
    )


FILES = tuple(str(part) for part in (arrays.__file__, address.__file__, sizes.__file__, __file__))
"""The files of which compiled code is part of `take_step`."""
