"""Combinations in which every two values meet."""

import itertools

import pytest
from covering import pairwise


@pytest.mark.parametrize(
    ("sizes", "quick"), [((2, 2, 5), 10), ((3, 2, 2, 2), 6), ((2, 2, 2), 4), ((3, 4), 12)]
)
def test_every_pair_is_in_a_combination_that_is_not_long(sizes, quick) -> None:
    axes = [[f"{axis}{value}" for value in range(size)] for axis, size in enumerate(sizes)]
    found = pairwise(*axes)
    # nothing is lost: the others are there, as long tests
    assert [param.values for param in found] == list(itertools.product(*axes))
    usual = [param.values for param in found if not param.marks]
    assert {mark.name for param in found for mark in param.marks} <= {"long"}
    for one, other in itertools.combinations(axes, 2):
        for pair in itertools.product(one, other):
            assert any(set(pair) <= set(values) for values in usual), pair
    # by hand: the two longest parameters need a combination for each pair of theirs
    assert len(usual) == quick
