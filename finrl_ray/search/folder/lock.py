"""The lock of a folder: one process at a time runs a search.

The lock ends with its process, however the process ends. Where the storage has no file locks
(Lustre without `flock`, some FUSE and NFS mounts) the lock's file names the process instead.
"""

import contextlib
import logging
import socket
from collections.abc import Iterator
from pathlib import Path

import psutil
from filelock import BaseFileLock, FileLock, Timeout

from finrl_ray.errors import SearchError
from finrl_ray.search.folder.names import LOCK_FILE

logger = logging.getLogger(__name__)

_SAME_START_S = 1.0
"""Start times of one process, read by two processes, differ by rounding alone."""


@contextlib.contextmanager
def sole_process(folder: Path, refusal: str) -> Iterator[None]:
    """Hold the lock of a folder.

    Raises
    ------
    SearchError
        If another process holds it; `refusal` is its text. If the folder cannot be written.
    """
    lock = _lock(folder)
    try:
        lock.acquire()
    except Timeout:
        raise SearchError(refusal) from None
    except OSError as error:
        _require_writable(folder)
        with _recorded(folder, refusal, error):
            yield
        return
    try:
        yield
    finally:
        lock.release()


def is_driven(folder: Path) -> bool:
    """Return whether a process is running the search in a folder, as far as locks tell.

    On storage without locks processes of other machines are not seen.
    """
    if not (folder / LOCK_FILE).is_file():
        return False
    lock = _lock(folder)
    try:
        lock.acquire()
    except Timeout:
        return True
    except OSError:  # no locks, or a folder that can only be read, in which no search can run
        return _recorded_process_lives(folder / LOCK_FILE)
    lock.release()
    return False


def _lock(folder: Path) -> BaseFileLock:
    # held by others is a Timeout (EWOULDBLOCK and EACCES); all else is an OSError. A file that only
    # its existence makes a lock would outlive a killed process on another machine
    return FileLock(folder / LOCK_FILE, blocking=False, thread_local=False, fallback_to_soft=False)


def _require_writable(folder: Path) -> None:
    try:
        (folder / LOCK_FILE).open("a").close()
    except OSError as error:
        raise SearchError(
            f"{folder} must be writable to run what is in it: {error.strerror or error}"
        ) from error


@contextlib.contextmanager
def _recorded(folder: Path, refusal: str, error: OSError) -> Iterator[None]:
    """Note this process in the lock's file while the block runs, as it cannot be locked."""
    path = folder / LOCK_FILE
    if _recorded_process_lives(path):
        raise SearchError(refusal)
    logger.warning(
        "the storage of %s (%s) has no file locks (%s): a second process is noticed on this "
        "machine alone; take care that no other machine runs the same search",
        folder,
        file_system_of(folder),
        error.strerror or error,
    )
    own = psutil.Process()
    path.write_text(f"{socket.gethostname()} {own.pid} {own.create_time()}\n", encoding="utf-8")
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            path.write_text("", encoding="utf-8")


def _recorded_process_lives(path: Path) -> bool:
    """Return whether the process that is noted in a file runs on this machine."""
    try:
        host, pid, started = path.read_text(encoding="utf-8").split()
        if host != socket.gethostname():
            return False
        process = psutil.Process(int(pid))
        same: bool = abs(process.create_time() - float(started)) < _SAME_START_S
        return same and process.status() != psutil.STATUS_ZOMBIE
    except (OSError, ValueError, psutil.Error):
        return False


def file_system_of(path: Path) -> str:
    """Return the type of the file system that a path lies on, and where it is mounted."""
    parts = path.resolve().parts
    mounts = [(Path(one.mountpoint).parts, one) for one in psutil.disk_partitions(all=True)]
    above = [(len(mount), one) for mount, one in mounts if parts[: len(mount)] == mount]
    if not above:
        return "an unknown file system"
    # of several mounts at one place the last one is seen
    depth = max(depth for depth, _ in above)
    (*_, found) = (one for length, one in above if length == depth)
    return f"{found.fstype} at {found.mountpoint}"
