"""What a policy's actions and its critic say about the state of its learning."""

from typing import Any

import gymnasium as gym
import numpy as np
import torch as th
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm

from finrl_ray._typing import FloatArray, IntArray
from finrl_ray.agents.sb3_internals import memory_states
from finrl_ray.diagnostics.learning.episodes import Episodes
from finrl_ray.diagnostics.learning.memory import Memory, memories

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

    Deterministic policies (ddpg, td3, dqn) have neither, and discrete actions have no deviation.
    """
    if not episodes.observations or isinstance(episodes.observations[0], dict | tuple):
        return {}
    with th.no_grad():
        if isinstance(model, OnPolicyAlgorithm):
            entropy, spread = _of_distribution(model, episodes)
        elif hasattr(getattr(model, "actor", None), "get_action_dist_params"):
            entropy, spread = _of_actor(model, episodes)
        else:
            return {}
    found: dict[str, float] = {}
    size = int(np.prod(model.action_space.shape or (1,)))
    if entropy is not None:
        found["entropy"] = float(entropy.mean()) / size
    if spread is not None and isinstance(model.action_space, gym.spaces.Box):
        found["action_std"] = float(spread.mean())
    return found


def _of_actor(model: BaseAlgorithm, episodes: Episodes) -> tuple[Any, Any]:
    """Return entropies and deviations of SAC's kind of policy, whose samples are squashed."""
    actor: Any = model.actor  # type: ignore[attr-defined]  # asked for by exploration_measures
    stacked = np.concatenate(episodes.observations)
    observations, _ = model.policy.obs_to_tensor(stacked[_sample(len(stacked))])
    mean, log_std, kwargs = actor.get_action_dist_params(observations)
    _, log_prob = actor.action_dist.log_prob_from_params(mean, log_std, **kwargs)
    return -log_prob, log_std.exp()


def _of_distribution(model: BaseAlgorithm, episodes: Episodes) -> tuple[Any, Any]:
    """Return entropies and deviations of an on-policy model; None what its policy has not."""
    if memory_states(model) is None:
        stacked = np.concatenate(episodes.observations)
        pairs = [(Memory(), stacked[_sample(len(stacked))])]
    else:
        seen, remembered = episodes.observations, memories(model, episodes)
        pairs = [(remembered[step], seen[step]) for step in _sample(len(seen)).tolist()]
    entropies, spreads = [], []
    for memory, observations in pairs:
        distribution = memory.distribution(model, observations)
        entropies.append(distribution.entropy())
        spreads.append(getattr(distribution.distribution, "stddev", None))
    return _joined(entropies), _joined(spreads)


def _joined(tensors: list[Any]) -> Any:
    return None if any(one is None for one in tensors) else th.cat(tensors)


def _sample(n_rows: int) -> IntArray:
    """Return some rows, evenly spread."""
    return np.unique(np.linspace(0, n_rows - 1, _SAMPLE).astype(np.int64))


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
    remembered = memories(model, episodes)
    values = np.stack(
        [
            memory.values(model, seen)
            for memory, seen in zip(remembered[:-1], episodes.observations, strict=True)
        ]
    )
    rewards = np.stack(episodes.step_rewards)
    normalizer = model.get_vec_normalize_env()
    if normalizer is not None and normalizer.norm_reward:
        rewards = normalizer.normalize_reward(rewards)
    going_on = ~np.stack(episodes.dones).astype(bool)
    after = _next_values(model, episodes, remembered, values) * going_on
    for step, ends in _ends(model, episodes, remembered).items():
        for index, value in ends.items():
            after[step, index] = value
    surprises = rewards + model.gamma * after - values
    advantages = np.zeros_like(surprises)
    running = np.zeros(surprises.shape[1])
    for step in range(len(surprises) - 1, -1, -1):
        running = surprises[step] + model.gamma * model.gae_lambda * running * going_on[step]
        advantages[step] = running
    variance = float(np.var(advantages + values))
    return 1.0 - float(np.var(advantages)) / variance if variance > 0 else None


def _next_values(
    model: OnPolicyAlgorithm, episodes: Episodes, remembered: list[Memory], values: FloatArray
) -> FloatArray:
    """Return what the critic says of what is seen after each step."""
    last = remembered[-1].values(model, episodes.last_observations)
    return np.concatenate([values[1:], last[np.newaxis]])


def _ends(
    model: OnPolicyAlgorithm, episodes: Episodes, remembered: list[Memory]
) -> dict[int, dict[int, float]]:
    """Return what the critic says of the ends of episodes that were cut, by step and account."""
    return {
        step: {
            index: float(
                remembered[step + 1]
                .of_account(index)
                .values(model, np.asarray(observation)[np.newaxis])[0]
            )
            for index, observation in ends.items()
        }
        for step, ends in enumerate(episodes.cut_at)
    }
