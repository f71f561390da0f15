"""`ChildrensCpu`: the CPU seconds of the processes that this one starts, Ray's among them."""

import threading
from typing import Any

import psutil

LOOK_EVERY_S = 2.0


class ChildrensCpu:
    """Context in which the CPU seconds of all child processes are added up.

    Those that end within it count until they were last looked at, those that were there before from
    then on.

    Attributes
    ----------
    seconds : user and system time, once the block has ended
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self._own = psutil.Process()
        self._seen: dict[tuple[int, float], float] = {}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "ChildrensCpu":
        self._look()
        self._before = sum(self._seen.values())
        self._thread.start()
        return self

    def __exit__(self, *error: Any) -> None:
        self._ended.set()
        self._thread.join()
        self._look()
        self.seconds = sum(self._seen.values()) - self._before

    def _watch(self) -> None:
        while not self._ended.wait(LOOK_EVERY_S):
            self._look()

    def _look(self) -> None:
        for child in self._own.children(recursive=True):
            try:
                times = child.cpu_times()
                self._seen[child.pid, child.create_time()] = times.user + times.system
            except psutil.NoSuchProcess:
                continue
