"""`OnPolicyLearner`: SB3's rollouts for PPO and A2C, step for step, with less overhead.

What SB3 does beside it and this does not: switching all modules to evaluation and back at every
update, which changes nothing in networks without dropout and normalization, and calling the policy
through modules and distributions. Actions, the random numbers they take, what is stored and what
callbacks see are the same.
"""

from abc import abstractmethod
from typing import Any, Protocol

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
from finrl_ray.learners.awaited_steps import AwaitedSteps
from finrl_ray.learners.base import SB3, Learner
from finrl_ray.learners.flat.optimizers import reason_against_flat
from finrl_ray.learners.networks import reason_against_policy, reason_against_spaces
from finrl_ray.learners.on_policy.per_ticker import PerTickerExtractor, PerTickerPolicy


class StoredSteps(Protocol):
    """Steps of a rollout: chosen, shown to callbacks, stored."""

    def act(self, seen: Any, starts: Any) -> Float32Array:
        """Choose actions for what is seen (E, S), and return them clipped.

        Parameters
        ----------
        starts : of shape (E,), where an episode begins
        """

    def shown(self) -> tuple[th.Tensor, AnyArray, th.Tensor, th.Tensor]:
        """Return what was seen, actions, values (E, 1) and log probabilities, as SB3 has them."""

    def store(self, rewards: AnyArray) -> None:
        """Store the step."""

    def look_again(self) -> None:
        """Take everything as it is now, after a callback has been called."""


class TensorSteps:
    """Steps whose actions come from the tensors of `OnPolicyLearner._act`."""

    def __init__(self, model: "OnPolicyLearner", rollout_buffer: RolloutBuffer) -> None:
        space: Any = model.action_space
        self._model, self._buffer = model, rollout_buffer
        self._low, self._high = space.low, space.high

    def act(self, seen: Any, starts: Any) -> Float32Array:
        """Choose actions for what is seen (E, S), and return them clipped."""
        self._seen, self._starts, self._obs_tensor = seen, starts, th.as_tensor(seen)
        self._actions, self._values, self._log_probs = self._model._act(self._obs_tensor)
        clipped: Float32Array = np.minimum(np.maximum(self._actions, self._low), self._high)
        return clipped

    def shown(self) -> tuple[th.Tensor, AnyArray, th.Tensor, th.Tensor]:
        """Return what was seen, actions, values (E, 1) and log probabilities, as SB3 has them."""
        return self._obs_tensor, self._actions, self._values, self._log_probs

    def store(self, rewards: AnyArray) -> None:
        """Do what `RolloutBuffer.add` does for vectors, with fewer copies."""
        buffer = self._buffer
        k = buffer.pos
        buffer.observations[k] = self._seen
        buffer.actions[k] = self._actions
        buffer.rewards[k] = rewards
        buffer.episode_starts[k] = self._starts
        buffer.values[k] = self._values.numpy()[:, 0]
        buffer.log_probs[k] = self._log_probs.numpy()
        buffer.pos = k + 1
        if buffer.pos == buffer.buffer_size:
            buffer.full = True

    def look_again(self) -> None:
        """Do nothing: tensors are those of the policy."""


class OnPolicyLearner(Learner, OnPolicyAlgorithm):
    """Part of the learners of PPO and A2C: the rollouts."""

    @abstractmethod
    def _act(self, observations: th.Tensor) -> tuple[Float32Array, th.Tensor, th.Tensor]:
        """Return actions (E, A), values (E, 1) and log probabilities (E,) of observations (E, S).

        Each call takes E * A normal random numbers from torch.
        """

    def _steps(self, rollout_buffer: RolloutBuffer, n_rollout_steps: int) -> StoredSteps:
        """Return what chooses actions and stores steps."""
        return TensorSteps(self, rollout_buffer)

    @abstractmethod
    def _values_of(self, observations: th.Tensor) -> th.Tensor:
        """Return the values, of shape (E, 1), of observations (E, S)."""

    def _finish_rollout(
        self, rollout_buffer: RolloutBuffer, seen: AnyArray, dones: AnyArray
    ) -> th.Tensor:
        """Compute advantages and returns; return the values (E, 1) of what is seen last (E, S)."""
        values = self._values_of(th.as_tensor(seen))
        rollout_buffer.compute_returns_and_advantage(last_values=values, dones=dones)
        return values

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
        rollout_buffer.reset()
        callback.on_rollout_start()
        awaited = AwaitedSteps(callback, self.num_timesteps, env.num_envs)
        steps = self._steps(rollout_buffer, n_rollout_steps)
        with awaited.told_if_cut(lambda: self.num_timesteps):
            for n_steps in range(n_rollout_steps):
                clipped_actions = steps.act(self._last_obs, self._last_episode_starts)
                new_obs: Any
                new_obs, rewards, dones, infos = env.step(clipped_actions)
                self.num_timesteps += env.num_envs
                ended = np.count_nonzero(dones)  # quicker than any()
                last = n_steps == n_rollout_steps - 1
                if awaited.must_see(self.num_timesteps, ended or last):
                    # callbacks find here what they find in SB3, under the same names
                    obs_tensor, actions, values, log_probs = steps.shown()
                    callback.update_locals(locals())
                    if not callback.on_step():
                        return False
                    steps.look_again()
                    awaited.look_again(self.num_timesteps)
                self._update_info_buffer(infos, dones)
                if ended:
                    self._bootstrap_time_limits(rewards, dones, infos)
                steps.store(rewards)
                self._last_obs = new_obs
                self._last_episode_starts = dones
        n_steps = n_rollout_steps
        values = self._finish_rollout(rollout_buffer, new_obs, dones)
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
