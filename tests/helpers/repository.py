"""Where this repository is, for tests that read its documents or start programs in it."""

import shutil
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
TESTS = REPOSITORY / "tests"
SHARED = REPOSITORY.parent / "shared"
"""Prices and reference values beside the repository; tests that read them skip without them."""


def copy_package(folder: Path) -> Path:
    """Copy the package into a folder with what numba has compiled of it; return the copy.

    Compiled code goes with a file of the same name and time, and what a test then changes is
    compiled anew. To compile all of it takes a quarter of a minute in each copy.
    """
    # while another process compiles, it has files of that name for a moment
    left_out = shutil.ignore_patterns("*.pyc", "*.tmp.*")
    return Path(shutil.copytree(REPOSITORY / "finrl_ray", folder / "finrl_ray", ignore=left_out))
