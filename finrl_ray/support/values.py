"""Values that come from numpy, a searcher or a table, as plain Python and as JSON has them."""

import copy
import math
from collections.abc import Callable, Mapping
from typing import Any


def to_python(value: Any) -> Any:
    """Return numpy scalars (some searchers sample them) as Python numbers; others unchanged."""
    return value.item() if hasattr(value, "item") and getattr(value, "ndim", 1) == 0 else value


def nested_to_python(value: Any) -> Any:
    """Return nested values without numpy's scalar types, sharing nothing with `value`."""
    if isinstance(value, dict):
        return {key: nested_to_python(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(nested_to_python(item) for item in value)
    return copy.deepcopy(to_python(value))


def to_json(
    value: Any,
    other: Callable[[Any], Any] = lambda value: value,
    *,
    infinity_as_text: bool = True,
) -> Any:
    """Return nested values as JSON has them: NaN becomes null, tuples become lists.

    Parameters
    ----------
    value : not changed
    other : gives what stands for a value that is no number, text, mapping, list or tuple
    infinity_as_text : write infinite numbers as "infinity" and "-infinity"; else they become null
    """
    if value is None or type(value) in (str, int, bool):  # nearly all of a table, so asked first
        return value
    if isinstance(value, Mapping):
        return {
            str(key): to_json(item, other, infinity_as_text=infinity_as_text)
            for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [to_json(item, other, infinity_as_text=infinity_as_text) for item in value]
    value = to_python(value)
    if isinstance(value, float):
        return _finite_or_text(value) if infinity_as_text else _finite_or_null(value)
    return value if isinstance(value, str | int) else other(value)


def _finite_or_text(value: float) -> float | str | None:
    if math.isinf(value):
        return "infinity" if value > 0 else "-infinity"
    return _finite_or_null(value)


def _finite_or_null(value: float) -> float | None:
    return value if math.isfinite(value) else None
