"""Which orders of a step can be filled: limits, liquidation, tickers without a quote; compiled."""

from typing import Any

import numpy as np

from finrl_ray.env.kernel.compile import njit
from finrl_ray.env.kernel.order_rules import limit_orders, sell_stopped

# Whole orders below this fit into 32 bits together with the number of one of 64 tickers.
_SMALL_ORDER = 2.0**24


@njit
def limit_accounts(block: Any, orders: Any, market: Any, books: Any, limits: Any) -> None:
    """Apply stop loss, lots and cool-down to the orders of accounts that do not liquidate."""
    for e in range(block.first, block.end):
        account, plan = books.records[e], block.plans[e - block.first]
        if plan.over or plan.liquidate:
            continue
        free_from = limits.free_from[e]
        limit_orders(orders.signed[e], books.shares[e], limits.lots, free_from, account.day)
        if limits.stop > 0.0:
            sell_stopped(e, plan, account, orders, market, books, limits)


@njit
def liquidate_accounts(block: Any, orders: Any, market: Any, books: Any, by_price: bool) -> None:
    """Turn the orders of accounts that liquidate into equal sells of all that can be sold."""
    signed, shares = orders.signed, books.shares
    price, tradable = market.price, market.tradable
    for e in range(block.first, block.end):
        plan = block.plans[e - block.first]
        if plan.over or not plan.liquidate:
            continue
        n_sells = 0
        for i in range(signed.shape[1]):
            allowed = price[plan.row, i] > 0.0 if by_price else tradable[plan.row, i]
            sells = allowed and shares[e, i] > 0.0
            signed[e, i] = -1.0 if sells else 0.0
            n_sells += sells
        plan.n_sells = n_sells


@njit
def drop_unfillable(block: Any, orders: Any, market: Any, books: Any, fractional: bool) -> None:
    """Make orders whole, and turn those that cannot be filled into 0, where nothing liquidates."""
    signed, shares, tradable = orders.signed, books.shares, market.tradable
    for e in range(block.first, block.end):
        plan = block.plans[e - block.first]
        if plan.over or plan.liquidate:
            continue
        row, may_buy = plan.row, plan.may_buy
        n_sells, n_buys, n_large = 0, 0, 0
        for i in range(signed.shape[1]):
            order = signed[e, i] if fractional else np.trunc(signed[e, i])
            # without branches, which would be as good as random
            sells = tradable[row, i] & (order < 0.0) & (shares[e, i] > 0.0)
            buys = tradable[row, i] & (order > 0.0) & may_buy
            signed[e, i] = order if sells | buys else 0.0
            n_sells += sells
            n_buys += buys
            n_large += abs(order) >= _SMALL_ORDER
        plan.n_sells, plan.n_buys = n_sells, n_buys
        plan.small = n_large == 0 and not fractional
