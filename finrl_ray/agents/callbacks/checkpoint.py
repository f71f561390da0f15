"""Checkpoints during training that survive a full disk and a killed process, and their loading."""

import logging
import math
import time
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from stable_baselines3.common import callbacks as sb3_callbacks
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm

from finrl_ray.agents.callbacks.callback_state import find_callbacks
from finrl_ray.agents.callbacks.evaluation import EvalCallback
from finrl_ray.agents.callbacks.interval import TimestepInterval
from finrl_ray.agents.callbacks.measures import MEASURE_NAMES, MODES
from finrl_ray.agents.checkpoints.disk_errors import surviving_disk_errors
from finrl_ray.agents.checkpoints.files import (
    Checkpoint,
    Writer,
    discard_old,
    elapsed_until,
    read_checkpoint_manifest,
    remove_leftovers,
    write_checkpoint_manifest,
    write_files,
)
from finrl_ray.agents.checkpoints.load import load_checkpoint, newest_checkpoint
from finrl_ray.agents.models import save_model
from finrl_ray.errors import ConfigError
from finrl_ray.learners.base import sb3_class
from finrl_ray.metrics.registry import Mode

# the training guide imports the last two from here
__all__ = [
    "CheckpointCallback",
    "TimestampedCheckpointCallback",
    "load_checkpoint",
    "newest_checkpoint",
]

logger = logging.getLogger(__name__)


class CheckpointCallback(sb3_callbacks.CheckpointCallback):
    """Saves the model every `save_freq` timesteps, whole or not at all, under SB3's file names.

    `{prefix}_{steps}_steps.zip`, `{prefix}_replay_buffer_{steps}_steps.pkl` and
    `{prefix}_vecnormalize_{steps}_steps.pkl` are followed by the manifest
    `{prefix}_{steps}_steps.json`, with which the checkpoint counts as whole. When a file cannot be
    written (`OSError`, such as a full disk), a warning is logged, nothing half-written is left,
    nothing older is deleted, and training goes on until the next attempt. A checkpoint is for using
    or continuing a model; `trial_state` is what resumes a run exactly.

    Parameters
    ----------
    save_freq : timesteps, summed over the accounts, between checkpoints
    save_path : folder; created, and made absolute at once
    name_prefix : start of the file names
    save_replay_buffer : also save the replay buffer of an off-policy model
    save_vecnormalize : also save the statistics of VecNormalize
    verbose : 2 logs each checkpoint at INFO level
    keep_last : checkpoints to keep, the newest ones; None: all, or 1 where `keep_best` is given
    keep_best : checkpoints to keep besides, those with the best `metric`
    metric : a measure of the evaluation, for the manifest and `keep_best`; None: the metric that
        the evaluation is judged by
    evaluation : where the metric comes from; None: the first `EvalCallback` trained with

    Attributes
    ----------
    last_error : the `OSError` of the latest attempt; None after a success
    failed_timesteps : attempts that could not be written

    Raises
    ------
    ConfigError
        If an argument is out of range or `metric` is not known.
    """

    def __init__(
        self,
        save_freq: int,
        save_path: str | Path,
        name_prefix: str = "rl_model",
        save_replay_buffer: bool = False,
        save_vecnormalize: bool = False,
        verbose: int = 0,
        *,
        keep_last: int | None = None,
        keep_best: int | None = None,
        metric: str | None = None,
        evaluation: EvalCallback | None = None,
    ) -> None:
        self._interval = TimestepInterval("save_freq", save_freq)
        for name, count in (("keep_last", keep_last), ("keep_best", keep_best)):
            if count is not None and (not isinstance(count, int | np.integer) or count < 1):
                raise ConfigError(f"{name} must be None or a whole number >= 1, got {count!r}")
        if metric is not None and metric not in MEASURE_NAMES:
            raise ConfigError(f"metric must be one of {', '.join(MEASURE_NAMES)}, got {metric!r}")
        if not name_prefix or name_prefix.startswith(".") or Path(name_prefix).name != name_prefix:
            raise ConfigError(
                f"name_prefix must be text without a folder or a leading dot, got {name_prefix!r}"
            )
        super().__init__(
            save_freq,
            str(Path(save_path).absolute()),
            name_prefix,
            save_replay_buffer,
            save_vecnormalize,
            verbose,
        )
        self.keep_last = keep_last
        self.keep_best = keep_best
        self.metric = metric
        self.evaluation = evaluation
        self.last_error: OSError | None = None
        self.failed_timesteps: list[int] = []
        self._unsettled: Checkpoint | None = None
        self._elapsed_before_s = 0.0
        self._started_s: float | None = None
        self._restored = False

    @property
    def elapsed_s(self) -> float:
        """Seconds of training, over all starts of the run."""
        running = 0.0 if self._started_s is None else time.monotonic() - self._started_s
        return self._elapsed_before_s + running

    def get_state(self) -> dict[str, Any]:
        """Return everything that a resumed run needs, as plain values."""
        return {
            "n_calls": self.n_calls,
            "interval": self._interval.get_state(),
            "elapsed_s": self.elapsed_s,
            "failed_timesteps": list(self.failed_timesteps),
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """Undo `get_state` on a callback built with the same arguments."""
        self.n_calls = state["n_calls"]
        self._interval.set_state(state["interval"])
        self._elapsed_before_s = state["elapsed_s"]
        self.failed_timesteps = list(state["failed_timesteps"])
        self._restored = True

    def _init_callback(self) -> None:
        super()._init_callback()
        with surviving_disk_errors("the removal of files that were never finished"):
            remove_leftovers(Path(self.save_path), self.name_prefix)

    def _on_training_start(self) -> None:
        self._interval.start(self.num_timesteps)
        if not self._restored and self.num_timesteps == 0:
            self._elapsed_before_s = 0.0
        elif not self._restored and self._elapsed_before_s == 0.0:
            # a model from `load_checkpoint` goes on in a new process
            self._elapsed_before_s = elapsed_until(
                Path(self.save_path), self.name_prefix, self.num_timesteps
            )
        self._restored = False
        self._started_s = time.monotonic()

    def next_needed_timestep(self, num_timesteps: int) -> int:
        """Return the timesteps at which this callback must be called next (docs/callbacks.md)."""
        return self._interval.next_due if self._unsettled is None else num_timesteps + 1

    def _on_step(self) -> bool:
        self._settle()
        if self._interval.take(self.num_timesteps):
            self._save()
        return True

    def _on_training_end(self) -> None:
        self._settle()
        self._elapsed_before_s, self._started_s = self.elapsed_s, None

    def _save(self) -> None:
        checkpoint, writers = self._plan()
        try:
            write_files(checkpoint, writers)
        except OSError as error:
            self.last_error = error
            self.failed_timesteps.append(self.num_timesteps)
            logger.warning(
                "the checkpoint at %d timesteps could not be written to %s: %s; training goes on, "
                "the next attempt is %d timesteps later",
                self.num_timesteps,
                self.save_path,
                error,
                self.save_freq,
            )
            return
        self.last_error = None
        self._unsettled = checkpoint
        if self.verbose > 1:
            logger.info("checkpoint saved: %s", checkpoint.model_path)

    def _plan(self) -> tuple[Checkpoint, dict[Path, Writer]]:
        """Return what is to be written, and how."""
        model, elapsed_s = self.model, self.elapsed_s
        path = Path(self._checkpoint_path(extension="zip"))
        # the first of the writers is renamed last: other files without a model are no checkpoint
        writers: dict[Path, Writer] = {path: lambda file: save_model(model, file)}
        replay = normalizer = None
        if self.save_replay_buffer and isinstance(model, OffPolicyAlgorithm):
            replay = Path(self._checkpoint_path("replay_buffer_", "pkl"))
            writers[replay] = model.save_replay_buffer
        statistics = model.get_vec_normalize_env()
        if self.save_vecnormalize and statistics is not None:
            normalizer = Path(self._checkpoint_path("vecnormalize_", "pkl"))
            writers[normalizer] = lambda file: statistics.save(str(file))
        checkpoint = Checkpoint(
            timesteps=self.num_timesteps,
            model_path=path,
            replay_buffer_path=replay,
            vecnormalize_path=normalizer,
            elapsed_s=elapsed_s,
            algorithm=sb3_class(model).__name__,
            name_prefix=self.name_prefix,
            metric=self._measured(self.num_timesteps),
        )
        return checkpoint, writers

    def _settle(self) -> None:
        """Add the evaluation's metric to the latest checkpoint; delete those beyond the ones kept.

        An evaluation at the same timestep may run after this callback, so this waits for the next
        step.
        """
        checkpoint, self._unsettled = self._unsettled, None
        if checkpoint is None:
            return
        with surviving_disk_errors("the checkpoint's metric"):
            metric = self._measured(checkpoint.timesteps)
            if metric != checkpoint.metric and checkpoint.manifest_path.exists():
                _, files = read_checkpoint_manifest(checkpoint.manifest_path)
                write_checkpoint_manifest(replace(checkpoint, metric=metric), files)
        if self.keep_last is None and self.keep_best is None:
            return
        with surviving_disk_errors("the removal of older checkpoints"):
            discard_old(
                Path(self.save_path),
                self.name_prefix,
                checkpoint.timesteps,
                self.keep_last or 1,
                self.keep_best or 0,
                self._mode_of((metric or {}).get("name", "")),
            )

    def _mode_of(self, name: str) -> Mode:
        evaluation = self.evaluation or self._sibling_evaluation()
        if evaluation is not None and evaluation.metric == name:
            return evaluation.mode
        return MODES.get(name, "max")

    def _measured(self, timesteps: int) -> dict[str, Any] | None:
        """Return the metric of the latest evaluation until then."""
        evaluation = self.evaluation or self._sibling_evaluation()
        if evaluation is None:
            return None
        name = self.metric or evaluation.metric
        log = evaluation.log
        for at, measures in zip(reversed(log.timesteps), reversed(log.measures), strict=True):
            if at <= timesteps:
                value = measures.get(name, math.nan)
                known = value if math.isfinite(value) else None
                return {"name": name, "value": known, "timesteps": at}
        return None

    def _sibling_evaluation(self) -> EvalCallback | None:
        # learn's own variable: the callback that was given to it, with all those inside
        outermost = self.locals.get("callback")
        if not isinstance(outermost, BaseCallback):
            return None
        return next(find_callbacks(outermost, EvalCallback), None)


class TimestampedCheckpointCallback(CheckpointCallback):
    """`CheckpointCallback` whose files are named `{prefix}_{steps}_{seconds}s`.

    The clock starts with training, stops between calls of `learn`, and goes on in a resumed run.
    With `metric="sharpe_ratio"` the name ends in the latest evaluation, as in
    `model_10000_42s_sharpe_1.234.zip`; before the first one, or where it is undefined, it does not.
    Takes the arguments of `CheckpointCallback`.
    """

    def __init__(
        self,
        save_freq: int,
        save_path: str | Path,
        name_prefix: str = "model",
        save_replay_buffer: bool = False,
        save_vecnormalize: bool = False,
        verbose: int = 0,
        **options: Any,
    ) -> None:
        given = (save_freq, save_path, name_prefix, save_replay_buffer, save_vecnormalize)
        super().__init__(*given, verbose, **options)
        self.start_time: datetime | None = None
        """When training began, moved forward by the length of pauses; None before training."""
        self._suffix = ""

    def _on_training_start(self) -> None:
        super()._on_training_start()
        # local and without a time zone, so that users can subtract it from `datetime.now()`
        self.start_time = datetime.now() - timedelta(seconds=self.elapsed_s)  # noqa: DTZ005

    def _plan(self) -> tuple[Checkpoint, dict[Path, Writer]]:
        # once for all files of a checkpoint
        self._suffix = f"{self.elapsed_s:.0f}s{self._metric_suffix()}"
        return super()._plan()

    def _checkpoint_path(self, checkpoint_type: str = "", extension: str = "") -> str:
        name = f"{self.name_prefix}_{checkpoint_type}{self.num_timesteps}_{self._suffix}"
        return str(Path(self.save_path) / f"{name}.{extension}")

    def _metric_suffix(self) -> str:
        measured = self._measured(self.num_timesteps) if self.metric else None
        if measured is None or measured["value"] is None:
            return ""
        return f"_{measured['name'].removesuffix('_ratio')}_{measured['value']:.3f}"
