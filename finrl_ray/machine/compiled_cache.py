"""Compiled functions that are kept on disk, wherever that can be done.

Numba keeps them beside the source or in HOME, and refuses to compile where it can write neither.
"""

import functools
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
from numba import njit

from finrl_ray.files.private_folder import home, private_folder

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
            return njit(cache=True, **options)(function)
        except RuntimeError:  # Numba has found no place, such as a HOME that cannot be written
            _keep_in_private_folder()
        try:
            return njit(cache=True, **options)(function)
        except RuntimeError:
            return njit(**options)(function)

    return decorate


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
