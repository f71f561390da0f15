"""Which hyperparameters can change while a model trains, and how population training moves them."""

import copy
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from finrl_ray.config.experiment import ExperimentConfig
from finrl_ray.config.schedulers import PB2Config, PBTConfig
from finrl_ray.config.trial.options import ALGORITHM, is_option
from finrl_ray.errors import ConfigError
from finrl_ray.search.sampling.domains import Domain, grid_options
from finrl_ray.search.sampling.initial_points import draw
from finrl_ray.support.text import did_you_mean

MUTABLE = (
    "learning_rate",
    "gamma",
    "one_minus_gamma",
    "gae_lambda",
    "one_minus_gae_lambda",
    "ent_coef",
    "vf_coef",
    "clip_range",
    "clip_range_vf",
    "max_grad_norm",
    "target_kl",
    "normalize_advantage",
    "n_epochs",
    "batch_size",
    "n_steps",
    "tau",
    "train_freq",
    "gradient_steps",
    "policy_delay",
    "target_update_interval",
    "target_policy_noise",
    "target_noise_clip",
)
"""Names that take effect when a model is restored with another value of them."""
_CHECKPOINT = "a checkpoint goes on with the value it was made with"
_OPTION = (
    "it is part of the task that the agent of a checkpoint has learned, and its copies go on with "
    "the same"
)
_NETWORK = "it shapes the networks, whose weights are copied"
WHY_CONSTANT: Mapping[str, str] = MappingProxyType(
    {
        "net_arch": _NETWORK,
        "activation_fn": _NETWORK,
        "policy_kwargs": _NETWORK,
        "use_sde": _NETWORK,
        "n_envs": "a checkpoint holds the accounts of as many envs",
        "buffer_size": "the replay buffer is copied as it is",
        "action_noise": "the noise process is copied as it is",
        "learning_starts": "training is past its start",
        "use_rms_prop": "the optimizer's state is copied",
        "rms_prop_eps": "the optimizer's state is copied",
    }
)
"""Why a name cannot change during training."""
FACTORS = (0.8, 1.2)
"""By which a number is multiplied when it is not drawn anew."""


def mutable_domains(
    config: ExperimentConfig, space: Mapping[str, Domain], *, continuous: bool
) -> dict[str, Domain]:
    """Return what population training may change, by name.

    Parameters
    ----------
    config : the experiment, with `search.scheduler.mutations`
    space : its search space
    continuous : keep real ranges alone (`uniform`, `loguniform`), as PB2 needs

    Raises
    ------
    ConfigError
        If a name is not searched over, cannot change during training, or nothing is left.
    """
    options = config.search.scheduler
    assert isinstance(options, PBTConfig | PB2Config)
    given = options.mutations
    where = "search.scheduler.mutations"
    kind = config.search.scheduler.type
    if ALGORITHM in space:
        raise ConfigError(
            f"search.scheduler.type {kind!r} copies agents with what they have learned, which no "
            f"other algorithm can go on with; leave search.space.{ALGORITHM} out"
        )
    for name in given or ():
        _check_mutation(name, space, kind, where, continuous=continuous)
    chosen = [name for name in (given or space) if _can_change(name, space, continuous=continuous)]
    if not chosen:
        needed = "a uniform or loguniform range of" if continuous else "at least one of"
        raise ConfigError(
            f"search.scheduler.type {kind!r} changes hyperparameters during training and needs "
            f"{needed} {', '.join(MUTABLE)} in search.space, which has {', '.join(space) or 'none'}"
        )
    return {name: space[name] for name in chosen}


def _check_mutation(
    name: str, space: Mapping[str, Domain], kind: str, where: str, *, continuous: bool
) -> None:
    if name not in space:
        raise ConfigError(
            f"{where}: {name!r} is not in the search space, which has "
            f"{', '.join(space)}.{did_you_mean(name, space)}"
        )
    if name not in MUTABLE:
        reason = WHY_CONSTANT.get(name, _OPTION if is_option(name) else _CHECKPOINT)
        raise ConfigError(f"{where}: {name} cannot change during training: {reason}; leave it out")
    if len(space[name].values) < 2:
        raise ConfigError(f"{where}: search.space.{name} has one value alone; leave it out")
    if continuous and space[name].kind not in ("uniform", "loguniform"):
        raise ConfigError(
            f"{where}: {kind} needs a range, uniform or loguniform, of {name}, got "
            f"{space[name].kind}; use type 'pbt' or leave it out"
        )


def _can_change(name: str, space: Mapping[str, Domain], *, continuous: bool) -> bool:
    domain = space[name]
    ranged = domain.kind in ("uniform", "loguniform")
    return name in MUTABLE and len(domain.values) > 1 and (ranged or not continuous)


def mutate(
    sample: Mapping[str, Any],
    domains: Mapping[str, Domain],
    resample_probability: float,
    rng: np.random.Generator,
) -> dict[str, Any]:
    """Return a changed copy of a sample, every changed value within its domain.

    A number is multiplied by 0.8 or 1.2, a whole one moved by at least 1, an option exchanged for
    the one before or after it in the list; or, with the given probability, drawn anew.

    Parameters
    ----------
    sample : of the trial that is copied
    domains : what may change
    resample_probability : per hyperparameter
    rng : its draws decide
    """
    changed = copy.deepcopy(dict(sample))
    for name, domain in domains.items():
        if rng.random() < resample_probability:
            changed[name] = copy.deepcopy(draw(domain, rng))
        else:
            changed[name] = copy.deepcopy(_moved(sample[name], domain, rng))
    return changed


def _moved(value: Any, domain: Domain, rng: np.random.Generator) -> Any:
    if domain.kind in ("uniform", "loguniform"):
        return within(domain, value * float(rng.choice(FACTORS)))
    if domain.kind == "randint":
        factor = float(rng.choice(FACTORS))
        step = max(1, round(abs(value * (factor - 1))))
        return within(domain, value + (step if factor > 1 else -step))
    return _neighbour(value, grid_options(domain), rng)


def _neighbour(value: Any, options: Sequence[Any], rng: np.random.Generator) -> Any:
    if value not in options:  # an initial point outside the space
        return options[int(rng.integers(len(options)))]
    position = options.index(value) + int(rng.choice((-1, 1)))
    return options[min(max(position, 0), len(options) - 1)]


def within(domain: Domain, value: float) -> Any:
    """Return the value of a numeric range that is nearest to `value`."""
    low, high = domain.values[:2]
    if domain.kind == "randint":
        return int(min(max(round(value), low), high - 1))
    return float(min(max(value, low), high))
