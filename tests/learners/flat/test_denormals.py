"""Denormal numbers are zero within, and what they were outside."""

import numpy as np
import pytest
import torch as th

from finrl_ray.learners.flat.denormals import flushed_denormals

TINY = np.finfo(np.float32).tiny


def halved() -> float:
    return float(TINY * np.float32(0.5))


def leave_by_an_error() -> None:
    with flushed_denormals():
        assert halved() == 0
        with flushed_denormals():
            pass
        assert halved() == 0
        raise RuntimeError("left")


def test_denormals_are_zero_within_alone() -> None:
    if not th.set_flush_denormal(False):
        pytest.skip("this processor cannot flush denormal numbers")
    assert halved() > 0
    with pytest.raises(RuntimeError, match="left"):
        leave_by_an_error()
    assert halved() > 0
