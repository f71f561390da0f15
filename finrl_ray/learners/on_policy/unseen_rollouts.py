"""Rollouts of A2C that nobody has to see, and their updates, without what is done for callbacks.

A2C learns from a few steps at a time, so that what surrounds a rollout and an update takes longer
than they do. Numbers, random streams and what is left behind are those of the ordinary path.
"""

from typing import Any

import numpy as np
from stable_baselines3.common import on_policy_algorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.type_aliases import MaybeCallback

from finrl_ray._typing import AnyArray
from finrl_ray.learners.awaited_steps import next_needed_timestep, pass_over, sees_rollouts
from finrl_ray.learners.base import FUSED
from finrl_ray.learners.flat.denormals import flushed_denormals
from finrl_ray.learners.on_policy.acting import filled_to, forget_from
from finrl_ray.learners.on_policy.compiled_rollouts import CompiledRollouts, CompiledSteppers


class UnseenRollouts(CompiledRollouts):
    """Part of the fused A2C: `learn` with whole rollouts, of one account, that nobody sees."""

    def _learn_from(self, arrays: tuple[AnyArray, ...]) -> None:
        """Update once on the arrays of a rollout, flat; parameters are where they were."""
        raise NotImplementedError

    def _learn_unseen(
        self,
        total_timesteps: int,
        callback: MaybeCallback,
        log_interval: int,
        tb_log_name: str,
        reset_num_timesteps: bool,
        progress_bar: bool,
    ) -> None:
        """Train as SB3's `learn` does; callbacks find its names and their values."""
        iteration = 0
        total_timesteps, callback = self._setup_learn(
            total_timesteps, callback, reset_num_timesteps, tb_log_name, progress_bar
        )
        callback.on_training_start(locals(), vars(on_policy_algorithm))
        assert self.env is not None
        try:
            while self.num_timesteps < total_timesteps:
                iteration += self._take_unseen(callback, total_timesteps, iteration, log_interval)
                if not self.collect_rollouts(
                    self.env, callback, self.rollout_buffer, n_rollout_steps=self.n_steps
                ):
                    break
                iteration += 1
                self._update_current_progress_remaining(self.num_timesteps, total_timesteps)
                if log_interval is not None and iteration % log_interval == 0:
                    self.dump_logs(iteration)
                self.train()
        finally:
            if self._begun is not None:  # interrupted before anybody has seen what was taken
                self._begun, self._last_obs = None, None
        callback.on_training_end()

    def _take_unseen(
        self, callback: BaseCallback, total: int, iteration: int, log_interval: int | None
    ) -> int:
        """Take rollouts, with their updates, that nobody sees; return how many.

        The one after them is seen: it leaves everything as SB3 leaves it.
        """
        env = self.env
        if env is None or env.num_envs > 1 or not self._may_be_unseen(callback):
            return 0
        compiled = self._compiled_steps(env, callback)
        if compiled is None:
            return 0
        now = self.num_timesteps
        least = min(total - now, compiled.steps.steps_left())
        needed = next_needed_timestep(callback, now, 1)
        if needed is not None:
            least = min(least, needed - now)
        n_rollouts = int((least - 1) // self.n_steps)
        if log_interval is not None:
            # up to a log, which tells of a rollout that is seen; every 0 is an error of SB3's
            n_rollouts = min(n_rollouts, int(-(iteration + 1) % (log_interval or 1)))
        return self._run_unseen(compiled, callback, total, n_rollouts) if n_rollouts > 0 else 0

    def _may_be_unseen(self, callback: BaseCallback) -> bool:
        return (
            self.learner == FUSED
            and self.n_envs == 1
            and self._last_obs is not None
            and self._has_room(self.rollout_buffer, self.n_steps)
            # a method that somebody has replaced may do more in each rollout
            and not {"train", "collect_rollouts"} & vars(self).keys()
            and not sees_rollouts(callback)
        )

    def _run_unseen(
        self, compiled: CompiledSteppers, callback: BaseCallback, total: int, n_rollouts: int
    ) -> int:
        """Take up to this many rollouts with their updates; return how many.

        What is taken of a rollout that ends early, as where an account has lost all, is left as the
        beginning of the next one.
        """
        if self.policy.training:
            self.policy.set_training_mode(False)
        self._current()
        buffer, n_steps, seen = self.rollout_buffer, self.n_steps, compiled.now.seen
        observations: Any = self._last_obs
        seen[:] = observations
        compiled.now.starts[:] = self._last_episode_starts
        buffer.reset()
        acting = self._acting(1)
        arguments = compiled.arguments(acting, buffer)
        # with one account, rows lie as they are learned from
        flat = buffer.observations[:, 0], buffer.actions[:, 0], buffer.values, buffer.log_probs
        learned_from = *flat, buffer.advantages, buffer.returns
        n_taken, counted = 0, True
        try:
            for done in range(n_rollouts):
                counted = False
                ended = compiled.take(0, n_steps, True, arguments)
                if ended[0] < n_steps:
                    n_taken += ended[0]
                    forget_from(buffer, ended[0])
                    self._begun, counted = ended, True
                    return done
                n_taken += n_steps
                self.num_timesteps += n_steps
                counted = True
                filled_to(buffer, n_steps)
                pass_over(callback, n_steps, self.num_timesteps, 1)
                # no episode has ended: `starts` says so of what is seen now
                acting.finish(buffer, seen, compiled.now.starts)
                self._update_current_progress_remaining(self.num_timesteps, total)
                self._update_learning_rate(self.policy.optimizer)
                with flushed_denormals():
                    self._learn_from(learned_from)
                arguments = (acting.in_kernel(), *arguments[1:])
            return n_rollouts
        finally:
            # the statistics are those that the parameters have learned with, come what may
            compiled.normalization.end(n_taken if counted else n_steps)
            if not counted:
                # interrupted with steps that nobody has counted: the next training begins anew
                self._last_obs = None
            elif n_taken:
                self._last_obs = seen.copy()
                self._last_episode_starts = np.zeros(1, dtype=bool)
