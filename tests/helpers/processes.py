"""Processes that tests start: whatever happens to the test, none of them outlives it.

A process gets a group and a session of its own, and a mark in its environment, which all that it
starts inherits: workers that went into sessions of their own or lost their parent are found by it.
"""

import contextlib
import os
import secrets
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import IO, Any

import psutil

MARK = "FINRL_RAY_TEST_"
ENDING_S = 60.0
LONGEST_S = 600.0
"""Long enough on a busy machine; it only keeps a process that hangs from hanging a test run."""


def marked_environment(env: Mapping[str, str] | None = None) -> tuple[dict[str, str], str]:
    """Return an environment with a new mark, and the name of the variable that is the mark."""
    mark = f"{MARK}{secrets.token_hex(8)}"
    # Ray writes its processes' titles over their environment unless it is told not to
    return {**(os.environ if env is None else env), mark: "1", "SPT_NOENV": "1"}, mark


@contextlib.contextmanager
def started(
    command: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Any = None,
    stdin: int | IO[Any] | None = None,
    stdout: int | IO[Any] | None = None,
    stderr: int | IO[Any] | None = None,
    text: bool | None = None,
    umask: int = -1,
) -> "Iterator[subprocess.Popen[Any]]":
    """Start a process, and end it and everything that it has started when the block is left.

    Parameters
    ----------
    command, env, cwd, stdin, stdout, stderr, text, umask : as for `subprocess.Popen`
    """
    environment, mark = marked_environment(env)
    process = subprocess.Popen(
        command,
        env=environment,
        cwd=cwd,
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        text=text,
        umask=umask,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        end_all(process, mark)
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()


def run(
    command: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Any = None,
    check: bool = False,
    text: bool | None = True,
    stdout: int | IO[Any] | None = subprocess.PIPE,
    stderr: int | IO[Any] | None = subprocess.PIPE,
    timeout: float = LONGEST_S,
) -> "subprocess.CompletedProcess[Any]":
    """Run a process to its end and return what it printed; nothing of it is left afterwards.

    Raises
    ------
    AssertionError
        If it takes longer than `timeout`, or ends with another code than 0 and `check` is set; with
        what it has printed.
    """
    with started(command, env=env, cwd=cwd, stdout=stdout, stderr=stderr, text=text) as process:
        try:
            out, error = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired as late:
            printed = f"{late.stdout!r} {late.stderr!r}"[-4000:]
            raise AssertionError(f"{command} still ran after {timeout} s: {printed}") from None
    done = subprocess.CompletedProcess(process.args, process.returncode, out, error)
    if check and done.returncode != 0:
        raise AssertionError(f"{command} ended with {done.returncode}\n{out}\n{error}")
    return done


def end_all(process: "subprocess.Popen[Any]", mark: str) -> None:
    """Kill a process, its group, and whatever carries its mark, until nothing is left."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        # the group of a process that was waited for may be another one's by now
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    left = end_marked(mark)
    process.wait(ENDING_S)
    assert not left, f"processes that cannot be ended: {[describe(one) for one in left]}"


def end_marked(
    mark: str, but: Callable[[psutil.Process], bool] = lambda process: False
) -> list[psutil.Process]:
    """Kill every process with a mark; return those that are still there after a minute.

    Parameters
    ----------
    mark : name of the variable that is the mark
    but : says which of them are left alone
    """
    deadline = time.monotonic() + ENDING_S
    while left := [one for one in marked(mark) if not but(one)]:
        if time.monotonic() > deadline:
            return left
        for one in left:
            with contextlib.suppress(psutil.Error):
                one.kill()
        psutil.wait_procs(left, timeout=1)
    return []


def marked(mark: str) -> list[psutil.Process]:
    """Return the living processes, other than this one, that were started with a mark."""
    return [one for one in psutil.process_iter() if one.pid != os.getpid() and _has(one, mark)]


def _has(process: psutil.Process, mark: str) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE and mark in process.environ()
    except (psutil.Error, OSError):  # gone, or somebody else's
        return False


def describe(process: psutil.Process) -> str:
    """Return what a process is, in one line."""
    with contextlib.suppress(psutil.Error):
        return f"{process.pid} {' '.join(process.cmdline())[:200] or process.name()}"
    return f"{process.pid} (gone)"


def wait_until(ready: Any, timeout_s: float = LONGEST_S, what: str = "") -> Any:
    """Return the first true answer of `ready`, asked again and again.

    Raises
    ------
    AssertionError
        If there is none within `timeout_s`, which only ends a test that hangs.
    """
    deadline = time.monotonic() + timeout_s
    while not (answer := ready()):
        assert time.monotonic() < deadline, f"{what or ready} did not come true in {timeout_s} s"
        time.sleep(0.05)
    return answer
