"""The look that a search takes at an env before it starts."""

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from own_envs import LookingAheadEnv, ValueEnv, wandering_market

from finrl_ray.config.env import EnvConfig
from finrl_ray.errors import ConfigError
from finrl_ray.testing.own_env import require_own_env


class ShapedByItsWindow(ValueEnv):
    """Has a larger observation on a long window."""

    def __init__(self, prices: Any) -> None:
        super().__init__(prices)
        self.size = 2 + (len(prices) > 50)
        self.observation_space = gym.spaces.Box(-np.inf, np.inf, (self.size,), np.float32)

    def _observation(self) -> Any:
        return np.zeros(self.size, dtype=np.float32)


def look(made: Any) -> tuple[str, ...]:
    market = wandering_market(120)
    windows = {"train": market.rows(0, 60), "validation": market.rows(60, 90)}
    return require_own_env(EnvConfig(class_=f"{made.__module__}:{made.__name__}"), windows)


def test_what_is_given_up_is_returned() -> None:
    exact, account = look(ValueEnv)
    assert "has no get_state and no set_state" in exact
    assert "left out of tables and reports" in account


def test_one_message_names_file_line_and_remedy() -> None:
    with pytest.raises(
        ConfigError, match=r"own_envs:LookingAheadEnv.*own_envs.py, line \d+"
    ) as caught:
        look(LookingAheadEnv)
    assert "it looks ahead" in str(caught.value)
    assert "finrl-ray check own_envs:LookingAheadEnv" in str(caught.value)


def test_spaces_must_not_depend_on_the_window() -> None:
    with pytest.raises(ConfigError, match="spaces must be the same on every window"):
        look(ShapedByItsWindow)


def test_global_random_streams_are_left_alone() -> None:
    before = np.random.get_state(legacy=False)["state"]["key"].tolist()  # noqa: NPY002
    look(ValueEnv)
    assert np.random.get_state(legacy=False)["state"]["key"].tolist() == before  # noqa: NPY002
