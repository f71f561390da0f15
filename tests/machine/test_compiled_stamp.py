import os
import subprocess
import sys
from pathlib import Path

import pytest

CALLEE = """
from finrl_ray.machine.compiled_cache import cached_njit

FACTOR = {factor}

@cached_njit()
def times(x):
    return {callee} * x
"""
MIDDLE = """
from callee import times
from numba import njit

@njit
def between(x):
    return times(x) + 1
"""
CALLER = """
from finrl_ray.machine.compiled_cache import cached_njit
from callee import FACTOR
from middle import between

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


def run(folder: Path, *, callee: int, factor: int) -> list[int]:
    (folder / "callee.py").write_text(CALLEE.format(callee=callee, factor=factor))
    (folder / "middle.py").write_text(MIDDLE)
    (folder / "caller.py").write_text(CALLER)
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
    assert run(tmp_path, callee=2, factor=3) == [21, 30, 0, 0]
    assert run(tmp_path, callee=2, factor=3) == [21, 30, 1, 1]
    # two files further down
    assert run(tmp_path, callee=4, factor=3) == [41, 30, 0, 1]
    # a constant of another file
    assert run(tmp_path, callee=4, factor=5) == [41, 50, 0, 0]
