"""How often Python looks for garbage that only its collector can find."""

import contextlib
import gc
from collections.abc import Iterator

# objects, and collections of the younger ones, between two looks; Python's own are 700, 10 and 10
_RARE = (50_000, 20, 20)


@contextlib.contextmanager
def no_collection() -> Iterator[None]:
    """Look for none while the block runs: imports make none, and take a fifth less without it."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


@contextlib.contextmanager
def rare_collection() -> Iterator[None]:
    """Look for it after many new objects only while the block runs, as fits a whole command."""
    before = gc.get_threshold()
    gc.set_threshold(*_RARE)
    try:
        yield
    finally:
        gc.set_threshold(*before)
