"""Keywords given by users: checked against the algorithm, and made the objects that SB3 takes."""

import copy
import logging
from collections.abc import Callable, Collection, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from gymnasium import spaces
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.noise import (
    ActionNoise,
    NormalActionNoise,
    OrnsteinUhlenbeckActionNoise,
)
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.torch_layers import (
    BaseFeaturesExtractor,
    CombinedExtractor,
    FlattenExtractor,
    NatureCNN,
)
from torch import nn

from finrl_ray.agents.algorithm_entry import AlgorithmEntry, constructor_keywords
from finrl_ray.agents.algorithm_registry import ALGORITHMS, entry_of, installed_algorithms
from finrl_ray.agents.keyword_checks import ACTION_NOISE_NAMES, named_noise
from finrl_ray.agents.schedules import parse_schedule
from finrl_ray.config.agent import EXTRACTOR
from finrl_ray.errors import ConfigError
from finrl_ray.learners.base import SB3
from finrl_ray.learners.on_policy.per_ticker import PER_TICKER, PerTickerPolicy
from finrl_ray.own_code.load import load_object
from finrl_ray.own_code.reference import is_reference, names_a_place
from finrl_ray.support.learner_names import LEARNER_NAMES
from finrl_ray.support.text import and_list, did_you_mean

logger = logging.getLogger(__name__)

ACTION_NOISES: Mapping[str, Callable[..., ActionNoise]] = MappingProxyType(
    dict(zip(ACTION_NOISE_NAMES, (NormalActionNoise, OrnsteinUhlenbeckActionNoise), strict=True))
)

ACTIVATIONS: Mapping[str, type[nn.Module]] = MappingProxyType(
    {
        "relu": nn.ReLU,
        "tanh": nn.Tanh,
        "elu": nn.ELU,
        "leaky_relu": nn.LeakyReLU,
        "selu": nn.SELU,
        "silu": nn.SiLU,
        "gelu": nn.GELU,
    }
)

EXTRACTORS: Mapping[str, type[BaseFeaturesExtractor]] = MappingProxyType(
    {kind.__name__: kind for kind in (FlattenExtractor, NatureCNN, CombinedExtractor)}
)
"""SB3's features extractors by name."""

LSTM_POLICIES: Mapping[str, str] = MappingProxyType(
    {
        "MlpPolicy": "MlpLstmPolicy",
        "CnnPolicy": "CnnLstmPolicy",
        "MultiInputPolicy": "MultiInputLstmPolicy",
    }
)
"""What SB3's names of policies stand for with an algorithm whose policy is recurrent."""
_ACTIONS: Mapping[str, str] = MappingProxyType(
    {
        "continuous": "continuous actions (gymnasium's Box)",
        "discrete": "one discrete action (gymnasium's Discrete)",
    }
)
_told: set[type[BaseAlgorithm]] = set()
"""Classes of which the log has said that they have no learner but their own."""

SCHEDULED = ("learning_rate", "clip_range", "clip_range_vf")
"""Keywords that take a schedule."""


def find_algorithm(algorithm: str) -> AlgorithmEntry:
    """Return the entry of an algorithm's name such as `"ppo"`.

    Raises
    ------
    ConfigError
        If there is no algorithm of that name, or its package is not installed.
    """
    if not is_reference(algorithm, "algorithm"):
        _require_choice("the algorithm", algorithm, ALGORITHMS)
    entry = entry_of(algorithm)
    entry.require_installed()
    return entry


def find_learner(model_class: type[BaseAlgorithm], learner: str) -> type[BaseAlgorithm]:
    """Return the class that trains an SB3 algorithm with a learner such as `"fused"`.

    It is `model_class` itself where no algorithm of that class has such a learner.

    Raises
    ------
    ConfigError
        If there is no learner of that name.
    """
    _require_choice("the learner", learner, LEARNER_NAMES)
    for entry in ALGORITHMS.values():
        if learner in entry.learners and entry.model_class is model_class:
            return entry.learner_class(learner)
    if learner != SB3 and model_class not in _told:
        _told.add(model_class)
        logger.info(
            "%s is trained by its own code: there is no %s learner of it",
            model_class.__name__,
            learner,
        )
    return model_class


def find_policy(algorithm: str, policy: Any) -> Any:
    """Return what SB3 takes for a policy's name: the name, or the class of one that is not SB3's.

    With a recurrent algorithm SB3's names stand for the policies with an LSTM.

    Raises
    ------
    ConfigError
        If the algorithm has no such policy.
    """
    entry = find_algorithm(algorithm)
    if names_a_place(policy) or is_reference(policy, "policy"):
        return _own_policy(algorithm, policy)
    if not isinstance(policy, str):
        return policy
    if policy not in entry.policies:
        owners = [name for name, other in ALGORITHMS.items() if policy in other.policies[-1:]]
        if owners and policy != "MlpPolicy":
            raise ConfigError(
                f"{policy} is a policy of {and_list(owners)}, got {algorithm}; use MlpPolicy"
            )
    if policy == PER_TICKER:
        return PerTickerPolicy
    return LSTM_POLICIES.get(policy, policy) if entry.is_recurrent else policy


def check_actions(algorithm: str, space: spaces.Space[Any]) -> None:
    """Refuse an action space that an algorithm cannot act in.

    Raises
    ------
    ConfigError
        With the algorithms that can, and the key that decides on the actions of this package's env.
    """
    entry = find_algorithm(algorithm)
    if _can_act(entry, space):
        return
    others = [name for name, other in ALGORITHMS.items() if _can_act(other, space)]
    wanted = " or ".join(_ACTIONS[kind] for kind in entry.actions)
    raise ConfigError(
        f"agent.algorithm {algorithm} needs {wanted}, and the env has {space}. Set agent.algorithm "
        f"to one of {', '.join(others)}, or give it an env with such actions: see "
        "env.discrete_actions in docs/environment.md"
    )


def _can_act(entry: AlgorithmEntry, space: spaces.Space[Any]) -> bool:
    if len(entry.actions) > 1:
        return True
    return isinstance(space, spaces.Box if entry.actions == ("continuous",) else spaces.Discrete)


def _own_policy(algorithm: str, reference: str) -> type[BasePolicy]:
    """Return a policy class of the user's own."""
    found = load_object(reference, "policy")
    known = find_algorithm(algorithm).model_class.policy_aliases
    bases = tuple(kind for kind in known.values() if isinstance(kind, type))
    if isinstance(found, type) and issubclass(found, bases or BasePolicy):
        return found
    names = and_list(dict.fromkeys(kind.__name__ for kind in bases))
    raise ConfigError(
        f"agent.policy {reference} must be a class derived from a policy that SB3's {algorithm} "
        f"has ({names}), got {found!r}; derive it from the first of these"
    )


def _own_extractor(reference: Any) -> type[BaseFeaturesExtractor]:
    """Return a features extractor: SB3's by its name, or one of the user's own."""
    if isinstance(reference, type):
        return reference
    if reference in EXTRACTORS:
        return EXTRACTORS[reference]
    found = load_object(reference, "features_extractor")
    if isinstance(found, type) and issubclass(found, BaseFeaturesExtractor):
        return found
    raise ConfigError(
        f"policy_kwargs.features_extractor_class {reference} must be a class derived from SB3's "
        f"BaseFeaturesExtractor, got {found!r}; derive it from that"
    )


def model_keywords(algorithm: str) -> frozenset[str]:
    """Return the keywords that an algorithm's constructor accepts, without `policy` and `env`.

    Raises
    ------
    ConfigError
        If there is no algorithm of that name.
    """
    names = constructor_keywords(find_algorithm(algorithm).model_class)
    return frozenset(n for n in names if n not in ("policy", "env") and not n.startswith("_"))


def check_model_kwargs(algorithm: str, model_kwargs: Mapping[str, Any]) -> None:
    """Refuse keywords that the algorithm does not have.

    Raises
    ------
    ConfigError
        With the nearest right name, and the algorithms that do accept the keyword.
    """
    known = model_keywords(algorithm)
    for name in model_kwargs:
        if name in known:
            continue
        others = [other for other in installed_algorithms() if name in model_keywords(other)]
        message = f"{algorithm} has no keyword {name!r} in model_kwargs{_nearest(name, known)}"
        if name in entry_of(algorithm).policy_keywords:
            message += "; it is a keyword of the policy and stands in policy_kwargs"
        elif others:
            message += f" ({', '.join(others)} would accept {name!r})"
        raise ConfigError(f"{message}; it accepts {', '.join(sorted(known))}")


def resolve_model_kwargs(
    algorithm: str, model_kwargs: Mapping[str, Any] | None = None, *, n_actions: int
) -> dict[str, Any]:
    """Return the constructor keywords: FinRL's defaults, overlaid with the caller's.

    Texts become objects: `action_noise` by name, schedules (`"lin_3e-4"`), `activation_fn` inside
    `policy_kwargs`, and a `train_freq` list becomes a tuple. The caller's dict is not changed, and
    the result shares no object with it.

    Parameters
    ----------
    algorithm : name of the algorithm
    model_kwargs : keywords of the SB3 class; each wins over the default of the same name
    n_actions : entries of one action

    Raises
    ------
    ConfigError
        If a keyword, a name or a schedule is not known.
    """
    given = copy.deepcopy(dict(model_kwargs or {}))
    check_model_kwargs(algorithm, given)
    kwargs = {**entry_of(algorithm).defaults, **given}
    for name in SCHEDULED:
        if kwargs.get(name) is not None:
            kwargs[name] = parse_schedule(kwargs[name])
    if isinstance(kwargs.get("action_noise"), str):
        kwargs["action_noise"] = make_action_noise(kwargs["action_noise"], n_actions)
    if isinstance(kwargs.get("train_freq"), list):
        kwargs["train_freq"] = tuple(kwargs["train_freq"])
    if kwargs.get("policy_kwargs") is not None:
        kwargs["policy_kwargs"] = resolve_policy_kwargs(kwargs["policy_kwargs"])
    return kwargs


def resolve_policy_kwargs(policy_kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy in which `activation_fn` and `features_extractor_class` are classes.

    Raises
    ------
    ConfigError
        If there is no activation of that name, or a features extractor cannot be loaded.
    """
    resolved = copy.deepcopy(dict(policy_kwargs))
    if resolved.get(EXTRACTOR) is not None:
        resolved[EXTRACTOR] = _own_extractor(resolved[EXTRACTOR])
    name = resolved.get("activation_fn")
    if isinstance(name, str):
        _require_choice("policy_kwargs.activation_fn", name, ACTIVATIONS)
        resolved["activation_fn"] = ACTIVATIONS[name]
    return resolved


def make_action_noise(name: str, n_actions: int) -> ActionNoise:
    """Return an exploration noise of mean 0, with the deviation that its name has.

    Parameters
    ----------
    name : `normal` or `ornstein_uhlenbeck`, of deviation 0.1; or with a deviation: `normal_0.3`
    n_actions : entries of an action

    Raises
    ------
    ConfigError
        If there is no noise of that name.
    """
    found = named_noise(str(name))
    if found is None:
        _require_choice("action_noise", name, ACTION_NOISES)
    kind, sigma = found or (name, 0.0)
    return ACTION_NOISES[kind](mean=np.zeros(n_actions), sigma=np.full(n_actions, sigma))


def _require_choice(what: str, name: str, choices: Collection[str]) -> None:
    if name not in choices:
        listed = ", ".join(repr(choice) for choice in choices)
        raise ConfigError(f"{what} must be one of {listed}, got {name!r}{_nearest(name, choices)}")


def _nearest(name: str, choices: Collection[str]) -> str:
    hint = did_you_mean(str(name), choices)
    return f".{hint}" if hint else ""
