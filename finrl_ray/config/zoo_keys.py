"""The keys of an rl-zoo3 file in the `agent` section, rewritten as this package's own.

Pure functions over plain values, so that a config is translated before it is checked; nothing in a
text is ever evaluated.
"""

import ast
import math
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from finrl_ray.errors import ConfigError

MODEL_KEYWORDS = frozenset(
    {
        *("action_noise", "batch_size", "buffer_size", "clip_range", "clip_range_vf", "device"),
        *("ent_coef", "gae_lambda", "gamma", "gradient_steps", "learning_rate", "learning_starts"),
        *("max_grad_norm", "n_epochs", "n_steps", "normalize_advantage", "optimize_memory_usage"),
        *("policy_delay", "policy_kwargs", "replay_buffer_class", "replay_buffer_kwargs"),
        *("rms_prop_eps", "rollout_buffer_class", "rollout_buffer_kwargs", "sde_sample_freq"),
        *("seed", "stats_window_size", "target_entropy", "target_kl", "target_noise_clip"),
        *("target_policy_noise", "target_update_interval", "tau", "tensorboard_log", "train_freq"),
        *("use_rms_prop", "use_sde", "use_sde_at_warmup", "verbose", "vf_coef"),
        *("cg_damping", "cg_max_steps", "exploration_final_eps", "exploration_fraction"),
        *("exploration_initial_eps", "line_search_max_iter", "line_search_shrinking_factor"),
        *("n_critic_updates", "sub_sampling_factor", "top_quantiles_to_drop_per_net"),
    }
)
"""Keywords of the classes of SB3 and sb3-contrib; which has which is checked with the model."""

_RENAMED = {"n_timesteps": "total_timesteps", "frame_stack": "n_stack"}
ZOO_KEYS = (*_RENAMED, "noise_type", "noise_std", *sorted(MODEL_KEYWORDS))
"""Keys of the `agent` section beyond those of `AgentConfig`."""

NOT_HERE: Mapping[str, str] = MappingProxyType(
    {
        "env_wrapper": "the env's own options are in the env section",
        "vec_env_wrapper": "agent.normalize is the one wrapper",
        "vec_env_class": "all accounts are stepped in one process",
        "callback": "evaluation and checkpoints are in the evaluation and search sections",
        "env_kwargs": "give its keys in the env section",
        "monitor_kwargs": "account histories are always kept",
        "replay_buffer_class": "a file cannot hold a class, and observations have no goals",
        "rollout_buffer_class": "a file cannot hold a class",
    }
)
"""Keys of the zoo without a meaning here, and where to turn instead."""

NORMALIZE_OF_FLAGS: Mapping[tuple[bool, bool], bool | str] = MappingProxyType(
    {
        (True, True): True,
        (True, False): "observations",
        (False, True): "rewards",
        (False, False): False,
    }
)
"""`agent.normalize` for VecNormalize's `norm_obs` and `norm_reward`."""

_NOISES = ("normal", "ornstein_uhlenbeck")
_NOISE_STD = 0.1
_ACTIVATIONS = {
    "Tanh": "tanh",
    "ReLU": "relu",
    "ELU": "elu",
    "LeakyReLU": "leaky_relu",
    "SELU": "selu",
    "SiLU": "silu",
    "GELU": "gelu",
}
_POLICY_EXAMPLE = "dict(net_arch=[64, 64], activation_fn=nn.ReLU)"
_MODULES = ("nn", "th.nn", "torch.nn")
# what SB3's VecNormalize does unless told otherwise
_NORMALIZE_DEFAULTS = {"clip_obs": 10.0, "clip_reward": 10.0, "epsilon": 1e-8, "training": True}


def translate_agent(section: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Return the `agent` section in this package's keys, and what is wrong with it.

    SB3's keywords move into `model_kwargs`; `n_timesteps` becomes `total_timesteps`, `frame_stack`
    `n_stack`, `noise_type` `action_noise`; `normalize` may hold VecNormalize's arguments;
    `policy_kwargs` may be a text such as `dict(net_arch=[64], activation_fn=nn.Tanh)`. A section
    without such keys is returned as it is. Unknown keys stay; the check of the whole config, which
    follows, refuses them.

    Parameters
    ----------
    section : what the file has under `agent`; not changed

    Returns
    -------
    section : the same in canonical keys
    problems : one sentence per mistake, each naming its key
    """
    result: dict[str, Any] = {}
    moved: dict[str, Any] = {}
    problems: list[str] = []
    for key, value in section.items():
        try:
            _place(key, value, section, result, moved)
        except ConfigError as error:
            problems.append(str(error))
    own = section.get("model_kwargs")
    if isinstance(own, Mapping):
        problems += [
            f"agent.{name} and agent.model_kwargs.{name} say the same thing; give one of them"
            for name in moved
            if name in own
        ]
    if moved and (own is None or isinstance(own, Mapping)):
        result["model_kwargs"] = {**result.get("model_kwargs", {}), **moved}
    return result, problems


def translate_override(keys: Sequence[str], value: Any) -> tuple[list[str], Any]:
    """Return where an override of `keys` (a dotted key, split) goes, and its value there.

    Raises
    ------
    ConfigError
        If the key has no meaning here, or the value none for the key.
    """
    if len(keys) != 2 or keys[0] != "agent":
        return list(keys), value
    section, problems = translate_agent({keys[1]: value})
    if problems:
        raise ConfigError("; ".join(problems))
    if keys[1] in section:
        return list(keys), section[keys[1]]
    if "model_kwargs" in section:
        return ["agent", "model_kwargs", *section["model_kwargs"]], _only(section["model_kwargs"])
    return ["agent", *section], _only(section)


def _only(mapping: Mapping[str, Any]) -> Any:
    return next(iter(mapping.values()))


def _place(
    key: Any,
    value: Any,
    section: Mapping[str, Any],
    result: dict[str, Any],
    moved: dict[str, Any],
) -> None:
    """Put one key of the file where it belongs: into `result`, or among the `moved` keywords."""
    if key in NOT_HERE:
        raise ConfigError(f"agent.{key}, a key of rl-zoo3, is not supported: {NOT_HERE[key]}")
    if key in _RENAMED:
        _refuse_both(key, _RENAMED[key], section)
        result[_RENAMED[key]] = _whole(f"agent.{key}", value)
    elif key == "noise_type":
        _refuse_both("noise_type", "action_noise", section)
        moved["action_noise"] = _noise(value, section.get("noise_std", _NOISE_STD))
    elif key == "noise_std":
        _check_noise_std(value, section)
    elif key == "normalize":
        result[key] = _normalize(value)
    elif key == "model_kwargs" and isinstance(value, Mapping):
        result[key] = {k: _keyword(f"agent.model_kwargs.{k}", k, v) for k, v in value.items()}
    elif key in MODEL_KEYWORDS:
        moved[key] = _keyword(f"agent.{key}", key, value)
    else:
        result[key] = value


def _refuse_both(first: str, second: str, section: Mapping[str, Any]) -> None:
    if second in section:
        raise ConfigError(f"agent.{first} and agent.{second} say the same thing; give one of them")
    if second in MODEL_KEYWORDS and second in (section.get("model_kwargs") or {}):
        raise ConfigError(
            f"agent.{first} and agent.model_kwargs.{second} say the same thing; give one of them"
        )


def _whole(where: str, value: Any) -> Any:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not float(value).is_integer():
        raise ConfigError(f"{where} must be a whole number such as 50000 or 5e4, got {value!r}")
    return int(value)


def _noise(value: Any, deviation: Any) -> str:
    name = str(value).replace("-", "_")
    if name not in _NOISES:
        raise ConfigError(
            f"agent.noise_type must be 'normal' or 'ornstein-uhlenbeck', got {value!r}"
        )
    return name if deviation == _NOISE_STD else f"{name}_{deviation}"


def _check_noise_std(value: Any, section: Mapping[str, Any]) -> None:
    if "noise_type" not in section:
        raise ConfigError("agent.noise_std needs agent.noise_type beside it")
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not 0 <= value < math.inf:
        raise ConfigError(f"agent.noise_std must be a number >= 0, got {value!r}")


def _normalize(value: Any) -> Any:
    """Return VecNormalize's arguments as `agent.normalize`."""
    if isinstance(value, str) and value not in NORMALIZE_OF_FLAGS.values():
        value = _parse("agent.normalize", value, "dict(norm_obs=True, norm_reward=False)")
    if isinstance(value, int | float) and not isinstance(value, bool):
        raise ConfigError(
            f"agent.normalize must be true, false, 'observations' or 'rewards', got {value!r}"
        )
    if not isinstance(value, Mapping):
        return value
    flags = {name: value.get(name, True) for name in ("norm_obs", "norm_reward")}
    if not all(isinstance(flag, bool) for flag in flags.values()):
        raise ConfigError(
            f"agent.normalize: norm_obs and norm_reward must be true or false, got {flags}"
        )
    for name, argument in value.items():
        fixed = _NORMALIZE_DEFAULTS.get(name, "the agent's own")
        if name not in flags and fixed != argument:
            raise ConfigError(
                f"agent.normalize: {name} cannot be set (it is {fixed}), got {argument!r}"
            )
    return NORMALIZE_OF_FLAGS[flags["norm_obs"], flags["norm_reward"]]


def _keyword(where: str, name: str, value: Any) -> Any:
    if not name.endswith("_kwargs"):
        return value
    if isinstance(value, str):
        value = _parse(where, value)
    if name == "policy_kwargs" and isinstance(value, Mapping):
        return _policy_kwargs(value)
    return value


def _policy_kwargs(given: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(given)
    arch = result.get("net_arch")
    if isinstance(arch, list) and len(arch) == 1 and isinstance(arch[0], Mapping):
        result["net_arch"] = dict(arch[0])  # SB3's form until 1.7, still in many files
    name = result.get("activation_fn")
    if isinstance(name, str) and "." in name:
        result["activation_fn"] = _activation(name, name)
    return result


def _activation(name: str, whole: str) -> str:
    module, _, kind = name.rpartition(".")
    if module not in _MODULES or kind not in _ACTIVATIONS:
        raise ConfigError(
            f"{name!r} is not known here; activations are nn.{', nn.'.join(_ACTIVATIONS)}, got "
            f"{whole!r}"
        )
    return _ACTIVATIONS[kind]


def _parse(where: str, text: str, example: str = _POLICY_EXAMPLE) -> Any:
    """Return the value of a Python expression that is plain data, without evaluating it."""
    try:
        tree = ast.parse(text.strip(), mode="eval")
        return _value(tree.body, text)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        reason = str(error) if isinstance(error, ConfigError) else "it is no such expression"
        raise ConfigError(
            f"{where} must be keys and values, or a text like {example!r}, got {text!r}: {reason}"
        ) from None


def _value(node: ast.expr, whole: str) -> Any:
    for kind, read in _READERS.items():
        if isinstance(node, kind):
            return read(node, whole)
    raise ConfigError(f"{ast.unparse(node)!r} is neither a number, a text, a list nor a dict")


def _constant(node: Any, whole: str) -> Any:
    if node.value is None or isinstance(node.value, bool | int | float | str):
        return node.value
    raise ConfigError(f"{ast.unparse(node)!r} is neither a number, a text, a list nor a dict")


def _negative(node: Any, whole: str) -> Any:
    value = _value(node.operand, whole)
    if not isinstance(node.op, ast.USub) or not isinstance(value, int | float):
        raise ConfigError(f"{ast.unparse(node)!r} is not a number")
    return -value


def _sequence(node: Any, whole: str) -> list[Any]:
    return [_value(item, whole) for item in node.elts]


def _dict_display(node: Any, whole: str) -> dict[str, Any]:
    keys: list[Any] = [None if key is None else _value(key, whole) for key in node.keys]
    if not all(isinstance(key, str) for key in keys):
        raise ConfigError(f"the keys of {ast.unparse(node)!r} must be texts")
    return dict(zip(keys, (_value(value, whole) for value in node.values), strict=True))


def _dict_call(node: Any, whole: str) -> dict[str, Any]:
    named = isinstance(node.func, ast.Name) and node.func.id == "dict" and not node.args
    if not named or any(keyword.arg is None for keyword in node.keywords):
        raise ConfigError(f"{ast.unparse(node)!r} is not dict(name=value, ...)")
    return {keyword.arg: _value(keyword.value, whole) for keyword in node.keywords}


def _attribute(node: Any, whole: str) -> str:
    return _activation(ast.unparse(node), whole)


_READERS: Mapping[type[ast.expr], Callable[[Any, str], Any]] = MappingProxyType(
    {
        ast.Constant: _constant,
        ast.UnaryOp: _negative,
        ast.List: _sequence,
        ast.Tuple: _sequence,
        ast.Dict: _dict_display,
        ast.Call: _dict_call,
        ast.Attribute: _attribute,
    }
)
