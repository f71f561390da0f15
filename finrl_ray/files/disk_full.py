"""A full disk: how its errors are told from others, and what they mean in words.

A disk, a quota or an object store may be full. The error may come from another process or node,
wrapped by Ray, pyarrow, torch or SQLite, so that nothing but its text is left.
"""

import contextlib
import errno
import os
import shutil
import sqlite3
import zipfile
from collections.abc import Iterator
from pathlib import Path

from finrl_ray.errors import SearchError
from finrl_ray.support.text import readable_bytes

DISK_FULL_ERRNOS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_TEXTS = (
    os.strerror(errno.ENOSPC),
    os.strerror(errno.EDQUOT),
    "No space left on device",
    "Disk quota exceeded",
    "not enough space on the disk",  # Windows
    "database or disk is full",
    "[Errno 28]",
    "[errno 28]",
    # torch, of the file that it could not finish
    "PytorchStreamWriter failed writing",
    "unexpected pos",
    "OutOfDiskError",
    "Local disk is full",
    # object stores, by their names of it
    "QuotaExceeded",
    "XMinioStorageFull",
    "minimum free drive threshold",
    "InsufficientStorage",
    "Insufficient Storage",
    "storage quota",
)
# the classes that writing a file raises, besides those of this package
WRITE_ERRORS = (
    OSError,
    RuntimeError,
    ValueError,
    EOFError,
    zipfile.BadZipFile,
    sqlite3.Error,
)


class DiskFullError(SearchError):
    """A disk, a quota or an object store is full; what was done so far is kept."""


def is_disk_full(error: BaseException | None) -> bool:
    """Return whether an error, or one that it was raised from, is that of a full disk."""
    return any(_is_one(link) for link in _chain(error))


def find_disk_full(error: BaseException | None) -> DiskFullError | None:
    """Return the first `DiskFullError` from which an error has come, if there is one."""
    # Ray's copy of one is of a class of its own, and its text is a traceback
    found = [link for link in _chain(error) if type(link) is DiskFullError]
    return found[-1] if found else None


def _is_one(error: BaseException) -> bool:
    by_number = isinstance(error, OSError) and error.errno in DISK_FULL_ERRNOS
    return by_number or isinstance(error, DiskFullError) or says_disk_full(str(error))


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        # Ray keeps what was raised in a worker as `cause`
        kept = getattr(error, "cause", None)
        inner = kept if isinstance(kept, BaseException) else None
        error = inner or error.__cause__ or error.__context__


def says_disk_full(text: str) -> bool:
    """Return whether a text, such as another process's traceback, is about a full disk."""
    return any(words in text for words in _TEXTS)


def free_space_in_words(folder: str | Path) -> str:
    """Return in words how much space is free where a folder lies or would lie; empty if unknown."""
    found = _usage(folder)
    if found is None:
        return ""
    path, free, total = found
    return f"{path} has {readable_bytes(free)} free of {readable_bytes(total)}"


def free_bytes(folder: str | Path) -> int | None:
    """Return how many bytes are free where a folder lies or would lie; None if unknown."""
    found = _usage(folder)
    return None if found is None else found[1]


def _usage(folder: str | Path) -> tuple[Path, int, int] | None:
    place = Path(folder)
    for path in (place, *place.parents):
        with contextlib.suppress(OSError):
            usage = shutil.disk_usage(path)
            return path, usage.free, usage.total
    return None


def disk_full_error(
    what: str, error: BaseException, folders: list[str | Path], remedy: str
) -> DiskFullError:
    """Return the error that says what could not be written, where, and what to do.

    Parameters
    ----------
    what : names what was to be written
    error : how that failed
    folders : those whose disks may be full
    remedy : one sentence
    """
    known = find_disk_full(error)
    if known is not None:
        return known
    named = getattr(error, "filename", None)
    places = [Path(named).parent, *folders] if isinstance(named, str) else folders
    spaces = dict.fromkeys(filter(None, map(free_space_in_words, places)))
    reason = _reason(error)
    said = f" ({'; '.join(spaces)})" if spaces else ""
    return DiskFullError(f"{what} cannot be written: {reason}{said}. {remedy}")


@contextlib.contextmanager
def explain_disk_full(what: str, folders: list[str | Path], remedy: str) -> Iterator[None]:
    """Run a block that writes; the error of a full disk becomes a `DiskFullError`.

    Parameters
    ----------
    what, folders, remedy : see `disk_full_error`
    """
    try:
        yield
    except DiskFullError:
        raise
    except WRITE_ERRORS as error:
        if not is_disk_full(error):
            raise
        raise disk_full_error(what, error, folders, remedy) from error


def _reason(error: BaseException) -> str:
    if isinstance(error, OSError) and error.errno in DISK_FULL_ERRNOS and error.strerror:
        plain = os.strerror(error.errno)
        return plain if plain in error.strerror else error.strerror
    if isinstance(error, shutil.Error):  # of a copied folder: a list of all that was not copied
        return next(
            (text for text in map(os.strerror, DISK_FULL_ERRNOS) if text in str(error)), str(error)
        )
    lines = [line.strip() for line in str(error).splitlines() if says_disk_full(line)]
    return (lines[-1] if lines else str(error))[:300]
