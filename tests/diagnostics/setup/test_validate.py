"""`validate_training_setup` finds every problem and leaves no trace."""

import copy
import logging
import random
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch as th
from bit_equality import assert_equal_bits
from env_markets import finrl_frame, random_market
from market_env import MarketEnv
from small_models import SMALL_KWARGS, small_model
from stable_baselines3 import PPO, SAC
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import (
    DummyVecEnv,
    SubprocVecEnv,
    VecFrameStack,
    VecMonitor,
    VecNormalize,
)

from finrl_ray.agents.drl_agent import DRLAgent
from finrl_ray.agents.state.random import get_random_state
from finrl_ray.agents.state.training_state import capture_state, learn_from
from finrl_ray.diagnostics.setup.probe import probe_env
from finrl_ray.diagnostics.setup.validate import inspect_training_setup, validate_training_setup
from finrl_ray.env.stock_trading import StockTradingEnv
from finrl_ray.env.vec_env import StockTradingVecEnv
from finrl_ray.errors import ConfigError, DataError

pytestmark = pytest.mark.slow  # they train, or start a server

ALGORITHMS = list(SMALL_KWARGS)


def everything(model: Any) -> dict[str, Any]:
    """All that a validation must leave alone, of a model that may not have started to learn."""
    rollout = getattr(model, "rollout_buffer", None)
    generator = model.action_space._np_random
    state = {
        "random": get_random_state(),
        "generator": None if generator is None else generator.bit_generator.state,
        "parameters": copy.deepcopy(model.get_parameters()),
        "numbers": {k: v for k, v in vars(model).items() if isinstance(v, int | float | str)},
        "training": model.policy.training,
        "logger": id(vars(model).get("_logger")),
        "env": id(model.env),
        "last": {n: copy.deepcopy(getattr(model, n)) for n in ("_last_obs", "_last_original_obs")},
        "rollout": {
            name: value.copy()
            for name, value in vars(rollout or object.__new__(Empty)).items()
            if isinstance(value, np.ndarray)
        },
        "pending": copy.deepcopy((model.env.unwrapped._seeds, model.env.unwrapped._options)),
    }
    if model._last_obs is not None:
        state["captured"] = capture_state(model)
    normalizer = model.get_vec_normalize_env()
    if normalizer is not None:
        state["normalizer"] = {
            "mean": normalizer.obs_rms.mean.copy(),
            "count": normalizer.obs_rms.count,
            "returns": normalizer.returns.copy(),
            "flags": [normalizer.training, normalizer.norm_reward],
            "names": sorted(vars(normalizer)),
        }
    return state


class Empty:
    """Has no attributes."""


@pytest.mark.parametrize("started", [False, True])
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_nothing_changes(algorithm: str, started: bool) -> None:
    model = small_model(algorithm, 2)
    if started:
        learn_from(model, 128, at_safe_point=lambda m: m.num_timesteps < 64)
    random.seed(5)
    before = everything(model)
    assert validate_training_setup(model, model.env, n_test_steps=100) is True
    assert_equal_bits(before, everything(model))


@pytest.mark.parametrize("short", [False, True])
def test_target_weights_are_validated_and_left_as_they_are(short: bool) -> None:
    env = StockTradingVecEnv(random_market(60, 2), 2, action="target_weights", short=short)
    model = PPO("MlpPolicy", VecNormalize(env), n_steps=16, batch_size=16, seed=0, device="cpu")
    learn_from(model, 64)
    before = everything(model)
    report = inspect_training_setup(model, model.env, 40)
    assert report.errors == ()
    assert validate_training_setup(model, model.env, n_test_steps=40) is True
    assert_equal_bits(before, everything(model))


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_training_goes_on_as_if_there_had_been_no_validation(algorithm: str) -> None:
    models = [small_model(algorithm, 2) for _ in range(2)]
    states = []
    for model, validated in zip(models, (False, True), strict=True):
        th.manual_seed(3)
        np.random.seed(3)  # noqa: NPY002  # SB3 draws from it
        random.seed(3)
        if validated:
            validate_training_setup(model, model.env, n_test_steps=60)
        learn_from(model, 192, at_safe_point=lambda m: m.num_timesteps < 96)
        if validated:
            validate_training_setup(model, model.env, n_test_steps=60)
        learn_from(model, 192, resumed=True)
        states.append(capture_state(model))
    assert_equal_bits(*states)


def test_a_subproc_env_is_put_back() -> None:
    def build() -> PPO:
        env = SubprocVecEnv([lambda: Monitor(MarketEnv(noise=0.1))] * 2, start_method="fork")
        return PPO("MlpPolicy", VecNormalize(env), n_steps=16, batch_size=16, n_epochs=1, seed=0)

    states = []
    for validated in (False, True):
        model = build()
        if validated:
            validate_training_setup(model, model.env, n_test_steps=40)
        learn_from(model, 96, at_safe_point=lambda m: m.num_timesteps < 64)
        if validated:
            before = everything(model)
            validate_training_setup(model, model.env, n_test_steps=40)
            assert_equal_bits(before, everything(model))
        learn_from(model, 96, resumed=True)
        states.append(capture_state(model))
        model.env.close()
    assert_equal_bits(*states)


def test_an_env_that_cannot_be_copied_or_put_back_is_an_error() -> None:
    class Stuck(gym.Wrapper):  # type: ignore[type-arg]
        def __deepcopy__(self, memo: Any) -> Any:
            raise TypeError("holds a socket")

    class Plain(gym.Env):  # type: ignore[type-arg]
        observation_space = gym.spaces.Box(-1, 1, (1,))
        action_space = gym.spaces.Box(-1, 1, (1,))

    env = DummyVecEnv([lambda: Stuck(Plain())])
    model = PPO("MlpPolicy", env, n_steps=16, batch_size=16)
    with pytest.raises(ConfigError, match=r"neither copied \(holds a socket\) nor put back"):
        validate_training_setup(model, env)


@pytest.mark.parametrize(
    "kind", ["bare", "vec", "normalized", "monitored", "stacked", "stationary"]
)
def test_envs_of_every_kind(kind: str, tmp_path: Any) -> None:
    market = random_market(60)
    env: Any = StockTradingVecEnv(market, 2)
    if kind == "bare":
        env = Monitor(StockTradingEnv(market), str(tmp_path / "log"))
    elif kind == "stationary":
        env = StockTradingVecEnv(market, 2, observation="stationary", lookback=3)
    elif kind == "normalized":
        env = VecNormalize(env)
    elif kind == "monitored":
        env = VecMonitor(env, str(tmp_path / "log"))
    elif kind == "stacked":
        env = VecNormalize(VecFrameStack(env, 2))
    model = SAC("MlpPolicy", env, policy_kwargs={"net_arch": [8]}, learning_starts=10)
    written = [path.read_text() for path in tmp_path.iterdir()]
    assert validate_training_setup(model, env, n_test_steps=60)
    assert [path.read_text() for path in tmp_path.iterdir()] == written


@pytest.mark.parametrize("bare", [False, True])
def test_an_env_of_another_size_is_seen_under_the_models_statistics(bare: bool) -> None:
    market = random_market(60)
    env = VecNormalize(StockTradingVecEnv(market, 4))
    model = PPO("MlpPolicy", env, n_steps=16, batch_size=16).learn(64)
    other: Any = StockTradingEnv(market) if bare else StockTradingVecEnv(market, 2)
    before = env.obs_rms.count
    assert validate_training_setup(model, other, n_test_steps=40)
    assert env.obs_rms.count == before
    with probe_env(model, other) as probe:
        assert isinstance(probe, VecNormalize)
        seen = probe.normalize_obs(np.full((probe.num_envs, 13), 50.0, np.float32))
        assert np.array_equal(seen[0], env.normalize_obs(np.full(13, 50.0, np.float32)))


@pytest.mark.parametrize("algorithm", ["a2c", "ppo", "sac"])
def test_state_dependent_exploration_is_left_alone(algorithm: str) -> None:
    model = small_model(algorithm, 2, use_sde=True)
    learn_from(model, 128, at_safe_point=lambda m: m.num_timesteps < 64)
    before = everything(model)
    assert validate_training_setup(model, model.env, n_test_steps=40)
    assert_equal_bits(before, everything(model))


def test_a_loaded_model_without_an_env(tmp_path: Any) -> None:
    env = StockTradingVecEnv(random_market(60), 2)
    PPO("MlpPolicy", env, n_steps=16, batch_size=16).save(tmp_path / "model")
    model = PPO.load(tmp_path / "model")
    assert validate_training_setup(model, env, n_test_steps=40)
    assert model.env is None


def test_about_as_many_steps_as_asked_for_are_trained() -> None:
    model = PPO("MlpPolicy", StockTradingVecEnv(random_market(60), 4), n_steps=2048)
    report = inspect_training_setup(model, model.env, 500)
    assert report.notes == (report.notes[0],)
    assert report.notes[0].startswith("a copy was trained for 500 timesteps")
    assert model.num_timesteps == 0


class Faulty(MarketEnv):
    """A market env with one fault, chosen by name."""

    def __init__(self, fault: str) -> None:
        super().__init__(days=20)
        self.fault = fault
        if fault == "bounds":
            self.observation_space = gym.spaces.Box(-1e-3, 1e-3, (5,), np.float32)
        if fault == "actions":
            self.action_space = gym.spaces.Box(-100.0, 100.0, (2,), np.float32)

    def reset(self, **options: Any) -> Any:
        observation, info = super().reset(**options)
        if self.fault == "first observation":
            observation[1] = np.nan
        if self.fault == "dtype":
            observation = observation.astype(np.float64)
        if self.fault == "shape":
            observation = observation[np.newaxis]
        return observation, info

    def step(self, action: Any) -> Any:
        observation, reward, terminated, truncated, info = super().step(action)
        if self.fault == "late infinity" and self.day == 15:
            observation[2] = np.inf
        if self.fault == "reward" and self.day == 15:
            reward = np.nan
        if self.fault == "huge":
            reward *= 1e6
        if self.fault == "nothing":
            reward = 0.0
        if self.fault == "random":
            reward += np.random.default_rng().normal()
        if self.fault == "crash" and self.day == 3:
            raise KeyError("close_30_sma")
        return observation, reward, terminated, truncated, info


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("first observation", "entry 1 of the first observation is nan in account 0"),
        ("late infinity", "entry 2 of the observation after step 15 is inf"),
        ("reward", "the reward of account 0 in step 15 is nan"),
        ("bounds", "leaves the observation space"),
        ("shape", r"must have the space's shape \(5,\), got \(1, 5\)"),
        ("crash", "cannot be reset and stepped: KeyError: 'close_30_sma'"),
    ],
)
def test_faults_of_the_env_are_errors(fault: str, words: str) -> None:
    env = DummyVecEnv([lambda: Faulty(fault)])
    model = PPO("MlpPolicy", env, n_steps=16, batch_size=16)
    with pytest.raises(ConfigError, match=words):
        validate_training_setup(model, env, n_test_steps=30)


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("dtype", "observations are float64 and the observation space is float32"),
        ("actions", "the action space is [-100, 100]"),
        ("huge", "outside 1e-06..100; change reward_scaling"),
        ("nothing", "all rewards of 30 random steps are 0"),
        ("random", "the env is not reproducible"),
    ],
)
def test_what_usually_hurts_is_a_warning(fault: str, words: str, caplog: Any) -> None:
    env = DummyVecEnv([lambda: Faulty(fault)])
    model = PPO("MlpPolicy", env, n_steps=16, batch_size=16)
    with caplog.at_level(logging.WARNING, logger="finrl_ray"):
        assert validate_training_setup(model, env, n_test_steps=30)
    assert words in caplog.text


def test_every_problem_is_listed_at_once() -> None:
    env = DummyVecEnv([lambda: Faulty("reward"), lambda: Faulty("first observation")])
    model = PPO("MlpPolicy", env, n_steps=16, batch_size=16)
    model.batch_size = 64
    with th.no_grad():
        model.policy.log_std.fill_(th.nan)
    report = inspect_training_setup(model, env, n_test_steps=60)
    text = "\n".join(report.errors)
    assert len(report.errors) == 4
    assert "log_std" in text
    assert "batch_size must be <= the rollout of 32 (n_steps 16 x 2 envs), got 64" in text
    assert "first observation is nan in account 1" in text
    assert "the reward of account 0" in text


def test_the_whole_price_table_is_read_not_only_the_days_that_are_walked() -> None:
    frame = finrl_frame(random_market(300, 2, 1))
    bad = frame["date"].isin(["2020-10-01", "2020-10-02"]) & (frame["tic"] == "T01")
    frame.loc[bad, "close"] = 0.0
    env = StockTradingEnv(frame, tech_indicator_list=["feature_0"], parity=True)
    model = PPO("MlpPolicy", env, n_steps=16, batch_size=16)
    with pytest.raises(DataError, match="close of T01 is 0 on 2020-10-01, 2020-10-02"):
        validate_training_setup(model, env, n_test_steps=20)


def test_a_foreign_env_with_a_frame_has_it_read_too() -> None:
    class Foreign(MarketEnv):
        df = finrl_frame(random_market(30, 1, 1))

    Foreign.df.loc[7, "close"] = 0.0
    Foreign.df.loc[9:10, "feature_0"] = np.nan
    env = DummyVecEnv([Foreign])
    model = PPO("MlpPolicy", env, n_steps=16, batch_size=16)
    with pytest.raises(DataError, match="close of T00 is 0 on 2020-01-08") as caught:
        validate_training_setup(model, env, n_test_steps=10)
    assert "feature_0 of T00 is missing (NaN) on 2020-01-10, 2020-01-11" in str(caught.value)


def test_sizes_of_off_policy_models() -> None:
    env = StockTradingVecEnv(random_market(30))
    kwargs = {"batch_size": 128, "buffer_size": 64, "learning_starts": 1000}
    model = DRLAgent(env).get_model("td3", model_kwargs=kwargs, verbose=0)
    report = inspect_training_setup(model, env, 20)
    assert "batch_size must be <= buffer_size 64, got 128" in report.errors[0]
    assert "has already lost the first transitions" in report.warnings[0]
    assert "learning starts at timestep 1000" in report.notes[0]


def test_a_learning_rate_of_almost_nothing_is_noticed() -> None:
    env = StockTradingVecEnv(random_market(30))
    model = PPO("MlpPolicy", env, n_steps=16, batch_size=16, learning_rate=1e-30)
    assert "changed no parameter" in inspect_training_setup(model, env, 32).warnings[0]


def test_a_training_that_diverges_is_an_error() -> None:
    env = StockTradingVecEnv(random_market(30))
    model = PPO("MlpPolicy", env, n_steps=16, batch_size=16, learning_rate=1e30)
    with pytest.raises(ConfigError, match=r"is NaN or infinite after \d+ timesteps; a lower"):
        validate_training_setup(model, env, 64)


def test_steps_must_be_positive() -> None:
    model = small_model("a2c")
    with pytest.raises(ValueError, match="n_test_steps must be >= 1, got 0"):
        validate_training_setup(model, model.env, 0)
