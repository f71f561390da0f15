"""For all tests: a run that leaves a process behind fails, and says which."""

import contextlib
import os
import secrets
import sys

import psutil
import pytest
from processes import MARK, describe, end_marked, marked, wait_until

# everything that this run starts inherits it, also what is started without tests/processes.py
_RUN = f"{MARK}{secrets.token_hex(8)}"
os.environ[_RUN] = "1"
os.environ.setdefault("SPT_NOENV", "1")
# they end with this process
_HELPERS = ("multiprocessing.resource_tracker", "multiprocessing.forkserver")

GRACE_S = 15
"""Time for what is ending already, such as the guard of a Ray."""


def _left() -> list[psutil.Process]:
    return [one for one in marked(_RUN) if not any(name in describe(one) for name in _HELPERS)]


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    if "ray" in sys.modules:
        sys.modules["ray"].shutdown()
    with contextlib.suppress(AssertionError):
        wait_until(lambda: not _left(), timeout_s=GRACE_S)
    left = [describe(one) for one in _left()]
    if left:
        end_marked(_RUN)
        print("\nprocesses were left behind, and have been ended:", *left, sep="\n  ")  # noqa: T201  # after pytest's own report
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
