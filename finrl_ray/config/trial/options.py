"""Which keys of a config a search may choose per trial, and what their values must be.

In `search.space`, in samples and in tables such a key has its dotted name: `env.hmax`,
`agent.normalize`, `data.features`. Names without a dot are the algorithm's keywords. Whether a key
may be searched is said at its field (`config.checks.formulation`, `not_searched`).
"""

import json
import typing
from collections.abc import Iterable, Mapping
from dataclasses import Field, fields
from functools import cache
from types import MappingProxyType
from typing import Any

from finrl_ray.config.agent import AgentConfig, Algorithm
from finrl_ray.config.data import DataConfig
from finrl_ray.config.dump import plain_value
from finrl_ray.config.env import EnvConfig
from finrl_ray.config.experiment import ExperimentConfig
from finrl_ray.errors import ConfigError
from finrl_ray.support.text import did_you_mean
from finrl_ray.support.values import nested_to_python
from finrl_ray.support.whole_numbers import with_whole_numbers

SECTIONS: Mapping[str, type] = MappingProxyType(
    {"env": EnvConfig, "agent": AgentConfig, "data": DataConfig}
)
FEATURES = "data.features"
"""The option that says which columns of the market a trial sees."""
N_ENVS = "agent.n_envs"
"""Also a name of the space without its section: `n_envs`."""
ALGORITHM = "agent.algorithm"
"""The option by which a trial takes the entries of one algorithm: `ppo.n_steps`."""
_ALGORITHMS: tuple[str, ...] = typing.get_args(Algorithm)
_THE_DATA = "it is what all trials of a search are compared on"


def is_option(name: str) -> bool:
    """Return whether a name of a space or a sample is meant as a key of the config."""
    return "." in name and own_entry(name) is None


def own_entry(name: str) -> tuple[str, str] | None:
    """Return algorithm and keyword of an entry of one algorithm, such as `ppo.n_steps`; or None."""
    algorithm, dot, keyword = name.partition(".")
    return (algorithm, keyword) if dot and algorithm in _ALGORITHMS else None


def own_name(algorithm: str, keyword: str) -> str:
    """Return the name of an entry of one algorithm."""
    return f"{algorithm}.{keyword}"


def searched_algorithms(config: ExperimentConfig) -> list[str]:
    """Return the algorithms that the trials of a search may have, each once.

    Raises
    ------
    ConfigError
        If there is none of a name that the space has.
    """
    if ALGORITHM not in config.search.space:
        return [config.agent.algorithm]
    entry = config.search.space[ALGORITHM]
    options = next(iter(entry.values()), None) if isinstance(entry, dict) else [entry]
    if not isinstance(options, list | tuple) or not options:
        raise ConfigError(f"search.space.{ALGORITHM}: needs choice and a list, got {entry!r}")
    try:
        return list(dict.fromkeys(option_value(ALGORITHM, option) for option in options))
    except ConfigError as error:
        raise ConfigError(f"search.space.{ALGORITHM}: {error}") from None


def options_among(names: Iterable[str]) -> list[str]:
    """Return the names that are meant as keys of the config."""
    return [name for name in names if is_option(name)]


@cache
def searched_options() -> Mapping[str, "Field[Any]"]:
    """Return the fields that a search may choose, by dotted name."""
    return MappingProxyType(
        {
            f"{section}.{item.name}": item
            for section, cls in SECTIONS.items()
            for item in fields(cls)
            if "formulation" in item.metadata
        }
    )


def check_option(name: str) -> None:
    """Refuse a dotted name that is no key, or one that a search may not choose.

    Raises
    ------
    ConfigError
        With the reason, or the nearest right name.
    """
    if name in searched_options():
        return
    section, _, key = name.partition(".")
    known = {item.name: item for item in fields(SECTIONS[section])} if section in SECTIONS else {}
    if key in known:
        reason = known[key].metadata.get("not_searched", _THE_DATA)
        raise ConfigError(f"{name} cannot be searched over: {reason}")
    if section == "agent":
        # a keyword of the algorithm, which stands in the space as it is
        key = key.removeprefix("model_kwargs.")
        hint = f" A keyword of the algorithm stands without 'agent.': {key}." if key else ""
    else:
        hint = ""
    hint = did_you_mean(name, searched_options()) or hint
    raise ConfigError(
        f"there is no option {name!r} that can be searched over.{hint} The options are "
        f"{', '.join(searched_options())}"
    )


def option_value(name: str, value: Any) -> Any:
    """Return a sampled value as the config has it: lists as tuples, 3.0 as 3 where 3 is meant.

    Parameters
    ----------
    name : of a searched option
    value : as a space or a sample has it

    Raises
    ------
    ConfigError
        If it is not of the option's type.
    """
    from pydantic import ValidationError

    section, _, key = name.partition(".")
    plain = with_whole_numbers({key: nested_to_python(value)}, SECTIONS[section])[key]
    try:
        text = json.dumps(plain, default=plain_value)
        return _adapter(section, key).validate_json(text)
    except ValidationError as error:
        # it reads the sections of the whole config, and is needed for errors alone
        from finrl_ray.config.problems import explain

        found = [{**item, "loc": (section, key, *item["loc"])} for item in error.errors()]
        raise ConfigError("; ".join(dict.fromkeys(explain(found)))) from None
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{name} must be a value that YAML can keep: {error}") from None


@cache
def _adapter(section: str, key: str) -> Any:
    """Return pydantic's check of one key, which takes a while to build."""
    from pydantic import ConfigDict, TypeAdapter

    hint = typing.get_type_hints(SECTIONS[section])[key]
    return TypeAdapter(hint, config=ConfigDict(strict=True, allow_inf_nan=False))
