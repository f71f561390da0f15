"""A small process that ends what is left of a Ray of our own when its driver is gone.

The kernel ends the processes that a driver has started when it dies. Those that they have started
in turn notice it by themselves, and the agents of Ray's dashboard took up to two minutes. Each
process of a Ray of our own carries a mark in its environment; the guard waits for the end of the
driver, gives Ray some seconds, and ends what still carries the mark. Nothing is lost by it: workers
end with their raylet, and what they had reported is in the journal.
"""

import os
import secrets
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psutil

MARK_VARIABLE = "FINRL_RAY_OWN_RAY"
GRACE_S = 5.0
"""Time for Ray to end by itself."""
GIVE_UP_S = 60.0
_LOOK_S = 2.0
_START = (
    "import sys; sys.path[:] = sys.argv[2:]; "
    "from finrl_ray.cluster.process_guard import main; main()"
)


@contextmanager
def guarded() -> Iterator[dict[str, str]]:
    """Watch over this process while the block runs.

    Yields
    ------
    dict
        Environment variables that every process of the Ray must be started with.
    """
    mark = secrets.token_hex(16)
    variables = {
        MARK_VARIABLE: mark,
        # the titles that Ray gives its processes would be written over their environment
        "SPT_NOENV": "1",
    }
    if os.name == "nt" or not sys.executable:  # Windows: Ray puts all into one job
        yield variables
        return
    guard = subprocess.Popen(
        [sys.executable, "-c", _START, mark, *sys.path],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={name: value for name, value in os.environ.items() if name != MARK_VARIABLE},
        start_new_session=True,  # what is sent to the driver's group is not meant for it
    )
    try:
        yield variables
    finally:
        assert guard.stdin is not None
        guard.stdin.close()
        threading.Thread(target=guard.wait, name="ray-guard", daemon=True).start()


def main() -> None:
    """Wait for the driver's end, and for that of its Ray (`python -c`, see `guarded`)."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    _wait_for_the_driver()
    end_marked(sys.argv[1])


def _wait_for_the_driver() -> None:
    # a fork of the driver would keep the pipe open; then the parent tells
    driver = os.getppid()
    while os.getppid() == driver:
        readable, _, _ = select.select([sys.stdin], [], [], _LOOK_S)
        if readable and not os.read(sys.stdin.fileno(), 1):
            return


def end_marked(mark: str, grace_s: float = GRACE_S) -> None:
    """End every process with a mark that is still there after `grace_s`."""
    began = time.monotonic()
    while left := marked(mark):
        waited = time.monotonic() - began
        if waited > GIVE_UP_S:
            return
        if waited >= grace_s:
            for process in left:
                _kill(process)
        time.sleep(0.25)


def marked(mark: str) -> list[psutil.Process]:
    """Return the living processes that were started with a mark."""
    return [process for process in psutil.process_iter() if _mark_of(process) == mark]


def _mark_of(process: psutil.Process) -> str | None:
    try:
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        found: str | None = process.environ().get(MARK_VARIABLE)
        return found
    except (psutil.Error, OSError):  # gone, or somebody else's
        return None


def _kill(process: psutil.Process) -> None:
    try:
        process.kill()
    except psutil.Error:
        return
