"""A step inside a compiled loop is a step of `Accounts`, bit for bit, errors included."""

import dataclasses
from typing import Any

import numpy as np
import pytest
from bit_equality import assert_equal_bits
from env_markets import random_market

from finrl_ray.data.market_data import MarketData
from finrl_ray.env.compiled import step
from finrl_ray.env.compiled.step import take_step
from finrl_ray.env.compiled.steps import CompiledSteps, reason_against_steps
from finrl_ray.env.kernel.step import step_accounts
from finrl_ray.env.vec_env import StockTradingVecEnv

ORDERS: list[dict[str, Any]] = [
    {},
    {"hmax": [3.5, 7.0, 11.0]},
    {"fill": "next_open", "turbulence_threshold": 60.0, "time_limit": "dummy_step"},
    {"hmax": 2500.0, "hmax_unit": "money"},
    {"hmax": 2500.0, "hmax_unit": "money", "fractional_shares": True},
    {"hmax": 0.2, "hmax_unit": "account_share", "lot_size": 5},
    {"short": True, "borrow_rate": 0.5},
    {"stop_loss": 0.9, "cooldown": 2, "cash_penalty_proportion": 0.1, "reward": "log_return"},
    {"random_start": True, "observation": "stationary", "reward": "active"},
]
WEIGHTS: list[dict[str, Any]] = [
    {"action": "target_weights", "zero_action": "equal_weights"},
    {"action": "target_weights", "fractional_shares": True, "max_weight": 0.4},
    {"action": "target_weights", "lot_size": 5, "cooldown": 1, "trade_rate": 0.5},
    {"action": "target_weights", "short": True},
    {"action": "target_weights", "volume_slippage": 0.1, "no_trade_band": 0.0},
]


def market() -> MarketData:
    made = random_market(30, halts=0.1)
    volume = np.random.default_rng(1).uniform(1e4, 1e5, made.close.shape)
    return dataclasses.replace(made, volume=volume)


def pair(options: dict[str, Any], n_envs: int = 2) -> list[StockTradingVecEnv]:
    envs = [StockTradingVecEnv(market(), n_envs, initial_amount=2e4, **options) for _ in range(2)]
    for env in envs:
        env.seed(5)
        env.reset()
    return envs


def taken(env: StockTradingVecEnv, actions: Any) -> tuple[int, Any]:
    """A step as a compiled loop takes it, of which only the parts are compiled here."""
    observations = np.zeros((env.num_envs, *env.observation_space.shape), dtype=np.float32)
    status = take_step.py_func(actions, observations, CompiledSteps(env).arguments())
    return status, observations


@pytest.fixture(autouse=True)
def _called_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    # what calls by an address has to be compiled: tests/agents/test_compiled_episodes.py
    monkeypatch.setattr(step, "call_for_number", lambda _, given: step_accounts(*given))


def assert_same_books(env: StockTradingVecEnv, other: StockTradingVecEnv) -> None:
    one, same = env.accounts.books, other.accounts.books
    for name in one.records.dtype.names:
        assert_equal_bits(one.records[name], same.records[name])
    for name in ("shares", "ledger", "trades"):
        assert_equal_bits(getattr(one, name), getattr(same, name))


@pytest.mark.parametrize("options", [*ORDERS, *WEIGHTS], ids=str)
def test_steps_and_episodes_are_those_of_the_env(options: dict[str, Any]) -> None:
    env, other = pair(options)
    assert reason_against_steps(other) == ""
    steps, rng, ends = CompiledSteps(other), np.random.default_rng(2), 0
    for _ in range(45):
        actions = rng.uniform(-1, 1, (2, 3)).astype(np.float32)
        actions[rng.random((2, 3)) < 0.2] = 1.0
        left = steps.steps_left()
        status, observations = taken(other, actions)
        assert status == 0
        steps.hand_over(actions, observations)
        seen, expected = other.step_wait(), env.step(actions)
        for one, same in zip(seen[:3], expected[:3], strict=True):
            assert_equal_bits(one, same)
        assert expected[2].any() == (left == 1) or options.get("short")
        for info, same in zip(seen[3], expected[3], strict=True):
            assert info.keys() == same.keys()
            if "account_history" in info:
                ends += 1
                assert info["episode"]["r"] == same["episode"]["r"]
                assert_equal_bits(info["terminal_observation"], same["terminal_observation"])
        assert_same_books(other, env)
    assert ends >= 2


def test_what_is_handed_over_is_given_once() -> None:
    env, other = pair({})
    actions = np.full((2, 3), 0.5, dtype=np.float32)
    _, observations = taken(other, actions)
    CompiledSteps(other).hand_over(actions, observations)
    assert_equal_bits(other.step_wait()[0], env.step(actions)[0])
    assert_equal_bits(other.step(actions)[0], env.step(actions)[0])


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("options", [{}, {"action": "target_weights"}], ids=str)
def test_an_action_that_is_no_number_is_refused_as_by_the_env(
    options: dict[str, Any], bad: float
) -> None:
    env, other = pair(options)
    actions = np.array([[0.1, 0.2, 0.3], [0.1, bad, 0.3]], dtype=np.float32)
    with pytest.raises(ValueError, match="actions must be finite") as expected:
        env.step(actions)
    status, _ = taken(other, actions)
    with pytest.raises(ValueError, match="actions must be finite") as raised:
        CompiledSteps(other).refuse(status, actions)
    assert str(raised.value) == str(expected.value)


def test_settings_that_change_between_steps_count() -> None:
    env, other = pair({"turbulence_threshold": 1e9})
    actions = np.full((2, 3), 0.7, dtype=np.float32)
    for one in (env, other):
        one.set_attr("turbulence_threshold", 1.0)
    taken(other, actions)
    env.step(actions)
    assert_same_books(other, env)
    assert (env.accounts.books.records["threshold"] == 1.0).all()


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"parity": True}, "argsort"),
        ({"discrete_actions": "per_ticker"}, "discrete_actions"),
    ],
)
def test_envs_that_cannot_be_stepped_so_say_why(options: dict[str, Any], reason: str) -> None:
    assert reason in reason_against_steps(StockTradingVecEnv(market(), **options))


def test_a_subclass_may_step_otherwise() -> None:
    class Mine(StockTradingVecEnv):
        pass

    assert "Mine" in reason_against_steps(Mine(market()))
