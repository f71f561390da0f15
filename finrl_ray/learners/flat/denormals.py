"""Numbers too small for float32's normal range, which make processors slow, set to zero.

Where gradients have become zero (for units that a ReLU has switched off), their moving averages
shrink until they are such numbers, and stay so. After some thousand updates these cost a sixth of
an update's time. They are below 1.2e-38, so that zero in their place changes no other number.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch as th

_SMALLEST_NORMAL = np.finfo(np.float32).tiny
_HALF = np.float32(0.5)


@contextmanager
def flushed_denormals() -> Iterator[None]:
    """Run a block in which this thread's processor sets denormal numbers to zero, if it can."""
    if _SMALLEST_NORMAL * _HALF == 0:  # the setting is on already, and stays on
        yield
        return
    th.set_flush_denormal(True)
    try:
        yield
    finally:
        th.set_flush_denormal(False)
