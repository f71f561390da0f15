"""What is compared before a policy is written as ONNX, and how far it may be from SB3's."""

from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import DummyVecEnv

from finrl_ray.deployment.onnx_policy.comparing import (
    ROUNDINGS,
    TOLERANCE,
    acted_rows,
    random_rows,
    rounding,
)
from finrl_ray.deployment.onnx_policy.export import ONNX_FILE, export_onnx
from finrl_ray.deployment.onnx_policy.normalizer import Normalizer
from finrl_ray.errors import ConfigError

onnx = pytest.importorskip("onnx", reason="the extra onnx is not installed")
runtime = pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")

WIDTH, STEPS = 61, 40


class Raw(gym.Env[Any, Any]):
    """Cash of up to a million, prices and shares, as FinRL's env shows them."""

    def __init__(self, actions: Any = None) -> None:
        self.observation_space = spaces.Box(-np.inf, np.inf, (WIDTH,), np.float32)
        self.action_space = spaces.Box(-1.0, 1.0, (5,), np.float32) if actions is None else actions
        self.rng, self.day = np.random.default_rng(2), 0

    def _shown(self) -> Any:
        cash, prices = self.rng.uniform(0, 1e6, 1), self.rng.uniform(30, 300, 30)
        shares = self.rng.integers(0, 2_000, 30)
        return np.concatenate([cash, prices, shares]).astype(np.float32)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        self.day = 0
        return self._shown(), {}

    def step(self, action: Any) -> Any:
        self.day += 1
        return self._shown(), 0.0, self.day == STEPS, False, {}


def relu(actions: Any = None) -> Any:
    """A policy that cuts nothing off inside, so that sums of a million reach its actions."""
    policy = {"net_arch": [64, 64], "activation_fn": th.nn.ReLU}
    env = DummyVecEnv([lambda: Raw(actions)])
    return PPO("MlpPolicy", env, seed=0, device="cpu", policy_kwargs=policy)


def test_an_episode_is_shown_as_it_is() -> None:
    rows = acted_rows(relu(), DummyVecEnv([Raw]), None)
    assert rows.shape == (STEPS, WIDTH)
    assert rows.dtype == np.float32
    assert rows[:, 0].max() > 5e5
    assert len(np.unique(rows[:, 0])) == STEPS


def test_random_rows_lie_around_what_was_seen() -> None:
    mean, deviation = np.full(WIDTH, 1e6), np.full(WIDTH, 100.0)
    rows = random_rows(relu(), Normalizer(mean=mean, deviation=deviation, clip=10.0))
    assert rows.shape == (256, WIDTH)
    assert abs(rows.mean() - 1e6) < 50.0
    assert 200.0 < rows.std() < 1_000.0


def test_rounding_is_that_of_float32_beside_float64() -> None:
    model = relu()
    small = rounding(model, random_rows(model, None)[:64])
    large = rounding(model, acted_rows(model, DummyVecEnv([Raw]), None))
    assert 0.0 < small.actions < TOLERANCE
    assert large.outputs > 10.0 * small.outputs
    assert large.exact.dtype == np.float64
    assert large.exact.shape == (STEPS, 5)


def test_large_observations_are_compared_to_what_float32_can_tell(tmp_path: Path) -> None:
    model, file = relu(), tmp_path / ONNX_FILE
    allowed = rounding(model, acted_rows(model, DummyVecEnv([Raw]), None)).actions
    assert export_onnx(model, file, env=DummyVecEnv([Raw])) <= max(TOLERANCE, ROUNDINGS * allowed)
    told = {one.key: one.value for one in onnx.load(str(file)).metadata_props}
    assert told["compared_on"] == str(256 + STEPS)


def test_a_policy_that_differs_on_large_observations_alone_is_found_out(tmp_path: Path) -> None:
    """On observations around 0 it is its layers, and beside cash of a million it is not."""
    model, file = relu(), tmp_path / ONNX_FILE
    predict = model.predict

    def twisted(observation: Any, *given: Any, **more: Any) -> Any:
        actions, state = predict(observation, *given, **more)
        return np.where(np.abs(observation[:, :1]) > 1e3, 0.5 * actions + 0.2, actions), state

    model.predict = twisted
    export_onnx(model, file)
    file.unlink()
    with pytest.raises(ConfigError, match=r"differ from Stable-Baselines3's by up to"):
        export_onnx(model, file, env=DummyVecEnv([Raw]))
    assert not file.exists()


@pytest.mark.parametrize("actions", [spaces.Discrete(4), spaces.MultiDiscrete([3, 2])])
def test_choices_may_differ_only_where_two_are_worth_the_same(actions: Any, tmp_path: Path) -> None:
    model: Any = relu(actions)
    net = model.policy.action_net
    with th.no_grad():  # the first two are equal, and above the others
        net.weight[:] = 0.0
        net.bias[:] = th.as_tensor([1.0, 1.0, *[0.0] * (len(net.bias) - 2)])
    predict, file = model.predict, tmp_path / ONNX_FILE

    def answered(choice: int) -> Any:
        def other(*given: Any, **more: Any) -> Any:
            chosen = predict(*given, **more)[0].copy()
            chosen.reshape(len(chosen), -1)[:, 0] = choice
            return chosen, None

        return other

    model.predict = answered(1)  # a tie, decided otherwise
    assert export_onnx(model, file) == 0.0
    model.predict = answered(2)  # a worse choice
    with pytest.raises(ConfigError, match=r"differ from Stable-Baselines3's by up to 2"):
        export_onnx(model, file)
