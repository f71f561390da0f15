"""What one trial really trains with: a sample translated into SB3 keywords and repaired."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from finrl_ray.agents.algorithm_entry import AlgorithmEntry
from finrl_ray.agents.algorithm_registry import entry_of
from finrl_ray.agents.keyword_checks import INTEGERS, WHOLE_LISTS, check_advantages, check_values
from finrl_ray.config.agent import AgentConfig
from finrl_ray.config.experiment import ExperimentConfig
from finrl_ray.config.trial.config_of_sample import config_of_sample, options_of_trial
from finrl_ray.config.trial.options import N_ENVS, is_option, own_entry
from finrl_ray.errors import ConfigError
from finrl_ray.support.values import to_python
from finrl_ray.support.whole_numbers import as_whole

NET_ARCHS: Mapping[str, tuple[int, ...]] = MappingProxyType(
    {"tiny": (32,), "small": (64, 64), "medium": (256, 256), "big": (400, 300)}
)
# how a sampled name reaches SB3 when it is not a keyword of the algorithm itself
DERIVED_NAMES = (
    "one_minus_gamma",
    "one_minus_gae_lambda",
    "net_arch",
    "activation_fn",
    "n_envs",
)
"""Such names of every algorithm; `derived_names` has the keywords of its policy too."""
# names that say the same thing: the later one given replaces the earlier one
ALIASES: Mapping[str, str] = MappingProxyType(
    {"one_minus_gamma": "gamma", "one_minus_gae_lambda": "gae_lambda"}
)
_DROPPED = 2  # of sb3-contrib: quantiles per critic that TQC drops
SEED_DRAW = "seed_draw"
"""A number that random search draws for each trial, so that equal samples differ in their seed."""


@dataclass(frozen=True, kw_only=True)
class TrialSettings:
    """What one trial really trains with, after translation and repair.

    Parameters
    ----------
    model_kwargs : keywords of the SB3 class, `policy_kwargs` included
    n_envs : accounts stepped together
    options : what the sample has chosen of the config itself, by dotted name (`env.hmax`)
    """

    model_kwargs: dict[str, Any]
    n_envs: int
    options: Mapping[str, Any] = field(default_factory=dict)

    def flat(self) -> dict[str, Any]:
        """Return the settings as one flat mapping, for tables."""
        plain = {k: v for k, v in self.model_kwargs.items() if k != "policy_kwargs"}
        policy = self.model_kwargs.get("policy_kwargs") or {}
        policy = {k: v for k, v in policy.items() if f"agent.policy_kwargs.{k}" not in self.options}
        n_envs = {} if N_ENVS in self.options else {"n_envs": self.n_envs}
        return {**plain, **policy, **n_envs, **self.options}


def trial_seed(seed: int, sample: Mapping[str, Any]) -> int:
    """Return a trial's seed, within 0..2**31-1: a hash of the experiment's seed and the sample.

    It does not depend on the order, the number or the place of trials.
    """
    # through JSON, as the journal keeps the sample: a tuple and a list are one
    text = json.dumps([seed, {k: to_python(v) for k, v in sample.items()}], sort_keys=True)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") >> 1


def settings_of_sample(config: ExperimentConfig, sample: Mapping[str, Any]) -> TrialSettings:
    """Return what a trial of a search trains with, the options that its sample chooses included.

    Parameters
    ----------
    config : of the search
    sample : of the trial

    Raises
    ------
    ConfigError
        If a value is one that its keyword cannot be trained with, or its option cannot have.
    """
    trial = config_of_sample(config, sample)
    settings = resolve_sample(sample, trial.agent)
    return replace(settings, options=options_of_trial(trial, sample))


def resolve_sample(sample: Mapping[str, Any], agent: AgentConfig) -> TrialSettings:
    """Turn one sample into SB3 keywords: translate derived names, lay over the agent, repair.

    Pure: the same sample gives the same settings on the driver and on a worker. Options of the
    config (`env.hmax`) are passed over: `agent` is that of the trial, see `config_of_sample`.

    Raises
    ------
    ConfigError
        If a value is one that its keyword cannot be trained with.
    """
    kwargs = _translate(agent.model_kwargs, agent.algorithm)
    own = _of_the_algorithm(sample, agent.algorithm)
    drawn = _translate({name: to_python(value) for name, value in own.items()}, agent.algorithm)
    policy_kwargs = {**kwargs.pop("policy_kwargs", {}), **drawn.pop("policy_kwargs", {})}
    kwargs |= drawn
    n_envs = kwargs.pop("n_envs", agent.n_envs)
    if policy_kwargs:
        kwargs["policy_kwargs"] = policy_kwargs
    check_values(agent.algorithm, {**kwargs, "n_envs": n_envs})
    _check_together(kwargs, n_envs, agent.total_timesteps)
    repaired = repair(kwargs, agent.algorithm, n_envs, agent.total_timesteps)
    check_advantages(agent.algorithm, {**entry_of(agent.algorithm).defaults, **repaired}, n_envs)
    return TrialSettings(model_kwargs=repaired, n_envs=n_envs)


def _of_the_algorithm(sample: Mapping[str, Any], algorithm: str) -> dict[str, Any]:
    """Return the hyperparameters of a sample for one algorithm, by the names of its keywords."""
    plain: dict[str, Any] = {}
    own: dict[str, Any] = {}
    for name, value in sample.items():
        pair = own_entry(name)
        if pair is not None and pair[0] == algorithm:
            own[pair[1]] = value
        elif pair is None and name != SEED_DRAW and not is_option(name):
            plain[name] = value
    return {**plain, **own}


def _check_together(kwargs: Mapping[str, Any], n_envs: int, total_timesteps: int) -> None:
    """Refuse what cannot be repaired because the user's intention is not clear."""
    if n_envs > total_timesteps:
        raise ConfigError(f"n_envs must be <= total_timesteps ({total_timesteps}), got {n_envs}")
    train_freq = kwargs.get("train_freq")
    if isinstance(train_freq, list | tuple) and train_freq[1] == "episode" and n_envs > 1:
        raise ConfigError(
            f"train_freq by episode needs n_envs 1, got n_envs {n_envs}; count in steps instead"
        )


def derived_names(algorithm: str) -> tuple[str, ...]:
    """Return the names that are no keywords of an algorithm's class, and are translated into one.

    They are `DERIVED_NAMES` and the keywords of the policy, such as `lstm_hidden_size`.
    """
    return (*DERIVED_NAMES, *entry_of(algorithm).policy_keywords)


def _translate(given: Mapping[str, Any], algorithm: str) -> dict[str, Any]:
    """Return derived names as SB3's own; `policy_kwargs` is merged, the rest copied."""
    kwargs = {name: _whole(name, value) for name, value in given.items()}
    for alias, name in ALIASES.items():
        if alias in kwargs:
            kwargs[name] = 1.0 - _number(alias, kwargs.pop(alias))
    policy_kwargs = kwargs.pop("policy_kwargs", None) or {}
    check_values("", {"policy_kwargs": policy_kwargs})
    for name in ("net_arch", "activation_fn", *entry_of(algorithm).policy_keywords):
        if name in kwargs:
            policy_kwargs = {**policy_kwargs, name: kwargs.pop(name)}
    if isinstance(policy_kwargs.get("net_arch"), str):
        policy_kwargs = {**policy_kwargs, "net_arch": _named_arch(policy_kwargs["net_arch"])}
    return {**kwargs, "policy_kwargs": policy_kwargs} if policy_kwargs else kwargs


def _whole(name: str, value: Any) -> Any:
    # quniform draws 64.0 where 64 is meant, and YAML reads 1e6 as a float
    if name in WHOLE_LISTS and isinstance(value, list | tuple):
        return type(value)(as_whole(one) for one in value)
    return as_whole(value) if name in INTEGERS or name in WHOLE_LISTS else value


def _number(name: str, value: Any) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise ConfigError(f"{name} must be a number, got {value!r}")
    return value


def _named_arch(name: str) -> list[int]:
    if name not in NET_ARCHS:
        raise ConfigError(
            f"net_arch must be one of {list(NET_ARCHS)} or a list of layer widths, got {name!r}"
        )
    return list(NET_ARCHS[name])


def repair(
    kwargs: Mapping[str, Any], algorithm: str, n_envs: int, total_timesteps: int
) -> dict[str, Any]:
    """Return `kwargs` with combinations that SB3 cannot train replaced by the nearest that it can.

    On-policy: a rollout (`n_steps` x `n_envs`) no longer than training, a batch no larger than the
    rollout, and with an LSTM no last batch of one sample; a subsample of at least two; a critic
    that shares the policy's LSTM has none of its own. Off-policy: learning starts within training,
    a batch no larger than the buffer, fewer quantiles dropped than there are. Values that are
    absent stay absent unless the algorithm's default would be impossible.
    """
    fixed = dict(kwargs)
    entry = entry_of(algorithm)
    filled = {**entry.defaults, **fixed}
    if entry.on_policy:
        longest = max(1, total_timesteps // n_envs)
        n_steps = min(filled.get("n_steps", 5), longest)
        if entry.minibatches:
            n_steps = max(n_steps, 2 if n_envs == 1 else 1)  # SB3: more than one row per rollout
            batch_size = min(filled.get("batch_size", 64), n_steps * n_envs)
            if entry.is_recurrent and batch_size > 1:
                batch_size = _without_single(batch_size, n_steps * n_envs)
            _keep(fixed, filled, "batch_size", batch_size)
            if "sub_sampling_factor" in fixed:
                most = max(1, n_steps * n_envs // 2)
                fixed["sub_sampling_factor"] = min(fixed["sub_sampling_factor"], most)
        _keep(fixed, filled, "n_steps", n_steps)
        return _with_possible_policy(fixed, entry)
    batch_size = min(filled.get("batch_size", 256), filled.get("buffer_size", 1_000_000))
    _keep(fixed, filled, "batch_size", batch_size)
    starts = filled.get("learning_starts", 100)
    if starts >= total_timesteps:
        starts = total_timesteps // 10
    _keep(fixed, filled, "learning_starts", starts)
    return _with_possible_policy(fixed, entry)


def _without_single(batch_size: int, rollout: int) -> int:
    """Return the nearest smaller batch that leaves no last batch of one sample of a rollout.

    sb3-contrib's RecurrentPPO normalises the advantages of each batch, and those of one sample have
    no deviation: every parameter would be NaN. SB3's PPO leaves such a batch as it is.
    """
    smaller = (size for size in range(batch_size, 1, -1) if rollout % size != 1)
    return next(smaller, rollout)


def _with_possible_policy(fixed: dict[str, Any], entry: AlgorithmEntry) -> dict[str, Any]:
    """Return keywords that go with those of the policy."""
    given = fixed.get("policy_kwargs") or {}
    if given.get("shared_lstm") and entry.is_recurrent:
        fixed["policy_kwargs"] = {**given, "enable_critic_lstm": False}
    if "n_quantiles" in entry.policy_keywords:
        n_quantiles = given.get("n_quantiles", entry.policy_keywords["n_quantiles"])
        dropped = fixed.get("top_quantiles_to_drop_per_net", _DROPPED)
        if dropped >= n_quantiles:
            fixed["top_quantiles_to_drop_per_net"] = n_quantiles - 1
    return fixed


def _keep(fixed: dict[str, Any], filled: Mapping[str, Any], name: str, value: int) -> None:
    if filled.get(name, value) != value or name in fixed:
        fixed[name] = value
