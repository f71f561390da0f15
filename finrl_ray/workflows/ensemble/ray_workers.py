"""Trainings side by side on Ray, each a task of one CPU."""

import logging
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import ray

from finrl_ray.cluster.session import ray_session
from finrl_ray.data.market_data import MarketData
from finrl_ray.search.run.trial_resources import Resources, require_capacity
from finrl_ray.workflows.ensemble.window_training import TrainingOutcome, TrainingTask, run_task
from finrl_ray.workflows.ensemble.workers import Deadline

logger = logging.getLogger(__name__)

# with one malloc arena a worker's memory stays flat over many trainings
WORKER_ENV = {"MALLOC_ARENA_MAX": "1"}
CPUS = 1
RETRIES_OF_LOST_TASKS = 2
"""A task whose worker or node is lost is run again, with the same result."""


class RayWorkers:
    """Runs tasks on the Ray that this process is connected to.

    Parameters
    ----------
    market_data : all rows; put into the object store once
    deadline : trainings that have not ended by then are cancelled
    max_concurrent : tasks at once; None: as many as there are CPUs
    """

    def __init__(
        self, market_data: MarketData, deadline: Deadline, max_concurrent: int | None
    ) -> None:
        self._deadline = deadline
        self._max_concurrent = max_concurrent
        self._market_data = ray.put(market_data)
        self._run: Any = ray.remote(num_cpus=CPUS, max_retries=RETRIES_OF_LOST_TASKS)(run_task)
        self._waiting: deque[TrainingTask] = deque()
        self._running: dict[Any, TrainingTask] = {}

    def submit(self, task: TrainingTask) -> None:
        """Queue a task."""
        self._waiting.append(task)

    def next(self) -> tuple[TrainingTask, TrainingOutcome]:
        """Wait for the task that ends first, or for the deadline."""
        self._start_waiting()
        ready: list[Any] = []
        if self._running:
            ready, _ = ray.wait(
                list(self._running), num_returns=1, timeout=self._deadline.remaining_s()
            )
        if ready:
            return self._running.pop(ready[0]), _outcome(ready[0])
        if self._running:
            reference, task = self._running.popitem()
            ray.cancel(reference, force=True)
        else:
            task = self._waiting.popleft()
        return task, self._deadline.outcome()

    def _start_waiting(self) -> None:
        while self._waiting and not self._is_full() and not self._deadline.passed():
            task = self._waiting.popleft()
            self._running[self._run.remote(self._market_data, task)] = task

    def _is_full(self) -> bool:
        return self._max_concurrent is not None and len(self._running) >= self._max_concurrent

    def cancel(self) -> None:
        """Cancel what is running and forget what is waiting."""
        for reference in self._running:
            ray.cancel(reference, force=True)
        self._running.clear()
        self._waiting.clear()


def _outcome(reference: Any) -> TrainingOutcome:
    try:
        outcome: TrainingOutcome = ray.get(reference)
        return outcome
    except ray.exceptions.RayTaskError as error:
        return TrainingOutcome(failure=str(error.cause or error).strip().splitlines()[-1])
    except ray.exceptions.RayError as error:
        return TrainingOutcome(failure=f"{type(error).__name__}: {error}")


@contextmanager
def ray_workers(
    market_data: MarketData,
    deadline: Deadline,
    *,
    address: str | None = None,
    num_cpus: int | None = None,
    max_concurrent: int | None = None,
) -> Iterator[RayWorkers]:
    """Yield workers on Ray; what is still running when the block is left is cancelled.

    Parameters
    ----------
    market_data, deadline, max_concurrent : as in `RayWorkers`
    address, num_cpus : as in `ray_session`

    Raises
    ------
    SearchError
        If Ray cannot be started or reached, or could never run a training.
    """
    with ray_session(WORKER_ENV, address=address, num_cpus=num_cpus):
        require_capacity(Resources(CPUS), "a training")
        workers = RayWorkers(market_data, deadline, max_concurrent)
        try:
            yield workers
        finally:
            workers.cancel()
