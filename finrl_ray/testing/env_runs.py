"""Short runs of an env of the user's under fixed actions, which checks compare."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from finrl_ray._typing import AnyArray
from finrl_ray.config.env import EnvConfig
from finrl_ray.data.market_data import MarketData
from finrl_ray.env.account_history import AccountHistory
from finrl_ray.env.own.construct import OwnEnv
from finrl_ray.env.own.make import OwnAccounts, make_own_vec_env
from finrl_ray.env.own.recorded_env import HISTORY_KEY
from finrl_ray.errors import ConfigError

SEED = 20
_STEP = 0.05


@dataclass(frozen=True, kw_only=True, eq=False)
class Subject:
    """An env class on one window.

    Parameters
    ----------
    own : the class
    config : `class_kwargs` and the account
    market : the window, T rows
    """

    own: OwnEnv
    config: EnvConfig
    market: MarketData

    def make(
        self, market: MarketData | None = None, *, training: bool = False, n_envs: int = 1
    ) -> OwnAccounts:
        """Return accounts on this window, or on another one."""
        return make_own_vec_env(
            self.market if market is None else market,
            self.config,
            n_envs=n_envs,
            seed=SEED,
            training=training,
            whole_only=True,
            own=self.own,
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Run:
    """What an env gave under some actions.

    Parameters
    ----------
    observations : one more than steps
    rewards : per step
    history : of the first episode that ended; None where none did
    """

    observations: tuple[Any, ...]
    rewards: tuple[float, ...]
    history: AccountHistory | None = None


def sampled_actions(env: OwnAccounts, n_steps: int) -> list[AnyArray]:
    """Return actions of one account, drawn from the action space, always the same."""
    env.action_space.seed(SEED)
    return [np.array([env.action_space.sample()]) for _ in range(n_steps)]


def run(env: OwnAccounts, actions: Sequence[AnyArray], *, reset: bool = True) -> Run:
    """Take steps until the actions or the episode end."""
    observations, rewards = [env.reset()] if reset else [], []
    for action in actions:
        observation, reward, dones, infos = env.step(action)
        if dones[0]:
            observation = infos[0]["terminal_observation"]
            rewards.append(float(reward[0]))
            observations.append(_with_axis(observation))
            return Run(
                observations=tuple(observations),
                rewards=tuple(rewards),
                history=infos[0].get(HISTORY_KEY),
            )
        observations.append(observation)
        rewards.append(float(reward[0]))
    return Run(observations=tuple(observations), rewards=tuple(rewards))


def _with_axis(observation: Any) -> Any:
    if isinstance(observation, dict):
        return {key: np.asarray(part)[None] for key, part in observation.items()}
    return np.asarray(observation)[None]


def whole_episode(env: OwnAccounts, n_rows: int) -> Run:
    """Run one episode to its end.

    Raises
    ------
    ConfigError
        If it has not ended long after its window has.
    """
    found = run(env, sampled_actions(env, n_rows + 10))
    if found.history is None:
        raise ConfigError(
            f"an episode has not ended after {n_rows + 10} steps in a window of {n_rows} rows; "
            "step() must return terminated or truncated as True when the data is at its end"
        )
    return found


def first_difference(one: Run, other: Run, n_steps: int) -> str:
    """Return in words where two runs differ in their first steps; empty where they do not.

    Parameters
    ----------
    one, other : under the same actions
    n_steps : that are compared: so many rewards, and one observation more
    """
    for step in range(n_steps + 1):
        if step and one.rewards[step - 1] != other.rewards[step - 1]:
            return (
                f"the reward of step {step} ({one.rewards[step - 1]:.6g} and "
                f"{other.rewards[step - 1]:.6g})"
            )
        if not same(one.observations[step], other.observations[step]):
            return f"the observation of step {step}" if step else "the observation of reset()"
    return ""


def same(one: Any, other: Any) -> bool:
    """Return whether two observations are equal bit for bit."""
    if isinstance(one, dict):
        return all(same(one[key], other[key]) for key in one)
    return bool(np.array_equal(np.asarray(one), np.asarray(other)))


def with_another_future(market: MarketData, row: int) -> MarketData:
    """Return a market whose rows after `row` are others."""
    rng = np.random.default_rng(SEED)
    later = slice(row + 1, None)
    shape = market.close[later].shape
    factors = np.exp(np.cumsum(rng.normal(0.0, _STEP, shape), axis=0))
    changed: dict[str, Any] = {}
    for name in ("open", "high", "low", "close", "volume"):
        values = getattr(market, name).copy()
        values[later] *= factors
        changed[name] = values
    for name in ("features", "market_features"):
        values = getattr(market, name).copy()
        spread = np.nanstd(values, axis=0) + _STEP
        values[later] += spread * rng.normal(0.0, 1.0, values[later].shape)
        changed[name] = values
    return replace(market, **changed)
