"""`OnPolicyLearner`: SB3's rollouts for PPO and A2C, step for step, with less overhead.

What SB3 does beside it and this does not: switching all modules to evaluation and back at every
update, which changes nothing in networks without dropout and normalization, and calling the policy
through modules and distributions. Actions, the random numbers they take, what is stored and what
callbacks see are the same.
"""

from abc import abstractmethod
from typing import Any

import numpy as np
import torch as th
from stable_baselines3.common.buffers import RolloutBuffer
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.distributions import DiagGaussianDistribution
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.torch_layers import MlpExtractor
from stable_baselines3.common.vec_env import VecEnv

from finrl_ray._typing import AnyArray, Float32Array
from finrl_ray.learners.base import SB3, Learner
from finrl_ray.learners.flat.optimizers import reason_against_flat
from finrl_ray.learners.networks import reason_against_policy, reason_against_spaces
from finrl_ray.learners.on_policy.per_ticker import PerTickerExtractor, PerTickerPolicy


class OnPolicyLearner(Learner, OnPolicyAlgorithm):
    """Part of the learners of PPO and A2C: the rollouts."""

    @abstractmethod
    def _act(self, observations: th.Tensor) -> tuple[Float32Array, th.Tensor, th.Tensor]:
        """Return actions (E, A), values (E, 1) and log probabilities (E,) of observations (E, S).

        Each call takes E * A normal random numbers from torch.
        """

    @abstractmethod
    def _values_of(self, observations: th.Tensor) -> th.Tensor:
        """Return the values, of shape (E, 1), of observations (E, S)."""

    def _finish_rollout(self, last_values: th.Tensor, dones: AnyArray) -> None:
        """Compute advantages and returns from the values (E, 1) of what is seen last."""
        self.rollout_buffer.compute_returns_and_advantage(last_values=last_values, dones=dones)

    def _reason_against_exact(self) -> str:
        policy: Any = self.policy
        reason = reason_against_spaces(self.observation_space, self.action_space)
        per_ticker = type(policy) is PerTickerPolicy
        wanted = PerTickerPolicy if per_ticker else ActorCriticPolicy
        reason = reason or reason_against_policy(policy, wanted, [policy])
        if reason:
            return reason
        if self.use_sde or type(policy.action_dist) is not DiagGaussianDistribution:
            return f"actions are of a {type(policy.action_dist).__name__}"
        if type(policy.mlp_extractor) is not (PerTickerExtractor if per_ticker else MlpExtractor):
            return f"the networks are in a {type(policy.mlp_extractor).__name__}"
        if type(self.rollout_buffer) is not RolloutBuffer:
            return f"the rollout buffer is a {type(self.rollout_buffer).__name__}"
        return reason_against_flat(policy.optimizer)

    def collect_rollouts(
        self,
        env: VecEnv,
        callback: BaseCallback,
        rollout_buffer: RolloutBuffer,
        n_rollout_steps: int,
    ) -> bool:
        """Fill the rollout buffer as SB3 does; False if a callback has stopped training."""
        seen: Any = self._last_obs
        assert seen is not None, "No previous observation was provided"
        if self.learner == SB3 or seen.shape[1:] != self.observation_space.shape:
            return super().collect_rollouts(env, callback, rollout_buffer, n_rollout_steps)
        if self.policy.training:
            self.policy.set_training_mode(False)
        n_steps = 0
        rollout_buffer.reset()
        callback.on_rollout_start()
        low, high = self.action_space.low, self.action_space.high  # type: ignore[attr-defined]  # a Box
        while n_steps < n_rollout_steps:
            obs_tensor = th.as_tensor(self._last_obs)
            actions, values, log_probs = self._act(obs_tensor)
            clipped_actions = np.minimum(np.maximum(actions, low), high)
            new_obs: Any
            new_obs, rewards, dones, infos = env.step(clipped_actions)
            self.num_timesteps += env.num_envs
            # callbacks find here what they find in SB3, under the same names
            callback.update_locals(locals())
            if not callback.on_step():
                return False
            self._update_info_buffer(infos, dones)
            n_steps += 1
            if np.count_nonzero(dones):  # quicker than any()
                self._bootstrap_time_limits(rewards, dones, infos)
            self._store(rollout_buffer, actions, rewards, values, log_probs)
            self._last_obs = new_obs
            self._last_episode_starts = dones
        values = self._values_of(th.as_tensor(new_obs))
        self._finish_rollout(values, dones)
        callback.update_locals(locals())
        callback.on_rollout_end()
        return True

    def _bootstrap_time_limits(
        self, rewards: Float32Array, dones: AnyArray, infos: list[dict[str, Any]]
    ) -> None:
        """Add what follows, as the value function sees it, where a time limit cut an episode."""
        for index in np.flatnonzero(dones):
            last = infos[index].get("terminal_observation")
            if last is not None and infos[index].get("TimeLimit.truncated", False):
                # a copy, as SB3 makes one: a row of an array may start at any multiple of 4 bytes
                value = self._values_of(th.from_numpy(np.array(last[np.newaxis])))[0]
                rewards[index] += self.gamma * value.numpy()[0]

    def _store(
        self,
        rollout_buffer: RolloutBuffer,
        actions: Float32Array,
        rewards: AnyArray,
        values: th.Tensor,
        log_probs: th.Tensor,
    ) -> None:
        """Do what `RolloutBuffer.add` does for vectors, with fewer copies."""
        k = rollout_buffer.pos
        rollout_buffer.observations[k] = self._last_obs
        rollout_buffer.actions[k] = actions
        rollout_buffer.rewards[k] = rewards
        rollout_buffer.episode_starts[k] = self._last_episode_starts
        rollout_buffer.values[k] = values.numpy()[:, 0]
        rollout_buffer.log_probs[k] = log_probs.numpy()
        rollout_buffer.pos = k + 1
        if rollout_buffer.pos == rollout_buffer.buffer_size:
            rollout_buffer.full = True
