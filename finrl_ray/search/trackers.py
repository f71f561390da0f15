"""Experiment trackers: Ray's own callbacks for MLflow and Weights & Biases, guarded."""

import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ray import tune

from finrl_ray.search.folder import SearchFolder
from finrl_ray.search_config import Tracker

logger = logging.getLogger(__name__)

MLFLOW_FOLDER = "mlruns"
WANDB_FOLDER = "wandb"


def make_trackers(folder: SearchFolder) -> list[tune.Callback]:
    """Return a callback for each of `search.trackers`.

    Their extras have been looked for before the search began.
    """
    return [GuardedTracker(name, _MAKERS[name](folder)) for name in folder.config.search.trackers]


def _mlflow(folder: SearchFolder) -> tune.Callback:
    # imported where it is used: an extra, and seconds to import
    from ray.air.integrations.mlflow import MLflowLoggerCallback

    # mlflow asks for it since its files are no longer its default
    os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
    own: str = (folder.path / MLFLOW_FOLDER).as_uri()
    made: tune.Callback = MLflowLoggerCallback(
        tracking_uri=os.environ.get("MLFLOW_TRACKING_URI", own),
        experiment_name=folder.config.name,
        tags={"search": folder.path.name},
    )
    return made


def _wandb(folder: SearchFolder) -> tune.Callback:
    from ray.air.integrations.wandb import WandbLoggerCallback

    place = folder.path / WANDB_FOLDER
    Path(place).mkdir(exist_ok=True)
    made: tune.Callback = WandbLoggerCallback(
        project=folder.config.name, group=folder.path.name, dir=str(place)
    )
    return made


_MAKERS: dict[Tracker, Callable[[SearchFolder], tune.Callback]] = {
    "mlflow": _mlflow,
    "wandb": _wandb,
}


class GuardedTracker(tune.Callback):
    """Passes everything on to a tracker until it fails; its fault never reaches the search.

    An exception of a callback would end Ray Tune's whole run.

    Parameters
    ----------
    name : of the tracker, for the log
    tracker : Ray's callback
    """

    def __init__(self, name: str, tracker: tune.Callback) -> None:
        self.name = name
        self.tracker = tracker
        self.broken = False

    def setup(self, *arguments: Any, **named: Any) -> None:
        """Start the tracker."""
        self._pass_on("setup", *arguments, **named)

    def on_trial_start(self, *arguments: Any, **named: Any) -> None:
        """Pass a trial's start on."""
        self._pass_on("on_trial_start", *arguments, **named)

    def on_trial_result(
        self,
        iteration: int,
        trials: list[Any],
        trial: Any,
        result: dict[str, Any],
        **info: Any,
    ) -> None:
        """Pass a result on, counted in timesteps under the name that trackers look for."""
        counted = {**result, "timesteps_total": result.get("timesteps")}
        self._pass_on("on_trial_result", iteration, trials, trial, counted, **info)

    def on_trial_complete(self, *arguments: Any, **named: Any) -> None:
        """Pass a trial's end on."""
        self._pass_on("on_trial_complete", *arguments, **named)

    def on_trial_error(self, *arguments: Any, **named: Any) -> None:
        """Pass a trial's failure on."""
        self._pass_on("on_trial_error", *arguments, **named)

    def on_experiment_end(self, *arguments: Any, **named: Any) -> None:
        """End the tracker."""
        self._pass_on("on_experiment_end", *arguments, **named)

    def _pass_on(self, hook: str, *arguments: Any, **named: Any) -> None:
        """Call one hook of the tracker; after a fault do nothing any more."""
        if self.broken:
            return
        try:
            getattr(self.tracker, hook)(*arguments, **named)
        except Exception as error:  # noqa: BLE001  # whatever a tracker or its server may raise
            self.broken = True
            logger.warning(
                "search.trackers %r has failed and is told nothing more; the search goes on: %s",
                self.name,
                error,
            )
