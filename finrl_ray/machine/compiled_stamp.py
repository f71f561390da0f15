"""What compiled code that is kept on disk was made from, callees and constants included.

Numba keeps a function together with a hash of its own file. A function that it calls, or a constant
that it uses, may come from another file: if only that one changes, Numba would go on with what it
has kept.
"""

import functools
import hashlib
import inspect
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

import numpy as np

_CONSTANTS = (bool, int, float, str, bytes, tuple, type(None), np.generic)


def with_whole_stamp(dispatcher: Any) -> Any:
    """Return a compiled function whose file on disk is taken only while all it uses is the same.

    Parameters
    ----------
    dispatcher : what `numba.njit(cache=True)` has returned
    """
    kept = _file_of(dispatcher)
    if kept is not None:
        digest = hashlib.sha256(repr(kept._source_stamp).encode())
        function = dispatcher.py_func
        for name in sorted(set(_names(function.__code__))):
            digest.update(_stamp(name, function.__globals__.get(name)))
        kept._source_stamp = digest.digest()
    return dispatcher


def _file_of(value: Any) -> Any:
    """Return Numba's file of a compiled function, or None: these names of Numba are private."""
    kept = getattr(getattr(value, "_cache", None), "_cache_file", None)
    return kept if hasattr(kept, "_source_stamp") else None


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)


def _stamp(name: str, value: Any) -> bytes:
    """Return what changes with the value of a global name, as far as compiled code can see it."""
    kept = _file_of(value)
    if kept is not None:
        return f"{name} {kept._source_stamp!r}".encode()
    written = getattr(value, "_defn", None)  # of an intrinsic: the function that writes its code
    if inspect.isfunction(written):
        return f"{name} {_folder_stamp(Path(written.__code__.co_filename).parent)}".encode()
    if isinstance(value, ModuleType) or not isinstance(value, _CONSTANTS):
        return name.encode()
    return f"{name} {value!r}".encode()


@functools.cache
def _folder_stamp(folder: Path) -> str:
    """Return a hash of the Python files of a folder, of which an intrinsic's code is made."""
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*.py")):
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()
