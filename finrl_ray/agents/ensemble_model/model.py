"""`EnsembleModel`: the mean action of several models, with `predict` as SB3's models have it.

With `env.action: target_weights` a member's action becomes the weights that it wants, and it would
go its `trade_rate` of the way to them; the ensemble goes the mean of these ways. From weights w,
member i would come to w + r_i (w_i - w). The mean over k members is w + r (v - w) with
r = mean(r_i) and v = sum(r_i w_i) / sum(r_i): an account whose trade_rate is r, and which is told
v. So `predict` returns v, and `shared_env_config` has r.

Members with discrete actions (`env.discrete_actions`) are taken by what their choices stand for: of
three of which two buy and one holds the ensemble orders two thirds of `hmax`. So the account that
they trade takes numbers.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any, TypeAlias

import numpy as np
import torch as th
from gymnasium import spaces
from stable_baselines3.common.base_class import BaseAlgorithm

from finrl_ray._typing import AnyArray
from finrl_ray.agents.frame_stack import n_stack_of_model, next_stack
from finrl_ray.agents.normalization import Statistics
from finrl_ray.config.env import EnvConfig
from finrl_ray.config.trial.shared_rules import other_rules
from finrl_ray.env.orders.discrete import choices_of_space
from finrl_ray.env.portfolio.weights import project_to_simplex
from finrl_ray.env.target_weights import settled_band, weights_of_actions
from finrl_ray.errors import ConfigError
from finrl_ray.learners.forward.policy import predict

ALIKE = "observation"
"""`Member.view` of members that all see the same."""
Observation: TypeAlias = AnyArray | Mapping[str, AnyArray]


@dataclass(frozen=True, kw_only=True, eq=False)
class Member:
    """One model of an ensemble.

    Parameters
    ----------
    model : a trained model
    env : the options that it was trained under
    statistics : of the VecNormalize that it was trained under; None: none
    view : key of what it sees, where members see different things of the account
    name : for messages
    """

    model: BaseAlgorithm
    env: EnvConfig
    statistics: Statistics | None = None
    view: str = ALIKE
    name: str = ""


class EnsembleModel:
    """Several models that act as one on one account.

    Parameters
    ----------
    members : at least one

    Attributes
    ----------
    observation_space : that of the members; where they see different things, a Dict by `view`
    action_space : that of the first member; of members with discrete actions N numbers in -1..1
    device : of torch

    Raises
    ------
    ConfigError
        If members trade one account under different rules (`config/trial/shared_rules.py`), have
        actions of other sizes, or see other sizes under one `view`.
    """

    env: None = None

    def __init__(self, members: Sequence[Member]) -> None:
        if not members:
            raise ConfigError("an ensemble needs at least one model, got none")
        self.members = tuple(members)
        first = self.members[0]
        views: dict[str, spaces.Space[Any]] = {}
        for member in self.members:
            _check_same_rules(first, member)
            own = _single_observations(member.model)
            if views.setdefault(member.view, own).shape != own.shape:
                raise ConfigError(
                    f"{member.name or 'a member'} sees observations of shape {own.shape} and "
                    f"another member of its view {member.view!r} those of shape "
                    f"{views[member.view].shape}; give them different views"
                )
        alone = next(iter(views.values()))
        self.observation_space: spaces.Space[Any] = alone if len(views) == 1 else spaces.Dict(views)
        self.action_space: spaces.Space[Any] = _numbers_space(first)

    @property
    def device(self) -> th.device:
        """Where the first member computes."""
        return self.members[0].model.device

    def predict(
        self,
        observation: Observation,
        state: tuple[Any, ...] | None = None,
        episode_start: AnyArray | None = None,
        deterministic: bool = False,
    ) -> tuple[AnyArray, tuple[Any, ...] | None]:
        """Return the mean of what the members want, and their states.

        Parameters
        ----------
        observation : as the env shows it, not normalised: each member has its own statistics. One
            array, of shape (S,) or (E, S), where all members see the same; else a mapping by
            `view`
        state : what `predict` returned before; None at the start
        episode_start : array of shape (E,), whether an account begins an episode
        deterministic : take each policy's mean action instead of a random one

        Returns
        -------
        actions : array of shape (N,) or (E, N)
            Weights in float64, or orders as fractions of `hmax`.
        state : of each member, or None if no member has one; of one that acts on stacks of
            observations also its stack

        Raises
        ------
        ConfigError
            If the observation lacks what a member sees.
        """
        actions, states = [], []
        for number, member in enumerate(self.members):
            seen = _normalised(_seen_by(member, observation), member.statistics)
            own = None if state is None else state[number]
            action, after = _act(member.model, seen, own, episode_start, deterministic)
            chosen = choices_of_space(member.env, member.model.action_space)
            actions.append(action if chosen is None else chosen.actions_of(action))
            states.append(after)
        has_state = any(one is not None for one in states)
        if chosen is None and isinstance(self.action_space, _CHOICES):
            return most_chosen(actions), tuple(states) if has_state else None
        options = [member.env for member in self.members]
        return mean_action(actions, options), tuple(states) if has_state else None

    def get_vec_normalize_env(self) -> None:
        """Return None: the members normalise what they see themselves."""


def _act(
    model: BaseAlgorithm,
    seen: AnyArray,
    state: Any,
    episode_start: AnyArray | None,
    deterministic: bool,
) -> tuple[AnyArray, Any]:
    """Return a member's action and its state; with stacks its own state and the stack."""
    n_stack = n_stack_of_model(model)
    if n_stack == 1:
        return predict(model, seen, state, episode_start, deterministic=deterministic)
    own, before = (None, None) if state is None else state
    stack = next_stack(before, seen, n_stack, episode_start)
    action, after = predict(model, stack, own, episode_start, deterministic=deterministic)
    return action, (after, stack)


def _single_observations(model: BaseAlgorithm) -> spaces.Space[Any]:
    """Return the space of single observations of a model, whether it acts on stacks or not."""
    n_stack, space = n_stack_of_model(model), model.observation_space
    if n_stack == 1 or not isinstance(space, spaces.Box):
        return space
    width = space.shape[-1] // n_stack
    return spaces.Box(space.low[..., :width], space.high[..., :width], dtype=space.dtype.type)


_CHOICES = (spaces.Discrete, spaces.MultiDiscrete, spaces.MultiBinary)


def most_chosen(actions: Sequence[AnyArray]) -> AnyArray:
    """Return the choices that most agents make, of equally many the one with the least number.

    Parameters
    ----------
    actions : of each agent, choices in an env of the user's, of equal shapes
    """
    stacked = np.stack(actions)
    choices = np.unique(stacked)  # in increasing order; they may begin below 0
    counts = np.stack([(stacked == choice).sum(axis=0) for choice in choices])
    return np.asarray(choices[counts.argmax(axis=0)])


def mean_action(actions: Sequence[AnyArray], options: Sequence[EnvConfig]) -> AnyArray:
    """Return the action of one account that does the mean of what several agents want.

    Parameters
    ----------
    actions : of each agent, of shape (..., N); of discrete ones what they stand for
    options : of each agent

    Returns
    -------
    array of shape (..., N)
        For the account of `shared_env_config`: with `target_weights` the mean of the weights, each
        by its agent's `trade_rate`; with `orders` the mean of the signed orders, as fractions of
        `hmax`.
    """
    if options[0].type == "portfolio":
        return mean_portfolio(actions, options)
    if options[0].action == "orders":
        return np.mean(np.stack(actions), axis=0, dtype=np.float64).astype(actions[0].dtype)
    wanted = [
        weights_of_actions(
            action,
            zero_action=own.zero_action,
            max_weight=own.max_weight,
            short=own.short,
        )
        for action, own in zip(actions, options, strict=True)
    ]
    rates = [own.trade_rate for own in options]
    same = len(set(rates)) == 1
    averaged: AnyArray = np.average(np.stack(wanted), axis=0, weights=None if same else rates)
    return averaged


def mean_portfolio(actions: Sequence[AnyArray], options: Sequence[EnvConfig]) -> AnyArray:
    """Return the mean of the weights that several agents of a portfolio choose, shape (..., N).

    Parameters
    ----------
    actions : of each agent, of shape (..., N), with `cash_weight` (..., N + 1)
    options : of each agent, for its `action_scale`
    """
    wanted = [
        np.apply_along_axis(
            project_to_simplex, -1, own.action_scale * np.asarray(action, dtype=np.float64)
        )
        for action, own in zip(actions, options, strict=True)
    ]
    mean: AnyArray = np.mean(np.stack(wanted), axis=0)
    return mean


def shared_env_config(options: Sequence[EnvConfig], n_assets: int) -> EnvConfig:
    """Return the options of the account that several agents trade together.

    They are the first agent's, but for `trade_rate` and `no_trade_band`, which are the means, and
    `max_weight`, which is the largest: each agent's own has cut off its weights before. Zeros are
    cash, since what the account is told are weights.

    Parameters
    ----------
    options : of each agent
    n_assets : N
    """
    # what is told are numbers, whatever the agents choose among
    first = replace(options[0], discrete_actions="none")
    if first.type == "portfolio":
        return replace(first, action_scale=1.0)  # what is told are weights, which stay as they are
    if first.action == "orders":
        return first
    changes: dict[str, float | str | None] = {
        "zero_action": "cash",
        "max_weight": max(own.max_weight for own in options),
        "trade_rate": _mean_of([own.trade_rate for own in options]),
    }
    if len({own.no_trade_band for own in options}) > 1:
        bands = [settled_band(own.no_trade_band, n_assets) for own in options]
        changes["no_trade_band"] = _mean_of(bands)
    return replace(first, **changes)  # type: ignore[arg-type]  # names and types of fields


def _mean_of(values: Sequence[float]) -> float:
    # the mean of equal numbers is that number, bit for bit
    return values[0] if len(set(values)) == 1 else fmean(values)


def _check_same_rules(first: Member, member: Member) -> None:
    different = other_rules(first.env, member.env)
    if different:
        raise ConfigError(
            "the models of an ensemble trade one account, so that its rules must be the same for "
            f"all: {member.name or 'a member'} has {', '.join(different)}"
        )
    shapes = [_numbers_space(one).shape for one in (first, member)]
    if shapes[0] != shapes[1]:
        raise ConfigError(
            f"the models of an ensemble must have actions of one shape, got {shapes[0]} and "
            f"{shapes[1]}: they were trained on other tickers"
        )


def _numbers_space(member: Member) -> spaces.Space[Any]:
    """Return the space of what a member's actions stand for."""
    choices = choices_of_space(member.env, member.model.action_space)
    if choices is None:
        return member.model.action_space
    return spaces.Box(-1.0, 1.0, shape=(choices.n_assets,), dtype=np.float32)


def _seen_by(member: Member, observation: Observation) -> AnyArray:
    if not isinstance(observation, Mapping):
        return observation
    if member.view not in observation:
        raise ConfigError(
            f"the observation must have {member.view!r}, which {member.name or 'a member'} sees, "
            f"got {sorted(observation)}"
        )
    return observation[member.view]


def _normalised(observation: AnyArray, statistics: Statistics | None) -> AnyArray:
    """Return an observation as SB3's VecNormalize shows it to a policy."""
    if statistics is None or not statistics.settings.get("norm_obs", True):
        return observation
    mean, var, _ = statistics.moments["obs:"]
    limit, epsilon = statistics.settings["clip_obs"], statistics.settings["epsilon"]
    scaled = np.clip((observation - mean) / np.sqrt(var + epsilon), -limit, limit)
    shown: AnyArray = scaled.astype(np.float32)
    return shown
