import numpy as np
from env_markets import random_market

from finrl_ray.env.kernel.rewards import REWARDS
from finrl_ray.env.stock_trading import StockTradingEnv


def test_rewards_are_functions_of_two_account_values():
    assert list(REWARDS) == ["value_change"]
    assert REWARDS["value_change"](100.0, 97.5) == -2.5


def test_a_step_pays_the_reward_of_the_table():
    env = StockTradingEnv(random_market(20), reward_scaling=0.5)
    env.reset()
    rng = np.random.default_rng(0)
    for _ in range(10):
        before = env.asset_memory[-1]
        reward = env.step(rng.uniform(-1, 1, env.stock_dim).astype(np.float32))[1]
        unscaled = REWARDS["value_change"](before, env.asset_memory[-1])
        assert reward == unscaled * 0.5
        assert env.rewards_memory[-1] == unscaled
