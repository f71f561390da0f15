"""Sorting networks: comparisons that sort any N numbers when they are made one after another."""

from functools import lru_cache

import numpy as np

from finrl_ray._typing import IntArray

MOST_TICKERS = 64
"""Beyond, the N log(N)**2 comparisons cost more than a sort by digits."""


@lru_cache
def sorting_network(n: int) -> IntArray:
    """Return the comparisons of Batcher's odd-even merge sort [1]_ of n numbers.

    Returns
    -------
    array of shape (K, 2), or of shape (0, 2) for n beyond MOST_TICKERS
        Rows (a, b) with a < b: swap entries a and b if the first is larger.

    References
    ----------
    .. [1] Knuth (1998), "The Art of Computer Programming" vol. 3, 2nd ed., section 5.2.2,
       algorithm M.
    """
    pairs: list[tuple[int, int]] = []
    merged = 1 if n <= MOST_TICKERS else n
    while merged < n:
        distance = merged
        while distance >= 1:
            pairs += _comparisons(n, merged, distance)
            distance //= 2
        merged *= 2
    network = np.array(pairs, dtype=np.int64).reshape(-1, 2)
    network.setflags(write=False)
    return network


def _comparisons(n: int, merged: int, distance: int) -> list[tuple[int, int]]:
    """Return the comparisons at one distance that make sorted runs twice `merged` long."""
    return [
        (first, first + distance)
        for start in range(distance % merged, n - distance, 2 * distance)
        for first in range(start, min(start + distance, n - distance))
        if first // (2 * merged) == (first + distance) // (2 * merged)
    ]
