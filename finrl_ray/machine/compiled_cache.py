"""Compiled functions that are kept on disk, wherever that can be done.

Numba keeps them beside the source or in HOME, and refuses to compile where it can write neither.
"""

import functools
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numba
from numba import njit
from numba.core import event

from finrl_ray.files.private_folder import home, private_folder
from finrl_ray.machine.compiled_stamp import with_whole_stamp

CACHE_VARIABLE = "NUMBA_CACHE_DIR"
_settings: Any = numba.config  # filled from the environment when Numba is imported

Function = Callable[..., Any]


def cached_njit(**options: Any) -> Callable[[Function], Any]:
    """Return a decorator as `numba.njit(cache=True, **options)`, which works everywhere.

    Where neither the package's folder nor HOME can be written, compiled code is kept in this
    user's own folder below the temporary one, and without one in memory alone.
    """

    def decorate(function: Function) -> Any:
        if not _has_place(Path(function.__code__.co_filename).parent):
            _keep_in_private_folder()
        try:
            return with_whole_stamp(njit(cache=True, **options)(function))
        except RuntimeError:  # Numba has found no place, such as a HOME that cannot be written
            _keep_in_private_folder()
        try:
            return with_whole_stamp(njit(cache=True, **options)(function))
        except RuntimeError:
            return njit(**options)(function)

    return decorate


def compiler_is_off() -> bool:
    """Return whether Numba leaves functions to Python (NUMBA_DISABLE_JIT), as for a debugger."""
    return bool(_settings.DISABLE_JIT)


@contextmanager
def compiling_noted(say: Callable[[], None]) -> Iterator[None]:
    """Call `say` as soon as something is compiled while the block runs, once at most.

    What is taken from disk, or was compiled before, is not compiled.
    """
    with event.install_listener("numba:compile", _Once(say)):
        yield


class _Once(event.Listener):
    """A listener that passes the first start of a compilation on."""

    def __init__(self, say: Callable[[], None]) -> None:
        self._say: Callable[[], None] | None = say

    def on_start(self, event: Any) -> None:
        """Tell of the first."""
        del event
        if self._say is not None:
            say, self._say = self._say, None
            say()

    def on_end(self, event: Any) -> None:
        """Tell nothing of ends."""
        del event


def _has_place(folder: Path) -> bool:
    """Return whether Numba will look at places that exist; without HOME it would make one."""
    return bool(_settings.CACHE_DIR) or home() is not None or _can_keep(folder)


@functools.cache
def _can_keep(folder: Path) -> bool:
    try:
        with tempfile.TemporaryFile(dir=folder):  # as Numba tries it
            return True
    except OSError:
        return False


@functools.cache
def _keep_in_private_folder() -> None:
    try:
        folder = private_folder() / "numba"
    except OSError:  # no temporary folder either
        return
    _settings.CACHE_DIR = str(folder)
    # for the workers that this process starts
    os.environ[CACHE_VARIABLE] = str(folder)
