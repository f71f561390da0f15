"""Discrete actions: what choices stand for, worked out by hand, and that trades are those of it."""

import numpy as np
import pytest
from env_markets import hand_market, random_market
from gymnasium import spaces

from finrl_ray.baselines.random_policy import random_policy_curves
from finrl_ray.config.agent import AgentConfig
from finrl_ray.config.data import DataConfig
from finrl_ray.config.env import EnvConfig
from finrl_ray.config.env_options.trading import TradingOptions
from finrl_ray.config.experiment import ExperimentConfig
from finrl_ray.env.make import make_env, make_vec_env
from finrl_ray.env.orders.discrete import choices_of, choices_of_space, random_actions
from finrl_ray.errors import ConfigError

FREE = {"initial_amount": 1_000.0, "buy_cost_pct": 0.0, "sell_cost_pct": 0.0}
FLAT = [[10.0, 20.0]] * 5


def traded(chosen, close=FLAT, **options):
    env = make_env(hand_market(close), EnvConfig(**FREE, **options), training=False)
    env.reset()
    for choice in chosen:
        env.step(choice)
    return env.account_history.trades.tolist()


# -- by hand ------------------------------------------------------------------------------------


def test_each_ticker_is_sold_held_or_bought() -> None:
    # buys of 7 at most: 70 and 140 of 1000; then A is sold and B held; then nothing is left of A
    chosen = [[2, 2], [0, 1], [0, 0], [1, 1]]
    wanted = [[7.0, 7.0], [-7.0, 0.0], [0.0, -7.0], [0.0, 0.0]]
    assert traded(chosen, discrete_actions="per_ticker", hmax=7) == wanted


def test_a_product_counts_with_the_last_ticker_fastest() -> None:
    # 8 buys both, 1 sells A and holds B, 0 sells both, 4 holds both
    wanted = [[7.0, 7.0], [-7.0, 0.0], [0.0, -7.0], [0.0, 0.0]]
    assert traded([8, 1, 0, 4], discrete_actions="product", hmax=7) == wanted


def test_one_ticker_is_one_choice() -> None:
    close = [[10.0]] * 4
    for kind in ("per_ticker", "product"):
        assert traded([2, 1, 0], close, discrete_actions=kind, hmax=3) == [[3.0], [0.0], [-3.0]]


def test_weights_are_out_or_in_and_those_in_share_the_account() -> None:
    # all of 1000 in A; then 500 and 500; then out of both
    wanted = [[100.0, 0.0], [-50.0, 25.0], [-50.0, -25.0]]
    weights = {"action": "target_weights", "no_trade_band": 0.0}
    assert traded([[1, 0], [1, 1], [0, 0]], discrete_actions="per_ticker", **weights) == wanted
    # 2 is in A alone and 3 in both, whatever an action of zeros stands for
    for zero in ("cash", "equal_weights"):
        options = {**weights, "zero_action": zero, "discrete_actions": "product"}
        assert traded([2, 3, 0], **options) == wanted


@pytest.mark.parametrize("zero", ["cash", "equal_weights"])
def test_weights_may_be_short(zero) -> None:
    # long A, short B: half of 1000 each; then out of A and the other half stays; then out
    options = {"action": "target_weights", "no_trade_band": 0.0, "short": True, "borrow_rate": 0.0}
    found = traded(
        [[2, 0], [1, 0], [1, 1]], discrete_actions="per_ticker", zero_action=zero, **options
    )
    # alone, B is worth the whole account
    assert found == [[50.0, -25.0], [-50.0, -25.0], [0.0, 50.0]]


def test_spaces() -> None:
    def space(n_assets, **options):
        return choices_of(TradingOptions(**options), n_assets).space

    assert space(3, discrete_actions="per_ticker") == spaces.MultiDiscrete([3, 3, 3])
    assert space(1, discrete_actions="per_ticker") == spaces.Discrete(3)
    assert space(3, discrete_actions="product") == spaces.Discrete(27)
    weights = {"action": "target_weights", "discrete_actions": "product"}
    assert space(12, **weights) == spaces.Discrete(4096)
    assert choices_of(TradingOptions(), 3) is None
    env = make_vec_env(random_market(), EnvConfig(discrete_actions="per_ticker"))
    assert env.action_space == spaces.MultiDiscrete([3, 3, 3])
    assert env.envs[0].action_space == env.action_space


def test_the_choices_of_a_space_are_found_again() -> None:
    for kind in ("per_ticker", "product"):
        for n_assets in (1, 2, 7):
            options = TradingOptions(discrete_actions=kind)
            made = choices_of(options, n_assets)
            found = choices_of_space(options, made.space)
            assert (found.n_assets, found.space) == (n_assets, made.space)
    with pytest.raises(
        ConfigError, match=r"among 3 per ticker, got the action space Discrete\(8\)"
    ):
        choices_of_space(TradingOptions(discrete_actions="product"), spaces.Discrete(8))


# -- the same trades as those of numbers ----------------------------------------------------------

RULES = {
    "orders": {"hmax": 20, "stop_loss": 0.95, "cooldown": 2},
    "money": {"hmax": 900.0, "hmax_unit": "money", "fill": "next_open"},
    "weights": {"action": "target_weights", "zero_action": "equal_weights", "trade_rate": 0.5},
    "short": {"action": "target_weights", "short": True, "stop_loss": 0.9},
}


@pytest.mark.parametrize("kind", ["per_ticker", "product"])
@pytest.mark.parametrize("rules", RULES)
def test_trades_are_those_of_the_numbers_bit_for_bit(kind, rules) -> None:
    market, rng = random_market(60, halts=0.1), np.random.default_rng(0)
    options = {**RULES[rules], "initial_amount": 10_000.0, "turbulence_threshold": 95.0}
    chosen = make_vec_env(
        market, EnvConfig(discrete_actions=kind, **options), n_envs=3, training=False
    )
    numbers = make_vec_env(market, EnvConfig(**options), n_envs=3, training=False)
    single = make_env(market, EnvConfig(discrete_actions=kind, **options), training=False)
    observed = [env.reset() for env in (chosen, numbers)]
    single.reset()
    np.testing.assert_array_equal(*observed)
    traded_at_all = False
    for _ in range(59):
        choice = random_actions(chosen.action_space, 3, rng)
        mine, others = chosen.step(choice), numbers.step(chosen.choices.actions_of(choice))
        alone = single.step(choice[0])
        for one, other in zip(mine[:3], others[:3], strict=True):
            np.testing.assert_array_equal(one, other)
        assert alone[1] == np.float64(alone[1])
        traded_at_all |= bool(np.any(chosen.accounts.last_executed))
    for index in range(3):
        one, other = (found[3][index]["account_history"] for found in (mine, others))
        np.testing.assert_array_equal(one.account_value, other.account_value)
        np.testing.assert_array_equal(one.trades, other.trades)
    np.testing.assert_array_equal(
        single.account_history.account_value, mine[3][0]["account_history"].account_value
    )
    assert traded_at_all


def test_the_random_policy_makes_each_choice_alike() -> None:
    market = random_market(30, 2)
    for kind in ("per_ticker", "product"):
        config = EnvConfig(discrete_actions=kind, hmax=5, initial_amount=1_000.0)
        env = make_vec_env(market, config)
        drawn = random_actions(env.action_space, 30_000, np.random.default_rng(0))
        actions = env.choices.actions_of(drawn)
        for number in (-1.0, 0.0, 1.0):
            np.testing.assert_allclose((actions == number).mean(axis=0), 1 / 3, atol=0.01)
        curves = random_policy_curves(market, config, n_accounts=4)
        assert curves.shape == (4, 30)
        assert len(np.unique(curves[:, -1])) == 4


# -- what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ([0, 3], r"within 0\.\.2 \(0 sell, 1 hold, 2 buy\), got"),
        ([-1, 0], r"within 0\.\.2 "),
        ([0.5, 1.0], r"whole numbers within 0\.\.2, got"),
        ([np.nan, 1.0], "whole numbers"),
        (["buy", "sell"], "whole numbers"),
        ([1, 1, 1], "actions must have shape"),
    ],
)
def test_choices_that_there_are_not(choice, message) -> None:
    with pytest.raises(ValueError, match=message):
        traded([choice], discrete_actions="per_ticker")


def test_a_product_is_bounded() -> None:
    config = EnvConfig(discrete_actions="product")
    make_env(random_market(n_assets=7), config)
    message = r"at most 4,096 combinations \(7 tickers\), got 8 tickers, 3\*\*8 combinations"
    with pytest.raises(ConfigError, match=message):
        make_env(random_market(n_assets=8), config)
    tickers = tuple("ABCDEFGH")
    with pytest.raises(ConfigError, match=message):
        ExperimentConfig(env=config, data=DataConfig(tickers=tickers))
    weights = EnvConfig(discrete_actions="product", action="target_weights")
    with pytest.raises(ConfigError, match=r"\(12 tickers\), got 13 tickers"):
        make_env(random_market(n_assets=13), weights)


def test_dqn_needs_one_choice() -> None:
    dqn = AgentConfig(algorithm="dqn")
    product, each = (EnvConfig(discrete_actions=kind) for kind in ("product", "per_ticker"))
    ExperimentConfig(env=product, agent=dqn)
    ExperimentConfig(env=each, agent=dqn, data=DataConfig(tickers=("GOOG",)))
    # what an env of the user's takes is seen when it is built
    ExperimentConfig(env=EnvConfig(class_="my_env:MyTradingEnv"), agent=dqn)
    for env in (EnvConfig(), each):
        with pytest.raises(ConfigError, match=r"set env\.discrete_actions to product"):
            ExperimentConfig(env=env, agent=dqn, data=DataConfig(tickers=("GOOG", "MSFT")))


def test_algorithms_without_choices_are_refused_before_a_search() -> None:
    choices = EnvConfig(discrete_actions="per_ticker")
    for algorithm in ("ddpg", "td3", "sac"):
        with pytest.raises(ConfigError, match=f"none with agent.algorithm {algorithm}, whose"):
            ExperimentConfig(env=choices, agent=AgentConfig(algorithm=algorithm))
    with pytest.raises(ConfigError, match=r"set agent\.policy to MlpPolicy"):
        ExperimentConfig(env=choices, agent=AgentConfig(policy="PerTickerPolicy"))
    with pytest.raises(ConfigError, match="parity reproduces FinRL"):
        EnvConfig(parity=True, discrete_actions="product")
    with pytest.raises(ConfigError, match="discrete_actions must be one of 'none', 'per_ticker'"):
        EnvConfig(discrete_actions="all")
