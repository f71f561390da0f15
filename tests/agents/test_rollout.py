"""Whole episodes, their accounts, and no trace in training."""

import random

import numpy as np
import pytest
import torch as th
from bit_equality import assert_equal_bits
from market_env import MarketEnv
from small_models import SMALL_KWARGS, env_of, small_env, small_model
from stable_baselines3 import A2C
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import (
    DummyVecEnv,
    SubprocVecEnv,
    VecFrameStack,
    VecMonitor,
    VecNormalize,
)

from finrl_ray.agents.drl_agent import DRLAgent
from finrl_ray.agents.rollout import evaluate_account, evaluate_episodes
from finrl_ray.agents.state.training_state import capture_state, learn_from
from finrl_ray.env.vec_env import StockTradingVecEnv
from finrl_ray.errors import ConfigError, DataError


class EvaluateOften(BaseCallback):
    """Evaluate in another env every few steps."""

    def __init__(self, env, deterministic: bool) -> None:
        super().__init__()
        self.env, self.deterministic = env, deterministic

    def _on_step(self) -> bool:
        if self.n_calls % 17 == 0:
            evaluate_account(self.model, self.env, 2, self.deterministic)
        return True


def assert_undisturbed(algorithm: str) -> None:
    alone = small_model(algorithm, 2)
    learn_from(alone, 128)
    end = capture_state(alone)
    watched = small_model(algorithm, 2)
    learn_from(watched, 128, EvaluateOften(env_of(algorithm), deterministic=False))
    assert_equal_bits(end, capture_state(watched))


def test_training_is_the_same_with_and_without_evaluations() -> None:
    assert_undisturbed("ppo")


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", SMALL_KWARGS)
def test_every_algorithm_trains_the_same_with_evaluations(algorithm) -> None:
    assert_undisturbed(algorithm)


def test_random_streams_and_policy_mode_are_put_back() -> None:
    model = small_model("ppo")
    model.policy.set_training_mode(True)
    expected = random.getstate(), th.get_rng_state()
    numpy_before = np.random.get_state(legacy=False)  # noqa: NPY002  # the stream SB3 uses
    evaluate_account(model, small_env(noise=1.0), 2, deterministic=False)
    assert random.getstate() == expected[0]
    assert th.equal(th.get_rng_state(), expected[1])
    after = np.random.get_state(legacy=False)  # noqa: NPY002  # the stream SB3 uses
    assert_equal_bits(after["state"]["key"], numpy_before["state"]["key"])
    assert after["state"]["pos"] == numpy_before["state"]["pos"]
    assert model.policy.training


def test_statistics_are_applied_and_not_updated() -> None:
    model = small_model("a2c").learn(60)
    source = model.get_vec_normalize_env()
    own = small_env(normalize=True)
    plain = small_env()
    values = [evaluate_account(model, env)[0].account_value for env in (own, plain)]
    assert_equal_bits(*values)
    unnormalized = DummyVecEnv([MarketEnv])
    model._vec_normalize_env = None
    raw = evaluate_account(model, unnormalized)[0].account_value
    assert not np.array_equal(raw, values[0])
    assert own.obs_rms.count == source.obs_rms.count
    assert_equal_bits(own.obs_rms.mean, source.obs_rms.mean)
    assert own.training
    assert own.norm_reward


def test_a_model_trained_without_statistics_sees_none(tmp_path) -> None:
    model = small_model("a2c", normalize=False).learn(60)
    normalized = small_env(normalize=True)
    normalized.obs_rms.mean += 1.0
    plain = evaluate_account(model, small_env())[0].account_value
    assert_equal_bits(evaluate_account(model, normalized)[0].account_value, plain)
    assert normalized.norm_obs
    # a model without an env may have been trained under statistics that only the env knows
    model.save(tmp_path / "model.zip")
    loaded = A2C.load(tmp_path / "model.zip")
    assert not np.array_equal(evaluate_account(loaded, normalized)[0].account_value, plain)


def test_statistics_under_other_wrappers_need_the_same_wrappers() -> None:
    env = VecMonitor(small_env(normalize=True))
    model = DRLAgent(env).get_model("a2c", verbose=0)
    with pytest.raises(ConfigError, match="wrap the evaluation env in the same way"):
        evaluate_account(model, small_env())
    assert evaluate_account(model, VecMonitor(small_env(normalize=True)))


def test_rewards_and_lengths_are_the_envs() -> None:
    model = small_model("a2c", normalize=False)
    episode = evaluate_episodes(model, small_env(days=20))[0]
    assert episode.length == 19
    assert episode.reward == pytest.approx(episode.history.rewards.sum() * 1e-2, rel=1e-5)
    # VecNormalize scales rewards in training only
    normalized = evaluate_episodes(model, VecNormalize(small_env(days=20), norm_obs=False))[0]
    assert normalized.reward == pytest.approx(episode.reward)


def test_episodes_are_shared_out_evenly_whatever_their_length() -> None:
    lengths = (5, 29)
    env = DummyVecEnv([lambda n=n: MarketEnv(end_on=n) for n in lengths])
    episodes = evaluate_episodes(small_model("a2c", normalize=False), env, 5)
    assert sorted(e.length for e in episodes) == [5, 5, 5, 29, 29]


def test_a_seed_repeats_the_episodes() -> None:
    model = small_model("a2c", normalize=False)
    env = small_env(noise=1.0)
    first, second = (evaluate_account(model, env, 2, seed=4) for _ in range(2))
    for one, other in zip(first, second, strict=True):
        assert_equal_bits(one.account_value, other.account_value)
    assert not np.array_equal(first[0].account_value, first[1].account_value)


def test_the_trading_vec_env_is_read(market) -> None:
    env = StockTradingVecEnv(market, 2, hmax=10, initial_amount=1e5)
    model = DRLAgent(env).get_model("a2c", verbose=0)
    histories = evaluate_account(model, StockTradingVecEnv(market, hmax=10, initial_amount=1e5))
    assert len(histories[0].account_value) == 60


@pytest.mark.slow
def test_envs_in_subprocesses_are_read() -> None:
    env = SubprocVecEnv([MarketEnv] * 2)
    try:
        histories = evaluate_account(small_model("a2c", normalize=False), env, 3)
    finally:
        env.close()
    assert [len(history.account_value) for history in histories] == [30, 30, 30]


class ForgetfulEnv(MarketEnv):
    def step(self, action):
        *rest, _ = super().step(action)
        return *rest, {}


def test_an_env_without_history_is_told() -> None:
    with pytest.raises(DataError, match=r"must put info\['account_history'\] at the end"):
        evaluate_account(small_model("a2c", normalize=False), DummyVecEnv([ForgetfulEnv]))


def test_no_episodes_are_refused() -> None:
    with pytest.raises(ValueError, match="n_episodes must be >= 1, got 0"):
        evaluate_account(small_model("a2c"), small_env(), 0)


def test_stacked_frames_are_evaluated() -> None:
    model = DRLAgent(VecFrameStack(small_env(), 2)).get_model("a2c", verbose=0)
    assert evaluate_account(model, VecFrameStack(small_env(), 2))
