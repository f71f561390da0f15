"""A vec env that costs nothing, to measure a learner alone."""

from typing import Any

import numpy as np
from gymnasium import spaces
from stable_baselines3.common.vec_env import VecEnv

POOL = 64
EPISODE = 2_500


class FreeVecEnv(VecEnv):
    """Observations and rewards made beforehand, in turn; episodes of 2,500 steps.

    Parameters
    ----------
    n_envs : envs
    n_observed, n_actions : sizes of the spaces
    """

    def __init__(self, n_envs: int = 1, n_observed: int = 291, n_actions: int = 29) -> None:
        observed = spaces.Box(-np.inf, np.inf, (n_observed,), np.float32)
        super().__init__(n_envs, observed, spaces.Box(-1, 1, (n_actions,), np.float32))
        rng = np.random.default_rng(0)
        self._observations = rng.standard_normal((POOL, n_envs, n_observed), dtype=np.float32)
        self._rewards = rng.standard_normal((POOL, n_envs)).astype(np.float32)
        self._going_on = np.zeros(n_envs, dtype=bool)
        self._infos: list[dict[str, Any]] = [{} for _ in range(n_envs)]
        self._n_steps = 0

    def reset(self) -> Any:
        self._n_steps = 0
        return self._observations[0]

    def step_async(self, actions: Any) -> None:
        pass

    def step_wait(self) -> Any:
        self._n_steps += 1
        k = self._n_steps % POOL
        dones = ~self._going_on if self._n_steps % EPISODE == 0 else self._going_on
        return self._observations[k], self._rewards[k].copy(), dones, self._infos

    def close(self) -> None:
        pass

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        return [None] * self.num_envs

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        pass

    def env_method(self, method_name: str, *args: Any, indices: Any = None, **kw: Any) -> list[Any]:
        return [None] * self.num_envs

    def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> list[bool]:
        return [True] * self.num_envs
