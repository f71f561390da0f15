"""Several processes that compile at once, and one that is killed while it does."""

import os
import subprocess
import sys
from pathlib import Path

PROGRAM = """
import os, pathlib, sys, time
import filelock
from finrl_ray.machine.compiled_cache import cached_njit, compiling_noted

@cached_njit()
def times(value):
    return {factor} * value

@cached_njit()
def countdown(n):
    if n <= 0:
        return 0
    return countdown(n - 1) + 1

def refuse(*_):
    raise PermissionError("no file can be locked")

if "lockless" in sys.argv:
    filelock.FileLock.acquire = refuse
if "named" in sys.argv:  # as Numba alone does, of the same code
    files = times._cache._cache_file
    files._data_name_pattern = f"{{pathlib.Path(files._index_path).stem}}.{{{{number:d}}}}.nbc"
    del files._load_index
if "killed" in sys.argv:
    times._cache._cache_file._save_data = lambda *_: os._exit(9)
if "slowly" in sys.argv:
    files = times._cache._cache_file
    save = files._save_index
    files._save_index = lambda index: (time.sleep(0.5), save(index))
for count, place in (one.split("=") for one in sys.argv if "=" in one):
    # whoever is there waits for the others, so that all of them compile at once
    pathlib.Path(place, str(os.getpid())).touch()
    until = time.monotonic() + 120
    while len(os.listdir(place)) < int(count):
        if time.monotonic() > until:
            sys.exit("one of the others has ended before it was there")
        time.sleep(0.001)
value = 1.5 if "float" in sys.argv else 10
said = []

def compiling():
    said.append(1)
    time.sleep(0.5)  # long enough for the others to come

with compiling_noted(compiling):
    print(times(value), end=" ")
print(len(said), countdown(3))
"""


def started(folder: Path, *arguments: str, factor: int = 2) -> "subprocess.Popen[str]":
    program = folder / "program.py"
    program.write_text(PROGRAM.format(factor=factor), encoding="utf-8")
    return subprocess.Popen(
        [sys.executable, str(program), *arguments],
        env={**os.environ, "NUMBA_CACHE_DIR": str(folder / "kept")},
        stdout=subprocess.PIPE,
        text=True,
    )


def told(process: "subprocess.Popen[str]") -> str:
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0
    return output.strip()


def test_one_of_several_processes_compiles(tmp_path: Path) -> None:
    (tmp_path / "present").mkdir()
    beside = f"3={tmp_path / 'present'}"
    answers = [told(one) for one in [started(tmp_path, beside) for _ in range(3)]]
    assert sorted(answers) == ["20 0 3", "20 0 3", "20 1 3"]


def test_two_types_at_once_have_files_of_their_own(tmp_path: Path) -> None:
    for lock in ("", "lockless"):
        folder = tmp_path / f"places {lock}"
        (folder / "present").mkdir(parents=True)
        both = lock, "slowly", f"2={folder / 'present'}"
        processes = [started(folder, *both), started(folder, "float", *both)]
        assert [told(one) for one in processes] == ["20 1 3", "3.0 1 3"]
        # without a lock the list may lack one of them, but never has the other's
        kept = "01" if lock else "0"
        assert told(started(folder)) in [f"20 {n} 3" for n in kept]
        assert told(started(folder, "float")) in [f"3.0 {n} 3" for n in kept]


def test_what_was_compiled_before_is_not_taken_after_a_kill(tmp_path: Path) -> None:
    assert told(started(tmp_path, factor=2)) == "20 1 3"
    killed = started(tmp_path, "killed", factor=3)
    killed.communicate(timeout=300)
    assert killed.returncode == 9
    assert told(started(tmp_path, factor=3)) == "30 1 3"
    assert told(started(tmp_path, factor=3)) == "30 0 3"
    # and what was compiled before is not kept for ever
    assert len(list((tmp_path / "kept").rglob("program.times-*.nbc"))) == 1


def test_without_a_lock_it_compiles_all_the_same(tmp_path: Path) -> None:
    assert told(started(tmp_path, "lockless")) == "20 1 3"
    assert told(started(tmp_path, "lockless")) == "20 0 3"


def test_files_that_numba_has_named_are_replaced(tmp_path: Path) -> None:
    assert told(started(tmp_path, "named")) == "20 1 3"
    assert told(started(tmp_path)) == "20 1 3"
    assert told(started(tmp_path)) == "20 0 3"
