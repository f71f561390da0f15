"""Reading and checking the YAML file behind an `ExperimentConfig`."""

import json
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from finrl_ray.config.dump import plain_value
from finrl_ray.config.experiment import ExperimentConfig
from finrl_ray.config.override_values import holds_text, override_value
from finrl_ray.config.problems import MOST_PROBLEMS, closest_key, explain, listed_problems
from finrl_ray.config.tagged_sections import file_form, select_variants, with_field_names
from finrl_ray.config.trial.options import SECTIONS
from finrl_ray.config.yaml_text import TEXT_BYTES, load_yaml
from finrl_ray.config.zoo_keys import translate_agent, translate_override
from finrl_ray.errors import ConfigError, shortened
from finrl_ray.files.bounded_reading import read_limited
from finrl_ray.files.shown_path import shown_path
from finrl_ray.support.whole_numbers import with_whole_numbers

RESOURCES: Mapping[str, str] = {"cpu": "cpus_per_trial", "gpu": "gpus_per_trial"}
"""Keys of the `resources` section, and what they are in the `search` section."""
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
        # first in this package's own keys, so that an override replaces what the file gives
        raw, problems = _translate(raw)
        if problems:
            raise ConfigError(listed_problems(problems, str(source)))
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
            text, for_text=holds_text(file_form(ExperimentConfig), _field_names(key.split(".")))
        )
    except ConfigError as error:
        raise ConfigError(f"override {shortened(override)}: {error}") from None
    except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
        raise ConfigError(
            f"the value of override {shortened(override)} is not valid YAML"
        ) from error
    try:
        keys = RESOURCE_OVERRIDES.get(key, key).split(".")
        (*parents, last), value = translate_override(_whole_names(keys), value)
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


def _field_names(keys: list[str]) -> list[str]:
    return ["class_" if key == "class" else key for key in keys]


def _whole_names(keys: list[str]) -> list[str]:
    """Return the parts of a dotted key, in which an option of the space (env.hmax) is one part."""
    in_space = keys[:2] == ["search", "space"] and len(keys) > 3 and keys[2] in SECTIONS
    return [*keys[:2], ".".join(keys[2:])] if in_space else keys


def parse_config(raw: Mapping[str, Any], where: str = "config") -> ExperimentConfig:
    """Return the checked configuration of a mapping such as `config_to_dict` makes.

    Raises
    ------
    ConfigError
        Naming `where`, each offending key, what came and the nearest right name.
    """
    from pydantic import ValidationError

    raw, problems = _translate(raw)
    raw = with_field_names(raw, ExperimentConfig)
    raw, found = select_variants(
        with_whole_numbers(raw, file_form(ExperimentConfig)), ExperimentConfig
    )
    problems += found
    try:
        text = json.dumps(raw, default=plain_value)
    except (TypeError, ValueError, RecursionError) as error:
        raise ConfigError(f"{where}: {error}") from error
    try:
        # JSON mode keeps numbers strict (no "5" for 5) and takes lists for tuples
        config: ExperimentConfig = _adapter().validate_json(text)
    except ValidationError as error:
        raise ConfigError(
            listed_problems([*problems, *explain(error.errors()[: 2 * MOST_PROBLEMS])], where)
        ) from None
    if problems:
        raise ConfigError(listed_problems(problems, where))
    return config


@cache
def _adapter() -> Any:
    """Return pydantic's check of a config, which takes a while to build."""
    from pydantic import TypeAdapter

    return TypeAdapter(ExperimentConfig)


def _translate(raw: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Return the mapping in this package's own keys, and what is wrong with others."""
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
                close = closest_key(str(key), list(RESOURCES), 0.6)
                hint = f". Did you mean {close[0]!r}?" if close else ""
                problems.append(f"unknown key '{where}.{key}'{hint}; known: {list(RESOURCES)}")
            elif search.setdefault(name, value) != value:
                problems.append(
                    f"{where}.{key} ({value!r}) and search.{name} ({search[name]!r}) say the same "
                    "thing differently; give one of them"
                )
    return {**result, "search": search}, problems
