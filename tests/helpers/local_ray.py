"""One Ray in this process for the searches of many files: to start it costs more than a search.

Its CPUs bound the trials at a time. Each trial at a time is a process that loads torch and Ray,
which takes longer than a small trial. A file that asks for the Ray of the file before goes on with
it; before any other file it is ended.
"""

import contextlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from processes import end_marked, marked_environment

CPUS = {"ray_session": 1, "ray_session_of_two": 2}
"""Fixtures of this file, and the CPUs of their Ray."""

TRIES = 20
"""Ray gives its node 30 seconds to start, which is too little on a busy machine."""
STORE_BYTES = 150_000_000
"""The object store, which would be a third of the machine's memory; small windows take little."""


@contextlib.contextmanager
def local_ray(num_cpus: int) -> Iterator[None]:
    """Start a Ray, and end it when the block is left."""
    import ray

    from finrl_ray.cluster.ray_internals import without_log_monitor

    for tries_left in reversed(range(TRIES)):
        _, mark = marked_environment()
        os.environ[mark] = "1"
        try:
            with without_log_monitor():
                ray.init(
                    num_cpus=num_cpus,
                    object_store_memory=STORE_BYTES,
                    include_dashboard=False,
                    log_to_driver=False,
                    logging_level="ERROR",
                )
            break
        except Exception as error:  # Ray raises no narrower one
            end_marked(mark)  # Ray itself leaves them
            if "timed out during startup" not in str(error) or not tries_left:
                raise
        finally:
            os.environ.pop(mark)
    try:
        yield
    finally:
        ray.shutdown()


class KeptRay:
    """The Ray of this process, kept from one file of tests to the next that uses it."""

    def __init__(self) -> None:
        self._cpus = 0
        self._running = contextlib.ExitStack()
        self._files: dict[Path, int] = {}

    def plan(self, items: Iterable[pytest.Item]) -> None:
        """Note which files use it, and with how many CPUs."""
        for item in items:
            for name in CPUS.keys() & set(getattr(item, "fixturenames", ())):
                self._files[item.path] = CPUS[name]

    def leave_to(self, file: Path) -> None:
        """End it unless a file uses it as it is."""
        if self._cpus and self._files.get(file) != self._cpus:
            self.end()

    def use(self, cpus: int) -> None:
        """Start it, unless it runs with so many CPUs."""
        import ray

        if self._cpus == cpus and ray.is_initialized():  # no test has ended it
            return
        self.end()
        self._running.enter_context(local_ray(cpus))
        self._cpus = cpus

    def end(self) -> None:
        """End it if it runs."""
        self._cpus = 0
        self._running.close()


kept_ray = KeptRay()


@pytest.fixture(scope="module")
def ray_session() -> None:
    """One Ray for the searches of a file, one trial at a time."""
    kept_ray.use(CPUS["ray_session"])


@pytest.fixture(scope="module")
def ray_session_of_two() -> None:
    """One Ray for the searches of a file, two trials at a time."""
    kept_ray.use(CPUS["ray_session_of_two"])
