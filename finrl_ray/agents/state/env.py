"""The exact state of a stack of SB3 vec envs: accounts, Monitor, VecNormalize, VecMonitor."""

import copy
from collections.abc import Iterator
from typing import Any

import numpy as np
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.running_mean_std import RunningMeanStd
from stable_baselines3.common.vec_env import (
    VecCheckNan,
    VecEnv,
    VecFrameStack,
    VecMonitor,
    VecNormalize,
    VecTransposeImage,
)
from stable_baselines3.common.vec_env.base_vec_env import VecEnvWrapper
from stable_baselines3.common.vec_env.stacked_observations import StackedObservations

from finrl_ray.errors import ConfigError
from finrl_ray.learners.frame_vec_normalize import FrameVecNormalize

MONITOR_FIELDS = (
    "rewards",
    "needs_reset",
    "total_steps",
    "episode_returns",
    "episode_lengths",
    "episode_times",
)
VEC_MONITOR_FIELDS = ("episode_count", "episode_returns", "episode_lengths")
# VecNormalize.save() leaves out `returns`, without which reward scaling differs after a resume
VEC_NORMALIZE_FIELDS = ("returns", "old_obs", "old_reward")
FRAME_VEC_NORMALIZE_FIELDS = (*VEC_NORMALIZE_FIELDS, "original_stack")
STATELESS_WRAPPERS = (VecTransposeImage, VecCheckNan)


def capture_env_state(env: VecEnv) -> dict[str, Any]:
    """Return the state of every env, and of the wrappers around them, as plain values.

    The innermost vec env, or else each env in it, must have `get_state()` and `set_state(state)`,
    which cover its accounts, its day and its random generator.

    Raises
    ------
    ConfigError
        If there is no `get_state`, or a wrapper holds state that cannot be captured.
    """
    return {
        "n_envs": env.num_envs,
        "accounts": _capture_accounts(base_vec_env(env)),
        "wrappers": [_wrapper_state(wrapper) for wrapper in wrappers(env)],
    }


def restore_env_state(env: VecEnv, state: dict[str, Any]) -> None:
    """Put a state from `capture_env_state` into a stack of the same shape, after resetting it.

    Raises
    ------
    ConfigError
        If the number of envs or the wrappers differ from those of the captured stack.
    """
    stack = list(wrappers(env))
    names = [type(wrapper).__name__ for wrapper in stack]
    saved = [wrapper["name"] for wrapper in state["wrappers"]]
    if names != saved or env.num_envs != state["n_envs"]:
        raise ConfigError(
            f"the state was captured from {state['n_envs']} envs in the wrappers {saved}, "
            f"but the env to restore has {env.num_envs} in {names}; build both from one config"
        )
    env.reset()  # uses up the seeds that building the model has left pending
    _restore_accounts(base_vec_env(env), state["accounts"])
    for wrapper, saved_wrapper in zip(stack, state["wrappers"], strict=True):
        _restore_wrapper(wrapper, saved_wrapper)


def wrappers(env: VecEnv) -> Iterator[VecEnvWrapper]:
    """Yield the vec env wrappers from the outside in."""
    while isinstance(env, VecEnvWrapper):
        yield env
        env = env.venv


def base_vec_env(env: VecEnv) -> VecEnv:
    """Return the vec env inside all vec env wrappers."""
    while isinstance(env, VecEnvWrapper):
        env = env.venv
    return env


def running_moments(statistics: RunningMeanStd) -> dict[str, Any]:
    """Return mean, variance and count of a running statistic, copied."""
    return {
        "mean": np.copy(statistics.mean),
        "var": np.copy(statistics.var),
        "count": float(statistics.count),
    }


def missing_state(env: VecEnv) -> str:
    """Return why the accounts of an env have no exact state; empty where they have one.

    An env of the user's (`env.class`) without `get_state` and `set_state` says so itself: training
    goes on from a checkpoint with a reset of it.
    """
    return str(getattr(base_vec_env(env), "state_missing", ""))


def _capture_accounts(base: VecEnv) -> dict[str, Any]:
    if hasattr(base, "get_state"):
        return {"together": copy.deepcopy(base.get_state())}
    if not base.has_attr("get_state"):
        raise ConfigError(
            "an exact checkpoint needs envs with get_state() and set_state(state), such as "
            f"StockTradingEnv; those in the {type(base).__name__} have none"
        )
    states = copy.deepcopy(base.env_method("get_state"))
    return {"each": states, "monitors": _monitor_states(base)}


def _restore_accounts(base: VecEnv, state: dict[str, Any]) -> None:
    if "together" in state:
        base.set_state(copy.deepcopy(state["together"]))  # type: ignore[attr-defined]  # captured so
        return
    for index, account in enumerate(state["each"]):
        base.env_method("set_state", copy.deepcopy(account), indices=[index])
        monitor = state["monitors"][index]
        for name, value in (monitor or {}).items():
            base.env_method("set_wrapper_attr", name, copy.deepcopy(value), indices=[index])


def _monitor_states(base: VecEnv) -> list[dict[str, Any] | None]:
    states: list[dict[str, Any] | None] = []
    for index, monitored in enumerate(base.env_is_wrapped(Monitor)):
        if not monitored:
            states.append(None)
            continue
        values = {
            name: base.env_method("get_wrapper_attr", name, indices=[index])[0]
            for name in MONITOR_FIELDS
        }
        states.append(copy.deepcopy(values))
    return states


def _wrapper_state(wrapper: VecEnvWrapper) -> dict[str, Any]:
    state: dict[str, Any] = {"name": type(wrapper).__name__}
    fields: tuple[str, ...] = ()
    if isinstance(wrapper, VecNormalize):
        state["moments"] = {
            name: running_moments(statistics) for name, statistics in _statistics(wrapper)
        }
        inside = isinstance(wrapper, FrameVecNormalize)
        fields = FRAME_VEC_NORMALIZE_FIELDS if inside else VEC_NORMALIZE_FIELDS
    elif isinstance(wrapper, VecFrameStack):
        state["stacks"] = {
            key: copy.deepcopy(stack.stacked_obs) for key, stack in _stacks(wrapper.stacked_obs)
        }
    elif isinstance(wrapper, VecMonitor):
        fields = VEC_MONITOR_FIELDS
    elif not isinstance(wrapper, STATELESS_WRAPPERS):
        raise ConfigError(
            f"an exact checkpoint cannot capture the wrapper {type(wrapper).__name__}; it can "
            "capture VecNormalize, VecFrameStack, VecMonitor, VecTransposeImage and VecCheckNan"
        )
    # old_obs exists from the first reset on
    state["fields"] = {
        name: copy.deepcopy(getattr(wrapper, name)) for name in fields if hasattr(wrapper, name)
    }
    return state


def _restore_wrapper(wrapper: VecEnvWrapper, state: dict[str, Any]) -> None:
    if isinstance(wrapper, VecNormalize):
        for name, statistics in _statistics(wrapper):
            for key, value in state["moments"][name].items():
                setattr(statistics, key, copy.deepcopy(value))
    if isinstance(wrapper, VecFrameStack):
        for key, stack in _stacks(wrapper.stacked_obs):
            stack.stacked_obs = copy.deepcopy(state["stacks"][key])
    for name, value in state["fields"].items():
        setattr(wrapper, name, copy.deepcopy(value))


def _stacks(stacked: StackedObservations[Any]) -> Iterator[tuple[str, StackedObservations[Any]]]:
    """Yield what holds the arrays of stacks, by the key of an observation in parts."""
    parts = getattr(stacked, "sub_stacked_observations", None)
    yield from ([("", stacked)] if parts is None else parts.items())


def _statistics(normalizer: VecNormalize) -> Iterator[tuple[str, RunningMeanStd]]:
    yield "returns", normalizer.ret_rms
    if normalizer.norm_obs:
        # SB3 declares the dict that it uses for Dict spaces alone
        observations: Any = normalizer.obs_rms
        keyed = observations if isinstance(observations, dict) else {"": observations}
        for key, statistics in keyed.items():
            yield f"observations.{key}", statistics
