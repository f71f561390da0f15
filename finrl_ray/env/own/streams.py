"""Python's and numpy's global random streams, which some envs draw from."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np


def global_streams() -> dict[str, Any]:
    """Return the state of python's and numpy's global generators."""
    return {
        "python": random.getstate(),
        "numpy": np.random.get_state(legacy=False),  # noqa: NPY002  # envs draw from it
    }


def set_global_streams(state: dict[str, Any]) -> None:
    """Undo `global_streams`."""
    random.setstate(state["python"])
    np.random.set_state(state["numpy"])  # noqa: NPY002  # envs draw from it


def seed_global_streams(seed: int) -> None:
    """Begin both streams anew."""
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002  # envs draw from it


@contextmanager
def preserved_global_streams() -> Iterator[None]:
    """Run a block whose draws leave no trace in the global streams."""
    state = global_streams()
    try:
        yield
    finally:
        set_global_streams(state)
