"""The exact learners against SB3 on this package's env: training, files and single predictions."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch as th
from bit_equality import assert_equal_bits
from stable_baselines3 import A2C, DDPG, PPO, SAC, TD3
from stable_baselines3.common.base_class import BaseAlgorithm
from torch import nn

from finrl_ray.agents.drl_agent import DRLAgent
from finrl_ray.data.market_data import MarketData
from finrl_ray.env.vec_env import StockTradingVecEnv

KWARGS: dict[str, dict[str, Any]] = {
    "ppo": {"n_steps": 48, "batch_size": 32, "n_epochs": 3},
    "a2c": {"n_steps": 5},
    "sac": {"batch_size": 16, "learning_starts": 60, "buffer_size": 500},
    "td3": {"batch_size": 16, "learning_starts": 60, "buffer_size": 500},
    "ddpg": {"batch_size": 16, "learning_starts": 60, "buffer_size": 500},
}
CLASSES: dict[str, type[BaseAlgorithm]] = {
    "ppo": PPO,
    "a2c": A2C,
    "sac": SAC,
    "td3": TD3,
    "ddpg": DDPG,
}
STATIONARY = {"observation": "stationary", "lookback": 5, "return_horizons": (1, 10)}
SHAPES: dict[str, tuple[int, int, Any]] = {
    "one account, two tickers": (2, 1, None),
    "three accounts, one ticker, odd layers": (1, 3, {"net_arch": [7, 13]}),
    "one account, seven tickers, relu": (7, 1, {"net_arch": [9], "activation_fn": nn.ReLU}),
    "two accounts, three tickers, stationary": (3, 2, None),
    "two accounts, three tickers, tanh": (3, 2, {"net_arch": [16, 5], "activation_fn": nn.Tanh}),
}


def market(n_tickers: int) -> MarketData:
    rng = np.random.default_rng(n_tickers)
    days = pd.bdate_range("2020-01-01", periods=90)
    frames = [
        pd.DataFrame(
            {"date": days, "tic": f"T{k}", "close": 50 * np.exp(rng.normal(0, 0.02, 90).cumsum())}
        )
        for k in range(n_tickers)
    ]
    return MarketData.from_finrl(pd.concat(frames))


def trained(algorithm: str, learner: str, shape: str) -> Any:
    n_tickers, n_envs, policy_kwargs = SHAPES[shape]
    observed = STATIONARY if shape.endswith("stationary") else {}
    env = StockTradingVecEnv(
        market(n_tickers), n_envs=n_envs, hmax=100, initial_amount=1e5, **observed
    )
    model = DRLAgent(env).get_model(
        algorithm,
        model_kwargs=dict(KWARGS[algorithm]),
        policy_kwargs=policy_kwargs,
        seed=0,
        verbose=0,
        learner=learner,
    )
    return DRLAgent.train_model(model, "exact", total_timesteps=150)


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> None:
    th.set_num_threads(1)


@pytest.mark.parametrize("algorithm", KWARGS)
def test_fused_learners_agree_to_rounding_on_stationary_observations(algorithm: str) -> None:
    shape = "two accounts, three tickers, stationary"
    fused, stock = (trained(algorithm, learner, shape) for learner in ("fused", "sb3"))
    assert fused.learner == "fused"
    assert fused.observation_space.shape == (1 + 3 + 5 * 2 * 3,)
    for name, value in stock.policy.state_dict().items():
        assert th.allclose(fused.policy.state_dict()[name], value, rtol=0, atol=1e-3), name


@pytest.mark.filterwarnings("ignore:You have specified a mini-batch size")
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("algorithm", KWARGS)
def test_training_and_predictions_are_sb3s(algorithm: str, shape: str, tmp_path: Path) -> None:
    exact, stock = (trained(algorithm, learner, shape) for learner in ("exact", "sb3"))
    assert exact.learner == "exact"
    assert_equal_bits(stock.policy.state_dict(), exact.policy.state_dict())
    exact.save(tmp_path / "model")
    loaded = CLASSES[algorithm].load(tmp_path / "model", device="cpu")
    size = exact.observation_space.shape[0]
    observations = np.random.default_rng(1).normal(size=(60, 1, size)).astype(np.float32)
    for seen in observations:
        actions, _ = exact.predict(seen, deterministic=True)
        assert_equal_bits(loaded.predict(seen, deterministic=True)[0], actions)
