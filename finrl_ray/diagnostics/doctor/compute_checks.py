"""Whether a search fits into the memory and onto the cores of this machine."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import psutil

from finrl_ray.agents.algorithm_registry import entry_of
from finrl_ray.agents.hyperparameters import settings_of_sample
from finrl_ray.config.experiment import ExperimentConfig
from finrl_ray.config.trial.config_of_sample import config_of_sample
from finrl_ray.data.chosen_features import market_of_sample
from finrl_ray.data.market_data import MarketData
from finrl_ray.diagnostics.findings import FindingList
from finrl_ray.diagnostics.memory_estimate import FLOAT_BYTES, PROCESS_BYTES, memory_estimate
from finrl_ray.env.observed_columns import observation_size
from finrl_ray.env.portfolio.market import portfolio_size
from finrl_ray.errors import FinRLRayError
from finrl_ray.machine.available_cpus import available_cpus
from finrl_ray.machine.resources import cgroup_memory_limit
from finrl_ray.search.run.trial_resources import local_shortage, of_one_trial, starts_own_ray
from finrl_ray.search.sampling.domains import Domain, build_space, corner_samples, count_trials
from finrl_ray.support.text import counted, readable_bytes

COMFORTABLE = 0.8
"""Share of the available memory up to which a search fits comfortably."""


def available_memory() -> int:
    """Return the bytes that may still be used: of the machine, and of the cgroup's limit."""
    machine = int(psutil.virtual_memory().available)
    limit = cgroup_memory_limit()
    return machine if limit is None else min(machine, limit)


@dataclass(frozen=True, kw_only=True, slots=True)
class TrialMemory:
    """The memory of a trial, by its config alone.

    Parameters
    ----------
    total_bytes : of its process
    buffer_bytes : of its buffers and networks alone
    """

    total_bytes: int
    buffer_bytes: int


def check_compute(
    config: ExperimentConfig, market_data: MarketData, findings: FindingList
) -> TrialMemory:
    """Look at the memory and the cores that the trials take at once; return the largest trial's."""
    space = build_space(config)
    concurrent = concurrent_trials(config, space)
    _check_cores(config, findings)
    largest = largest_trial(config, space, market_data)
    needed = concurrent * largest.total_bytes
    available = available_memory()
    parts = (
        f"{readable_bytes(PROCESS_BYTES)} for the process, {readable_bytes(largest.buffer_bytes)} "
        "for buffers and networks"
    )
    if concurrent > 1:
        words = (
            f"{counted(concurrent, 'trial')} at once of up to "
            f"{readable_bytes(largest.total_bytes)} each ({parts}) take"
        )
    else:
        words = f"one trial ({parts}) takes"
    words += f" about {readable_bytes(needed)} by the config alone, before anything is measured"
    words += f"; {readable_bytes(available)} are available"
    on_policy = entry_of(config.agent.algorithm).on_policy
    remedy = f"lower {'n_steps, n_envs' if on_policy else 'buffer_size'}, net_arch"
    remedy += " or search.max_concurrent_trials" if concurrent > 1 else ""
    if needed > available:
        findings.error("memory", f"{words}: this will not fit", remedy)
    elif needed > COMFORTABLE * available:
        findings.warning("memory", f"{words}: this will be tight", remedy)
    else:
        findings.ok("memory", words)
    return largest


def fits(config: ExperimentConfig, market_data: MarketData) -> bool:
    """Return whether one trial of the agent as configured, nothing sampled, fits into memory."""
    return largest_trial(config, {}, market_data).total_bytes <= available_memory()


def concurrent_trials(config: ExperimentConfig, space: Mapping[str, Domain]) -> int:
    """Return how many trials run at once on the CPUs that this process may use."""
    search = config.search
    by_cores = max(1, math.floor(available_cpus() / search.cpus_per_trial))
    planned = max(1, count_trials(space, search))
    limits = [by_cores, planned]
    if search.max_concurrent_trials is not None:
        limits.append(search.max_concurrent_trials)
    return min(limits)


def largest_trial(
    config: ExperimentConfig, space: Mapping[str, Domain], market_data: MarketData
) -> TrialMemory:
    """Return the memory of the largest trial that can be sampled from a space."""
    n_assets, n_all = market_data.n_assets, len(market_data.feature_names)
    largest = longest = 0
    for sample in corner_samples(space) or [{}]:
        try:
            settings = settings_of_sample(config, sample)
            seen = market_of_sample(market_data, sample)
        except FinRLRayError:
            continue  # reported with the space
        trial = config_of_sample(config, sample)
        portfolio = trial.env.type == "portfolio"
        size_of = portfolio_size if portfolio else partial(observation_size, trial.env)
        single = size_of(n_assets, len(seen.feature_names))
        entries = single * trial.agent.n_stack
        size = memory_estimate(
            trial.agent.algorithm,
            settings.model_kwargs,
            entries,
            n_assets,
            settings.n_envs,
            shares_market=trial.agent.n_stack == 1 and not portfolio,
        )
        largest, longest = max(largest, size), max(longest, single)
    # the observation table of the env, in float32, beside the market's own float64 arrays
    arrays = n_assets * (n_all + 6) * 8
    market = market_data.n_periods * (arrays + longest * FLOAT_BYTES)
    return TrialMemory(total_bytes=PROCESS_BYTES + largest + market, buffer_bytes=largest)


def _check_cores(config: ExperimentConfig, findings: FindingList) -> None:
    search, cores = config.search, available_cpus()
    if not starts_own_ray(None):
        findings.note(
            "search.cpus_per_trial",
            f"a Ray will be joined: whether one of its nodes has {of_one_trial(config)} for a "
            "trial is seen when the search starts",
        )
        return
    lack = local_shortage(config)
    if lack:
        findings.error("search", lack)
        return
    wanted = (search.max_concurrent_trials or 1) * search.cpus_per_trial
    if wanted > cores:
        findings.warning(
            "search.max_concurrent_trials",
            f"{search.max_concurrent_trials} trials of {search.cpus_per_trial:g} CPU each need "
            f"{wanted:g} cores, and this process may use {cores}: the others wait",
            "lower it, or run on a cluster",
        )
