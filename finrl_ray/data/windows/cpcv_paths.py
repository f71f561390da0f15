"""Disjoint matchings: all k-subsets of n groups, sorted into partitions of the groups.

Combinatorial cross-validation tests each of the C(n, k) subsets once. Sorted into C(n - 1, k - 1)
partitions of n / k subsets each, every partition is one complete out-of-sample path, made of n / k
trainings that no other path shares. That such a sorting exists whenever k divides n is Baranyai's
theorem.

References
----------
.. [1] Baranyai (1975), "On the factorization of the complete uniform hypergraph", Colloquia
   Mathematica Societatis Janos Bolyai 10, 91-108.
.. [2] van Lint and Wilson (2001), "A Course in Combinatorics", 2nd ed., chapter 38: the proof by
   flows, one element at a time, that is followed here.
"""

from math import comb
from typing import TypeAlias

Matching: TypeAlias = tuple[tuple[int, ...], ...]


def disjoint_matchings(n_groups: int, n_test_groups: int) -> tuple[Matching, ...]:
    """Return C(n - 1, k - 1) partitions of 0..n-1 into k-subsets, which use each subset once.

    Parameters
    ----------
    n_groups : n
    n_test_groups : k, a divisor of n

    Returns
    -------
    tuple of matchings
        Each n / k subsets in order of their first group. The same on every machine; for k = 2 the
        round robin of tournaments.

    Raises
    ------
    ValueError
        If k does not divide n, or is not within 1..n.
    """
    n, k = n_groups, n_test_groups
    if not 1 <= k <= n or n % k:
        raise ValueError(f"n_test_groups must divide n_groups, got {k} and {n}")
    found = _round_robin(n) if k == 2 else _baranyai(n, k)
    return tuple(tuple(sorted(tuple(sorted(group)) for group in matching)) for matching in found)


def _round_robin(n: int) -> list[list[tuple[int, ...]]]:
    """Hold group 0 in place and turn the others, pairing opposite ones."""
    ring = list(range(1, n))
    matchings: list[list[tuple[int, ...]]] = []
    for _ in range(n - 1):
        seats = [0, *ring]
        matchings.append([(seats[i], seats[n - 1 - i]) for i in range(n // 2)])
        ring = [ring[-1], *ring[:-1]]
    return matchings


def _baranyai(n: int, k: int) -> list[list[tuple[int, ...]]]:
    """Grow all partitions together, one element at a time.

    After element i each partition holds n / k parts of 0..i, some of them empty, and each part S
    occurs comb(n - i - 1, k - len(S)) times over all partitions. For the next element every
    partition extends one of its parts, and each part is extended comb(n - i - 2, k - len(S) - 1)
    times: a flow with these capacities, which exists and is whole.
    """
    partitions: list[list[tuple[int, ...]]] = [[()] * (n // k) for _ in range(comb(n - 1, k - 1))]
    for element in range(n):
        left = n - element - 1
        parts = {part for partition in partitions for part in partition if len(part) < k}
        capacity = {part: comb(left, k - len(part) - 1) for part in sorted(parts)}
        for partition, part in zip(partitions, _assign(partitions, capacity), strict=True):
            partition.remove(part)
            partition.append((*part, element))
    return partitions


def _assign(
    partitions: list[list[tuple[int, ...]]], capacity: dict[tuple[int, ...], int]
) -> list[tuple[int, ...]]:
    """Return the part that each partition extends, no part more often than it may be."""
    chosen: list[tuple[int, ...]] = [()] * len(partitions)
    takers: dict[tuple[int, ...], list[int]] = {part: [] for part in capacity}

    def place(index: int, seen: set[tuple[int, ...]]) -> bool:
        for part in sorted(set(partitions[index]) & capacity.keys() - seen):
            seen.add(part)
            if len(takers[part]) < capacity[part] or any(
                move(other, part, seen) for other in list(takers[part])
            ):
                takers[part].append(index)
                chosen[index] = part
                return True
        return False

    def move(other: int, part: tuple[int, ...], seen: set[tuple[int, ...]]) -> bool:
        if not place(other, seen):
            return False
        takers[part].remove(other)
        return True

    for index in range(len(partitions)):
        if not place(index, set()):
            raise AssertionError("Baranyai's flow exists")
    return chosen
