"""What a test says where bits differ: how far, and on which processor."""

import numpy as np
import pytest
import torch as th
from bit_equality import assert_equal_bits, bit_differences

from finrl_ray.machine.processor import processor_name


def test_equal_states_pass() -> None:
    state = {"a": th.tensor([1.0, np.nan]), "b": [np.float64(2), "x", None], "t": {"episode": 1}}
    assert_equal_bits(state, {**state, "a": th.tensor([1.0, np.nan])})


def test_the_size_and_the_processor_are_said() -> None:
    one = {"w": np.array([1.0, 2.0, 4.0], dtype=np.float32)}
    other = {"w": np.array([1.0, 2.0, 4.0000005], dtype=np.float32)}
    with pytest.raises(AssertionError, match=r"\['w'\]: 1 of 3 values differ") as raised:
        assert_equal_bits(one, other)
    said = str(raised.value)
    # the next float32 after 4 is 4 + 2**-21
    assert f"by up to {2.0**-21:.3g} ({2.0**-23:.3g} relative)" in said
    assert processor_name() in said
    assert "BLAS of torch" in said


def test_other_shapes_kinds_and_names_are_said() -> None:
    assert bit_differences(np.zeros(2), np.zeros(3)) == ["value: float64 (2,) is float64 (3,)"]
    assert bit_differences([True, "x", None], [True, "x", 1.5]) == [
        "[2]: array(None, dtype=object) is array(1.5)"
    ]
    assert bit_differences({"a": 1}, {}) == ["['a'] is there once"]
    assert bit_differences("x", "y") != []
    assert "nan" in bit_differences(np.array([1.0]), np.array([np.nan]))[0]
