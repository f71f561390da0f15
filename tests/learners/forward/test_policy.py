"""Compiled policies give SB3's deterministic actions bit for bit, or leave them to torch."""

import logging
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch as th
from bit_equality import assert_equal_bits
from gymnasium import spaces
from stable_baselines3 import A2C, DDPG, DQN, PPO, SAC, TD3
from stable_baselines3.common.base_class import BaseAlgorithm
from torch import nn
from torch.nn.utils import prune

from finrl_ray.learners.forward import policy as forward
from finrl_ray.learners.forward.library import torch_functions
from finrl_ray.learners.on_policy.fused import FusedPPO
from finrl_ray.learners.on_policy.per_ticker import PerTickerPolicy

needs_mkl = pytest.mark.skipif(torch_functions() is None, reason="torch has no MKL here")


class Seen(gym.Env[Any, Any]):
    """An env of which only the spaces count."""

    def __init__(self, n_entries: int, actions: spaces.Space[Any]) -> None:
        self.observation_space = spaces.Box(-np.inf, np.inf, (n_entries,), np.float32)
        self.action_space = actions

    def reset(self, **options: Any) -> tuple[Any, dict[str, Any]]:
        del options
        return np.zeros(self.observation_space.shape, np.float32), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        del action
        return self.reset()[0], 0.0, False, False, {}


def bounded(n_actions: int, low: float = -1.0, high: float = 1.0) -> spaces.Box:
    return spaces.Box(low, high, (n_actions,), np.float32)


def made(
    kind: Any, n_entries: int, actions: Any, policy: Any = "MlpPolicy", seed: int = 1, **kwargs: Any
) -> Any:
    small = {} if kind in (PPO, A2C, FusedPPO) else {"buffer_size": 10}
    model = kind(
        policy, Seen(n_entries, actions), seed=seed, device="cpu", policy_kwargs=kwargs, **small
    )
    with th.no_grad():
        for parameter in model.policy.parameters():  # biases are 0 at first
            parameter += 0.1 * th.randn(parameter.shape)
    return model


def rows_of(model: BaseAlgorithm, n_rows: int, seed: int = 0) -> np.ndarray:
    shape = n_rows, *model.observation_space.shape
    return np.random.default_rng(seed).normal(0, 0.3, shape).astype(np.float32)


CASES: dict[str, tuple[Any, ...]] = {
    "ppo": (PPO, 21, bounded(5), "MlpPolicy", {}),
    "ppo of one action and odd layers": (PPO, 7, bounded(1), "MlpPolicy", {"net_arch": [13, 1, 3]}),
    "ppo without hidden layers": (PPO, 9, bounded(4), "MlpPolicy", {"net_arch": []}),
    "ppo of one entry": (PPO, 1, bounded(2), "MlpPolicy", {"activation_fn": nn.ReLU}),
    "a2c with other bounds": (A2C, 33, bounded(3, -0.2, 0.7), "MlpPolicy", {"net_arch": [64, 16]}),
    "sac": (SAC, 31, bounded(7), "MlpPolicy", {"net_arch": [256, 31]}),
    "td3 with other bounds": (TD3, 12, bounded(2, -3, 0.5), "MlpPolicy", {"net_arch": [40, 30]}),
    "ddpg with tanh": (DDPG, 8, bounded(1), "MlpPolicy", {"activation_fn": nn.Tanh}),
    "tickers, fewer than lanes": (PPO, 1 + 5 * 3, bounded(3), PerTickerPolicy, {}),
    "tickers, one": (A2C, 4, bounded(1), PerTickerPolicy, {"net_arch": [5]}),
    "tickers, many": (PPO, 1 + 4 * 93, bounded(93), PerTickerPolicy, {"activation_fn": nn.ReLU}),
}


@needs_mkl
@pytest.mark.parametrize("name", CASES)
def test_actions_are_sb3s(name: str) -> None:
    kind, n_entries, actions, policy, kwargs = CASES[name]
    model = made(kind, n_entries, actions, policy, **kwargs)
    assert forward.reason_against_forward(model) == ""
    for n_rows in (1, 2, 3, 17):
        seen = rows_of(model, n_rows)
        expected, _ = model.predict(seen, deterministic=True)
        compiled = forward.compiled_actions(model, seen)
        assert compiled is not None, "compiled code does not agree with torch"
        assert_equal_bits(compiled, expected)
        low, high = model.action_space.low, model.action_space.high
        assert np.mean((expected > low) & (expected < high)) > 0.6, "bounds hide differences"
        flipped = forward.compiled_actions(model, seen[:, ::-1])
        assert_equal_bits(flipped, model.predict(seen[:, ::-1], deterministic=True)[0])


@needs_mkl
def test_parameters_are_those_of_the_moment() -> None:
    model, other = made(PPO, 9, bounded(3)), made(PPO, 9, bounded(3), seed=2)
    seen = rows_of(model, 1)
    before = forward.compiled_actions(model, seen)
    model.policy.load_state_dict(other.policy.state_dict())
    after = forward.compiled_actions(model, seen)
    assert not np.array_equal(before, after)
    assert_equal_bits(after, other.predict(seen, deterministic=True)[0])
    model.policy.action_net.weight = nn.Parameter(th.ones_like(model.policy.action_net.weight))
    replaced = forward.compiled_actions(model, seen)
    assert_equal_bits(replaced, model.predict(seen, deterministic=True)[0])
    model.policy.action_net.weight = nn.Parameter(th.ones(64, 3).T)  # columns, not rows
    assert forward.compiled_actions(model, seen) is None


def test_layers_are_those_of_the_moment() -> None:
    model = made(PPO, 9, bounded(3))
    seen = rows_of(model, 1)
    assert forward.compiled_actions(model, seen) is not None
    handle = model.policy.action_net.register_forward_hook(lambda *_: None)
    assert forward.compiled_actions(model, seen) is None
    handle.remove()
    assert forward.compiled_actions(model, seen) is not None
    prune.l1_unstructured(model.policy.action_net, "weight", 0.5)
    assert forward.compiled_actions(model, seen) is None
    prune.remove(model.policy.action_net, "weight")
    model.policy.action_net = nn.Linear(64, 3)
    assert forward.compiled_actions(model, seen) is None


def test_a_model_of_another_kind_says_nothing_of_others() -> None:
    wide, plain = made(PPO, 11, bounded(3)), made(PPO, 11, bounded(3))
    wide.policy.double()
    seen = rows_of(plain, 1)
    assert forward.compiled_actions(wide, seen) is None
    assert forward.compiled_actions(plain, seen) is not None


def test_threads_do_not_share_memory() -> None:
    model = made(PPO, 9, bounded(3))
    rows = [rows_of(model, 1, seed=k) for k in range(8)]
    expected = [model.predict(seen, deterministic=True)[0] for seen in rows]
    seen = []
    with ThreadPoolExecutor(4) as pool:
        for _ in range(200):
            seen.append(list(pool.map(lambda one: forward.compiled_actions(model, one), rows)))
    for found in seen:
        assert_equal_bits(found, expected)


def test_one_bit_of_difference_leaves_the_policy_to_torch(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(forward, "_agreed", {})
    torchs = forward.best_by_torch

    def other_in_the_last_bit(policy: Any, observations: Any) -> Any:
        actions = torchs(policy, observations)
        actions[0, -1] = np.nextafter(actions[0, -1], np.float32(2))
        return actions

    monkeypatch.setattr(forward, "best_by_torch", other_in_the_last_bit)
    model = made(FusedPPO, 9, bounded(3))
    seen = rows_of(model, 2)
    with caplog.at_level(logging.INFO):
        actions, _ = model.predict(seen, deterministic=True)
    assert forward.compiled_actions(model, seen) is None
    assert_equal_bits(actions, BaseAlgorithm.predict(model, seen, deterministic=True)[0])
    if torch_functions() is not None:
        assert "left to torch" in caplog.text


def test_without_mkl_the_policy_is_left_to_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forward, "torch_functions", lambda: None)
    model = made(FusedPPO, 9, bounded(3))
    seen = rows_of(model, 2)
    assert forward.forward_of(model) is None
    actions, _ = model.predict(seen, deterministic=True)
    assert_equal_bits(actions, BaseAlgorithm.predict(model, seen, deterministic=True)[0])


@needs_mkl
def test_nan_is_left_to_sb3() -> None:
    model = made(FusedPPO, 9, bounded(3))
    seen = rows_of(model, 1)
    assert forward.compiled_actions(model, seen) is not None
    with th.no_grad():
        model.policy.action_net.bias[1] = float("nan")
    assert forward.compiled_actions(model, seen) is None
    with pytest.raises(ValueError, match="Expected parameter loc"):
        model.predict(seen, deterministic=True)


@needs_mkl
def test_what_is_left_to_torch_is_named() -> None:
    reason = forward.reason_against_forward
    assert reason(made(PPO, 9, bounded(3), activation_fn=nn.ELU)) == (
        "there are layers of another kind in the networks"
    )
    assert reason(made(DQN, 9, spaces.Discrete(3))) == "the action space is a Discrete"
    assert "two" in reason(made(SAC, 9, bounded(3, 0, 1)))
    assert "float64" in reason(made(PPO, 9, spaces.Box(-1, 1, (3,), np.float64)))
    gsde = PPO("MlpPolicy", Seen(9, bounded(3)), use_sde=True, device="cpu")
    assert "StateDependentNoiseDistribution" in reason(gsde)
    hooked = made(TD3, 9, bounded(3), net_arch=[4])
    hooked.actor.mu[0].register_forward_hook(lambda *_: None)
    assert "hooks" in reason(hooked)
