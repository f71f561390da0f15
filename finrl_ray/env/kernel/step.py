"""The trading rules, once: compiled functions that step E accounts by one day.

Sums run left to right and nothing is reassociated, so a result depends neither on the number of
accounts nor on the machine's vector width. `finrl_ray.env.kernel.arrays` describes the arguments.

Each part of a step is one function for all accounts of a block. With the indices of account and
ticker in one function the compiler makes vector instructions of it, which it does not where a
function for one account is called for each.
"""

import math
from typing import Any

import numpy as np

from finrl_ray._typing import Float32Array, FloatArray, IntArray
from finrl_ray.env.kernel import (
    arrays,
    fillable_orders,
    fills,
    forced_covers,
    observation,
    order_rules,
    order_sequence,
    rewards,
    short_sales,
    signed_trades,
    slippage,
    values,
)
from finrl_ray.env.kernel.arrays import (
    PLAN,
    Block,
    Books,
    Limits,
    Margin,
    Market,
    Orders,
    Switches,
)
from finrl_ray.env.kernel.compile import cached_njit, digest_of, inlined_njit, njit
from finrl_ray.env.kernel.fillable_orders import (
    drop_unfillable,
    limit_accounts,
    liquidate_accounts,
)
from finrl_ray.env.kernel.fills import fill_orders
from finrl_ray.env.kernel.observation import write_account_shares, write_observations
from finrl_ray.env.kernel.order_rules import remember_trades
from finrl_ray.env.kernel.order_sequence import sequence_orders, sort_columns, write_keys
from finrl_ray.env.kernel.rewards import ACCOUNT_CHANGE, account_change, reward_of
from finrl_ray.env.kernel.short_sales import (
    charge_and_settle,
    remember_positions,
    trade_with_shorts,
)
from finrl_ray.env.kernel.values import value_of

# The bits that are all set in NaN and in infinity.
_EXPONENT = 0x7FF0000000000000
# So many accounts are traded together; what they need at a time fits into the nearest cache.
_BLOCK = 64


@njit
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


@njit
def plan_step(block: Any, orders: Any, books: Any, lag: int) -> None:
    """Begin a step: whose episode is over, and what the turbulence rule says.

    A NaN turbulence neither liquidates nor buys, as in FinRL.
    """
    executed = orders.executed
    for e in range(block.first, block.end):
        account, plan = books.records[e], block.plans[e - block.first]
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


@njit
def remember_accounts(
    block: Any, orders: Any, market: Any, books: Any, limits: Any, margin: Any
) -> None:
    """Keep what stop loss and cool-down need to know of the trades."""
    if limits.buy_price.shape[1] == 0 and limits.free_from.shape[1] == 0:
        return
    for e in range(block.first, block.end):
        plan = block.plans[e - block.first]
        if plan.over:
            continue
        executed, shares, price = orders.executed[e], books.shares[e], market.price[plan.row]
        buy_price, free_from = limits.buy_price[e], limits.free_from[e]
        next_row = books.records[e].day + 1 + limits.cooldown
        if margin is None:
            remember_trades(executed, shares, price, buy_price, free_from, next_row)
        else:
            remember_positions(executed, shares, price, buy_price, free_from, next_row)


@njit
def close_day(
    block: Any, orders: Any, market: Any, books: Any, switches: Any, margin: Any, limits: Any
) -> None:
    """Move accounts to the next day's close: value, reward, turbulence, ledger row."""
    executed, ledger, trades = orders.executed, books.ledger, books.trades
    for e in range(block.first, block.end):
        account, plan = books.records[e], block.plans[e - block.first]
        if plan.over:
            continue
        today = account.day + 1
        step = today - account.start
        if margin is None:
            value, lost = value_of(account.cash, books.shares[e], market.close[today]), False
        else:
            value, lost = charge_and_settle(
                e, account.value, today, executed[e], market, books, margin
            )
        penalty = 0.0
        if limits is None:
            reward = account_change(account.value, value)
        else:
            reward = reward_of(e, account.value, value, market.close[today], limits)
            if limits.cash_share > 0.0:  # an account that owes shares may have cash below 0
                penalty = max(0.0, limits.cash_share * value - account.cash)
            if limits.reward != ACCOUNT_CHANGE:
                penalty = penalty / value if value > 0.0 else 0.0
            if limits.penalty.shape[1] > 0:
                limits.penalty[e, step - 1] = penalty
        account.day = today
        account.value = value
        account.reward = (reward - penalty) * switches.reward_scaling
        account.turbulence = 0.0 if math.isnan(account.threshold) else market.risk[today]
        account.finished = (today == account.last and not switches.dummy_step) or lost
        ledger[e, step, 0] = value
        ledger[e, step, 1] = account.cash
        ledger[e, step, 2] = reward
        ledger[e, step, 3] = account.cost - plan.cost_before
        ledger[e, step, 4] = plan.traded
        if trades.shape[1] > 0:
            for i in range(executed.shape[1]):
                trades[e, step - 1, i] = executed[e, i]


@inlined_njit
def _step(
    orders: Any,
    network: IntArray,
    observations: Float32Array,
    market: Any,
    books: Any,
    switches: Any,
    margin: Any,
    limits: Any,
) -> int:
    """Do what `step_accounts` does, block after block."""
    bad = first_non_finite(orders.signed)
    if bad >= 0:
        return int(1 + bad)
    n_envs, n_assets = orders.signed.shape
    lanes = min(n_envs, _BLOCK)
    plans = np.empty(lanes, dtype=PLAN)
    keys = np.empty((n_assets if network.shape[0] > 0 else 0, lanes), dtype=np.int32)
    lots = np.empty(0) if limits is None else limits.lots
    impact = None if limits is None else limits.impact
    for first in range(0, n_envs, _BLOCK):
        end = min(first + _BLOCK, n_envs)
        block = Block(first, end, plans, keys)
        plan_step(block, orders, books, switches.lag)
        if margin is not None:
            trade_with_shorts(block, orders, market, books, limits, margin, switches.fractional)
            e, failed = -1, -1
        else:
            if limits is not None:
                limit_accounts(block, orders, market, books, limits)
            liquidate_accounts(block, orders, market, books, switches.finrl_liquidation)
            drop_unfillable(block, orders, market, books, switches.fractional)
            if not switches.presorted:
                write_keys(block, orders.signed)
                sort_columns(keys, network, end - first)
            sequence_orders(block, orders.signed, orders.sequence, switches.presorted)
            e, failed = fill_orders(block, orders, market, books, lots, switches, impact)
        if limits is not None:
            remember_accounts(block, orders, market, books, limits, margin)
        filled = Block(first, end if failed < 0 else e, plans, keys)
        close_day(filled, orders, market, books, switches, margin, limits)
        if failed >= 0:
            return int(-1 - (e * n_assets + failed))
        if switches.as_shares_of_account:
            e = write_account_shares(first, end, observations, market, books)
        else:
            e = write_observations(first, end, observations, market, books)
        if e >= 0:
            return int(1 + n_envs * n_assets + e)
    return 0


def _step_accounts(digest: int) -> Any:
    """Return `step_accounts`, kept on disk until this file or those behind `digest` change."""

    @cached_njit
    def step_accounts(
        orders: FloatArray,
        executed: FloatArray,
        sequence: IntArray,
        network: IntArray,
        observations: Float32Array,
        market: Any,
        books: Any,
        switches: Any,
        margin: Any,
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
        observations : array of shape (E, 1 + N + M)
            Filled with what is seen after the step.
        market, books, switches : the fields of Market, Books and Switches
            Plain tuples, which are handed over in half the time of named ones.
        margin : the fields of Margin, or None where no shares may be owed; with it `limits` is
            needed
        limits : the fields of Limits, or None where no option needs them
            None is a type of its own, for which the branches that use them are left out of the
            compiled code.

        Returns
        -------
        int
            0; or 1 + k if order k of the E*N is not finite (nothing has been traded then); or
            -1 - k if order k is undefined (a price of 0 that FinRL cannot divide by); or
            1 + E*N + e if float32 cannot hold what account e has come to.
        """
        _ = digest  # so that it is a free variable, whose value Numba compares
        return _step(
            Orders(orders, executed, sequence),
            network,
            observations,
            Market(*market),
            Books(*books),
            Switches(*switches),
            None if margin is None else Margin(*margin),
            None if limits is None else Limits(*limits),
        )

    return step_accounts


PARTS = (
    arrays,
    fillable_orders,
    fills,
    forced_covers,
    observation,
    order_rules,
    order_sequence,
    rewards,
    short_sales,
    signed_trades,
    slippage,
    values,
)
"""The files of which compiled code is part of `step_accounts`."""
step_accounts = _step_accounts(digest_of(*(part.__file__ for part in PARTS)))
