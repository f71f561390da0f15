"""A state of Python's and numpy's global random generators that one object has for itself."""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np


class GlobalRandomState:
    """A state of both global generators that one object keeps for itself.

    Ray's population based training and BOHB draw from the global generators, so that their choices
    would depend on whatever else the process draws. Inside `active` the globals are in this state;
    outside they are as if nothing had been drawn.

    Parameters
    ----------
    seed : within 0..2**32-1
    """

    def __init__(self, seed: int) -> None:
        self._python = random.Random(seed).getstate()
        self._numpy = np.random.RandomState(seed).get_state()  # the global's kind

    @contextmanager
    def active(self) -> Iterator[None]:
        """Put the globals into this state, and afterwards back."""
        python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002
        random.setstate(self._python)
        np.random.set_state(self._numpy)  # noqa: NPY002
        try:
            yield
        finally:
            self._python, self._numpy = random.getstate(), np.random.get_state()  # noqa: NPY002
            random.setstate(python)
            np.random.set_state(numpy)  # noqa: NPY002
