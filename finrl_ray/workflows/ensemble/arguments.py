"""Which algorithms take part, with which keywords and for how many steps."""

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from finrl_ray.errors import ConfigError


def training_arguments(
    model_kwargs: Mapping[str, Any], timesteps: Mapping[str, int] | None
) -> tuple[dict[str, Mapping[str, Any]], dict[str, int]]:
    """Return keywords and steps of the algorithms that take part.

    Parameters
    ----------
    model_kwargs : per algorithm, None where it is left out. FinRL's older call passes the steps
        in the place of sac's keywords.
    timesteps : per algorithm; 1e4 is read as a whole number

    Raises
    ------
    ConfigError
        If no algorithm takes part, or its steps are missing or no whole number >= 1.
    """
    given = dict(model_kwargs)
    if timesteps is None and _are_timesteps(given["sac"], given) and given["td3"] is None:
        timesteps, given["sac"] = given["sac"], None
    chosen = {name: kwargs for name, kwargs in given.items() if kwargs is not None}
    if not chosen:
        raise ConfigError(
            "at least one of A2C_model_kwargs, PPO_model_kwargs, DDPG_model_kwargs, "
            "SAC_model_kwargs, TD3_model_kwargs must be a dict ({} for FinRL's defaults), got None "
            "for all"
        )
    for name, kwargs in chosen.items():
        if not isinstance(kwargs, Mapping):
            raise ConfigError(f"{name.upper()}_model_kwargs must be a dict or None, got {kwargs!r}")
    return chosen, _steps(chosen, timesteps, list(given))


def _are_timesteps(value: Any, names: Collection[str]) -> bool:
    return isinstance(value, Mapping) and bool(value) and all(name in names for name in value)


def _steps(
    chosen: Mapping[str, Any], timesteps: Mapping[str, int] | None, names: Collection[str]
) -> dict[str, int]:
    if timesteps is not None and not isinstance(timesteps, Mapping):
        raise ConfigError(
            "timesteps_dict must be a dict of steps per algorithm such as {'a2c': 10_000}, got "
            f"{timesteps!r}"
        )
    steps = dict(timesteps or {})
    for name in chosen:
        value: Any = steps.get(name)
        if not _is_whole(value) or value < 1:
            raise ConfigError(
                f"timesteps_dict must have a whole number >= 1 for {name!r}, got {value!r} (in "
                f"{timesteps}); leave the algorithm out by {name.upper()}_model_kwargs=None"
            )
    unknown = [name for name in steps if name not in names]
    if unknown:
        raise ConfigError(f"timesteps_dict must name {list(names)}, got {unknown}")
    return {name: int(steps[name]) for name in chosen}


def _is_whole(value: Any) -> bool:
    number = isinstance(value, int | float | np.integer) and not isinstance(value, bool)
    return number and float(value).is_integer()
