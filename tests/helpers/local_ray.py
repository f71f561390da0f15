"""One Ray in this process for all searches of a file: to start it costs more than such a search.

Its CPUs bound the trials at a time. Each trial at a time is a process that loads torch and Ray,
which takes longer than a small trial.
"""

import contextlib
import os
from collections.abc import Iterator

import pytest
from processes import end_marked, marked_environment

TRIES = 20
"""Ray gives its node 30 seconds to start, which is too little on a busy machine."""
STORE_BYTES = 150_000_000
"""The object store, which would be a third of the machine's memory; small windows take little."""


@contextlib.contextmanager
def local_ray(num_cpus: int) -> Iterator[None]:
    """Start a Ray, and end it when the block is left."""
    import ray

    for tries_left in reversed(range(TRIES)):
        _, mark = marked_environment()
        os.environ[mark] = "1"
        try:
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


@pytest.fixture(scope="module")
def ray_session() -> Iterator[None]:
    """One Ray for the searches of a file, one trial at a time."""
    with local_ray(num_cpus=1):
        yield


@pytest.fixture(scope="module")
def ray_session_of_two() -> Iterator[None]:
    """One Ray for the searches of a file, two trials at a time."""
    with local_ray(num_cpus=2):
        yield
