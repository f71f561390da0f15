"""A trial scheduler whose memory survives: any of Ray's, with what it decides written down."""

import contextlib
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler, TrialScheduler

from finrl_ray.cluster.scheduler_internals import time_attr_of
from finrl_ray.cluster.tune_internals import restage, stop_at_once
from finrl_ray.cluster.watchdog import lost_process
from finrl_ray.search.folder.checkpoints import CheckpointStorage
from finrl_ray.search.journal.records import STOP
from finrl_ray.search.tune.commit import StateCommitter

if TYPE_CHECKING:
    from finrl_ray.cluster.tune_internals import TuneController


class ResumableScheduler(TrialScheduler):
    """Passes everything on to `committer.scheduler`, less what a restart must not tell it.

    A trial that starts again from its checkpoint, after a crash or in a resumed search, is to the
    scheduler the trial that it was: it keeps its place in rungs, brackets and populations.

    Parameters
    ----------
    committer : of the search, with the scheduler that decides
    storage : where checkpoints are
    each : whether every result needs an answer for another reason than the scheduler's
    """

    def __init__(
        self, committer: StateCommitter, storage: CheckpointStorage, *, each: bool = False
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Ray's
        self.each = each
        self.committer = committer
        self.storage = storage
        self.undecided = [
            trial_id
            for trial_id, record in committer.records.trials.items()
            if record.decision == STOP
        ]

    @property
    def inner(self) -> TrialScheduler:
        """The scheduler that decides."""
        return self.committer.scheduler

    @property
    def metric(self) -> str | None:
        """What is maximised."""
        metric: str | None = self.inner.metric
        return metric

    @property
    def supports_buffered_results(self) -> bool:
        """Whether several results may be handed over together."""
        return False

    @property
    def time_attr(self) -> str:
        """The key of a result in which the scheduler counts time; empty if it counts none."""
        return time_attr_of(self.inner)

    def asks_from(self, trial_id: str) -> float | None:
        """Return the time from which on a result of a trial needs an answer; None: each needs one.

        Results before it may reach the driver together: the scheduler would do no more with them
        than pass them by.
        """
        if self.each:
            return None
        if type(self.inner) is FIFOScheduler:  # it decides nothing
            return math.inf
        asks_from: Callable[[str], float] | None = getattr(self.inner, "asks_from", None)
        return None if asks_from is None else asks_from(trial_id)

    def together(self) -> contextlib.AbstractContextManager[None]:
        """Return a context whose events are made permanent at its end, in one write."""
        return self.committer.together()

    def set_search_properties(self, metric: str | None, mode: str | None, **spec: Any) -> bool:
        """Pass metric and mode on to a scheduler that was made without them."""
        if self.inner.metric is not None:
            return True
        self.committer.scheduler_changed()
        return bool(self.inner.set_search_properties(metric, mode, **spec))

    def on_trial_add(self, tune_controller: "TuneController", trial: Trial) -> None:
        """Pass on a trial that the scheduler does not know."""
        if trial.trial_id not in self.committer.registered:
            self.inner.on_trial_add(tune_controller, trial)
            self.committer.register(trial.trial_id)
            self._changed()

    def on_trial_error(self, tune_controller: "TuneController", trial: Trial) -> None:
        """Pass on an error after which the trial is not started again."""
        if not trial.should_recover() and not lost_process():
            self.inner.on_trial_error(tune_controller, trial)
            self._changed()

    def on_trial_result(
        self, tune_controller: "TuneController", trial: Trial, result: dict[str, Any]
    ) -> str:
        """Decide as the scheduler does; the recorder writes result and decision down."""
        self.committer.begin()
        decision: str = self.inner.on_trial_result(tune_controller, trial, result)
        self.committer.decisions[trial.trial_id] = decision
        self._changed()
        return decision

    def on_trial_complete(
        self, tune_controller: "TuneController", trial: Trial, result: dict[str, Any]
    ) -> None:
        """Pass on."""
        self.inner.on_trial_complete(tune_controller, trial, result)
        self._changed()

    def on_trial_remove(self, tune_controller: "TuneController", trial: Trial) -> None:
        """Pass on."""
        self.inner.on_trial_remove(tune_controller, trial)
        self._changed()

    def _changed(self) -> None:
        """Have the scheduler pickled with the next event, and write down what it has exchanged."""
        if type(self.inner) is not FIFOScheduler:  # it knows nothing that could change
            self.committer.scheduler_changed()
        exploits: list[Any] = getattr(self.inner, "exploits", [])
        if not exploits:
            return
        written = sum(len(r.exploits) for r in self.committer.records.trials.values())
        for exploit in exploits[written + self.committer.pending("exploit") :]:
            self.committer.write(
                "exploit",
                trial_id=exploit.trial_id,
                donor=exploit.donor_id,
                timesteps=exploit.timesteps,
                sample=exploit.sample,
                checkpoint=self.storage.relative(exploit.checkpoint.path),
            )

    def choose_trial_to_run(self, tune_controller: "TuneController") -> Trial | None:
        """Choose as the scheduler does, after carrying out what it had decided before a kill."""
        while self.undecided:
            trial = tune_controller.get_trial(self.undecided.pop())
            if trial is not None:
                stop_at_once(tune_controller, trial)
        chosen = self._choose(tune_controller)
        if chosen is not None:
            restage(tune_controller, chosen)
        return chosen

    def _choose(self, tune_controller: "TuneController") -> Trial | None:
        own = getattr(type(self.inner), "choose_trial_to_run", None)
        if own is not FIFOScheduler.choose_trial_to_run:
            self.committer.scheduler_changed()
            chosen: Trial | None = self.inner.choose_trial_to_run(tune_controller)
            return chosen
        # FIFO's choice without its look at every trial that has ever been: the first that is
        # pending, else the first that is paused
        live: list[Trial] = sorted(tune_controller.get_live_trials(), key=_place)
        for status in (Trial.PENDING, Trial.PAUSED):
            for trial in live:
                if trial.status == status:
                    return trial
        return None

    def debug_string(self) -> str:
        """Return the scheduler's own words."""
        return str(self.inner.debug_string())


def _place(trial: Trial) -> int:
    return int(trial.trial_id)
