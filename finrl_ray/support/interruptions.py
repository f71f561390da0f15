"""Ctrl-C and SIGTERM: answered at once, whatever the process is doing, and remembered.

Python runs a signal's handler between two of its instructions, and Ray waits for seconds inside C++
code, when it starts for instance. The answer comes from a thread, which the signal itself wakes.
"""

import contextlib
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator

_NUMBERS = (signal.SIGINT, signal.SIGTERM)
_FIRST = "stopping; what was reported is kept (Ctrl-C once more stops at once)"
_AGAIN = "stopping at once"
ONE_SIGNAL_S = 1.0
"""Within how many seconds all processes of a group get the same signal."""

Say = Callable[[str], None]


def _say_plainly(line: str) -> None:
    start = "\r\033[K" if sys.stderr.isatty() else ""  # over a ^C, or a bar of progress
    sys.stderr.write(f"{start}{line}\n")
    sys.stderr.flush()


_seen: list[int] = []
_announcing: list[bool] = []
_say: list[Say] = [_say_plainly]
_leaving: list[bool] = []


def note(number: int) -> None:
    """Remember a signal that ends this process."""
    _seen.append(number)


def interrupted(within_s: float = 0.0) -> bool:
    """Return whether this process was told to end.

    Parameters
    ----------
    within_s : how long to wait for it; a group's processes get one signal at different moments
    """
    deadline = time.monotonic() + within_s
    while not _seen and time.monotonic() < deadline:
        time.sleep(0.02)
    return bool(_seen)


def forget() -> None:
    """Forget the signals of a block that has ended, unless the whole process is told to end."""
    if not _announcing:
        _seen.clear()


def leave_at_once() -> None:
    """Note that this process must end without Python's own clean-up, which would not come back."""
    _leaving.append(True)


def leaves_at_once() -> bool:
    """Return whether `leave_at_once` was called."""
    return bool(_leaving)


def answer_through(say: Say) -> None:
    """Answer with `say` from here on, such as the view that has the terminal."""
    _say.append(say)


def stop_answering_through(say: Say) -> None:
    """Take back `answer_through(say)`."""
    if say in _say:
        _say.remove(say)


@contextlib.contextmanager
def announced() -> Iterator[None]:
    """Answer Ctrl-C and SIGTERM with a line while the block runs; both end it as Ctrl-C does."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    forget()
    _announcing.append(True)
    ours, woken = socket.socketpair()
    woken.setblocking(False)
    before = signal.set_wakeup_fd(woken.fileno(), warn_on_full_buffer=False)
    handler = signal.getsignal(signal.SIGTERM)
    if handler is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _as_ctrl_c)
    threading.Thread(target=_answer, args=(ours,), name="interruptions", daemon=True).start()
    try:
        yield
    finally:
        _announcing.pop()
        signal.set_wakeup_fd(before)
        if handler is signal.SIG_DFL:
            signal.signal(signal.SIGTERM, handler)
        woken.close()  # ends the thread


def _as_ctrl_c(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def _answer(ours: socket.socket) -> None:
    line = _FIRST
    with ours, contextlib.suppress(OSError):
        while numbers := ours.recv(64):
            for number in numbers:
                if number in _NUMBERS:
                    _say[-1](line)
                    note(number)
                    line = _AGAIN
