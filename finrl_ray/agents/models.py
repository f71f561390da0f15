"""Saved models: written, loaded without unpickling, and run under the statistics saved with them.

This is the one place where models are loaded. SB3's zip file holds the networks' numbers, which
torch reads without running code, and pickles of everything else. A model that `save_model` has
written says the rest in JSON inside the same file too, and its VecNormalize statistics in an npz;
the pickles stay for others. Of any other zip file the pickles are read as data (`inert_pickle`).
What that cannot read needs `trust`.
"""

import io
import json
import zipfile
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import gymnasium as gym
import torch as th
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv

from finrl_ray.agents.algorithms import find_algorithm, find_learner
from finrl_ray.agents.frame_stack import N_STACK, stacked_once
from finrl_ray.agents.normalization import (
    STATISTICS_MEMBER,
    VECNORMALIZE_FILE,
    read_statistics,
    statistics_bytes,
    under_statistics,
)
from finrl_ray.agents.saved_models.attributes import (
    SIGNATURE_MEMBER,
    algorithm_name,
    read_attributes,
    sign,
    with_article,
)
from finrl_ray.agents.saved_models.description import describe
from finrl_ray.agents.saved_models.inert_pickle import PICKLE_ERRORS, RefusedError
from finrl_ray.agents.saved_models.zip_file import (
    DESCRIPTION_MEMBER,
    model_file,
    read_bytes,
    read_members,
    without_pickles,
)
from finrl_ray.agents.torch_startup import skip_dynamo_import
from finrl_ray.errors import ConfigError

UNDER_STATISTICS = "trained_under_vec_normalize"
"""Attribute of a model whose observations were normalised, kept in its files."""
_left_out: MutableMapping[BaseAlgorithm, str] = WeakKeyDictionary()
"""Loaded models whose statistics were not loaded with them, and where those lie."""
_BUILD_ERRORS = (*PICKLE_ERRORS, AssertionError, RuntimeError, OSError, zipfile.BadZipFile)


def save_model(model: BaseAlgorithm, path: str | Path) -> None:
    """Write SB3's zip file of a model, and into it what reads it again without unpickling.

    The statistics of the VecNormalize that the model is trained under lie in it too. A model whose
    policy is made of classes of the user's own is signed: this user loads it as it is, others with
    trust.

    Parameters
    ----------
    model : the model
    path : of the file, with its suffix `.zip`

    Raises
    ------
    OSError
        If it cannot be written.
    """
    model.save(path)
    with zipfile.ZipFile(path, "a") as archive:
        data = archive.read("data")
        description = describe(model, json.loads(data))
        # ZipInfo has a fixed date: equal models are equal files in these parts
        if description is None:
            archive.writestr(zipfile.ZipInfo(SIGNATURE_MEMBER), sign(data))
        else:
            archive.writestr(zipfile.ZipInfo(DESCRIPTION_MEMBER), description)
        normalizer = model.get_vec_normalize_env()
        if normalizer is not None:
            content = statistics_bytes(normalizer)
            archive.writestr(zipfile.ZipInfo(STATISTICS_MEMBER), content)


def load_model(
    model: str | type[BaseAlgorithm],
    path: str | Path,
    *,
    env: "gym.Env[Any, Any] | VecEnv | None" = None,
    device: str = "auto",
    learner: str | None = None,
    trust: bool = False,
) -> BaseAlgorithm:
    """Return a saved model.

    Parameters
    ----------
    model : name of its algorithm, or SB3's class
    path : the file, with or without `.zip`
    env : to train or run in, stacked here for a model of stacks (`agent.n_stack`) unless it is;
        None: it can predict
    device : torch's
    learner : the code that trains it on, as in `DRLAgent.get_model`; None: SB3's
    trust : unpickle what cannot be read without it; a pickle runs code, so load files of people you
        trust only

    Raises
    ------
    ConfigError
        If the file is missing, damaged, of another algorithm, does not fit the env, holds NaN, or
        needs trust, with what is wrong.
    """
    skip_dynamo_import()
    kind = find_algorithm(model).model_class if isinstance(model, str) else model
    wanted = f"{with_article(algorithm_name(kind))} model"
    file = model_file(path, wanted)
    try:
        content = read_bytes(file)
        members = read_members(content)
        data = read_attributes(file, members, kind, trust=trust)
        if data is not None:
            content = without_pickles(members, data)
        built_class = kind if learner is None else find_learner(kind, learner)
        n_stack = (data or {}).get(N_STACK, 1)
        if env is not None and n_stack > 1:
            env = stacked_once(as_vec_env(env), n_stack)
        loaded = built_class.load(
            io.BytesIO(content), env=env, device=device, custom_objects=data or {}
        )
        _check_finite(loaded)
    except _BUILD_ERRORS as error:
        raise ConfigError(f"{file} cannot be loaded as {wanted}: {_in_words(error)}") from error
    beside = file.with_name(VECNORMALIZE_FILE)
    inside = STATISTICS_MEMBER in members
    if inside or beside.exists():
        if _of_observations(file):
            _left_out[loaded] = str(file if inside else beside)
        elif getattr(loaded, UNDER_STATISTICS, False):
            setattr(loaded, UNDER_STATISTICS, False)
    return loaded


def _of_observations(file: Path) -> bool:
    """Return whether a model acts on normalised observations, and not only learned of rewards."""
    try:
        statistics = read_statistics(file)
    except ConfigError:
        return True  # whoever needs them is told what is wrong with them
    return statistics is None or bool(statistics.settings.get("norm_obs", True))


def forgotten_statistics(model: BaseAlgorithm) -> str:
    """Return in words which statistics a model was trained under and its env lacks; else empty."""
    if model.get_vec_normalize_env() is not None:
        return ""
    if model in _left_out:
        return f"the VecNormalize statistics in {_left_out[model]}"
    return "VecNormalize statistics" if getattr(model, UNDER_STATISTICS, False) else ""


def as_vec_env(environment: "gym.Env[Any, Any] | VecEnv") -> VecEnv:
    """Return a vec env as it is, and a single env as a vec env of one."""
    if isinstance(environment, VecEnv):
        return environment
    return DummyVecEnv([lambda: environment])


def under_saved_statistics(
    env: VecEnv, file: Path, *, missing: Exception | None = None, trust: bool = False
) -> VecEnv:
    """Return an env to evaluate the model of a file in: under the statistics saved with it.

    They are kept as they are, and rewards are the env's own.

    Parameters
    ----------
    env : a vec env
    file : the model's zip file, from `model_file`
    missing : raised where there are no statistics; None: the env itself is returned
    trust : as in `load_model`

    Raises
    ------
    ConfigError
        If the statistics are damaged, of other observations, or need trust.
    """
    statistics = read_statistics(file, trust=trust)
    if statistics is None:
        if missing is not None:
            raise missing
        return env
    return under_statistics(env, statistics, evaluating=True)


def model_bytes(model: BaseAlgorithm) -> bytes:
    """Return what `model.save` would write."""
    buffer = io.BytesIO()
    model.save(buffer)
    return buffer.getvalue()


def load_model_bytes(
    kind: type[BaseAlgorithm],
    content: bytes,
    *,
    env: VecEnv | None = None,
    device: str | th.device = "cpu",
    **changes: Any,
) -> BaseAlgorithm:
    """Return the model of `model_bytes`, in the same process or in a worker of it.

    Loading unpickles and seeds the global random streams.

    Parameters
    ----------
    kind : class of the model
    content : from `model_bytes`
    env : to train or run in; None: it can predict
    device : torch's
    changes : attributes that are to differ
    """
    return kind.load(io.BytesIO(content), env=env, device=device, **changes)


def _check_finite(model: BaseAlgorithm) -> None:
    for name, values in model.policy.named_parameters():
        if not bool(th.isfinite(values).all()):
            raise RefusedError(
                f"its parameter {name} is NaN or infinite, as it diverged in training; it can "
                "neither act nor be trained on"
            )


def _in_words(error: BaseException) -> str:
    text = str(error).strip() or type(error).__name__
    if isinstance(error, ImportError):
        return f"{text}; install it, or save the model again without it"
    return " ".join(text.split())[:500]
