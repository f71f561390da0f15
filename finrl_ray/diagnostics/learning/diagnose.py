"""`diagnose_learning`: whether a model has learned anything, in plain language."""

import logging
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from typing import Any

import gymnasium as gym
import numpy as np
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.vec_env import VecEnv

from finrl_ray.diagnostics.learning.episodes import (
    Episodes,
    buying_policy,
    hold_policy,
    model_policy,
    random_policy,
    run_episodes,
    trading_accounts,
)
from finrl_ray.diagnostics.learning.policy_measures import (
    action_measures,
    explained_variance,
    exploration_measures,
)
from finrl_ray.diagnostics.learning.sentences import comparison_sentences, policy_sentences
from finrl_ray.diagnostics.setup.probe import copy_model, probe_env, untrained_copy

logger = logging.getLogger(__name__)

EPISODE_SEED = 0
UNTRAINED_COPIES = 3


class LearningDiagnosis(list[float]):
    """The rewards of the model's episodes, a list as in the guide, and what they mean.

    Parameters
    ----------
    rewards : sum of rewards per episode
    measures : numbers behind the sentences, by name
    verdicts : what they show, in plain language

    Attributes
    ----------
    measures : dict
        `model`, `hold`, `buying`, `random`, `untrained` (mean reward per episode),
        `untrained_best`, `saturation`, `empty_trades`, `action_change`, `action_std`, `entropy`,
        `explained_variance`, each where it is defined.
    verdicts : tuple of str
        What the measures show, in sentences; not the verdict of a search.
    """

    def __init__(
        self, rewards: Iterable[float], measures: Mapping[str, float], verdicts: Iterable[str]
    ) -> None:
        super().__init__(rewards)
        self.measures = dict(measures)
        self.verdicts = tuple(verdicts)


def diagnose_learning(
    model: BaseAlgorithm,
    env: "gym.Env[Any, Any] | VecEnv",
    n_episodes: int = 5,
    *,
    untrained_copies: int = UNTRAINED_COPIES,
) -> LearningDiagnosis:
    """Compare a model with untrained copies of itself, with holding, and with random trading.

    All meet the same episodes. A deterministic policy in an env whose episodes are all alike is run
    once, and its reward stands for every episode: equal rewards then say nothing about learning.
    What they show is logged. The model, its env and every random stream stay as they are.

    Parameters
    ----------
    model : a trained model
    env : a Gymnasium env or a vec env, such as the one it was trained in
    n_episodes : episodes per policy
    untrained_copies : models of the same architecture with other random parameters

    Returns
    -------
    LearningDiagnosis
        A list of the model's `n_episodes` episode rewards, with `verdicts` and `measures`.

    Raises
    ------
    ConfigError
        If the env can be neither copied nor put back after the episodes.
    ValueError
        If `n_episodes` is less than 1.
    """
    if n_episodes < 1:
        raise ValueError(f"n_episodes must be >= 1, got {n_episodes}")
    with ExitStack() as stack:
        probe = stack.enter_context(probe_env(model, env))
        # on a copy, so that the original's modes and gSDE matrices stay as they are
        twin = copy_model(model, probe, **_small_buffer(model))
        own = _deterministic_episodes(twin, probe, n_episodes)
        measures = {"model": _mean(own)}
        measures |= _reference_rewards(probe, len(own.rewards), n_episodes)
        if own.orders:
            measures |= _buying_rewards(probe, len(own.rewards))
        measures |= _untrained_rewards(model, probe, len(own.rewards), untrained_copies)
        measures |= action_measures(twin, own)
        measures |= _stochastic_measures(twin, probe)
        accounts = trading_accounts(probe)
    trained = model.num_timesteps > 0
    weights = accounts is not None and accounts.rules.action == "target_weights"
    sentences = comparison_sentences(measures, trained=trained)
    sentences += policy_sentences(measures, weights=weights)
    for number, reward in enumerate(own.rewards, 1):
        logger.info("episode %d: reward %.4f", number, reward)
    for sentence in sentences:
        logger.info("%s", sentence)
    # one that stands for all is returned as often as it was asked for
    rewards = own.rewards * n_episodes if len(own.rewards) == 1 else own.rewards
    return LearningDiagnosis(rewards, measures, sentences)


def _small_buffer(model: BaseAlgorithm) -> dict[str, Any]:
    return {"buffer_size": 1} if isinstance(model, OffPolicyAlgorithm) else {}


def _deterministic_episodes(model: BaseAlgorithm, env: VecEnv, n_episodes: int) -> Episodes:
    """Run as many episodes as there are different ones."""
    # one account after the other: the second episode tells whether there is a third
    planned = min(n_episodes, 2) if env.num_envs == 1 else n_episodes
    episodes = run_episodes(env, model_policy(model), planned, EPISODE_SEED)
    if n_episodes > 1 and len(set(episodes.fingerprints)) == 1:
        logger.info(
            "the episodes are all alike, as policy and env are deterministic: one stands for %d, "
            "and equal rewards say nothing about learning",
            n_episodes,
        )
        episodes.rewards = episodes.rewards[:1]
        return episodes
    if planned < n_episodes:
        return run_episodes(env, model_policy(model), n_episodes, EPISODE_SEED)
    return episodes


def _reference_rewards(env: VecEnv, n_different: int, n_episodes: int) -> dict[str, float]:
    """Return the rewards of holding, and of random actions, which differ in every episode."""
    chance = run_episodes(env, random_policy(env, EPISODE_SEED), n_episodes, EPISODE_SEED)
    hold = hold_policy(env)
    if hold is None:
        return {"random": _mean(chance)}
    held = run_episodes(env, hold, n_different, EPISODE_SEED)
    return {"random": _mean(chance), "hold": _mean(held)}


def _buying_rewards(env: VecEnv, n_different: int) -> dict[str, float]:
    """Return the reward of buying and holding, in an env that trades."""
    buying = buying_policy(env)
    if buying is None:
        return {}
    return {"buying": _mean(run_episodes(env, buying, n_different, EPISODE_SEED))}


def _untrained_rewards(
    model: BaseAlgorithm, env: VecEnv, n_episodes: int, copies: int
) -> dict[str, float]:
    rewards = []
    for seed in range(copies):
        twin = untrained_copy(model, env, seed, **_small_buffer(model))
        rewards.append(_mean(run_episodes(env, model_policy(twin), n_episodes, EPISODE_SEED)))
    if not rewards:
        return {}
    return {"untrained": float(np.mean(rewards)), "untrained_best": float(np.max(rewards))}


def _stochastic_measures(model: BaseAlgorithm, env: VecEnv) -> dict[str, float]:
    episodes = run_episodes(env, model_policy(model, deterministic=False), 1, EPISODE_SEED)
    measures = exploration_measures(model, episodes)
    variance = explained_variance(model, episodes)
    return measures if variance is None else {**measures, "explained_variance": variance}


def _mean(episodes: Episodes) -> float:
    return float(np.mean(episodes.rewards))
