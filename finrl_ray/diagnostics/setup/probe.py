"""Copies of an env and a model that may be stepped and trained without a trace in the originals."""

import copy
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import gymnasium as gym
import numpy as np
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import SubprocVecEnv, VecEnv, VecNormalize
from stable_baselines3.common.vec_env.base_vec_env import VecEnvWrapper

from finrl_ray.agents.frame_stack import shown_as_in_training
from finrl_ray.agents.models import as_vec_env, load_model_bytes, model_bytes
from finrl_ray.agents.rollout import shares_accounts
from finrl_ray.agents.sb3_internals import pending_resets, set_pending_resets, set_up
from finrl_ray.agents.state.env import (
    base_vec_env,
    capture_env_state,
    restore_env_state,
    wrappers,
)
from finrl_ray.agents.state.random import preserved_random_state
from finrl_ray.errors import ConfigError

logger = logging.getLogger(__name__)

# what copying an env that holds files, locks, sockets or processes raises
_COPY_ERRORS = (
    TypeError,
    ValueError,
    RuntimeError,  # RecursionError among them
    AttributeError,
    OSError,
    copy.Error,
)


@contextmanager
def probe_env(model: BaseAlgorithm, env: "gym.Env[Any, Any] | VecEnv") -> Iterator[VecEnv]:
    """Yield a vec env that behaves as `env` under the model's VecNormalize statistics.

    It is a deep copy, without the log files of `Monitor`; market tables are shared. An env that
    cannot be copied, such as a SubprocVecEnv, is lent itself and put back afterwards from its own
    `get_state()`. The global random streams are put back in any case.

    Parameters
    ----------
    model : whose env, or whose kind of env, this is
    env : a Gymnasium env or a vec env

    Raises
    ------
    ConfigError
        If the env can be neither copied nor put back.
    """
    with preserved_random_state(cuda=model.device.type == "cuda"):
        source = _as_trained_in(model, env)
        try:
            probe = copy_vec_env(source)
        except _COPY_ERRORS as error:
            with _lent(source, error):
                yield _with_statistics(model, source)
        else:
            yield _with_statistics(model, probe)


def copy_vec_env(env: VecEnv) -> VecEnv:
    """Return a deep copy of a stack of vec envs; market tables and frames are shared.

    Raises
    ------
    TypeError, and what else `copy.deepcopy` raises
        If the stack holds processes, files or locks.
    """
    base = base_vec_env(env)
    if isinstance(base, SubprocVecEnv):
        raise TypeError("a SubprocVecEnv lives in other processes")
    memo = _kept_out(base)
    twin: VecEnv = copy.deepcopy(base, memo)
    for wrapper in reversed(list(wrappers(env))):
        twin = _copy_wrapper(wrapper, twin, memo)
    return twin


def copy_model(model: BaseAlgorithm, env: VecEnv, **changes: Any) -> BaseAlgorithm:
    """Return a model with the same parameters, optimizers and keywords that logs nowhere.

    It goes through SB3's own `save` and `load`, in memory. Global random streams are drawn from;
    call it under `preserved_random_state` (as `probe_env` does).

    Parameters
    ----------
    model : the original, which is only read
    env : what the copy steps; its pending seeds are set anew if the model has a seed
    changes : attributes of the copy that differ, such as `n_steps`
    """
    quiet = {"tensorboard_log": None, "verbose": 0}
    twin = load_model_bytes(
        type(model), model_bytes(model), env=env, device=model.device, **{**quiet, **changes}
    )
    twin.set_logger(Logger(folder=None, output_formats=[]))
    return twin


def untrained_copy(model: BaseAlgorithm, env: VecEnv, seed: int, **changes: Any) -> BaseAlgorithm:
    """Return a model of the same architecture and keywords whose parameters were drawn anew."""
    twin = copy_model(model, env, seed=seed, **changes)
    # with its own seed set, SB3's setup builds and draws a new policy
    set_up(twin)
    return twin


def _as_trained_in(model: BaseAlgorithm, env: "gym.Env[Any, Any] | VecEnv") -> VecEnv:
    if not isinstance(env, VecEnv) and model.env is not None:
        # the wrapped form of an env that was given to the model bare
        wrapped = as_vec_env(env)
        return model.env if shares_accounts(model.env, wrapped) else wrapped
    return as_vec_env(env)


def _kept_out(base: VecEnv) -> dict[int, Any]:
    """Return deepcopy's memo: what copies share, and log files, for which they get None."""
    memo: dict[int, Any] = {}
    for env in getattr(base, "envs", []):
        inner = env
        while isinstance(inner, gym.Wrapper):
            if isinstance(inner, Monitor) and inner.results_writer is not None:
                memo[id(inner.results_writer)] = None
            inner = inner.env
        accounts = getattr(inner, "accounts", None)
        shared = (getattr(accounts, "table", None), getattr(inner, "_df", None))
        memo |= {id(value): value for value in shared if value is not None}
    return memo


def _copy_wrapper(wrapper: VecEnvWrapper, inner: VecEnv, memo: dict[int, Any]) -> VecEnv:
    # VecEnvWrapper has no working deepcopy: VecNormalize drops its env, the others recurse
    memo[id(wrapper.venv)] = inner
    memo[id(wrapper.class_attributes)] = wrapper.class_attributes
    results_writer = getattr(wrapper, "results_writer", None)
    if results_writer is not None:
        memo[id(results_writer)] = None
    twin: VecEnv = object.__new__(type(wrapper))
    for name, value in vars(wrapper).items():
        vars(twin)[name] = copy.deepcopy(value, memo)
    return twin


@contextmanager
def _lent(env: VecEnv, reason: Exception) -> Iterator[None]:
    """Run a block that may step `env`, and put it back to where it was."""
    base = base_vec_env(env)
    try:
        state = capture_env_state(env)
    except ConfigError as error:
        raise ConfigError(
            f"the env can be neither copied ({reason}) nor put back after a test ({error}); give "
            "it get_state() and set_state(state), or test an env of the same kind in a DummyVecEnv"
        ) from error
    logger.info("the env cannot be copied (%s); it is tested itself and put back", reason)
    stack = [*wrappers(env), base]
    fields = [dict(vars(item)) for item in stack]
    pending = copy.deepcopy((*pending_resets(base), base.reset_infos))
    try:
        yield
    finally:
        restore_env_state(env, state)
        seeds, options, base.reset_infos = pending
        set_pending_resets(base, seeds, options)
        for item, before in zip(stack, fields, strict=True):
            _restore_switches(item, before)


def _restore_switches(env: VecEnv, before: dict[str, Any]) -> None:
    for name in [name for name in vars(env) if name not in before]:
        delattr(env, name)
    for name in ("training", "norm_reward", "norm_obs"):
        if name in before:
            setattr(env, name, before[name])


def _with_statistics(model: BaseAlgorithm, env: VecEnv) -> VecEnv:
    """Return `env` under a copy of the VecNormalize that the model was trained under, if any.

    A model of stacked observations sees them stacked.
    """
    normalizer = model.get_vec_normalize_env()
    normalizes = any(isinstance(w, VecNormalize) for w in wrappers(env))
    env = shown_as_in_training(model, env)
    if normalizer is None or normalizes:
        return env
    inside = next((w for w in wrappers(env) if isinstance(w, VecNormalize)), None)
    if inside is not None:
        inside.obs_rms, inside.ret_rms = copy.deepcopy((normalizer.obs_rms, normalizer.ret_rms))
        inside.clip_obs, inside.epsilon = normalizer.clip_obs, normalizer.epsilon
        return env
    twin = _copy_wrapper(normalizer, env, {})
    # the accounts are others, so their running returns and pending seeds begin anew
    count = twin.num_envs = env.num_envs
    vars(twin)["returns"] = np.zeros(count)
    set_pending_resets(twin, [None] * count, [{} for _ in range(count)])
    return twin
