"""The data that a search loads: once, with every feature that one of its trials may choose."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from finrl_ray.config.data import DataConfig
from finrl_ray.config.experiment import ExperimentConfig
from finrl_ray.config.trial.options import FEATURES, option_value
from finrl_ray.data.own_features.names import FEATURE_KWARGS, value_text
from finrl_ray.data.own_features.variants import EachOf
from finrl_ray.errors import ConfigError
from finrl_ray.search.sampling.domains import grid_options, parse_domain

MOST_VALUES = 64
"""So many values one keyword of features of the user's own may have at most."""


def data_of_search(config: ExperimentConfig) -> DataConfig:
    """Return the `data` section that a search loads.

    Its features are those of the entry `data.features` of the space and of initial points, each
    once; without such an entry the config's own. A keyword that trials choose
    (`data.feature_kwargs.window`) stands for `EachOf` its values.

    Raises
    ------
    ConfigError
        If an entry cannot be sampled, has options that are no lists of names, or is a keyword of
        features with more values than can be computed before the search.
    """
    names = _features(config)
    keywords = _keywords(config)
    if names is None and not keywords:
        return config.data
    features = config.data.features if names is None else names
    both = {**config.data.feature_kwargs, **keywords}
    return dataclasses.replace(config.data, features=features, feature_kwargs=both)


def _points(config: ExperimentConfig) -> list[Mapping[str, Any]]:
    return [point for point in config.search.initial_points if isinstance(point, dict)]


def _features(config: ExperimentConfig) -> tuple[str, ...] | None:
    """Return every feature that a trial may choose; None where trials do not choose."""
    entry = config.search.space.get(FEATURES)
    if entry is None:
        return None
    names: list[str] = []
    try:
        given = [point[FEATURES] for point in _points(config) if FEATURES in point]
        for option in (*parse_domain(entry).values, *given):
            chosen: Any = option_value(FEATURES, option)
            names += [chosen] if isinstance(chosen, str) else chosen
    except ConfigError as error:
        raise ConfigError(f"search.space.{FEATURES}: {error}") from None
    return tuple(dict.fromkeys(names))


def _keywords(config: ExperimentConfig) -> dict[str, EachOf]:
    """Return the keywords of features that trials choose, with all their values."""
    if FEATURE_KWARGS in config.search.space:
        raise ConfigError(
            f"search.space.{FEATURE_KWARGS}: give each keyword an entry of its own, such as "
            f"{FEATURE_KWARGS}.window: {{choice: [5, 20]}}"
        )
    found = {}
    for name, entry in config.search.space.items():
        keyword = name.removeprefix(f"{FEATURE_KWARGS}.")
        if keyword == name:
            continue
        try:
            values = [*_values(entry), *(p[name] for p in _points(config) if name in p)]
        except ConfigError as error:
            raise ConfigError(f"search.space.{name}: {error}") from None
        found[keyword] = EachOf(tuple({value_text(value): value for value in values}.values()))
    return found


def _values(entry: Any) -> tuple[Any, ...]:
    """Return all values of an entry, which must be few.

    Raises
    ------
    ConfigError
        If there is no end of them, or there are too many.
    """
    domain = parse_domain(entry)
    why = "features are computed before the search, for every value that a trial may choose"
    if domain.kind in ("uniform", "loguniform", "quniform"):
        raise ConfigError(
            f"{why}, which {domain.kind} does not list; list some with choice, or give randint"
        )
    values = grid_options(domain)
    if len(values) > MOST_VALUES:
        raise ConfigError(
            f"{why}, and there are {len(values)}; {MOST_VALUES} are the most: list some with choice"
        )
    return values
