"""SB3 learns on both envs."""

import numpy as np
import pytest
from env_markets import random_market
from stable_baselines3 import PPO, SAC
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.vec_env import SubprocVecEnv, VecNormalize

from finrl_ray.env.stock_trading import StockTradingEnv
from finrl_ray.env.vec_env import StockTradingVecEnv

pytestmark = pytest.mark.slow
MARKET = random_market(40)


def single_env():
    return StockTradingEnv(MARKET, random_start=True)


def test_ppo_learns_and_reports_episodes():
    env = VecNormalize(StockTradingVecEnv(MARKET, 4, random_start=True))
    model = PPO("MlpPolicy", env, n_steps=64, batch_size=64, n_epochs=2, seed=0, device="cpu")
    model.learn(1_024)
    assert model.ep_info_buffer
    rewards, _ = evaluate_policy(
        model, StockTradingVecEnv(MARKET, 2), n_eval_episodes=2, return_episode_rewards=True
    )
    assert np.isfinite(rewards).all()


def test_ppo_on_the_vec_env_equals_ppo_on_single_envs():
    parameters = []
    for subprocess in (False, True):
        if subprocess:
            env = SubprocVecEnv([single_env, single_env], start_method="fork")
        else:
            env = StockTradingVecEnv(MARKET, 2, random_start=True)
        model = PPO("MlpPolicy", env, n_steps=32, batch_size=32, n_epochs=2, seed=0, device="cpu")
        model.learn(256)
        parameters.append([value.detach().numpy() for value in model.policy.parameters()])
        env.close()
    assert all(np.array_equal(a, b) for a, b in zip(*parameters, strict=True))


def test_sac_learns():
    env = StockTradingVecEnv(MARKET, 2)
    model = SAC("MlpPolicy", env, learning_starts=50, batch_size=32, seed=0, device="cpu")
    model.learn(200)
    assert model.num_timesteps == 200
