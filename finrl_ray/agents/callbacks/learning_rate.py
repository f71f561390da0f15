"""`LearningRateSchedulerCallback`: a learning rate that falls in steps, for every optimizer."""

import logging
import math
from collections.abc import Iterator
from typing import Any

import torch as th
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.save_util import recursive_getattr

from finrl_ray.agents.callbacks.interval import TimestepInterval
from finrl_ray.agents.sb3_internals import rebuild_schedule, trained_parts
from finrl_ray.errors import ConfigError

logger = logging.getLogger(__name__)

LOG_KEY = "train/learning_rate"


class LearningRateSchedulerCallback(BaseCallback):
    """Multiplies the learning rate by `decay_rate` after every `decay_freq` timesteps.

    The rate is `initial_lr * decay_rate ** (num_timesteps // decay_freq)` from the start of
    training: it depends on nothing else, so a resumed run goes on at the right rate. It replaces
    the model's own rate, and its schedule with a warning, reaches every optimizer at once, and is
    saved with the model, which trains on at it after `load`. Logged as `train/learning_rate`.

    Parameters
    ----------
    initial_lr : rate at timestep 0; may be set anew during training
    decay_rate : factor per step, within (0, 1]
    decay_freq : timesteps, summed over the accounts, between steps
    verbose : 1 logs each change at INFO level

    Attributes
    ----------
    current_lr : the rate in use

    Raises
    ------
    ConfigError
        If an argument is out of range.
    """

    def __init__(
        self,
        initial_lr: float = 3e-4,
        decay_rate: float = 0.95,
        decay_freq: int = 10000,
        verbose: int = 0,
    ) -> None:
        super().__init__(verbose)
        if not (math.isfinite(initial_lr) and initial_lr > 0):
            raise ConfigError(f"initial_lr must be finite and > 0, got {initial_lr}")
        if not 0 < decay_rate <= 1:
            raise ConfigError(f"decay_rate must be > 0 and <= 1, got {decay_rate}")
        self.initial_lr = float(initial_lr)
        self.decay_rate = float(decay_rate)
        self.decay_freq = TimestepInterval("decay_freq", decay_freq).freq
        self.current_lr = self.initial_lr

    def learning_rate_at(self, num_timesteps: int) -> float:
        """Return the rate after this many timesteps."""
        return float(self.initial_lr * self.decay_rate ** (num_timesteps // self.decay_freq))

    def get_state(self) -> dict[str, Any]:
        """Return the number of calls; the rate itself follows from the timesteps."""
        return {"n_calls": self.n_calls}

    def set_state(self, state: dict[str, Any]) -> None:
        """Undo `get_state`."""
        self.n_calls = state["n_calls"]

    def _on_training_start(self) -> None:
        if callable(self.model.learning_rate):
            logger.warning(
                "the model's own learning rate schedule %r is replaced by %g * %g ** (timesteps // "
                "%d); leave the LearningRateSchedulerCallback out to keep it",
                self.model.learning_rate,
                self.initial_lr,
                self.decay_rate,
                self.decay_freq,
            )
        self._use(self.learning_rate_at(self.num_timesteps))

    def next_needed_timestep(self, num_timesteps: int) -> int:
        """Return the timesteps at which this callback must be called next (docs/callbacks.md)."""
        rate = self.learning_rate_at(num_timesteps)
        if rate != self.current_lr or self.model.learning_rate != rate:
            return num_timesteps + 1
        return (num_timesteps // self.decay_freq + 1) * self.decay_freq

    def _on_step(self) -> bool:
        learning_rate = self.learning_rate_at(self.num_timesteps)
        # the model's is compared too: other code may have set it and not the schedule
        if learning_rate != self.current_lr or self.model.learning_rate != learning_rate:
            self._use(learning_rate)
            if self.verbose > 0:
                logger.info(
                    "learning rate %.3g from %d timesteps on", learning_rate, self.num_timesteps
                )
        return True

    def _on_rollout_end(self) -> None:
        # also while an off-policy model is not training yet
        self.logger.record(LOG_KEY, self.current_lr)

    def _use(self, learning_rate: float) -> None:
        self.current_lr = learning_rate
        # train() reads lr_schedule, which SB3 builds from learning_rate here and in load()
        self.model.learning_rate = learning_rate
        rebuild_schedule(self.model)
        for optimizer in optimizers(self.model):
            for group in optimizer.param_groups:
                group["lr"] = learning_rate
        self.logger.record(LOG_KEY, learning_rate)


def optimizers(model: BaseAlgorithm) -> Iterator[th.optim.Optimizer]:
    """Yield every optimizer of a model, such as those of actor, critic and entropy coefficient."""
    for name in trained_parts(model):
        part = recursive_getattr(model, name)
        if isinstance(part, th.optim.Optimizer):
            yield part
