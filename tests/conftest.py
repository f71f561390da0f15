"""For all tests: no process outlives the test that has started it, whatever happened to the test.

Every process that a test starts inherits a mark in its environment, whichever way it was started,
and is ended with all that it has started in turn. What a fixture of several tests started ends with
the fixture; a run that leaves such a process behind fails, and says which.

The tests may run in several processes side by side (pytest-xdist). Each of these workers has a
mark, a folder for Ray and one torch thread of its own; the process that hands out the tests waits
for them, and ends what a worker that died has left.
"""

import contextlib
import os
import secrets
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from typing import Any

import psutil
import pytest
from local_ray import kept_ray
from local_ray import ray_session as ray_session
from local_ray import ray_session_of_two as ray_session_of_two
from longest_files import rank
from processes import MARK, describe, end_marked, marked, wait_until

from finrl_ray.machine.available_cpus import available_cpus

WORKER_BYTES = 5 * 2**30
"""What a worker takes at most, with a Ray and the trials of a search."""
GRACE_S = 120
"""Time for what is ending already, such as the guard of a Ray."""
_RUN = f"{MARK}{secrets.token_hex(8)}"
os.environ[_RUN] = "1"
# Ray writes its processes' titles over their environment unless it is told not to
os.environ.setdefault("SPT_NOENV", "1")
# Ray gives up on what takes longer than 60 seconds on a busy machine
for _limit in (
    "RAY_DASHBOARD_STARTUP_TIMEOUT_S",
    "RAY_gcs_server_port_wait_time_s",
    "RAY_worker_register_timeout_seconds",
):
    os.environ.setdefault(_limit, "600")
# they are shared by all tests and end with this process
_HELPERS = ("multiprocessing.resource_tracker", "multiprocessing.forkserver")
_STARTING = ("subprocess.Popen", "os.fork", "os.forkpty", "os.posix_spawn")
_started: list[str] = []
_left_by_workers: list[str] = []


def _note_starts(event: str, arguments: Any) -> None:
    if event in _STARTING and not _started:
        _started.append(event)


sys.addaudithook(_note_starts)


def _helper(process: psutil.Process) -> bool:
    return any(name in describe(process) for name in _HELPERS)


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def pytest_configure(config: pytest.Config) -> None:
    signal.signal(signal.SIGTERM, _interrupt)
    if "RAY_TMPDIR" not in os.environ or hasattr(config, "workerinput"):
        # Rays that start at the same moment stumble over each other's links in a common folder;
        # short: Ray keeps sockets under it, whose paths may have 107 characters
        folder = tempfile.mkdtemp(prefix="fr-", dir="/tmp" if os.name == "posix" else None)
        os.environ["RAY_TMPDIR"] = folder
        config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Return how many workers `-n auto` is: one more than there are CPUs, and as memory allows.

    The tests that take longest wait for the processes of a Ray for much of their time.
    """
    room = psutil.virtual_memory().available // WORKER_BYTES
    return int(max(1, min(available_cpus() + 1, room)))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: rank(item.path))


@pytest.hookimpl(trylast=True)
def pytest_collection_finish(session: pytest.Session) -> None:
    kept_ray.plan(session.items)
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(1)  # no number depends on it, and the CPUs are shared


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    kept_ray.leave_to(item.path)
    # a run that is ended from outside, as by `timeout`, ends its fixtures; Ray's own handler,
    # which comes with its import, would only fail the test
    signal.signal(signal.SIGTERM, _interrupt)


@pytest.fixture(autouse=True)
def no_process_outlives_its_test() -> Iterator[None]:
    mark = f"{MARK}{secrets.token_hex(8)}"
    os.environ[mark] = "1"
    _started.clear()
    has_ray = _has_ray()
    try:
        yield
    finally:
        os.environ.pop(mark, None)
        if _has_ray() and not has_ray:
            # a minute after its processes are gone, Ray would end this one
            sys.modules["ray"].shutdown()
        if _started:  # to look at all processes takes some milliseconds
            left = [describe(one) for one in end_marked(mark, but=_helper)]
            assert not left, f"processes that cannot be ended: {left}"


def _has_ray() -> bool:
    return "ray" in sys.modules and bool(sys.modules["ray"].is_initialized())


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    _left_by_workers.extend(getattr(node, "workeroutput", {}).get("left_behind", ()))


@pytest.hookimpl(trylast=True)  # in the process that hands out the tests: after all workers' ends
def pytest_sessionfinish(session: pytest.Session) -> None:
    kept_ray.end()
    if "ray" in sys.modules:
        sys.modules["ray"].shutdown()
    names = _end_what_is_left()
    if hasattr(session.config, "workeroutput"):  # the other process says so, and fails
        session.config.workeroutput["left_behind"] = names
    elif names := [*_left_by_workers, *names]:
        line = "\nprocesses were left behind, and have been ended:"
        print(line, *names, sep="\n  ")  # noqa: T201  # after pytest's own report
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def _end_what_is_left() -> list[str]:
    """End the processes with the mark of this run, and return their descriptions."""

    def left() -> list[psutil.Process]:
        return [one for one in marked(_RUN) if not _helper(one)]

    with contextlib.suppress(AssertionError):
        wait_until(lambda: not left(), timeout_s=GRACE_S)
    names = [describe(one) for one in left()]
    if names:
        end_marked(_RUN)
    return names


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Any:
    """Say with each failure on which processor it was: bits depend on it."""
    report = yield
    if report.failed:
        from bit_equality import processor_words

        report.sections.append(("processor", processor_words()))
    return report
