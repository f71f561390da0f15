"""Search spaces: their YAML form, the defaults per algorithm, and their form for Ray Tune."""

import difflib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from finrl_ray.agent.algorithms import check_model_kwargs
from finrl_ray.agent.hyperparameters import DERIVED_NAMES, NET_ARCHS
from finrl_ray.config import AgentConfig, ExperimentConfig
from finrl_ray.errors import ConfigError

_ON_POLICY: dict[str, Any] = {
    "one_minus_gamma": {"loguniform": [1e-4, 0.03]},
    "one_minus_gae_lambda": {"loguniform": [1e-3, 0.2]},
    "ent_coef": {"loguniform": [1e-8, 0.1]},
    "max_grad_norm": {"loguniform": [0.3, 2.0]},
    "net_arch": {"choice": ["tiny", "small", "medium"]},
    "activation_fn": {"choice": ["tanh", "relu"]},
}
_OFF_POLICY: dict[str, Any] = {
    "learning_rate": {"loguniform": [1e-5, 2e-3]},
    "batch_size": {"choice": [64, 128, 256, 512]},
    "one_minus_gamma": {"loguniform": [1e-4, 0.03]},
    "tau": {"loguniform": [1e-3, 0.08]},
    "train_freq": {"choice": [1, 2, 4, 8]},
    "learning_starts": {"choice": [100, 500, 1000]},
    "net_arch": {"choice": ["tiny", "small", "medium"]},
}
# Ranges after the habits of rl-baselines3-zoo (hyperparams_opt.py): learning rates end at 2e-3
DEFAULT_SPACES: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "ppo": {
            "learning_rate": {"loguniform": [1e-5, 2e-3]},
            "n_steps": {"choice": [128, 256, 512, 1024, 2048]},
            "batch_size": {"choice": [32, 64, 128, 256, 512]},
            "n_epochs": {"choice": [5, 10, 20]},
            "clip_range": {"choice": [0.1, 0.2, 0.3, 0.4]},
            **_ON_POLICY,
        },
        "a2c": {
            "learning_rate": {"loguniform": [1e-5, 2e-3]},
            "n_steps": {"choice": [5, 8, 16, 32, 64, 128]},
            "vf_coef": {"uniform": [0.2, 0.8]},
            **_ON_POLICY,
        },
        "ddpg": {
            **_OFF_POLICY,
            "action_noise": {"choice": ["normal", "ornstein_uhlenbeck"]},
        },
        "td3": {
            **_OFF_POLICY,
            "action_noise": {"choice": ["normal", "ornstein_uhlenbeck"]},
            "policy_delay": {"choice": [1, 2, 4]},
        },
        "sac": {**_OFF_POLICY, "ent_coef": {"choice": ["auto", "auto_0.1", 0.01, 0.1]}},
    }
)


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
    if values[2] <= 0:
        raise ConfigError(f"quniform needs [low, high, step] with step > 0, got {list(values)}")


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
        close = difflib.get_close_matches(str(kind), _CHECKS, 1)
        hint = f". Did you mean {close[0]!r}?" if close else ""
        raise ConfigError(f"{kind!r} is none of {sorted(_CHECKS)}{hint}")
    if not isinstance(values, list | tuple):
        raise ConfigError(f"{kind} needs a list, got {values!r}")
    _CHECKS[kind](values)
    return Domain(kind=kind, values=tuple(values))


def build_space(config: ExperimentConfig) -> dict[str, Domain]:
    """Return the algorithm's default space with the config's entries laid over it, all checked.

    Raises
    ------
    ConfigError
        Naming `search.space.<key>`, what came and what must hold.
    """
    agent, search = config.agent, config.search
    entries = dict(DEFAULT_SPACES[agent.algorithm]) if search.default_space else {}
    fixed = set(agent.model_kwargs) | {"n_envs"}
    entries = {name: entry for name, entry in entries.items() if name not in fixed}
    space = {}
    for name, entry in {**entries, **search.space}.items():
        try:
            space[name] = parse_domain(entry)
        except ConfigError as error:
            raise ConfigError(f"search.space.{name}: {error}") from None
    _check_names(space, agent)
    _check_learning_rate(space)
    if not space and search.num_samples > 1:
        raise ConfigError(
            "search.space is empty, so all trials would be equal; add entries to search.space, "
            "set search.default_space to true, or set search.num_samples to 1"
        )
    if search.searcher == "optuna" and any(d.kind == "grid" for d in space.values()):
        raise ConfigError("search.space: grid needs search.searcher 'random', got 'optuna'")
    return space


def _check_names(space: Mapping[str, Domain], agent: AgentConfig) -> None:
    plain = {name: None for name in space if name not in DERIVED_NAMES}
    if "seed" in plain or "seed" in agent.model_kwargs:
        raise ConfigError(
            "seed cannot be searched over or fixed for all trials: each trial's seed is derived "
            "from the top-level `seed` and recorded; set that instead"
        )
    try:
        check_model_kwargs(agent.algorithm, plain)
        check_model_kwargs(agent.algorithm, agent.model_kwargs)
    except ValueError as error:
        raise ConfigError(f"search.space or agent.model_kwargs: {error}") from None
    archs = space.get("net_arch")
    for arch in archs.values if archs else ():
        if isinstance(arch, str) and arch not in NET_ARCHS:
            raise ConfigError(
                f"search.space.net_arch: {arch!r} is none of {list(NET_ARCHS)}; give one of them "
                "or a list of layer widths"
            )
    if "one_minus_gae_lambda" in space and agent.algorithm not in ("ppo", "a2c"):
        raise ConfigError(f"search.space.one_minus_gae_lambda: {agent.algorithm} has no GAE")


def _check_learning_rate(space: Mapping[str, Domain]) -> None:
    domain = space.get("learning_rate")
    values = [v for v in domain.values if isinstance(v, int | float)] if domain else []
    if values and (max(values) >= 1.0 or min(values) <= 0):
        raise ConfigError(
            f"search.space.learning_rate must stay within (0, 1), got {list(domain.values)}"  # type: ignore[union-attr]  # values is empty without a domain
        )


def corner_samples(space: Mapping[str, Domain]) -> list[dict[str, Any]]:
    """Return samples in which every option and every bound of the space appears at least once."""
    options = {
        name: domain.values[:2] if domain.kind == "quniform" else domain.values
        for name, domain in space.items()
    }
    count = max((len(values) for values in options.values()), default=1)
    return [
        {name: values[min(i, len(values) - 1)] for name, values in options.items()}
        for i in range(count)
    ]


def count_trials(space: Mapping[str, Domain], num_samples: int) -> int:
    """Return how many trials the search starts: samples times the size of the grid."""
    grids = [len(domain.values) for domain in space.values() if domain.kind == "grid"]
    return num_samples * math.prod(grids)


def to_param_space(space: Mapping[str, Domain]) -> dict[str, Any]:
    """Return the space as Ray Tune's `param_space`."""
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
    return {name: makers[domain.kind](*domain.values) for name, domain in space.items()}
