"""Parameters of tests that meet each other in pairs: a few combinations instead of all.

A fault that needs one certain value, or two that go together, is found by any set of combinations
in which every two values of two parameters meet. The other combinations are `long` tests.
"""

import itertools
from collections.abc import Iterable, Sequence
from typing import Any

import pytest

Combination = tuple[Any, ...]


def pairwise(*axes: Iterable[Any]) -> list[Any]:
    """Return all combinations as pytest parameters; those beyond the covering ones are `long`.

    Parameters
    ----------
    axes : the values of each parameter, at least two parameters
    """
    values = [list(axis) for axis in axes]
    every = list(itertools.product(*(range(len(axis)) for axis in values)))
    covering = set(_covering(every))
    return [
        pytest.param(
            *(axis[i] for axis, i in zip(values, places, strict=True)),
            marks=[] if places in covering else [pytest.mark.long],
        )
        for places in every
    ]


def _covering(every: Sequence[tuple[int, ...]]) -> list[tuple[int, ...]]:
    """Return combinations in which all pairs occur, each time the one with most that are new."""
    left = {pair for places in every for pair in _pairs(places)}
    chosen = []
    while left:
        best = max(every, key=lambda places: len(left.intersection(_pairs(places))))
        left.difference_update(_pairs(best))
        chosen.append(best)
    return chosen


def _pairs(places: tuple[int, ...]) -> set[tuple[int, int, int, int]]:
    return {(a, i, b, j) for (a, i), (b, j) in itertools.combinations(enumerate(places), 2)}
