"""gym-trading-env's TradingEnv in a search."""

import warnings
from typing import Any

import numpy as np
import pytest
from other_envs import GYM_TRADING, other_class
from own_envs import small_market, wandering_market

from finrl_ray.agents.state.plain_file import decode, encode
from finrl_ray.config.env import EnvConfig
from finrl_ray.env.make import make_vec_env
from finrl_ray.errors import ConfigError


@pytest.fixture(autouse=True)
def _package(monkeypatch: pytest.MonkeyPatch) -> None:
    other_class(GYM_TRADING, monkeypatch)


def config(**options: Any) -> EnvConfig:
    return EnvConfig(class_=GYM_TRADING, **options)


def test_an_account_by_hand() -> None:
    market = small_market([[10.0], [20.0], [10.0], [10.0]])
    env = make_vec_env(
        market, config(initial_amount=900.0, buy_cost_pct=0.1, sell_cost_pct=0.1), training=False
    )
    env.reset()
    env.step(np.array([1]))  # 90 units of 10, of which 10 % are the fee: 81
    env.step(np.array([0]))  # sold at 20, less 10 %
    _, _, dones, infos = env.step(np.array([0]))
    assert dones.tolist() == [True]
    history = infos[0]["account_history"]
    np.testing.assert_allclose(history.account_value, [900.0, 1620.0, 1458.0, 1458.0])
    np.testing.assert_allclose(history.trades[:, 0], [81.0, -81.0, 0.0])
    np.testing.assert_allclose(history.position_value, [0.0, 1620.0, 0.0, 0.0], atol=1e-9)
    np.testing.assert_allclose(history.cost, [90.0, 162.0, 0.0], atol=1e-9)
    np.testing.assert_allclose(history.traded_amount, [810.0, 1620.0, 0.0])
    assert history.n_trades == 2


def test_a_look_back_leaves_days_that_count_as_unchanged() -> None:
    market = wandering_market(30, 1)
    env = make_vec_env(market, config(class_kwargs={"windows": 5}), training=False)
    assert env.reset().shape == (1, 5, 3)
    for _ in range(25):
        _, _, dones, infos = env.step(np.array([1]))
    assert dones[0]
    history = infos[0]["account_history"]
    assert len(history.dates) == 30
    assert history.account_value[:5].tolist() == [1e6] * 5


def test_training_starts_at_random_and_goes_on_bit_for_bit() -> None:
    market = wandering_market(30, 1)
    np.random.seed(1)  # noqa: NPY002  # which the env draws from
    env, other = (make_vec_env(market, config(), n_envs=3, seed=1) for _ in range(2))
    for one in (env, other):
        one.reset()
    rng = np.random.default_rng(1)
    actions = rng.integers(0, 2, (80, 3))
    for action in actions[:40]:
        env.step(action)
    state = decode(encode(env.get_state(), "state"))
    streams = np.random.get_state(legacy=False)  # noqa: NPY002
    rest = [[part.tolist() for part in env.step(action)[:3]] for action in actions[40:]]
    other.set_state(state)
    np.random.set_state(streams)  # noqa: NPY002
    assert rest == [[part.tolist() for part in other.step(a)[:3]] for a in actions[40:]]
    positions = {one.unwrapped._position for one in env.envs}  # type: ignore[attr-defined]
    assert positions == {0, 1}


def test_evaluation_begins_out_of_the_market_whatever_training_does() -> None:
    kwargs = {"initial_position": 1, "max_episode_duration": 10}
    env = make_vec_env(wandering_market(30, 1), config(class_kwargs=kwargs), training=False)
    env.reset()
    assert env.envs[0].unwrapped._position == 0  # type: ignore[attr-defined]
    assert env.envs[0].unwrapped.max_episode_duration == "max"  # type: ignore[attr-defined]


def test_what_it_cannot_trade_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"data.tickers must name one, got 2 \(AAA, BBB\)"):
        make_vec_env(wandering_market(), config())
    with pytest.raises(ConfigError, match=r"must be equal, or env\.class_kwargs\.trading_fees"):
        make_vec_env(wandering_market(30, 1), config(buy_cost_pct=0.01))


def test_it_does_not_turn_warnings_of_the_process_into_errors() -> None:
    make_vec_env(wandering_market(30, 1), config())
    assert not any(
        action == "error" and kind is Warning for action, _, kind, *_ in warnings.filters
    )
