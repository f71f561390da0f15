"""What can be wrong with the agent and the search space, seen from the config alone."""

import dataclasses
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from finrl_ray.agents.algorithm_registry import entry_of, installed_algorithms
from finrl_ray.agents.algorithms import model_keywords
from finrl_ray.agents.hyperparameters import derived_names, resolve_sample
from finrl_ray.config.agent import AgentConfig
from finrl_ray.config.experiment import ExperimentConfig
from finrl_ray.config.trial.options import (
    ALGORITHM,
    N_ENVS,
    check_option,
    is_option,
    option_value,
    own_name,
    searched_algorithms,
)
from finrl_ray.diagnostics.findings import FindingList
from finrl_ray.errors import ConfigError
from finrl_ray.search.sampling.domains import Domain, build_space, corner_values, parse_domain
from finrl_ray.search.sampling.entries import accepts, entries_of
from finrl_ray.support.text import counted, did_you_mean

LEARNING_RATES = (1e-6, 1e-2)
"""Outside of these SB3's algorithms hardly learn, or diverge."""
FEW_UPDATES = 5
_SCALES = {"agent.normalize", "env.observation_scaling", "env.observation"}
"""Options that decide on the scale of observations, and may be searched over."""
_SB3_DEFAULTS: Mapping[str, int] = {
    "n_steps": 2048,
    "buffer_size": 1_000_000,
    "batch_size": 256,
    "learning_starts": 100,
}


def check_agent(config: ExperimentConfig, findings: FindingList) -> ExperimentConfig:
    """Look through the agent's keywords and the search space; return what is usable of them.

    Parameters
    ----------
    config : the experiment
    findings : gets what was found

    Returns
    -------
    ExperimentConfig
        Without the keywords and entries that are errors, so that the rest can be checked.
    """
    agents = _agents(config)
    right = {
        n: v
        for n, v in config.agent.model_kwargs.items()
        if all(_keyword_is_right(agent, n, v, findings) for agent in agents)
    }
    agent = dataclasses.replace(config.agent, model_kwargs=right)
    given = config.search.space
    # what one of several algorithms accepts is looked at with the space as a whole
    several = [n for n in given if ALGORITHM in given and not is_option(n)]
    entries = {
        n: e for n, e in given.items() if n in several or _entry_is_right(agent, n, e, findings)
    }
    # a space of which nothing is left is not one that was meant to be empty
    emptied = bool(config.search.space) and not entries
    search = dataclasses.replace(
        config.search, space=entries, default_space=config.search.default_space or emptied
    )
    config = dataclasses.replace(config, agent=agent, search=search)
    try:
        space = build_space(config)
    except ConfigError as error:
        findings.error("search.space", str(error))
        space = {}
        search = dataclasses.replace(search, space={}, default_space=True)
        config = dataclasses.replace(config, search=search)
    for one in _agents(config):
        # what stands in the space under the algorithm's own name, and what all of them share
        own = entries_of(space, one.algorithm)
        trial = dataclasses.replace(config, agent=one)
        _check_learning_rate(trial, own, findings)
        if entry_of(one.algorithm).on_policy:
            _check_rollouts(trial, own, findings)
        else:
            _check_buffers(trial, own, findings)
    if not findings.has_error("agent.model_kwargs") and not findings.has_error("search.space"):
        count = f"{len(space)} searched over" if space else "nothing searched over"
        names = [one.algorithm for one in _agents(config)]
        verb = "has" if len(names) == 1 else "have"
        findings.ok("agent", f"{' and '.join(names)} {verb} every keyword named ({count})")
    return config


def _agents(config: ExperimentConfig) -> list[AgentConfig]:
    """Return the agent of each algorithm that trials may have."""
    names: list[Any] = [config.agent.algorithm]
    with suppress(ConfigError):  # an error of the space is told of with the space
        names = list(searched_algorithms(config))
    return [dataclasses.replace(config.agent, algorithm=name) for name in names]


def _keyword_is_right(agent: AgentConfig, name: str, value: Any, findings: FindingList) -> bool:
    where = f"agent.model_kwargs.{name}"
    if not _name_is_right(agent.algorithm, name, where, findings):
        return False
    try:
        # whether a batch may be of one sample depends on it
        together = {n: v for n, v in agent.model_kwargs.items() if n == "normalize_advantage"}
        resolve_sample({name: value}, dataclasses.replace(agent, model_kwargs=together))
    except ConfigError as error:
        findings.error(where, str(error))
        return False
    return True


def _entry_is_right(agent: AgentConfig, name: str, entry: Any, findings: FindingList) -> bool:
    where = f"search.space.{name}"
    if is_option(name):
        return _option_is_right(name, entry, findings)
    keyword = name.removeprefix(own_name(agent.algorithm, ""))
    if not _name_is_right(agent.algorithm, keyword, where, findings):
        return False
    try:
        for value in corner_values(parse_domain(entry)):
            resolve_sample({keyword: value}, agent)
    except ConfigError as error:
        findings.error(where, str(error))
        return False
    return True


def _option_is_right(name: str, entry: Any, findings: FindingList) -> bool:
    try:
        check_option(name)
        for value in corner_values(parse_domain(entry)):
            option_value(name, value)
    except ConfigError as error:
        findings.error(f"search.space.{name}", str(error))
        return False
    return True


def _name_is_right(algorithm: str, name: str, where: str, findings: FindingList) -> bool:
    known = model_keywords(algorithm)
    derived = derived_names(algorithm)
    if name in known or name in derived:
        return True
    others = [other for other in installed_algorithms() if accepts(other, name)]
    if others:
        verb = "has" if len(others) == 1 else "have"
        findings.error(
            where,
            f"{algorithm} has no keyword {name!r}; {', '.join(others)} {verb} it",
            f"remove it, or set agent.algorithm to {' or '.join(others)}",
        )
    else:
        findings.error(
            where,
            f"no algorithm has a keyword {name!r}.{did_you_mean(name, (*known, *derived))}",
        )
    return False


# -- values -----------------------------------------------------------------------------------


def options_of(config: ExperimentConfig, space: Mapping[str, Domain], name: str) -> list[Any]:
    """Return the values that a keyword takes: the ends of its search, or the one it is set to."""
    name_there = N_ENVS if name == "n_envs" and N_ENVS in space else name
    if name_there in space:
        return list(corner_values(space[name_there]))
    agent = config.agent
    if name == "n_envs":
        return [agent.model_kwargs.get("n_envs", agent.n_envs)]
    kwargs = {**_SB3_DEFAULTS, **entry_of(agent.algorithm).defaults, **agent.model_kwargs}
    return [kwargs[name]] if name in kwargs else []


def _place(config: ExperimentConfig, space: Mapping[str, Domain], name: str) -> str:
    """Return where a keyword of the algorithm stands in the config."""
    if name not in space:
        return f"agent.model_kwargs.{name}"
    own = own_name(config.agent.algorithm, name)
    return f"search.space.{own if own in config.search.space else name}"


def _check_learning_rate(
    config: ExperimentConfig, space: Mapping[str, Domain], findings: FindingList
) -> None:
    low, high = LEARNING_RATES
    where = _place(config, space, "learning_rate")
    for value in options_of(config, space, "learning_rate"):
        number = float(str(value).removeprefix("lin_"))
        if number > high:
            findings.warning(
                where,
                f"a learning_rate of {value} is above {high:g}: training usually diverges",
                "1e-5 to 2e-3 is usual",
            )
        elif number < low:
            findings.warning(
                where,
                f"a learning_rate of {value} is below {low:g}: hardly anything is learned",
                "1e-5 to 2e-3 is usual",
            )


def _check_rollouts(
    config: ExperimentConfig, space: Mapping[str, Domain], findings: FindingList
) -> None:
    n_steps, n_envs = (options_of(config, space, name) for name in ("n_steps", "n_envs"))
    total = config.agent.total_timesteps
    shortest, longest = min(n_steps) * min(n_envs), max(n_steps) * max(n_envs)
    if entry_of(config.agent.algorithm).minibatches:
        _check_batches(config, space, (shortest, longest), findings)
    updates = total / longest
    if updates < FEW_UPDATES:
        findings.warning(
            "agent.total_timesteps",
            f"{total:,} timesteps are as few as {_rollouts(updates)} of {longest:,} (n_steps x "
            "n_envs), and each rollout is one round of learning",
            "raise agent.total_timesteps, or lower n_steps or n_envs",
        )


def _rollouts(updates: float) -> str:
    count = max(1, round(updates))
    return counted(count, "rollout")


def _check_batches(
    config: ExperimentConfig,
    space: Mapping[str, Domain],
    rollouts: tuple[int, int],
    findings: FindingList,
) -> None:
    batches = options_of(config, space, "batch_size")
    shortest, longest = rollouts
    place = _place(config, space, "batch_size")
    given = entries_of(config.search.space, config.agent.algorithm)
    remedy = "lower batch_size, or raise n_steps or n_envs"
    if min(batches) > longest:
        findings.error(
            place,
            f"batch_size {min(batches)} is larger than the rollout of {longest} (n_steps x n_envs):"
            " there is no such batch to learn from",
            remedy,
        )
    elif max(batches) > shortest and {"n_steps", "batch_size", "n_envs", N_ENVS} & set(given):
        findings.warning(
            place,
            f"batch_size {max(batches)} is larger than the shortest rollout of {shortest} (n_steps "
            "x n_envs): trials with both learn from the whole rollout at once",
            remedy,
        )


def _check_buffers(
    config: ExperimentConfig, space: Mapping[str, Domain], findings: FindingList
) -> None:
    total = config.agent.total_timesteps
    buffers, batches, starts = (
        options_of(config, space, name) for name in ("buffer_size", "batch_size", "learning_starts")
    )
    if max(batches) > min(buffers):
        findings.error(
            _place(config, space, "batch_size"),
            f"batch_size {max(batches)} is larger than the replay buffer of {min(buffers)}",
            "lower batch_size or raise buffer_size",
        )
    if max(starts) >= total:
        findings.error(
            _place(config, space, "learning_starts"),
            f"learning starts at timestep {max(starts):,}, but training ends at {total:,}",
            "lower learning_starts or raise agent.total_timesteps",
        )
    elif max(starts) > total / 2:
        findings.warning(
            _place(config, space, "learning_starts"),
            f"learning starts at timestep {max(starts):,} of {total:,}: more than half of the "
            "training is random actions",
            "lower learning_starts",
        )


def check_experiment(config: ExperimentConfig, findings: FindingList) -> None:
    """Look at how observations, evaluations and trials go together."""
    raw = config.agent.normalize in (False, "rewards")
    raw = raw and not _SCALES & set(config.search.space)
    if raw and config.env.type == "portfolio":
        findings.warning(
            "agent.normalize",
            "observations are not normalised: covariances of daily returns, of about 0.0001, stand "
            "beside indicators and weights, and are drowned by them",
            "set agent.normalize to true or observations",
        )
    elif raw and not config.env.scales_observations and config.env.class_ is None:
        findings.warning(
            "agent.normalize",
            f"observations are not normalised: cash of {config.env.initial_amount:,.0f} stands "
            "beside prices and indicators, and drowns them",
            "set env.observation to stationary, env.observation_scaling to train, or "
            "agent.normalize to true",
        )
    once = config.evaluation.eval_freq >= config.agent.total_timesteps
    kind = config.search.scheduler.type
    if once and kind != "fifo":
        findings.warning(
            "evaluation.eval_freq",
            f"a trial of {config.agent.total_timesteps:,} timesteps is evaluated once, at its end "
            f"(eval_freq {config.evaluation.eval_freq:,}), so {kind} can do nothing",
            "lower evaluation.eval_freq",
        )
