"""With which keywords a function of the user's is called: once, or once for each choice."""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from finrl_ray.data.own_features.names import FEATURE_KWARGS
from finrl_ray.errors import ConfigError
from finrl_ray.own_code.arguments import asked_arguments
from finrl_ray.own_code.definition import OwnFunction
from finrl_ray.own_code.load import load_object
from finrl_ray.support.text import did_you_mean, listed

MOST_VARIANTS = 200
"""So many combinations of keywords one function is computed for at most."""


@dataclass(frozen=True, slots=True)
class EachOf:
    """Stands in `feature_kwargs` for a value that trials choose.

    Parameters
    ----------
    values : all that one of them may choose
    """

    values: tuple[Any, ...]


def own_function(reference: str) -> OwnFunction:
    """Return the function that a reference of `data.features` names.

    Raises
    ------
    ConfigError
        Naming file, line and remedy, if it cannot be loaded.
    """
    function = load_object(reference, "features")
    own = OwnFunction(reference=reference, kind="features", function=function)
    if not own.names:
        raise own.refused("takes no argument", "let its first one be the prices")
    return own


def variants(own: OwnFunction, feature_kwargs: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the keywords of each call of a function, those alone that it takes.

    Parameters
    ----------
    own : the function
    feature_kwargs : a value, or `EachOf` some, by keyword, for all functions

    Raises
    ------
    OwnCodeError
        If the function needs a keyword that is not given.
    ConfigError
        If there are more combinations than can be kept.
    """
    taken = {name: value for name, value in feature_kwargs.items() if own.takes(name)}
    # the first argument is that of the prices, whatever its name
    asked_arguments(own.function, own.names[:1], taken, who=own.who, key=FEATURE_KWARGS)
    options = [v.values if isinstance(v, EachOf) else (v,) for v in taken.values()]
    count = math.prod(len(values) for values in options)
    if count > MOST_VARIANTS:
        raise ConfigError(
            f"{FEATURE_KWARGS}: the choices of {listed(taken)} make {count:,} combinations for "
            f"{own.reference}, each of which is computed before the search; {MOST_VARIANTS} are "
            "the most: give fewer choices"
        )
    return [dict(zip(taken, values, strict=True)) for values in itertools.product(*options)]


def check_taken(functions: Sequence[OwnFunction], feature_kwargs: Mapping[str, Any]) -> None:
    """Refuse a keyword that no function takes.

    Raises
    ------
    ConfigError
        With what they take, and the nearest name.
    """
    known = list(dict.fromkeys(name for own in functions for name in own.names[1:]))
    for name in feature_kwargs:
        if any(own.takes(name) for own in functions if name not in own.names[:1]):
            continue
        if not functions:
            raise ConfigError(
                f"{FEATURE_KWARGS} has {name!r}, but data.features names no function of your own, "
                f"such as my_features:compute; name one, or delete {FEATURE_KWARGS}"
            )
        raise ConfigError(
            f"{FEATURE_KWARGS} has {name!r}, which none of "
            f"{listed(own.reference for own in functions)} takes; they take "
            f"{listed(known) if known else 'no keywords'}.{did_you_mean(name, known)}"
        )
