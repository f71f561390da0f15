"""The samples that a search runs first: given by the user, or FinRL's defaults."""

import inspect
from collections.abc import Mapping
from typing import Any

import numpy as np

from finrl_ray.agents.algorithm_registry import ALGORITHMS
from finrl_ray.agents.hyperparameters import ALIASES, NET_ARCHS, SEED_DRAW, settings_of_sample
from finrl_ray.config.experiment import ExperimentConfig
from finrl_ray.config.trial.options import (
    ALGORITHM,
    FEATURES,
    is_option,
    own_entry,
    own_name,
    searched_algorithms,
    searched_options,
)
from finrl_ray.errors import ConfigError
from finrl_ray.search.sampling.domains import Domain, grid_options
from finrl_ray.support.text import did_you_mean

FINRL_POINT = "finrl"


def check_points(config: ExperimentConfig, space: Mapping[str, Domain]) -> None:
    """Refuse points with names that the space has not, or values that cannot be trained with.

    A value outside its range is allowed: the point is run as it is.

    Raises
    ------
    ConfigError
        Naming `search.initial_points[i]`, what came and what must hold.
    """
    for index, point in enumerate(config.search.initial_points):
        where = f"search.initial_points[{index}]"
        given = finrl_point(config, space) if point == FINRL_POINT else point
        assert isinstance(given, dict)
        given = _by_algorithm(config, given, space)
        for name in given:
            if name not in space:
                raise ConfigError(f"{where}: {_not_in_space(name, space)}")
        try:
            settings_of_sample(config, given)
        except ConfigError as error:
            raise ConfigError(f"{where}: {error}") from None


def _by_algorithm(
    config: ExperimentConfig, point: Mapping[str, Any], space: Mapping[str, Domain]
) -> dict[str, Any]:
    """Return a point in which a name that the space has per algorithm is that of each of them.

    With one algorithm it is the other way round: the space has its entries without its name.
    """
    found: dict[str, Any] = {}
    if ALGORITHM not in space:
        own_prefix = own_name(config.agent.algorithm, "")
        point = {name.removeprefix(own_prefix): value for name, value in point.items()}
    for name, value in point.items():
        names = [own_name(algorithm, name) for algorithm in searched_algorithms(config)]
        own = [whole for whole in names if whole in space and whole not in point]
        found |= {name: value} if name in space or not own else dict.fromkeys(own, value)
    return found


def _not_in_space(name: str, space: Mapping[str, Domain]) -> str:
    twins = {**ALIASES, **{value: key for key, value in ALIASES.items()}}
    twin = twins.get(name)
    if twin in space:
        return f"the space has {twin} instead of {name}; give {twin}, which is 1 - {name}"
    return (
        f"{name!r} is not in the search space, which has {', '.join(space)}; add it to "
        f"search.space.{did_you_mean(str(name), space)}"
    )


def finrl_point(config: ExperimentConfig, space: Mapping[str, Domain]) -> dict[str, Any]:
    """Return FinRL's default of every name in the space; what the space fixes stays fixed.

    FinRL's env is that of the options' defaults. It has no list of features for every market: those
    of the config where the space has them, else the first of the space.
    """
    algorithms = searched_algorithms(config)
    own = config.agent.algorithm
    algorithm = own if own in algorithms else algorithms[0]
    return {
        name: domain.values[0]
        if domain.kind == "constant"
        else _finrl_option(config, algorithm, name, domain)
        if is_option(name)
        else _finrl_value(*(own_entry(name) or (algorithm, name)), domain)
        for name, domain in space.items()
    }


def _finrl_option(config: ExperimentConfig, algorithm: str, name: str, domain: Domain) -> Any:
    if name == ALGORITHM:
        return algorithm
    if name != FEATURES:
        default = searched_options()[name].default
        return list(default) if isinstance(default, tuple) else default
    own = config.data.features
    same = (o for o in domain.values if o == own or list(o) == list(own))
    return next(same, domain.values[0])


def _finrl_value(algorithm: str, name: str, domain: Domain) -> Any:
    if name in ALIASES:
        # rounded, because 1 - 0.99 is 0.010000000000000009
        return round(1.0 - _finrl_keyword(algorithm, ALIASES[name]), 12)
    if name == "net_arch":
        return _as_option(list(ALGORITHMS[algorithm].net_arch), domain)
    if name == "n_envs":
        return 1
    if name == "policy_kwargs":
        return {}
    return _finrl_keyword(algorithm, name)


def _finrl_keyword(algorithm: str, name: str) -> Any:
    entry = ALGORITHMS[algorithm]
    if name == "activation_fn":
        return entry.activation_fn
    if name in entry.defaults:
        return entry.defaults[name]
    return inspect.signature(entry.model_class).parameters[name].default


def _as_option(widths: list[int], domain: Domain) -> Any:
    """Return a network under the name that the space has for it."""
    for option in domain.values:
        named = NET_ARCHS.get(option) if isinstance(option, str) else option
        if isinstance(named, list | tuple) and list(named) == widths:
            return option
    return widths


def complete_points(
    config: ExperimentConfig, space: Mapping[str, Domain], *, seed_draw: bool
) -> list[dict[str, Any]]:
    """Return the initial points as whole samples; missing values are drawn.

    Parameters
    ----------
    config : the experiment
    space : its search space
    seed_draw : give each point the draw that random search gives its samples
    """
    rng = np.random.default_rng([config.seed, 1])
    samples = []
    for point in config.search.initial_points:
        given = finrl_point(config, space) if point == FINRL_POINT else point
        assert isinstance(given, dict)
        given = _by_algorithm(config, given, space)
        sample = {n: given[n] if n in given else draw(d, rng) for n, d in space.items()}
        if seed_draw:
            sample[SEED_DRAW] = int(rng.integers(0, 2**31 - 1))
        samples.append(sample)
    return samples


def draw(domain: Domain, rng: np.random.Generator) -> Any:
    """Return one value of a domain, as a plain Python value."""
    if domain.kind == "uniform":
        return float(rng.uniform(*domain.values))
    if domain.kind == "loguniform":
        low, high = np.log(domain.values)
        # rounding in the logarithm must not leave the range
        return float(np.clip(np.exp(rng.uniform(low, high)), *domain.values))
    if domain.kind == "randint":
        return int(rng.integers(*domain.values))
    options = domain.values if domain.kind == "constant" else grid_options(domain)
    return options[int(rng.integers(len(options)))]


def contains(domain: Domain, value: Any) -> bool:
    """Return whether a domain can give a value."""
    if domain.kind in ("uniform", "loguniform"):
        low, high = domain.values
        return isinstance(value, int | float) and low <= value <= high
    if domain.kind == "randint":
        low, high = domain.values
        return isinstance(value, int) and low <= value < high
    options = domain.values if domain.kind == "constant" else grid_options(domain)
    return value in options
