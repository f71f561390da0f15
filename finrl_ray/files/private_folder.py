"""A folder of this user's own, for what is usually kept in HOME or beside the package.

Under `docker run --user`, with packages of root and on read-only file systems neither can be
written. The temporary folder can, but it is everybody's: nobody else may put anything under our
name there, nor read what we keep.
"""

import functools
import logging
import os
import sys
import tempfile
from pathlib import Path

from finrl_ray.files.ownership import Ownership, folder_ownership

logger = logging.getLogger(__name__)

MATPLOTLIB_VARIABLE = "MPLCONFIGDIR"
_SHARED_MEMORY = Path("/dev/shm")  # what a container with read-only disks still has


@functools.cache
def private_folder() -> Path:
    """Return the folder; the first call makes it and says so.

    Raises
    ------
    OSError
        If there is no temporary folder that can be written.
    """
    path = _usual_place()
    try:
        path.mkdir(mode=0o700)
    except FileExistsError:
        if not _is_own(path):
            # of another user, or open to others: one that nobody can have foreseen
            path = Path(tempfile.mkdtemp(prefix=f"{path.name}-"))
    logger.warning(
        "HOME, or the folder of the package, cannot be written: compiled code, Matplotlib's files "
        "and Ray's token are kept in %s",
        path,
    )
    return path


def existing_private_folder() -> Path | None:
    """Return the folder if an earlier process of this user has made it; None otherwise."""
    try:
        path = _usual_place()
    except OSError:
        return None
    return path if _is_own(path) else None


def _usual_place() -> Path:
    number = str(os.getuid()) if hasattr(os, "getuid") else "user"  # on Windows it is the user's
    return _temporary() / f"finrl_ray-{number}"


def _temporary() -> Path:
    try:
        return Path(tempfile.gettempdir())
    except FileNotFoundError:  # none can be written
        if not can_be_written(_SHARED_MEMORY):
            raise
        return _SHARED_MEMORY


def _is_own(path: Path) -> bool:
    try:
        return folder_ownership(path) is Ownership.PRIVATE
    except OSError:
        return False


def home() -> Path | None:
    """Return the user's home; None where HOME is not set and the system knows no user."""
    try:
        return Path.home()
    except RuntimeError:
        return None


def can_be_written(folder: Path) -> bool:
    """Return whether files can be made in a folder, or it can be made; nothing is."""
    for place in (folder, *folder.parents):
        if os.path.lexists(place):
            return place.is_dir() and os.access(place, os.W_OK | os.X_OK)
    return False


def set_fallback_folders() -> None:
    """Give Ray and Matplotlib folders where they would find none; before they are imported.

    Where HOME is not set and the system does not know the user, Ray cannot even be imported.
    """
    if home() is None:
        try:
            folder = private_folder() / "home"
            folder.mkdir(mode=0o700, exist_ok=True)
        except OSError:  # whatever needs it says so itself
            return
        os.environ["HOME"] = str(folder)
    _settle_matplotlib()


def _settle_matplotlib() -> None:
    """Give Matplotlib a folder for its files where its own cannot be written; before its import.

    It would make one for each process, with a warning, and look for fonts in each anew.
    """
    if os.environ.get(MATPLOTLIB_VARIABLE) or "matplotlib" in sys.modules:
        return
    if all(folder is not None and can_be_written(folder) for folder in _of_matplotlib()):
        return
    try:
        folder = private_folder() / "matplotlib"
        folder.mkdir(exist_ok=True)
    except OSError:  # Matplotlib, which only needs it for speed, says so itself
        return
    os.environ[MATPLOTLIB_VARIABLE] = str(folder)


def _of_matplotlib() -> list[Path | None]:
    own = home()
    if not sys.platform.startswith(("linux", "freebsd")):
        return [own and own / ".matplotlib"]
    return [
        Path(os.environ[name], "matplotlib")
        if os.environ.get(name)
        else own and own / default / "matplotlib"
        for name, default in (("XDG_CONFIG_HOME", ".config"), ("XDG_CACHE_HOME", ".cache"))
    ]
