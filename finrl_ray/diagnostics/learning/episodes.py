"""Whole episodes of any policy in any env, with what the policy saw and did."""

import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import gymnasium as gym
import numpy as np
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.vec_env import VecEnv, VecNormalize

from finrl_ray._typing import AnyArray, BoolArray, FloatArray
from finrl_ray.agents.rollout import HISTORY_KEY
from finrl_ray.agents.state.env import wrappers
from finrl_ray.env.accounts import Accounts
from finrl_ray.env.orders.discrete import choices_of
from finrl_ray.env.portfolio.account import PortfolioAccount
from finrl_ray.learners.forward.policy import predict

Policy: TypeAlias = Callable[[Any, BoolArray], AnyArray]
"""Takes the observations of all accounts, and whether each begins an episode; returns actions."""

MAX_STEPS = 100_000
"""Steps after which an episode is cut, for envs that never end one."""
_KEPT_STEPS = 2_000


@dataclass
class Episodes:
    """What happened in whole episodes.

    Parameters
    ----------
    rewards : sum of the env's own rewards per episode, in the order in which episodes ended
    fingerprints : per episode, a checksum of all that was seen and done
    observations, actions, step_rewards, dones : of the first steps, over the accounts
    cut_at : per step, what was last seen of the episodes that a time limit cut, by account
    last_observations : after the last of these steps
    orders, empty_orders : shares traded per ticker and step that could have been, and those that
        were 0; both 0 where the env gives no account history
    """

    rewards: list[float] = field(default_factory=list)
    fingerprints: list[int] = field(default_factory=list)
    observations: list[Any] = field(default_factory=list)
    actions: list[AnyArray] = field(default_factory=list)
    step_rewards: list[FloatArray] = field(default_factory=list)
    dones: list[AnyArray] = field(default_factory=list)
    cut_at: list[dict[int, Any]] = field(default_factory=list)
    last_observations: Any = None
    orders: int = 0
    empty_orders: int = 0


def run_episodes(env: VecEnv, policy: Policy, n_episodes: int, seed: int | None) -> Episodes:
    """Run `n_episodes` episodes, shared out evenly over the accounts of `env`.

    VecNormalize statistics of `env` are applied and not updated; rewards are the env's own.

    Parameters
    ----------
    env : an env that may be stepped freely
    policy : what acts
    n_episodes : episodes in all
    seed : of the env, so that two policies meet the same episodes; None: as it comes
    """
    with _raw_rewards(env):
        return _run(env, policy, n_episodes, seed)


@contextmanager
def _raw_rewards(env: VecEnv) -> Iterator[None]:
    """Freeze the VecNormalize of `env` and let rewards pass, within a block."""
    normalizers = [wrapper for wrapper in wrappers(env) if isinstance(wrapper, VecNormalize)]
    before = [(wrapper.training, wrapper.norm_reward) for wrapper in normalizers]
    for wrapper in normalizers:
        wrapper.training, wrapper.norm_reward = False, False
    try:
        yield
    finally:
        for wrapper, switches in zip(normalizers, before, strict=True):
            wrapper.training, wrapper.norm_reward = switches


def _run(env: VecEnv, policy: Policy, n_episodes: int, seed: int | None) -> Episodes:
    if seed is not None:
        env.seed(seed)
    n_envs = env.num_envs
    remaining = (n_episodes + n_envs - 1 - np.arange(n_envs)) // n_envs
    totals, lengths = np.zeros(n_envs), np.zeros(n_envs, dtype=np.int64)
    found, observations = Episodes(), env.reset()
    checksums = [0] * n_envs
    starts = np.ones(n_envs, dtype=bool)
    for step in range(MAX_STEPS * n_episodes):
        actions = policy(observations, starts)
        seen = observations
        observations, rewards, dones, infos = env.step(actions)
        starts = np.array(dones, dtype=bool)
        totals += rewards
        lengths += 1
        for index in range(n_envs):
            checksums[index] = _checksum(checksums[index], seen, actions, index)
        if step < _KEPT_STEPS:
            _keep(found, seen, actions, rewards, dones)
            found.cut_at.append(_cut(dones, infos))
            found.last_observations = observations
        for index in np.flatnonzero(dones | (lengths >= MAX_STEPS)).tolist():
            if remaining[index]:
                found.rewards.append(float(totals[index]))
                found.fingerprints.append(checksums[index])
                _count_orders(found, infos[index])
                remaining[index] -= 1
            totals[index], lengths[index], checksums[index] = 0.0, 0, 0
        if not remaining.any():
            break
    return found


def _checksum(start: int, seen: Any, actions: AnyArray, index: int) -> int:
    arrays = list(seen.values()) if isinstance(seen, dict) else [seen]
    for array in (*arrays, actions):
        # + 0.0, because 0.0 and -0.0 are the same to a policy
        start = zlib.crc32(np.ascontiguousarray(np.asarray(array)[index] + 0.0).tobytes(), start)
    return start


def _keep(found: Episodes, seen: Any, actions: AnyArray, rewards: Any, dones: AnyArray) -> None:
    found.observations.append(seen)
    found.actions.append(np.array(actions, copy=True))
    found.step_rewards.append(np.array(rewards, dtype=np.float64))
    found.dones.append(np.array(dones, copy=True))


def _count_orders(found: Episodes, info: dict[str, Any]) -> None:
    trades = getattr(info.get(HISTORY_KEY), "trades", None)
    if trades is not None:
        found.orders += int(trades.size)
        found.empty_orders += int(np.count_nonzero(trades == 0))


def _cut(dones: AnyArray, infos: Sequence[dict[str, Any]]) -> dict[int, Any]:
    return {
        index: infos[index]["terminal_observation"]
        for index in np.flatnonzero(dones).tolist()
        if infos[index].get("TimeLimit.truncated") and "terminal_observation" in infos[index]
    }


def model_policy(model: BaseAlgorithm, deterministic: bool = True) -> Policy:
    """Return the policy of a model, with the memory that a recurrent one has of each episode."""
    memory: Any = None

    def act(observations: Any, starts: BoolArray) -> AnyArray:
        nonlocal memory
        actions, memory = predict(model, observations, memory, starts, deterministic=deterministic)
        return actions

    return act


def buying_policy(env: VecEnv) -> Policy | None:
    """Return the policy whose actions are all as high as they can be, None where none is highest.

    Of orders it buys as much as it may and holds; of weights it holds equal ones.
    """
    space = env.action_space
    accounts = trading_accounts(env)
    if accounts is not None and not isinstance(space, gym.spaces.Box):
        return _choosing(env, _last_choice(space))
    if not isinstance(space, gym.spaces.Box) or not bool(np.isfinite(space.high).all()):
        return None
    highest = np.tile(space.high, (env.num_envs, *(1 for _ in space.shape)))
    return lambda _, __: highest.copy()


def hold_policy(env: VecEnv) -> Policy | None:
    """Return the policy whose actions are all 0, None where 0 is no action or does not hold.

    A weight of 0 holds nothing: it is the same only where the account starts with cash alone. Zeros
    of a portfolio (`StockPortfolioEnv`) are equal weights.
    """
    if env.has_attr("account") and isinstance(env.get_attr("account")[0], PortfolioAccount):
        return None
    space = env.action_space
    accounts = trading_accounts(env)
    if accounts is not None and _sells_by_zeros(accounts):
        return None
    choices = None if accounts is None else choices_of(accounts.rules, accounts.table.n_assets)
    if choices is not None:
        idle = choices.names.index("hold" if "hold" in choices.names else "out")
        each = np.full(choices.n_assets, idle)
        return _choosing(env, choices.combination_of(each) if choices.is_one_number else each)
    if not isinstance(space, gym.spaces.Box) or not bool(
        np.all(space.low <= 0) and np.all(space.high >= 0)
    ):
        return None
    zeros = np.zeros((env.num_envs, *space.shape), dtype=space.dtype)
    return lambda _, __: zeros.copy()


def _choosing(env: VecEnv, choice: Any) -> Policy:
    """Return the policy that always makes one choice, of an account."""
    chosen = np.array([choice] * env.num_envs)
    return lambda _, __: chosen.copy()


def _last_choice(space: Any) -> Any:
    return space.n - 1 if isinstance(space, gym.spaces.Discrete) else space.nvec - 1


def trading_accounts(env: VecEnv) -> Accounts | None:
    """Return the accounts behind an env of finrl_ray; None for other envs."""
    found = env.get_attr("accounts", indices=[0])[0] if env.has_attr("accounts") else None
    return found if isinstance(found, Accounts) else None


def _sells_by_zeros(accounts: Accounts) -> bool:
    settings = accounts.settings
    starts_with_shares = bool((settings.initial_shares > 0).any()) or not all(settings.initial)
    return accounts.rules.action == "target_weights" and starts_with_shares


def random_policy(env: VecEnv, seed: int) -> Policy:
    """Return a policy that draws evenly from the action space."""
    space = env.action_space
    if isinstance(space, gym.spaces.Box):
        rng, shape = np.random.default_rng(seed), (env.num_envs, *space.shape)
        return lambda _, __: rng.uniform(space.low, space.high, shape).astype(space.dtype)
    space.seed(seed)
    return lambda _, __: np.array([space.sample() for _ in range(env.num_envs)])
