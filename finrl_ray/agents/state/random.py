"""The process-wide random streams (python, numpy, torch) as one value."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch as th


def get_random_state(*, cuda: bool = False) -> dict[str, Any]:
    """Return the state of python's, numpy's and torch's global generators.

    Parameters
    ----------
    cuda : also take the generators of every CUDA device
    """
    state: dict[str, Any] = {
        "python": random.getstate(),
        "numpy": np.random.get_state(legacy=False),  # noqa: NPY002  # SB3 draws from it
        "torch": th.get_rng_state(),
    }
    if cuda:
        state["cuda"] = th.cuda.get_rng_state_all()
    return state


def set_random_state(state: dict[str, Any]) -> None:
    """Put back what `get_random_state` returned."""
    random.setstate(state["python"])
    np.random.set_state(state["numpy"])  # noqa: NPY002  # SB3 draws from it
    th.set_rng_state(state["torch"])
    if "cuda" in state:
        th.cuda.set_rng_state_all(state["cuda"])


@contextmanager
def preserved_random_state(*, cuda: bool = False) -> Iterator[None]:
    """Run a block whose draws leave no trace in the global generators."""
    state = get_random_state(cuda=cuda)
    try:
        yield
    finally:
        set_random_state(state)
