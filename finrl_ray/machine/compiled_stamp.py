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
    return dispatcher


@functools.cache
def _function_stamp(function: Any) -> str:
    """Return a hash of a function's file and of what its global names stand for."""
    digest = hashlib.sha256(_file_stamp(Path(function.__code__.co_filename)).encode())
    for name in sorted(set(_names(function.__code__))):
        value = function.__globals__.get(name)
        called = getattr(value, "py_func", None)
        written = getattr(value, "_defn", None)  # of an intrinsic, whose code it writes
        if inspect.isfunction(called):
            # a function that calls itself has told its own file already
            stamp = "" if called is function else _function_stamp(called)
        elif inspect.isfunction(written):
            stamp = _folder_stamp(Path(written.__code__.co_filename).parent)
        else:
            stamp = repr(value) if isinstance(value, _CONSTANTS) else ""
        digest.update(f"{name} {stamp} ".encode())
    return digest.hexdigest()


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)


@functools.cache
def _file_stamp(path: Path) -> str:
    """Return a hash of a file; of what has none, such as a notebook's cell, of its name."""
    content = path.read_bytes() if path.is_file() else str(path).encode()
    return hashlib.sha256(content).hexdigest()


@functools.cache
def _folder_stamp(folder: Path) -> str:
    """Return a hash of the Python files of a folder, of which an intrinsic's code is made."""
    return "".join(_file_stamp(path) for path in sorted(folder.glob("*.py")))
