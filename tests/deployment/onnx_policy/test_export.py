"""Policies as ONNX: the same actions as SB3's, by a runtime that knows nothing of it."""

import json
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch as th
from deployed_agents import experiment, small_agent
from gymnasium import spaces
from market_env import MarketEnv
from small_models import env_of, small_model
from stable_baselines3 import PPO, SAC, TD3
from stable_baselines3.common.vec_env import DummyVecEnv, VecFrameStack, VecNormalize
from torch import nn

from finrl_ray.agents.algorithm_registry import ALGORITHMS
from finrl_ray.agents.frame_stack import mark_stacked, normalizing, stacked
from finrl_ray.agents.models import save_model
from finrl_ray.deployment.onnx_policy.comparing import TOLERANCE
from finrl_ray.deployment.onnx_policy.export import (
    ONNX_FILE,
    export_agent,
    export_model_file,
    export_onnx,
    require_onnx,
)
from finrl_ray.env.make import make_vec_env
from finrl_ray.errors import ConfigError
from finrl_ray.learners.on_policy.per_ticker import PerTickerPolicy

onnx = pytest.importorskip("onnx", reason="the extra onnx is not installed")
runtime = pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")

WRITTEN = ("ppo", "a2c", "sac", "td3", "ddpg", "dqn")


def acted(file: Path, observations: Any) -> Any:
    """Return the actions of a file for raw observations."""
    session = runtime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    rows = np.asarray(observations, dtype=np.float32)
    (found,) = session.run(["action"], {"observation": rows})
    return found


def episode(env: Any, model: Any, steps: int = 25) -> tuple[Any, Any]:
    """Return raw observations of an env and what a model does, seeing them through its wrappers."""
    inner = env.unwrapped
    seen, actions = [], []
    observation = env.reset()
    for _ in range(steps):
        normalizer = env if isinstance(env, VecNormalize) else None
        raw = observation if normalizer is None else normalizer.get_original_obs()
        seen.append(raw.copy())
        action, _ = model.predict(observation, deterministic=True)
        actions.append(action)
        observation, *_ = env.step(action)
    assert inner is not None
    return np.concatenate(seen), np.concatenate(actions)


@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("algorithm", WRITTEN)
def test_a_trained_agent_acts_alike(algorithm: str, normalize: bool, tmp_path: Path) -> None:
    model = small_model(algorithm, normalize=normalize)
    model.learn(64)
    file = tmp_path / ONNX_FILE
    assert export_onnx(model, file, facts={"tickers": ["A", "B"]}) <= TOLERANCE
    env = model.get_env()
    if normalize:
        env.training = False
    raw, expected = episode(env, model)
    found = acted(file, raw)
    assert found.shape == expected.shape
    assert found.dtype == (np.int64 if algorithm == "dqn" else np.float32)
    np.testing.assert_allclose(found, expected, rtol=0.0, atol=TOLERANCE)
    # one row gives what many give
    np.testing.assert_allclose(acted(file, raw[:1]), expected[:1], rtol=0.0, atol=TOLERANCE)
    told = {one.key: one.value for one in onnx.load(str(file)).metadata_props}
    assert json.loads(told["tickers"]) == ["A", "B"]
    assert told["algorithm"] == type(model).__name__
    assert told["normalised_inside"] == str(normalize).lower()


@pytest.mark.parametrize("normalize", [True, False])
def test_a_saved_model_is_written_with_its_statistics(normalize: bool, tmp_path: Path) -> None:
    model = small_model("ppo", normalize=normalize)
    model.learn(64)
    env = model.get_env()
    if normalize:
        env.training = False
    raw, expected = episode(env, model)
    save_model(model, tmp_path / "model.zip")
    export_model_file(tmp_path / "model.zip", tmp_path / ONNX_FILE, algorithm="ppo")
    np.testing.assert_allclose(acted(tmp_path / ONNX_FILE, raw), expected, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("algorithm", ["ppo", "sac"])
@pytest.mark.parametrize("inside", [True, False, None])
def test_stacks_are_a_wider_input(algorithm: str, inside: bool | None, tmp_path: Path) -> None:
    """Normalised before they are stacked, after it, and not at all."""
    single: Any = DummyVecEnv([lambda: MarketEnv(noise=0.1)])
    if inside:
        env: Any = VecFrameStack(normalizing(single, 3), 3)
    else:
        env = VecFrameStack(single, 3)
        env = VecNormalize(env) if inside is False else env
    options = {"n_steps": 32} if algorithm == "ppo" else {"learning_starts": 20}
    made = PPO if algorithm == "ppo" else SAC
    model = made("MlpPolicy", env, seed=1, **options)
    mark_stacked(model)
    model.learn(64)
    file = tmp_path / ONNX_FILE
    export_onnx(model, file)
    assert acted(file, np.zeros((2, 15))).shape == (2, 2)
    # what the model sees is made of the single observations by SB3's own wrappers
    normalizer = model.get_vec_normalize_env()
    if normalizer is not None:
        normalizer.training = False
    observation = env.reset()
    frames = np.full((1, 15), np.nan if inside else 0.0)
    raw, expected = [], []
    for _ in range(10):
        own = observation if normalizer is None else normalizer.get_original_obs()
        frames = own if own.shape == frames.shape else np.hstack([frames[:, 5:], own])
        raw.append(frames.copy())
        action, _ = model.predict(observation, deterministic=True)
        expected.append(action)
        observation, *_ = env.step(action)
    found = acted(file, np.concatenate(raw))
    np.testing.assert_allclose(found, np.concatenate(expected), rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize(
    "activation", [nn.Tanh, nn.ReLU, nn.ELU, nn.LeakyReLU, nn.SiLU, nn.Sigmoid]
)
def test_each_activation_of_the_networks(activation: type[nn.Module], tmp_path: Path) -> None:
    policy = {"net_arch": [16, 8], "activation_fn": activation}
    model = PPO("MlpPolicy", env_of("ppo"), n_steps=32, policy_kwargs=policy, seed=0)
    model.learn(64)
    assert export_onnx(model, tmp_path / ONNX_FILE) <= TOLERANCE


@pytest.mark.parametrize("made", [PPO, SAC])
def test_noise_that_depends_on_the_state_is_left_out(made: Any, tmp_path: Path) -> None:
    options = {"n_steps": 32} if made is PPO else {"learning_starts": 20, "buffer_size": 200}
    model = made("MlpPolicy", env_of("ppo"), use_sde=True, seed=0, **options)
    model.learn(64)
    assert export_onnx(model, tmp_path / ONNX_FILE) <= TOLERANCE


class WiderEnv(MarketEnv):
    """The same with actions of other bounds, one pair for each ticker."""

    def __init__(self) -> None:
        super().__init__()
        self.action_space.low[:] = [-3.0, 0.0]
        self.action_space.high[:] = [1.0, 0.5]


@pytest.mark.parametrize("made", [PPO, SAC, TD3])
def test_actions_of_other_bounds(made: Any, tmp_path: Path) -> None:
    model = made("MlpPolicy", DummyVecEnv([WiderEnv]), seed=0)
    if made is PPO:
        with th.no_grad():
            model.policy.action_net.weight *= 500.0  # an untrained policy hardly acts
    file = tmp_path / ONNX_FILE
    assert export_onnx(model, file) <= TOLERANCE
    rows = 30.0 * np.random.default_rng(1).normal(size=(200, 5)).astype(np.float32)
    found = acted(file, rows)
    np.testing.assert_allclose(found, model.predict(rows, deterministic=True)[0], atol=4e-5)
    assert (found >= [-3.0, 0.0]).all()
    assert (found <= [1.0, 0.5]).all()
    assert found.max(axis=0) == pytest.approx([1.0, 0.5], abs=0.2)


def test_one_choice_for_each_ticker(tmp_path: Path) -> None:
    class Choices(MarketEnv):
        def __init__(self) -> None:
            super().__init__()
            self.action_space = spaces.MultiDiscrete([3, 2])

        def step(self, action: Any) -> Any:
            return super().step(np.asarray(action) - 1)

    model = PPO("MlpPolicy", DummyVecEnv([Choices]), seed=0)
    file = tmp_path / ONNX_FILE
    assert export_onnx(model, file) == 0.0
    rows = 30.0 * np.random.default_rng(1).normal(size=(200, 5)).astype(np.float32)
    expected = model.predict(rows, deterministic=True)[0]
    assert len(np.unique(expected, axis=0)) > 2
    np.testing.assert_array_equal(acted(file, rows), expected)


@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("n_tickers", [1, 2, 4])
def test_one_network_for_each_ticker(n_tickers: int, normalize: bool, tmp_path: Path) -> None:
    """Its output does not follow the order of layers alone: the tickers are rows of the batch."""
    env: Any = DummyVecEnv([lambda: Tickers(n_tickers)])
    env = VecNormalize(env) if normalize else env
    policy = {"net_arch": [16, 8]}
    model = PPO(PerTickerPolicy, env, n_steps=32, policy_kwargs=policy, seed=0)
    model.learn(64)
    with th.no_grad():  # an untrained policy hardly acts
        model.policy.action_net.weight *= 100.0
    file = tmp_path / ONNX_FILE
    assert export_onnx(model, file) <= TOLERANCE
    rows = 2.0 * np.random.default_rng(1).normal(size=(200, 1 + 3 * n_tickers)).astype(np.float32)
    seen = env.normalize_obs(rows) if normalize else rows
    expected = model.predict(seen, deterministic=True)[0]
    found = acted(file, rows)
    assert found.shape == (200, n_tickers)
    np.testing.assert_allclose(found, expected, rtol=0.0, atol=TOLERANCE)
    np.testing.assert_allclose(acted(file, rows[:1]), expected[:1], rtol=0.0, atol=TOLERANCE)
    assert np.abs(found).max() == 1.0  # within the bounds
    assert np.unique(found).size > 100


class Tickers(gym.Env[Any, Any]):
    """An entry of the account and three of each ticker, at random."""

    def __init__(self, n_tickers: int) -> None:
        self.observation_space = spaces.Box(-np.inf, np.inf, (1 + 3 * n_tickers,), np.float32)
        self.action_space = spaces.Box(-1.0, 1.0, (n_tickers,), np.float32)
        self.rng = np.random.default_rng(0)

    def _shown(self) -> Any:
        return self.rng.normal(0.5, 2.0, self.observation_space.shape).astype(np.float32)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        return self._shown(), {}

    def step(self, action: Any) -> Any:
        return self._shown(), float(np.sum(action)), False, False, {}


class Doubled(nn.Tanh):
    """A layer of somebody's own."""


def test_what_cannot_be_written_says_so(tmp_path: Path) -> None:
    file = tmp_path / ONNX_FILE
    policy = {"activation_fn": Doubled}
    model = PPO("MlpPolicy", env_of("ppo"), policy_kwargs=policy)
    with pytest.raises(ConfigError, match=r"this PPO is none: its policy has a layer Doubled"):
        export_onnx(model, file)
    if ALGORITHMS["recurrent_ppo"].is_installed:
        with pytest.raises(ConfigError, match="it remembers what it has seen"):
            export_onnx(small_model("recurrent_ppo"), file)
    for algorithm in ("recurrent_ppo", "crossq"):
        with pytest.raises(ConfigError, match=f"got {algorithm}; leave --onnx out"):
            require_onnx(algorithm)
    with pytest.raises(ConfigError, match=r"got crossq \(trial 3 of the ensemble\); leave --onnx"):
        require_onnx("crossq", who="trial 3")
    with pytest.raises(ConfigError, match=r"got ppo with agent\.policy MultiInputPolicy; leave"):
        require_onnx("ppo", policy="MultiInputPolicy")
    require_onnx("ppo")
    require_onnx("ppo", policy="PerTickerPolicy")
    assert not file.exists()


def test_a_policy_that_does_more_than_its_layers_is_found_out(tmp_path: Path) -> None:
    model = PPO("MlpPolicy", env_of("ppo"), seed=0)
    predict = model.predict
    model.predict = lambda *given, **more: (0.5 * predict(*given, **more)[0], None)
    with pytest.raises(ConfigError, match=r"differ from Stable-Baselines3's by up to"):
        export_onnx(model, tmp_path / ONNX_FILE)
    assert not (tmp_path / ONNX_FILE).exists()


def test_statistics_of_other_observations_are_refused(tmp_path: Path) -> None:
    from finrl_ray.agents.normalization import Statistics

    model = PPO("MlpPolicy", env_of("ppo"), seed=0)
    other = Statistics(settings={}, moments={"obs:": (np.zeros(4), np.ones(4), 1.0)}, source="here")
    with pytest.raises(ConfigError, match=r"shape \(4,\), and the model acts on .* \(5,\)"):
        export_onnx(model, tmp_path / ONNX_FILE, statistics=other)


@pytest.mark.parametrize(
    ("algorithm", "agent"),
    [
        ("ppo", {"normalize": True}),
        ("sac", {"n_stack": 2}),
        ("ppo", {"policy": "PerTickerPolicy", "normalize": True}),
    ],
    ids=["ppo", "stacks", "per_ticker"],
)
def test_a_deployed_agent_in_its_env(algorithm: str, agent: dict[str, Any], tmp_path: Path) -> None:
    """Fed with what the env shows, the file orders what the agent does."""
    made = small_agent(tmp_path, experiment(algorithm, agent=agent))
    file = tmp_path / ONNX_FILE
    assert export_agent(made.folder, file) <= TOLERANCE
    env, model = made.env(), made.model()
    n_stack = made.config.agent.n_stack
    bare: Any = stacked(
        make_vec_env(made.window(), made.config.env, scaling=made.scaling, training=False), n_stack
    )
    seen, shown = env.reset(), bare.reset()
    ended = np.array([False])
    count = 0
    while not ended[0]:
        action, _ = model.predict(seen, deterministic=True)
        found = acted(file, shown)
        np.testing.assert_allclose(found, action, rtol=0, atol=TOLERANCE)
        seen, _, ended, _ = env.step(action)
        shown, *_ = bare.step(action)
        count += 1
    assert count > 10
    told = {one.key: one.value for one in onnx.load(str(file)).metadata_props}
    assert json.loads(told["tickers"]) == list(made.market.tickers)
    assert json.loads(told["stacked_observations"]) == n_stack
    # 256 random ones, and those of the rows of training
    assert json.loads(told["compared_on"]) > 256 + 50
    assert float(told["largest_difference"]) <= TOLERANCE


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"pip install 'finrl-ray\[onnx\]'"):
        require_onnx("ppo")
