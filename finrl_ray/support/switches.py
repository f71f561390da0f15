"""True and False where numbers are asked for: to Python and NumPy they are 1 and 0."""

from collections.abc import Mapping
from typing import Any


def has_switch(value: Any) -> bool:
    """Return whether a value is, or holds, True or False, of Python or of NumPy.

    Parameters
    ----------
    value : a number, an array, or lists, tuples and mappings of them
    """
    if isinstance(value, Mapping):
        return any(has_switch(one) for one in value.values())
    if isinstance(value, (list, tuple)):
        return any(has_switch(one) for one in value)
    # of NumPy, which need not be loaded here
    kind = str(getattr(value, "dtype", ""))
    if kind == "object":
        return has_switch(value.tolist())
    return isinstance(value, bool) or kind == "bool"
