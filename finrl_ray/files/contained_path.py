"""Paths named in files that others may have written: followed only inside their folder."""

import re
from pathlib import Path, PurePosixPath, PureWindowsPath

from finrl_ray.errors import SearchError

_SHOWN = 120
_PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./-]*")
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,199}")


def why_outside(name: object) -> str:
    """Return why a relative path must not be followed, or an empty text if it stays inside.

    Only the text is looked at; what links make of it is found by `path_inside`.

    Parameters
    ----------
    name : as it stands in a file, with `/` between its parts
    """
    if not isinstance(name, str) or not name:
        return "it is no path"
    if _PLAIN.fullmatch(name) and ".." not in name:
        return ""  # as all that are written here; a journal has many
    if "\0" in name:
        return "it holds a NUL byte"
    # a backslash separates on Windows alone, but a folder may be read there tomorrow
    if name.startswith(("/", "\\")) or PureWindowsPath(name).drive:
        return "it is absolute"
    if ".." in PurePosixPath(name.replace("\\", "/")).parts:
        return "it leads out of the folder"
    return ""


def checked_relative_path(name: object, what: str) -> str:
    """Return a relative path that stays inside its folder.

    Parameters
    ----------
    name : as it stands in a file
    what : names the file, and the place in it, for the message

    Raises
    ------
    SearchError
        If it is absolute, or leads out of the folder.
    """
    problem = why_outside(name)
    if problem:
        raise SearchError(
            f"{what} names {_short(name)}, which is not followed: {problem}; a path must lie in "
            "the folder that the file belongs to. Was the file changed by hand?"
        )
    assert isinstance(name, str)
    return name


def path_inside(folder: Path, name: object, what: str) -> Path:
    """Return the path of what is called `name` in a folder, links in it followed to their end.

    Parameters
    ----------
    folder : which may itself be reached through links
    name : as it stands in a file
    what : names the file, and the place in it, for the message

    Raises
    ------
    SearchError
        If it is absolute, or leads out of the folder, by itself or through a link.
    """
    path = folder / checked_relative_path(name, what)
    try:
        inside = path.resolve().is_relative_to(folder.resolve())
    except (OSError, RuntimeError):  # links that go round in a circle
        inside = False
    if not inside:
        raise SearchError(
            f"{what} names {_short(name)}, which a link leads out of {folder}; it is not followed"
        )
    return path


def checked_folder_name(name: object, what: str) -> str:
    """Return a name that may be used for a folder.

    Raises
    ------
    SearchError
        If it has other characters than letters, digits, `_`, `-` and `.`, or is too long.
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise SearchError(
            f"{what} must be up to 200 letters, digits, '_', '-' or '.', got {_short(name)}; was "
            "the file changed by hand?"
        )
    return name


def _short(value: object) -> str:
    text = repr(value[:_SHOWN] if isinstance(value, str) else type(value).__name__)
    return f"{text}..." if isinstance(value, str) and len(value) > _SHOWN else text
