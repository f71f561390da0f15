"""The actor through which a search appears in Ray's dashboard; it reserves no CPU.

Its process imports this module alone, so that it stays small: neither Ray Tune nor what trains.
"""

from collections.abc import Sequence
from typing import Any

GAUGES = {
    "finrl_ray_trials": ("trials of a search, by state", ("search", "state")),
    "finrl_ray_best_objective": ("objective of the best trial so far", ("search",)),
    "finrl_ray_best_sharpe": ("validation Sharpe ratio of the best trial so far", ("search",)),
    "finrl_ray_best_drawdown": ("validation drawdown (<= 0) of the best trial so far", ("search",)),
    "finrl_ray_failures": ("attempts of trials that ended in an error, restarts too", ("search",)),
    "finrl_ray_steps_per_second": ("env steps per second, over all trials", ("search",)),
    "finrl_ray_trial_sharpe": ("last validation Sharpe ratio of a trial", ("search", "trial")),
    "finrl_ray_trial_drawdown": ("last validation drawdown of a trial", ("search", "trial")),
    "finrl_ray_trial_timesteps": ("env steps that a trial has done", ("search", "trial")),
}
"""The gauges by name, with what they say and their tags; Ray puts `ray_` before each name."""

Sample = tuple[str, dict[str, str], float]
"""One gauge's name, its tags and its value."""


class TrialFailedError(Exception):
    """What ends the named task of a trial that failed, so that the dashboard shows it as failed."""


class DashboardActor:
    """The actor: one open call per running trial, and the gauges."""

    def __init__(self) -> None:
        import asyncio
        import sys

        # Ray loads it with the first call that has arguments, for tables, which none of them has:
        # 35 MB
        sys.modules.setdefault("pyarrow", None)  # type: ignore[arg-type]  # Python's own way

        from ray.util.metrics import Gauge

        self._asyncio = asyncio
        self._ends: dict[str, Any] = {}
        self._gauges = {
            name: Gauge(name, description=says, tag_keys=tags)
            for name, (says, tags) in GAUGES.items()
        }

    def _end_of(self, name: str) -> Any:
        # a trial that starts again after its end is a new task, with an end of its own
        future = self._ends.get(name)
        if future is None:
            future = self._ends[name] = self._asyncio.get_running_loop().create_future()
        return future

    async def trial(self, name: str) -> str:
        """Return when the trial ends; raise if it failed."""
        state, reason = await self._end_of(name)
        self._ends.pop(name, None)
        if state == "failed":
            raise TrialFailedError(reason)
        return f"{state}: {reason}"

    async def end(self, name: str, state: str, reason: str) -> None:
        """Let the open call of a trial return."""
        future = self._end_of(name)
        if not future.done():
            future.set_result((state, reason))

    async def show(self, samples: Sequence[Sample]) -> None:
        """Set gauges."""
        for name, tags, value in samples:
            self._gauges[name].set(value, tags=tags)
