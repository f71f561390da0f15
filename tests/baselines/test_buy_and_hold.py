"""Buy & hold by hand, and as an agent that buys once would have it."""

import numpy as np
import pytest
from env_markets import hand_market, random_market

from finrl_ray.baselines.buy_and_hold import buy_and_hold, buy_and_hold_of
from finrl_ray.config.env import EnvConfig
from finrl_ray.env.make import make_env

COST = {"buy_cost_pct": 0.01, "sell_cost_pct": 0.01, "initial_amount": 1000.0}


def test_whole_shares_at_the_first_close() -> None:
    market = hand_market([[10.0, 30.0], [12.0, 30.0], [9.0, 33.0]])
    # 500 each: 49 shares at 10.10 cost 494.90, 16 at 30.30 cost 484.80; 20.30 stays cash
    held = buy_and_hold(market, EnvConfig(**COST))
    np.testing.assert_allclose(held, [1000.0, 20.3 + 49 * 12 + 16 * 30, 20.3 + 49 * 9 + 16 * 33])


def test_fractions_spend_everything() -> None:
    market = hand_market([[10.0], [11.0]])
    held = buy_and_hold(market, EnvConfig(fractional_shares=True, **COST))
    np.testing.assert_allclose(held, [1000.0, 1000.0 / 10.1 * 11.0])


def test_the_next_open_is_what_is_paid() -> None:
    market = hand_market([[10.0], [12.0]], open_=[[9.0], [11.0]])
    held = buy_and_hold(market, EnvConfig(fill="next_open", **COST))
    shares = np.floor(1000.0 / (11.0 * 1.01))
    np.testing.assert_allclose(held, [1000.0, 1000.0 - shares * 11.11 + shares * 12.0])


def test_a_ticker_that_does_not_trade_gets_nothing() -> None:
    market = hand_market([[10.0, 5.0], [11.0, 50.0]], tradable=[[True, False], [True, True]])
    held = buy_and_hold(market, EnvConfig(**COST))
    np.testing.assert_allclose(held[1], 1000.0 - 99 * 10.1 + 99 * 11.0)


@pytest.mark.parametrize("fill", ["close", "next_open"])
def test_an_agent_that_buys_once_has_the_same_account(fill) -> None:
    market = random_market(n_periods=30, n_assets=1)
    config = EnvConfig(hmax=100_000, fill=fill)
    env = make_env(market, config)
    env.reset(seed=0)
    done, action = False, np.ones(1, dtype=np.float32)
    while not done:
        _, _, terminated, truncated, info = env.step(action)
        done, action = terminated or truncated, np.zeros(1, dtype=np.float32)
    account = info["account_history"].account_value
    np.testing.assert_allclose(buy_and_hold(market, config), account, rtol=1e-12)


@pytest.mark.parametrize("fill", ["close", "next_open"])
def test_an_account_of_an_env_gives_the_same_curve(fill: str) -> None:
    market = random_market(n_periods=30, n_assets=4, seed=3)
    config = EnvConfig(fill=fill, **COST)
    accounts = make_env(market, config).accounts
    np.testing.assert_array_equal(buy_and_hold_of(accounts), buy_and_hold(market, config))


@pytest.mark.parametrize("fill", ["close", "next_open"])
def test_every_account_history_has_it_of_its_own_days(fill: str) -> None:
    market = random_market(n_periods=30, n_assets=4, seed=3)
    config = EnvConfig(fill=fill, **COST)
    env = make_env(market, config)
    for first in (0, 7, 0):
        _, info = env.reset(options={"start_row": first})
        done = False
        while not done:
            _, _, terminated, truncated, info = env.step(np.full(4, 0.5, dtype=np.float32))
            done = terminated or truncated
        history = info["account_history"]
        expected = buy_and_hold(market.rows(first, 30), config)
        np.testing.assert_allclose(history.benchmark_value, expected, rtol=1e-14)
        np.testing.assert_allclose(
            history.position_value, history.account_value - history.cash, atol=1e-9
        )
    assert history.position_value[0] == 0.0


def test_costs_and_cash_that_change_between_episodes_are_the_benchmark_s_too() -> None:
    env = make_env(random_market(n_periods=30, n_assets=2, seed=3), EnvConfig(**COST))
    first = env.account_history.benchmark_value
    assert first[0] == 1000.0
    env.initial_amount, env.buy_cost_pct = 2000.0, 0.5
    env.reset()
    while not env.terminal:
        env.step(np.zeros(2, dtype=np.float32))
    held = env.account_history.benchmark_value
    assert held[0] == 2000.0
    assert held[1] < 1400.0  # half of what is spent is the cost of buying


def test_an_account_that_starts_with_shares_is_compared_with_all_that_it_is_worth() -> None:
    market = hand_market([[10.0, 30.0], [12.0, 30.0], [9.0, 33.0]])
    env = make_env(market, EnvConfig(**COST | {"initial_amount": 500.0}))
    env.num_stock_shares = [50, 0]
    env.reset()
    assert env.account_history.benchmark_value[0] == 1000.0
