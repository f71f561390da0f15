"""Which values an SB3 keyword can train with; SB3 itself checks few of them before training."""

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from finrl_ray.agents.algorithm_registry import entry_of
from finrl_ray.agents.schedules import parse_schedule
from finrl_ray.errors import ConfigError

# smallest value of keywords that are whole numbers
INTEGERS: Mapping[str, int] = MappingProxyType(
    {
        "n_steps": 1,
        "batch_size": 1,
        "n_epochs": 1,
        "buffer_size": 1,
        "learning_starts": 0,
        "policy_delay": 1,
        "target_update_interval": 1,
        "sde_sample_freq": -1,
        "stats_window_size": 1,
        "n_envs": 1,
        "n_quantiles": 1,
        "n_critics": 1,
        "top_quantiles_to_drop_per_net": 0,
        "lstm_hidden_size": 1,
        "n_lstm_layers": 1,
        "sub_sampling_factor": 1,
        "cg_max_steps": 1,
        "line_search_max_iter": 1,
        "n_critic_updates": 1,
    }
)
WHOLE_LISTS = ("net_arch", "train_freq", "gradient_steps")
"""Keywords that are whole numbers too, or lists with some."""
# (low, high, low included, high included) of keywords that are real numbers
RANGES: Mapping[str, tuple[float, float, bool, bool]] = MappingProxyType(
    {
        "learning_rate": (0.0, 1.0, False, False),
        "clip_range": (0.0, math.inf, False, False),
        "clip_range_vf": (0.0, math.inf, False, False),
        "gamma": (0.0, 1.0, True, True),
        "gae_lambda": (0.0, 1.0, True, True),
        "tau": (0.0, 1.0, False, True),
        "ent_coef": (0.0, math.inf, True, False),
        "vf_coef": (0.0, math.inf, True, False),
        "max_grad_norm": (0.0, math.inf, False, False),
        "target_kl": (0.0, math.inf, False, False),
        "rms_prop_eps": (0.0, math.inf, False, False),
        "target_policy_noise": (0.0, math.inf, True, False),
        "target_noise_clip": (0.0, math.inf, True, False),
        "cg_damping": (0.0, math.inf, True, False),
        "line_search_shrinking_factor": (0.0, 1.0, False, False),
        "exploration_fraction": (0.0, 1.0, True, True),
        "exploration_initial_eps": (0.0, 1.0, True, True),
        "exploration_final_eps": (0.0, 1.0, True, True),
    }
)
OPTIONAL = ("clip_range_vf", "target_kl", "action_noise", "policy_kwargs")
SWITCHES = (
    "use_sde",
    "normalize_advantage",
    "optimize_memory_usage",
    "use_rms_prop",
)
_POLICY_SWITCHES = ("enable_critic_lstm", "shared_lstm")
_OF_POLICIES = ("n_quantiles", "n_critics", "lstm_hidden_size", "n_lstm_layers")
ACTION_NOISE_NAMES = ("normal", "ornstein_uhlenbeck")
ACTION_NOISE_SIGMA = 0.1
"""Deviation of a noise given by name alone, as in FinRL; actions are within [-1, 1]."""


def check_values(algorithm: str, kwargs: Mapping[str, Any]) -> None:
    """Refuse values that a keyword cannot be trained with.

    Parameters
    ----------
    algorithm : name of the algorithm
    kwargs : keywords of its class, translated (no `one_minus_gamma`), and `n_envs`

    Raises
    ------
    ConfigError
        Naming the keyword, what must hold and what came.
    """
    required = entry_of(algorithm).required if algorithm else ()
    for name, value in kwargs.items():
        if value is None and name in OPTIONAL and name not in required:
            continue
        if name in INTEGERS:
            _require_integer(name, value, INTEGERS[name])
        elif name in RANGES:
            _check_number(algorithm, name, value)
        elif name in SWITCHES and not isinstance(value, bool):
            raise ConfigError(f"{name} must be true or false, got {value!r}")
        elif name in _SPECIAL:
            _SPECIAL[name](value)


def check_advantages(algorithm: str, kwargs: Mapping[str, Any], n_envs: int) -> None:
    """Refuse to normalise the advantages of a single sample, whose deviation is not a number.

    Parameters
    ----------
    algorithm : name of the algorithm
    kwargs : all keywords that its class is built with, defaults that are not SB3's own included
    n_envs : accounts stepped together

    Raises
    ------
    ConfigError
        If A2C or TRPO would update on one sample, or PPO have rollouts or batches of one, or
        RecurrentPPO a last batch of one, and `normalize_advantage` is set; or if CrossQ had
        batches of one.
    """
    entry = entry_of(algorithm)
    normalizes = entry.normalize_advantage
    if not entry.on_policy:
        _check_least_batch(algorithm, kwargs.get("batch_size"), entry.least_batch)
    if normalizes is None or not kwargs.get("normalize_advantage", normalizes):
        return
    n_steps = kwargs.get("n_steps")
    rule = "normalize_advantage divides by the deviation of the advantages of one"
    remedy = "or set normalize_advantage to false"
    if n_steps is not None and n_steps * n_envs == 1:
        raise ConfigError(
            f"{rule} update, and of n_steps {n_steps} x n_envs {n_envs} = 1 sample there is none: "
            f"the first update would make every parameter NaN. Raise n_steps or n_envs, {remedy}"
        )
    if entry.least_batch > 1 and kwargs.get("batch_size") == 1:
        raise ConfigError(
            f"{rule} batch, and batch_size 1 has none; batch_size must be >= 2, {remedy}"
        )
    if entry.is_recurrent:
        _check_last_batch(kwargs, n_envs)


def _check_last_batch(kwargs: Mapping[str, Any], n_envs: int) -> None:
    """Refuse a last batch of one sample, of which SB3's PPO alone makes an exception."""
    n_steps, batch_size = kwargs.get("n_steps"), kwargs.get("batch_size")
    if n_steps is None or batch_size is None or n_steps * n_envs % batch_size != 1:
        return
    raise ConfigError(
        f"the last batch of a rollout of n_steps {n_steps} x n_envs {n_envs} in batches of "
        f"{batch_size} is one sample, whose advantage has no deviation to be divided by: every "
        "parameter would be NaN. Choose a batch_size that divides the rollout, or set "
        "normalize_advantage to false"
    )


def _check_least_batch(algorithm: str, batch_size: int | None, least: int) -> None:
    if batch_size is not None and batch_size < least:
        raise ConfigError(
            f"batch_size must be >= {least}, got {batch_size}: {algorithm} divides by the "
            "deviation of each batch, and that of one sample is not a number"
        )


def _require_integer(name: str, value: Any, low: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < low:
        raise ConfigError(f"{name} must be a whole number >= {low}, got {value!r}")


def _check_number(algorithm: str, name: str, value: Any) -> None:
    if isinstance(value, str):
        value = _number_of_text(algorithm, name, value)
        if value is None:
            return
    low, high, low_in, high_in = RANGES[name]
    number = isinstance(value, int | float) and not isinstance(value, bool)
    inside = number and (low <= value if low_in else low < value)
    inside = inside and (value <= high if high_in else value < high)
    if not inside:
        brackets = "[" if low_in else "(", "]" if high_in else ")"
        raise ConfigError(
            f"{name} must be a number within {brackets[0]}{low:g}, {high:g}{brackets[1]}, "
            f"got {value!r}"
        )


def _number_of_text(algorithm: str, name: str, text: str) -> Any:
    """Return the number in a text such as `lin_3e-4` or `auto_0.1`; None for `auto` itself."""
    learns_entropy = bool(algorithm) and entry_of(algorithm).learns_entropy
    if name == "ent_coef" and learns_entropy and text.startswith("auto"):
        start = text.removeprefix("auto").removeprefix("_")
        return None if text == "auto" else _as_float(name, start, text)
    if name in ("learning_rate", "clip_range", "clip_range_vf"):
        parse_schedule(text)
        return float(text.removeprefix("lin_"))
    return text


def _as_float(name: str, text: str, whole: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ConfigError(
            f"{name} must be a number, 'auto', or 'auto_' and a number, got {whole!r}"
        ) from None


def _check_train_freq(value: Any) -> None:
    pair = isinstance(value, list | tuple) and len(value) == 2
    count, unit = value if pair else (value, "step")
    whole = isinstance(count, int) and not isinstance(count, bool) and count >= 1
    if not whole or unit not in ("step", "episode"):
        raise ConfigError(
            "train_freq must be a whole number >= 1, or [number, 'step'] or [number, 'episode'], "
            f"got {value!r}"
        )


def _check_gradient_steps(value: Any) -> None:
    whole = isinstance(value, int) and not isinstance(value, bool)
    if not whole or value < -1 or value == 0:
        raise ConfigError(f"gradient_steps must be a whole number >= 1, or -1, got {value!r}")


def named_noise(text: str) -> tuple[str, float] | None:
    """Return name and deviation of an exploration noise; None if the text is none.

    Parameters
    ----------
    text : a name, such as `normal`, of deviation 0.1, or a name and a deviation: `normal_0.3`
    """
    if text in ACTION_NOISE_NAMES:
        return text, ACTION_NOISE_SIGMA
    name, _, number = text.rpartition("_")
    try:
        sigma = float(number)
    except ValueError:
        return None
    known = name in ACTION_NOISE_NAMES and math.isfinite(sigma) and sigma >= 0
    return (name, sigma) if known else None


def _check_noise(value: Any) -> None:
    named = isinstance(value, str) and named_noise(value) is not None
    if not named and not callable(value):
        raise ConfigError(
            f"action_noise must be one of {list(ACTION_NOISE_NAMES)}, or such a name with a "
            f"deviation >= 0, as in 'normal_0.3', got {value!r}"
        )


def _check_policy_kwargs(value: Any) -> None:
    if not isinstance(value, dict):
        raise ConfigError(f"policy_kwargs must be keys and values, got {value!r}")
    if "net_arch" in value and not isinstance(value["net_arch"], str):
        _check_net_arch(value["net_arch"])
    for name in _OF_POLICIES:
        if name in value:
            _require_integer(name, value[name], INTEGERS[name])
    for name in _POLICY_SWITCHES:
        if not isinstance(value.get(name, False), bool):
            raise ConfigError(f"{name} must be true or false, got {value[name]!r}")


def _check_net_arch(arch: Any) -> None:
    branches = arch.values() if isinstance(arch, dict) else [arch]
    for widths in branches:
        listed = isinstance(widths, list | tuple)
        if not listed or not all(_is_width(w) for w in widths):
            raise ConfigError(f"net_arch must be a list of layer widths >= 1, got {arch!r}")


def _is_width(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


_SPECIAL = {
    "train_freq": _check_train_freq,
    "gradient_steps": _check_gradient_steps,
    "action_noise": _check_noise,
    "policy_kwargs": _check_policy_kwargs,
}
