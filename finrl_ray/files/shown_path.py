"""Paths as messages show them: without the `a/..` that joining folders leaves."""

import os
from pathlib import Path


def shown_path(path: str | Path) -> str:
    """Return a path without `a/..`, unless a symbolic link makes that another place."""
    plain = os.path.normpath(path)
    try:
        same = Path(plain).resolve() == Path(path).resolve()
    except (OSError, RuntimeError, ValueError):
        same = False  # a loop of links, or no path at all
    return plain if same else str(path)
