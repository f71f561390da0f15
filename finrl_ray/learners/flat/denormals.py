"""Numbers too small for float32's normal range, which make processors slow, set to zero.

Averages of gradients that have become zero (of units that a ReLU has switched off) fade until they
are such numbers, and stay that: after some thousand updates they cost a sixth of an update's time.
They are below 1.2e-38, so nothing else notices.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch as th

_SMALLEST_NORMAL = np.finfo(np.float32).tiny
_HALF = np.float32(0.5)


@contextmanager
def flushed_denormals() -> Iterator[None]:
    """Have this thread's processor set denormal numbers to zero, if it can, and then as before."""
    if _SMALLEST_NORMAL * _HALF == 0:  # somebody has set it already
        yield
        return
    th.set_flush_denormal(True)
    try:
        yield
    finally:
        th.set_flush_denormal(False)
