"""Whole episodes of a deterministic policy in compiled code, bit for bit those of single steps.

That is possible where both halves are: the policy (`learners/forward`) and the steps of the env
(`env/compiled`), with at most a VecNormalize between them. Python sees the end of each episode.
"""

import zlib
from typing import Any, NamedTuple

import numpy as np
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.running_mean_std import RunningMeanStd
from stable_baselines3.common.vec_env import VecEnv, VecNormalize

from finrl_ray._typing import AnyArray, BoolArray, Float32Array, FloatArray, IntArray
from finrl_ray.agents.state.env import base_vec_env, wrappers
from finrl_ray.env.compiled.steps import CompiledSteps, reason_against_steps
from finrl_ray.learners.base import Learner
from finrl_ray.learners.forward.episode import NO_NUMBER, act_address, run_steps
from finrl_ray.learners.forward.policy import PolicyForward, best_by_torch, forward_of
from finrl_ray.learners.vec_normalize import LeanVecNormalize

_MOST_NUMBERS = 1 << 20
"""Of observations that are kept at a time: 4 MB."""


class Tally(NamedTuple):
    """What has come together of the present episode of each of E accounts, written in place."""

    rewards: FloatArray
    lengths: IntArray
    checksums: list[int]


class End(NamedTuple):
    """What Python sees at a step that ends an episode."""

    observations: Float32Array
    """(E, S), as `VecEnv.step` returns them."""
    starts: BoolArray
    """(E,), whose episodes have ended."""
    infos: list[dict[str, Any]]


class _Statistics(NamedTuple):
    """The arguments of `run_steps` by which observations are normalised."""

    normalized: bool
    mean: FloatArray
    var: FloatArray
    epsilon: float
    limit: float


class CompiledEpisodes:
    """The episodes of a policy in an env; made by `compiled_episodes`.

    Parameters
    ----------
    forward : the policy
    env : with its wrappers
    statistics : under which the policy sees observations
    """

    def __init__(self, forward: PolicyForward, env: VecEnv, statistics: _Statistics) -> None:
        self.env = env
        self._forward = forward
        self._statistics = statistics
        self._steps = CompiledSteps(base_vec_env(env))
        self._own = next((w for w in wrappers(env) if isinstance(w, VecNormalize)), None)
        n_envs, size = env.num_envs, len(statistics.mean)
        self._seen: Float32Array = np.empty((n_envs, size), dtype=np.float32)
        shape = n_envs, forward.bounds.shape[1]
        self._actions: Float32Array = np.empty(shape, dtype=np.float32)

    def agree_with_torch(self, seen: Float32Array) -> bool:
        """Return whether the policy has torch's bits on observations (E, S) as it sees them."""
        compiled = self._forward.actions(np.ascontiguousarray(seen))
        if compiled is None:
            return False
        if compiled.tobytes() == best_by_torch(self._forward.policy, seen).tobytes():
            return True
        self._forward.refuse(len(seen))
        return False

    def until_an_end(self, observations: Float32Array, tally: Tally) -> End | None:
        """Step until an episode has ended.

        Parameters
        ----------
        observations : array of shape (E, S), as the env has given them last

        Returns
        -------
        End or None
            None where the policy says NaN; the env stands where it did so, and `observations` are
            what it has seen there.

        Raises
        ------
        DataError
            What a step of the env raises.
        """
        given = self._forward.arguments(self.env.num_envs)
        if given is None:
            return None
        before, after = given
        raw: Any = observations if self._own is None else self._own.old_obs
        block = self._block(raw)
        stepping = self._steps.arguments()
        while True:
            n_steps, status = run_steps(
                act_address(),
                before,
                after,
                *self._statistics,
                self._seen,
                block,
                self._actions,
                stepping,
                tally.rewards,
            )
            _count(tally, block[:n_steps])
            last: Float32Array = block[n_steps]
            if status == NO_NUMBER:
                observations[:] = self._shown(last)
                return None
            if status != 0:
                self._steps.refuse(status, self._actions)
            if self._steps.finished().any():
                self._steps.hand_over(self._actions, last.copy())
                shown, _, starts, infos = self.env.step_wait()
                return End(shown, starts, infos)  # type: ignore[arg-type]  # float32 rows
            block[0] = last

    def _block(self, raw: AnyArray) -> Float32Array:
        """Return room for observations, with the first ones in it."""
        room = max(1, _MOST_NUMBERS // raw.size)
        n_steps = min(self._steps.steps_left(), room)
        block = np.empty((n_steps + 1, *raw.shape), dtype=np.float32)
        block[0] = raw
        return block

    def _shown(self, raw: Float32Array) -> Any:
        if self._own is None:
            return raw
        self._own.old_obs = raw.copy()
        return self._own.normalize_obs(raw)


def _count(tally: Tally, taken: Float32Array) -> None:
    """Count steps, and add what was seen to the checksums."""
    np.add(tally.lengths, len(taken), out=tally.lengths)
    for index in range(taken.shape[1]):
        seen = np.ascontiguousarray(taken[:, index]).data
        tally.checksums[index] = zlib.crc32(seen, tally.checksums[index])


def compiled_episodes(model: Any, env: VecEnv) -> CompiledEpisodes | None:
    """Return the compiled episodes of a model in an env; None where single steps are needed.

    Parameters
    ----------
    model : a model or an ensemble
    env : whose VecNormalize, if it has one, holds the statistics to use already
    """
    if not isinstance(model, BaseAlgorithm) or "predict" in vars(model):
        return None
    if type(model).predict not in (BaseAlgorithm.predict, Learner.predict):
        return None
    around = list(wrappers(env))
    normalizer = around[0] if around else model.get_vec_normalize_env()
    if len(around) > 1 or reason_against_steps(base_vec_env(env)):
        return None
    statistics = _statistics(normalizer, int(env.observation_space.shape[0]))  # type: ignore[index]  # a Box
    forward = None if statistics is None else forward_of(model)
    if statistics is None or forward is None:
        return None
    return CompiledEpisodes(forward, env, statistics)


def _statistics(normalizer: Any, size: int) -> _Statistics | None:
    """Return under which statistics observations are seen; None where that is not known."""
    if normalizer is None or (isinstance(normalizer, VecNormalize) and not normalizer.norm_obs):
        return _Statistics(False, np.zeros(size), np.ones(size), 0.0, 0.0)
    if type(normalizer) not in (VecNormalize, LeanVecNormalize):
        return None
    moments: Any = normalizer.obs_rms
    if not isinstance(moments, RunningMeanStd):
        return None
    mean, var = moments.mean, moments.var
    if mean.shape != (size,) or mean.dtype != np.float64 or var.dtype != np.float64:
        return None
    # copies, as code is compiled for one kind of array
    plain = np.array(mean, order="C"), np.array(var, order="C")
    return _Statistics(True, *plain, float(normalizer.epsilon), float(normalizer.clip_obs))
