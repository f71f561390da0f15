"""What can still be checked of a config file that is wrong somewhere."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from finrl_ray.config import ExperimentConfig
from finrl_ray.config_file import parse_config, read_config
from finrl_ray.errors import ConfigError
from finrl_ray.practice.findings import FindingList

_SEPARATOR = "\n  - "


def read_as_far_as_possible(
    path: Path, overrides: Sequence[str], findings: FindingList
) -> ExperimentConfig | None:
    """Return the config of a file, with what is wrong in it left at its default.

    Parameters
    ----------
    path : a YAML file
    overrides : `dotted.key=value` strings
    findings : gets an error for each mistake

    Returns
    -------
    ExperimentConfig or None
        None if the file is no YAML.
    """
    try:
        raw = read_config(path, overrides)
    except ConfigError as error:
        findings.error(str(path), _without(str(error), path))
        return None
    try:
        config = parse_config(raw, where=str(path))
    except ConfigError as error:
        for line in _without(str(error), path).split(_SEPARATOR):
            if line.strip():
                findings.error(path.name, line.strip().removeprefix("- "))
    else:
        findings.ok(path.name, "every key and value can be read")
        return config
    config, left_out = salvage(raw)
    findings.note(path.name, f"the rest is checked without {', '.join(left_out)}")
    return config


def _without(message: str, path: Path) -> str:
    return message.removeprefix(f"{path}:").strip("\n ")


def salvage(raw: Mapping[str, Any]) -> tuple[ExperimentConfig, list[str]]:
    """Return a config of the keys that are right, and the dotted names of the others.

    Keys are taken up one after the other in the order of `ExperimentConfig`; one that does not go
    with those before it is left out.
    """
    kept: dict[str, Any] = {}
    left_out: list[str] = []
    order = [item.name for item in dataclasses.fields(ExperimentConfig)]
    for name in sorted(raw, key=lambda key: order.index(key) if key in order else len(order)):
        if _parses({**kept, name: raw[name]}):
            kept[name] = raw[name]
        elif isinstance(raw[name], Mapping) and name in order:
            section, wrong = _salvage_section(kept, name, raw[name])
            kept[name] = section
            left_out += [f"{name}.{key}" for key in wrong]
        else:
            left_out.append(str(name))
    return parse_config(kept), left_out


def _salvage_section(
    kept: Mapping[str, Any], name: str, section: Mapping[str, Any]
) -> tuple[dict[str, Any], list[str]]:
    right: dict[str, Any] = {}
    waiting = list(section)
    # a key may need one that comes after it: n_envs needs total_timesteps
    for _ in range(2):
        for key in list(waiting):
            if _parses({**kept, name: {**right, key: section[key]}}):
                right[key] = section[key]
                waiting.remove(key)
    return right, [str(key) for key in waiting]


def _parses(raw: Mapping[str, Any]) -> bool:
    try:
        parse_config(raw)
    except ConfigError:
        return False
    return True
