"""`OffPolicyLearner`: SB3's rollouts for SAC, TD3 and DDPG, step for step, with less overhead.

What SB3 does beside it and this does not: switching all modules to evaluation and back at every
update, which changes nothing in networks without dropout and normalization, and calling the actor
through modules and distributions. Actions, the random numbers they take, what is stored and what
callbacks see are the same. The policy stays in evaluation mode.
"""

from abc import abstractmethod
from typing import Any, Protocol

import numpy as np
import torch as th
from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.noise import ActionNoise
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.type_aliases import (
    RolloutReturn,
    TrainFreq,
    TrainFrequencyUnit,
)
from stable_baselines3.common.utils import should_collect_more_steps
from stable_baselines3.common.vec_env import VecEnv

from finrl_ray._typing import AnyArray
from finrl_ray.learners.base import SB3, Learner


class StepTaker(Protocol):
    """Takes steps of a rollout of which Python sees some."""

    def take(
        self,
        callback: BaseCallback,
        learning_starts: int,
        train_freq: TrainFreq,
        num_collected_steps: int,
    ) -> int:
        """Take steps up to one that Python sees; return how many are stored before that one.

        Parameters
        ----------
        callback : of the training
        learning_starts, train_freq, num_collected_steps : as in `collect_rollouts`
        """

    def actions(self) -> tuple[AnyArray, AnyArray]:
        """Return the actions (E, A) of that step, and as they are stored."""

    def step_wait(self) -> Any:
        """Return what came of that step, as the env gives it."""

    def store(self, buffer_actions: AnyArray, new_obs: Any, rewards: AnyArray) -> None:
        """Store that step, in which no episode has ended."""


class OffPolicyLearner(Learner, OffPolicyAlgorithm):
    """Part of the learners of SAC, TD3 and DDPG: the rollouts."""

    @abstractmethod
    def _explore(self, observations: AnyArray) -> AnyArray:
        """Return the actor's exploring actions, of shape (E, A) within [-1, 1].

        Parameters
        ----------
        observations : array of shape (E, S)
        """

    def _step_taker(
        self, env: VecEnv, replay_buffer: ReplayBuffer, action_noise: ActionNoise | None
    ) -> "StepTaker | None":
        """Return what takes the steps of a rollout instead of the env's `step`; None: nothing."""
        return None

    def _choose(self, observations: AnyArray) -> AnyArray:
        """Return exploring actions (E, A), as the env takes them, for observations (E, S)."""
        chosen: AnyArray = self.policy.unscale_action(self._explore(observations))
        return chosen

    def _sample_action(
        self, learning_starts: int, action_noise: ActionNoise | None = None, n_envs: int = 1
    ) -> tuple[AnyArray, AnyArray]:
        seen: Any = self._last_obs
        if (
            self.learner == SB3
            or self.num_timesteps < learning_starts
            or seen.shape != (n_envs, *self.observation_space.shape)  # type: ignore[misc]  # a Box
        ):
            return super()._sample_action(learning_starts, action_noise, n_envs)
        chosen = self._choose(seen)
        # to the env's scale and back, as SB3 does it, because both round
        scaled = self.policy.scale_action(chosen)
        if action_noise is not None:
            scaled = np.clip(scaled + action_noise(), -1, 1)
        return self.policy.unscale_action(scaled), scaled

    def collect_rollouts(
        self,
        env: VecEnv,
        callback: BaseCallback,
        train_freq: TrainFreq,
        replay_buffer: ReplayBuffer,
        action_noise: ActionNoise | None = None,
        learning_starts: int = 0,
        log_interval: int | None = None,
    ) -> RolloutReturn:
        """Collect transitions into the replay buffer, as SB3 does; local names are SB3's."""
        if self.learner == SB3:
            return super().collect_rollouts(
                env,
                callback,
                train_freq,
                replay_buffer,
                action_noise,
                learning_starts,
                log_interval,
            )
        if self.policy.training:
            self.policy.set_training_mode(False)
        _check_frequency(env, train_freq)
        num_collected_steps, num_collected_episodes = 0, 0
        callback.on_rollout_start()
        continue_training = True
        taker = self._step_taker(env, replay_buffer, action_noise)
        while should_collect_more_steps(train_freq, num_collected_steps, num_collected_episodes):
            if taker is None:
                actions, buffer_actions = self._sample_action(
                    learning_starts, action_noise, env.num_envs
                )
                new_obs, rewards, dones, infos = env.step(actions)
            else:
                n_unseen = taker.take(callback, learning_starts, train_freq, num_collected_steps)
                num_collected_steps += n_unseen
                actions, buffer_actions = taker.actions()
                new_obs, rewards, dones, infos = taker.step_wait()
            self.num_timesteps += env.num_envs
            num_collected_steps += 1
            callback.update_locals(locals())
            if not callback.on_step():
                return RolloutReturn(
                    num_collected_steps * env.num_envs, num_collected_episodes, False
                )
            self._update_info_buffer(infos, dones)
            ended = np.count_nonzero(dones)  # quicker than any()
            if taker is None or ended:
                self._store_transition(
                    replay_buffer,
                    buffer_actions,
                    new_obs,  # type: ignore[arg-type]  # an array, as the space is a Box
                    rewards,
                    dones,
                    infos,
                )
            else:
                taker.store(buffer_actions, new_obs, rewards)
            self._update_current_progress_remaining(self.num_timesteps, self._total_timesteps)
            self._on_step()
            if ended:
                num_collected_episodes += self._end_episodes(dones, action_noise, log_interval)
        callback.on_rollout_end()
        return RolloutReturn(
            num_collected_steps * env.num_envs, num_collected_episodes, continue_training
        )

    def _end_episodes(
        self, dones: AnyArray, action_noise: ActionNoise | None, log_interval: int | None
    ) -> int:
        """Count episodes that ended, reset their noise and write the log; return their number."""
        ended = np.flatnonzero(dones).tolist()
        for account in ended:
            self._episode_num += 1
            if action_noise is not None:
                where = {"indices": [account]} if len(dones) > 1 else {}
                action_noise.reset(**where)
            if log_interval is not None and self._episode_num % log_interval == 0:
                self.dump_logs()
        return len(ended)


def _check_frequency(env: VecEnv, train_freq: TrainFreq) -> None:
    if train_freq.frequency <= 0:
        raise ValueError(f"train_freq must be positive, got {train_freq.frequency}")
    if env.num_envs > 1 and train_freq.unit != TrainFrequencyUnit.STEP:
        raise ValueError("a train_freq in episodes needs a single env")


def as_input(observations: AnyArray) -> th.Tensor:
    """Return a copy of observations as a float32 tensor, as SB3's policies see them."""
    return th.from_numpy(np.array(observations)).float()
