"""Every k-subset once, in partitions: the paths of combinatorial cross-validation."""

from itertools import combinations
from math import comb

import pytest

from finrl_ray.data.windows.cpcv_paths import disjoint_matchings


@pytest.mark.parametrize(
    ("n", "k"),
    [(2, 1), (4, 2), (6, 2), (10, 2), (6, 3), (9, 3), (12, 3), (8, 4), (12, 4), (10, 5), (5, 5)],
)
def test_each_subset_occurs_once_and_each_matching_covers_all_groups(n: int, k: int) -> None:
    matchings = disjoint_matchings(n, k)
    assert len(matchings) == comb(n - 1, k - 1)
    for matching in matchings:
        assert sorted(group for subset in matching for group in subset) == list(range(n))
    subsets = sorted(subset for matching in matchings for subset in matching)
    assert subsets == list(combinations(range(n), k))


def test_pairs_of_six_groups_are_a_round_robin() -> None:
    found = {frozenset(matching) for matching in disjoint_matchings(6, 2)}
    # paired by hand: 0 stays, the others turn
    expected = [
        {(0, 5), (1, 4), (2, 3)},
        {(0, 4), (1, 2), (3, 5)},
        {(0, 3), (1, 5), (2, 4)},
        {(0, 2), (1, 3), (4, 5)},
        {(0, 1), (2, 5), (3, 4)},
    ]
    assert found == {frozenset(matching) for matching in expected}


@pytest.mark.parametrize(("n", "k"), [(5, 2), (4, 0), (2, 4)])
def test_what_cannot_be_a_partition_is_refused(n: int, k: int) -> None:
    with pytest.raises(ValueError, match="n_test_groups must divide n_groups"):
        disjoint_matchings(n, k)
