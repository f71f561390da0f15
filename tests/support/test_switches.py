"""True and False among numbers, of Python and of NumPy."""

import numpy as np
import pytest

from finrl_ray.support.switches import has_switch


@pytest.mark.parametrize(
    "value",
    [
        True,
        False,
        np.True_,
        np.array([True, False]),
        np.array(False),
        np.array([1, True], dtype=object),
        [1.0, [2, False]],
        (1, np.False_),
        {"A": 1, "B": True},
        [np.array([[True]])],
    ],
)
def test_true_and_false_are_seen(value) -> None:
    assert has_switch(value)


@pytest.mark.parametrize(
    "value",
    [
        0,
        1.0,
        None,
        "true",
        np.float32(1.0),
        np.array([0, 1]),
        np.array([1, "x"], dtype=object),
        [0, (1, 2.0)],
        {"A": 1},
        np.array([]),
    ],
)
def test_numbers_and_others_are_not(value) -> None:
    assert not has_switch(value)
