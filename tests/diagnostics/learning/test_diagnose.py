"""`diagnose_learning` tells learning from luck, in words, and leaves no trace."""

import logging
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch as th
from bit_equality import assert_equal_bits
from env_markets import hand_market, random_market
from market_env import MarketEnv
from small_models import SMALL_KWARGS, small_env, small_model
from stable_baselines3 import A2C, PPO
from stable_baselines3.common.utils import explained_variance
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv, VecNormalize

from finrl_ray.agents.algorithm_registry import ALGORITHMS
from finrl_ray.agents.state.training_state import capture_state, learn_from
from finrl_ray.diagnostics.learning.diagnose import diagnose_learning
from finrl_ray.diagnostics.learning.sentences import comparison_sentences, policy_sentences
from finrl_ray.env.portfolio.env import StockPortfolioEnv
from finrl_ray.env.stock_trading import StockTradingEnv
from finrl_ray.env.vec_env import StockTradingVecEnv

pytestmark = pytest.mark.slow  # they train, or start a server


class Bandit(gym.Env):  # type: ignore[type-arg]
    """Ten steps; the reward is the first action minus `offset`, so what is best is known."""

    observation_space = gym.spaces.Box(-1, 1, (2,))
    action_space = gym.spaces.Box(-1, 1, (1,))

    def __init__(self, offset: float = 0.0, noise: float = 0.0) -> None:
        self.offset, self.noise = offset, noise

    def _observation(self) -> Any:
        return self.np_random.uniform(-1, 1, 2).astype(np.float32) * np.float32(self.noise)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.step_number = 0
        return self._observation(), {}

    def step(self, action: Any) -> Any:
        self.step_number += 1
        reward = float(action[0]) - self.offset
        return self._observation(), reward, self.step_number == 10, False, {}


class Foretold(Bandit):
    """Fifty steps cut by a time limit; what is seen is a hundredth of the next reward."""

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        self.noise = 1.0
        self.seen, info = super().reset(seed=seed)
        return self.seen, info

    def step(self, action: Any) -> Any:
        reward = 100.0 * float(self.seen[0])
        self.seen = super().step(action)[0]
        return self.seen, reward, False, self.step_number == 50, {}


def constant_model(env: Any, action: float, model_class: Any = PPO) -> Any:
    """A model that gives the same action everywhere and believes that it was trained."""
    model = model_class("MlpPolicy", env, n_steps=16, seed=0)
    with th.no_grad():
        model.policy.action_net.weight.zero_()
        model.policy.action_net.bias.fill_(action)
    model.num_timesteps = 100
    return model


@pytest.mark.parametrize("algorithm", list(SMALL_KWARGS))
@pytest.mark.parametrize("n_envs", [1, 2])
def test_every_algorithm_and_vector_rewards(algorithm: str, n_envs: int) -> None:
    model = small_model(algorithm, n_envs)
    learn_from(model, 128, at_safe_point=lambda m: m.num_timesteps < 64)
    before = capture_state(model)
    mode = model.policy.training
    diagnosis = diagnose_learning(model, model.env, n_episodes=3)
    assert_equal_bits(before, capture_state(model))
    assert model.policy.training == mode
    assert isinstance(diagnosis, list)
    assert len(diagnosis) == 3
    assert all(isinstance(reward, float) for reward in diagnosis)
    assert diagnosis.measures["model"] == pytest.approx(np.mean(diagnosis))
    known = {"random", "untrained", "empty_trades"}
    known |= {"hold", "saturation"} if algorithm != "dqn" else set()
    assert known <= set(diagnosis.measures)
    assert ("explained_variance" in diagnosis.measures) == ALGORITHMS[algorithm].on_policy
    assert ("action_std" in diagnosis.measures) == (algorithm not in ("ddpg", "td3", "dqn"))


def test_stationary_observations(caplog: Any) -> None:
    env = StockTradingVecEnv(
        random_market(60), 2, observation="stationary", lookback=3, random_start=True
    )
    model = PPO("MlpPolicy", env, n_steps=32, batch_size=32, seed=0).learn(128)
    diagnosis = diagnose_learning(model, env, n_episodes=3)
    assert len(diagnosis) == 3
    assert {"hold", "random", "untrained", "explained_variance"} <= set(diagnosis.measures)


def test_zeros_of_a_portfolio_hold_nothing_that_it_had() -> None:
    env = StockPortfolioEnv(random_market(40), lookback=5)
    model = PPO("MlpPolicy", env, n_steps=16, batch_size=16)
    assert "hold" not in diagnose_learning(model, env, n_episodes=1).measures


@pytest.mark.parametrize("kind", ["per_ticker", "product"])
def test_of_choices_those_that_hold_and_buy(kind: str) -> None:
    found = []
    for choices in (kind, "none"):
        env = StockTradingEnv(random_market(40), discrete_actions=choices, hmax=10)
        model = PPO("MlpPolicy", env, n_steps=16, batch_size=16)
        measures = diagnose_learning(model, env, n_episodes=1).measures
        found.append((measures["hold"], measures["buying"]))
    assert found[0] == found[1]
    assert found[0][0] == 0.0
    assert found[0][1] != 0.0


def test_equal_episodes_are_run_once_and_are_no_sign_of_not_learning(caplog: Any) -> None:
    env = StockTradingEnv(random_market(40))
    model = PPO("MlpPolicy", env, n_steps=16, batch_size=16)
    with caplog.at_level(logging.INFO, logger="finrl_ray"):
        diagnosis = diagnose_learning(model, env, n_episodes=5)
    # as many rewards as were asked for, of one episode that was run
    assert len(diagnosis) == 5
    assert len(set(diagnosis)) == 1
    assert caplog.text.count(": reward ") == 1
    assert "equal rewards say nothing about learning" in caplog.text
    assert "may not be learning" not in caplog.text


def test_worse_than_doing_nothing() -> None:
    env = Bandit()
    diagnosis = diagnose_learning(constant_model(env, -0.5), env)
    assert diagnosis == pytest.approx([-5.0] * 5)
    assert diagnosis.measures["hold"] == 0.0
    assert diagnosis.verdicts[0].startswith("the policy does worse than doing nothing: -5 per")
    assert any("training has not helped" in verdict for verdict in diagnosis.verdicts)


def test_a_policy_that_has_learned_is_told_so_and_its_saturation_too() -> None:
    env = Bandit()
    diagnosis = diagnose_learning(constant_model(env, 2.0), env)
    assert diagnosis == pytest.approx([10.0] * 5)
    assert diagnosis.verdicts[0].startswith("the policy has learned something: 10 per episode")
    assert diagnosis.measures["saturation"] == 1.0
    assert any("100% of actions are saturated" in verdict for verdict in diagnosis.verdicts)
    assert any("same action whatever it sees" in verdict for verdict in diagnosis.verdicts)


def test_buying_and_holding_is_not_taken_for_learning() -> None:
    rising = 50 * np.exp(0.01 * np.arange(40.0))
    env = StockTradingEnv(hand_market(np.stack([rising, 2 * rising], axis=1)))
    found = diagnose_learning(constant_model(env, 0.99), env)
    assert found.measures["model"] > found.measures["hold"] == 0.0
    assert found.measures["model"] == pytest.approx(found.measures["buying"], rel=0.02)
    assert any("no more than buying all that it may and holding" in v for v in found.verdicts)
    assert not any("has learned something" in verdict for verdict in found.verdicts)


def test_an_untrained_model_is_not_judged() -> None:
    env = Bandit()
    model = constant_model(env, -0.5)
    model.num_timesteps = 0
    verdicts = diagnose_learning(model, env).verdicts
    assert "has not been trained yet" in verdicts[0]
    assert not any("worse" in verdict or "helped" in verdict for verdict in verdicts)


def test_different_episodes_are_all_run() -> None:
    env = small_env(1, noise=0.3)
    model = A2C("MlpPolicy", env, seed=0)
    diagnosis = diagnose_learning(model, env, n_episodes=4)
    assert len(set(diagnosis)) == 4


@pytest.mark.slow
def test_training_really_shows() -> None:
    model = small_model("ddpg", 1)
    before = diagnose_learning(model, model.env, n_episodes=2)
    model.learn(600)
    after = diagnose_learning(model, model.env, n_episodes=2)
    assert after.measures["model"] > before.measures["model"]
    assert "has learned something" in after.verdicts[0]


def test_trades_that_were_not_executed_count_as_empty() -> None:
    env = StockTradingVecEnv(random_market(40, 2))
    model = constant_model(env, 1e-4, A2C)
    diagnosis = diagnose_learning(model, env, n_episodes=1)
    # 1e-4 x hmax 100 is a hundredth of a share
    assert diagnosis.measures["empty_trades"] == 1.0
    assert any("100% of orders trade nothing" in verdict for verdict in diagnosis.verdicts)


def test_rewards_are_the_envs_own_under_vecnormalize() -> None:
    env = VecNormalize(DummyVecEnv([lambda: Bandit(offset=3.0)]))
    model = constant_model(env, 0.0, A2C)
    model.learn(50)
    with th.no_grad():
        model.policy.action_net.weight.zero_()
        model.policy.action_net.bias.zero_()
    assert diagnose_learning(model, env, n_episodes=1) == [pytest.approx(-30.0)]
    assert env.training
    assert env.norm_reward


def test_a_perfect_and_a_blind_critic() -> None:
    env = DummyVecEnv([Bandit])
    model = constant_model(env, 0.5, A2C)
    measures = diagnose_learning(model, env, n_episodes=1).measures
    # the env shows nothing, so the critic says the same everywhere
    assert measures["explained_variance"] == pytest.approx(0.0, abs=1e-6)


def test_the_critic_is_judged_as_sb3_does_also_under_vecnormalize() -> None:
    env = VecNormalize(DummyVecEnv([Foretold] * 2), gamma=0.5)
    model = PPO("MlpPolicy", env, n_steps=64, batch_size=64, learning_rate=5e-3, gamma=0.5, seed=0)
    model.learn(1280)
    found = diagnose_learning(model, env, n_episodes=1)
    buffer = model.rollout_buffer
    logged = explained_variance(buffer.values.flatten(), buffer.returns.flatten())
    assert logged > 0.5
    assert found.measures["explained_variance"] == pytest.approx(logged, abs=0.2)
    assert not any("critic" in verdict for verdict in found.verdicts)
    assert env.training
    assert env.norm_reward


def test_a_subproc_env_is_put_back() -> None:
    env = SubprocVecEnv([lambda: MarketEnv(noise=0.1)] * 2, start_method="fork")
    model = A2C("MlpPolicy", VecNormalize(env), seed=0)
    learn_from(model, 200, at_safe_point=lambda m: m.num_timesteps < 100)
    before = capture_state(model)
    assert len(diagnose_learning(model, model.env, n_episodes=2)) == 2
    assert_equal_bits(before, capture_state(model))
    assert model.env.training
    env.close()


def test_episodes_must_be_positive() -> None:
    model = small_model("a2c")
    with pytest.raises(ValueError, match="n_episodes must be >= 1, got 0"):
        diagnose_learning(model, model.env, 0)


@pytest.mark.parametrize(
    ("measures", "words"),
    [
        ({"model": 1.0, "random": 2.0}, "no better than random actions: 1 per episode against 2"),
        (
            {"model": 1.0, "random": 0.0, "untrained": 0.5, "untrained_best": 3.0},
            "the best untrained copy gets 3 by luck",
        ),
    ],
)
def test_comparisons(measures: dict[str, float], words: str) -> None:
    assert words in comparison_sentences(measures, trained=True)[0]


@pytest.mark.parametrize(
    ("measures", "words"),
    [
        ({"saturation": 0.95}, "95% of actions are saturated"),
        ({"action_std": 7.4}, "explores at random: its deviation is 7.4; lower ent_coef"),
        ({"action_std": 0.01}, "hardly explores: its deviation is 0.01; raise ent_coef"),
        ({"explained_variance": -0.4}, "the critic foresees 0% of what the returns vary by"),
    ],
)
def test_oddities(measures: dict[str, float], words: str) -> None:
    assert words in policy_sentences(measures)[0]


def test_weights_are_not_taken_for_orders() -> None:
    assert policy_sentences({"saturation": 0.8}, weights=True) == [
        "80% of actions are saturated: the policy gives a ticker nothing or as much as it can, and "
        "no weight between; normalise observations or lower learning_rate"
    ]
    (words,) = policy_sentences({"empty_trades": 0.97}, weights=True)
    assert words.startswith("97% of target weights trade nothing")
    assert "no_trade_band" in words
    market = random_market(40, 2)
    for shares, holds in (([0, 0], True), ([5, 0], False)):
        env = StockTradingVecEnv(market, 2, action="target_weights", num_stock_shares=shares)
        model = PPO("MlpPolicy", env, n_steps=64, seed=0, device="cpu")
        model.policy.action_net.weight.data *= 0.0
        model.policy.action_net.bias.data[:] = 5.0
        found = diagnose_learning(model, env, 2, untrained_copies=1)
        assert ("hold" in found.measures) is holds
        assert any("no weight between" in sentence for sentence in found.verdicts)
        assert "hmax" not in " ".join(found.verdicts)
        # the highest actions are equal weights: the model does nothing else
        assert found.measures["model"] == found.measures["buying"]
    # weights of 0 are all cash, which earns nothing
    env = StockTradingVecEnv(market, 2, action="target_weights")
    model = PPO("MlpPolicy", env, n_steps=64, seed=0, device="cpu")
    assert diagnose_learning(model, env, 2, untrained_copies=1).measures["hold"] == 0.0


def test_nothing_odd_nothing_said() -> None:
    measures = {"saturation": 0.1, "action_std": 0.5, "explained_variance": 0.6}
    assert policy_sentences(measures) == []
