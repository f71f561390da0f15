"""What a step pays (`env.reward`): the rewards by name, or a function of the user's own."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal, get_args

from finrl_ray.config.checks import require
from finrl_ray.own_code.reference import is_reference
from finrl_ray.support.text import did_you_mean

Reward = Literal["account_change", "active", "log_return", "differential_sharpe"]
"""The rewards of the package."""

REWARD_SCALING: Mapping[str, float] = MappingProxyType(
    {"account_change": 1e-4, "active": 100.0, "log_return": 100.0, "differential_sharpe": 1.0}
)
"""What a reward is multiplied by where `reward_scaling` is null: FinRL's factor for currency, and
1.0 for a return of 1 %. An own reward is not multiplied."""


def is_own_reward(reward: Any) -> bool:
    """Return whether a value of `env.reward` is, or names, a function of the user's own."""
    return not (isinstance(reward, str) and reward in REWARD_SCALING)


def settled_reward_scaling(reward: Any, given: float | None) -> float:
    """Return what a reward is multiplied by: the number that was given, or that of its kind."""
    if given is not None:
        return given
    return 1.0 if is_own_reward(reward) else REWARD_SCALING[reward]


def check_reward_option(reward: Any, kwargs: Any) -> None:
    """Raise ConfigError unless `reward` names one of the package or of the user's own.

    Parameters
    ----------
    reward : text, or a function
    kwargs : `reward_kwargs`, for own rewards alone
    """
    names = get_args(Reward)
    own = is_own_reward(reward)
    require(
        not own or (callable(reward) or is_reference(reward, "reward")),
        f"reward must be one of {', '.join(map(repr, names))}, or the import path of your own, "
        f"such as 'my_reward:reward', got {reward!r}."
        f"{did_you_mean(reward, names) if isinstance(reward, str) else ''}",
    )
    require(
        isinstance(kwargs, Mapping) and all(isinstance(name, str) for name in kwargs),
        f"reward_kwargs must be a mapping of keywords, such as {{scale: 2.0}}, got {kwargs!r}",
    )
    require(
        own or not kwargs,
        f"reward_kwargs are keywords of an own reward, and reward is {reward!r}; leave out "
        f"{dict(kwargs)}, or name your function in reward",
    )
