"""Envs from a config, and from frames as FinRL makes them."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
from env_markets import random_market

from finrl_ray.config.env import EnvConfig
from finrl_ray.data.sources.bundled import read_bundled
from finrl_ray.env.make import create_env, indicator_columns, make_env, make_vec_env
from finrl_ray.env.scaling import fit_observation_scaling
from finrl_ray.errors import ConfigError, DataError

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
        "profit_loss_ratio", "lot_size", "cooldown", "observation", "lookback", "return_horizons",
        "nearest_spread",
        "action", "discrete_actions", "zero_action", "max_weight", "no_trade_band", "trade_rate",
        "type", "covariance_lookback", "cash_weight", "action_scale",
        "hmax_unit", "volume_slippage", "short", "borrow_rate", "maintenance_margin",
        "reward", "reward_kwargs", "differential_sharpe_rate", "class_", "class_kwargs",
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


def _frame() -> pd.DataFrame:
    df = read_bundled().query("date < '2004-12-01'").copy()
    df["macd"], df["vix"], df["note"] = 0.5, 20.0, "text"
    return df


def test_indicators_are_the_numeric_columns_that_finrl_does_not_fix() -> None:
    df = _frame()
    df.insert(0, "Unnamed: 0", range(len(df)))
    assert indicator_columns(df) == ["macd"]


def test_a_frame_gives_the_env_that_its_columns_describe() -> None:
    df = _frame()
    env = create_env(df, hmax=7)
    n = df["tic"].nunique()
    assert env.observation_space.shape == (1 + 3 * n,)
    assert env.hmax == 7
    observation, _ = env.reset()
    np.testing.assert_array_equal(observation[1 + 2 * n :], np.float32(0.5))


def test_a_named_list_wins_and_the_risk_column_is_no_indicator() -> None:
    df = _frame()
    df["stress"] = 1.0
    assert create_env(df, tech_indicator_list=[]).tech_indicator_list == []
    assert create_env(df, risk_indicator_col="stress").tech_indicator_list == ["macd"]


def test_the_callers_arguments_are_not_changed() -> None:
    kwargs: dict[str, object] = {"tech_indicator_list": None}
    create_env(_frame(), **kwargs)
    assert kwargs == {"tech_indicator_list": None}


def test_errors_name_what_came() -> None:
    with pytest.raises(DataError, match="got a list"):
        create_env([1, 2])  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="stock_dim must be"):
        create_env(_frame(), stock_dim=99)
