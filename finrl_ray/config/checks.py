"""What all sections of the config use: pydantic's settings, `require`, and marks of fields."""

import types
import typing
from collections.abc import Callable, Sequence
from dataclasses import MISSING, Field, fields
from functools import cache
from typing import Any

from finrl_ray.errors import ConfigError
from finrl_ray.support.switches import has_switch

FORBID_UNKNOWN = {"extra": "forbid", "strict": True, "allow_inf_nan": False}
"""pydantic's settings of every section: no unknown key, no "5" for 5, no NaN."""


def may_change(reason: str) -> dict[str, str]:
    """Return the metadata of a field that may differ when a search goes on, from when it began.

    Any other key is sealed: a trial's result, or what is made of it, may depend on it.

    Parameters
    ----------
    reason : what the key is, or why it changes no result
    """
    return {"may_change": reason}


def formulation(
    only_with: tuple[str, Sequence[Any] | Callable[[Any], bool]] | None = None,
    *,
    of: Sequence[Any] = (),
    keywords: bool = False,
) -> dict[str, Any]:
    """Return the metadata of a field that a search may choose per trial (`search.space`).

    Parameters
    ----------
    only_with : name of another field of the section, and those of its values beside which this one
        has a meaning, listed (none listed: any but null) or told by a function; a trial with
        another value has this field at its default
    of : the values of this field of which `only_with` holds; none listed: all
    keywords : the field is a mapping of keywords, each of which may be chosen by itself, below the
        field's name: `agent.policy_kwargs.hidden`
    """
    return {"formulation": True, "only_with": only_with, "of": of, "keywords": keywords}


def not_searched(reason: str) -> dict[str, Any]:
    """Return the metadata of a field that is the same for all trials of a search.

    Parameters
    ----------
    reason : why, as what comes after "cannot be searched over: "
    """
    return {"not_searched": reason}


def default_of(item: "Field[Any]") -> Any:
    """Return the default of a field, a new one where it is made by a factory."""
    return item.default if item.default_factory is MISSING else item.default_factory()


def key_of(name: str) -> str:
    """Return the key of a field in a file: `class` of `class_`, a word that Python has taken."""
    return name.removesuffix("_")


def require(condition: bool, message: str) -> None:
    """Raise a ConfigError with `message` unless `condition` holds."""
    if not condition:
        raise ConfigError(message)


def require_numbers(section: Any) -> None:
    """Raise ConfigError if an option that is a number, or numbers, is given as True or False.

    To Python they are 1 and 0, so no range refuses them.

    Parameters
    ----------
    section : a dataclass of options
    """
    for name in _numeric_fields(section.__class__):
        value = getattr(section, name)
        require(not has_switch(value), f"{name} must be a number, not true or false, got {value}")


@cache
def _numeric_fields(section: type) -> tuple[str, ...]:
    hints = typing.get_type_hints(section)
    return tuple(item.name for item in fields(section) if _is_numeric(hints[item.name]))


def _is_numeric(hint: Any) -> bool:
    """Return whether a type is a number, numbers, or a choice among types with some but no bool."""
    if hint in (int, float):
        return True
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return bool not in arguments and any(_is_numeric(one) for one in arguments)
    return origin in (tuple, dict) and any(_is_numeric(one) for one in arguments)
