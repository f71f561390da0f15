"""A test that fails, times out or is interrupted leaves no process behind."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from processes import describe, marked, marked_environment, run, started, wait_until
from repository import TESTS

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
        assert process.wait(600) == 0
        assert len(alive(pids)) == 3
    assert alive(pids) == []


@POSIX
def test_a_run_that_takes_too_long_is_ended_with_what_it_printed(tmp_path: Path) -> None:
    code = FAMILY.replace("flush=True", f"file=open({str(tmp_path / 'pids')!r}, 'w'), flush=True")
    with pytest.raises(AssertionError, match="still ran after"):
        run([sys.executable, "-c", code], timeout=3)
    if (tmp_path / "pids").exists():
        assert alive([int(p) for p in (tmp_path / "pids").read_text().split()]) == []


PROGRAM = """
import os, signal, subprocess, sys
import psutil, pytest

SLEEPER = [sys.executable, "-c", "import time; time.sleep(3600)"]
PIDS = []

def start(**options):
    PIDS.append(subprocess.Popen(SLEEPER, **options).pid)

@pytest.fixture(scope="module")
def forgetful():
    start()

def test_first():
    start(start_new_session=True)
    start(env={**os.environ, "A": "1"})
    ENDING

def test_second(FIXTURE):
    lasting = [p for p in psutil.process_iter() if p.pid in PIDS and p.status() != "zombie"]
    assert len(lasting) == len(PIDS) - 2
    assert len(PIDS) == EXPECTED
"""


def run_tests(folder: Path, tests: str, *options: str) -> "subprocess.CompletedProcess[str]":
    hooks = (TESTS / "conftest.py").read_text(encoding="utf-8")
    impatient = hooks.replace("GRACE_S = 120", "GRACE_S = 0.5")
    assert impatient != hooks
    (folder / "conftest.py").write_text(impatient, encoding="utf-8")
    (folder / "test_it.py").write_text(tests, encoding="utf-8")
    environment, mark = marked_environment()
    paths = [str(TESTS / "helpers"), environment.get("PYTHONPATH", "")]
    environment["PYTHONPATH"] = os.pathsep.join(paths)
    environment["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # only those that are named
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "xdist",
        "-p",
        "no:cacheprovider",
        *options,
        str(folder),
    ]
    with started(
        command, env=environment, cwd=folder, stdout=subprocess.PIPE, text=True
    ) as process:
        out, _ = process.communicate(timeout=600)
        assert marked(mark) == []
        return subprocess.CompletedProcess(command, process.returncode, out)


@POSIX
@pytest.mark.slow
@pytest.mark.parametrize(
    ("ending", "summary"),
    [
        ("pass", "2 passed"),
        ("assert False", "1 failed, 1 passed"),
        ("subprocess.run(SLEEPER, timeout=0.5)", "1 failed, 1 passed"),
    ],
)
def test_what_a_test_has_started_ends_with_it_before_the_next(tmp_path, ending, summary) -> None:
    tests = PROGRAM.replace("ENDING", ending).replace("FIXTURE", "").replace("EXPECTED", "2")
    done = run_tests(tmp_path, tests)
    assert summary in done.stdout
    assert done.returncode == int("failed" in summary)
    assert "left behind" not in done.stdout


SIDE_BY_SIDE = ("-n", "2", "--dist", "loadfile")


@POSIX
@pytest.mark.slow
@pytest.mark.parametrize(
    ("how", "workers"),
    [
        ("raise KeyboardInterrupt", ()),
        ("os.kill(os.getpid(), signal.SIGTERM)", ()),
        ("os.kill(os.getpid(), signal.SIGTERM)", SIDE_BY_SIDE),
        # the process that hands out the tests
        ("import time; os.kill(os.getppid(), signal.SIGTERM); time.sleep(3600)", SIDE_BY_SIDE),
    ],
)
def test_a_run_that_is_ended_in_the_middle_leaves_nothing(tmp_path, how, workers) -> None:
    done = run_tests(tmp_path, PROGRAM.replace("ENDING", how).replace("FIXTURE", ""), *workers)
    assert done.returncode == pytest.ExitCode.INTERRUPTED, done.stdout


@POSIX
@pytest.mark.slow
@pytest.mark.parametrize("workers", [(), SIDE_BY_SIDE])
def test_a_fixture_that_leaves_a_process_fails_the_run_which_names_it(tmp_path, workers) -> None:
    tests = (
        PROGRAM.replace("ENDING", "pass").replace("FIXTURE", "forgetful").replace("EXPECTED", "3")
    )
    done = run_tests(tmp_path, tests, *workers)
    assert "2 passed" in done.stdout, done.stdout
    assert "processes were left behind" in done.stdout
    assert "time.sleep(3600)" in done.stdout
    assert done.returncode == 1


@POSIX
def test_a_signal_that_ends_a_process_is_its_code() -> None:
    sleeper = [sys.executable, "-c", "import time; time.sleep(3600)"]
    with started(sleeper) as process:
        process.send_signal(signal.SIGTERM)
        assert wait_until(process.poll) == -signal.SIGTERM
