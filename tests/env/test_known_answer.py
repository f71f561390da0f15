"""An agent that is told tomorrow's return must find that out; one told noise must not seem to.

This checks prices, fills, reward, observation and training together: a reward that is paid for the
wrong day, or an observation that is one row late, and the first agent has nothing to go by.
"""

import dataclasses

import numpy as np
import pytest

from finrl_ray.agents.drl_agent import DRLAgent
from finrl_ray.agents.rollout import evaluate_account
from finrl_ray.baselines.buy_and_hold import buy_and_hold
from finrl_ray.config.env import EnvConfig
from finrl_ray.data.market_data import MarketData
from finrl_ray.data.sources.bundled import read_bundled
from finrl_ray.env.make import make_vec_env
from finrl_ray.env.scaling import fit_observation_scaling

pytestmark = pytest.mark.slow

# One ticker: among several, an agent that knows nothing may by luck sit in the one that rises most.
TICKER = "GOOG"
FIRST_TEST_DATE = np.datetime64("2011-07-01")
# an order of 1 moves the whole account, so that one day's knowledge can be used on that day
CONFIG = EnvConfig(hmax=5_000, observation_scaling="train")
# tomorrow's return pays off tomorrow: a short horizon learns it at once
PPO = {
    "n_steps": 256,
    "batch_size": 256,
    "learning_rate": 1e-3,
    "gamma": 0.0,
    "ent_coef": 0.0,
}
TOTAL_TIMESTEPS = 24_000


def market(*, shuffled_by: int | None) -> MarketData:
    """Real prices with tomorrow's return, in percent, as the one feature."""
    data = MarketData.from_finrl(read_bundled(), tickers=[TICKER])
    tomorrow = np.zeros_like(data.close)
    tomorrow[:-1] = 100 * (data.close[1:] / data.close[:-1] - 1)
    if shuffled_by is not None:
        tomorrow = np.random.default_rng(shuffled_by).permutation(tomorrow)
    return dataclasses.replace(
        data, features=tomorrow[:, :, None], feature_names=("tomorrows_return",)
    )


def train_and_trade(data: MarketData, seed: int) -> tuple[float, float]:
    """Growth of the account over the test window: of a trained agent, and of buy & hold."""
    first = int(np.searchsorted(data.dates, FIRST_TEST_DATE))
    # tomorrow's return of the last train row is a return of the test window: leave it out
    train, test = data.rows(0, first - 1), data.rows(first, data.n_periods)
    scaling = fit_observation_scaling(train, CONFIG.initial_amount)
    random_starts = dataclasses.replace(CONFIG, random_start=True)
    env = make_vec_env(train, random_starts, n_envs=8, seed=seed, scaling=scaling)
    agent = DRLAgent(env)
    model = agent.get_model("ppo", model_kwargs=PPO, seed=seed, verbose=0)
    model = agent.train_model(model, "known_answer", total_timesteps=TOTAL_TIMESTEPS)
    test_env = make_vec_env(test, CONFIG, scaling=scaling, training=False)
    account = evaluate_account(model, test_env)[0].account_value
    held = buy_and_hold(test, CONFIG)
    return account[-1] / account[0], held[-1] / held[0]


@pytest.mark.parametrize("seed", [0, 1])
def test_an_agent_that_is_told_tomorrows_return_beats_buy_and_hold(seed):
    agent, held = train_and_trade(market(shuffled_by=None), seed)
    assert held == pytest.approx(1.54, abs=0.01)
    assert agent > 2 * held


@pytest.mark.parametrize("seed", [0, 1])
def test_an_agent_that_is_told_noise_does_not(seed):
    agent, held = train_and_trade(market(shuffled_by=seed), seed)
    assert agent < held
