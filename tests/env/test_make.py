import dataclasses

import numpy as np
import pytest
from env_markets import random_market

from finrl_ray.config.env import EnvConfig
from finrl_ray.env.make import make_env, make_vec_env
from finrl_ray.env.scaling import fit_observation_scaling
from finrl_ray.errors import ConfigError

MARKET = random_market(20)
CONFIG = EnvConfig(
    hmax=7,
    initial_amount=5_000.0,
    buy_cost_pct=0.01,
    sell_cost_pct=0.02,
    reward_scaling=0.5,
    turbulence_threshold=90.0,
    fill="next_open",
    fractional_shares=True,
    random_start=True,
)


def test_every_setting_arrives():
    for env in (make_env(MARKET, CONFIG), make_vec_env(MARKET, CONFIG, n_envs=2).envs[1]):
        assert (env.hmax, env.initial_amount, env.reward_scaling) == (7, 5_000.0, 0.5)
        assert (env.buy_cost_pct, env.sell_cost_pct) == ([0.01] * 3, [0.02] * 3)
        assert (env.turbulence_threshold, env.random_start) == (90.0, True)
        rules = env.accounts.rules
        assert (rules.fill, rules.fractional_shares) == ("next_open", True)
        assert not env.accounts.record_trades


def test_the_factory_knows_every_field():
    known = {
        "hmax", "initial_amount", "buy_cost_pct", "sell_cost_pct", "reward_scaling",
        "turbulence_threshold", "risk_indicator_col", "fill", "fractional_shares", "random_start",
        "observation_scaling", "parity", "cash_penalty_proportion", "stop_loss",
        "profit_loss_ratio", "lot_size", "cooldown",
    }  # fmt: skip
    assert {field.name for field in dataclasses.fields(EnvConfig)} == known


def test_evaluation_starts_on_the_first_day_and_records_trades():
    env = make_vec_env(MARKET, CONFIG, n_envs=3, training=False)
    env.reset()
    assert env.get_attr("day") == [0, 0, 0]
    assert env.accounts.record_trades
    assert not make_env(MARKET, CONFIG, training=False, record_trades=False).accounts.record_trades


def test_seeds_of_single_and_vec_env_agree():
    vec_env = make_vec_env(MARKET, CONFIG, n_envs=3, seed=11)
    singles = [make_env(MARKET, CONFIG, seed=11 + i) for i in range(3)]
    for _ in range(5):
        vec_env.reset()
        for env in singles:
            env.reset()
        assert vec_env.get_attr("day") == [env.day for env in singles]


def test_scaling_and_config_must_agree():
    scaling = fit_observation_scaling(MARKET, 5_000.0)
    scaled = dataclasses.replace(CONFIG, observation_scaling="train")
    observation, _ = make_env(MARKET, scaled, scaling=scaling, training=False).reset()
    assert observation[0] == np.float32(1.0)
    with pytest.raises(ConfigError, match="'train', so scaling must be fit_observation_scaling"):
        make_env(MARKET, scaled)
    with pytest.raises(ConfigError, match="'none', so scaling must be None"):
        make_env(MARKET, CONFIG, scaling=scaling)


def test_parity_config():
    env = make_env(MARKET, EnvConfig(parity=True))
    assert env.accounts.rules.time_limit == "dummy_step"
