"""Registers FinRL's env for rl-zoo3, which imports this module for its name alone."""

from typing import Any

import gymnasium as gym
from windows import finrl_envs


def make(window: str = "train", **_: Any) -> Any:
    """Return FinRL's env over the rows of a window, without the base class's random seed."""
    train_env, validation_env = finrl_envs()
    return train_env if window == "train" else validation_env


gym.register(id="FinRLStock-v0", entry_point=make, disable_env_checker=True)
