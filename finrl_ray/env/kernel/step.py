"""The trading rules, once: compiled functions that step E accounts by one day.

Sums run left to right and nothing is reassociated, so a result depends neither on the number of
accounts nor on the machine's vector width. `finrl_ray.env.kernel.arrays` describes the arguments.

Each part of a step is one function for the accounts first..end - 1, whose plans are plans[0],
plans[1], ... With the indices of account and ticker in one function the compiler makes vector
instructions of it, which it does not where a function for one account is called for each.
"""

import math
from typing import Any

import numpy as np

from finrl_ray._typing import AnyArray, BoolArray, Float32Array, FloatArray, IntArray
from finrl_ray.env.kernel import arrays, order_rules, order_sequence
from finrl_ray.env.kernel import observation as observation_kernel
from finrl_ray.env.kernel.arrays import PLAN, Books, Market, Switches
from finrl_ray.env.kernel.compile import compiled, digest_of, inlined, kept
from finrl_ray.env.kernel.observation import write_observations
from finrl_ray.env.kernel.order_rules import (
    exact_quantity,
    limit_orders,
    remember_trades,
    sell_stopped,
    whole_lots,
)
from finrl_ray.env.kernel.order_sequence import (
    keep_sequence,
    sort_columns,
    sort_few_orders,
    sort_many_orders,
)

# The bits that are all set in NaN and in infinity.
_EXPONENT = 0x7FF0000000000000
# An order that costs less than cash by this factor is paid for, however its terms are rounded; as
# long as all of them are within these bounds, so that rounding is relative.
_SURELY = 1.0 + 1e-9
_TINY, _HUGE = 1e-100, 1e100
# Whole orders below this fit into 32 bits together with the number of one of 64 tickers.
_SMALL_ORDER = 2.0**24
# So many accounts are traded together; what they need at a time fits into the nearest cache.
_BLOCK = 64


@kept
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
    bits = orders.view(np.int64)
    for e in range(orders.shape[0]):
        # a whole row at once: a branch for every order takes four times as long
        found = 0
        for i in range(n_assets):
            found |= (bits[e, i] & _EXPONENT) == _EXPONENT
        if found:
            for i in range(n_assets):
                if not math.isfinite(orders[e, i]):
                    return e * n_assets + i
    return -1


@inlined
def fill_sells(
    e: int,
    plan: Any,
    account: Any,
    orders: FloatArray,
    sequence: AnyArray,
    executed: FloatArray,
    shares: FloatArray,
    price: FloatArray,
    rate: FloatArray,
    row: int,
) -> None:
    """Fill account e's sells in the order of `sequence`, all of a position when liquidating."""
    cash, cost, traded = account.cash, account.cost, 0.0
    for k in range(plan.n_sells):
        i = np.uint64(sequence[e, k])
        held = shares[e, i]
        quantity = held if plan.liquidate or held < -orders[e, i] else -orders[e, i]
        amount = price[row, i] * quantity
        cash += amount * (1.0 - rate[e, i])
        cost += amount * rate[e, i]
        traded += amount
        shares[e, i] = held - quantity
        executed[e, i] = -quantity
    account.cash, account.cost = cash, cost
    plan.traded = plan.traded + traded


@inlined
def fill_buys(
    e: int,
    plan: Any,
    account: Any,
    orders: FloatArray,
    sequence: AnyArray,
    executed: FloatArray,
    shares: FloatArray,
    price: FloatArray,
    rate: FloatArray,
    row: int,
    lots: FloatArray,
    fractional: bool,
    finrl: bool,
    count_empty: bool,
) -> int:
    """Fill account e's buys, from the end of `sequence`; return an undefined order's ticker or -1.

    Most orders are far below cash, or above all of it: these are decided without a division, with
    the quantity that the division would give.
    """
    cash, cost, traded = account.cash, account.cost, 0.0
    count, empty, failed = 0, 0, -1
    has_traded = account.has_traded or plan.n_sells > 0
    for k in range(plan.n_buys):
        i = np.uint64(sequence[e, orders.shape[1] - 1 - k])
        quantity, unit = orders[e, i], price[row, i] * (1.0 + rate[e, i])
        in_full = price[row, i] * quantity * (1.0 + rate[e, i])
        ordinary = (price[row, i] > _TINY) & (price[row, i] < _HUGE) & (in_full > _TINY)
        if not (ordinary & (in_full * _SURELY <= cash)):
            if 0.0 <= cash < unit and not fractional:
                empty += 1
                continue
            quantity = exact_quantity(
                quantity,
                cash,
                price[row, i],
                rate[e, i],
                fractional,
                finrl,
                has_traded,
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
    account.n_trades += filled + (empty if count_empty else 0)
    account.has_traded = account.has_traded or filled > 0
    plan.traded = plan.traded + traded
    return failed


@compiled
def plan_step(
    first: int,
    end: int,
    plans: AnyArray,
    records: AnyArray,
    executed: FloatArray,
    lag: int,
) -> None:
    """Begin a step: whose episode is over, and what the turbulence rule says.

    A NaN turbulence neither liquidates nor buys, as in FinRL.
    """
    for e in range(first, end):
        account, plan = records[e], plans[e - first]
        ruled = not math.isnan(account.threshold)
        plan.over = account.day >= account.last
        plan.row = account.day + lag
        plan.small = True
        plan.liquidate = ruled and account.turbulence >= account.threshold
        plan.may_buy = not ruled or account.turbulence < account.threshold
        plan.cost_before = account.cost
        plan.traded, plan.n_stops, plan.n_sells, plan.n_buys = 0.0, 0, 0, 0
        if plan.over:
            account.finished = True
        else:
            for i in range(executed.shape[1]):
                executed[e, i] = 0.0


@compiled
def limit_accounts(
    first: int,
    end: int,
    plans: AnyArray,
    orders: FloatArray,
    executed: FloatArray,
    market: Any,
    books: Any,
    limits: Any,
) -> None:
    """Apply stop loss, lots and cool-down to the orders of accounts that do not liquidate."""
    for e in range(first, end):
        account, plan = books.records[e], plans[e - first]
        if plan.over or plan.liquidate:
            continue
        today, shares = account.day, books.shares[e]
        limit_orders(orders[e], shares, limits.lots, limits.free_from[e], today)
        if limits.stop > 0.0:
            cash, cost, traded, count = sell_stopped(
                orders[e],
                executed[e],
                shares,
                account.cash,
                account.cost,
                market.close[today],
                market.price[plan.row],
                market.tradable[plan.row],
                books.sell_rate[e],
                limits.buy_price[e],
                limits.stop,
                limits.profit,
            )
            account.cash, account.cost = cash, cost
            plan.traded, plan.n_stops = traded, count


@compiled
def liquidate_accounts(
    first: int,
    end: int,
    plans: AnyArray,
    orders: FloatArray,
    shares: FloatArray,
    price: FloatArray,
    tradable: BoolArray,
    by_price: bool,
) -> None:
    """Turn the orders of accounts that liquidate into equal sells of all that can be sold."""
    for e in range(first, end):
        plan = plans[e - first]
        if plan.over or not plan.liquidate:
            continue
        n_sells = 0
        for i in range(orders.shape[1]):
            allowed = price[plan.row, i] > 0.0 if by_price else tradable[plan.row, i]
            sells = allowed and shares[e, i] > 0.0
            orders[e, i] = -1.0 if sells else 0.0
            n_sells += sells
        plan.n_sells = n_sells


@compiled
def keep_fillable(
    first: int,
    end: int,
    plans: AnyArray,
    orders: FloatArray,
    shares: FloatArray,
    tradable: BoolArray,
    fractional: bool,
) -> None:
    """Make orders whole, and turn those that cannot be filled into 0, where nothing liquidates."""
    for e in range(first, end):
        plan = plans[e - first]
        if plan.over or plan.liquidate:
            continue
        row, may_buy = plan.row, plan.may_buy
        n_sells, n_buys, n_large = 0, 0, 0
        for i in range(orders.shape[1]):
            order = orders[e, i] if fractional else np.trunc(orders[e, i])
            # without branches, which would be as good as random
            sells = tradable[row, i] & (order < 0.0) & (shares[e, i] > 0.0)
            buys = tradable[row, i] & (order > 0.0) & may_buy
            orders[e, i] = order if sells | buys else 0.0
            n_sells += sells
            n_buys += buys
            n_large += abs(order) >= _SMALL_ORDER
        plan.n_sells, plan.n_buys = n_sells, n_buys
        plan.small = n_large == 0 and not fractional


@compiled
def write_keys(first: int, end: int, plans: AnyArray, keys: AnyArray, orders: FloatArray) -> None:
    """Write small whole orders as keys to sort by, one column of `keys` per account.

    A key is order and ticker as one number, so that no two are equal, and that the first ticker of
    equal orders is nearest to the front among sells, to the back among buys.
    """
    for e in range(first, end):
        if plans[e - first].small:
            for i in range(keys.shape[0]):
                order = np.int32(orders[e, i])
                keys[i, e - first] = order * np.int32(64) + np.int32(i if order < 0 else 63 - i)


@compiled
def sequence_orders(
    first: int,
    end: int,
    plans: AnyArray,
    keys: AnyArray,
    orders: FloatArray,
    sequence: AnyArray,
    presorted: bool,
) -> None:
    """Write the order of trading: sells from the front of `sequence`, buys from its back.

    The largest order goes first, among equal ones the ticker listed first.
    """
    last = orders.shape[1] - 1
    values, tickers = np.empty((2, last + 1)), np.empty((2, last + 1), dtype=np.int64)
    for e in range(first, end):
        lane = e - first
        plan = plans[lane]
        if plan.over:
            continue
        if presorted:
            keep_sequence(orders[e], sequence[e])
        elif plan.small and keys.shape[0] > 0:
            for k in range(plan.n_sells):
                sequence[e, k] = keys[k, lane] & 63
            for k in range(plan.n_buys):
                sequence[e, last - k] = 63 - (keys[last - k, lane] & 63)
        elif orders.shape[1] <= 64:
            sort_few_orders(orders[e], sequence[e], values, tickers)
        else:
            sort_many_orders(orders[e], sequence[e], plan.n_sells, plan.n_buys, plan.small)


@compiled
def fill_orders(
    first: int,
    end: int,
    plans: AnyArray,
    records: AnyArray,
    orders: FloatArray,
    sequence: AnyArray,
    executed: FloatArray,
    shares: FloatArray,
    price: FloatArray,
    sell_rate: FloatArray,
    buy_rate: FloatArray,
    lots: FloatArray,
    fractional: bool,
    finrl: bool,
    count_empty: bool,
) -> tuple[int, int]:
    """Fill all sells of an account, then its buys.

    Returns
    -------
    tuple
        An account and its ticker whose order is undefined; -1 and -1 if there is none.
    """
    for e in range(first, end):
        account, plan = records[e], plans[e - first]
        if plan.over:
            continue
        row = plan.row
        fill_sells(e, plan, account, orders, sequence, executed, shares, price, sell_rate, row)
        failed = fill_buys(
            e,
            plan,
            account,
            orders,
            sequence,
            executed,
            shares,
            price,
            buy_rate,
            row,
            lots,
            fractional,
            finrl,
            count_empty,
        )
        if failed >= 0:
            return e, failed
    return -1, -1


@compiled
def remember_accounts(
    first: int,
    end: int,
    plans: AnyArray,
    executed: FloatArray,
    price: FloatArray,
    books: Any,
    limits: Any,
) -> None:
    """Keep what stop loss and cool-down need to know of the trades."""
    for e in range(first, end):
        plan = plans[e - first]
        if not plan.over:
            remember_trades(
                executed[e],
                books.shares[e],
                price[plan.row],
                limits.buy_price[e],
                limits.free_from[e],
                books.records[e].day + 1 + limits.cooldown,
            )


@compiled
def close_day(
    first: int,
    end: int,
    plans: AnyArray,
    executed: FloatArray,
    market: Any,
    books: Any,
    switches: Any,
    limits: Any,
) -> None:
    """Move accounts to the next day's close: value, reward, turbulence, ledger row."""
    ledger, trades = books.ledger, books.trades
    for e in range(first, end):
        account, plan = books.records[e], plans[e - first]
        if plan.over:
            continue
        today = account.day + 1
        step = today - account.start
        value = value_of(account.cash, books.shares[e], market.close[today])
        reward = value - account.value
        account.day = today
        account.value = value
        penalty = 0.0
        if limits is not None:
            penalty = max(0.0, limits.cash_share * value - account.cash)
            if limits.penalty.shape[1] > 0:
                limits.penalty[e, step - 1] = penalty
        account.reward = (reward - penalty) * switches.reward_scaling
        account.turbulence = 0.0 if math.isnan(account.threshold) else market.risk[today]
        account.finished = today == account.last and not switches.dummy_step
        ledger[e, step, 0] = value
        ledger[e, step, 1] = account.cash
        ledger[e, step, 2] = reward
        ledger[e, step, 3] = account.cost - plan.cost_before
        ledger[e, step, 4] = plan.traded
        if trades.shape[1] > 0:
            for i in range(executed.shape[1]):
                trades[e, step - 1, i] = executed[e, i]


def _step_accounts(sources: int) -> Any:
    """Return `step_accounts`, kept on disk until this file or those behind `sources` change."""

    @kept
    def step_accounts(
        orders: FloatArray,
        executed: FloatArray,
        sequence: IntArray,
        network: IntArray,
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
        network : array of shape (K, 2)
            The `sorting_network` of N numbers.
        observations : array of shape (E, 1 + 2N + F*N)
            Filled with what is seen after the step.
        market, books, switches : the fields of Market, Books and Switches
            Plain tuples, which are handed over in half the time of named ones.
        limits : Limits, or None where no option needs them
            A type of its own, for which the branches that use it are left out of the compiled code.

        Returns
        -------
        int
            0; or 1 + k if order k of the E*N is not finite (nothing has been traded then); or
            -1 - k if order k is undefined (a price of 0 that FinRL cannot divide by); or
            1 + E*N + e if float32 cannot hold what account e has come to.
        """
        market, books, switches = Market(*market), Books(*books), Switches(*switches)
        if sources == 0:  # never, but `sources` must occur to be compared
            return 0
        bad = first_non_finite(orders)
        if bad >= 0:
            return int(1 + bad)
        n_envs, n_assets = orders.shape
        lanes = min(n_envs, _BLOCK)
        plans = np.empty(lanes, dtype=PLAN)
        keys = np.empty((n_assets if network.shape[0] > 0 else 0, lanes), dtype=np.int32)
        lots = np.empty(0) if limits is None else limits.lots
        for first in range(0, n_envs, _BLOCK):
            end = min(first + _BLOCK, n_envs)
            plan_step(first, end, plans, books.records, executed, switches.lag)
            if limits is not None:
                limit_accounts(first, end, plans, orders, executed, market, books, limits)
            liquidate_accounts(
                first,
                end,
                plans,
                orders,
                books.shares,
                market.price,
                market.tradable,
                switches.finrl_liquidation,
            )
            keep_fillable(
                first, end, plans, orders, books.shares, market.tradable, switches.fractional
            )
            if not switches.presorted:
                write_keys(first, end, plans, keys, orders)
                sort_columns(keys, network, end - first)
            sequence_orders(first, end, plans, keys, orders, sequence, switches.presorted)
            e, failed = fill_orders(
                first,
                end,
                plans,
                books.records,
                orders,
                sequence,
                executed,
                books.shares,
                market.price,
                books.sell_rate,
                books.buy_rate,
                lots,
                switches.fractional,
                switches.finrl_prices,
                switches.count_empty,
            )
            if limits is not None:
                remember_accounts(first, end, plans, executed, market.price, books, limits)
            filled = end if failed < 0 else e
            close_day(first, filled, plans, executed, market, books, switches, limits)
            if failed >= 0:
                return int(-1 - (e * n_assets + failed))
            e = write_observations(
                first, end, observations, market.table, books.records, books.shares, market.factors
            )
            if e >= 0:
                return int(1 + n_envs * n_assets + e)
        return 0

    return step_accounts


step_accounts = _step_accounts(
    digest_of(
        arrays.__file__, observation_kernel.__file__, order_rules.__file__, order_sequence.__file__
    )
)
