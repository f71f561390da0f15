"""The dotted keys of a config file, such as `search.num_samples`."""

import dataclasses
from typing import Any

from finrl_ray.config.experiment import ExperimentConfig
from finrl_ray.config.tagged_sections import file_form


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
