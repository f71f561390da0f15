"""Running a model over whole episodes, without a trace in its training, for the account curves."""

import copy
import logging
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from gymnasium import spaces
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.vec_env import VecEnv, VecNormalize

from finrl_ray._typing import AnyArray
from finrl_ray.agents.compiled_episodes import Tally, compiled_episodes
from finrl_ray.agents.ensemble_model.model import EnsembleModel
from finrl_ray.agents.frame_stack import shown_as_in_training
from finrl_ray.agents.models import forgotten_statistics
from finrl_ray.agents.sb3_internals import require_reset
from finrl_ray.agents.state.env import base_vec_env, wrappers
from finrl_ray.agents.state.model import capture_action_space, restore_action_space
from finrl_ray.agents.state.random import preserved_random_state
from finrl_ray.errors import ConfigError, DataError
from finrl_ray.learners.forward.policy import predict

if TYPE_CHECKING:
    from finrl_ray.env.account_history import AccountHistory

logger = logging.getLogger(__name__)

HISTORY_KEY = "account_history"
Normalize: TypeAlias = Callable[[Any], Any]


@dataclass(frozen=True, kw_only=True)
class Episode:
    """One finished evaluation episode.

    Parameters
    ----------
    history : the account, day by day; None only where the env gives none and none was required
    reward : sum of the env's rewards, not normalised
    length : steps
    env_index : which of the vec env's accounts it ran in
    checksum : of everything that the policy has seen; episodes that repeat each other share it
    """

    history: "AccountHistory | None"
    reward: float
    length: int
    env_index: int = 0
    checksum: int = 0


def evaluate_account(
    model: BaseAlgorithm | EnsembleModel,
    env: VecEnv,
    n_episodes: int = 1,
    deterministic: bool = True,
    *,
    seed: int | None = None,
) -> "list[AccountHistory]":
    """Return the account of each of `n_episodes` episodes; see `evaluate_episodes`."""
    episodes = evaluate_episodes(model, env, n_episodes, deterministic, seed=seed)
    return [episode.history for episode in episodes if episode.history is not None]


def evaluate_episodes(
    model: BaseAlgorithm | EnsembleModel,
    env: VecEnv,
    n_episodes: int = 1,
    deterministic: bool = True,
    *,
    seed: int | None = None,
    require_account: bool = True,
) -> list[Episode]:
    """Run a model over whole episodes and return what happened to the account.

    Training goes on afterwards as if there had been no evaluation: the global random streams and
    the policy's mode are put back. Where the model was trained under `VecNormalize`, its statistics
    are applied, to an `env` with or without a `VecNormalize` of its own, and never updated; where
    its own env has none, the `VecNormalize` of `env` passes observations through. Only after an
    evaluation in the very env that the model trains in does the next training start with a reset
    of it. A model that was trained on stacks of observations (`agent.n_stack`) sees them in an env
    that shows one at a time, too.

    Parameters
    ----------
    model : a trained model, one in training, or an ensemble, which normalises what it sees itself
    env : a vec env whose episodes put `info["account_history"]` at their end, or any other with
        `require_account=False`
    n_episodes : episodes in all, shared out evenly over the accounts of `env`
    deterministic : take the policy's mean action instead of a random one
    seed : of the env, so that repeated evaluations see the same episodes; None: as it comes
    require_account : refuse an env that gives no account history

    Returns
    -------
    list of Episode
        In the order in which episodes ended.

    Raises
    ------
    ConfigError
        If `env` would have to be wrapped in the way the model's own env is, or its observations or
        actions are of other sizes than the model's.
    DataError
        If an episode ends without `info["account_history"]` and one is required.
    ValueError
        If `n_episodes` is less than 1.
    """
    if n_episodes < 1:
        raise ValueError(f"n_episodes must be >= 1, got {n_episodes}")
    env = shown_as_in_training(model, env)
    _check_fits(model, env)
    with ExitStack() as stack:
        stack.enter_context(preserved_random_state(cuda=model.device.type == "cuda"))
        normalize: Normalize = _unchanged
        if not isinstance(model, EnsembleModel):
            stack.enter_context(_undisturbed_policy(model))
            normalize = stack.enter_context(_training_statistics(model, env))
        if seed is not None:
            env.seed(seed)
        try:
            episodes = _run_episodes(model, env, normalize, n_episodes, deterministic)
        finally:
            if isinstance(model, BaseAlgorithm) and _trains_in(model, env):
                # its accounts have moved on: the next training must begin with a reset
                require_reset(model)
    if require_account and any(episode.history is None for episode in episodes):
        raise DataError(
            f"the evaluation env must put info['{HISTORY_KEY}'] at the end of an episode; use "
            "finrl_ray's StockTradingEnv or StockTradingVecEnv"
        )
    return episodes


def _trains_in(model: BaseAlgorithm, env: VecEnv) -> bool:
    return model.env is not None and shares_accounts(model.env, env)


def shares_accounts(first: VecEnv, second: VecEnv) -> bool:
    """Return whether two vec envs step the same accounts."""
    one, other = base_vec_env(first), base_vec_env(second)
    if one is other:
        return True
    accounts = {id(env.unwrapped) for env in getattr(one, "envs", [])}
    return any(id(env.unwrapped) in accounts for env in getattr(other, "envs", []))


def _run_episodes(
    model: BaseAlgorithm | EnsembleModel,
    env: VecEnv,
    normalize: Normalize,
    n_episodes: int,
    deterministic: bool,
) -> list[Episode]:
    n_envs = env.num_envs
    # a fixed share per account: taking the first to finish would favour short episodes
    remaining = (n_episodes + n_envs - 1 - np.arange(n_envs)) // n_envs
    tally = Tally(np.zeros(n_envs), np.zeros(n_envs, dtype=np.int64), [0] * n_envs)
    episodes: list[Episode] = []
    steps = _Steps(model, env, normalize, deterministic=deterministic)
    while remaining.any():
        starts, infos = steps.until_an_end(tally)
        for index in np.flatnonzero(starts):
            if remaining[index]:
                episodes.append(
                    Episode(
                        history=infos[index].get(HISTORY_KEY),
                        reward=float(tally.rewards[index]),
                        length=int(tally.lengths[index]),
                        env_index=int(index),
                        checksum=tally.checksums[index],
                    )
                )
                remaining[index] -= 1
            tally.rewards[index], tally.lengths[index], tally.checksums[index] = 0.0, 0, 0
    return episodes


class _Steps:
    """A model that acts in an env, from a reset on: in compiled code, or step by step."""

    def __init__(
        self,
        model: BaseAlgorithm | EnsembleModel,
        env: VecEnv,
        normalize: Normalize,
        *,
        deterministic: bool,
    ) -> None:
        self.model, self.env, self.normalize = model, env, normalize
        self.deterministic = deterministic
        self.observations: Any = env.reset()
        self.memory: tuple[Any, ...] | None = None
        self.starts: AnyArray = np.ones(env.num_envs, dtype=bool)
        compiled = compiled_episodes(model, env) if deterministic else None
        if compiled is not None and not compiled.agree_with_torch(normalize(self.observations)):
            compiled = None
        self.compiled = compiled

    def until_an_end(self, tally: Tally) -> tuple[AnyArray, list[dict[str, Any]]]:
        """Step until an episode has ended; return (E,) whose has, and the infos of the step."""
        if self.compiled is not None:
            end = self.compiled.until_an_end(self.observations, tally)
            if end is not None:
                self.observations, self.starts = end.observations, end.starts
                return end.starts, end.infos
            self.compiled = None  # what follows is an error of SB3's, about NaN
        while True:
            infos = self._step(tally)
            if self.starts.any():
                return self.starts, infos

    def _step(self, tally: Tally) -> list[dict[str, Any]]:
        seen = self.normalize(self.observations)
        actions, self.memory = predict(
            self.model, seen, self.memory, self.starts, deterministic=self.deterministic
        )
        _add_to_checksums(tally.checksums, self.observations)
        self.observations, rewards, self.starts, infos = self.env.step(actions)
        np.add(tally.rewards, rewards, out=tally.rewards)
        np.add(tally.lengths, 1, out=tally.lengths)
        return infos


def _add_to_checksums(checksums: list[int], observations: Any) -> None:
    parts = observations.values() if isinstance(observations, dict) else [observations]
    for part in parts:
        for index, row in enumerate(np.ascontiguousarray(part)):
            checksums[index] = zlib.crc32(row.tobytes(), checksums[index])


@contextmanager
def _undisturbed_policy(model: BaseAlgorithm) -> Iterator[None]:
    training = model.policy.training
    # from which DQN draws the actions that it takes at random
    drawn = capture_action_space(model)
    try:
        yield
    finally:
        model.policy.set_training_mode(training)
        restore_action_space(model, drawn)


@contextmanager
def _training_statistics(model: BaseAlgorithm, env: VecEnv) -> Iterator[Normalize]:
    """Yield what turns the env's observations into those that the policy was trained on."""
    source = model.get_vec_normalize_env()
    own = next((w for w in wrappers(env) if isinstance(w, VecNormalize)), None)
    if source is None and (own is None or _is_fresh(own)):
        _warn_of_forgotten_statistics(model)
    if own is None:
        yield _unchanged if source is None else _outermost_normalizer(model, source)
        return
    flags = own.training, own.norm_reward, own.norm_obs
    own.training, own.norm_reward = False, False
    # a model that was loaded without an env relies on the statistics that env brings
    if model.env is not None:
        own.norm_obs = source is not None and source.norm_obs
    if source is not None and source.norm_obs:
        own.obs_rms = copy.deepcopy(source.obs_rms)
        own.clip_obs, own.epsilon = source.clip_obs, source.epsilon
    try:
        yield _unchanged
    finally:
        own.training, own.norm_reward, own.norm_obs = flags


def _check_fits(model: BaseAlgorithm | EnsembleModel, env: VecEnv) -> None:
    """Refuse an env whose observations or actions are of other sizes than the model's."""
    own = _shape(model.observation_space), _actions(model.action_space)
    other = _shape(env.observation_space), _actions(env.action_space)
    if own == other:
        return
    raise ConfigError(
        f"the model was trained on observations of shape {own[0]} with actions {own[1]}, "
        f"and the env has {other[0]} and {other[1]}: it has other tickers, features or options "
        "than the model's; give an env like the one it was trained in"
    )


def _shape(space: spaces.Space[Any]) -> Any:
    """Return the shape of an observation; of one in parts the shape of each, by its key."""
    if isinstance(space, spaces.Dict):
        return {name: part.shape for name, part in space.spaces.items()}
    return space.shape


def _actions(space: spaces.Space[Any]) -> str:
    """Return what actions are: their shape, and of choices how many there are."""
    return f"of shape {space.shape}" if isinstance(space, spaces.Box) else repr(space)


def _is_fresh(normalizer: VecNormalize) -> bool:
    """Return whether a VecNormalize has seen no observation and taken over no statistics."""
    statistics: Any = getattr(normalizer, "obs_rms", None)
    kept = statistics.values() if isinstance(statistics, dict) else [statistics]
    return all(one is not None and one.count < 1 for one in kept)


def _warn_of_forgotten_statistics(model: BaseAlgorithm) -> None:
    forgotten = forgotten_statistics(model)
    if forgotten:
        logger.warning(
            "the model was trained on normalised observations and acts on others here, so that "
            "its trades mean nothing: put %s around the env with VecNormalize.load, or use "
            "DRLAgent.DRL_prediction_load_from_file, which does so",
            forgotten,
        )


def _outermost_normalizer(model: BaseAlgorithm, source: VecNormalize) -> Normalize:
    if model.env is not source:
        raise ConfigError(
            "the model was trained with wrappers around VecNormalize; wrap the evaluation env in "
            "the same way"
        )
    return source.normalize_obs


def _unchanged(observations: Any) -> Any:
    return observations
