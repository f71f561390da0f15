"""Rollouts of PPO and A2C in compiled code, from one step that Python has to see to the next."""

import logging
from typing import Any

import numpy as np
import torch as th
from stable_baselines3.common.buffers import RolloutBuffer
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import VecEnv, VecNormalize
from stable_baselines3.common.vec_env.base_vec_env import VecEnvWrapper

from finrl_ray.env.compiled.steps import CompiledSteps, reason_against_steps
from finrl_ray.learners.awaited_steps import (
    next_needed_timestep,
    pass_over,
    watching_every_step,
)
from finrl_ray.learners.on_policy.acting import Acting, arrays_of, filled_to
from finrl_ray.learners.on_policy.exact import ExactOnPolicy
from finrl_ray.learners.on_policy.run_steps import (
    BAD_POLICY,
    TAKEN,
    Present,
    run_steps,
)
from finrl_ray.learners.running_normalization import (
    RunningNormalization,
    reason_against_normalizing,
)
from finrl_ray.learners.slow_steps import TellsSlowSteps

logger = logging.getLogger(__name__)

_MOST_NUMBERS = 1 << 16
"""Random numbers that are drawn at a time, so that they stay in a near cache."""


def reason_against_env(env: VecEnv) -> str:
    """Return why steps of an env cannot be taken in compiled code, or an empty text."""
    inner = env
    if isinstance(env, VecEnvWrapper):
        reason = reason_against_normalizing(env)
        if reason:
            return reason
        inner = env.venv
    return reason_against_steps(inner)


class CompiledSteppers:
    """What runs of compiled steps need beside the model, for one env.

    Parameters
    ----------
    env : for which there is no `reason_against_env`
    """

    def __init__(self, env: VecEnv) -> None:
        self.env = env
        normalizer = env if isinstance(env, VecNormalize) else None
        inner: Any = env if normalizer is None else normalizer.venv
        self.steps = CompiledSteps(inner)
        self.normalization = RunningNormalization(normalizer, env.num_envs)
        space: Any = env.action_space
        n_envs, n_actions = env.num_envs, space.shape[0]
        seen: Any = env.observation_space.shape
        shape = (n_envs, seen[0])
        self.now = Present(
            seen=np.zeros(shape, dtype=np.float32),
            starts=np.zeros(n_envs, dtype=np.float32),
            clipped=np.zeros((n_envs, n_actions), dtype=np.float32),
            raw=np.zeros(shape, dtype=np.float32),
            rewards=np.zeros(n_envs, dtype=np.float32),
            low=np.ascontiguousarray(space.low, dtype=np.float32),
            high=np.ascontiguousarray(space.high, dtype=np.float32),
        )
        self.most_steps = max(1, _MOST_NUMBERS // (n_envs * n_actions))
        self.noise = th.zeros(0, n_envs, n_actions)
        self._rows: list[th.Tensor] = []

    def longest_run(self, callback: BaseCallback, num_timesteps: int, left: int) -> int:
        """Return how many steps can be taken before Python has to see one.

        Parameters
        ----------
        callback : of the training
        num_timesteps : so far
        left : steps of the rollout that are left
        """
        n_envs = self.env.num_envs
        steps = min(left, self.steps.steps_left(), self.most_steps)
        needed = next_needed_timestep(callback, num_timesteps, n_envs)
        if needed is not None:
            steps = min(steps, -((num_timesteps - needed) // n_envs))
        return max(1, int(steps))

    def run(self, acting: Acting, buffer: Any, first: int, stop: int) -> tuple[int, int, int]:
        """Take steps as `run_steps` does, from where `now` says; the result is that of it.

        The stream of torch's random numbers is left where taking the steps one by one leaves it.
        """
        ended = self.take(first, stop, False, self.arguments(acting, buffer))
        self.normalization.end(ended[0] - first)
        return ended

    def arguments(self, acting: Acting, buffer: Any) -> tuple[Any, ...]:
        """Return what `run_steps` works with, as it is now; the normalisation begins."""
        return (
            acting.in_kernel(),
            tuple(self.now),
            arrays_of(buffer),
            self.normalization.begin(),
            self.steps.arguments(),
        )

    def take(
        self, first: int, stop: int, whole: bool, arguments: tuple[Any, ...]
    ) -> tuple[int, int, int]:
        """Take steps as `run_steps` does, with `arguments`; the result is that of it."""
        state = th.default_generator.get_state()
        self.draw(stop - first)
        policy, *others = arguments
        ended: tuple[int, int, int] = run_steps(
            first, stop, whole, policy, self.noise.numpy(), *others
        )
        last = ended[0]
        if last < stop - 1:
            th.default_generator.set_state(state)
            self.draw(last + 1 - first)
        return ended

    def draw(self, n_steps: int) -> None:
        """Draw noise for steps from torch's stream."""
        if n_steps > len(self._rows):
            self.noise = th.zeros(n_steps, *self.noise.shape[1:])
            self._rows = list(self.noise)
        # one by one, as the steps draw them: numbers drawn together are others
        for row in self._rows[:n_steps]:
            row.normal_()

    def refuse(self, acting: Acting, ending: int, status: int) -> None:
        """Raise what the step raises that a run has ended before."""
        if ending == BAD_POLICY:
            acting.require_distribution()
        if ending != TAKEN:
            self.steps.refuse(status, self.now.clipped)


class CompiledRollouts(TellsSlowSteps, ExactOnPolicy):
    """Part of the fused PPO and A2C: rollouts of which Python sees no more steps than it must."""

    own_attributes = (*ExactOnPolicy.own_attributes, "_steppers", "_slow_reasons", "_begun")
    _slow_logger = logger
    _steppers: CompiledSteppers | None = None
    _always_in_python = False
    """Whether every step is taken in Python, for tests that compare the two."""
    _begun: tuple[int, int, int] | None = None
    """How the run has ended that the next rollout begins with, where it has been taken already."""

    def _has_room(self, rollout_buffer: RolloutBuffer, n_steps: int) -> bool:
        """Return whether steps fit: compiled code would write beyond a buffer, Python raises."""
        return n_steps <= rollout_buffer.buffer_size and rollout_buffer.n_envs == self.n_envs

    def _current(self) -> Any:
        """Return the learner's memory, for the parameters and moments as they are now."""
        raise NotImplementedError

    def _acting(self, n_rows: int) -> Acting:
        """Return the memory for the actions of E accounts, of the present parameters."""
        raise NotImplementedError

    def _compiled_steps(self, env: VecEnv, callback: BaseCallback) -> CompiledSteppers | None:
        """Return what takes steps in compiled code; None, said once, where it cannot be done."""
        if self._always_in_python:
            return None
        reason = reason_against_env(env)
        if reason:
            self._say_slow(reason, logging.INFO)
            return None
        watcher = watching_every_step(callback)
        if watcher is not None:
            self._say_watched(watcher)
            return None
        if self._steppers is None or self._steppers.env is not env:
            self._steppers = CompiledSteppers(env)
        return self._steppers

    def _collect_compiled(
        self,
        compiled: CompiledSteppers,
        env: VecEnv,
        callback: BaseCallback,
        rollout_buffer: RolloutBuffer,
        n_rollout_steps: int,
    ) -> bool:
        """Do what `collect_rollouts` does; callbacks see the last step of every compiled run."""
        if self.policy.training:
            self.policy.set_training_mode(False)
        n_steps = 0
        if self._begun is None:
            rollout_buffer.reset()
            callback.on_rollout_start()
        while n_steps < n_rollout_steps:
            n_steps = self._run(compiled, callback, rollout_buffer, n_steps, n_rollout_steps)
            obs_tensor = th.from_numpy(self._last_obs)
            actions = rollout_buffer.actions[n_steps].copy()
            values = th.from_numpy(rollout_buffer.values[n_steps][:, np.newaxis].copy())
            log_probs = th.from_numpy(rollout_buffer.log_probs[n_steps].copy())
            clipped_actions = compiled.now.clipped.copy()
            new_obs: Any
            new_obs, rewards, dones, infos = env.step_wait()
            self.num_timesteps += env.num_envs
            # callbacks find here what they find in SB3, under the same names
            callback.update_locals(locals())
            if not callback.on_step():
                return False
            self._update_info_buffer(infos, dones)
            if np.count_nonzero(dones):
                self._bootstrap_time_limits(rewards, dones, infos)
            rollout_buffer.rewards[n_steps] = rewards
            n_steps += 1
            filled_to(rollout_buffer, n_steps)
            self._last_obs = new_obs
            self._last_episode_starts = dones
        values = self._finish_rollout(rollout_buffer, new_obs, dones)
        callback.update_locals(locals())
        callback.on_rollout_end()
        return True

    def _run(
        self,
        compiled: CompiledSteppers,
        callback: BaseCallback,
        rollout_buffer: RolloutBuffer,
        first: int,
        n_rollout_steps: int,
    ) -> int:
        """Take the steps up to one that Python sees, which the env has ready; return its number."""
        env, now = compiled.env, compiled.now
        acting = self._acting(env.num_envs)
        begun, self._begun = self._begun, None
        if begun is None:
            seen: Any = self._last_obs
            now.seen[:] = seen
            now.starts[:] = self._last_episode_starts
            longest = compiled.longest_run(callback, self.num_timesteps, n_rollout_steps - first)
            try:
                begun = compiled.run(acting, rollout_buffer, first, first + longest)
            except KeyboardInterrupt:
                # it comes after the run, whose steps nobody has counted: the next training begins
                # anew
                self._last_obs = None
                raise
        last, ending, status = begun
        if last > first:
            self.num_timesteps += (last - first) * env.num_envs
            filled_to(rollout_buffer, last)
            pass_over(callback, last - first, self.num_timesteps, env.num_envs)
            self._last_obs = now.seen.copy()
            self._last_episode_starts = np.zeros(env.num_envs, dtype=bool)
        compiled.refuse(acting, ending, status)
        compiled.steps.hand_over(now.clipped.copy(), now.raw.copy())
        return last
