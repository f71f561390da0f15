"""`FrameVecNormalize`: a VecNormalize inside a VecFrameStack, with which off-policy models learn.

The order is rl-zoo3's: each observation is normalised once, by the statistics of its day, and then
stacked. SB3's off-policy algorithms keep original observations, for which they ask VecNormalize,
and normalise them when they are sampled: inside a stack SB3's class would give them one observation
where they keep stacks of them. This one gives the stack of originals, and normalises stacks.
"""

from typing import Any

import numpy as np
from stable_baselines3.common.vec_env import VecEnv, VecNormalize
from stable_baselines3.common.vec_env.base_vec_env import VecEnvStepReturn

from finrl_ray._typing import AnyArray
from finrl_ray.learners.vec_normalize import LeanVecNormalize


class FrameVecNormalize(LeanVecNormalize):
    """SB3's `VecNormalize` for the inside of `VecFrameStack(env, n_stack)`.

    Where a stack is not full yet, VecFrameStack shows zeros, which are what is normal on average.
    The original of those is NaN in `get_original_obs`, and `normalize_obs` makes zeros of it again.

    Parameters
    ----------
    venv : observations of shape (E, S), floating-point numbers
    n_stack : observations in a stack, 2 or more
    options : of VecNormalize
    """

    def __init__(self, venv: VecEnv, n_stack: int, **options: Any) -> None:
        super().__init__(venv, **options)
        self.n_stack = n_stack
        shape: Any = venv.observation_space.shape
        self._frame = int(shape[-1])
        self.original_stack: AnyArray = np.zeros(
            (venv.num_envs, n_stack * self._frame), dtype=venv.observation_space.dtype
        )

    @property
    def _missing(self) -> float:
        """What stands for an observation before the first one, among originals."""
        return np.nan if self.norm_obs else 0.0

    def reset(self) -> Any:
        """Reset the env; return normalised observations of shape (E, S)."""
        observations = super().reset()
        self.original_stack = np.full_like(self.original_stack, self._missing)
        self.original_stack[:, -self._frame :] = self.old_obs
        return observations

    def step_wait(self) -> VecEnvStepReturn:
        """Step the env; return normalised observations and rewards, dones and infos."""
        result = super().step_wait()
        # a new array, since whoever asked for the last one keeps it
        stack = np.roll(self.original_stack, -self._frame, axis=1)
        stack[result[2]] = self._missing
        stack[:, -self._frame :] = self.old_obs
        self.original_stack = stack
        return result

    def get_original_obs(self) -> AnyArray:
        """Return stacks of observations as the env has given them, of shape (E, n_stack * S)."""
        return self.original_stack.copy()

    def normalize_obs(self, obs: Any) -> Any:
        """Return observations of shape (..., S), or stacks (..., n_stack * S), normalised."""
        if np.shape(obs)[-1] == self._frame or not self.norm_obs:
            return super().normalize_obs(obs)
        frames = np.ascontiguousarray(obs).reshape(-1, self._frame)
        stacks: AnyArray = np.asarray(super().normalize_obs(frames)).reshape(np.shape(obs))
        stacks[np.isnan(obs)] = 0.0
        return stacks

    def unnormalize_obs(self, obs: Any) -> Any:
        """Return the original of normalised observations or stacks, up to what was clipped."""
        if np.shape(obs)[-1] == self._frame or not self.norm_obs:
            return super().unnormalize_obs(obs)
        frames = np.asarray(obs).reshape(-1, self._frame)
        original: AnyArray = np.array(super().unnormalize_obs(frames), dtype=np.asarray(obs).dtype)
        original[~frames.any(axis=1)] = np.nan
        return original.reshape(np.shape(obs))

    def save(self, save_path: str) -> None:
        """Write an object of SB3's own class, of single observations."""
        plain = VecNormalize.__new__(VecNormalize)
        own = ("n_stack", "_frame", "original_stack")
        plain.__dict__.update({k: v for k, v in self.__dict__.items() if k not in own})
        VecNormalize.save(plain, save_path)
