"""`incremental_training`: training that goes on as data arrives, evaluated on it beforehand."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.type_aliases import MaybeCallback
from stable_baselines3.common.vec_env import VecEnv, VecNormalize

from finrl_ray._typing import DateArray
from finrl_ray.agents.algorithms import find_algorithm
from finrl_ray.agents.drl_agent import DRLAgent
from finrl_ray.data.market_data import MarketData
from finrl_ray.data.periods_per_year import periods_per_year as spacing_of
from finrl_ray.env.make import with_fitted_scaling
from finrl_ray.errors import ConfigError
from finrl_ray.workflows.incremental.chunks import (
    check_follows,
    chunk_dates,
    chunk_env,
    chunk_facts,
    facts_of_model,
)
from finrl_ray.workflows.incremental.stages import StageRunner

if TYPE_CHECKING:
    import pandas as pd

logger = logging.getLogger(__name__)

REPLAY_CHOICES = ("keep", "flush")
_NEW = "ppo"
"""What a new model is, where nothing is said."""


def incremental_training(
    initial_data: "pd.DataFrame | MarketData | None",
    new_data_chunks: "Iterable[pd.DataFrame | MarketData]",
    base_model: BaseAlgorithm | None = None,
    timesteps_per_chunk: int = 50_000,
    *,
    algorithm: str = _NEW,
    model_kwargs: Mapping[str, Any] | None = None,
    env_kwargs: Mapping[str, Any] | None = None,
    n_envs: int = 1,
    normalize: bool = False,
    seed: int | None = None,
    save_dir: str | Path = "./incremental_models",
    replay_buffer: Literal["keep", "flush"] = "keep",
    n_chunks: int | None = None,
    callback: MaybeCallback = None,
    tensorboard_log: str | None = None,
    evaluations: list[dict[str, Any]] | None = None,
    periods_per_year: float | None = None,
    risk_free_rate: float = 0.0,
) -> BaseAlgorithm:
    """Train on `initial_data`, then on each chunk, after evaluating the model on it.

    The model must not have seen a chunk when it is evaluated on it: dates must go on where the data
    before ended. Training counts on (`num_timesteps` never returns to 0) and schedules run once
    over the true total. Each chunk leaves `chunk_0_model.zip`, ... (and `chunk_0_vecnormalize.pkl`
    under VecNormalize) and a row in `walk_forward.csv` in `save_dir`.

    Parameters
    ----------
    initial_data : first trained on, not evaluated, so a `base_model` may know it; None only with a
        `base_model`
    new_data_chunks : frames in FinRL's long format, or MarketData, in the order of their dates; a
        generator is read to its end first, unless `n_chunks` is given
    base_model : a model to go on with, changed in place; None: a new one
    timesteps_per_chunk : timesteps on each, at least; whole rollouts are run
    algorithm, model_kwargs, n_envs, normalize, seed, tensorboard_log : of a new model;
        `normalize` wraps its env in VecNormalize
    env_kwargs : arguments of `create_env`; stationary observations are standardised by
        `initial_data`, unless an `observation_scaling` is among them
    save_dir : folder of models and `walk_forward.csv`
    replay_buffer : off-policy: `keep` the transitions of earlier data, or `flush` them
    n_chunks : chunks to come, so that a generator can be read one by one
    callback : SB3 callbacks, as in `learn`; one that ends the training ends it for all chunks
    evaluations : a list to which the rows of `walk_forward.csv` are appended
    periods_per_year, risk_free_rate : of the measures; periods None: read from the dates of the
        longest piece of data at hand

    Returns
    -------
    BaseAlgorithm
        The model after the last chunk, with the env of that chunk.

    Raises
    ------
    ConfigError
        If there is nothing to begin with, an option is unknown, or a chunk does not fit: its
        tickers, indicators or observation differ, or its dates do not lie after those before.
        Chunks that are at hand are checked before any training.
    DataError
        If data cannot be traded.
    """
    _check_options(initial_data, base_model, timesteps_per_chunk, algorithm, replay_buffer)
    if isinstance(new_data_chunks, MarketData) or hasattr(new_data_chunks, "columns"):
        raise ConfigError(
            "new_data_chunks must be a list of frames or MarketData, one per chunk, got a single "
            f"{type(new_data_chunks).__name__}; put it into a list"
        )
    if base_model is not None and (model_kwargs or normalize or n_envs != 1):
        logger.warning(
            "model_kwargs, normalize and n_envs are for a new model; the base_model keeps its own"
        )
    options = dict(env_kwargs or {})
    if initial_data is not None:
        options = with_fitted_scaling(initial_data, options)
    if n_chunks is None:
        listed = list(new_data_chunks)
        new_data_chunks, n_chunks = listed, len(listed)
        dates = _check_all(initial_data, listed, base_model, options)
        if periods_per_year is None and listed:
            periods_per_year = spacing_of(max(dates, key=len), "periods_per_year")
    builder = partial(
        _build_model,
        algorithm=algorithm,
        normalize=normalize,
        model_kwargs=model_kwargs,
        seed=seed,
        tensorboard_log=tensorboard_log,
    )
    runner = StageRunner(
        model=base_model,
        builder=builder,
        env_kwargs=options,
        n_envs=n_envs,
        per_stage=timesteps_per_chunk,
        stages=n_chunks + (initial_data is not None),
        keep_replay=replay_buffer == "keep",
        callback=callback,
        folder=Path(save_dir),
        periods_per_year=periods_per_year,
        risk_free_rate=risk_free_rate,
    )
    if initial_data is not None:
        runner.train_initial(initial_data)
    _run_chunks(runner, new_data_chunks, n_chunks, evaluations)
    return runner.finish()


def _run_chunks(
    runner: StageRunner,
    chunks: "Iterable[pd.DataFrame | MarketData]",
    n_chunks: int,
    evaluations: list[dict[str, Any]] | None,
) -> None:
    """Evaluate and train on one chunk after the other, until they or the training end."""
    rows: list[dict[str, Any]] = []
    for index, chunk in enumerate(chunks):
        if runner.ended:
            return
        if index >= n_chunks:
            raise ConfigError(f"new_data_chunks must hold n_chunks = {n_chunks}, but more came")
        rows.append(runner.evaluate_and_train(index, chunk, rows))
        if evaluations is not None:
            evaluations.append(rows[-1])
    if len(rows) < n_chunks and not runner.ended:
        logger.warning(
            "n_chunks is %d, but %d chunks came: schedules did not run to their end",
            n_chunks,
            len(rows),
        )


def _build_model(env: VecEnv, *, algorithm: str, normalize: bool, **keywords: Any) -> BaseAlgorithm:
    agent = DRLAgent(VecNormalize(env) if normalize else env)
    return agent.get_model(algorithm, verbose=0, **keywords)


def _check_options(
    initial_data: Any,
    base_model: BaseAlgorithm | None,
    timesteps_per_chunk: int,
    algorithm: str,
    replay_buffer: str,
) -> None:
    if initial_data is None and base_model is None:
        raise ConfigError(
            "incremental_training needs initial_data to train a first model on, or a base_model to "
            "go on with; both are None"
        )
    if base_model is not None and not isinstance(base_model, BaseAlgorithm):
        raise ConfigError(
            "base_model must be an SB3 model, such as DRLAgent.get_model returns, got "
            f"{base_model!r}; load a saved one with the load() of its class"
        )
    if timesteps_per_chunk < 1:
        raise ConfigError(f"timesteps_per_chunk must be >= 1, got {timesteps_per_chunk}")
    if replay_buffer not in REPLAY_CHOICES:
        raise ConfigError(f"replay_buffer must be 'keep' or 'flush', got {replay_buffer!r}")
    model_class = find_algorithm(algorithm).model_class
    if base_model is not None and algorithm != _NEW and not isinstance(base_model, model_class):
        raise ConfigError(
            f"algorithm is that of a new model, and base_model is of {type(base_model).__name__}"
            f", got {algorithm!r}; leave algorithm out, or base_model to begin anew"
        )


def _check_all(
    initial_data: Any,
    chunks: Sequence[Any],
    base_model: BaseAlgorithm | None,
    env_kwargs: Mapping[str, Any],
) -> list[DateArray]:
    """Check every chunk against the one before, before any training; return the dates of each."""
    before = None if base_model is None else facts_of_model(base_model)
    dates: list[DateArray] = []
    named = [] if initial_data is None else [("initial_data", initial_data)]
    named += [(f"chunk {index}", chunk) for index, chunk in enumerate(chunks)]
    for name, data in named:
        env = chunk_env(name, data, env_kwargs, 1)
        dates.append(chunk_dates(env))
        facts = chunk_facts(env)
        before = check_follows(name, facts, before, evaluated=data is not initial_data)
    return dates
