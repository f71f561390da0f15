"""`ResourceMonitorCallback`: logs memory and CPU, and ends training before the system kills it."""

import logging
import shutil
from pathlib import Path
from typing import Any

from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm

from finrl_ray.agents.callbacks.interval import TimestepInterval
from finrl_ray.agents.callbacks.run_folder import run_folder
from finrl_ray.agents.models import save_model
from finrl_ray.agents.normalization import VECNORMALIZE_FILE
from finrl_ray.files.atomic import atomic_path
from finrl_ray.machine.resources import ResourceMonitor, ResourceUsage

logger = logging.getLogger(__name__)

MODEL_FILE = "model.zip"
REPLAY_BUFFER_FILE = "replay_buffer.pkl"
FOLDER_NAME = "resource_checkpoint"


class ResourceMonitorCallback(BaseCallback):
    """Records `sys/*` every `check_freq` timesteps; at the memory limit saves and ends training.

    When the level rises to `warn`, memory is cleaned up and a warning is logged, once. At
    `critical`, if cleaning up does not help, `checkpoint_dir` gets `model.zip`, `vecnormalize.pkl`
    (under VecNormalize) and `replay_buffer.pkl` (off-policy), each whole or not at all; then
    training ends as by any callback. The replay buffer is left out if the disk has no room for it.

    Parameters
    ----------
    monitor : what measures
    check_freq : timesteps, summed over the envs
    checkpoint_dir : folder for the checkpoint; None: `resource_checkpoint` in the folder of the
        model's logger, or, if nobody chose one, in the working folder
    verbose : 1 logs every check at INFO level

    Attributes
    ----------
    stop_reason : why training was ended, with the numbers; empty while it was not
    latest : ResourceUsage of the last check, None before

    Raises
    ------
    ConfigError
        If `check_freq` is not a whole number >= 1.
    """

    def __init__(
        self,
        monitor: ResourceMonitor,
        check_freq: int = 10000,
        *,
        checkpoint_dir: str | Path | None = None,
        verbose: int = 0,
    ) -> None:
        super().__init__(verbose)
        self.monitor = monitor
        self.check_freq = check_freq
        self.checkpoint_dir = None if checkpoint_dir is None else Path(checkpoint_dir).absolute()
        self.stop_reason = ""
        self.latest: ResourceUsage | None = None
        self._interval = TimestepInterval("check_freq", check_freq)

    def get_state(self) -> dict[str, Any]:
        """Return everything that a resumed run needs, as plain values."""
        return {"interval": self._interval.get_state()}

    def set_state(self, state: dict[str, Any]) -> None:
        """Undo `get_state` on a callback built with the same arguments."""
        self._interval.set_state(state["interval"])

    def _on_training_start(self) -> None:
        self._interval.start(self.model.num_timesteps)
        self.stop_reason = ""
        if self.checkpoint_dir is None:
            self.checkpoint_dir = (run_folder(self.model) or Path.cwd()) / FOLDER_NAME

    def next_needed_timestep(self, num_timesteps: int) -> int:
        """Return the timesteps at which this callback must be called next (docs/callbacks.md)."""
        del num_timesteps
        return self._interval.next_due

    def _on_step(self) -> bool:
        if not self._interval.take(self.num_timesteps):
            return True
        self.latest = usage = self.monitor.check_resources()
        for name, value in usage.metrics().items():
            self.logger.record(name, value)
        # written at once: off-policy algorithms write their log every few episodes only, and no
        # algorithm does when its training is stopped
        self.logger.dump(self.num_timesteps)
        if self.verbose > 0:
            logger.info("at %d timesteps: %s", self.num_timesteps, usage.describe())
        if usage.level == "critical":
            self._stop(usage)
        return not self.stop_reason

    def _stop(self, usage: ResourceUsage) -> None:
        assert self.checkpoint_dir is not None
        self.stop_reason = f"out of memory at {self.num_timesteps} timesteps: {usage.describe()}"
        saved = self._save(self.checkpoint_dir)
        logger.error(
            "training ends, %s; saved %s in %s; lower n_envs, buffer_size or what else runs here, "
            "or raise memory_limit_gb",
            self.stop_reason,
            ", ".join(saved) or "nothing",
            self.checkpoint_dir,
        )

    def _save(self, folder: Path) -> list[str]:
        """Write what there is room for, the smaller files first; return their names."""
        saved: list[str] = []
        try:
            self._save_small(folder, saved)
            self._save_replay_buffer(folder, saved)
        except OSError as error:
            # training ends in any case; the files that were written can still be used
            logger.error("the checkpoint in %s is not complete: %s", folder, error)
        return saved

    def _save_small(self, folder: Path, saved: list[str]) -> None:
        with atomic_path(folder / MODEL_FILE) as temporary:
            save_model(self.model, temporary)
        saved.append(MODEL_FILE)
        normalizer = self.model.get_vec_normalize_env()
        if normalizer is not None:
            with atomic_path(folder / VECNORMALIZE_FILE) as temporary:
                normalizer.save(str(temporary))
            saved.append(VECNORMALIZE_FILE)

    def _save_replay_buffer(self, folder: Path, saved: list[str]) -> None:
        if not isinstance(self.model, OffPolicyAlgorithm) or self.model.replay_buffer is None:
            return
        buffer = self.model.replay_buffer
        arrays = sum(getattr(value, "nbytes", 0) for value in vars(buffer).values())
        size = getattr(buffer, "filled_bytes", arrays)
        free = shutil.disk_usage(folder).free
        # a stale buffer of an earlier stop would not belong to this model
        (folder / REPLAY_BUFFER_FILE).unlink(missing_ok=True)
        if size >= free:
            logger.warning("no room for the replay buffer: %d bytes, %d are free", size, free)
            return
        with atomic_path(folder / REPLAY_BUFFER_FILE) as temporary:
            self.model.save_replay_buffer(temporary)
        saved.append(REPLAY_BUFFER_FILE)
