"""In which order one account's orders fill: the largest first, among equal ones the first ticker.

Three ways with one result: small whole orders of few tickers are sorted by a network, for many
accounts at a time; others of few tickers by counting; those of many tickers by a radix sort.
"""

from typing import Any

import numpy as np

from finrl_ray._typing import AnyArray, FloatArray
from finrl_ray.env.kernel.compile import njit


@njit
def count_before(values: FloatArray, k: int, n: int) -> int:
    """Return how many of the first n values sort before value k, equal ones in their order."""
    value = values[k]
    before = 0
    for j in range(k):
        before += values[j] <= value
    for j in range(n - k - 1):
        before += values[k + 1 + j] < value
    return before


@njit
def sort_few_orders(
    orders: FloatArray, sequence: AnyArray, values: FloatArray, tickers: AnyArray
) -> None:
    """Do what `sequence_orders` does, for few tickers and orders of any size.

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


@njit
def sort_columns(keys: AnyArray, network: AnyArray, lanes: int) -> None:
    """Sort the first `lanes` columns of `keys` by the comparisons of a sorting network.

    The comparisons are the same for all columns, so that several are made by one instruction and
    none is a branch.
    """
    for k in range(network.shape[0]):
        upper, lower = network[k, 0], network[k, 1]
        for lane in range(lanes):
            a, b = keys[upper, lane], keys[lower, lane]
            keys[upper, lane] = a if a < b else b
            keys[lower, lane] = b if a < b else a


@njit
def order_keys(orders: FloatArray, small: bool, keys: AnyArray, tickers: AnyArray) -> int:
    """Write unsigned keys that sort as the orders do, and their tickers; return how many.

    Buys are written last ticker first, because they are read from the back. Orders of 0 are left
    out.
    """
    count, least = 0, 0.0
    bits = orders.view(np.uint64)
    n_assets = orders.shape[0]
    for i in range(n_assets):
        least = min(least, orders[i])
    for k in range(2 * n_assets):
        i = k if k < n_assets else 2 * n_assets - 1 - k
        order = orders[i]
        if order < 0.0 if k < n_assets else order > 0.0:
            if small:
                keys[count] = np.uint64(order - least)
            elif order < 0.0:
                keys[count] = ~bits[i]
            else:
                keys[count] = bits[i] | np.uint64(1 << 63)
            tickers[count] = i
            count += 1
    return count


@njit
def sort_many_orders(
    orders: FloatArray, sequence: AnyArray, n_sells: int, n_buys: int, small: bool
) -> None:
    """Do what `sequence_orders` does, for any number of tickers, in time of order N.

    A radix sort, byte by byte from the last, each time keeping the order of equal bytes. Bytes that
    are the same in all keys are left out; of whole orders below 128 a single one is left.
    """
    n_assets = orders.shape[0]
    keys = np.empty((2, n_assets), dtype=np.uint64)
    tickers = np.empty((2, n_assets), dtype=np.int64)
    place = np.empty(257, dtype=np.int64)
    count = order_keys(orders, small, keys[0], tickers[0])
    varying = np.uint64(0)
    for k in range(count):
        varying |= keys[0, k] ^ keys[0, 0]
    now = 0
    for byte in range(8):
        shift = np.uint64(8 * byte)
        if (varying >> shift) & np.uint64(255) == 0:
            continue
        place[:] = 0
        for k in range(count):
            place[1 + np.int64((keys[now, k] >> shift) & np.uint64(255))] += 1
        for k in range(255):
            place[k + 1] += place[k]
        for k in range(count):
            digit = np.int64((keys[now, k] >> shift) & np.uint64(255))
            there = place[digit]
            keys[1 - now, there] = keys[now, k]
            tickers[1 - now, there] = tickers[now, k]
            place[digit] = there + 1
        now = 1 - now
    for k in range(n_sells):
        sequence[k] = tickers[now, k]
    for k in range(n_buys):
        sequence[n_assets - 1 - k] = tickers[now, count - 1 - k]


@njit
def keep_sequence(orders: FloatArray, sequence: AnyArray) -> None:
    """Close the gaps that orders of 0 leave among the sells in front and the buys at the back."""
    n_assets = orders.shape[0]
    sells, buys = 0, 0
    for k in range(n_assets):
        i = sequence[k]
        if orders[i] < 0.0:
            sequence[sells] = i
            sells += 1
    for k in range(n_assets):
        i = sequence[n_assets - 1 - k]
        if orders[i] > 0.0:
            sequence[n_assets - 1 - buys] = i
            buys += 1


@njit
def write_keys(block: Any, signed: FloatArray) -> None:
    """Write small whole orders as keys to sort by, one column of `block.keys` per account.

    A key is order and ticker as one number, so that no two are equal, and that the first ticker of
    equal orders is nearest to the front among sells, to the back among buys.
    """
    keys = block.keys
    for e in range(block.first, block.end):
        lane = e - block.first
        if block.plans[lane].small:
            for i in range(keys.shape[0]):
                order = np.int32(signed[e, i])
                keys[i, lane] = order * np.int32(64) + np.int32(i if order < 0 else 63 - i)


@njit
def sequence_orders(block: Any, signed: FloatArray, sequence: AnyArray, presorted: bool) -> None:
    """Write the order of trading: sells from the front of `sequence`, buys from its back.

    The largest order goes first, among equal ones the ticker listed first.
    """
    keys = block.keys
    last = signed.shape[1] - 1
    values, tickers = np.empty((2, last + 1)), np.empty((2, last + 1), dtype=np.int64)
    for e in range(block.first, block.end):
        lane = e - block.first
        plan = block.plans[lane]
        if plan.over:
            continue
        if presorted:
            keep_sequence(signed[e], sequence[e])
        elif plan.small and keys.shape[0] > 0:
            for k in range(plan.n_sells):
                sequence[e, k] = keys[k, lane] & 63
            for k in range(plan.n_buys):
                sequence[e, last - k] = 63 - (keys[last - k, lane] & 63)
        elif signed.shape[1] <= 64:
            sort_few_orders(signed[e], sequence[e], values, tickers)
        else:
            sort_many_orders(signed[e], sequence[e], plan.n_sells, plan.n_buys, plan.small)
