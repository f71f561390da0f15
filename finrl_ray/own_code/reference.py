"""References: the texts by which a config names own code.

`module:name` is a class or function of a module: a file or package in the folder of the config, or
an installed one. A plain name is an entry point of an installed package.
"""

import inspect
import re
import sys
from collections.abc import Mapping
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from types import MappingProxyType
from typing import Any, TypeGuard

from finrl_ray.errors import ConfigError
from finrl_ray.own_code.kinds import KINDS

_NAME = r"[^\W\d]\w*(?:\.[^\W\d]\w*)*"
_PLACE = re.compile(rf"{_NAME}:{_NAME}")


def names_a_place(text: object) -> TypeGuard[str]:
    """Return whether a value has the form `module:name`."""
    return isinstance(text, str) and _PLACE.fullmatch(text) is not None


@cache
def published(group: str) -> Mapping[str, EntryPoint]:
    """Return the entry points of a group of all installed packages, by name."""
    return MappingProxyType({entry.name: entry for entry in entry_points(group=group)})


def is_reference(text: object, kind: str) -> bool:
    """Return whether a value names own code of a kind, by its place or as an entry point.

    Nothing is imported.
    """
    return names_a_place(text) or (isinstance(text, str) and text in published(KINDS[kind].group))


def module_of(reference: str) -> str:
    """Return the module that a reference of the form `module:name` names."""
    return reference.partition(":")[0]


def reference_of(value: Any, kind: str) -> str:
    """Return the text that names an object of the user's; a text is returned as it is.

    Parameters
    ----------
    value : a class or function, or its reference
    kind : of KINDS

    Raises
    ------
    ConfigError
        If no other process could import the object: it was defined in a function, in the script
        that runs, or in a notebook.
    """
    if isinstance(value, str):
        return value
    key, must_be = KINDS[kind].key, KINDS[kind].must_be
    module, name = getattr(value, "__module__", None), getattr(value, "__qualname__", None)
    if not module or not name:
        raise ConfigError(
            f"{key} must be {must_be}, or its import path 'module:name', got {value!r}"
        )
    remedy = (
        f"put it into a file of its own, such as my_{kind}.py, at its top level, and import it "
        f"from there (or write the text 'my_{kind}:{name.rpartition('.')[2]}')"
    )
    if "<" in name:
        raise ConfigError(
            f"{key}: {name} of {module} is defined inside a function, so that no other process can "
            f"import it; {remedy}"
        )
    if module == "__main__":
        where = getattr(sys.modules["__main__"], "__file__", None)
        place = f"the script that runs ({where})" if where else "a notebook or a session"
        raise ConfigError(
            f"{key}: {name} is defined in {place}, which other processes cannot import; {remedy}"
        )
    found: Any = sys.modules.get(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    # of a class that was defined anew since, the file's is taken; another kind of object is another
    if found is not value and inspect.isclass(found) != inspect.isclass(value):
        raise ConfigError(
            f"{key}: {name} cannot be found again in the module {module}, where it says that it "
            f"is; {remedy}"
        )
    return f"{module}:{name}"
