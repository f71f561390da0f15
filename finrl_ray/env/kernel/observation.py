"""Observations after a step, and whether float32 can hold them; compiled."""

from typing import Any

import numpy as np

from finrl_ray._typing import Float32Array
from finrl_ray.env.kernel.compile import njit
from finrl_ray.support.float32_range import FLOAT32_MAX

# The bits that are all set in float32's NaN and infinity.
_EXPONENT32 = 0x7F800000


@njit
def write_observations(first: int, end: int, out: Float32Array, market: Any, books: Any) -> int:
    """Write [cash, close (N), shares (N), indicators (F*N)] of the accounts first..end - 1.

    The market entries are those of `market.table`: its first N stand before the shares.

    Returns
    -------
    int
        The first account whose cash, shares, value or reward float32 cannot hold; -1 if all can.
    """
    table, factors = market.table, market.factors
    records, shares = books.records, books.shares
    n_assets = shares.shape[1]
    bits = out.view(np.int32)
    beyond = -1
    # counting from 0 in every loop lets the compiler use vector moves
    for e in range(first, end):
        today = records[e].day
        out[e, 0] = records[e].cash * factors[0]
        for i in range(n_assets):
            out[e, 1 + i] = table[today, i]
        for i in range(n_assets):
            out[e, 1 + n_assets + i] = shares[e, i] * factors[1 + i]
        for i in range(table.shape[1] - n_assets):
            out[e, 1 + 2 * n_assets + i] = table[today, n_assets + i]
        # cash, prices and shares at once, by their bits: no branch for each, and vectors again
        found = 0
        for i in range(1 + 2 * n_assets):
            found |= (bits[e, i] & _EXPONENT32) == _EXPONENT32
        held = abs(records[e].value) <= FLOAT32_MAX and abs(records[e].reward) <= FLOAT32_MAX
        if (found or not held) and beyond < 0:
            beyond = e
    return beyond


@njit
def write_account_shares(first: int, end: int, out: Float32Array, market: Any, books: Any) -> int:
    """Write [cash / value, N market entries, positions / value (N), the other market entries].

    An account that is worth nothing, or less, shows zeros for cash and positions.

    Returns
    -------
    int
        The first account whose value or reward float32 cannot hold; -1 if all can.
    """
    table, close = market.table, market.close
    records, shares = books.records, books.shares
    n_assets = shares.shape[1]
    beyond = -1
    for e in range(first, end):
        today, value = records[e].day, records[e].value
        if value > 0.0:
            out[e, 0] = records[e].cash / value
            for i in range(n_assets):
                out[e, 1 + n_assets + i] = shares[e, i] * close[today, i] / value
        else:
            out[e, 0] = 0.0
            for i in range(n_assets):
                out[e, 1 + n_assets + i] = 0.0
        for i in range(n_assets):
            out[e, 1 + i] = table[today, i]
        for i in range(table.shape[1] - n_assets):
            out[e, 1 + 2 * n_assets + i] = table[today, n_assets + i]
        held = abs(value) <= FLOAT32_MAX and abs(records[e].reward) <= FLOAT32_MAX
        if not held and beyond < 0:
            beyond = e
    return beyond
