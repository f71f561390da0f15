"""Experiment trackers: Ray's callbacks for MLflow and Weights & Biases, in threads of their own.

A server that is slow or does not answer neither delays nor ends the search.
"""

import logging
import os
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ray import tune

from finrl_ray.cluster.tune_internals import wandb_callback
from finrl_ray.config.search import Tracker
from finrl_ray.search.folder.folder import SearchFolder

logger = logging.getLogger(__name__)

MLFLOW_FOLDER = "mlruns"
WANDB_FOLDER = "wandb"
_UPLOAD_S = 60
_LAST_S = 90.0
# ids of W&B have at most 64 characters; the end of a folder's name tells it apart
_ID_CHARACTERS = 48
Call = tuple[str, tuple[Any, ...], dict[str, Any]]
"""A hook of the tracker, with what it is given."""


@dataclass(frozen=True, kw_only=True, eq=False)
class TrackedTrial:
    """What Ray's trackers ask of a trial, as it was when it began.

    Population based training changes the hyperparameters of a trial that is paused, and MLflow
    refuses to be told two values of one.

    Parameters
    ----------
    trial_id : among all searches, not only its own; the id of its run in W&B
    name : of its run
    config : its hyperparameters
    local_path, experiment_dir_name : as Ray's trial has them
    """

    trial_id: str
    name: str
    config: dict[str, Any]
    local_path: str
    experiment_dir_name: str

    def __str__(self) -> str:
        return self.name


class GuardedTracker(tune.Callback):
    """Passes everything on to a tracker until it fails; its fault never reaches the search.

    An exception of a callback would end Ray Tune's whole run, and a call that waits for a server
    would stop all trials.

    Parameters
    ----------
    name : of the tracker, for the log
    tracker : Ray's callback
    search : name of the search's folder, unlike that of any other search
    step_key : of the results, under which the tracker looks for the step; it finds timesteps there
    """

    def __init__(
        self, name: str, tracker: tune.Callback, search: str = "", step_key: str = "timesteps_total"
    ) -> None:
        self.name = name
        self.tracker = tracker
        self.search = search
        self.step_key = step_key
        self.broken = False
        self.trials: dict[str, TrackedTrial] = {}
        self.open: dict[str, TrackedTrial] = {}
        self._calls: queue.SimpleQueue[Call | None] | None = None
        self._thread: threading.Thread | None = None

    def __getstate__(self) -> dict[str, Any]:
        # Ray pickles callbacks before a search starts; a thread cannot travel
        return {**self.__dict__, "_calls": None, "_thread": None}

    def setup(self, *arguments: Any, **named: Any) -> None:
        """Start the tracker."""
        self._tell("setup", *arguments, **named)

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Pass a trial's start on."""
        tracked = self._tracked(trial)
        self.open[trial.trial_id] = tracked
        self._tell("on_trial_start", iteration, [], tracked, **info)

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        """Pass a result on, with its timesteps where the tracker looks for the step."""
        tracked = self._tracked(trial)
        counted = {**result, self.step_key: result.get("timesteps")}
        self._tell("on_trial_result", iteration, [], tracked, counted, **info)

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Pass a trial's end on."""
        tracked = self._ended(trial)
        self._tell("on_trial_complete", iteration, [], tracked, **info)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Pass a trial's failure on."""
        tracked = self._ended(trial)
        self._tell("on_trial_error", iteration, [], tracked, **info)

    def on_experiment_end(self, trials: list[Any], **info: Any) -> None:
        """End the tracker, and the runs of trials that were interrupted; wait for what is left."""
        for tracked in self.open.values():
            # Ray says nothing of them, and W&B would wait half an hour for their end
            self._tell("on_trial_error", 0, [], tracked)
        self.open.clear()
        self._tell("on_experiment_end", [], **info)
        if self._thread is None or self._calls is None:
            return
        self._calls.put(None)
        self._thread.join(_LAST_S)
        if self._thread.is_alive() and not self.broken:
            self._give_up(f"it has not taken everything within {_LAST_S:g} s")
        self._thread = self._calls = None

    def _tracked(self, trial: Any) -> TrackedTrial:
        key: str = trial.trial_id
        if key not in self.trials:
            self.trials[key] = TrackedTrial(
                trial_id=f"{self.search[-_ID_CHARACTERS:]}_{key}",
                name=str(trial),
                config=dict(trial.config),
                local_path=trial.local_path,
                experiment_dir_name=trial.experiment_dir_name,
            )
        return self.trials[key]

    def _ended(self, trial: Any) -> TrackedTrial:
        self.open.pop(trial.trial_id, None)
        return self._tracked(trial)

    def _tell(self, hook: str, *arguments: Any, **named: Any) -> None:
        """Let the tracker's thread call one hook; after a fault do nothing any more."""
        if self.broken:
            return
        if self._calls is None:
            self._calls = queue.SimpleQueue()
            self._thread = threading.Thread(
                target=self._work, args=(self._calls,), name=f"tracker {self.name}", daemon=True
            )
            self._thread.start()
        self._calls.put((hook, arguments, named))

    def _work(self, calls: "queue.SimpleQueue[Call | None]") -> None:
        while (call := calls.get()) is not None:
            if self.broken:
                continue
            try:
                hook, arguments, named = call
                getattr(self.tracker, hook)(*arguments, **named)
            except Exception as error:  # noqa: BLE001  # whatever a tracker or its server may raise
                if not self.broken:
                    self._give_up(error)

    def _give_up(self, reason: object) -> None:
        self.broken = True
        logger.warning(
            "search.trackers %r has failed and is told nothing more; the search goes on: %s",
            self.name,
            reason,
        )


def make_trackers(folder: SearchFolder) -> list[tune.Callback]:
    """Return a callback for each of `search.trackers`.

    Their extras have been looked for before the search began. One that cannot be made, such as
    where a search goes on on a machine without the extra, is a warning.
    """
    made: list[tune.Callback] = []
    for name in folder.config.search.trackers:
        try:
            made.append(_MAKERS[name](folder))
        except Exception as error:  # noqa: BLE001  # whatever importing a tracker may raise
            logger.warning(
                "search.trackers %r cannot be used; the search goes on without it: %s", name, error
            )
    return made


def _mlflow(folder: SearchFolder) -> GuardedTracker:
    # imported where it is used: an extra, and seconds to import
    from ray.air.integrations.mlflow import MLflowLoggerCallback

    # mlflow asks for it since its files are no longer its default
    os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
    own: str = (folder.path / MLFLOW_FOLDER).as_uri()
    tracker = MLflowLoggerCallback(
        tracking_uri=os.environ.get("MLFLOW_TRACKING_URI", own),
        experiment_name=folder.config.name,
        tags={"search": folder.path.name},
    )
    return GuardedTracker("mlflow", tracker, folder.path.name)


def _wandb(folder: SearchFolder) -> GuardedTracker:
    place = folder.path / WANDB_FOLDER
    place.mkdir(exist_ok=True)
    tracker = wandb_callback(
        project=folder.config.name,
        group=folder.path.name,
        dir=str(place),
        # the run of a trial that goes on goes on too
        resume="allow",
        upload_timeout=_UPLOAD_S,
    )
    return GuardedTracker("wandb", tracker, folder.path.name, "training_iteration")


_MAKERS: dict[Tracker, Callable[[SearchFolder], GuardedTracker]] = {
    "mlflow": _mlflow,
    "wandb": _wandb,
}
