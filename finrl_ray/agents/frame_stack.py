"""Stacks of the last observations (`agent.n_stack`): SB3's VecFrameStack, wherever a model acts.

The order of wrappers is rl-zoo3's: the env, VecNormalize around it, VecFrameStack around that.
"""

from typing import Any

import numpy as np
from gymnasium import spaces
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.vec_env import VecEnv, VecFrameStack, VecNormalize

from finrl_ray._typing import AnyArray
from finrl_ray.agents.state.env import wrappers
from finrl_ray.errors import ConfigError
from finrl_ray.learners.frame_vec_normalize import FrameVecNormalize
from finrl_ray.learners.vec_normalize import LeanVecNormalize

N_STACK = "n_stack_of_observations"
"""Attribute of a model that acts on stacks, kept in its files."""


def stacked(env: VecEnv, n_stack: int) -> VecEnv:
    """Return an env that shows the last `n_stack` observations, the newest last; itself for 1."""
    return env if n_stack == 1 else VecFrameStack(env, n_stack)


def stacked_once(env: VecEnv, n_stack: int) -> VecEnv:
    """Return an env that shows stacks, itself where it does."""
    return env if n_stack_of(env) > 1 else stacked(env, n_stack)


def normalizing(env: VecEnv, n_stack: int, **options: Any) -> VecNormalize:
    """Return a VecNormalize that goes around an env, and into `stacked(..., n_stack)`.

    Parameters
    ----------
    env : not stacked
    n_stack : as for `stacked`
    options : of VecNormalize

    Raises
    ------
    ConfigError
        If observations in parts are to be normalised and stacked.
    """
    if n_stack == 1:
        return LeanVecNormalize(env, **options)
    if not isinstance(env.observation_space, spaces.Box):
        raise ConfigError(
            "agent.n_stack with agent.normalize needs observations that are one array, got the "
            f"space {env.observation_space}; set one of them to its default"
        )
    return FrameVecNormalize(env, n_stack, **options)


def n_stack_of(env: VecEnv) -> int:
    """Return how many observations an env stacks, 1 where it does not."""
    product = 1
    for wrapper in wrappers(env):
        if isinstance(wrapper, VecFrameStack):
            product *= wrapper.stacked_obs.n_stack
    return product


def n_stack_of_model(model: Any) -> int:
    """Return how many observations a model acts on, 1 where it was not trained on stacks."""
    return int(getattr(model, N_STACK, 1))


def mark_stacked(model: BaseAlgorithm) -> None:
    """Keep with a new model, and in its files, how many observations its env stacks."""
    env = model.get_env()
    n_stack = 1 if env is None else n_stack_of(env)
    if n_stack > 1:
        setattr(model, N_STACK, n_stack)


def shown_as_in_training(model: Any, env: VecEnv) -> VecEnv:
    """Return an env that stacks observations as the env does that a model was trained in.

    An env that stacks already is left as it is, and so is any for a model without stacks. Where the
    model was trained under a VecNormalize inside the stack, and the env has none, one is put there,
    whose statistics are still to be set.

    Parameters
    ----------
    model : of SB3
    env : a vec env
    """
    n_stack = n_stack_of_model(model)
    if n_stack == 1:
        return env
    stacks = n_stack_of(env) > 1
    inner = env.venv if stacks and isinstance(env, VecFrameStack) else env
    if _normalizes_inside(model) and _normalizer(env) is None and (inner is not env or not stacks):
        return stacked(normalizing(inner, n_stack, training=False, norm_reward=False), n_stack)
    return stacked_once(env, n_stack)


def next_stack(
    before: AnyArray | None, seen: AnyArray, n_stack: int, episode_start: AnyArray | None
) -> AnyArray:
    """Return the stack after one more observation, as VecFrameStack makes it.

    Parameters
    ----------
    before : array of shape (..., n_stack * S), the stack before; None at the start
    seen : array of shape (..., S)
    n_stack : observations in a stack
    episode_start : array of shape (E,), whose stacks begin anew; None: none
    """
    width = seen.shape[-1]
    if before is None:
        before = np.zeros((*seen.shape[:-1], n_stack * width), dtype=seen.dtype)
    stack: AnyArray = np.roll(before, -width, axis=-1)
    if episode_start is not None:
        stack[np.reshape(episode_start, stack.shape[:-1])] = 0
    stack[..., -width:] = seen
    return stack


def _normalizer(env: VecEnv) -> VecNormalize | None:
    return next((w for w in wrappers(env) if isinstance(w, VecNormalize)), None)


def _normalizes_inside(model: Any) -> bool:
    """Return whether the env of a model normalises observations before it stacks them."""
    env = model.get_env() if isinstance(model, BaseAlgorithm) else None
    if env is None:
        return False
    kinds = [w for w in wrappers(env) if isinstance(w, (VecFrameStack, VecNormalize))]
    return len(kinds) > 1 and isinstance(kinds[0], VecFrameStack) and bool(kinds[-1].norm_obs)
