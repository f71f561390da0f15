"""Private names of Ray Tune, under public ones, each with the reason why it is needed.

Tried with Ray 2.60.0. What an upgrade of Ray changes is here, in `scheduler_internals.py` and in
`ray_internals.py`.
"""

from typing import Any

from ray import tune
from ray.exceptions import RayActorError
from ray.train._internal.session import _FutureTrainingResult, _TrainingResult
from ray.train._internal.storage import StorageContext as StorageContext
from ray.tune.execution import class_cache
from ray.tune.execution.tune_controller import TuneController as TuneController
from ray.tune.experiment import Trial
from ray.tune.search.sample import _BackwardsCompatibleNumpyRng

FutureTrainingResult = _FutureTrainingResult
"""A checkpoint that is being written: population based training may hold one."""

SampleGenerator = _BackwardsCompatibleNumpyRng
"""The generator that Ray's domains draw from: with another one the samples of a seed would differ
from those of Ray's own random search."""

VARIABLES_FOR_WORKERS: set[str] = class_cache.ENV_VARS_TO_PROPAGATE
"""Names of environment variables that Ray copies from the driver to its workers, and logs: secrets
of object stores among them. Ray reads this very set."""


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
    """Ray's trial with a public method that says whether the loss of its process counts."""

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
