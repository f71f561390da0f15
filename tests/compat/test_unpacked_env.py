"""An env taken apart is the env put together again."""

from typing import Any

import numpy as np
import pytest
from compat_envs import env_over, processed
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

from finrl_ray.compat.unpacked_env import observe_as_trained, unpack_env
from finrl_ray.config.env import EnvConfig
from finrl_ray.config.experiment import ExperimentConfig
from finrl_ray.env.make import make_env
from finrl_ray.env.scaling import fit_observation_scaling, fitted_scaling
from finrl_ray.env.vec_env import StockTradingVecEnv
from finrl_ray.errors import ConfigError

START, END = "2004-12-01", "2005-03-01"


@pytest.mark.parametrize("parity", [False, True])
def test_the_same_actions_give_the_same_account(parity: bool) -> None:
    own = env_over(START, END, parity=parity, hmax=50, buy_cost_pct=[0.002] * 4)
    unpacked = unpack_env(own, "env_train")
    assert unpacked.env == EnvConfig(hmax=50, buy_cost_pct=0.002, parity=parity)
    rebuilt = make_env(unpacked.market_data, unpacked.env, training=False)
    observations = [env.reset(seed=0)[0] for env in (own, rebuilt)]
    rng = np.random.default_rng(0)
    done = False
    while not done:
        np.testing.assert_array_equal(*observations)
        action = rng.uniform(-1, 1, 4).astype(np.float32)
        results = [env.step(action) for env in (own, rebuilt)]
        observations = [result[0] for result in results]
        assert results[0][1] == results[1][1]
        done = results[0][2] or results[0][3]
    assert own.asset_memory == rebuilt.asset_memory


def test_rules_and_risk_are_kept() -> None:
    frame = processed()
    frame["vix"] = 20.0 + frame["date"].factorize()[0] % 50
    rules = {"fractional_shares": True, "random_start": True}
    env = env_over(
        START, END, frame, risk_indicator_col="vix", turbulence_threshold=60, hmax=0.5, **rules
    )
    unpacked = unpack_env(env, "env_train")
    expected = EnvConfig(
        hmax=0.5,
        turbulence_threshold=60.0,
        risk_indicator_col="vix",
        fractional_shares=True,
        random_start=True,
    )
    assert unpacked.env == expected
    series = unpacked.market_data.market_series("vix")
    assert series.tolist() == env.df.drop_duplicates("date")["vix"].tolist()


def test_target_weights_are_kept() -> None:
    weights = {
        "action": "target_weights",
        "max_weight": 0.4,
        "no_trade_band": 0.01,
        "trade_rate": 0.5,
    }
    weights |= {"short": True, "borrow_rate": 0.05, "maintenance_margin": 0.3}
    assert unpack_env(env_over(START, END, **weights), "env_train").env == EnvConfig(**weights)


def test_what_is_observed_is_kept_and_can_be_standardised_anew() -> None:
    kind = {"observation": "stationary", "return_horizons": (1, 3), "lookback": 2}
    size = 1 + 4 + 2 * (2 + 2) * 4
    env = env_over(START, END, state_space=size, **kind)
    unpacked = unpack_env(env, "env_train")
    assert unpacked.env == EnvConfig(**kind)
    scaling = fitted_scaling(unpacked.env, unpacked.market_data)
    scaled = env_over(START, END, state_space=size, observation_scaling=scaling, **kind)
    assert unpack_env(scaled, "env_train").env == unpacked.env

    class Folder:  # what of a search's folder is read
        config = ExperimentConfig(env=unpacked.env)
        final_train_data = unpacked.market_data

    raw = DummyVecEnv([lambda: env_over(START, END, state_space=size, **kind)] * 2)
    for other, name in ((env, "env_trade"), (raw, "test_env")):
        observe_as_trained(other, name, Folder())  # type: ignore[arg-type]  # see above
    expected = scaled.reset()[0]
    assert np.array_equal(env.reset()[0], expected)
    assert np.array_equal(raw.reset(), [expected] * 2)
    with pytest.raises(ConfigError, match="but this env shows 'finrl'"):
        observe_as_trained(env_over(START, END), "env_trade", Folder())  # type: ignore[arg-type]
    finrl = fit_observation_scaling(unpacked.market_data, 1e6)
    with pytest.raises(ConfigError, match="an observation_scaling"):
        unpack_env(env_over(START, END, observation_scaling=finrl), "env_train")


def test_vec_envs_and_wrappers_are_seen_through() -> None:
    def make() -> Any:
        return Monitor(env_over(START, END))

    single = unpack_env(make(), "env_train")
    assert (single.n_envs, single.normalize) == (1, False)
    wrapped = unpack_env(VecNormalize(DummyVecEnv([make, make])), "env_train")
    assert (wrapped.n_envs, wrapped.normalize) == (2, True)
    single_env = DummyVecEnv([make])
    for flags, expected in (((True, False), "observations"), ((False, True), "rewards")):
        env = VecNormalize(single_env, norm_obs=flags[0], norm_reward=flags[1])
        assert unpack_env(env, "env_train").normalize == expected
    batched = StockTradingVecEnv(single.market_data, 3, hmax=7)
    unpacked = unpack_env(batched, "env_train")
    assert (unpacked.n_envs, unpacked.env.hmax) == (3, 7)
    assert unpacked.market_data.content_hash == single.market_data.content_hash
    by_ticker = StockTradingVecEnv(single.market_data, 3, hmax=[[1, 2, 3, 4]] * 3)
    assert unpack_env(by_ticker, "env_train").env.hmax == (1, 2, 3, 4)
    by_account = StockTradingVecEnv(single.market_data, 3, hmax=[[1], [2], [3]])
    with pytest.raises(ConfigError, match="one hmax for all tickers and accounts"):
        unpack_env(by_account, "env_train")


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"num_stock_shares": [0, 1, 0, 0]}, "env_train has num_stock_shares other than 0"),
        ({"day": 3}, "env_train has a day other than 0"),
        ({"initial": False, "previous_state": [1.0] * 9}, "env_train has initial=False"),
        ({"sell_cost_pct": [0.0, 0.0, 0.0, 0.1]}, "one sell_cost_pct for all tickers"),
        ({"time_limit": "dummy_step"}, r"the rules \['time_limit'\], which a search cannot"),
    ],
)
def test_what_a_config_cannot_say_is_refused(changed: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        unpack_env(env_over(START, END, **changed), "env_train")


def test_something_else_is_refused() -> None:
    for other in (None, object(), DummyVecEnv([lambda: _cart_pole()])):
        with pytest.raises(ConfigError, match="env_train must be finrl_ray's StockTradingEnv"):
            unpack_env(other, "env_train")


def _cart_pole() -> Any:
    import gymnasium as gym

    return gym.make("CartPole-v1")
