"""What can still be checked of a config file that is wrong somewhere."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from finrl_ray.config.experiment import ExperimentConfig
from finrl_ray.config.load import parse_config, read_config
from finrl_ray.diagnostics.findings import FindingList
from finrl_ray.errors import ConfigError

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
    mistake = _mistake(raw, str(path))
    if mistake is None:
        findings.ok(path.name, "every key and value can be read")
        return parse_config(raw)
    config, left_out = salvage(raw)
    # values are looked at once all keys have the right names and types, so one mistake of that
    # kind hides the others from the first look
    for message in (_without(mistake, path), *left_out.values()):
        for line in message.removeprefix("config:").split(_SEPARATOR):
            if line.strip():
                findings.error(path.name, line.strip().removeprefix("- "))
    findings.note(path.name, f"the rest is checked without {', '.join(left_out)}")
    return config


def _without(message: str, path: Path) -> str:
    return message.removeprefix(f"{path}:").strip("\n ")


def salvage(raw: Mapping[str, Any]) -> tuple[ExperimentConfig, dict[str, str]]:
    """Return a config of the keys that are right, and what is wrong with the others.

    Keys are taken up one after the other in the order of `ExperimentConfig`; one that does not go
    with those before it is left out. The windows of `split` stay together.

    Returns
    -------
    tuple
        The config, and messages by dotted name of what was left out.
    """
    kept: dict[str, Any] = {}
    left_out: dict[str, str] = {}
    order = [item.name for item in dataclasses.fields(ExperimentConfig)]
    for name in sorted(raw, key=lambda key: order.index(key) if key in order else len(order)):
        mistake = _mistake({**kept, name: raw[name]})
        if mistake is None:
            kept[name] = raw[name]
        elif isinstance(raw[name], Mapping) and name in order and name != "split":
            section, wrong = _salvage_section(kept, name, raw[name])
            kept[name] = section
            left_out |= {f"{name}.{key}": message for key, message in wrong.items()}
        else:
            left_out[str(name)] = mistake
    return parse_config(kept), left_out


def _salvage_section(
    kept: Mapping[str, Any], name: str, section: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, str]]:
    right: dict[str, Any] = {}
    wrong: dict[str, str] = dict.fromkeys(map(str, section), "")
    # a key may need one that comes after it: n_envs needs total_timesteps
    for key, value in [*section.items(), *section.items()]:
        mistake = _mistake({**kept, name: {**right, key: value}})
        if mistake is None:
            right[key] = value
            wrong.pop(str(key), None)
        else:
            wrong[str(key)] = mistake
    return right, wrong


def _mistake(raw: Mapping[str, Any], where: str = "config") -> str | None:
    """Return what is wrong with a config, or None."""
    try:
        parse_config(raw, where=where)
    except ConfigError as error:
        return str(error)
    return None
