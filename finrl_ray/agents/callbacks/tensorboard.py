"""`TensorboardCallback`: FinRL's `train/reward` keys, for every algorithm and all accounts."""

from typing import Any

import numpy as np
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm

from finrl_ray._typing import FloatArray

LAST, LOWEST, MEAN, HIGHEST = (
    "train/reward",
    "train/reward_min",
    "train/reward_mean",
    "train/reward_max",
)


class TensorboardCallback(BaseCallback):
    """Logs the rewards that the model sees (normalised under VecNormalize).

    Keys: `train/reward`, the latest step's mean over the accounts; `train/reward_min`,
    `train/reward_mean` and `train/reward_max` over all steps and accounts since the log was last
    written. `DRLAgent.train_model` adds one when the model has a `tensorboard_log`.

    Parameters
    ----------
    verbose : accepted as SB3's; nothing is said
    """

    def __init__(self, verbose: int = 0) -> None:
        super().__init__(verbose)
        self._recorded = False
        self._clear()

    def get_state(self) -> dict[str, Any]:
        """Return the sums since the log was last written."""
        self._clear_if_written()
        return {
            "n_calls": self.n_calls,
            "sum": self._sum,
            "count": self._count,
            "lowest": self._lowest,
            "highest": self._highest,
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """Undo `get_state`."""
        self.n_calls = state["n_calls"]
        self._sum, self._count = state["sum"], state["count"]
        self._lowest, self._highest = state["lowest"], state["highest"]
        self._recorded = False

    def next_needed_timestep(self, num_timesteps: int) -> int | None:
        """Say that no step is needed where a rollout keeps the rewards of those left out."""
        return None if isinstance(self.model, OnPolicyAlgorithm) else num_timesteps + 1

    def passed_over(self, n_steps: int) -> None:
        """Count the rewards of steps that this callback is not called for."""
        model = self.model
        assert isinstance(model, OnPolicyAlgorithm)
        pos = model.rollout_buffer.pos
        self._take(model.rollout_buffer.rewards[pos - n_steps : pos].astype(np.float64))

    def _on_step(self) -> bool:
        self._take(np.asarray(self.locals["rewards"], dtype=np.float64)[np.newaxis])
        return True

    def _take(self, rows: FloatArray) -> None:
        """Count and record the rewards of steps, of shape (steps, E)."""
        self._clear_if_written()
        total = self._count_rewards(rows)
        # every step, because off-policy algorithms write the log in the middle of a rollout
        record = self.logger.record
        record(LAST, total / rows.shape[1])
        record(LOWEST, self._lowest)
        record(MEAN, self._sum / self._count)
        record(HIGHEST, self._highest)
        self._recorded = True

    def _count_rewards(self, rows: FloatArray) -> float:
        """Count the rewards of steps, of shape (steps, E); return the sum of the last step's."""
        total = 0.0
        for row in rows:
            total = float(row.sum())
            self._sum += total
        self._count += rows.size
        self._lowest = min(self._lowest, float(rows.min()))
        self._highest = max(self._highest, float(rows.max()))
        return total

    def _clear_if_written(self) -> None:
        # the logger forgets its values when it writes them
        if self._recorded and LAST not in self.logger.name_to_value:
            self._recorded = False
            self._clear()

    def _clear(self) -> None:
        self._sum, self._count = 0.0, 0
        self._lowest, self._highest = np.inf, -np.inf
