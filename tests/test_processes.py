"""A test that fails, times out or is interrupted leaves no process behind."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from processes import describe, marked, marked_environment, run, started, wait_until

POSIX = pytest.mark.skipif(os.name != "posix", reason="sessions and groups of POSIX")

# a process with a child, a grandchild in a session of its own, and one without a parent
FAMILY = """
import os, subprocess, sys, time
sleeper = [sys.executable, "-c", "import time; time.sleep(3600)"]
pids = [os.getpid(), subprocess.Popen(sleeper).pid]
pids.append(subprocess.Popen(sleeper, start_new_session=True).pid)
orphan = (
    "import subprocess as s, sys;"
    "print(s.Popen(sys.argv[1:], start_new_session=True, stdout=s.DEVNULL).pid)"
)
done = subprocess.run([sys.executable, "-c", orphan, *sleeper], stdout=subprocess.PIPE)
pids.append(int(done.stdout))
print(*pids, flush=True)
time.sleep(3600)
"""


def pids_of(process: "subprocess.Popen[str]") -> list[int]:
    assert process.stdout is not None
    return [int(pid) for pid in process.stdout.readline().split()]


def alive(pids: list[int]) -> list[str]:
    found = [psutil.Process(pid) for pid in pids if psutil.pid_exists(pid)]
    return [describe(one) for one in found if one.status() != psutil.STATUS_ZOMBIE]


@POSIX
@pytest.mark.parametrize("error", [AssertionError, KeyboardInterrupt, subprocess.TimeoutExpired])
def test_whatever_happens_in_the_block_nothing_of_the_process_is_left(error) -> None:
    pids: list[int] = []

    def failing() -> None:
        command = [sys.executable, "-c", FAMILY]
        with started(command, stdout=subprocess.PIPE, text=True) as process:
            pids.extend(pids_of(process))
            assert len(alive(pids)) == 4
            raise error("x", 1) if error is subprocess.TimeoutExpired else error

    with pytest.raises(error):
        failing()
    assert len(pids) == 4
    assert alive(pids) == []


@POSIX
def test_a_process_that_ended_by_itself_leaves_no_children_either() -> None:
    code = FAMILY.replace("time.sleep(3600)\n", "")
    with started([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        pids = pids_of(process)
        assert process.wait(60) == 0
        assert len(alive(pids)) == 3
    assert alive(pids) == []


@POSIX
def test_a_run_that_takes_too_long_is_ended_with_what_it_printed(tmp_path: Path) -> None:
    code = FAMILY.replace("flush=True", f"file=open({str(tmp_path / 'pids')!r}, 'w'), flush=True")
    with pytest.raises(AssertionError, match="still ran after"):
        run([sys.executable, "-c", code], timeout=3)
    if (tmp_path / "pids").exists():
        assert alive([int(p) for p in (tmp_path / "pids").read_text().split()]) == []


FAILING_TEST = """
import subprocess, sys

def test_that_forgets_its_process():
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(3600)"])
    assert {passes}
"""


@POSIX
@pytest.mark.parametrize("passes", [True, False])
def test_a_test_run_that_leaves_a_process_ends_it_fails_and_names_it(tmp_path, passes) -> None:
    hooks = (Path(__file__).parent / "conftest.py").read_text(encoding="utf-8")
    impatient = hooks.replace("GRACE_S = 15", "GRACE_S = 0.5")
    assert impatient != hooks
    (tmp_path / "conftest.py").write_text(impatient, encoding="utf-8")
    (tmp_path / "test_it.py").write_text(FAILING_TEST.format(passes=passes), encoding="utf-8")
    environment, mark = marked_environment()
    paths = [str(Path(__file__).parent), environment.get("PYTHONPATH", "")]
    environment["PYTHONPATH"] = os.pathsep.join(paths)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)]
    done = run(command, env=environment, cwd=tmp_path)
    assert done.returncode == 1, done.stdout
    assert "processes were left behind" in done.stdout
    assert "time.sleep(3600)" in done.stdout
    assert marked(mark) == []


@POSIX
def test_a_signal_that_ends_a_process_is_its_code() -> None:
    sleeper = [sys.executable, "-c", "import time; time.sleep(3600)"]
    with started(sleeper) as process:
        process.send_signal(signal.SIGTERM)
        assert wait_until(process.poll) == -signal.SIGTERM
