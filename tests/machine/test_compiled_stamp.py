"""Four files in folders of their own, since all files of a folder count: they may name fields."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

CALLEE = """
from finrl_ray.machine.compiled_cache import cached_njit

@cached_njit()
def times(x):
    return {callee} * x
"""
MIDDLE = """
from down.callee import times
from numba import njit

@njit
def between(x):
    return times(x) + 1
"""
CONSTANTS = """
FACTOR = {factor}
OTHER = {other}
"""
CALLER = """
from finrl_ray.machine.compiled_cache import cached_njit
from beside.constants import FACTOR
from between.middle import between

@cached_njit()
def chained(x):
    return between(x)

@cached_njit()
def scaled(x):
    return FACTOR * x

found = chained(10), scaled(10)
hits = [sum(f.stats.cache_hits.values()) for f in (chained, scaled)]
print(*found, *hits)
"""


def run(
    folder: Path, *, callee: int = 2, factor: int = 3, other: int = 0, neighbour: int = 0
) -> list[int]:
    """Return what both functions give, and for each whether it was taken from the disk."""
    files = {
        "down/callee.py": CALLEE.format(callee=callee),
        "between/middle.py": MIDDLE,
        "beside/constants.py": CONSTANTS.format(factor=factor, other=other),
        "caller.py": CALLER,
        "neighbour.py": f"FIELD = {neighbour}",
    }
    for name, text in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    done = subprocess.run(
        [sys.executable, "caller.py"],
        cwd=folder,
        env={**os.environ, "NUMBA_CACHE_DIR": str(folder / "kept")},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    return [int(word) for word in done.stdout.split()]


@pytest.mark.slow
def test_a_change_in_another_file_is_noticed(tmp_path: Path) -> None:
    assert run(tmp_path) == [21, 30, 0, 0]
    assert run(tmp_path) == [21, 30, 1, 1]
    # two files further down: only what calls it is compiled anew
    assert run(tmp_path, callee=4) == [41, 30, 0, 1]
    # a constant of another file, which only one of them uses
    assert run(tmp_path, callee=4, factor=5) == [41, 50, 1, 0]
    # another constant of that file, used by neither
    assert run(tmp_path, callee=4, factor=5, other=1) == [41, 50, 1, 1]
    # a file of their own folder
    assert run(tmp_path, callee=4, factor=5, other=1, neighbour=1) == [41, 50, 0, 0]
