"""The one loader of saved models: without unpickling, and with a reason for whatever is wrong.

SB3's zip file holds the networks' numbers, which torch reads without running code, and pickles of
everything else. A model that `save_model` has written says the rest in JSON inside the same file
too, and its VecNormalize statistics in an npz; the pickles stay for others. Of any other zip file
the pickles are read as data (`inert_pickle`). What that cannot read needs `trust`.
"""

import base64
import hashlib
import inspect
import io
import json
import logging
import zipfile
import zlib
from collections.abc import Mapping, MutableMapping
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import gymnasium as gym
import torch as th
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.vec_env import VecEnv

from finrl_ray.agents.algorithm_registry import ALGORITHMS
from finrl_ray.agents.algorithms import find_algorithm, find_learner
from finrl_ray.agents.normalization import (
    STATISTICS_MEMBER,
    VECNORMALIZE_FILE,
    statistics_bytes,
)
from finrl_ray.agents.saved_models.description import (
    ESSENTIAL,
    OF_TRAINING,
    describe,
    read_description,
)
from finrl_ray.agents.saved_models.inert_pickle import PICKLE_ERRORS, RefusedError, read_inert
from finrl_ray.agents.saved_models.known_classes import built
from finrl_ray.errors import ConfigError
from finrl_ray.files.signature import is_own, signature

logger = logging.getLogger(__name__)

DESCRIPTION_MEMBER = "finrl_ray.json"
SIGNATURE_MEMBER = "finrl_ray.signature"
LARGEST_JSON = 64 << 20
LARGEST_RATIO = 100
"""How many times its size on disk a zip file may have unpacked; SB3's are not compressed at all."""
UNDER_STATISTICS = "trained_under_vec_normalize"
"""Attribute of a model whose env was normalised, kept in its files."""
_left_out: MutableMapping[BaseAlgorithm, str] = WeakKeyDictionary()
_ZIP_ERRORS = (OSError, zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, KeyError)
_BUILD_ERRORS = (*PICKLE_ERRORS, AssertionError, RuntimeError, OSError, zipfile.BadZipFile)
_SERIALIZED = ":serialized:"
_TOLD_APART = ("A2C", "PPO", "DDPG", "TD3", "SAC")
"""Classes that `algorithm_of` can tell apart."""


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
            archive.writestr(zipfile.ZipInfo(SIGNATURE_MEMBER), signature(_signed(data)))
        else:
            archive.writestr(zipfile.ZipInfo(DESCRIPTION_MEMBER), description)
        normalizer = model.get_vec_normalize_env()
        if normalizer is not None:
            content = statistics_bytes(normalizer)
            archive.writestr(zipfile.ZipInfo(STATISTICS_MEMBER), content)


def _signed(data: bytes) -> str:
    return f"model {hashlib.sha256(data).hexdigest()}"


def _is_ones_own(members: Mapping[str, bytes]) -> bool:
    """Return whether this user's `save_model` has written the pickles of a model."""
    signed = members.get(SIGNATURE_MEMBER, b"").decode("ascii", errors="replace")
    return is_own(_signed(members["data"]), signed)


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
    env : to train or run in; None: it can predict
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
    kind = find_algorithm(model).model_class if isinstance(model, str) else model
    file = model_file(path, f"{_with_article(_name(kind))} model")
    try:
        content = _read_bytes(file)
        members = _members(content)
        data = _attributes(file, members, kind, trust=trust)
        if data is not None:
            content = _without_pickles(members, data)
        built_class = kind if learner is None else find_learner(kind, learner)
        loaded = built_class.load(
            io.BytesIO(content), env=env, device=device, custom_objects=data or {}
        )
        _check_finite(loaded)
    except _BUILD_ERRORS as error:
        raise ConfigError(
            f"{file} cannot be loaded as {_with_article(_name(kind))} model: {_in_words(error)}"
        ) from error
    beside = file.with_name(VECNORMALIZE_FILE)
    if STATISTICS_MEMBER in members or beside.exists():
        _left_out[loaded] = str(file if STATISTICS_MEMBER in members else beside)
    return loaded


def forgotten_statistics(model: BaseAlgorithm) -> str:
    """Return what a model was trained under, where its own env does not bring it; else empty."""
    if model.get_vec_normalize_env() is not None:
        return ""
    if model in _left_out:
        return f"the VecNormalize statistics in {_left_out[model]}"
    return "VecNormalize statistics" if getattr(model, UNDER_STATISTICS, False) else ""


def model_file(path: str | Path, what: str = "a model") -> Path:
    """Return the file that is meant by a path, which may lack `.zip` as in SB3.

    Parameters
    ----------
    path : as given by the user
    what : should be in it, for messages

    Raises
    ------
    ConfigError
        If there is none.
    """
    path = Path(path)
    with_suffix = path.with_name(path.name + ".zip")
    if path.is_file():
        return path
    if path.suffix != ".zip" and with_suffix.is_file():
        return with_suffix
    if path.is_dir():
        inside = sorted(file.name for file in path.glob("*.zip"))
        hint = f"; in it are {', '.join(inside[:5])}" if inside else ""
        raise ConfigError(
            f"{path} cannot be loaded as {what}: it is a folder; give the model's zip file{hint}"
        )
    beside = "" if path.suffix == ".zip" else f", and no {with_suffix.name} beside it"
    raise ConfigError(f"{path} cannot be loaded as {what}: there is no such file{beside}")


def _read_bytes(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise RefusedError(f"it cannot be read ({error.strerror or error})") from error


def _members(content: bytes) -> dict[str, bytes]:
    """Return the contents of a zip file of SB3 by name."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            sizes = {info.filename: info.file_size for info in archive.infolist()}
            if sum(sizes.values()) > LARGEST_RATIO * len(content) + LARGEST_JSON:
                raise RefusedError(
                    f"it has {len(content)} bytes and would unpack to {sum(sizes.values())}; no "
                    "saved model is packed like that"
                )
            members = {name: archive.read(name) for name in sizes}
    except _ZIP_ERRORS as error:
        what = f"of {len(content)} bytes it" if content else "it is empty, and"
        raise RefusedError(
            f"{what} is not a whole zip file of SB3, which `model.save` writes ({error})"
        ) from error
    missing = [name for name in ("data", "policy.pth") if name not in members]
    if missing:
        raise RefusedError(
            f"it is not a whole model of SB3, as it has no {' and no '.join(missing)}, but "
            f"{', '.join(sorted(members)[:8]) or 'nothing'}"
        )
    return members


def has_description(members: Mapping[str, bytes]) -> bool:
    """Return whether a model's zip file was written by `save_model`."""
    return DESCRIPTION_MEMBER in members


def _attributes(
    file: Path, members: Mapping[str, bytes], kind: type[BaseAlgorithm], *, trust: bool
) -> dict[str, Any] | None:
    """Return the attributes of a model, None if they are to be unpickled."""
    algorithm: str | None
    listed: dict[str, Any] = {}
    try:
        if has_description(members):
            algorithm, data = read_description(members[DESCRIPTION_MEMBER])
        else:
            listed = _listed(members["data"])
            algorithm = algorithm_of(listed)
            data = {}
    except RefusedError as error:
        raise RefusedError(f"what it says of its model {error}") from error
    _check_algorithm(algorithm, kind, judged=not has_description(members))
    if has_description(members):
        missing = [name for name in ESSENTIAL if name not in data]
        if missing:
            raise RefusedError(f"it is damaged, and says nothing of {', '.join(missing)}")
        return _completed(data, kind)
    if trust or _is_ones_own(members):
        return None
    return _completed(_read_listed(file, listed), kind)


def _listed(content: bytes) -> dict[str, Any]:
    """Return the JSON of SB3's `data`, in which values that JSON cannot hold are pickles."""
    if len(content) > LARGEST_JSON:
        raise RefusedError(f"is {len(content)} bytes long, more than {LARGEST_JSON}")
    try:
        data = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise RefusedError(f"is not valid JSON ({error})") from error
    if not isinstance(data, dict):
        raise RefusedError("is no JSON object")
    return data


def _read_listed(file: Path, listed: Mapping[str, Any]) -> dict[str, Any]:
    data: dict[str, Any] = {}
    for name, value in listed.items():
        try:
            data[name] = _read_value(value)
        except RefusedError as error:
            if name in ESSENTIAL:
                raise RefusedError(f"its {name} {error}; {error.remedy}") from error
            if name not in OF_TRAINING:
                logger.info("%s: its %s %s; SB3's default stands in", file, name, error)
    missing = [name for name in ESSENTIAL if name not in data]
    if missing:
        raise RefusedError(f"it is not a whole model of SB3, as it has no {', '.join(missing)}")
    return data


def _read_value(value: Any) -> Any:
    if not isinstance(value, dict) or _SERIALIZED not in value:
        return value
    try:
        content = base64.b64decode(value[_SERIALIZED], validate=True)
    except (TypeError, ValueError) as error:
        raise RefusedError(f"is damaged ({error})") from error
    return built(read_inert(content))


def _completed(data: Mapping[str, Any], kind: type[BaseAlgorithm]) -> dict[str, Any]:
    """Return attributes that SB3 can set up a model from, and no others."""
    defaults = {
        name: parameter.default
        for name, parameter in inspect.signature(kind).parameters.items()
        if parameter.default is not parameter.empty
        and not name.startswith("_")
        and name not in ("device", "policy_kwargs")
    }
    # a name of a method would replace it
    own = {name: value for name, value in data.items() if not hasattr(kind, name)}
    own.pop("env", None)
    return {**dict.fromkeys(OF_TRAINING), **defaults, **own}


def _without_pickles(members: Mapping[str, bytes], data: Mapping[str, Any]) -> bytes:
    """Return a zip file from which SB3 takes names and the networks' numbers alone."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        # each name is replaced by what was read: SB3 unpickles nothing
        archive.writestr("data", json.dumps(dict.fromkeys(data)))
        for name, content in members.items():
            if name.endswith(".pth"):
                archive.writestr(name, content)
    return buffer.getvalue()


def algorithm_of(data: Mapping[str, Any]) -> str | None:
    """Return SB3's class name of a model, judged by its attributes; None where they do not tell."""
    if "clip_range" in data:
        return "PPO"
    if "target_entropy" in data:
        return "SAC"
    if "policy_delay" in data:
        # a TD3 model of these settings is a DDPG model
        kwargs = data.get("policy_kwargs")
        critics = kwargs.get("n_critics", 1) if isinstance(kwargs, dict) else 1
        plain = data["policy_delay"] == 1 and data.get("target_noise_clip") == 0 and critics == 1
        return "DDPG" if plain else "TD3"
    return "A2C" if "gae_lambda" in data else None


def _check_algorithm(found: str | None, kind: type[BaseAlgorithm], *, judged: bool) -> None:
    """Refuse a model of another algorithm, which was `judged` by attributes or is named."""
    known: dict[str, str] = {}
    for name, entry in ALGORITHMS.items():
        known.setdefault(entry.model_class.__name__, name)
    named = _TOLD_APART if judged else known
    wanted = next((k.__name__ for k in kind.__mro__ if k.__name__ in named), None)
    if found is None or wanted is None or found == wanted:
        return
    raise RefusedError(f"it is {_with_article(known.get(found, found))} model")


def _check_finite(model: BaseAlgorithm) -> None:
    for name, values in model.policy.named_parameters():
        if not bool(th.isfinite(values).all()):
            raise RefusedError(
                f"its parameter {name} is NaN or infinite, as it diverged in training; it can "
                "neither act nor be trained on"
            )


def _name(kind: type[BaseAlgorithm]) -> str:
    return kind.__name__.removeprefix("Fused").removeprefix("Exact").lower()


def _with_article(name: str) -> str:
    return f"an {name}" if name.startswith("a") else f"a {name}"


def _in_words(error: BaseException) -> str:
    text = str(error).strip() or type(error).__name__
    if isinstance(error, ImportError):
        return f"{text}; install it, or save the model again without it"
    return " ".join(text.split())[:500]
