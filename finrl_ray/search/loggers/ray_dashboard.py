"""A running search in Ray's dashboard: one named task per trial, and its measures as metrics.

Trials share a few actors that outlive them, so Ray's own tables show actors where a person looks
for trials. `DashboardActor` holds one call open per running trial, under the trial's name, and
exports gauges through Ray's metrics.
"""

import logging
import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import ray
from ray import tune

from finrl_ray.search.journal.records import ENDED, TrialRecord, TrialRecords
from finrl_ray.search.loggers.dashboard_actor import DashboardActor, Sample

logger = logging.getLogger(__name__)

_EVERY_S = 1.0
# looking at thousands of trials takes longer; it takes at most this share of the time
_SHARE = 0.05
_SPEED_OVER_S = 30.0
_AT_ONCE = 10_000
_LAST_CALL_S = 10.0
# the start of one more process waits for the first result, but not for longer than this
_PATIENCE_S = 10.0
STATES = ("running", "completed", "stopped", "rejected", "failed", "interrupted", "waiting")
Best = Callable[[Sequence[TrialRecord]], TrialRecord | None]


class HasRecords(Protocol):
    """What `RayDashboardCallback` reads: the journal of the running search."""

    @property
    def records(self) -> TrialRecords:
        """The trials as they are."""


def trial_name(record: TrialRecord) -> str:
    """Return the name under which a trial is in the dashboard: `trial_00003`."""
    return f"trial_{record.index:05d}"


class RayDashboardCallback(tune.Callback):
    """Ray Tune callback that keeps the actor up to date; its faults never reach the search.

    Parameters
    ----------
    search : the search's name, the tag of every gauge
    journal : read at most once a second
    planned : number of trials of the whole search
    best : returns which of some trials ranks first; None if none can win
    """

    def __init__(self, search: str, journal: HasRecords, planned: int, best: Best) -> None:
        self.best = best
        self.search = search
        self.journal = journal
        self.planned = planned
        self.actor: Any = None
        self.open: dict[str, Any] = {}
        self.shown: set[str] = set()
        self.history: deque[tuple[float, int]] = deque()
        self.next = -math.inf
        self.first = math.inf
        self.broken = False

    def __getstate__(self) -> dict[str, Any]:
        # Ray pickles callbacks when a search starts; handles belong to the running cluster
        return {**self.__dict__, "actor": None, "open": {}}

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """Bring the dashboard up to date, once a second at most."""
        now = time.monotonic()
        if now >= self.next and self._has_begun(now):
            self._guarded(now, ending=False)
            self.next = now + max(_EVERY_S, (time.monotonic() - now) / _SHARE)

    def _has_begun(self, now: float) -> bool:
        """Return whether there is something to show that is worth a process."""
        self.first = min(self.first, now)
        if self.actor is not None or now - self.first >= _PATIENCE_S:
            return True
        return any(record.results for record in self.journal.records.in_order())

    def on_experiment_end(self, trials: list[Any], **info: Any) -> None:
        """Close the calls that are still open."""
        self._guarded(time.monotonic(), ending=True)

    def _guarded(self, now: float, *, ending: bool) -> None:
        if self.broken:
            return
        try:
            last = self._update(now, ending=ending)
            if ending and ray.is_initialized():
                # the last values leave before the cluster may be shut down
                ray.wait([last], timeout=_LAST_CALL_S)
        except (ray.exceptions.RayError, RuntimeError, ValueError, OSError) as error:
            self.broken = True
            logger.warning("the dashboard shows this search no longer: %s", error)

    def _update(self, now: float, *, ending: bool) -> Any:
        records = self.journal.records.in_order()
        if self.actor is None:
            # a search that goes on shows what is trained from now on
            self.shown = {trial_name(record) for record in records if record.state in ENDED}
            # `name` of a call, not of the actor, is what the dashboard's task table shows
            self.actor = (
                ray.remote(DashboardActor).options(num_cpus=0, max_concurrency=_AT_ONCE).remote()
            )
        for record in records:
            self._follow(record, ending)
        return self.actor.show.remote(self.samples(records, now))

    def _follow(self, record: TrialRecord, ending: bool) -> None:
        name, running = trial_name(record), record.state == "running"
        # a short trial has begun and ended between two looks
        unseen = record.state in ENDED and name not in self.shown
        if (unseen or (running and not ending)) and name not in self.open:
            self.open[name] = self.actor.trial.options(name=name).remote(name)
            self.shown.add(name)
        if name in self.open and (not running or ending):
            state = "interrupted" if running else record.state
            self.actor.end.remote(name, state, record.reason)
            # what a failed call has raised is not asked for
            self.open.pop(name)

    def samples(self, records: Sequence[TrialRecord], now: float) -> list[Sample]:
        """Return what the gauges should show.

        Parameters
        ----------
        records : the started trials
        now : s, of a clock that never goes back
        """
        tags = {"search": self.search}
        counts = {state: sum(r.state == state for r in records) for state in STATES}
        counts["waiting"] = max(0, self.planned - len(records))
        found: list[Sample] = [
            ("finrl_ray_trials", {**tags, "state": state}, float(count))
            for state, count in counts.items()
        ]
        failures = float(sum(record.failures for record in records))
        found.append(("finrl_ray_failures", tags, failures))
        found.append(("finrl_ray_steps_per_second", tags, self._speed(records, now)))
        best = self.best(records)
        if best is not None:
            found += _measures(best, tags, {"objective": "best_objective", **_named("best")})
        for record in records:
            if record.state not in ENDED or record is best:
                own = {**tags, "trial": trial_name(record)}
                found += _measures(record, own, {"timesteps": "trial_timesteps", **_named("trial")})
        return found

    def _speed(self, records: Sequence[TrialRecord], now: float) -> float:
        steps = sum(int(r.last.get("timesteps", 0)) for r in records)
        self.history.append((now, steps))
        while len(self.history) > 2 and now - self.history[1][0] >= _SPEED_OVER_S:
            self.history.popleft()
        then, before = self.history[0]
        return max(0, steps - before) / (now - then) if now > then else 0.0


def _named(of: str) -> dict[str, str]:
    return {"eval/sharpe_ratio": f"{of}_sharpe", "eval/max_drawdown": f"{of}_drawdown"}


def _finite(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _measures(record: TrialRecord, tags: dict[str, str], names: dict[str, str]) -> list[Sample]:
    return [
        (f"finrl_ray_{gauge}", tags, float(record.last[key]))
        for key, gauge in names.items()
        if _finite(record.last.get(key))
    ]
