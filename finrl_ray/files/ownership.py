"""Whose a file or folder is, and what other users of the machine may do with it.

Temporary folders are everybody's: another user may have put something under our name before us, to
read what is kept in it or to have it run. Each caller decides what it does about that.
"""

import enum
import os
import stat
from pathlib import Path

_READ_OR_ENTER = 0o055
_WRITE = 0o022


class Ownership(enum.IntEnum):
    """From the least to the most private."""

    FOREIGN = 0
    """Another user's, a symbolic link (whose target may be changed), or of another kind."""
    OTHERS_WRITE = 1
    """This user's, but others may change it."""
    OTHERS_READ = 2
    """This user's alone to change, but others may read it, or enter the folder."""
    PRIVATE = 3
    """This user's alone."""


def folder_ownership(path: Path) -> Ownership:
    """Return whose a folder is; what is no folder is foreign.

    Without users and modes, as on Windows, every folder counts as private: the temporary folder is
    the user's own there.

    Raises
    ------
    OSError
        If there is nothing, or it cannot be looked at.
    """
    found = path.lstat()
    return _ownership(found) if stat.S_ISDIR(found.st_mode) else Ownership.FOREIGN


def file_ownership(path: Path) -> Ownership:
    """Return whose a file is; what is no regular file is foreign.

    Windows and errors are as in `folder_ownership`.
    """
    found = path.lstat()
    return _ownership(found) if stat.S_ISREG(found.st_mode) else Ownership.FOREIGN


def _ownership(found: os.stat_result) -> Ownership:
    if not hasattr(os, "getuid"):
        return Ownership.PRIVATE
    if found.st_uid != os.getuid():
        return Ownership.FOREIGN
    if found.st_mode & _WRITE:
        return Ownership.OTHERS_WRITE
    return Ownership.OTHERS_READ if found.st_mode & _READ_OR_ENTER else Ownership.PRIVATE
