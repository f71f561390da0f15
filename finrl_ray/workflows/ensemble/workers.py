"""Where trainings run: one after the other here, or side by side on Ray (`ray_workers`)."""

import time
from collections import deque
from typing import Protocol

from finrl_ray.data.market_data import MarketData
from finrl_ray.workflows.ensemble.window_training import TrainingOutcome, TrainingTask, run_task


class Workers(Protocol):
    """Takes tasks and gives outcomes, in any order."""

    def submit(self, task: TrainingTask) -> None:
        """Queue a task."""

    def next(self) -> tuple[TrainingTask, TrainingOutcome]:
        """Wait for an outcome; call it once per submitted task."""


class Deadline:
    """The moment at which trainings are given up.

    Parameters
    ----------
    time_budget_s : seconds from now; None: never
    """

    def __init__(self, time_budget_s: float | None) -> None:
        self.time_budget_s = time_budget_s
        self._end = None if time_budget_s is None else time.monotonic() + time_budget_s

    def remaining_s(self) -> float | None:
        """Return the seconds left, at least 0; None without a limit."""
        return None if self._end is None else max(0.0, self._end - time.monotonic())

    def passed(self) -> bool:
        """Return whether the time is up."""
        return self.remaining_s() == 0.0

    def outcome(self) -> TrainingOutcome:
        """Return the outcome of a training that was given up."""
        return TrainingOutcome(failure=f"given up: time_budget_s {self.time_budget_s:g} was spent")


class LocalWorkers:
    """Runs each task in this process when its outcome is asked for.

    A training that has begun is finished even if the deadline passes meanwhile.

    Parameters
    ----------
    market_data : all rows
    deadline : no training begins after it
    """

    def __init__(self, market_data: MarketData, deadline: Deadline) -> None:
        self._market_data = market_data
        self._deadline = deadline
        self._waiting: deque[TrainingTask] = deque()

    def submit(self, task: TrainingTask) -> None:
        """Queue a task."""
        self._waiting.append(task)

    def next(self) -> tuple[TrainingTask, TrainingOutcome]:
        """Run the task that has waited longest."""
        task = self._waiting.popleft()
        if self._deadline.passed():
            return task, self._deadline.outcome()
        return task, run_task(self._market_data, task)
