"""`StageRunner`: one model trained on chunks of data, one stage after the other."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.type_aliases import MaybeCallback
from stable_baselines3.common.vec_env import VecEnv

from finrl_ray._typing import DateArray
from finrl_ray.agents.models import save_model
from finrl_ray.agents.sb3_internals import has_own_logger, set_own_logger
from finrl_ray.agents.state.training_state import learn_from
from finrl_ray.data.periods_per_year import periods_per_year
from finrl_ray.files.atomic import atomic_path
from finrl_ray.workflows.incremental.chunks import (
    ChunkFacts,
    check_follows,
    chunk_dates,
    chunk_env,
    chunk_facts,
    facts_of_model,
    put_env,
)
from finrl_ray.workflows.incremental.replay_buffer import (
    close_last_episode,
    empty_buffer,
    learning_starts_after_fill,
)
from finrl_ray.workflows.incremental.walk_forward import evaluate_chunk, write_rows

logger = logging.getLogger(__name__)

WALK_FORWARD_FILE = "walk_forward.csv"
INITIAL_MODEL_FILE = "initial_model.zip"
TB_LOG_NAME = "incremental"


@dataclass
class StageRunner:
    """Trains one model on chunks of data, one stage after the other.

    Parameters
    ----------
    model : to go on with, or None
    builder : makes a model for an env, when there is none
    env_kwargs : arguments of `create_env`
    n_envs : accounts stepped together, of a new model
    per_stage : timesteps of each stage, rounded up to whole rollouts
    stages : how many there are: one per chunk, and one for the initial data
    keep_replay : keep the transitions of earlier chunks in the replay buffer
    callback : as in `learn`
    folder : where models and the walk-forward table go
    periods_per_year : of the measures; None: read from the longest chunk so far when first needed
    risk_free_rate : of the measures
    """

    model: BaseAlgorithm | None
    builder: Callable[[VecEnv], BaseAlgorithm]
    env_kwargs: Mapping[str, Any]
    n_envs: int
    per_stage: int
    stages: int
    keep_replay: bool
    callback: MaybeCallback
    folder: Path
    periods_per_year: float | None
    risk_free_rate: float
    dates: list[DateArray] = field(init=False, default_factory=list)
    """Of each chunk so far."""
    facts: ChunkFacts | None = field(init=False, default=None)
    target: int = field(init=False, default=0)
    total: int = field(init=False, default=0)
    had_logger: bool = field(init=False, default=False)
    ended: bool = field(init=False, default=False)
    """Whether a callback has ended the training; later chunks are then not used."""

    def __post_init__(self) -> None:
        if self.model is not None:
            self.facts = facts_of_model(self.model)
            self.target = self.model.num_timesteps
            self.n_envs = self.model.n_envs
            self.had_logger = has_own_logger(self.model)
            self._plan(self.model)

    def _plan(self, model: BaseAlgorithm) -> None:
        """Set the true total, over which schedules run, in whole rollouts per stage."""
        if isinstance(model, OnPolicyAlgorithm):
            rollout = model.n_steps * self.n_envs
            self.per_stage = -(-self.per_stage // rollout) * rollout
        self.total = self.target + self.stages * self.per_stage

    def train_initial(self, data: Any) -> None:
        """Train on the initial data."""
        name = "initial_data"
        model, _ = self._set_chunk(name, data, evaluated=False)
        self._train(name, model)
        self._save(model, self.folder / INITIAL_MODEL_FILE)

    def evaluate_and_train(
        self, index: int, data: Any, rows: Sequence[Mapping[str, Any]]
    ) -> dict[str, Any]:
        """Evaluate the model on a chunk, train it there, save it, and return the row of the table.

        Parameters
        ----------
        index : number of the chunk
        data : the chunk
        rows : the table so far, which is written again with the new row
        """
        name = f"chunk {index}"
        model, facts = self._set_chunk(name, data)
        row = {
            "chunk": index,
            **facts.dates(),
            **evaluate_chunk(
                model,
                data,
                self.env_kwargs,
                periods_per_year=self._year(),
                risk_free_rate=self.risk_free_rate,
            ),
        }
        logger.info(
            "%s, before training on it: Sharpe %.3f, return %.1f%% (buy & hold %.1f%%)",
            name,
            row["sharpe_ratio"],
            100 * row["total_return"],
            100 * row["buy_and_hold_return"],
        )
        self._train(name, model)
        self._save(model, self.folder / f"chunk_{index}_model.zip")
        write_rows([*rows, row], self.folder / WALK_FORWARD_FILE)
        return row

    def _year(self) -> float:
        if self.periods_per_year is None:
            longest = max(self.dates, key=len)
            self.periods_per_year = periods_per_year(longest, "periods_per_year")
        return self.periods_per_year

    def finish(self) -> BaseAlgorithm:
        """Return the model."""
        assert self.model is not None
        set_own_logger(self.model, self.had_logger)
        return self.model

    def _set_chunk(
        self, name: str, data: Any, *, evaluated: bool = True
    ) -> tuple[BaseAlgorithm, ChunkFacts]:
        """Check the next chunk, and give the model an env over it."""
        env = chunk_env(name, data, self.env_kwargs, self.n_envs)
        facts = chunk_facts(env)
        self.dates.append(chunk_dates(env))
        self.facts = check_follows(name, facts, self.facts, evaluated=evaluated)
        if self.model is None:
            self.model = self.builder(env)
            self._plan(self.model)
        else:
            put_env(name, self.model, env)
        return self.model, facts

    def _train(self, name: str, model: BaseAlgorithm) -> None:
        """Train until this stage's share of the total is reached."""
        self.target += self.per_stage
        logger.info("%s: training up to %d timesteps", name, self.target)
        starts = getattr(model, "learning_starts", None)
        if isinstance(model, OffPolicyAlgorithm):
            close_last_episode(model)
            if not self.keep_replay:
                empty_buffer(model)
            model.learning_starts = learning_starts_after_fill(model)
        try:
            learn_from(
                model,
                self.total,
                self.callback,
                lambda learner: learner.num_timesteps < self.target,
                tb_log_name=TB_LOG_NAME,
            )
        finally:
            if isinstance(model, OffPolicyAlgorithm) and starts is not None:
                model.learning_starts = starts
        if model.num_timesteps < self.target:
            self.ended = True
            logger.warning(
                "%s: a callback ended the training at timestep %d of %d; the data after it are not "
                "used",
                name,
                model.num_timesteps,
                self.target,
            )
        # one TensorBoard run for all stages: SB3 would look for the newest of this name
        model.set_logger(model.logger)

    def _save(self, model: BaseAlgorithm, path: Path) -> None:
        """Write the model, and its normalisation beside it, whole or not at all."""
        with atomic_path(path) as temporary:
            save_model(model, temporary)
        normalizer = model.get_vec_normalize_env()
        if normalizer is not None:
            name = path.name.replace("_model.zip", "_vecnormalize.pkl")
            with atomic_path(path.with_name(name)) as temporary:
                normalizer.save(str(temporary))
