"""Reading, checking and writing the YAML file behind an `ExperimentConfig`."""

import dataclasses
import json
import re
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import yaml

from finrl_ray.config.experiment import ExperimentConfig
from finrl_ray.config.override_values import holds_text, override_value
from finrl_ray.config.tagged_sections import as_in_file, file_form, select_variants, tagged_keys
from finrl_ray.config.yaml_text import TEXT_BYTES, load_yaml
from finrl_ray.config.zoo_keys import ZOO_KEYS, translate_agent, translate_override
from finrl_ray.errors import ConfigError, shortened
from finrl_ray.files.bounded_reading import read_limited
from finrl_ray.files.shown_path import shown_path
from finrl_ray.support.text import closest, did_you_mean
from finrl_ray.support.whole_numbers import with_whole_numbers

RESOURCES: Mapping[str, str] = {"cpu": "cpus_per_trial", "gpu": "gpus_per_trial"}
"""Keys of the `resources` section, and what they are in the `search` section."""
_MOST_LINES = 100
_ANY_SECTION = ("type", "name", "kind")
_MEANT: Mapping[str, tuple[str, ...]] = {
    **{f"agent.{name}": ("agent.algorithm",) for name in (*_ANY_SECTION, "model")},
    **{f"data.{name}": ("data.source",) for name in (*_ANY_SECTION, "path", "file")},
    **{f"validation.{name}": ("validation.scheme",) for name in _ANY_SECTION},
    **{f"search.{name}": ("search.scheduler.type",) for name in _ANY_SECTION},
    "search.algorithm": ("search.searcher",),
}
"""Names that people give in a section, and the key that they mean."""
RESOURCE_OVERRIDES: Mapping[str, str] = {
    f"{where}.{key}": f"search.{name}"
    for where in ("resources", "search.resources")
    for key, name in RESOURCES.items()
}


def load_config(path: str | Path, overrides: Sequence[str] = ()) -> ExperimentConfig:
    """Read a YAML file, lay overrides over it, and check the result completely.

    Parameters
    ----------
    path : a YAML file
    overrides : `dotted.key=value` strings, each value read as YAML (see `override_value`)

    Raises
    ------
    ConfigError
        With the key, what came, what must hold and the nearest right name.
    """
    return parse_config(read_config(path, overrides), where=str(Path(path)))


def read_config(path: str | Path, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """Read a YAML file and lay overrides over it; its keys and values are not checked.

    Raises
    ------
    ConfigError
        If the file cannot be read, or holds no keys and values.
    """
    source = Path(path)
    raw = _read_yaml(source)
    if raw is None or raw == {}:
        raise ConfigError(
            f"{shown_path(source)} holds no keys and values; `finrl-ray new NAME` writes a config "
            "to start from (every key has a default: `name: NAME` alone is the default experiment)"
        )
    if not isinstance(raw, dict):
        raise ConfigError(f"{source} must hold keys and values, got a {type(raw).__name__}")
    if overrides:
        # in canonical keys, so that an override finds what it overrides
        raw, problems = _translate(raw)
        if problems:
            raise ConfigError(_listed(problems, str(source)))
    for override in overrides:
        _apply_override(raw, override)
    return dict(raw)


def _read_yaml(source: Path) -> Any:
    try:
        text = read_limited(source, TEXT_BYTES, ConfigError).decode("utf-8-sig")
    except FileNotFoundError:
        raise ConfigError(f"there is no config file {shown_path(source)}") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{shown_path(source)} cannot be read: {error}") from error
    try:
        return load_yaml(text)
    except ConfigError as error:
        raise ConfigError(f"{source}: {error}") from None
    except RecursionError:
        raise ConfigError(f"{source} is not valid YAML: it is nested too deeply") from None
    except yaml.MarkedYAMLError as error:
        raise ConfigError(f"{source} is not valid YAML{_where_and_why(error)}") from None
    except (yaml.YAMLError, ValueError, TypeError) as error:
        raise ConfigError(f"{source} is not valid YAML: {error}") from error


def _where_and_why(error: yaml.MarkedYAMLError) -> str:
    mark = error.problem_mark or error.context_mark
    where = f" (line {mark.line + 1}, column {mark.column + 1})" if mark else ""
    hint = "; indent with blanks, not with tabs" if "'\\t'" in str(error.problem) else ""
    return f"{where}: {'; '.join(filter(None, (error.context, error.problem)))}{hint}"


def _apply_override(raw: dict[Any, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise ConfigError(f"an override must read key.subkey=value, got {override!r}")
    try:
        value = override_value(
            text, for_text=holds_text(file_form(ExperimentConfig), key.split("."))
        )
    except ConfigError as error:
        raise ConfigError(f"override {shortened(override)}: {error}") from None
    except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
        raise ConfigError(
            f"the value of override {shortened(override)} is not valid YAML"
        ) from error
    try:
        keys = RESOURCE_OVERRIDES.get(key, key).split(".")
        (*parents, last), value = translate_override(keys, value)
    except ConfigError as error:
        raise ConfigError(f"override {override!r}: {error}") from None
    target = raw
    for parent in parents:
        if target.get(parent) is None:
            target[parent] = {}
        target = target[parent]
        if not isinstance(target, dict):
            raise ConfigError(f"override {override!r}: {parent!r} is a value and has no keys")
    target[last] = value


def parse_config(raw: Mapping[str, Any], where: str = "config") -> ExperimentConfig:
    """Return the checked configuration of a mapping such as `config_to_dict` makes.

    Raises
    ------
    ConfigError
        Naming `where`, each offending key, what came and the nearest right name.
    """
    from pydantic import TypeAdapter, ValidationError

    raw, problems = _translate(raw)
    raw, found = select_variants(
        with_whole_numbers(raw, file_form(ExperimentConfig)), ExperimentConfig
    )
    problems += found
    try:
        text = json.dumps(raw, default=_json_default)
    except (TypeError, ValueError, RecursionError) as error:
        raise ConfigError(f"{where}: {error}") from error
    try:
        # JSON mode keeps numbers strict (no "5" for 5) and takes lists for tuples
        config = TypeAdapter(ExperimentConfig).validate_json(text)
    except ValidationError as error:
        raise ConfigError(
            _listed([*problems, *_explain(error.errors()[: 2 * _MOST_LINES])], where)
        ) from None
    if problems:
        raise ConfigError(_listed(problems, where))
    return config


def _translate(raw: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Return the mapping in canonical keys, and what is wrong with those it had."""
    result, problems = _translate_resources(raw)
    agent = raw.get("agent")
    if not isinstance(agent, Mapping):
        return result, problems
    section, found = translate_agent(agent)
    return {**result, "agent": section}, [*problems, *found]


def _translate_resources(raw: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Return the mapping with `resources: {cpu: 1, gpu: 0.25}`, wherever given, as search keys."""
    result, problems = dict(raw), []
    given = raw.get("search")
    if not ("resources" in raw or (isinstance(given, Mapping) and "resources" in given)):
        return result, []
    if given is not None and not isinstance(given, Mapping):
        return result, []  # the check of the section says so
    search = dict(given or {})
    for where, section in (
        ("resources", result.pop("resources", None)),
        ("search.resources", search.pop("resources", None)),
    ):
        if section is None:
            continue
        if not isinstance(section, Mapping):
            problems.append(f"{where} must be keys and values such as cpu: 1, got {section!r}")
            continue
        for key, value in section.items():
            name = RESOURCES.get(key)
            if name is None:
                close = _closest(str(key), list(RESOURCES), 0.6)
                hint = f". Did you mean {close[0]!r}?" if close else ""
                problems.append(f"unknown key '{where}.{key}'{hint}; known: {list(RESOURCES)}")
            elif search.setdefault(name, value) != value:
                problems.append(
                    f"{where}.{key} ({value!r}) and search.{name} ({search[name]!r}) say the same "
                    "thing differently; give one of them"
                )
    return {**result, "search": search}, problems


def _json_default(value: object) -> str:
    if isinstance(value, date):
        return value.isoformat()
    raise TypeError(f"{value!r} of type {type(value).__name__} cannot be a config value")


def _explain(errors: Sequence[Mapping[str, Any]]) -> list[str]:
    lines = []
    errors = [_of_the_tag(error) for error in errors]
    texts = _texts_for_lists(errors)
    for error in errors:
        location = _location(error)
        key = ".".join(location)
        if key in texts:
            lines.append(texts[key])
        elif error["type"] == "unexpected_keyword_argument":
            lines.append(f"unknown key {key!r}{_nearest(location)}")
        elif error["type"] == "value_error":
            lines.append(f"{key}: {error['ctx']['error']}" if key else str(error["ctx"]["error"]))
        else:
            message = _plain_words(error["msg"])
            lines.append(
                f"{key} must be {message}, got {shortened(error['input'])}{_nearest_choice(error)}"
            )
    return lines


def _of_the_tag(error: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return an error of a section's tag as one of the key that it is."""
    section = dict(tagged_keys(ExperimentConfig)).get(".".join(map(str, error["loc"])))
    if section is None or not error["type"].startswith(("union_tag", "model_attributes")):
        return error
    if not isinstance(error["input"], Mapping):
        return {**error, "msg": "an object"}
    names = [repr(tag) for tag in section.variants]
    expected = f"{', '.join(names[:-1])} or {names[-1]}"
    return {
        "type": "literal_error",
        "loc": (*error["loc"], "", section.mark.key),
        "msg": expected,
        "input": error["input"][section.mark.key],
        "ctx": {"expected": expected},
    }


def _location(error: Mapping[str, Any]) -> list[str]:
    parts = [part for part in error["loc"] if isinstance(part, str) and "[" not in part]
    for key, _ in tagged_keys(ExperimentConfig):
        depth = key.count(".") + 1
        if ".".join(parts[:depth]) == key:
            del parts[depth : depth + 1]  # the tag that pydantic has chosen the class by
    # the last part may be what pydantic calls one of the types that a key can have
    key, of = ".".join(parts), ".".join(parts[:-1])
    known = known_keys()
    a_value = of in known and not any(other.startswith(f"{of}.") for other in known)
    alternative = key not in known and a_value and error["type"].endswith("_type")
    return parts[:-1] if alternative else parts


def _texts_for_lists(errors: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Return what to say of each key that needs a list and has one text, such as tickers: AAPL."""
    types: dict[str, set[str]] = {}
    given: dict[str, Any] = {}
    for error in errors:
        key = ".".join(_location(error))
        types.setdefault(key, set()).add(error["type"])
        given[key] = error["input"]
    return {
        key: f"{key} must be a list such as [{given[key][:60]}], got {shortened(given[key])}"
        for key, found in types.items()
        if "tuple_type" in found
        and found <= {"tuple_type", "literal_error"}
        and isinstance(given[key], str)
    }


def _listed(lines: Sequence[str], where: str) -> str:
    unique = list(dict.fromkeys(lines))
    if len(unique) > _MOST_LINES:
        unique[_MOST_LINES:] = [f"and {len(unique) - _MOST_LINES:,} more"]
    return f"{where}: " + (
        "; ".join(unique) if len(unique) < 2 else "\n  - " + "\n  - ".join(unique)
    )


def _plain_words(message: str) -> str:
    """Return pydantic's message as what comes after "must be"."""
    if message == "Field required" or "should have" in message:
        return "a list of two dates such as [2010-01-01, 2011-01-01], either of them null"
    return message.removeprefix("Input should be ").replace("a valid array", "a list")


def _nearest(location: Sequence[str]) -> str:
    known = list(known_keys())
    parent = ".".join(location[:-1])
    siblings = [key for key in known if key.rpartition(".")[0] == parent]
    spellings = [*known, *(f"agent.{name}" for name in ZOO_KEYS)]
    elsewhere = [key for key in spellings if key.rpartition(".")[2] == location[-1]]
    beside = [key for key in spellings if key.rpartition(".")[0] == parent]
    if location[-1] in _ANY_SECTION:
        # what bears such a name in another section is something else
        elsewhere = spellings = []
    close = list(_MEANT.get(".".join(location), ())) or elsewhere
    close = close or _closest(location[-1], beside, 0.6)
    close = close or _closest(location[-1], spellings, 0.75)
    return f". Did you mean {close[0]!r}?" if close else f"; known keys here: {siblings}"


def _closest(name: str, keys: Sequence[str], cutoff: float) -> list[str]:
    # the last part alone: what all keys of a section begin with makes strangers look alike
    by_name = {key.rpartition(".")[2]: key for key in reversed(keys)}
    found = closest(name, by_name, cutoff)
    return [] if found is None else [by_name[found]]


def _nearest_choice(error: Mapping[str, Any]) -> str:
    choices = re.findall(r"'([^']+)'", str(error.get("ctx", {}).get("expected", "")))
    hint = did_you_mean(str(error["input"]), choices, 0.5)
    return f".{hint}" if hint else ""


def known_keys(cls: type = ExperimentConfig, prefix: str = "") -> list[str]:
    """Return every dotted key that a config file may hold."""
    keys = []
    for item in dataclasses.fields(file_form(cls)):
        key = f"{prefix}{item.name}"
        keys.append(key)
        section: Any = item.default_factory
        if isinstance(section, type) and dataclasses.is_dataclass(section):
            keys += known_keys(section, f"{key}.")
    return keys


def config_to_dict(config: ExperimentConfig, *, spelt_out: bool = False) -> dict[str, Any]:
    """Return the configuration as plain dicts, lists, numbers and ISO dates.

    Parameters
    ----------
    config : the configuration
    spelt_out : give options of a scheme or a scheduler that are at their default with their values,
        instead of as null
    """
    result: dict[str, Any] = json.loads(
        json.dumps(as_in_file(config, spelt_out=spelt_out), default=_json_default)
    )
    return result


def config_text(config: ExperimentConfig) -> str:
    """Return the whole configuration as YAML, defaults included."""
    return yaml.safe_dump(config_to_dict(config), sort_keys=False, width=100)


def dump_config(config: ExperimentConfig, path: str | Path) -> None:
    """Write the whole configuration, defaults included; `load_config` then returns an equal one."""
    Path(path).write_text(config_text(config), encoding="utf-8")
