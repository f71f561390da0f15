"""The data that a search loads: once, with every feature that one of its trials may choose."""

import dataclasses
from typing import Any

from finrl_ray.config.data import DataConfig
from finrl_ray.config.experiment import ExperimentConfig
from finrl_ray.config.trial.options import FEATURES, option_value
from finrl_ray.errors import ConfigError
from finrl_ray.search.sampling.domains import parse_domain


def data_of_search(config: ExperimentConfig) -> DataConfig:
    """Return the `data` section that a search loads.

    Its features are those of the entry `data.features` of the space and of initial points, each
    once; without such an entry the config's own.

    Raises
    ------
    ConfigError
        If the entry cannot be sampled, or has options that are no lists of names.
    """
    entry = config.search.space.get(FEATURES)
    if entry is None:
        return config.data
    points = [point for point in config.search.initial_points if isinstance(point, dict)]
    names: list[str] = []
    try:
        given = [point[FEATURES] for point in points if FEATURES in point]
        for option in (*parse_domain(entry).values, *given):
            chosen: Any = option_value(FEATURES, option)
            names += [chosen] if isinstance(chosen, str) else chosen
    except ConfigError as error:
        raise ConfigError(f"search.space.{FEATURES}: {error}") from None
    return dataclasses.replace(config.data, features=tuple(dict.fromkeys(names)))
