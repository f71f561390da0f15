"""Search spaces: their YAML form, checked, and their form for Ray Tune."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from finrl_ray.agents.algorithm_registry import ALGORITHMS, entry_of
from finrl_ray.agents.hyperparameters import (
    ALIASES,
    SEED_DRAW,
    TrialSettings,
    derived_names,
    resolve_sample,
    settings_of_sample,
)
from finrl_ray.agents.keyword_checks import INTEGERS
from finrl_ray.config.agent import AgentConfig
from finrl_ray.config.experiment import ExperimentConfig
from finrl_ray.config.search import SEARCHERS, SearchConfig
from finrl_ray.config.trial.config_of_sample import config_of_sample
from finrl_ray.config.trial.options import (
    ALGORITHM,
    N_ENVS,
    SECTIONS,
    is_option,
    own_entry,
    searched_algorithms,
    searched_options,
)
from finrl_ray.errors import ConfigError
from finrl_ray.search.sampling.entries import entries_of, require_entries_of, space_entries
from finrl_ray.search.sampling.option_checks import check_options
from finrl_ray.support.text import did_you_mean, listed
from finrl_ray.support.whole_numbers import as_whole


@dataclass(frozen=True, kw_only=True)
class Domain:
    """One checked entry of a search space.

    Parameters
    ----------
    kind : `choice`, `uniform`, `loguniform`, `randint`, `quniform`, `grid` or `constant`
    values : the arguments of that kind; for `choice` and `grid` the options, for `constant` one
        value, else the bounds (`randint` excludes the upper one, as Ray does)
    """

    kind: str
    values: tuple[Any, ...]


def _check_numbers(kind: str, values: Sequence[Any], count: int) -> None:
    numeric = all(isinstance(v, int | float) and not isinstance(v, bool) for v in values)
    if len(values) != count or not numeric:
        raise ConfigError(f"{kind} needs {count} numbers, got {list(values)}")
    if not values[0] < values[1]:
        raise ConfigError(f"{kind} needs low < high, got {list(values)}")


def _check_uniform(values: Sequence[Any]) -> None:
    _check_numbers("uniform", values, 2)


def _check_loguniform(values: Sequence[Any]) -> None:
    _check_numbers("loguniform", values, 2)
    if values[0] <= 0:
        raise ConfigError(f"loguniform needs low > 0, got {list(values)}")


def _check_randint(values: Sequence[Any]) -> None:
    _check_numbers("randint", values, 2)
    if not all(isinstance(v, int) for v in values):
        raise ConfigError(f"randint needs whole numbers, got {list(values)}")


def _check_quniform(values: Sequence[Any]) -> None:
    _check_numbers("quniform", values, 3)
    if not 0 < values[2] <= values[1] - values[0]:
        raise ConfigError(
            f"quniform needs [low, high, step] with 0 < step <= high - low, got {list(values)}"
        )
    multiples = [bound / values[2] for bound in values[:2]]
    if not all(math.isclose(m, round(m), abs_tol=1e-9) for m in multiples):
        raise ConfigError(
            f"quniform needs low and high to be multiples of step, got {list(values)}"
        )


def _check_options(values: Sequence[Any]) -> None:
    if not values:
        raise ConfigError("choice and grid need at least one option, got []")


_CHECKS: dict[str, Callable[[Sequence[Any]], None]] = {
    "choice": _check_options,
    "grid": _check_options,
    "uniform": _check_uniform,
    "loguniform": _check_loguniform,
    "randint": _check_randint,
    "quniform": _check_quniform,
}


def parse_domain(entry: Any) -> Domain:
    """Return the checked form of one YAML entry; a plain value becomes a constant.

    Raises
    ------
    ConfigError
        If the kind is unknown or its arguments cannot be sampled.
    """
    if not isinstance(entry, dict):
        return Domain(kind="constant", values=(entry,))
    if len(entry) != 1:
        raise ConfigError(f"needs one of {sorted(_CHECKS)}, got keys {list(entry)}")
    kind, values = next(iter(entry.items()))
    if kind not in _CHECKS:
        raise ConfigError(
            f"{kind!r} is none of {sorted(_CHECKS)}.{did_you_mean(str(kind), _CHECKS)}"
        )
    if not isinstance(values, list | tuple):
        raise ConfigError(f"{kind} needs a list, got {values!r}")
    if kind == "randint":
        values = [as_whole(value) for value in values]
    _CHECKS[kind](values)
    return Domain(kind=kind, values=tuple(values))


def build_space(config: ExperimentConfig) -> dict[str, Domain]:
    """Return the algorithm's default space with the config's entries laid over it, all checked.

    Raises
    ------
    ConfigError
        Naming `search.space.<key>`, what came and what must hold.
    """
    search = config.search
    _check_aliases(config.agent.model_kwargs, "agent.model_kwargs")
    space = _parsed(config)
    check_options(config, {name: probe_values(domain) for name, domain in space.items()})
    for algorithm in searched_algorithms(config):
        chosen = {ALGORITHM: algorithm} if ALGORITHM in space else {}
        trial = config_of_sample(config, chosen)
        own = {n: d for n, d in entries_of(space, algorithm).items() if n != ALGORITHM}
        try:
            _check_aliases(own, "search.space")
            _check_names({n: d for n, d in own.items() if not is_option(n)}, trial.agent)
            _check_corners(own, trial)
        except ConfigError as error:
            several = f"for {ALGORITHM} {algorithm}: " if ALGORITHM in space else ""
            raise ConfigError(f"{several}{error}") from None
    if not space and search.num_samples > 1:
        raise ConfigError(
            "search.space is empty, so all trials would be equal; add entries to search.space, "
            "set search.default_space to true, or set search.num_samples to 1"
        )
    return _with_grids(space, search, searched_algorithms(config))


def _parsed(config: ExperimentConfig) -> dict[str, Domain]:
    """Return the domains of a config, each of them checked on its own."""
    space = {}
    for name, entry in space_entries(config).items():
        try:
            space[name] = parse_domain(entry)
        except ConfigError as error:
            nested = name in SECTIONS and isinstance(entry, dict) and entry
            hint = f"; write {name}.{next(iter(entry))} in one name" if nested else ""
            raise ConfigError(f"search.space.{name}: {error}{hint}") from None
    return space


def _with_grids(
    space: dict[str, Domain], search: SearchConfig, algorithms: Sequence[str]
) -> dict[str, Domain]:
    searcher = SEARCHERS[search.searcher]
    grids = searcher.whole_grids or any(d.kind == "grid" for d in space.values())
    crossed = [name for name, d in space.items() if own_entry(name) and len(d.values) > 1]
    if grids and crossed:
        raise ConfigError(
            f"search.space: a grid would cross {crossed[0]} with the entries of the other "
            f"algorithms; fix {listed(crossed)}, set search.default_space to false, or take "
            "another searcher"
        )
    if searcher.whole_grids:
        own = [one for one in algorithms if one not in ALGORITHMS]
        if own and search.default_space:
            raise ConfigError(
                f"a grid over the default space of {own[0]} cannot be counted without running it; "
                "set search.default_space to false, and list the entries in search.space"
            )
        return {name: _as_grid(name, domain) for name, domain in space.items()}
    if searcher.learns and any(d.kind == "grid" for d in space.values()):
        raise ConfigError(
            f"search.space: grid needs search.searcher 'grid' or 'random', got {search.searcher!r}"
        )
    return space


def _as_grid(name: str, domain: Domain) -> Domain:
    if domain.kind == "constant":
        return domain
    if domain.kind in ("uniform", "loguniform"):
        raise ConfigError(
            f"search.space.{name}: {domain.kind} has no end of values; for searcher 'grid' list "
            "some with grid, or fix one (set search.default_space to false to leave the default "
            "space out)"
        )
    return Domain(kind="grid", values=grid_options(domain))


def grid_options(domain: Domain) -> tuple[Any, ...]:
    """Return every value of a domain that has a finite number of them."""
    if domain.kind == "randint":
        return tuple(range(*domain.values))
    if domain.kind == "quniform":
        low, high, step = domain.values
        steps = range(round(low / step), round(high / step) + 1)
        # 0.3 for 3 * 0.1, which is 0.30000000000000004
        return tuple(
            k * step if isinstance(step, int) else float(f"{k * step:.12g}") for k in steps
        )
    return domain.values


def _check_aliases(given: Mapping[str, Any], where: str) -> None:
    for alias, name in {**ALIASES, N_ENVS: "n_envs"}.items():
        if alias in given and name in given:
            raise ConfigError(f"{where}: {alias} and {name} say the same thing; give one of them")


def _check_names(space: Mapping[str, Domain], agent: AgentConfig) -> None:
    # SB3 takes seconds to load, and a folder's trials are counted without it
    from finrl_ray.agents.algorithms import check_model_kwargs

    for where, names in (("search.space", list(space)), ("agent.model_kwargs", agent.model_kwargs)):
        if "seed" in names:
            raise ConfigError(
                f"{where}: seed cannot be fixed or searched over: each trial's seed is derived "
                "from the top-level `seed` and recorded; set that instead"
            )
        if where == "search.space":
            require_entries_of(agent.algorithm, names)
        derived = derived_names(agent.algorithm)
        plain = {name: None for name in names if name not in derived}
        try:
            check_model_kwargs(agent.algorithm, plain)
        except ConfigError as error:
            hint = _meant_option(plain) if where == "search.space" else ""
            raise ConfigError(f"{where}: {hint}{error}") from None
    for name, domain in space.items():
        if name in INTEGERS and domain.kind in ("uniform", "loguniform"):
            raise ConfigError(
                f"search.space.{name}: {name} is a whole number; use randint, quniform or choice "
                f"instead of {domain.kind}"
            )
    if "one_minus_gae_lambda" in space and not entry_of(agent.algorithm).on_policy:
        raise ConfigError(f"search.space.one_minus_gae_lambda: {agent.algorithm} has no GAE")


def _meant_option(names: Iterable[str]) -> str:
    """Return a hint at a name that is a key of a section, such as hmax for env.hmax."""
    for option in searched_options():
        if option.partition(".")[2] in names:
            return f"an option of the config has its section before it: {option}; "
    return ""


def _check_corners(space: Mapping[str, Domain], config: ExperimentConfig) -> None:
    """Check every option and bound of the space, one name at a time so that errors can name it."""
    agent = config.agent
    try:
        resolve_sample({}, agent)
    except ConfigError as error:
        raise ConfigError(f"agent.model_kwargs: {error}") from None
    never = Domain(kind="constant", values=(agent.model_kwargs.get("normalize_advantage"),))
    normalized = corner_values(space.get("normalize_advantage", never))
    # batches of one sample are allowed where no trial normalises advantages
    base = {"normalize_advantage": False} if set(normalized) == {False} else {}
    for name, domain in space.items():
        for value in corner_values(domain):
            trial = config_of_sample(config, {name: value}) if name == N_ENVS else config
            try:
                resolve_sample({**base, name: value}, trial.agent)
            except ConfigError as error:
                raise ConfigError(f"search.space.{name}: {error}") from None
    shortest: dict[str, Any] = {
        name: min(corner_values(space[name]))
        for name in ("n_steps", "n_envs", N_ENVS, "batch_size")
        if name in space
    }
    if "normalize_advantage" in space:
        shortest["normalize_advantage"] = True in normalized
    try:
        settings_of_sample(config, shortest)
    except ConfigError as error:
        raise ConfigError(f"search.space can draw {shortest}: {error}") from None


def corner_values(domain: Domain) -> tuple[Any, ...]:
    """Return every option of a domain, or the values at its two ends."""
    if domain.kind == "quniform":
        low, high, step = domain.values
        return (round(low / step) * step, round(high / step) * step)
    if domain.kind == "randint":
        return (domain.values[0], domain.values[1] - 1)
    return domain.values


def probe_values(domain: Domain) -> tuple[Any, ...]:
    """Return every option of a domain, or the values at the two ends of a range and one within."""
    if domain.kind in ("uniform", "loguniform"):
        low, high = domain.values
        return (low, low + 0.381966 * (high - low), high)  # no round number by chance
    return corner_values(domain)


def corner_samples(space: Mapping[str, Domain]) -> list[dict[str, Any]]:
    """Return samples in which every option and every bound of the space appears at least once."""
    several = space[ALGORITHM].values if ALGORITHM in space else ()
    if len(several) > 1:
        return [
            sample
            for algorithm in several
            for sample in corner_samples(_with_one_algorithm(space, algorithm))
        ]
    options = {name: corner_values(domain) for name, domain in space.items()}
    count = max((len(values) for values in options.values()), default=1)
    return [
        {name: values[min(i, len(values) - 1)] for name, values in options.items()}
        for i in range(count)
    ]


def _with_one_algorithm(space: Mapping[str, Domain], algorithm: str) -> dict[str, Domain]:
    own = {n: d for n, d in space.items() if (own_entry(n) or (algorithm,))[0] == algorithm}
    return {**own, ALGORITHM: Domain(kind="constant", values=(algorithm,))}


def resolve_corners(
    space: Mapping[str, Domain], config: ExperimentConfig
) -> tuple[TrialSettings, ...]:
    """Return what the samples of `corner_samples` train with.

    Raises
    ------
    ConfigError
        If one of them cannot be trained with.
    """
    return tuple(settings_of_sample(config, sample) for sample in corner_samples(space))


def count_trials(space: Mapping[str, Domain], search: SearchConfig) -> int:
    """Return how many trials the search starts: samples times the size of the grid.

    Initial points are among the samples, but come on top of a grid, which would else have holes.
    """
    grids = [len(domain.values) for domain in space.values() if domain.kind == "grid"]
    if not grids:
        return search.num_samples
    return search.num_samples * math.prod(grids) + len(search.initial_points)


def planned_trials(config: ExperimentConfig) -> int:
    """Return how many trials the search of a config starts, whose space was checked before."""
    search = config.search
    if ALGORITHM in search.space or config.agent.algorithm not in ALGORITHMS:
        # the entries of one algorithm are no grids, and to know them takes seconds, or own code
        space = {name: parse_domain(entry) for name, entry in search.space.items()}
    else:
        space = _parsed(config)
    if SEARCHERS[search.searcher].whole_grids:
        space = {name: _as_grid(name, domain) for name, domain in space.items()}
    return count_trials(space, search)


def to_param_space(space: Mapping[str, Domain], *, seed_draw: bool) -> dict[str, Any]:
    """Return the space as Ray Tune's `param_space`, with or without a draw for the trial's seed."""
    from ray import tune

    makers: dict[str, Callable[..., Any]] = {
        "choice": lambda *options: tune.choice(list(options)),
        "grid": lambda *options: tune.grid_search(list(options)),
        "uniform": tune.uniform,
        "loguniform": tune.loguniform,
        "randint": tune.randint,
        "quniform": tune.quniform,
        "constant": lambda value: value,
    }
    params = {name: makers[domain.kind](*domain.values) for name, domain in space.items()}
    if seed_draw:
        params[SEED_DRAW] = tune.randint(0, 2**31 - 1)
    return params
