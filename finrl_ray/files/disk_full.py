"""A disk without room: how its errors are told from others, and what they mean in words.

An error may come from another process or node, wrapped by Ray, pyarrow, torch or SQLite, so that
nothing but its text is left.
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

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
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
# what writing raises, besides a FinRLRayError that was made of it
WRITE_ERRORS = (
    OSError,
    RuntimeError,
    ValueError,
    EOFError,
    zipfile.BadZipFile,
    sqlite3.Error,
)


class NoRoomError(SearchError):
    """A disk, a quota or a store has no room; what was done so far is kept."""


def is_no_room(error: BaseException | None) -> bool:
    """Return whether an error, or one that it was raised from, is that of a disk without room."""
    return any(_is_one(link) for link in _chain(error))


def innermost(error: BaseException | None) -> NoRoomError | None:
    """Return the first `NoRoomError` from which an error has come, if there is one."""
    # Ray's copy of one is of a class of its own, and its text is a traceback
    found = [link for link in _chain(error) if type(link) is NoRoomError]
    return found[-1] if found else None


def _is_one(error: BaseException) -> bool:
    by_number = isinstance(error, OSError) and error.errno in NO_ROOM
    return by_number or isinstance(error, NoRoomError) or says_no_room(str(error))


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        # Ray keeps what was raised in a worker as `cause`
        kept = getattr(error, "cause", None)
        inner = kept if isinstance(kept, BaseException) else None
        error = inner or error.__cause__ or error.__context__


def says_no_room(text: str) -> bool:
    """Return whether a text, such as the traceback of another process, says so."""
    return any(words in text for words in _TEXTS)


def room_in(folder: str | Path) -> str:
    """Return in words how much room there is where a folder lies or would lie; empty if unknown."""
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


def no_room(what: str, error: BaseException, folders: list[str | Path], remedy: str) -> NoRoomError:
    """Return the error that says what could not be written, where, and what to do.

    Parameters
    ----------
    what : names what was to be written
    error : how that failed
    folders : on whose disks there may be no room
    remedy : one sentence
    """
    known = innermost(error)
    if known is not None:
        return known
    named = getattr(error, "filename", None)
    places = [Path(named).parent, *folders] if isinstance(named, str) else folders
    rooms = dict.fromkeys(filter(None, map(room_in, places)))
    reason = _reason(error)
    said = f" ({'; '.join(rooms)})" if rooms else ""
    return NoRoomError(f"{what} cannot be written: {reason}{said}. {remedy}")


@contextlib.contextmanager
def telling_no_room(what: str, folders: list[str | Path], remedy: str) -> Iterator[None]:
    """Run a block that writes; a disk without room becomes a `NoRoomError`.

    Parameters
    ----------
    what, folders, remedy : see `no_room`
    """
    try:
        yield
    except NoRoomError:
        raise
    except WRITE_ERRORS as error:
        if not is_no_room(error):
            raise
        raise no_room(what, error, folders, remedy) from error


def _reason(error: BaseException) -> str:
    if isinstance(error, OSError) and error.errno in NO_ROOM and error.strerror:
        plain = os.strerror(error.errno)
        return plain if plain in error.strerror else error.strerror
    if isinstance(error, shutil.Error):  # of a copied folder: a list of all that was not copied
        return next((text for text in map(os.strerror, NO_ROOM) if text in str(error)), str(error))
    lines = [line.strip() for line in str(error).splitlines() if says_no_room(line)]
    return (lines[-1] if lines else str(error))[:300]
