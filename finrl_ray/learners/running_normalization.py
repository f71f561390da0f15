"""VecNormalize inside a compiled loop: statistics brought up to date, rows and rewards normalised.

The numbers are those of `LeanVecNormalize`, bit for bit, and so SB3's.
"""

from typing import Any, NamedTuple

import numpy as np
from stable_baselines3.common.running_mean_std import RunningMeanStd
from stable_baselines3.common.vec_env import VecEnv, VecNormalize

from finrl_ray._typing import Float32Array, FloatArray
from finrl_ray.env.kernel.compile import njit
from finrl_ray.learners.vec_normalize import (
    LeanVecNormalize,
    is_plain_statistics,
    normalize_rows,
    update_moments,
)

_LANES, _BLOCK = 8, 128
_DEEPEST = 128
# before NumPy 2 a float32 array divided by a float64 number stayed one of float32
_DIVIDES_IN_FLOAT64 = (np.ones(1, dtype=np.float32) / np.float64(1.0)).dtype == np.float64


class Normalizing(NamedTuple):
    """What a compiled loop reads and writes of a VecNormalize, for E accounts that see S numbers.

    Without a VecNormalize all switches are False, and the arrays have no entries.
    """

    learns_observations: bool
    shows_observations: bool
    """Observations are normalised."""
    learns_returns: bool
    scales_rewards: bool
    mean: FloatArray
    """(S,), of observations"""
    var: FloatArray
    """(S,)"""
    returns: FloatArray
    """(E,), discounted"""
    away: FloatArray
    """(E,), scratch"""
    moments: FloatArray
    """Count of observations; mean, variance and count of returns."""
    gamma: float
    epsilon: float
    clip_obs: float
    clip_reward: float


@njit
def _sum_of_lanes(values: FloatArray, first: int, stop: int) -> float:
    """Return the sum of up to 128 numbers as NumPy adds them: in eight lanes, if there are any."""
    total = 0.0
    if stop - first < _LANES:
        for i in range(first, stop):
            total += values[i]
        return total
    r = np.empty(_LANES)
    for lane in range(_LANES):
        r[lane] = values[first + lane]
    whole = first + (stop - first) // _LANES * _LANES
    for i in range(first + _LANES, whole, _LANES):
        for lane in range(_LANES):
            r[lane] += values[i + lane]
    total = ((r[0] + r[1]) + (r[2] + r[3])) + ((r[4] + r[5]) + (r[6] + r[7]))
    for i in range(whole, stop):
        total += values[i]
    return float(total)


@njit
def sum_as_numpy(values: FloatArray) -> float:
    """Return the sum of numbers in the order of `np.add.reduce`: by halves [1]_.

    References
    ----------
    .. [1] Higham (1993), "The accuracy of floating point summation", SIAM J. Sci. Comput. 14(4).
    """
    if values.shape[0] <= _BLOCK:
        return _sum_of_lanes(values, 0, values.shape[0])
    # parts that are left, and sums of those that are done; a part that is halved waits for both
    # halves below it. No recursion, because Numba cannot take such a function from disk.
    parts = np.zeros((_DEEPEST, 3), dtype=np.int64)
    sums = np.zeros(_DEEPEST)
    parts[0, 1] = values.shape[0]
    n_parts, n_sums = 1, 0
    while n_parts > 0:
        first, stop, halved = parts[n_parts - 1, 0], parts[n_parts - 1, 1], parts[n_parts - 1, 2]
        n = stop - first
        if halved:
            n_parts -= 1
            n_sums -= 1
            sums[n_sums - 1] += sums[n_sums]
        elif n <= _BLOCK:
            n_parts -= 1
            sums[n_sums] = _sum_of_lanes(values, first, stop)
            n_sums += 1
        else:
            half = n // 2
            middle = first + half - half % _LANES
            parts[n_parts - 1, 2] = 1
            parts[n_parts, 0], parts[n_parts, 1], parts[n_parts, 2] = middle, stop, 0
            parts[n_parts + 1, 0], parts[n_parts + 1, 1] = first, middle
            parts[n_parts + 1, 2] = 0
            n_parts += 2
    return float(sums[0])


@njit
def _learn_returns(rewards: Float32Array, s: Any) -> None:
    """Discount the returns, and bring their mean and variance up to date."""
    rows = rewards.shape[0]
    for e in range(rows):
        s.returns[e] = s.returns[e] * s.gamma + rewards[e]
    step_mean = sum_as_numpy(s.returns) / rows
    for e in range(rows):
        s.away[e] = (s.returns[e] - step_mean) * (s.returns[e] - step_mean)
    step_var = sum_as_numpy(s.away) / rows
    mean, var, count = s.moments[1], s.moments[2], s.moments[3]
    delta, total = step_mean - mean, count + rows
    within = var * count + step_var * rows
    s.moments[1] = mean + delta * rows / total
    s.moments[2] = (within + delta * delta * count * rows / total) / total
    s.moments[3] = rows + count


@njit
def copy_rows(source: Float32Array, target: Float32Array) -> None:
    """Copy rows (E, S); an assignment of whole arrays takes a second to compile."""
    for e in range(source.shape[0]):
        for j in range(source.shape[1]):
            target[e, j] = source[e, j]


@njit
def normalize_step(
    observations: Float32Array, rewards: Float32Array, normalizing: Any, shown: Float32Array
) -> None:
    """Do what VecNormalize does after a step in which no episode has ended.

    Parameters
    ----------
    observations : array of shape (E, S), as the env gives them
    rewards : array of shape (E,); normalised in place
    normalizing : the fields of Normalizing, a plain tuple
    shown : array of shape (E, S), filled with what the model sees
    """
    s = Normalizing(*normalizing)
    if s.learns_observations:
        update_moments(observations, s.mean, s.var, s.moments[0], s.mean, s.var)
        s.moments[0] = observations.shape[0] + s.moments[0]
    if s.shows_observations:
        normalize_rows(observations, s.mean, s.var, s.epsilon, s.clip_obs, shown)
    else:
        copy_rows(observations, shown)
    if s.learns_returns:
        _learn_returns(rewards, s)
    if s.scales_rewards:
        deviation = np.sqrt(s.moments[2] + s.epsilon)
        for e in range(rewards.shape[0]):
            value = np.float64(rewards[e]) / deviation
            # in this order a NaN stays one
            value = -s.clip_reward if value < -s.clip_reward else value
            rewards[e] = s.clip_reward if value > s.clip_reward else value


def reason_against_normalizing(env: VecEnv) -> str:
    """Return why a wrapper around accounts cannot be part of a compiled loop, or an empty text."""
    if type(env) not in (VecNormalize, LeanVecNormalize):
        return f"the env is wrapped in a {type(env).__name__}"
    assert isinstance(env, VecNormalize)
    if env.norm_obs:
        statistics: Any = env.obs_rms
        if not isinstance(statistics, RunningMeanStd) or not is_plain_statistics(statistics):
            return "VecNormalize has statistics that are no plain arrays"
    if env.norm_reward and not _DIVIDES_IN_FLOAT64:
        return "this version of NumPy scales rewards in float32"
    return ""


class RunningNormalization:
    """A VecNormalize whose statistics a compiled loop carries on.

    Parameters
    ----------
    env : for which there is no `reason_against_normalizing`; None: no VecNormalize
    n_envs : E
    """

    def __init__(self, env: VecNormalize | None, n_envs: int) -> None:
        self.env = env
        self._away: FloatArray = np.zeros(n_envs)
        self._now: Normalizing | None = None

    def begin(self) -> tuple[Any, ...]:
        """Return the fields of `Normalizing` as they are now, in new arrays."""
        env, nothing = self.env, np.zeros(0)
        if env is None:
            switches = False, False, False, False
            return (*switches, nothing, nothing, nothing, nothing, np.zeros(4), 0.0, 0.0, 0.0, 0.0)
        statistics: Any = env.obs_rms if env.norm_obs else None
        returns: Any = env.ret_rms
        shown = statistics is not None
        self._now = Normalizing(
            learns_observations=bool(shown and env.training),
            shows_observations=shown,
            learns_returns=bool(env.training),
            scales_rewards=bool(env.norm_reward),
            mean=statistics.mean.copy() if shown else nothing,
            var=statistics.var.copy() if shown else nothing,
            returns=np.array(env.returns, dtype=np.float64),
            away=self._away,
            moments=np.array(
                [
                    statistics.count if shown else 0.0,
                    float(returns.mean),
                    float(returns.var),
                    returns.count,
                ]
            ),
            gamma=float(env.gamma),
            epsilon=float(env.epsilon),
            clip_obs=float(env.clip_obs),
            clip_reward=float(env.clip_reward),
        )
        return tuple(self._now)

    def end(self, n_steps: int) -> None:
        """Give the VecNormalize what the loop has learned in `n_steps` steps."""
        env, now = self.env, self._now
        if env is None or now is None or n_steps == 0:
            return
        if now.learns_observations:
            statistics: Any = env.obs_rms
            statistics.mean, statistics.var = now.mean, now.var
            statistics.count = float(now.moments[0])
        if now.learns_returns:
            env.returns = now.returns
            _, mean, var, count = now.moments
            env.ret_rms.mean, env.ret_rms.var = mean, var
            env.ret_rms.count = float(count)
