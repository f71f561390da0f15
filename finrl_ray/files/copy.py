"""Copying a folder: the target is the whole copy, or what it was before."""

import os
import shutil
import tempfile
from pathlib import Path


def copy_tree(source: Path, target: Path) -> None:
    """Copy a folder so that the target is the whole copy, or what it was."""
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".copy") as scratch:
        copy = Path(scratch) / target.name
        shutil.copytree(source, copy)
        if target.exists():
            target.rename(Path(scratch) / "old")
        os.replace(copy, target)  # noqa: PTH105  # Path.rename refuses an existing folder on some systems
