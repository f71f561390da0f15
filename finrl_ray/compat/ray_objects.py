"""Ray Tune's domains, schedulers and searchers, and RLlib's keywords, in this package's terms."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from ray.tune.schedulers import AsyncHyperBandScheduler, FIFOScheduler
from ray.tune.search import ConcurrencyLimiter
from ray.tune.search.basic_variant import BasicVariantGenerator
from ray.tune.search.sample import Categorical, Float, Integer, LogUniform, Quantized, Uniform

from finrl_ray.agents.algorithm_registry import entry_of
from finrl_ray.cluster.scheduler_internals import asha_settings
from finrl_ray.errors import ConfigError

logger = logging.getLogger(__name__)

RLLIB_NAMES: Mapping[str, str] = MappingProxyType(
    {
        "lr": "learning_rate",
        "lambda": "gae_lambda",
        "lambda_": "gae_lambda",
        "entropy_coeff": "ent_coef",
        "vf_loss_coeff": "vf_coef",
        "clip_param": "clip_range",
        "vf_clip_param": "clip_range_vf",
        "grad_clip": "max_grad_norm",
        "num_sgd_iter": "n_epochs",
        "num_epochs": "n_epochs",
        "sgd_minibatch_size": "batch_size",
        "minibatch_size": "batch_size",
        "rollout_fragment_length": "n_steps",
    }
)
"""RLlib's keywords and SB3's for the same thing."""

_WITHOUT_EFFECT = ("framework", "log_level", "env", "num_gpus", "num_workers")


@dataclass(frozen=True, kw_only=True)
class SchedulerSettings:
    """A scheduler as the `search.scheduler` section, and the iterations that trials then have."""

    section: dict[str, Any]
    iterations: int


def translate_params(params: Mapping[str, Any], algorithm: str, num_workers: int) -> dict[str, Any]:
    """Return RLlib's parameters as a `search.space`.

    Raises
    ------
    ConfigError
        If two names mean the same, or no entry of a search space samples a value that way.
    """
    space: dict[str, Any] = {}
    for name, value in params.items():
        if name in _WITHOUT_EFFECT:
            logger.info("params: %s has no effect here", name)
            continue
        target = _sb3_name(name, algorithm, num_workers)
        if target in space:
            raise ConfigError(f"params: {name} means {target}, which is given twice")
        space[target] = translate_domain(name, value)
    return space


def _sb3_name(name: str, algorithm: str, num_workers: int) -> str:
    if name != "train_batch_size":
        return RLLIB_NAMES.get(name, name)
    if not entry_of(algorithm).on_policy:
        return "batch_size"
    if num_workers > 1:
        raise ConfigError(
            f"params: train_batch_size counts the steps of all {num_workers} workers; give "
            "n_steps, the steps of each, instead"
        )
    return "n_steps"


def translate_domain(name: str, value: Any) -> Any:
    """Return one of Ray Tune's domains as an entry of `search.space`; other values as they are.

    Raises
    ------
    ConfigError
        If no entry of a search space samples that way.
    """
    if isinstance(value, Mapping) and set(value) == {"grid_search"}:
        return {"grid": list(value["grid_search"])}
    if isinstance(value, Categorical):
        return {"choice": list(value.categories)}
    if isinstance(value, Float | Integer):
        return _numeric(name, value)
    if callable(value) or type(value).__module__.startswith("ray."):
        raise ConfigError(
            f"params: {name} is sampled by {value!r}, which a search has not; use tune.choice, "
            "uniform, loguniform, randint, quniform or grid_search"
        )
    return value


def _numeric(name: str, domain: Float | Integer) -> dict[str, list[Any]]:
    sampler = domain.sampler
    step = sampler.q if isinstance(sampler, Quantized) else None
    inner = sampler.sampler if isinstance(sampler, Quantized) else sampler
    bounds = [domain.lower, domain.upper]
    whole = isinstance(domain, Integer)
    if isinstance(inner, Uniform) and step is None:
        return {"randint" if whole else "uniform": bounds}
    if isinstance(inner, Uniform):
        return {"quniform": [*bounds, step]}
    if isinstance(inner, LogUniform) and step is None and not whole:
        return {"loguniform": bounds}
    raise ConfigError(
        f"params: {name} is sampled by {type(inner).__name__} in a way that a search has not; use "
        "tune.choice, uniform, loguniform, randint or quniform"
    )


def read_searcher(search_alg: Any) -> dict[str, Any]:
    """Return Ray's search algorithm, or its name, as entries of the `search` section.

    Raises
    ------
    ConfigError
        If there is no such search algorithm here.
    """
    if search_alg is None or isinstance(search_alg, BasicVariantGenerator):
        return {"searcher": "random"}
    if isinstance(search_alg, str):
        return {"searcher": search_alg.lower()}
    if isinstance(search_alg, ConcurrencyLimiter):
        limit = {"max_concurrent_trials": int(search_alg.max_concurrent)}
        return {**read_searcher(search_alg.searcher), **limit}
    if type(search_alg).__name__ == "OptunaSearch":
        logger.info("search_alg: Optuna's TPE is used; the settings of the object are not")
        return {"searcher": "optuna"}
    raise ConfigError(
        "search_alg must be 'random', 'optuna', Ray's BasicVariantGenerator or OptunaSearch, got a "
        f"{type(search_alg).__name__}"
    )


def read_scheduler(scheduler: Any, per_iteration: int, iterations: int) -> SchedulerSettings:
    """Return Ray's scheduler, or its name, as the `search.scheduler` section.

    Parameters
    ----------
    scheduler : None, a name, or Ray's object, whose times are in training iterations
    per_iteration : timesteps
    iterations : per trial, if the scheduler does not end trials earlier

    Raises
    ------
    ConfigError
        If there is no such scheduler here.
    """
    if scheduler is None or isinstance(scheduler, str):
        name = "fifo" if scheduler is None else scheduler.lower()
        return SchedulerSettings(section={"type": name}, iterations=iterations)
    # PopulationBasedTraining and others derive from FIFOScheduler
    if type(scheduler) is FIFOScheduler:
        return SchedulerSettings(section={"type": "fifo"}, iterations=iterations)
    if not isinstance(scheduler, AsyncHyperBandScheduler):
        raise ConfigError(
            "scheduler must be None, 'fifo', 'asha', or Ray's FIFOScheduler or ASHAScheduler, got "
            f"a {type(scheduler).__name__}"
        )
    return _asha(scheduler, per_iteration, iterations)


def _asha(
    scheduler: AsyncHyperBandScheduler, per_iteration: int, iterations: int
) -> SchedulerSettings:
    units = {"training_iteration": per_iteration, "timesteps_total": 1, "timesteps": 1}
    given = asha_settings(scheduler)
    if given.time_attr not in units:
        raise ConfigError(
            f"scheduler: time_attr must be one of {list(units)}, got {given.time_attr!r}"
        )
    if given.brackets > 1:
        raise ConfigError(
            f"scheduler: brackets must be 1, got {given.brackets}; one grace period is "
            "all that a search has"
        )
    unit = units[given.time_attr]
    # Ray ends trials at max_t
    ends = max(1, int(given.max_t * unit) // per_iteration)
    section = {
        "type": "asha",
        "grace_period": int(given.first_rung * unit),
        "reduction_factor": float(given.reduction_factor),
    }
    return SchedulerSettings(section=section, iterations=min(iterations, ends))
