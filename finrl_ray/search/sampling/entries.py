"""The entries of a search space as they are written: the user's, laid over the default spaces.

Where `agent.algorithm` is searched, each algorithm has entries of its own, named `ppo.n_steps`. A
sample has a value for all of them; a trial takes those of its algorithm. With one algorithm that
name means the same as `n_steps`, which is the name in samples and tables.
"""

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from finrl_ray.agents.algorithm_registry import entry_of, installed_algorithms
from finrl_ray.agents.hyperparameters import ALIASES, derived_names
from finrl_ray.config.experiment import ExperimentConfig
from finrl_ray.config.trial.options import (
    ALGORITHM,
    N_ENVS,
    is_option,
    own_entry,
    own_name,
    searched_algorithms,
)
from finrl_ray.errors import ConfigError
from finrl_ray.support.text import listed

Entry = TypeVar("Entry")

_OF_ROLLOUTS = ("gae_lambda", "one_minus_gae_lambda", "n_steps")
"""Names that only on-policy algorithms have, or that mean something else off-policy: SB3's SAC has
an `n_steps` too, the steps of its returns."""


def space_entries(config: ExperimentConfig) -> dict[str, Any]:
    """Return the raw entries by name, the default ones first.

    An entry that not every searched algorithm accepts becomes one of each that does.

    Raises
    ------
    ConfigError
        If an entry is that of an algorithm that is not searched, or gives one an option of the
        config.
    """
    given, algorithms = config.search.space, searched_algorithms(config)
    _check_own(config)
    if ALGORITHM not in given:
        own = entries_of(given, algorithms[0])
        return {**_default_entries(config, algorithms[0], own), **own}
    kinds = {entry_of(algorithm).on_policy for algorithm in algorithms}
    if len(kinds) > 1 and "n_steps" in config.agent.model_kwargs:
        raise ConfigError(
            "agent.model_kwargs: n_steps are a rollout on-policy and the steps of returns "
            f"off-policy, and {ALGORITHM} has both kinds; give search.space.ppo.n_steps instead"
        )
    own = {name: entry for name, entry in given.items() if own_entry(name)}
    entries: dict[str, Any] = {}
    for name, entry in given.items():
        takers = algorithms if is_option(name) else [a for a in algorithms if accepts(a, name)]
        if name in own or len(takers) in (0, len(algorithms)):
            entries[name] = entry  # what no algorithm accepts is refused under its own name
        else:
            names = (own_name(algorithm, name) for algorithm in takers)
            entries |= {whole: entry for whole in names if whole not in own}
    defaults = {
        own_name(algorithm, name): entry
        for algorithm in algorithms
        for name, entry in _default_entries(
            config, algorithm, entries_of(entries, algorithm)
        ).items()
    }
    return {**defaults, **entries}


def entries_of(entries: Mapping[str, Entry], algorithm: str) -> dict[str, Entry]:
    """Return what a space has for one algorithm, without its name; own entries win over others."""
    shared = {name: entry for name, entry in entries.items() if own_entry(name) is None}
    found = {own_entry(name): entry for name, entry in entries.items() if own_entry(name)}
    own = {pair[1]: entry for pair, entry in found.items() if pair and pair[0] == algorithm}
    return {**shared, **own}


def accepts(algorithm: str, name: str) -> bool:
    """Return whether an algorithm has a keyword, or a name that is translated into one."""
    # SB3 takes seconds to load, and a space of one algorithm is read without it
    from finrl_ray.agents.algorithms import model_keywords

    if name in _OF_ROLLOUTS:
        return entry_of(algorithm).on_policy
    return name in derived_names(algorithm) or name in model_keywords(algorithm)


def canonical(given: Mapping[str, Any]) -> set[str]:
    """Return the names given, aliases and the keys of `policy_kwargs` as what they stand for."""
    policy_kwargs = given.get("policy_kwargs")
    nested: set[str] = set()
    if isinstance(policy_kwargs, dict):
        options = [
            option for kind in ("choice", "grid") for option in policy_kwargs.get(kind) or ()
        ]
        for option in options or [policy_kwargs]:
            nested |= set(option) if isinstance(option, dict) else set()
    names = {"n_envs" if name == N_ENVS else name for name in given}
    return {ALIASES.get(name, name) for name in names} | nested


def _default_entries(
    config: ExperimentConfig, algorithm: str, given: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the entries of an algorithm's default space that nothing else settles."""
    agent = config.agent
    defaults = entry_of(algorithm).space if config.search.default_space else {}
    settled = canonical(agent.model_kwargs) | canonical(given)
    if "train_freq" in agent.model_kwargs and "train_freq" not in given:
        settled.add("gradient_steps")  # an agent's own rhythm stays whole
    return {n: e for n, e in defaults.items() if ALIASES.get(n, n) not in settled}


def _check_own(config: ExperimentConfig) -> None:
    """Refuse entries of algorithms that are not searched, and options of one algorithm."""
    algorithms = searched_algorithms(config)
    searched = ALGORITHM in config.search.space
    for name in config.search.space:
        pair = own_entry(name)
        if pair is None:
            continue
        if is_option(pair[1]):
            raise ConfigError(
                f"search.space.{name}: options of the config are the same for all algorithms and "
                f"stand without a name of one: {pair[1]}"
            )
        if pair[0] in algorithms:
            continue
        if searched:
            what = f"{pair[0]} is not searched, but {listed(algorithms)}; see {ALGORITHM}"
        else:
            what = (
                f"no trial is one of {pair[0]}, because agent.algorithm is {algorithms[0]}; delete "
                f"the entries of {pair[0]}, or search over both with "
                f"{ALGORITHM}: {{choice: [{algorithms[0]}, {pair[0]}]}}"
            )
        raise ConfigError(f"search.space.{name}: {what}")


def require_entries_of(algorithm: str, names: Iterable[str]) -> None:
    """Refuse a space that was written for another algorithm, in one message for all its entries.

    Parameters
    ----------
    algorithm : of the trials
    names : of the space, without options of the config

    Raises
    ------
    ConfigError
        If the algorithm lacks several of the names, and another one has all of these.
    """
    lacking = [name for name in names if not accepts(algorithm, name) and name != "n_steps"]
    others = [
        other for other in installed_algorithms() if all(accepts(other, name) for name in lacking)
    ]
    if len(lacking) < 2 or not others:
        return
    raise ConfigError(
        f"search.space is written for {' or '.join(others)}: {algorithm} has no "
        f"{', no '.join(lacking)}. To search over {algorithm} write `space: {{}}`, which leaves "
        f"its own default space ({', '.join(entry_of(algorithm).space)}), or entries of "
        f"{algorithm} in the place of these"
    )
