"""What a space may choose of the config itself, checked before a search starts."""

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from finrl_ray.config.experiment import ExperimentConfig
from finrl_ray.config.trial.config_of_sample import config_of_sample, has_a_meaning
from finrl_ray.config.trial.options import (
    FEATURES,
    check_option,
    option_field,
    option_value,
    options_among,
)
from finrl_ray.errors import ConfigError
from finrl_ray.support.text import listed

MOST_COMBINATIONS = 2000
"""So many combinations of options are all checked; of more, this many, drawn at random."""


def check_options(config: ExperimentConfig, probes: Mapping[str, Sequence[Any]]) -> None:
    """Check every option of the config that a space names, alone and together.

    Parameters
    ----------
    config : of the search
    probes : per name of the space its options, or values of its range, ends included

    Raises
    ------
    ConfigError
        Naming `search.space.<key>`, what came and what must hold.
    """
    names = options_among(probes)
    for name in names:
        try:
            check_option(name)
            for value in probes[name]:
                option_value(name, value)
                if name == FEATURES:
                    _check_once(value)
        except ConfigError as error:
            raise ConfigError(_at(name, error)) from None
    for name in names:
        _check_meaning(name, config, probes)
    for chosen in _combinations({name: probes[name] for name in names}):
        try:
            config_of_sample(config, chosen)
        except ConfigError as error:
            raise ConfigError(_explained(config, chosen, error)) from None


def _at(name: str, error: ConfigError) -> str:
    return f"search.space.{name}: {error}"


def _check_once(value: Any) -> None:
    names = [value] if isinstance(value, str) else list(value)
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise ConfigError(f"each feature is named once; twice: {listed(repeated)}")


def _check_meaning(
    name: str, config: ExperimentConfig, probes: Mapping[str, Sequence[Any]]
) -> None:
    """Refuse an option that no trial of the space would notice."""
    item = option_field(name)
    only_with = item.metadata.get("only_with")
    if only_with is None:
        return
    section = name.partition(".")[0]
    other = f"{section}.{only_with[0]}"
    possible = probes.get(other, [getattr(getattr(config, section), only_with[0])])
    beside = [option_value(other, value) for value in possible]
    if not any(has_a_meaning(item, value, own) for value in beside for own in probes[name]):
        # a function tells of the keys that may name the user's own code
        listed_values = () if callable(only_with[1]) else only_with[1]
        of_any = "code of your own" if callable(only_with[1]) else "a value"
        allowed = " or ".join(map(repr, listed_values)) or of_any
        raise ConfigError(
            f"search.space.{name} would change nothing: it has a meaning where {other} is "
            f"{allowed}, and {other} is {listed(possible)}; set {other}, or search over it too"
        )


def _combinations(probes: Mapping[str, Sequence[Any]]) -> "list[dict[str, Any]]":
    if not probes:
        return []
    if math.prod(len(values) for values in probes.values()) <= MOST_COMBINATIONS:
        every = itertools.product(*probes.values())
        return [dict(zip(probes, values, strict=True)) for values in every]
    rng = np.random.default_rng(0)
    return [
        {name: values[int(rng.integers(len(values)))] for name, values in probes.items()}
        for _ in range(MOST_COMBINATIONS)
    ]


def _explained(config: ExperimentConfig, chosen: dict[str, Any], error: ConfigError) -> str:
    """Return an error of a combination as one of the entry that it names, or of those it takes."""
    needed = {name: value for name, value in chosen.items() if _works_without(config, chosen, name)}
    for name in needed:
        # an option may be wrong only beside another: max_weight where actions are weights
        if len(needed) == 1 or str(error).startswith(f"{name.partition('.')[2]} "):
            return _at(name, error)
    return f"search.space can draw {needed or chosen}: {error}"


def _works_without(config: ExperimentConfig, chosen: dict[str, Any], name: str) -> bool:
    try:
        config_of_sample(config, {n: value for n, value in chosen.items() if n != name})
    except ConfigError:
        return False
    return True
