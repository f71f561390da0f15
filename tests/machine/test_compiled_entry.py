"""Compiled code called directly does what the call through Numba's look-up does."""

import copy
import pickle

import numpy as np
import pytest

from finrl_ray.machine.compiled_cache import cached_njit
from finrl_ray.machine.compiled_entry import EntryCalls


@cached_njit()
def scaled_sum(values, factor):
    total = 0.0
    for i in range(values.shape[0]):
        total += values[i]
    return total * factor


def test_calls_after_the_first_take_other_arrays_of_the_same_type() -> None:
    call = EntryCalls()
    for n in (3, 5):
        assert call(scaled_sum, np.ones(n), 2.0) == 2.0 * n


def test_each_owner_has_types_of_its_own() -> None:
    assert EntryCalls()(scaled_sum, np.ones(3), 2.0) == 6.0
    assert EntryCalls()(scaled_sum, np.ones(3, dtype=np.float32), 2) == 6.0


def test_an_array_with_numbers_of_another_size_is_refused() -> None:
    call = EntryCalls()
    call(scaled_sum, np.ones(3), 2.0)
    with pytest.raises(TypeError, match="unbox"):
        call(scaled_sum, np.ones(3, dtype=np.float32), 2.0)


@pytest.mark.parametrize("made_again", [copy.deepcopy, lambda c: pickle.loads(pickle.dumps(c))])
def test_a_copy_finds_the_code_again(made_again) -> None:
    call = EntryCalls()
    call(scaled_sum, np.ones(3), 2.0)
    assert made_again(call)(scaled_sum, np.ones(4), 1.0) == 4.0
