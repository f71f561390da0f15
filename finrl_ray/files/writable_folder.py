"""Whether files can be made in a folder, found out before anything starts."""

import contextlib
import os
import tempfile
from pathlib import Path

from finrl_ray.errors import ConfigError


def require_writable(key: str, folder: str | Path, remedy: str = "") -> None:
    """Check that a folder is there or can be made, and that files can be made in it.

    It is tried for real, because rights alone do not tell (read-only mounts, quotas, storage that
    takes root for nobody); what was made for it is removed again.

    Parameters
    ----------
    key : what names the folder, for the message
    folder : relative to the working folder, or absolute
    remedy : what to do besides giving another folder

    Raises
    ------
    ConfigError
        Naming `key`, the folder and the reason.
    """
    path = Path(folder)
    made: list[Path] = []
    try:
        with contextlib.suppress(RuntimeError):  # ~user of nobody: a folder of that name is meant
            path = path.expanduser().absolute()
        _make(path, made)
        with tempfile.TemporaryDirectory(dir=path, prefix=".finrl_ray_"):
            pass
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"{key} must be a folder in which this process can make files, got {folder}: "
            f"{_reason(error)}. Give another folder{remedy}, or the rights to write there"
        ) from error
    finally:
        for one in reversed(made):
            with contextlib.suppress(OSError):  # another process has begun to use it
                one.rmdir()


def _make(path: Path, made: list[Path]) -> None:
    missing = []
    for place in (path, *path.parents):
        if os.path.lexists(place):
            break
        missing.append(place)
    for one in reversed(missing):
        with contextlib.suppress(FileExistsError):
            one.mkdir()
            made.append(one)


def _reason(error: OSError | ValueError) -> str:
    if isinstance(error, OSError) and error.strerror:
        place = error.filename or ""
        hidden = Path(str(place)).name.startswith(".finrl_ray_")
        place = Path(str(place)).parent if hidden else place
        return f"{error.strerror} ({place})" if place else error.strerror
    return str(error)
