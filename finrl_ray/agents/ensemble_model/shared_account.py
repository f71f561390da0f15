"""The env in which an ensemble acts: one account, seen by each member as in its training."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from gymnasium import spaces
from stable_baselines3.common.vec_env import VecEnv, VecEnvWrapper
from stable_baselines3.common.vec_env.base_vec_env import VecEnvStepReturn

from finrl_ray._typing import Float32Array
from finrl_ray.config.env import EnvConfig
from finrl_ray.data.market_data import MarketData
from finrl_ray.env.make import make_vec_env
from finrl_ray.env.scaling import ObservationScaling
from finrl_ray.env.vec_env import StockTradingVecEnv

_OBSERVED = (
    "observation",
    "observation_scaling",
    "lookback",
    "return_horizons",
    "nearest_spread",
    "covariance_lookback",
)


@dataclass(frozen=True, kw_only=True, eq=False)
class View:
    """One way to see the account and the market.

    Parameters
    ----------
    market_data : the window, with the features that are seen
    env : options; those of the observation count
    scaling : of the observation, fitted on the train window; None: none
    """

    market_data: MarketData
    env: EnvConfig
    scaling: ObservationScaling | None

    def key(self) -> tuple[object, ...]:
        """Return what is equal for views that show the same."""
        options = tuple(getattr(self.env, name) for name in _OBSERVED)
        if self.env.class_ is not None:
            options = (self.env.class_, repr(sorted(self.env.class_kwargs.items())))
        return (*options, tuple(self.market_data.feature_names))


def make_shared_env(account: EnvConfig, views: Mapping[str, View]) -> VecEnv:
    """Return a vec env of one account that is traded under some options and seen in several ways.

    Parameters
    ----------
    account : the options; `shared_env_config` of an ensemble's members
    views : by key of the observation, over the same rows

    Returns
    -------
    VecEnv
        With one view what `make_vec_env` makes; with several a `SharedAccountVecEnv`.
    """
    first = next(iter(views.values()))
    if account.class_ is not None:
        # views of one class and its keywords alone; see `View.key`
        return make_vec_env(first.market_data, account, training=False)
    own = {name: getattr(first.env, name) for name in _OBSERVED}
    traded = make_vec_env(
        first.market_data, replace(account, **own), scaling=first.scaling, training=False
    )
    if len(views) == 1:
        return traded
    observers = {
        name: make_vec_env(view.market_data, view.env, scaling=view.scaling, training=False)
        for name, view in views.items()
    }
    return SharedAccountVecEnv(traded, observers)


class SharedAccountVecEnv(VecEnvWrapper):
    """Accounts that are shown in several ways at a time, as a Dict observation.

    What is shown under a key is what an env of that view shows of an account in the same state. The
    `terminal_observation` of an episode's last info is that of the traded env alone.

    Parameters
    ----------
    venv : whose accounts are traded
    observers : envs over the same rows, of as many accounts, which are shown and never stepped
    """

    def __init__(self, venv: VecEnv, observers: Mapping[str, VecEnv]) -> None:
        shown = spaces.Dict({name: one.observation_space for name, one in observers.items()})
        super().__init__(venv, observation_space=shown)
        self.observers = dict(observers)

    def reset(self) -> dict[str, Float32Array]:
        """Reset every account; return its observations by view, each of shape (E, S)."""
        self.venv.reset()
        return self.seen()

    def step_wait(self) -> VecEnvStepReturn:
        """Step every account."""
        _, rewards, dones, infos = self.venv.step_wait()
        return self.seen(), rewards, dones, infos

    def seen(self) -> dict[str, Float32Array]:
        """Return what the accounts look like as they are, by view, each of shape (E, S)."""
        return {name: self._seen_by(observer) for name, observer in self.observers.items()}

    def _seen_by(self, observer: VecEnv) -> Float32Array:
        """Return what an observer shows of the traded accounts, of shape (E, S)."""
        if isinstance(self.venv, StockTradingVecEnv) and isinstance(observer, StockTradingVecEnv):
            traded, books = self.venv.accounts.books, observer.accounts.books
            books.records[:], books.shares[:] = traded.records, traded.shares
            return np.stack([observer.accounts.observation(i) for i in range(self.num_envs)])
        accounts, shown = self.venv.get_attr("account"), observer.get_attr("unwrapped")
        return np.stack(
            [
                env.observation_of(account.day, account.weights)
                for account, env in zip(accounts, shown, strict=True)
            ]
        )
