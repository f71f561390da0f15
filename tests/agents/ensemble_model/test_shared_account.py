"""One account seen in several ways: by hand, and as an env of each view shows it."""

import numpy as np
import pytest
from env_markets import hand_market, random_market
from told_models import seen_by, told_member

from finrl_ray.agents.ensemble_model.model import EnsembleModel, shared_env_config
from finrl_ray.agents.ensemble_model.shared_account import (
    SharedAccountVecEnv,
    View,
    make_shared_env,
)
from finrl_ray.agents.rollout import evaluate_account
from finrl_ray.config.env import EnvConfig
from finrl_ray.env.make import make_vec_env
from finrl_ray.env.scaling import fitted_scaling
from finrl_ray.errors import ConfigError

FREE = {"initial_amount": 1_000.0, "buy_cost_pct": 0.0, "sell_cost_pct": 0.0}


def view_of(market, env: EnvConfig) -> View:
    return View(market_data=market, env=env, scaling=fitted_scaling(env, market))


def test_two_agents_by_hand() -> None:
    market = hand_market([[10.0, 20.0], [10.0, 20.0], [20.0, 20.0], [20.0, 20.0]])
    size = 1 + 2 * 2
    one = told_member([[1.0, 0.0]] * 3, size, **FREE)
    other = told_member([[0.0, 0.5]] * 3, size, **FREE)
    env = make_shared_env(
        shared_env_config([one.env, other.env], 2), {"observation": view_of(market, one.env)}
    )
    (history,) = evaluate_account(EnsembleModel([one, other]), env)
    # half of the account in the first, a quarter in the second: 50 and 12.5, which is 12, shares;
    # then the first doubles: of 1500 half are 37.5 and a quarter 18.75 shares, and orders for 12.5
    # and 6.75 are of 12 and 6
    assert history.trades.tolist() == [[50.0, 12.0], [0.0, 0.0], [-12.0, 6.0]]
    assert history.account_value.tolist() == [1000.0, 1000.0, 1500.0, 1500.0]
    # each has seen the one account: cash, closes and shares of the same state
    for member in (one, other):
        assert seen_by(member)[1].tolist() == [[260.0, 10.0, 20.0, 50.0, 12.0]]


def test_a_slow_and_a_fast_agent_trade_the_mean_of_their_ways() -> None:
    market = hand_market([[10.0, 10.0]] * 4)
    options = {**FREE, "fractional_shares": True}
    fast = told_member([[1.0, 0.0]] * 3, 5, **options)
    slow = told_member([[0.0, 1.0]] * 3, 5, trade_rate=0.5, **options)
    env = make_shared_env(
        shared_env_config([fast.env, slow.env], 2), {"observation": view_of(market, fast.env)}
    )
    (history,) = evaluate_account(EnsembleModel([fast, slow]), env)
    held = np.cumsum(history.trades, axis=0) * 10.0 / 1_000.0
    # from (a, b) the fast one would go to (1, 0) and the slow one to (a / 2, b + (1 - b) / 2)
    now = np.zeros(2)
    for weights in held:
        now = (np.array([1.0, 0.0]) + now + 0.5 * (np.array([0.0, 1.0]) - now)) / 2
        np.testing.assert_allclose(weights, now, rtol=1e-12)


VIEWS = {
    "finrl": EnvConfig(action="target_weights"),
    "scaled": EnvConfig(action="target_weights", observation_scaling="train"),
    "stationary": EnvConfig(
        action="target_weights", observation="stationary", lookback=3, return_horizons=(1, 2)
    ),
}


def test_each_view_shows_what_an_env_of_its_own_would() -> None:
    market = random_market(30)
    views = {name: view_of(market, env) for name, env in VIEWS.items()}
    # another column of the market, or none
    views["fewer"] = view_of(market.with_features(["feature_1"]), VIEWS["finrl"])
    shared = make_shared_env(VIEWS["finrl"], views)
    assert isinstance(shared, SharedAccountVecEnv)
    alone = {
        name: make_vec_env(view.market_data, view.env, scaling=view.scaling, training=False)
        for name, view in views.items()
    }
    seen = shared.reset()
    shown = {name: env.reset() for name, env in alone.items()}
    rng = np.random.default_rng(1)
    ended = 0
    for _ in range(40):
        assert set(seen) == set(shown) == set(shared.observation_space.spaces)
        for name, expected in shown.items():
            np.testing.assert_array_equal(seen[name], expected)
            assert seen[name].dtype == np.float32
            assert shared.observation_space[name].contains(seen[name][0])
        actions = rng.uniform(-0.2, 0.6, (1, 3)).astype(np.float32)
        seen, _, dones, _ = shared.step(actions)
        shown = {name: env.step(actions)[0] for name, env in alone.items()}
        ended += bool(dones[0])
    assert ended == 1


def test_one_view_is_an_ordinary_env() -> None:
    market = random_market(12)
    env = make_shared_env(VIEWS["finrl"], {"observation": view_of(market, VIEWS["scaled"])})
    assert env.reset().shape == (1, 1 + 2 * 3 + 2 * 3)


def test_an_env_of_another_view_is_refused() -> None:
    market = random_market(12)
    members = [
        told_member([[0.0] * 3] * 20, 13, view="a"),
        told_member([[0.0] * 3] * 20, 10, view="b"),
    ]
    env = make_vec_env(market, VIEWS["finrl"], training=False)
    with pytest.raises(ConfigError, match=r"was trained on observations of shape \{'a'"):
        evaluate_account(EnsembleModel(members), env)
