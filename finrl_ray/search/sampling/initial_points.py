"""The samples that a search runs first: given by the user, or FinRL's or rl-zoo3's defaults."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from finrl_ray.agents.algorithm_entry import constructor_keywords
from finrl_ray.agents.algorithm_registry import entry_of
from finrl_ray.agents.hyperparameters import ALIASES, NET_ARCHS, SEED_DRAW, settings_of_sample
from finrl_ray.config.checks import default_of
from finrl_ray.config.experiment import ExperimentConfig
from finrl_ray.config.search import NAMED_POINTS
from finrl_ray.config.trial.options import (
    ALGORITHM,
    FEATURES,
    is_option,
    option_field,
    option_of,
    own_entry,
    own_name,
    searched_algorithms,
)
from finrl_ray.errors import ConfigError
from finrl_ray.search.sampling.domains import Domain, grid_options
from finrl_ray.support.text import did_you_mean, listed

FINRL_POINT, ZOO_POINT = NAMED_POINTS


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
        try:
            given = _given(config, point, space)
        except ConfigError as error:
            raise ConfigError(f"{where}: {error}") from None
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


def _given(
    config: ExperimentConfig, point: Mapping[str, Any] | str, space: Mapping[str, Domain]
) -> dict[str, Any]:
    named = named_point(config, point, space) if isinstance(point, str) else point
    return _by_algorithm(config, named, space)


def named_point(config: ExperimentConfig, name: str, space: Mapping[str, Domain]) -> dict[str, Any]:
    """Return the defaults of FinRL or of rl-zoo3 for the names in the space.

    What the space fixes stays fixed. FinRL's env is that of the options' defaults. rl-zoo3 has
    defaults of the section `agent` alone: options of `env` are the config's own where the space has
    them, and are left out, to be drawn, where it has not. Neither has a list of features for every
    market: those of the config where the space has them, else the first of the space.

    Parameters
    ----------
    config : the experiment
    name : `finrl` or `rl_zoo3`, of `agent.algorithm` of the config, or of the first algorithm that
        is searched where it is not among them; `sac.rl_zoo3`: of another
    space : the search space

    Raises
    ------
    ConfigError
        If it is a point of an algorithm that is not searched.
    """
    algorithms = searched_algorithms(config)
    usual = config.agent.algorithm
    algorithm, whose = own_entry(name) or (usual if usual in algorithms else algorithms[0], name)
    if algorithm not in algorithms:
        raise ConfigError(
            f"{name}: no trial is one of {algorithm}, but of {listed(algorithms)}; see {ALGORITHM}"
        )
    found: dict[str, Any] = {}
    for key, domain in space.items():
        if domain.kind == "constant":
            found[key] = domain.values[0]
        elif is_option(key):
            found |= _option(config, algorithm, whose, key, domain)
        else:
            found[key] = _value(*(own_entry(key) or (algorithm, key)), whose, domain)
    return found


def _option(
    config: ExperimentConfig, algorithm: str, whose: str, name: str, domain: Domain
) -> dict[str, Any]:
    """Return an option of the config under its name; nothing where it is to be drawn."""
    if name == ALGORITHM:
        return {name: algorithm}
    option = option_of(name)
    own = option.value_in(getattr(config, option.section))
    if name == FEATURES:
        same = (o for o in domain.values if o == own or list(o) == list(own))
        return {name: next(same, domain.values[0])}
    from_config = whose == ZOO_POINT and option.section != "agent"
    if option.keyword:  # its default is known to the code that takes it
        return {} if own is None or not contains(domain, own) else {name: own}
    value = own if from_config else default_of(option_field(name))
    value = list(value) if isinstance(value, tuple) else value
    return {} if from_config and not contains(domain, value) else {name: value}


def _value(algorithm: str, name: str, whose: str, domain: Domain) -> Any:
    if name in ALIASES:
        # rounded, because 1 - 0.99 is 0.010000000000000009
        return round(1.0 - _keyword(algorithm, ALIASES[name], whose), 12)
    if name == "net_arch":
        return _as_option(list(entry_of(algorithm).net_arch), domain)
    if name == "n_envs":
        return 1
    if name == "policy_kwargs":
        return {}
    return _keyword(algorithm, name, whose)


def _keyword(algorithm: str, name: str, whose: str) -> Any:
    entry = entry_of(algorithm)
    if name == "activation_fn":
        return entry.activation_fn
    defaults = entry.defaults if whose == FINRL_POINT else entry.zoo_defaults
    if name in defaults:
        return defaults[name]
    if name in entry.policy_keywords:
        return entry.policy_keywords[name]
    return constructor_keywords(entry.model_class)[name].default


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
        given = _given(config, point, space)
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
