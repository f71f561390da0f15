"""The env in which a deployed agent acts, and the rows of the market that it is made over."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.vec_env import VecEnv

from finrl_ray._typing import FloatArray
from finrl_ray.agents.ensemble_model.files import SavedMember, load_ensemble, read_ensemble
from finrl_ray.agents.ensemble_model.model import EnsembleModel, shared_env_config
from finrl_ray.agents.ensemble_model.shared_account import View, make_shared_env
from finrl_ray.agents.frame_stack import stacked
from finrl_ray.agents.models import load_model, under_saved_statistics
from finrl_ray.config.trial.own_code import require_member_named
from finrl_ray.data.chosen_features import market_of_sample
from finrl_ray.data.columns import PRICE_COLUMNS
from finrl_ray.data.market_data import MarketData
from finrl_ray.deployment.agent_folder import ALIKE, AgentFolder
from finrl_ray.env.make import make_vec_env
from finrl_ray.env.scaling import ObservationScaling
from finrl_ray.errors import SearchError

_STEPS = 21
"""Latest steps from bar to bar, whose median is the step to the next one."""


def load_agents_model(folder: AgentFolder, *, trust: bool = False) -> BaseAlgorithm | EnsembleModel:
    """Return the model of an agent's folder, or its ensemble.

    Parameters
    ----------
    folder : whose own code is active already
    trust : see `finrl_ray.agents.models.load_model`

    Raises
    ------
    ConfigError, SearchError
        If it cannot be loaded.
    """
    if folder.facts["members"]:
        for member in read_ensemble(folder.model_path)[0]:
            require_member_named(folder.config, member.algorithm, member.env.class_)
        return load_ensemble(folder.model_path, trust=trust)
    algorithm = folder.config.agent.algorithm
    return load_model(algorithm, folder.model_path, device="cpu", trust=trust)


def make_acting_env(folder: AgentFolder, window: MarketData, *, trust: bool = False) -> VecEnv:
    """Return an env of one account over some rows, in which the agent acts as it was trained.

    It pays no reward of the user's own, which nobody learns from here.

    Parameters
    ----------
    folder : of the agent
    window : rows with the features of the agent
    trust : see `finrl_ray.agents.models.load_model`
    """
    if folder.facts["members"]:
        members, _ = read_ensemble(folder.model_path)
        return members_env(members, window, folder.scalings)
    config = folder.config
    env: VecEnv = make_vec_env(
        window,
        config.env.without_own_reward(),
        scaling=folder.scalings.get(ALIKE),
        training=False,
        record_trades=True,
    )
    if config.agent.normalize:
        missing = SearchError(
            f"{folder.model_path} has no statistics of VecNormalize, and the model was trained "
            "under them"
        )
        env = under_saved_statistics(env, folder.model_path, missing=missing, trust=trust)
    return stacked(env, config.agent.n_stack)


def members_env(
    members: Sequence[SavedMember],
    window: MarketData,
    scalings: Mapping[str, ObservationScaling],
) -> VecEnv:
    """Return an env of the one account of an ensemble, which each member sees in its own way.

    Parameters
    ----------
    members : of the ensemble
    window : rows with the features of all of them
    scalings : of their observations, by view
    """
    options = [member.env.without_own_reward() for member in members]
    views: dict[str, View] = {}
    for member, own in zip(members, options, strict=True):
        if member.view not in views:
            seen = market_of_sample(window, member.sample)
            views[member.view] = View(market_data=seen, env=own, scaling=scalings.get(member.view))
    return make_shared_env(shared_env_config(options, window.n_assets), views)


def with_a_row_after(market: MarketData) -> MarketData:
    """Return a market and one more row, in which nothing has moved since the last close.

    An env steps from one row to the next, so that the orders of the last bar take a row after it.
    With `fill: close` they do not depend on what is in it.

    Parameters
    ----------
    market : all rows that are known
    """
    steps = np.diff(market.dates[-_STEPS - 1 :])
    step = np.median(steps).astype(steps.dtype) if steps.size else np.timedelta64(1, "D")
    names = (*PRICE_COLUMNS, "features", "market_features")
    last: dict[str, Any] = {name: getattr(market, name)[-1:] for name in names}
    if np.isfinite(market.open).any():
        last["open"] = market.close[-1:]
    last["volume"] = _latest_volume(market)[np.newaxis]
    last["dates"] = market.dates[-1:] + step
    # whether there will be a quote is not known, and the order goes out
    last["tradable"] = np.ones((1, market.n_assets), dtype=bool)
    arrays: dict[str, Any] = {
        name: np.concatenate([getattr(market, name), row]) for name, row in last.items()
    }
    return dataclasses.replace(market, **arrays)


def _latest_volume(market: MarketData) -> FloatArray:
    """Return the last volume above 0 of each ticker, of shape (N,); NaN where there was none."""
    known = np.isfinite(market.volume) & (market.volume > 0)
    rows = market.n_periods - 1 - known[::-1].argmax(axis=0)
    latest = market.volume[rows, np.arange(market.n_assets)]
    return np.where(known.any(axis=0), latest, np.nan)


def same_rows(one: MarketData, other: MarketData) -> bool:
    """Return whether two markets of equally many rows are equal, bit for bit."""
    if one.tickers != other.tickers or one.feature_names != other.feature_names:
        return False
    names = ("dates", *PRICE_COLUMNS, "features", "market_features", "tradable")
    return all(_equal(getattr(one, name), getattr(other, name)) for name in names)


def _equal(one: Any, other: Any) -> bool:
    return bool(np.array_equal(one, other, equal_nan=one.dtype.kind == "f"))
