"""The dotted keys of a config file, such as `search.num_samples`, and what may become of them."""

import dataclasses
from collections.abc import Iterator
from typing import Any

from finrl_ray.config.checks import key_of
from finrl_ray.config.experiment import ExperimentConfig
from finrl_ray.config.tagged_sections import file_form


def known_keys() -> list[str]:
    """Return every dotted key that a config file may hold, those of sections included."""
    return [key for key, _ in _keys(ExperimentConfig)]


def changeable_keys() -> dict[str, str]:
    """Return the keys that may differ when a search goes on, from when it began, and why."""
    found = {key: item.metadata.get("may_change") for key, item in _keys(ExperimentConfig)}
    return {key: reason for key, reason in found.items() if reason is not None}


def sealed_keys() -> list[str]:
    """Return the keys on which a trial's result, or what is made of it, depends: all others."""
    free = changeable_keys()
    return [
        key for key, item in _keys(ExperimentConfig) if key not in free and _section(item) is None
    ]


def _keys(cls: type, prefix: str = "") -> Iterator[tuple[str, "dataclasses.Field[Any]"]]:
    for item in dataclasses.fields(file_form(cls)):
        yield f"{prefix}{key_of(item.name)}", item
        section = _section(item)
        if section is not None:
            yield from _keys(section, f"{prefix}{key_of(item.name)}.")


def _section(item: "dataclasses.Field[Any]") -> type | None:
    section: Any = item.default_factory
    return section if isinstance(section, type) and dataclasses.is_dataclass(section) else None
