"""What a policy's actions and its critic say about the state of its learning."""

from typing import Any

import gymnasium as gym
import numpy as np
import torch as th
from stable_baselines3 import SAC
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm

from finrl_ray._typing import BoolArray, FloatArray
from finrl_ray.diagnostics.learning.episodes import Episodes

SATURATED = 0.99
"""An action at or beyond this share of its bound counts as saturated."""
_SAMPLE = 256


def action_measures(model: BaseAlgorithm, episodes: Episodes) -> dict[str, float]:
    """Return shares and spreads of the actions taken, each where it is defined.

    `saturation`: share of entries at a bound; `empty_trades`: share of orders that traded nothing;
    `action_change`: mean deviation of an entry over time, as a share of its range.
    """
    measures: dict[str, float] = {}
    space = model.action_space
    if isinstance(space, gym.spaces.Box) and episodes.actions:
        actions = np.stack(episodes.actions).astype(np.float64)
        middle, half = (space.high + space.low) / 2, (space.high - space.low) / 2
        share = (actions - middle) / half
        measures["saturation"] = float(np.mean(np.abs(share) >= SATURATED))
        measures["action_change"] = float(share.std(axis=0).mean() / 2)
    if episodes.orders:
        measures["empty_trades"] = episodes.empty_orders / episodes.orders
    return measures


def exploration_measures(model: BaseAlgorithm, episodes: Episodes) -> dict[str, float]:
    """Return `action_std` and `entropy` (nats per action entry) of a stochastic policy's samples.

    Deterministic policies (ddpg, td3) have neither.
    """
    observations = _sample(model, episodes)
    if observations is None:
        return {}
    policy: Any = model.policy
    with th.no_grad():
        if isinstance(model, OnPolicyAlgorithm):
            distribution = policy.get_distribution(observations)
            entropy = distribution.entropy()
            spread = getattr(distribution.distribution, "stddev", None)
        elif isinstance(model, SAC):
            mean, log_std, kwargs = policy.actor.get_action_dist_params(observations)
            _, log_prob = policy.actor.action_dist.log_prob_from_params(mean, log_std, **kwargs)
            entropy, spread = -log_prob, log_std.exp()
        else:
            return {}
    found: dict[str, float] = {}
    size = int(np.prod(model.action_space.shape or (1,)))
    if entropy is not None:
        found["entropy"] = float(entropy.mean()) / size
    if spread is not None:
        found["action_std"] = float(spread.mean())
    return found


def _sample(model: BaseAlgorithm, episodes: Episodes) -> Any:
    if not episodes.observations:
        return None
    if isinstance(episodes.observations[0], dict | tuple):
        return None
    stacked = np.concatenate(episodes.observations)
    rows = np.unique(np.linspace(0, len(stacked) - 1, _SAMPLE).astype(np.int64))
    return model.policy.obs_to_tensor(stacked[rows])[0]


def explained_variance(model: BaseAlgorithm, episodes: Episodes) -> float | None:
    """Return the share of the variance of realised returns that the critic foresees.

    1 is a perfect critic, 0 one that says the same of every state, below 0 worse than that. Of
    on-policy models alone; None where returns do not vary. Rewards are scaled, and returns made of
    rewards and the critic's own values (`gae_lambda`), as in training: it is what SB3 logs as
    `train/explained_variance`, over a whole episode.

    Parameters
    ----------
    model : the model
    episodes : run with the stochastic policy, whose values the critic learns
    """
    if not isinstance(model, OnPolicyAlgorithm) or not episodes.observations:
        return None
    if isinstance(episodes.observations[0], dict | tuple):
        return None
    values = np.stack([_values(model, seen) for seen in episodes.observations])
    rewards = np.stack(episodes.step_rewards)
    normalizer = model.get_vec_normalize_env()
    if normalizer is not None and normalizer.norm_reward:
        rewards = normalizer.normalize_reward(rewards)
    going_on = ~np.stack(episodes.dones).astype(bool)
    surprises = rewards + model.gamma * _next_values(model, episodes, values, going_on) - values
    advantages = np.zeros_like(surprises)
    running = np.zeros(surprises.shape[1])
    for step in range(len(surprises) - 1, -1, -1):
        running = surprises[step] + model.gamma * model.gae_lambda * running * going_on[step]
        advantages[step] = running
    variance = float(np.var(advantages + values))
    return 1.0 - float(np.var(advantages)) / variance if variance > 0 else None


def _next_values(
    model: OnPolicyAlgorithm, episodes: Episodes, values: FloatArray, going_on: BoolArray
) -> FloatArray:
    """Return what the critic says of the state after each step; 0 where an episode really ended."""
    after = np.concatenate([values[1:], _values(model, episodes.last_observations)[np.newaxis]])
    after *= going_on
    for step, ends in enumerate(episodes.cut_at):
        for index, observation in ends.items():
            after[step, index] = _values(model, np.asarray(observation)[np.newaxis])[0]
    return after


def _values(model: OnPolicyAlgorithm, observations: Any) -> FloatArray:
    tensor, _ = model.policy.obs_to_tensor(observations)
    with th.no_grad():
        values = model.policy.predict_values(tensor)
    result: FloatArray = values.cpu().numpy().reshape(-1).astype(np.float64)
    return result
