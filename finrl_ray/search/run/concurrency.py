"""How many trials may run at once on the connected Ray cluster."""

import logging
import math
from collections.abc import Callable
from functools import partial

import ray
from cachetools import TTLCache, cached

from finrl_ray.cluster.nodes import most_cpus
from finrl_ray.config.experiment import ExperimentConfig
from finrl_ray.machine.available_cpus import available_cpus
from finrl_ray.search.schedulers.make import samples_all_first
from finrl_ray.training.threads import crowding, threads_per_trial

logger = logging.getLogger(__name__)

REFRESH_S = 1.0
"""Seconds after which Ray is asked again how many trials fit on the cluster."""


def concurrency_limit(config: ExperimentConfig) -> Callable[[], float]:
    """Return a function that says how many trials may be alive at once."""
    if samples_all_first(config):
        return lambda: math.inf  # those that wait for the others to be compared with count too
    most = config.search.max_concurrent_trials
    if most is not None:
        return lambda: most
    fitting = partial(_trials_that_fit, config.search.cpus_per_trial, config.search.gpus_per_trial)
    # without a lock, as `cachetools.func.ttl_cache` has one: Ray pickles what asks for the limit
    limit: Callable[[], float] = cached(TTLCache(maxsize=1, ttl=REFRESH_S))(fitting)
    return limit


def _trials_that_fit(cpus: float, gpus: float) -> float:
    """Return how many trials the cluster has resources for, at least 1.

    Asking Ray takes a millisecond.
    """
    trials = most_cpus() // cpus
    if gpus:
        resources: dict[str, float] = ray.cluster_resources()
        trials = min(trials, resources.get("GPU", 0.0) // gpus)
    return max(1.0, trials)


def warn_of_crowding(config: ExperimentConfig, planned: int) -> None:
    """Log a warning if trials that run at once have more threads than there are cores."""
    most = config.search.max_concurrent_trials
    fitting = _trials_that_fit(config.search.cpus_per_trial, config.search.gpus_per_trial)
    at_once = min(planned, fitting, math.inf if most is None else most)
    # what other nodes have beyond what they offer cannot be known here
    cores = most_cpus() if len(ray.nodes()) > 1 else available_cpus()
    warning = crowding(at_once, threads_per_trial(config), cores)
    if warning:
        logger.warning(warning)
