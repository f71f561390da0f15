"""Rollouts of SAC, TD3 and DDPG in compiled code, from one step that Python sees to the next."""

import functools
import logging
from typing import Any, Protocol

import numpy as np
from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.noise import ActionNoise
from stable_baselines3.common.type_aliases import TrainFreq, TrainFrequencyUnit
from stable_baselines3.common.vec_env import VecEnv, VecNormalize

from finrl_ray._typing import AnyArray, Float32Array
from finrl_ray.env.compiled.steps import CompiledSteps
from finrl_ray.learners.awaited_steps import (
    next_needed_timestep,
    pass_over,
    watching_every_step,
)
from finrl_ray.learners.base import FUSED
from finrl_ray.learners.off_policy.exact import ExactOffPolicy
from finrl_ray.learners.off_policy.kept_steps import keep_steps, reason_against_buffer
from finrl_ray.learners.off_policy.random_numbers import Randomness, reason_against_noise
from finrl_ray.learners.off_policy.run_steps import BAD_POLICY, TAKEN, Acting, Run, run_steps
from finrl_ray.learners.on_policy.compiled_rollouts import reason_against_env
from finrl_ray.learners.running_normalization import (
    RunningNormalization,
    reason_against_normalizing,
)
from finrl_ray.learners.slow_steps import TellsSlowSteps

logger = logging.getLogger(__name__)

_MOST_NUMBERS = 1 << 16
"""Random numbers that are drawn at a time, so that they stay in a near cache."""
_METHODS = frozenset(
    (
        *("_sample_action", "_store_transition", "_choose", "_explore", "_on_step"),
        *("_update_info_buffer", "_update_current_progress_remaining", "predict"),
    )
)
"""Of a model: whoever replaces one wants it to be called at every step."""


@functools.cache
def _is_changed(kind: type[Any]) -> bool:
    """Return whether a class outside of this package has methods of its own for steps."""
    own = "finrl_ray", "stable_baselines3"
    return any(
        not _METHODS.isdisjoint(vars(one)) and one.__module__.partition(".")[0] not in own
        for one in kind.__mro__
    )


def _sees_rows(seen: Any, env: Any) -> bool:
    """Return whether what is seen is a float32 array of shape (E, S)."""
    shape = env.num_envs, *env.observation_space.shape
    return isinstance(seen, np.ndarray) and seen.dtype == np.float32 and seen.shape == shape


class Actor(Protocol):
    """A policy's exploring actions for compiled loops; see `Acting`."""

    act_at: int
    arguments: tuple[Any, ...]
    seen: Float32Array
    normal: Float32Array
    chosen: Float32Array

    def holds(self) -> bool:
        """Return whether the policy and torch's settings still are those that this was made for."""

    def refuse(self) -> None:
        """Raise what is raised where the policy has no numbers."""


class CompiledTaker:
    """Takes the steps of a model's rollouts in compiled code.

    Parameters
    ----------
    model : of SAC, TD3 or DDPG
    env : for which there is no `reason_against_env`
    """

    def __init__(self, model: Any, env: VecEnv) -> None:
        self.env, self._model = env, model
        self._normalizer = env if isinstance(env, VecNormalize) else None
        inner: Any = env if self._normalizer is None else self._normalizer.venv
        self._steps = CompiledSteps(inner)
        self._normalization = RunningNormalization(self._normalizer, env.num_envs)
        space: Any = env.action_space
        self._n_envs, self._n_actions = env.num_envs, space.shape[0]
        self._bounds = tuple(
            np.ascontiguousarray(bound, dtype=np.float32) for bound in (space.low, space.high)
        )
        self._random = Randomness(model, (self._n_envs, self._n_actions))
        self._most_steps = max(1, _MOST_NUMBERS // (self._n_envs * self._n_actions))
        self._room, self._last = 0, 0
        self._make_room(1)

    def begin(self, actor: Actor, buffer: ReplayBuffer, noise: ActionNoise | None) -> None:
        """Take what a rollout works with."""
        self._actor, self._buffer, self._noise = actor, buffer, noise
        self._acting = tuple(
            Acting(actor.act_at, actor.arguments, actor.seen, actor.normal, actor.chosen)
        )

    def goes_on(self, env: VecEnv, buffer: ReplayBuffer, noise: ActionNoise | None) -> bool:
        """Return whether a rollout can begin with what the last one has worked with."""
        model, same = self._model, env is self.env and buffer is self._buffer
        return (
            same
            and noise is self._noise
            and model._takes_compiled_steps()
            and _sees_rows(model._kept_observations()[0], env)
            and (self._normalizer is None or not reason_against_normalizing(self._normalizer))
            and self._actor.holds()
        )

    def _make_room(self, n_steps: int) -> None:
        if n_steps <= self._room:
            return
        self._room = n_steps
        self._random.make_room(n_steps)
        shape, random = (self._n_envs, self._n_actions), self._random
        seen: Any = self.env.observation_space.shape
        self._run = Run(
            random.normal.numpy(),
            random.sampled,
            random.added,
            np.zeros((n_steps + 1, self._n_envs, *seen), dtype=np.float32),
            np.zeros((n_steps, *shape), dtype=np.float32),
            np.zeros((n_steps, self._n_envs), dtype=np.float32),
            np.zeros(shape, dtype=np.float32),
            np.zeros(self._n_envs, dtype=np.float32),
            *self._bounds,
        )

    def take(
        self,
        callback: BaseCallback,
        learning_starts: int,
        train_freq: TrainFreq,
        num_collected_steps: int,
    ) -> int:
        """Take steps up to one that Python sees; return how many are stored before that one."""
        model, run = self._model, self._run
        left = self._most_steps
        if train_freq.unit == TrainFrequencyUnit.STEP:
            left = min(left, train_freq.frequency - num_collected_steps)
        is_sampled = bool(model.num_timesteps < learning_starts)
        if is_sampled:
            left = min(left, -((model.num_timesteps - learning_starts) // self._n_envs))
        n_steps = 1 if left <= 1 else self._longest(callback, left)
        self._make_room(n_steps)
        run = self._run
        seen, original = model._kept_observations()
        self._actor.seen[:] = seen
        run.observations[0] = seen if self._normalizer is None else original
        try:
            last, ending, status = self._take(n_steps, is_sampled)
        except KeyboardInterrupt:
            # it comes after the run, whose steps nobody has counted: the next training begins anew
            model._forget_observations()
            raise
        if last > 0:
            self._count(last, callback)
        if ending == BAD_POLICY:
            self._actor.refuse()
        if ending != TAKEN:
            self._steps.refuse(status, run.actions)
        self._last = last
        self._steps.hand_over(run.actions.copy(), run.observations[last + 1].copy())
        return last

    def _longest(self, callback: BaseCallback, left: int) -> int:
        """Return how many of the steps left can be taken before Python has to see one."""
        watcher = watching_every_step(callback)
        if watcher is not None:
            self._model._say_watched(watcher)
            return 1
        steps = min(left, self._steps.steps_left())
        needed = next_needed_timestep(callback, self._model.num_timesteps, self._n_envs)
        if needed is not None:
            steps = min(steps, -((self._model.num_timesteps - needed) // self._n_envs))
        return max(1, int(steps))

    def _take(self, n_steps: int, is_sampled: bool) -> tuple[int, int, int]:
        """Take steps as `run_steps` does, on random numbers that are left as after these steps."""
        is_normal = len(self._actor.normal) > 0
        draws: Any = {"is_sampled": is_sampled, "is_normal": is_normal, "noise": self._noise}
        state = self._random.state() if n_steps > 1 else ()
        self._random.draw(n_steps, **draws)
        ended: tuple[int, int, int] = run_steps(
            n_steps,
            is_sampled,
            self._noise is not None,
            self._acting,
            tuple(self._run),
            self._normalization.begin(),
            self._steps.arguments(),
        )
        if ended[0] < n_steps - 1:
            self._random.go_back(state)
            self._random.draw(ended[0] + 1, **draws)
        self._normalization.end(ended[0])
        return ended

    def _count(self, n_steps: int, callback: BaseCallback) -> None:
        """Store and count steps that nobody sees."""
        model, run = self._model, self._run
        seen = run.observations
        keep_steps(
            self._buffer,
            seen[:n_steps],
            seen[1 : n_steps + 1],
            run.scaled[:n_steps],
            run.rewards[:n_steps],
        )
        model.num_timesteps += n_steps * self._n_envs
        pass_over(callback, n_steps, model.num_timesteps, self._n_envs)
        model._tell_progress()
        before = n_steps if self._normalizer is not None else n_steps - 1
        model._keep_observations(self._actor.seen.copy(), seen[before].copy())

    def actions(self) -> tuple[AnyArray, AnyArray]:
        """Return the actions (E, A) of the step that Python sees, and as they are stored."""
        return self._run.actions.copy(), self._run.scaled[self._last].copy()

    def step_wait(self) -> Any:
        """Return what came of that step, as the env gives it."""
        try:
            return self.env.step_wait()
        except KeyboardInterrupt:
            self._model._forget_observations()
            raise

    def store(self, buffer_actions: AnyArray, new_obs: Any, rewards: AnyArray) -> None:
        """Store that step, in which no episode has ended."""
        model, normalizer = self._model, self._normalizer
        before, original = model._kept_observations()
        after, paid = new_obs, rewards
        if normalizer is not None:
            before = original
            after, paid = np.array(normalizer.old_obs), normalizer.old_reward
        step = before, after, buffer_actions, paid
        keep_steps(self._buffer, *(part[np.newaxis] for part in step))
        # as SB3 leaves them: without normalisation the second are those of the step before
        model._keep_observations(new_obs, before if normalizer is None else after)


class CompiledRollouts(TellsSlowSteps, ExactOffPolicy):
    """Part of the fused SAC, TD3 and DDPG: rollouts in compiled code."""

    own_attributes = (*ExactOffPolicy.own_attributes, "_taker", "_slow_reasons")
    _slow_logger = logger
    _taker: CompiledTaker | None = None
    _always_in_python = False
    """Whether every step is taken in Python, for tests that compare the two."""

    def _compiled_actor(self, n_rows: int) -> Actor | None:
        """Return the policy for E rows in compiled code; None where torch has other bits."""
        raise NotImplementedError

    def _step_taker(
        self, env: VecEnv, replay_buffer: ReplayBuffer, action_noise: ActionNoise | None
    ) -> CompiledTaker | None:
        taker = self._taker
        if taker is not None and taker.goes_on(env, replay_buffer, action_noise):
            return taker
        if self.learner != FUSED or self._always_in_python:
            return None
        reason = self._reason_against_taker(env, replay_buffer, action_noise)
        actor = None if reason else self._compiled_actor(env.num_envs)
        if actor is None:
            self._say_slow(reason or "compiled actions have other bits than torch's", logging.INFO)
            return None
        if taker is None or taker.env is not env:
            self._taker = taker = CompiledTaker(self, env)
        taker.begin(actor, replay_buffer, action_noise)
        return taker

    def _kept_observations(self) -> tuple[Any, Any]:
        """Return what the next step acts on, and the same before it was normalised."""
        return self._last_obs, self._last_original_obs

    def _keep_observations(self, seen: Any, original: Any) -> None:
        self._last_obs, self._last_original_obs = seen, original

    def _forget_observations(self) -> None:
        self._last_obs = None

    def _tell_progress(self) -> None:
        self._update_current_progress_remaining(self.num_timesteps, self._total_timesteps)

    def _takes_compiled_steps(self) -> bool:
        fused = self.learner == FUSED and not self._always_in_python
        return fused and _METHODS.isdisjoint(vars(self))

    def _reason_against_taker(
        self, env: VecEnv, buffer: ReplayBuffer, noise: ActionNoise | None
    ) -> str:
        reason = reason_against_env(env) or reason_against_buffer(buffer)
        reason = reason or reason_against_noise(noise)
        if reason:
            return reason
        if not _METHODS.isdisjoint(vars(self)):
            return f"{min(_METHODS & vars(self).keys())} of the model has been replaced"
        if _is_changed(type(self)):
            return f"{type(self).__name__} may choose or store otherwise"
        if not _sees_rows(self._last_obs, env):
            return "observations are no rows of float32"
        if self.action_space.dtype != np.float32 or buffer.n_envs != env.num_envs:
            return f"actions are of {self.action_space.dtype}, the buffer of {buffer.n_envs} envs"
        normalizer = env if isinstance(env, VecNormalize) else None
        return "" if self._vec_normalize_env is normalizer else "another env normalises"
