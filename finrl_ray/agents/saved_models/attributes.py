"""The attributes of a saved model, read without unpickling, and the algorithm that they tell of."""

import base64
import hashlib
import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stable_baselines3.common.base_class import BaseAlgorithm

from finrl_ray.agents.algorithm_entry import constructor_keywords
from finrl_ray.agents.algorithm_registry import ALGORITHMS
from finrl_ray.agents.saved_models.description import ESSENTIAL, OF_TRAINING, read_description
from finrl_ray.agents.saved_models.inert_pickle import RefusedError, read_inert
from finrl_ray.agents.saved_models.known_classes import built
from finrl_ray.agents.saved_models.zip_file import (
    DESCRIPTION_MEMBER,
    LARGEST_JSON,
    has_description,
)
from finrl_ray.files.signature import is_own, signature

logger = logging.getLogger(__name__)

SIGNATURE_MEMBER = "finrl_ray.signature"
_SERIALIZED = ":serialized:"
"""Key under which SB3's JSON holds the pickle of a value."""
_TOLD_APART = (
    *("A2C", "PPO", "DDPG", "TD3", "SAC", "DQN"),
    *("TQC", "CrossQ", "RecurrentPPO", "TRPO"),
)
"""Classes that `algorithm_of` can tell apart."""


_ONLY_HAS = (
    ("TRPO", "cg_max_steps"),
    ("TQC", "top_quantiles_to_drop_per_net"),
    ("DQN", "exploration_fraction"),
)
"""Classes that have an attribute which no other has."""


def read_attributes(
    file: Path, members: Mapping[str, bytes], kind: type[BaseAlgorithm], *, trust: bool
) -> dict[str, Any] | None:
    """Return the attributes of a model, None if they are to be unpickled.

    Parameters
    ----------
    file : of the model, for messages
    members : its contents, from `read_members`
    kind : the class that it is to be a model of
    trust : unpickle what cannot be read without it

    Raises
    ------
    RefusedError
        If it is damaged, of another algorithm, or needs trust.
    """
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
    if trust or _is_own_model(members):
        return None
    return _completed(_read_listed(file, listed), kind)


def sign(data: bytes) -> str:
    """Return this user's signature of SB3's `data`, whose pickles it has written."""
    return signature(_signed(data))


def _signed(data: bytes) -> str:
    return f"model {hashlib.sha256(data).hexdigest()}"


def _is_own_model(members: Mapping[str, bytes]) -> bool:
    """Return whether this user's `save_model` has written the pickles of a model."""
    signed = members.get(SIGNATURE_MEMBER, b"").decode("ascii", errors="replace")
    return is_own(_signed(members["data"]), signed)


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
        for name, parameter in constructor_keywords(kind).items()
        if parameter.default is not parameter.empty
        and not name.startswith("_")
        and name not in ("device", "policy_kwargs")
    }
    # a name of a method would replace it
    own = {name: value for name, value in data.items() if not hasattr(kind, name)}
    own.pop("env", None)
    return {**dict.fromkeys(OF_TRAINING), **defaults, **own}


def algorithm_of(data: Mapping[str, Any]) -> str | None:
    """Return SB3's class name of a model, judged by its attributes; None where they do not tell."""
    for name, attribute in _ONLY_HAS:
        if attribute in data:
            return name
    if "clip_range" in data:
        return "RecurrentPPO" if _has_memory(data) else "PPO"
    if "target_entropy" in data:
        return "CrossQ" if "policy_delay" in data else "SAC"
    if "policy_delay" in data:
        # a TD3 model of these settings is a DDPG model
        kwargs = data.get("policy_kwargs")
        critics = kwargs.get("n_critics", 1) if isinstance(kwargs, dict) else 1
        plain = data["policy_delay"] == 1 and data.get("target_noise_clip") == 0 and critics == 1
        return "DDPG" if plain else "TD3"
    return "A2C" if "gae_lambda" in data else None


def _has_memory(data: Mapping[str, Any]) -> bool:
    """Return whether the policy of a model, in SB3's JSON, is one with an LSTM."""
    policy = data.get("policy_class")
    words = policy if isinstance(policy, dict) else {}
    return "recurrent" in str(words.get("__module__")) or "Lstm" in str(words)


def _check_algorithm(found: str | None, kind: type[BaseAlgorithm], *, judged: bool) -> None:
    """Refuse a model of another algorithm, which was `judged` by attributes or is named."""
    known: dict[str, str] = {}
    for name, entry in ALGORITHMS.items():
        known.setdefault(entry.class_name, name)
    named = _TOLD_APART if judged else known
    wanted = next((k.__name__ for k in kind.__mro__ if k.__name__ in named), None)
    if found is None or wanted is None or found in (wanted, kind.__name__):
        return
    raise RefusedError(f"it is {with_article(known.get(found, found))} model")


def algorithm_name(kind: type[BaseAlgorithm]) -> str:
    """Return the name of a class as users know it, such as `ppo`."""
    name = kind.__name__.removeprefix("Fused").removeprefix("Exact")
    names = {entry.class_name: known for known, entry in ALGORITHMS.items()}
    return names.get(name, name.lower())


def with_article(name: str) -> str:
    """Return `a ppo` or `an a2c`."""
    return f"an {name}" if name.startswith("a") else f"a {name}"
