"""Accounts beyond what float32 holds: refused when built, ended when they grow there."""

import numpy as np
import pytest

from finrl_ray.config.env import EnvConfig
from finrl_ray.data.market_data import MarketData
from finrl_ray.env.portfolio.env import StockPortfolioEnv
from finrl_ray.env.stock_trading import StockTradingEnv
from finrl_ray.env.vec_env import StockTradingVecEnv
from finrl_ray.errors import ConfigError, DataError
from finrl_ray.search.tune.trial import SearchTrial

# the largest float32, worked out from its bits: 24 of them, times 2 ** 104
LARGEST = float((2**24 - 1) * 2**104)


def market(closes: list[float], feature: float = 1.0, tickers: int = 1) -> MarketData:
    close = np.repeat(np.array(closes)[:, None], tickers, axis=1)
    return MarketData(
        dates=np.array([f"2024-01-{day:02d}" for day in range(1, len(closes) + 1)], "M8[ns]"),
        tickers=tuple(f"T{i}" for i in range(tickers)),
        open=close,
        high=close,
        low=close,
        close=close,
        volume=np.ones_like(close),
        features=np.full((*close.shape, 1), feature),
        feature_names=("f",),
        tradable=np.ones(close.shape, dtype=bool),
        market_features=np.empty((len(closes), 0)),
        market_feature_names=(),
        warmup=0,
    )


@pytest.mark.parametrize("name", ["initial_amount", "hmax", "reward_scaling"])
def test_what_float32_cannot_hold_is_refused_by_its_key(name: str) -> None:
    for value in (1e39, 1e300, float(np.nextafter(LARGEST, np.inf))):
        with pytest.raises(ConfigError, match=f"{name} must be at most 3.4e"):
            EnvConfig(**{name: value, **({"fractional_shares": True} if name == "hmax" else {})})
        for build in (StockTradingEnv, StockTradingVecEnv):
            with pytest.raises(ConfigError, match=f"{name} must be .*at most 3.4e"):
                build(market([1.0, 2.0]), tech_indicator_list=["f"], **{name: value})
        if name != "hmax":
            with pytest.raises(ConfigError, match=name):
                StockPortfolioEnv(market([1.0, 2.0, 3.0, 4.0]), lookback=2, **{name: value})


def test_rewards_that_would_all_be_zero_or_infinite_are_refused() -> None:
    for amount, scaling in ((1e6, 1e-60), (1e30, 1e30), (1e-30, 1e-10)):
        with pytest.raises(ConfigError, match=r"initial_amount .* times reward_scaling"):
            EnvConfig(initial_amount=amount, reward_scaling=scaling)
    EnvConfig(initial_amount=1e30, reward_scaling=1e-30)
    EnvConfig(initial_amount=1e-3, reward_scaling=1.0)


def test_held_shares_and_previous_states_are_held_to_it_too() -> None:
    with pytest.raises(ConfigError, match="num_stock_shares must be at most"):
        StockTradingEnv(market([1.0, 2.0]), tech_indicator_list=["f"], num_stock_shares=[1e39])
    env = StockTradingEnv(
        market([1.0, 2.0]),
        tech_indicator_list=["f"],
        initial=False,
        previous_state=[1e39, 1.0, 0.0],
    )
    with pytest.raises(DataError, match="account 0 has left the range of float32"):
        env.reset()


def test_prices_and_features_are_named() -> None:
    with pytest.raises(DataError, match=r"close of T0 on 2024-01-02.*3\.4e\+38"):
        StockTradingEnv(market([1.0, 1e39]), tech_indicator_list=["f"])
    with pytest.raises(DataError, match="f of T0 on 2024-01-01"):
        StockTradingEnv(market([1.0, 2.0], feature=1e39), tech_indicator_list=["f"])
    with pytest.raises(DataError, match="f of T0 on 2024-01-03"):
        StockPortfolioEnv(market([1.0, 2.0, 3.0, 4.0], feature=1e39), lookback=2)


@pytest.mark.parametrize("n_envs", [1, 3, 70])
def test_growth_out_of_range_ends_with_the_day_and_the_figures(n_envs: int) -> None:
    # all cash buys on the first day; the price grows by 1e20 a day: 1e6, 1e26, 1e46
    env = StockTradingVecEnv(
        market([1.0, 1e20, 1e37, 1.0]), n_envs, hmax=10**6, buy_cost_pct=0.0, sell_cost_pct=0.0
    )
    env.reset()
    actions = np.zeros((n_envs, 1), dtype=np.float32)
    actions[-1] = 1.0
    observations, rewards, _, _ = env.step(actions)
    assert np.isfinite(observations).all()
    assert np.isfinite(rewards).all()
    with pytest.raises(DataError) as caught:
        env.step(actions)
    text = str(caught.value)
    assert f"account {n_envs - 1} has left the range of float32" in text
    assert "2024-01-03" in text
    assert "value is 1e+43" in text
    assert "env.reward_scaling" in text


def test_a_reward_out_of_range_ends_although_the_account_fits() -> None:
    env = StockTradingEnv(market([1.0, 1e10, 1e10]), hmax=10**6, reward_scaling=1e30)
    env.reset()
    with pytest.raises(DataError, match=r"reward 9\.99e\+45"):
        env.step(np.ones(1, dtype=np.float32))


def test_shares_out_of_range_end_although_the_account_fits() -> None:
    # 3e38 cash buys 3e40 shares at 0.01
    env = StockTradingEnv(
        market([1.0, 1e-2, 1e-2, 1e-2]),
        hmax=3e38,
        initial_amount=3e38,
        fractional_shares=True,
        buy_cost_pct=0.0,
    )
    env.reset()
    env.step(np.zeros(1, dtype=np.float32))
    with pytest.raises(DataError, match="largest position"):
        env.step(np.full(1, 100.0))


def test_the_largest_account_trades_as_a_small_one_does() -> None:
    """Powers of two scale every number alike, so all of them are equal but for the factor."""
    scale = 2.0**100
    found = {}
    for factor in (1.0, scale):
        env = StockTradingEnv(
            market([8.0, 9.0, 7.0]),
            initial_amount=1e6 * factor,
            hmax=1e4 * factor,
            fractional_shares=True,
            reward_scaling=2.0**-10,
        )
        first, _ = env.reset()
        second, reward, *_ = env.step(np.full(1, 0.5, dtype=np.float32))
        found[factor] = (first[0] / factor, second[0] / factor, reward / factor)
    assert found[1.0] == found[scale]


def test_whole_orders_of_parity_fit_into_64_bits() -> None:
    with pytest.raises(ConfigError, match="hmax must be less than"):
        StockTradingEnv(market([1.0, 2.0]), tech_indicator_list=["f"], hmax=1e19, parity=True)


def test_a_trial_out_of_range_is_not_tried_again() -> None:
    trial = SearchTrial.__new__(SearchTrial)
    for error, again in ((DataError("x"), False), (ConfigError("x"), False), (OSError("x"), True)):
        trial.note_cause(error)
        assert trial.has_diverged is not again
