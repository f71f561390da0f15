"""Whole numbers written as 2e4: YAML reads a float, and the setting is an integer."""

import typing
from collections.abc import Mapping
from dataclasses import is_dataclass
from functools import cache
from types import UnionType
from typing import Any, overload


@overload
def as_whole(value: float) -> float: ...
@overload
def as_whole(value: object) -> object: ...
def as_whole(value: object) -> object:
    """Return 20000 for 20000.0; anything that is no float of a whole number as it is."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def with_whole_numbers(raw: Mapping[str, Any], section: type) -> dict[str, Any]:
    """Return a mapping in which the integers of a tree of dataclasses are integers.

    Parameters
    ----------
    raw : keys and values, as a file has them; not changed
    section : the dataclass that they are for
    """
    kinds = _kinds(section)
    return {
        key: _converted(value, kinds[key]) if key in kinds else value for key, value in raw.items()
    }


@cache
def _kinds(section: type) -> dict[str, Any]:
    """Return the types of a dataclass's fields; Python would read them from texts each time."""
    return typing.get_type_hints(section)


def _converted(value: Any, kind: Any) -> Any:
    if isinstance(kind, type) and is_dataclass(kind) and isinstance(value, Mapping):
        return with_whole_numbers(value, kind)
    if typing.get_origin(kind) is tuple and isinstance(value, list | tuple):
        return [_converted(one, typing.get_args(kind)[0]) for one in value]
    alternatives = typing.get_args(kind) if _is_union(kind) else (kind,)
    # where a float is welcome too, it stays one
    return as_whole(value) if int in alternatives and float not in alternatives else value


def _is_union(kind: Any) -> bool:
    return typing.get_origin(kind) in (typing.Union, UnionType)
