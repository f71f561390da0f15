"""Where the code of a user's class or function stands, for messages."""

import inspect
from typing import Any

from finrl_ray.own_code.finder import active_code


def place_of(item: Any) -> str:
    """Return `MyEnv (my_env.py, line 12)`, or the name alone where there is no source."""
    name = getattr(item, "__qualname__", type(item).__qualname__)
    try:
        file = str(inspect.getsourcefile(item))
        line = inspect.getsourcelines(item)[1]
    except (TypeError, OSError):
        return str(name)
    return f"{name} ({active_code().name_of(file) or file}, line {line})"
