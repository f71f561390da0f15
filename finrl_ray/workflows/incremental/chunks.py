"""Chunks of data that follow one another: their envs, and whether they fit together."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv, VecNormalize

from finrl_ray._typing import DateArray
from finrl_ray.agents.replay.choose import follow_market
from finrl_ray.agents.state.env import base_vec_env, wrappers
from finrl_ray.data.labels import date_label
from finrl_ray.env.make import create_env
from finrl_ray.errors import ConfigError, DataError
from finrl_ray.support.text import listed


@dataclass(frozen=True, kw_only=True, slots=True)
class ChunkFacts:
    """What must agree between one chunk of data and the next.

    Parameters
    ----------
    tickers, features : in observation order
    observation_size : entries of one observation
    first, last : dates, None where they are not known
    """

    tickers: tuple[str, ...] | None
    features: tuple[str, ...] | None
    observation_size: int
    first: np.datetime64 | None
    last: np.datetime64 | None

    def dates(self) -> dict[str, str]:
        """Return the first and the last date as texts."""
        assert self.first is not None
        assert self.last is not None
        return {"first_date": date_label(self.first), "last_date": date_label(self.last)}


def chunk_env(name: str, data: Any, env_kwargs: Mapping[str, Any], n_envs: int) -> VecEnv:
    """Return `n_envs` accounts over a chunk of data.

    Raises
    ------
    ConfigError, DataError
        Naming the chunk, if the data cannot be traded.
    """
    try:
        return DummyVecEnv([lambda: Monitor(create_env(data, **env_kwargs))] * n_envs)
    except (ConfigError, DataError) as error:
        raise type(error)(f"{name}: {error}") from error


def chunk_facts(env: VecEnv) -> ChunkFacts:
    """Return the facts of an env made by `chunk_env`."""
    table = env.get_attr("accounts", indices=[0])[0].table
    return ChunkFacts(
        tickers=table.tickers,
        features=table.feature_names,
        observation_size=table.observation_size,
        first=table.dates[0],
        last=table.dates[-1],
    )


def chunk_dates(env: VecEnv) -> DateArray:
    """Return the dates of an env made by `chunk_env`."""
    dates: DateArray = env.get_attr("accounts", indices=[0])[0].table.dates
    return dates


def facts_of_model(model: BaseAlgorithm) -> ChunkFacts:
    """Return what is known of the data that a model was trained on."""
    if model.env is not None and model.env.has_attr("accounts"):
        return chunk_facts(base_vec_env(model.env))
    size = int(np.prod(model.observation_space.shape or (0,)))
    return ChunkFacts(tickers=None, features=None, observation_size=size, first=None, last=None)


def check_follows(
    name: str, facts: ChunkFacts, before: ChunkFacts | None, *, evaluated: bool = True
) -> ChunkFacts:
    """Refuse data that a model cannot go on with, or cannot be evaluated on, as it has seen it.

    Parameters
    ----------
    name : of the chunk, or "initial_data"
    facts : its facts
    before : what was returned for the data before it; None: there are none
    evaluated : whether the model is evaluated on it before it is trained on it; otherwise its dates
        may overlap those before

    Returns
    -------
    ChunkFacts
        The facts, with the last date that the model has then learned from.

    Raises
    ------
    ConfigError
        Naming the chunk, what differs and what came before.
    """
    if before is None:
        return facts
    for what, mine, other in (
        ("tickers", facts.tickers, before.tickers),
        ("indicators", facts.features, before.features),
    ):
        if mine is not None and other is not None and mine != other:
            raise ConfigError(f"{name}: {_difference(what, mine, other)}")
    if facts.observation_size != before.observation_size:
        raise ConfigError(
            f"{name}: observations have {facts.observation_size} entries, but the model was built "
            f"for {before.observation_size}; use the same tickers and indicators"
        )
    if before.last is None or facts.first is None or facts.last is None:
        return facts
    if evaluated and facts.first <= before.last:
        raise ConfigError(
            f"{name} starts on {date_label(facts.first)}, but the data before it ends on "
            f"{date_label(before.last)}: the model would be judged on dates that it has learned "
            "from; give chunks in the order of their dates, without overlap"
        )
    return replace(facts, last=max(facts.last, before.last))


def _difference(what: str, mine: tuple[str, ...], other: tuple[str, ...]) -> str:
    missing = [item for item in other if item not in mine]
    added = [item for item in mine if item not in other]
    if not missing and not added:
        return f"the {what} must be in the order {listed(other)}, got {listed(mine)}"
    parts = [f"{listed(missing)} missing"] if missing else []
    parts += [f"{listed(added)} added"] if added else []
    return f"the {what} must be those of the data before, but {' and '.join(parts)}"


def put_env(name: str, model: BaseAlgorithm, env: VecEnv) -> None:
    """Give a model another env, under its own VecNormalize statistics, which go on.

    Raises
    ------
    ConfigError
        If the model's env has wrappers that cannot be put around another.
    """
    normalizer = model.get_vec_normalize_env()
    others = (
        [type(w).__name__ for w in wrappers(model.env) if w is not normalizer] if model.env else []
    )
    others = [other for other in others if other != "VecMonitor"]
    if others:
        raise ConfigError(
            f"{name}: the base_model's env is wrapped in {listed(others)}, which cannot be put "
            "around the env of another chunk; train it with VecNormalize alone, or none"
        )
    if normalizer is not None:
        twin: VecNormalize = copy.deepcopy(normalizer)  # without its env, as SB3 pickles it
        twin.set_venv(env)
        env = twin
    try:
        model.set_env(env)
    except ValueError as error:
        raise ConfigError(f"{name}: the model does not fit its env: {error}") from error
    follow_market(model)
