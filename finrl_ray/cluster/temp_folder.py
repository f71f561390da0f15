"""Where Ray keeps its files: a folder whose path is short enough for Ray's sockets.

The path of a Unix socket has at most 107 bytes (103 on macOS), of which Ray's own names take about
68. Batch systems such as SLURM set a TMPDIR that is longer than the rest.
"""

import logging
import os
import sys
import tempfile
from pathlib import Path

from finrl_ray.errors import ConfigError
from finrl_ray.files.ownership import Ownership, folder_ownership

logger = logging.getLogger(__name__)

FOLDER_VARIABLE = "RAY_TMPDIR"
_SOCKET_BYTES = 103 if sys.platform == "darwin" else 107
_SESSION = "/session_2026-01-31_23-59-59_123456_"
_LONGEST_SOCKET = "/sockets/dash_MetricsHead"
# of Python's multiprocessing, which Ray's dashboard uses
_PYTHON_SOCKET = "/pymp-12345678/listener-12345678"
_SHORT_BASES = ("/tmp", "/var/tmp")  # the system's own folders, which are short everywhere


def longest_path() -> int:
    """Return how many bytes the path of Ray's folder may have in this process."""
    return _SOCKET_BYTES - len(f"{_SESSION}{os.getpid()}{_LONGEST_SOCKET}")


def default_ray_folder() -> Path:
    """Return the folder that Ray takes by itself."""
    named = os.environ.get(FOLDER_VARIABLE)
    if not named and sys.platform.startswith("linux"):
        named = os.environ.get("TMPDIR")
    base = named or (tempfile.gettempdir() if sys.platform == "win32" else "/tmp")
    return Path(os.path.abspath(base)) / "ray"  # noqa: PTH100  # resolves no links, as Ray


def ray_folder() -> Path:
    """Return the folder of a Ray of our own: Ray's, or a short one where that is too long.

    Raises
    ------
    ConfigError
        If RAY_TMPDIR names one that is too long, or no short folder can be made.
    """
    folder, most = default_ray_folder(), longest_path()
    length = len(os.fsencode(folder))
    if sys.platform == "win32" or length <= most:
        return folder
    if os.environ.get(FOLDER_VARIABLE):
        raise ConfigError(
            f"{FOLDER_VARIABLE} must be a folder whose path has at most {most - len('/ray')} "
            f"bytes, because the sockets in it may have 107 with Ray's own names, got "
            f"{os.environ[FOLDER_VARIABLE]} ({length - len('/ray')} bytes); set "
            f"{FOLDER_VARIABLE}=/tmp/r, or leave it out"
        )
    short = _own_short_folder() / "ray"  # which Ray opens to everybody; the folder above is not
    logger.warning(
        "TMPDIR (%s) is too long for Ray's sockets, by %d bytes: Ray's files are in %s; set %s to "
        "another short folder if that disk is not the right one",
        os.environ.get("TMPDIR"),
        length - most,
        short,
        FOLDER_VARIABLE,
    )
    return short


def short_tmpdir() -> dict[str, str]:
    """Return the TMPDIR for Ray's own processes, where this process's is too long for sockets.

    Raises
    ------
    ConfigError
        If no short folder can be made.
    """
    length = len(os.fsencode(os.environ.get("TMPDIR", ""))) + len(_PYTHON_SOCKET)
    if sys.platform == "win32" or length <= _SOCKET_BYTES:
        return {}
    return {"TMPDIR": str(_own_short_folder())}


def _own_short_folder() -> Path:
    """Return a short folder that only this user can enter."""
    problems = []
    for base in _SHORT_BASES:
        folder = Path(base) / f"ray-{os.getuid()}"
        try:
            folder.mkdir(mode=0o700, exist_ok=True)
            ownership = folder_ownership(folder)
            if ownership is Ownership.FOREIGN:  # made by somebody else, to read what is kept in it
                folder = Path(tempfile.mkdtemp(prefix="fr", dir=base))
            elif ownership is not Ownership.PRIVATE:
                folder.chmod(0o700)
        except OSError as error:
            problems.append(str(error))
            continue
        if os.access(folder, os.W_OK):
            return folder
        problems.append(f"{folder} cannot be written")
    raise ConfigError(
        f"TMPDIR ({os.environ.get('TMPDIR')}) is too long for Ray's sockets, and no short folder "
        f"can be made: {'; '.join(problems)}. Set {FOLDER_VARIABLE} to a folder of at most "
        f"{longest_path() - len('/ray')} bytes"
    )
