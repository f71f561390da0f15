"""Which keys of a config a search may choose per trial, and what their values must be.

In `search.space`, in samples and in tables such a key has its dotted name: `env.hmax`,
`agent.normalize`, `data.features`; a keyword of own code stands below the field that holds its
keywords: `agent.policy_kwargs.hidden`. Names without a dot are the algorithm's keywords. Whether a
key may be searched is said at its field (`config.checks.formulation`, `not_searched`).
"""

import copy
import json
import typing
from collections.abc import Iterable, Mapping
from dataclasses import Field, dataclass, field, fields
from functools import cache
from types import MappingProxyType
from typing import Any

from finrl_ray.config.agent import ALGORITHM_NAMES, AgentConfig, check_algorithm
from finrl_ray.config.checks import formulation, key_of
from finrl_ray.config.data import DataConfig
from finrl_ray.config.dump import plain_value
from finrl_ray.config.env import EnvConfig
from finrl_ray.config.evaluation import EvaluationConfig
from finrl_ray.config.experiment import ExperimentConfig
from finrl_ray.errors import ConfigError
from finrl_ray.own_code.reference import is_reference
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
_POLICY_KEYWORDS = "policy_kwargs"
_OF_POLICY: Any = field(default=None, metadata=formulation(keywords=True))
"""What is said of the policy's keywords, which lie in `agent.model_kwargs`."""
_THE_DATA = "it is what all trials of a search are compared on"


def is_option(name: str) -> bool:
    """Return whether a name of a space or a sample is meant as a key of the config."""
    return "." in name and own_entry(name) is None


def own_entry(name: str) -> tuple[str, str] | None:
    """Return algorithm and keyword of an entry of one algorithm, such as `ppo.n_steps`; or None."""
    place, colon, rest = name.partition(":")
    algorithm, dot, keyword = (rest if colon else name).partition(".")
    if not dot or algorithm in SECTIONS:
        return None
    algorithm = f"{place}:{algorithm}" if colon else algorithm
    known = algorithm in ALGORITHM_NAMES or is_reference(algorithm, "algorithm")
    return (algorithm, keyword) if known else None


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
        names = list(dict.fromkeys(option_value(ALGORITHM, option) for option in options))
        for name in names:
            check_algorithm(name)
        return names
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


@dataclass(frozen=True, slots=True)
class OptionName:
    """A dotted name of the space, taken apart.

    Parameters
    ----------
    section : `env`, `agent` or `data`
    field : of the section
    keyword : path of a keyword inside the field, where that is a mapping of keywords; else empty
    """

    section: str
    field: str
    keyword: tuple[str, ...] = ()

    @property
    def item(self) -> "Field[Any] | None":
        """The field; None where the section has no such field that a search may choose."""
        known = searched_options().get(f"{self.section}.{self.field}")
        return _OF_POLICY if self.keyword[:1] == (_POLICY_KEYWORDS,) else known

    def value_in(self, section: Any) -> Any:
        """Return the option's value; of a keyword that is not given None.

        Parameters
        ----------
        section : of a config, of the option's class
        """
        value = getattr(section, self.field)
        for part in self.keyword:
            value = value.get(part) if isinstance(value, Mapping) else None
        return value

    def laid_into(self, keywords: Mapping[str, Any], value: Any) -> dict[str, Any]:
        """Return a field's keywords with one of them changed."""
        result = copy.deepcopy(dict(keywords))
        inner = result
        for part in self.keyword[:-1]:
            inner[part] = dict(inner.get(part) or {})
            inner = inner[part]
        inner[self.keyword[-1]] = value
        return result


def option_of(name: str) -> OptionName:
    """Return an option's name taken apart, whether there is such an option or not."""
    section, _, key = name.partition(".")
    first, *rest = key.split(".")
    if rest and (section, first) == ("agent", _POLICY_KEYWORDS):
        return OptionName(section, "model_kwargs", (first, *rest))
    item = searched_options().get(f"{section}.{first}")
    if rest and item is not None and item.metadata.get("keywords"):
        return OptionName(section, first, tuple(rest))
    return OptionName(section, key)


def option_field(name: str) -> "Field[Any]":
    """Return the field that holds an option of a space, or the keyword that it names."""
    item = option_of(name).item
    if item is None:
        raise ValueError(f"{name} is no option")
    return item


def check_option(name: str) -> None:
    """Refuse a dotted name that is no key, or one that a search may not choose.

    Raises
    ------
    ConfigError
        With the reason, or the nearest right name.
    """
    if option_of(name).item is not None:
        return
    section, _, key = name.partition(".")
    sections = {**SECTIONS, "evaluation": EvaluationConfig}
    own = fields(sections[section]) if section in sections else ()
    known = {key_of(item.name): item for item in own}
    if section == "evaluation" or key.startswith("source_kwargs."):
        key = key.partition(".")[0]
    if key in known:
        reason = known[key].metadata.get("not_searched", _THE_DATA)
        raise ConfigError(f"{name} cannot be searched over: {reason}")
    if section == "agent":
        # a keyword of the algorithm, which stands in the space as it is
        key = key.removeprefix("model_kwargs.")
        hint = f" A keyword of the algorithm stands without 'agent.': {key}." if key else ""
    else:
        hint = ""
    within = name.startswith("agent.model_kwargs.")
    hint = hint if within else did_you_mean(name, searched_options()) or hint
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

    option = option_of(name)
    section, key = option.section, option.field
    if option.keyword:
        return _keyword_value(name, value)
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


def _keyword_value(name: str, value: Any) -> Any:
    """Return the value of a keyword, whose type is a matter of the code that takes it."""
    try:
        return json.loads(json.dumps(nested_to_python(value), default=plain_value))
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{name} must be a value that YAML can keep: {error}") from None


@cache
def _adapter(section: str, key: str) -> Any:
    """Return pydantic's check of one key, which takes a while to build."""
    from pydantic import ConfigDict, TypeAdapter

    hint = typing.get_type_hints(SECTIONS[section])[key]
    return TypeAdapter(hint, config=ConfigDict(strict=True, allow_inf_nan=False))
