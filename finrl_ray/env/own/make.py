"""`make_own_vec_env`: accounts of `env.class` over a window."""

from itertools import pairwise
from typing import Any, TypeAlias

import gymnasium as gym
from stable_baselines3.common.vec_env import VecEnv

from finrl_ray.config.env import EnvConfig
from finrl_ray.data.market_data import MarketData
from finrl_ray.env.own.account import AccountWindow
from finrl_ray.env.own.construct import OwnEnv, load_env
from finrl_ray.env.own.recorded_env import RecordedEnv
from finrl_ray.env.own.vec_env import OwnGivenVecEnv, OwnVecEnv
from finrl_ray.errors import ConfigError

OwnAccounts: TypeAlias = OwnVecEnv | OwnGivenVecEnv
"""The vec env of an own class."""


def make_own_vec_env(
    market: MarketData,
    config: EnvConfig,
    *,
    n_envs: int = 1,
    seed: int | None = None,
    training: bool = True,
    whole_only: bool = False,
    own: OwnEnv | None = None,
) -> OwnAccounts:
    """Return `n_envs` accounts of `env.class` over a window; account i has seed `seed + i`.

    Parameters
    ----------
    market : the window; where rows were taken out of it (`seams`) each account has one env for each
        part between them, and trades in one after the other, so that no episode crosses a gap
    config : `class`, `class_kwargs` and the options of the account
    n_envs : E
    seed : of the first resets
    training : False in evaluation: whole windows, and an account of every day
    whole_only : refuse accounts without dates that do not cover the window
    own : what `load_env` returned, if it is at hand

    Raises
    ------
    ConfigError
        If the class cannot be called with what a search has, or returns no env.
    OwnCodeError
        If it raises.
    """
    own = load_env(config) if own is None else own
    first, *others = parts = _parts(market)
    built = own.build(first, config, training=training, n_envs=n_envs)
    windows = [AccountWindow(part, config, own.place) for part in parts]
    env: OwnAccounts
    if isinstance(built, VecEnv):
        if others:
            raise ConfigError(
                f"env.class: {own.place} is a VecEnv, which has one window without gaps, and the "
                "training rows of validation.scheme 'cpcv' have gaps; use 'walk_forward', or a "
                "Gymnasium env, of which there is one for each part"
            )
        if built.num_envs != n_envs:
            raise ConfigError(
                f"env.class: {own.place} made a VecEnv of {built.num_envs} accounts, and {n_envs} "
                "were asked for; give it a parameter n_envs that says how many"
            )
        env = OwnGivenVecEnv(
            built, windows[0], own.reference, training=training, whole_only=whole_only
        )
    else:
        envs = []
        for _ in range(n_envs):
            members = [_gym_env(own, built)]
            members += [
                _gym_env(own, own.build(part, config, training=training, n_envs=1))
                for part in others
            ]
            recorded = RecordedEnv(
                members,
                windows,
                own.reference,
                own.adapter,
                training=training,
                whole_only=whole_only,
            )
            envs.append(recorded)
            if len(envs) < n_envs:
                built = own.build(first, config, training=training, n_envs=n_envs)
        env = OwnVecEnv(envs)
    if seed is not None:
        env.seed(seed)
    return env


def _gym_env(own: OwnEnv, built: Any) -> gym.Env[Any, Any]:
    if not isinstance(built, gym.Env):
        raise ConfigError(
            f"env.class: {own.place} must make a Gymnasium env (gymnasium.Env) or a "
            f"Stable-Baselines3 VecEnv, got a {type(built).__module__}.{type(built).__name__}"
        )
    for name in ("reset", "step", "close"):
        if not callable(getattr(built, name)):
            raise ConfigError(
                f"env.class: {own.place} has an attribute {name}, a "
                f"{type(getattr(built, name)).__name__}, which hides the method {name}() of "
                "gymnasium.Env; give it another name"
            )
    for name in ("observation_space", "action_space"):
        if not isinstance(getattr(built, name, None), gym.spaces.Space):
            raise ConfigError(
                f"env.class: {own.place} must have an {name} of gymnasium.spaces, got "
                f"{getattr(built, name, None)!r}"
            )
    return built


def _parts(market: MarketData) -> list[MarketData]:
    """Return the rows between seams, those parts that one step can be taken in."""
    edges = [0, *market.seams, market.n_periods]
    spans = [(a, b) for a, b in pairwise(edges) if b - a >= 2]
    return [market.rows(a, b) for a, b in spans]
