"""What is said of compiling: once, when it happens, and nothing where code was kept."""

import os
import subprocess
import sys
from pathlib import Path

from numba import njit

from finrl_ray.machine.compiled_cache import compiling_noted

PROGRAM = """
from finrl_ray.machine.compiled_cache import cached_njit, compiling_noted

@cached_njit()
def doubled(value):
    return 2 * value

said = []
with compiling_noted(lambda: said.append("compiling")):
    doubled(3)
    doubled(3.0)
print(said)
"""


def test_the_first_compilation_is_told_and_no_other() -> None:
    said: list[str] = []
    one, other = njit(lambda value: value + 1), njit(lambda value: value + 2)
    with compiling_noted(lambda: said.append("compiling")):
        assert said == []
        assert (one(1), other(1), one(1)) == (2, 3, 2)
    assert said == ["compiling"]
    with compiling_noted(lambda: said.append("again")):
        assert (one(1), other(1)) == (2, 3)
    assert said == ["compiling"]
    other(1.5)  # another type, but nobody asks any more
    assert said == ["compiling"]


def test_what_is_kept_on_disk_is_not_told(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM, encoding="utf-8")
    said = [
        subprocess.run(
            [sys.executable, str(program)],
            env={**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / "cache")},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for _ in range(2)
    ]
    assert said == ["['compiling']", "[]"]
