"""Loading the checkpoints that the callbacks of this package, or SB3's, have written."""

import io
import logging
import pickle
from pathlib import Path
from typing import Any

import gymnasium as gym
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.vec_env import VecEnv

from finrl_ray.agents.algorithm_registry import ALGORITHMS
from finrl_ray.agents.algorithms import find_algorithm
from finrl_ray.agents.checkpoints.files import (
    Checkpoint,
    find_checkpoints,
    has_own_replay_buffer,
)
from finrl_ray.agents.models import as_vec_env, load_model
from finrl_ray.agents.normalization import read_statistics, under_statistics
from finrl_ray.agents.saved_models.inert_pickle import MOVED_MODULES, PICKLE_ERRORS, TRUST_REMEDY
from finrl_ray.errors import ConfigError

logger = logging.getLogger(__name__)


def newest_checkpoint(folder: str | Path, name_prefix: str | None = None) -> Checkpoint:
    """Return the checkpoint of most timesteps that is whole, and log which one it is.

    With a manifest, every file's size and checksum are compared. Without one, as SB3 writes them,
    the model must be a sound zip file and the others must end as pickles do.

    Parameters
    ----------
    folder : `save_path` of a checkpoint callback, this package's or SB3's
    name_prefix : look at those of this prefix only; None: at all

    Raises
    ------
    ConfigError
        If no checkpoint in the folder is whole, saying what is wrong with each.
    """
    where = Path(folder).absolute()
    if not where.is_dir():
        raise ConfigError(f"there is no folder of checkpoints {where}")
    damaged: list[str] = []
    for checkpoint, damage in find_checkpoints(where, name_prefix):
        if not damage:
            level = logging.WARNING if damaged else logging.INFO
            logger.log(level, "using the checkpoint %s", checkpoint.model_path)
            return checkpoint
        logger.warning("skipping the checkpoint %s: %s", checkpoint.model_path, damage)
        damaged.append(damage)
    what = f"checkpoint of name_prefix {name_prefix!r}" if name_prefix else "checkpoint"
    reasons = f": {'; '.join(damaged)}" if damaged else ""
    raise ConfigError(f"there is no whole {what} in {where}{reasons}")


def load_checkpoint(
    checkpoint: Checkpoint | str | Path,
    env: "gym.Env[Any, Any] | VecEnv | None" = None,
    *,
    name_prefix: str | None = None,
    algorithm: str | None = None,
    device: str = "auto",
    learner: str = "fused",
    trust: bool = False,
) -> BaseAlgorithm:
    """Return the model of a checkpoint, with its replay buffer and normalisation.

    Go on with `model.learn(remaining, reset_num_timesteps=False)`.

    Parameters
    ----------
    checkpoint : from `newest_checkpoint`, or a folder, of which the newest whole one is taken
    env : to train or run in; None: load without. Where the checkpoint has statistics of
        VecNormalize, they are put into the env's VecNormalize; an env without one is wrapped.
    name_prefix : as in `newest_checkpoint`, for a folder
    algorithm : its name, such as `ppo`; needed only for a model with a policy of your own that has
        no manifest
    device : torch device
    learner : the code that trains it on, as in `DRLAgent.get_model`
    trust : run code that is in the files; needed for a replay buffer that this user's own callback
        has not written, and for classes of your own. See docs/trust.md.

    Raises
    ------
    ConfigError
        If no checkpoint is whole, its algorithm is not known, it does not fit the env, or it needs
        `trust`.
    """
    if not isinstance(checkpoint, Checkpoint):
        checkpoint = newest_checkpoint(checkpoint, name_prefix)
    plain_class = _model_class(checkpoint, algorithm)
    try:
        vec_env = None if env is None else _normalized(as_vec_env(env), checkpoint, trust=trust)
        model = load_model(
            plain_class,
            checkpoint.model_path,
            env=vec_env,
            device=device,
            learner=learner,
            trust=trust,
        )
    except ConfigError as error:
        raise ConfigError(
            f"{checkpoint.model_path} cannot be loaded as a {plain_class.__name__} model with this "
            f"env: {error}"
        ) from error
    if checkpoint.replay_buffer_path is not None and isinstance(model, OffPolicyAlgorithm):
        _load_replay_buffer(model, checkpoint, trust=trust)
    return model


def _normalized(env: VecEnv, checkpoint: Checkpoint, *, trust: bool) -> VecEnv:
    """Return the env under the statistics of a checkpoint, if it has any."""
    if checkpoint.vecnormalize_path is None:
        return env
    path = checkpoint.vecnormalize_path
    statistics = read_statistics(checkpoint.model_path, path, trust=trust)
    if statistics is None:
        raise ConfigError(f"the statistics {path} are missing")
    return under_statistics(env, statistics)


def _load_replay_buffer(model: OffPolicyAlgorithm, checkpoint: Checkpoint, *, trust: bool) -> None:
    path = checkpoint.replay_buffer_path
    assert path is not None
    if not trust and not has_own_replay_buffer(checkpoint):
        raise ConfigError(
            f"the replay buffer {path} was not written by this user's own CheckpointCallback, and "
            f"is a pickle: {TRUST_REMEDY}"
        )
    try:
        _unpickle_replay_buffer(model, path)
    except (*PICKLE_ERRORS, AssertionError, RuntimeError, OSError) as error:
        raise ConfigError(
            f"the replay buffer {path} cannot be loaded into this model: {error}"
        ) from error


def _unpickle_replay_buffer(model: OffPolicyAlgorithm, path: Path) -> None:
    try:
        model.load_replay_buffer(path)
    except ModuleNotFoundError as error:
        if not str(error.name).startswith("finrl_ray."):
            raise
        # written by an earlier version, in which the buffer's class lay elsewhere
        with path.open("rb") as file:
            buffer = _MovedUnpickler(file).load()
        model.load_replay_buffer(io.BytesIO(pickle.dumps(buffer)))


class _MovedUnpickler(pickle.Unpickler):
    """Finds classes that have moved since a file was written."""

    def find_class(self, module: str, name: str) -> Any:
        return super().find_class(MOVED_MODULES.get(module, module), name)


def _model_class(checkpoint: Checkpoint, algorithm: str | None) -> type[BaseAlgorithm]:
    if algorithm is not None:
        return find_algorithm(algorithm).model_class
    classes = {entry.class_name: entry for entry in ALGORITHMS.values()}
    if checkpoint.algorithm in classes:
        return classes[checkpoint.algorithm].model_class
    raise ConfigError(
        f"{checkpoint.model_path} does not say which algorithm it is of; pass algorithm=, one of "
        f"{', '.join(ALGORITHMS)}"
    )
