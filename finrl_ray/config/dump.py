"""A config as plain values, as YAML, and as the file that `load_config` reads."""

import dataclasses
import json
from datetime import date
from pathlib import Path
from typing import Any

import yaml

from finrl_ray.config.experiment import ExperimentConfig
from finrl_ray.config.tagged_sections import as_in_file


def config_to_dict(config: ExperimentConfig, *, spelt_out: bool = False) -> dict[str, Any]:
    """Return the configuration as plain dicts, lists, numbers and ISO dates.

    Parameters
    ----------
    config : the configuration
    spelt_out : give options of a scheme or a scheduler that are at their default with their values,
        instead of as null
    """
    result: dict[str, Any] = json.loads(
        json.dumps(as_in_file(config, spelt_out=spelt_out), default=plain_value)
    )
    return result


def config_text(config: ExperimentConfig) -> str:
    """Return the whole configuration as YAML, defaults included."""
    return yaml.safe_dump(config_to_dict(config), sort_keys=False, width=100)


def dump_config(config: ExperimentConfig, path: str | Path) -> None:
    """Write the whole configuration, defaults included; `load_config` then returns an equal one."""
    Path(path).write_text(config_text(config), encoding="utf-8")


def plain_value(value: object) -> str:
    """Return what JSON has no word for as a text: dates alone, for `json.dumps(default=...)`."""
    if isinstance(value, date):
        return value.isoformat()
    raise TypeError(f"{value!r} of type {type(value).__name__} cannot be a config value")


def yaml_value(value: Any) -> str:
    """Return the value of a key as YAML in one line."""
    if dataclasses.is_dataclass(value):
        return "{}"
    plain = list(value) if isinstance(value, tuple) else value
    text = yaml.safe_dump(plain, default_flow_style=True, width=10_000)
    return text.removesuffix("\n").removesuffix("\n...").strip()
