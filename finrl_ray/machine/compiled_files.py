"""Numba's files of compiled functions, safe where several processes compile at once or are killed.

The workers of a search that starts on a fresh machine meet the same functions within a moment.
Numba alone lets each of them compile, some twenty seconds long; and it writes the list of a
function's files before the files, under names that older code has used: two processes that compile
for two types may write the same file, and after a kill in between the list names what was compiled
before.
"""

import contextlib
import functools
import glob
import hashlib
import uuid
from collections.abc import Callable, Iterator
from operator import attrgetter
from pathlib import Path
from typing import Any

import numba
from filelock import FileLock
from numba.core import sigutils
from numba.core.compiler_lock import global_compiler_lock

_PROCESS = uuid.uuid4().hex[:8]
PATIENCE_S = 300.0
"""For another process that compiles the same; afterwards this one compiles too."""
_CACHE = attrgetter("_cache")
_PRIVATE = attrgetter(
    "_cache._index_key",
    "_cache._cache_file._load_index",
    "_cache._cache_file._data_name_pattern",
    "_cache._cache_file._index_path",
    "targetctx.codegen",
)
"""What is used of Numba's dispatcher that is private."""


def with_safe_files(dispatcher: Any, stamp: bytes) -> Any:
    """Return a compiled function that one process compiles, and for which the others wait.

    Parameters
    ----------
    dispatcher : what `numba.njit(cache=True)` has returned
    stamp : of what its code is made of; files are named by it and by their process, so that those
        of other code, or of another process, are never taken for them
    """
    try:
        _PRIVATE(dispatcher)
    except AttributeError:  # a Numba that names them otherwise: its own ways stay
        return dispatcher
    files = _CACHE(dispatcher)._cache_file
    place = Path(files._index_path)
    of = hashlib.sha256(stamp + numba.__version__.encode()).hexdigest()[:12]
    files._data_name_pattern = f"{place.stem}.{of}.{_PROCESS}.{{number:d}}.nbc"
    files._load_index = _own_entries(files._load_index, f"{place.stem}.{of}.")
    # of all threads, since Numba lets one of them compile at a time
    lock = FileLock(place.with_suffix(".lock"), timeout=PATIENCE_S, thread_local=False)
    compile_now = dispatcher.compile

    @functools.wraps(compile_now)
    def compile_once(signature: Any) -> Any:
        # Numba takes its lock within: in the other order two threads would wait for each other
        with global_compiler_lock:
            if _is_known(dispatcher, signature):
                return compile_now(signature)
            with _alone(lock):
                found = compile_now(signature)
                _remove_others(place, of)
                return found

    dispatcher.compile = compile_once
    return dispatcher


def _own_entries(
    load_index: Callable[[], dict[Any, str]], own: str
) -> Callable[[], dict[Any, str]]:
    """Return what reads a function's list of files without those that other names were given to.

    A list that Numba alone has written, or an earlier version of this module, may be of the same
    code. Numba would write what it compiles under the name there, and `_remove_others` remove it.
    """

    def load() -> dict[Any, str]:
        return {key: name for key, name in load_index().items() if name.startswith(own)}

    return load


def _is_known(dispatcher: Any, signature: Any) -> bool:
    """Return whether nothing has to be compiled: this process has the code, or the disk."""
    numbas: Any = sigutils  # which has no types
    arguments, _ = numbas.normalize_signature(signature)
    if tuple(arguments) in dispatcher.overloads:
        return True
    cache = _CACHE(dispatcher)
    dispatcher.targetctx.refresh()
    key = cache._index_key(signature, dispatcher.targetctx.codegen())
    name = cache._cache_file._load_index().get(key)
    return name is not None and (Path(cache.cache_path) / name).exists()


@contextlib.contextmanager
def _alone(lock: FileLock) -> Iterator[None]:
    """Hold the lock; where there is none, as in a folder that is read-only, go on without."""
    try:
        Path(lock.lock_file).parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except (OSError, NotImplementedError):  # a Timeout among them
        yield
        return
    try:
        yield
    finally:
        lock.release()


def _remove_others(place: Path, of: str) -> None:
    """Remove what was compiled of the function before it was changed."""
    own = f"{place.stem}.{of}."
    for path in place.parent.glob(f"{glob.escape(place.stem)}.*.nbc"):
        if not path.name.startswith(own):
            with contextlib.suppress(OSError):
                path.unlink()
