"""`LeanVecNormalize`: SB3's VecNormalize with its statistics brought up to date in one pass.

SB3's takes about twenty operations on small arrays per step. The results here are the same bit for
bit: sums run in NumPy's order, means of a step are rounded to the type of the observations as
NumPy rounds them, and nothing is reassociated. What `save` writes is SB3's own class.
"""

import math
from typing import Any

import numpy as np
from stable_baselines3.common.running_mean_std import RunningMeanStd
from stable_baselines3.common.vec_env import VecNormalize
from stable_baselines3.common.vec_env.base_vec_env import VecEnvStepReturn

from finrl_ray._typing import AnyArray, Float32Array, FloatArray
from finrl_ray.machine.compiled_cache import cached_njit

_LEAST_COLUMNS = 2
"""NumPy sums a single column in another order than several."""

compiled = cached_njit(nogil=True, error_model="numpy")


@compiled
def update_moments(
    values: Float32Array,
    mean: FloatArray,
    var: FloatArray,
    count: float,
    new_mean: FloatArray,
    new_var: FloatArray,
) -> None:
    """Write mean and variance after E more rows.

    Parallel updates of moments after Chan, Golub and LeVeque (1979), as SB3's `RunningMeanStd`
    orders them.

    Parameters
    ----------
    values : array of shape (E, S)
    mean, var, new_mean, new_var : arrays of shape (S,)
    count : rows before
    """
    n_rows, n_columns = values.shape
    rows = float(n_rows)
    total = count + rows
    step_mean = np.zeros(n_columns, dtype=np.float32)
    step_var = np.zeros(n_columns, dtype=np.float32)
    for e in range(n_rows):
        for j in range(n_columns):
            step_mean[j] += values[e, j]
    for j in range(n_columns):
        step_mean[j] = np.float32(step_mean[j] / rows)
    for e in range(n_rows):
        for j in range(n_columns):
            away = values[e, j] - step_mean[j]
            step_var[j] += away * away
    for j in range(n_columns):
        delta = np.float64(step_mean[j]) - mean[j]
        new_mean[j] = mean[j] + delta * rows / total
        # a float32 array times a Python number stays one
        spread = np.float32(step_var[j] / rows) * np.float32(rows)
        within = var[j] * count + np.float64(spread)
        new_var[j] = (within + delta * delta * count * rows / total) / total


@compiled
def normalize_rows(
    values: Float32Array,
    mean: FloatArray,
    var: FloatArray,
    epsilon: float,
    limit: float,
    out: Float32Array,
) -> None:
    """Write values of shape (E, S), standardised and clipped to -limit..limit."""
    n_rows, n_columns = values.shape
    deviation = np.empty(n_columns)
    for j in range(n_columns):
        deviation[j] = math.sqrt(var[j] + epsilon)
    for e in range(n_rows):
        for j in range(n_columns):
            value = (np.float64(values[e, j]) - mean[j]) / deviation[j]
            # in this order a NaN stays one, as in numpy.clip
            value = -limit if value < -limit else value
            out[e, j] = np.float32(limit if value > limit else value)


class LeanVecNormalize(VecNormalize):
    """SB3's `VecNormalize`, bit for bit; the arguments are the same.

    Observations that are no plain float32 arrays of shape (E, S) take SB3's own way.
    """

    def step_wait(self) -> VecEnvStepReturn:
        """Step the env; return normalised observations and rewards, dones and infos."""
        observations: Any
        observations, rewards, dones, infos = self.venv.step_wait()
        self.old_obs = observations
        self.old_reward = rewards
        if self.training and self.norm_obs:
            self._update_observations(observations)
        observations = self.normalize_obs(observations)
        if self.training:
            self._update_reward(rewards)
        rewards = self.normalize_reward(rewards)
        if dones.any():
            for index in np.flatnonzero(dones):
                info = infos[index]
                if "terminal_observation" in info:
                    info["terminal_observation"] = self.normalize_obs(info["terminal_observation"])
            self.returns[dones] = 0
        return observations, rewards, dones, infos

    def _update_observations(self, observations: Any) -> None:
        statistics: Any = self.obs_rms
        if isinstance(statistics, dict):
            for key, one in statistics.items():
                one.update(observations[key])
        elif _is_plain(observations) and is_plain_statistics(statistics):
            mean, var = np.empty_like(statistics.mean), np.empty_like(statistics.var)
            count = float(statistics.count)
            update_moments(observations, statistics.mean, statistics.var, count, mean, var)
            # new arrays, as in SB3: whoever holds the old ones keeps them
            statistics.mean, statistics.var = mean, var
            statistics.count = len(observations) + statistics.count
        else:
            statistics.update(observations)

    def normalize_obs(self, obs: Any) -> Any:
        """Return normalised observations; statistics are not updated."""
        statistics: Any = self.obs_rms if self.norm_obs else None
        if isinstance(statistics, RunningMeanStd) and is_plain_statistics(statistics):
            rows = obs[np.newaxis] if isinstance(obs, np.ndarray) and obs.ndim == 1 else obs
            if _is_plain(rows):
                out = np.empty(rows.shape, dtype=np.float32)
                limit = float(self.clip_obs)
                epsilon = float(self.epsilon)
                normalize_rows(rows, statistics.mean, statistics.var, epsilon, limit, out)
                return out.reshape(obs.shape)
        return super().normalize_obs(obs)

    def _update_reward(self, reward: AnyArray) -> None:
        self.returns = self.returns * self.gamma + reward
        statistics: Any = self.ret_rms
        rows = len(self.returns)
        # sums by NumPy, because from 8 numbers on it adds up in another order than one by one
        step_mean = float(np.add.reduce(self.returns)) / rows
        away = self.returns - step_mean
        step_var = float(np.add.reduce(away * away)) / rows
        mean, var, count = float(statistics.mean), float(statistics.var), float(statistics.count)
        delta, total = step_mean - mean, count + rows
        within = var * count + step_var * rows
        statistics.mean = np.float64(mean + delta * rows / total)
        statistics.var = np.float64((within + delta * delta * count * rows / total) / total)
        statistics.count = rows + statistics.count

    def normalize_reward(self, reward: AnyArray) -> AnyArray:
        """Return scaled rewards as float32; statistics are not updated."""
        if not self.norm_reward:
            return reward.astype(np.float32)
        scaled = reward / np.float64(math.sqrt(float(self.ret_rms.var) + self.epsilon))
        limit = self.clip_reward
        bounded: AnyArray = np.minimum(np.maximum(scaled, -limit), limit)
        return bounded.astype(np.float32)

    def save(self, save_path: str) -> None:
        """Write an object of SB3's own class, which is loaded without this package."""
        plain = VecNormalize.__new__(VecNormalize)
        plain.__dict__.update(self.__dict__)
        VecNormalize.save(plain, save_path)


def _is_plain(values: Any) -> bool:
    return (
        isinstance(values, np.ndarray)
        and values.ndim == 2
        and values.dtype == np.float32
        and values.shape[1] >= _LEAST_COLUMNS
        and values.flags.c_contiguous
    )


def is_plain_statistics(statistics: RunningMeanStd) -> bool:
    """Return whether mean and variance are contiguous arrays of shape (S,) and float64."""
    # statistics may come from a file, so that each attribute may be anything
    mean: Any = statistics.mean
    var: Any = statistics.var
    return bool(
        mean.ndim == 1
        and mean.dtype == var.dtype == np.float64
        and mean.flags.c_contiguous
        and var.flags.c_contiguous
    )
