"""Ends a search with a plain message, within seconds, when its Ray has died.

A driver whose raylet or GCS is killed waits for up to a minute and is then ended by Ray's C++ code,
without an exception and without a word on how to go on.
"""

import logging
import os
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import ray

from finrl_ray.cluster.ray_internals import node_started_here
from finrl_ray.support.interruptions import interrupted

logger = logging.getLogger(__name__)

EXIT_LOST = 2
EXIT_INTERRUPTED = 130
LOOK_EVERY_S = 1.0
GRACE_S = 5.0
"""Time for the search to end by itself once Ray is gone."""
_NEEDED = ("raylet", "gcs_server")
_CONNECT_S = 3.0
_FAILED_CONNECTIONS = 5


def lost_process() -> str:
    """Return the name of a process of our own Ray that has died; empty if there is none."""
    node = node_started_here()
    if node is None:
        return ""
    dead = [str(kind) for kind, _ in node.dead_processes()]
    return next((name for name in _NEEDED if name in dead), "")


@contextmanager
def watching(how_to_go_on: str, end: Callable[[int], None] = os._exit) -> Iterator[None]:
    """End the process with a message if the Ray that it is connected to dies while the block runs.

    Parameters
    ----------
    how_to_go_on : what the user is told
    end : ends the process at once; its threads may be waiting inside Ray's C++ code for ever
    """
    left = threading.Event()
    connected = _head_address()

    def look() -> None:
        failures = 0
        while not left.wait(LOOK_EVERY_S):
            lost = lost_process()
            if not lost and connected is not None:
                failures = 0 if _answers(connected) else failures + 1
                lost = "the cluster's head" if failures >= _FAILED_CONNECTIONS else ""
            if lost and not left.wait(GRACE_S):
                sys.stdout.flush()
                # a signal to the whole group ends Ray together with the search
                code = EXIT_INTERRUPTED if interrupted() else EXIT_LOST
                what = (
                    "interrupted." if interrupted() else f"error: Ray was lost ({lost} has died)."
                )
                sys.stderr.write(f"{what} {how_to_go_on}\n")
                sys.stderr.flush()
                end(code)
                return

    thread = threading.Thread(target=look, name="ray-watch", daemon=True)
    thread.start()
    try:
        yield
    finally:
        left.set()


def is_own_ray() -> bool:
    """Return whether this process has started the Ray that it is connected to."""
    node = node_started_here()
    return node is not None and bool(node.head)


def _head_address() -> tuple[str, int] | None:
    """Return host and port of a cluster's head; None for a Ray of our own."""
    if is_own_ray():
        return None
    host, _, port = str(ray.get_runtime_context().gcs_address).rpartition(":")
    return (host, int(port)) if port.isdecimal() else None


def _answers(address: tuple[str, int]) -> bool:
    try:
        socket.create_connection(address, timeout=_CONNECT_S).close()
    except OSError:
        return False
    return True
