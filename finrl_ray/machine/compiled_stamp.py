"""What compiled code that is kept on disk was made from, callees and constants included.

Numba keeps a function together with a hash of its own file. A function that it calls, or a constant
that it uses, may come from another file: if only that one changes, Numba would go on with what it
has kept.
"""

import functools
import hashlib
import inspect
from collections.abc import Iterator
from operator import attrgetter
from pathlib import Path
from types import CodeType
from typing import Any

import numpy as np

from finrl_ray.machine.compiled_files import with_safe_files

_FILE = attrgetter("_cache._cache_file")
"""Numba's file of a compiled function: names that are private."""
_CONSTANTS = (bool, int, float, str, bytes, tuple, type(None), np.generic)


def with_whole_stamp(dispatcher: Any) -> Any:
    """Return a compiled function whose file on disk is taken only while all it uses is the same.

    Parameters
    ----------
    dispatcher : what `numba.njit(cache=True)` has returned
    """
    try:
        kept = _FILE(dispatcher)
        own = kept._source_stamp
    except AttributeError:  # a Numba that names them otherwise: its own stamp stays
        return dispatcher
    whole = f"{own!r} {_function_stamp(dispatcher.py_func)}"
    kept._source_stamp = hashlib.sha256(whole.encode()).digest()
    return with_safe_files(dispatcher, kept._source_stamp)


@functools.cache
def _function_stamp(function: Any) -> str:
    """Return a hash of the files beside a function and of what its global names stand for.

    All files of its folder, because it may be given tuples whose fields are named in another one.
    """
    digest = hashlib.sha256(_stamp_around(Path(function.__code__.co_filename)).encode())
    for name in sorted(set(_names(function.__code__))):
        value = function.__globals__.get(name)
        called = getattr(value, "py_func", None)
        written = getattr(value, "_defn", None)  # of an intrinsic, whose code it writes
        if inspect.isfunction(called):
            # a function that calls itself has told its own file already
            stamp = "" if called is function else _function_stamp(called)
        elif inspect.isfunction(written):
            stamp = _stamp_around(Path(written.__code__.co_filename))
        else:
            stamp = repr(value) if isinstance(value, _CONSTANTS) else ""
        digest.update(f"{name} {stamp} ".encode())
    return digest.hexdigest()


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)


def _stamp_around(path: Path) -> str:
    """Return a hash of a file's folder; of what is in none, such as a notebook's cell, its name."""
    return _folder_stamp(path.parent) if path.is_file() else str(path)


@functools.cache
def _folder_stamp(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*.py")):
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()
