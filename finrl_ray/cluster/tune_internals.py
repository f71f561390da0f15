"""Private names of Ray Tune, under public ones, each with the reason why it is needed.

Tried with Ray 2.60.0. What an upgrade of Ray changes is here, in `scheduler_internals.py` and in
`ray_internals.py`.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ray import tune
from ray.exceptions import RayActorError
from ray.train._internal.session import _FutureTrainingResult, _TrainingResult
from ray.train._internal.storage import StorageContext as StorageContext
from ray.train.constants import CHECKPOINT_DIR_NAME
from ray.tune.execution import class_cache
from ray.tune.execution.tune_controller import TuneController as TuneController
from ray.tune.experiment import Trial
from ray.tune.experiment.trial import _Location
from ray.tune.result import NODE_IP, PID
from ray.tune.search.sample import _BackwardsCompatibleNumpyRng

FutureTrainingResult = _FutureTrainingResult
"""A checkpoint that is being written: population based training may hold one."""

SampleGenerator = _BackwardsCompatibleNumpyRng
"""The generator that Ray's domains draw from: with another one the samples of a seed would differ
from those of Ray's own random search."""

VARIABLES_FOR_WORKERS: set[str] = class_cache.ENV_VARS_TO_PROPAGATE
"""Names of environment variables that Ray copies from the driver to its workers, and logs: secrets
of object stores among them. Ray reads this very set."""

ALWAYS_FOR_WORKERS: dict[str, str] = class_cache.DEFAULT_ENV_VARS
"""Environment variables that Ray Tune sets in its workers. Ray reads this very mapping."""


@contextmanager
def without_worker_variables() -> Iterator[None]:
    """Let Ray Tune ask for workers without an environment of their own while the block runs.

    Only such workers can be ones that Ray has started ahead.
    """
    named, always = set(VARIABLES_FOR_WORKERS), dict(ALWAYS_FOR_WORKERS)
    VARIABLES_FOR_WORKERS.clear()
    ALWAYS_FOR_WORKERS.clear()
    try:
        yield
    finally:
        VARIABLES_FOR_WORKERS.update(named)
        ALWAYS_FOR_WORKERS.update(always)


def stop_at_once(controller: TuneController, trial: Trial) -> None:
    """End a trial that has no process: Ray stops running ones only."""
    controller._set_trial_status(trial, Trial.RUNNING)
    controller.stop_trial(trial)


def forget_decision(controller: TuneController, trial: Trial) -> None:
    """Drop what Ray has noted to do with a trial once its checkpoint is written.

    Of a trial that is exchanged while it writes one, Ray notes that it is to be stopped after it,
    and then drops that checkpoint: the note would end the trial at the first one of its new life.
    """
    controller._cached_trial_decisions.pop(trial.trial_id, None)


def is_staged(controller: TuneController, trial: Trial) -> bool:
    """Return whether Ray has asked for a process for a trial."""
    return trial in getattr(controller, "_staged_trials", ())


def restage(controller: TuneController, trial: Trial) -> None:
    """Let Ray ask for a process again that it counts on and no longer has.

    Where a process is taken over by one trial while it starts for another, Ray can be left with a
    trial that is neither running nor waiting for anything.
    """
    lost = trial in controller._staged_trials and trial not in controller._trial_to_actor
    if lost and trial not in controller._resetting_trials:
        controller._unstage_trial_with_resources(trial)


def restore_from(trial: Trial, checkpoint: tune.Checkpoint, metrics: dict[str, Any]) -> None:
    """Let a trial begin from a checkpoint: Ray does so only for trials of its own snapshots."""
    trial._restore_checkpoint_result = _TrainingResult(checkpoint=checkpoint, metrics=metrics)


class TrialHooks(Trial):
    """Ray's trial with a public method that says whether the loss of its process counts.

    Of what a trial has reported it keeps the last result and the last checkpoint: Ray keeps every
    one, and ten statistics of each number in them.
    """

    def __init__(self, trainable_name: str, **kwargs: Any) -> None:
        # Ray would ask its head node whether it knows the name
        super().__init__(trainable_name, stub=True, **kwargs)
        self.stub = False

    def update_last_result(self, result: dict[str, Any]) -> None:
        """Take the latest result over."""
        if self.experiment_tag:
            result.update(experiment_tag=self.experiment_tag)
        self.set_location(_Location(result.get(NODE_IP), result.get(PID)))  # type: ignore[no-untyped-call]  # Ray's
        self.run_metadata.last_result = result
        self.run_metadata.last_result_time = time.time()

    def on_checkpoint(self, checkpoint_result: _TrainingResult) -> None:
        """Take the latest checkpoint over."""
        super().on_checkpoint(checkpoint_result)
        manager = self.run_metadata.checkpoint_manager
        assert manager is not None
        del manager._checkpoint_results[:-1]

    def set_ray_actor(self, ray_actor: Any) -> None:
        """Take over the process that the trial runs in, or None.

        Ray asks it for the host's name, in case that the trial reports nothing.
        """
        self.temporary_state.ray_actor = ray_actor

    def take_reported_checkpoint(self) -> bool:
        """Take the checkpoint over that the last result names, where its process would be asked.

        Returns
        -------
        bool
            Whether the result has one. Ray asks the process of the trial where it is, by a second
            message for each result, although the result says it.
        """
        name = self.last_result.get(CHECKPOINT_DIR_NAME)
        if not name or self.storage is None:
            return False
        if self.temporary_state.ray_actor:  # else it was paused, to go on from another's
            place = f"{self.storage.trial_fs_path}/{name}"
            checkpoint = tune.Checkpoint(place, self.storage.storage_filesystem)
            self.on_checkpoint(
                _TrainingResult(checkpoint=checkpoint, metrics=dict(self.last_result))
            )
        return True

    def counts_loss(self, exc: RayActorError) -> bool:
        """Return whether the loss of its process is a failure of the trial; by default it is."""
        return True

    def _handle_ray_actor_error(self, exc: RayActorError) -> None:
        # Ray counts the loss here, and has no option for which losses are to count
        if self.counts_loss(exc):
            super()._handle_ray_actor_error(exc)


def wandb_callback(**options: Any) -> tune.Callback:
    """Return Ray's callback for Weights & Biases, which may be deleted without having logged.

    Ray's own fails then: it waits for an empty list of its processes, which `ray.wait` refuses.

    Parameters
    ----------
    options : of `WandbLoggerCallback`

    Raises
    ------
    RuntimeError
        If wandb is not installed.
    """
    # imported where it is used: an extra, and seconds to import
    from ray.air.integrations.wandb import WandbLoggerCallback

    class Wandb(WandbLoggerCallback):
        """Ray's callback, which ends without an error if it has no key and so logs nothing."""

        def _cleanup_logging_actors(self, timeout: int = 0, kill_on_timeout: bool = False) -> None:
            if self._trial_logging_futures:
                super()._cleanup_logging_actors(timeout, kill_on_timeout)

    return Wandb(**options)
