"""Ray Tune's loop on the driver, without the work that a search of this package does not need.

Tried with Ray 2.60.0. Ray asks a worker for each checkpoint by a second message, although the
result has said where it is; it looks at one event in each round, however many have come; and it
derives paths in every round that only its snapshots need. Its loop has no options for that: it
makes its controller and its manager of events by name, and finds those of this module under them
while a search runs.
"""

import contextlib
import random
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import ray
from ray.air._internal import usage
from ray.air.execution._internal.actor_manager import RayActorManager
from ray.tune import tune as tune_module
from ray.tune.execution import tune_controller
from ray.tune.execution.tune_controller import TuneController
from ray.tune.experiment import Trial

from finrl_ray.cluster.tune_internals import TrialHooks

MANY = 8
"""Workers below which a look at the others costs more than the round that it saves."""
AT_ONCE = 64
"""Events that one round handles at most, so that views and the searcher have their turn."""


class EventManager(RayActorManager):
    """Ray's manager of events, which handles all that have come in a round.

    Waiting for one of a thousand workers takes about 0.7 ms whether one has answered or many.
    """

    together: Callable[[], contextlib.AbstractContextManager[None]] = contextlib.nullcontext
    """Makes the context in which the events of a round are handled."""

    def next(self, timeout: float | None = None) -> bool:
        """Handle events, waiting for the first of them.

        Parameters
        ----------
        timeout : s to wait; None: without end

        Returns
        -------
        bool
            Whether there was an event.
        """
        # what starts, ends and fails is Ray's, one event a round
        if self._live_actors_to_kill or self._actor_state_events.num_futures:
            return bool(super().next(timeout))
        self._try_start_actors()
        tasks = list(self._actor_task_events.get_futures())
        if not tasks or self._actor_state_events.num_futures:
            return bool(super().next(timeout))
        # Ray's order, so that no worker is served after all others each time
        random.shuffle(tasks)
        resources = self._resource_manager.get_resource_futures()
        ready, _ = ray.wait([*resources, *tasks], num_returns=1, timeout=timeout)
        if not ready:
            return False
        if ready[0] in resources:
            return bool(super().next(0.0))
        with self.together():
            self._actor_task_events.resolve_future(ready[0])
            self._handle_others(tasks)
        self._try_start_actors()
        return True

    def _handle_others(self, tasks: list[Any]) -> None:
        if len(tasks) < MANY:
            return
        left = [task for task in tasks if self._is_tracked(task)]
        if not left:
            return
        ready, _ = ray.wait(left, num_returns=min(AT_ONCE, len(left)), timeout=0)
        for future in ready:
            # the event before it may have ended its trial, or its worker
            if self._is_tracked(future):
                self._actor_task_events.resolve_future(future)

    def _is_tracked(self, future: Any) -> bool:
        return future in self._actor_task_events._tracked_futures


class SearchController(TuneController):
    """Ray's controller for trials whose reports say where their checkpoints are."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        together = getattr(self._scheduler_alg, "together", None)
        if together is not None:
            manager: Any = self._actor_manager  # one of this module's
            manager.together = together

    def checkpoint(self, force: bool = False, wait: bool = False) -> None:
        """Take a snapshot at the end only: the journal is what a search goes on from."""
        if force:
            super().checkpoint(force=force, wait=wait)

    def _checkpoint_trial_if_needed(self, trial: Trial, force: bool = False) -> None:
        # population based training may have asked for the same checkpoint; its answer is awaited
        reports = force and not trial.is_saving
        if reports and isinstance(trial, TrialHooks) and trial.take_reported_checkpoint():
            return
        super()._checkpoint_trial_if_needed(trial, force)  # type: ignore[no-untyped-call]  # Ray's

    def _maybe_reuse_cached_actor(self, trial: Trial) -> bool:
        # Ray ends the process that starts for the trial. With trials shorter than a start, two
        # workers would stay one: each time the first is free, it is given to the trial that waits
        # for the second
        starting = self._trial_to_actor.get(trial)
        if (
            starting is not None
            and self._actor_manager.is_actor_started(starting)
            and not self._search_alg.is_finished()  # else there is no other trial for it
        ):
            return False
        return bool(super()._maybe_reuse_cached_actor(trial))

    def _schedule_trial_train(self, trial: Trial) -> None:
        scheduler: Any = self._scheduler_alg
        asks_from = getattr(scheduler, "asks_from", lambda trial_id: None)(trial.trial_id)
        if asks_from is None:
            super()._schedule_trial_train(trial)
            return
        self._schedule_trial_task(
            trial=trial,
            method_name="train_together",
            args=(scheduler.time_attr, asks_from),
            on_result=self._on_training_result,
            on_error=self._trial_task_failure,
        )

    def _validate_result_metrics(self, result: dict[str, Any]) -> None:
        """Do nothing: what a trial reports is this package's, and has what schedulers ask for."""


_REPLACED: tuple[tuple[ModuleType, str, Any], ...] = (
    (tune_module, "TuneController", SearchController),
    (tune_controller, "RayActorManager", EventManager),
    # to count callbacks for Ray's statistics it imports mlflow and wandb, which takes seconds
    (usage, "tag_callbacks", lambda callbacks: False),
)


@contextlib.contextmanager
def search_controller() -> Iterator[None]:
    """Let Ray Tune run with this module's controller while the block runs."""
    kept = [getattr(module, name) for module, name, _ in _REPLACED]
    for module, name, own in _REPLACED:
        setattr(module, name, own)
    try:
        yield
    finally:
        for (module, name, _), former in zip(_REPLACED, kept, strict=True):
            setattr(module, name, former)
