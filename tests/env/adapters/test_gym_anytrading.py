"""gym-anytrading's envs in a search."""

from typing import Any

import numpy as np
import pytest
from other_envs import ANY_FOREX, ANY_STOCKS, other_class
from own_envs import small_market, wandering_market

from finrl_ray.agents.state.plain_file import decode, encode
from finrl_ray.config.env import EnvConfig
from finrl_ray.env.make import make_vec_env
from finrl_ray.errors import ConfigError


@pytest.fixture(autouse=True)
def _package(monkeypatch: pytest.MonkeyPatch) -> None:
    other_class(ANY_STOCKS, monkeypatch)


def config(reference: str = ANY_STOCKS, **options: Any) -> EnvConfig:
    return EnvConfig(class_=reference, **options)


def test_an_account_by_hand() -> None:
    market = small_market([[10.0], [10.0], [10.0], [20.0], [20.0], [10.0]])
    options = {"initial_amount": 100.0, "buy_cost_pct": 0.1, "sell_cost_pct": 0.2}
    env = make_vec_env(market, config(class_kwargs={"window_size": 2}, **options), training=False)
    assert env.reset().shape == (1, 2, 2)
    # it begins on the third row; an action is taken at the price of the row that it leads to
    env.step(np.array([1]))  # bought at 20: worth 0.9 * 0.8 of 100 if it were sold
    env.step(np.array([1]))
    _, _, dones, infos = env.step(np.array([0]))  # sold at 10
    assert dones.tolist() == [True]
    history = infos[0]["account_history"]
    np.testing.assert_allclose(history.account_value, [100.0, 100.0, 100.0, 72.0, 72.0, 36.0])
    np.testing.assert_allclose(history.position_value, [0.0, 0.0, 0.0, 72.0, 72.0, 0.0])
    assert infos[0]["total_profit"] == pytest.approx(0.36)
    assert history.n_trades == 2


@pytest.mark.parametrize("reference", [ANY_STOCKS, ANY_FOREX])
def test_the_account_ends_where_the_env_says(reference: str) -> None:
    env = make_vec_env(wandering_market(60, 1), config(reference), training=False)
    env.reset()
    rng = np.random.default_rng(2)
    dones = np.zeros(1, dtype=bool)
    while not dones[0]:
        _, _, dones, infos = env.step(rng.integers(0, 2, 1))
    profit = infos[0]["total_profit"]
    assert infos[0]["account_history"].account_value[-1] == pytest.approx(1e6 * profit)
    assert infos[0]["account_history"].account_value[0] == 1e6


def test_its_state_goes_on_bit_for_bit() -> None:
    env, other = (make_vec_env(wandering_market(40, 1), config(), seed=s) for s in (1, 2))
    for one in (env, other):
        one.reset()
    actions = np.random.default_rng(1).integers(0, 2, (90, 1))
    for action in actions[:45]:
        env.step(action)
    other.set_state(decode(encode(env.get_state(), "state")))
    for action in actions[45:]:
        one, two = env.step(action), other.step(action)
        assert [part.tolist() for part in one[:3]] == [part.tolist() for part in two[:3]]


def test_what_it_cannot_do_is_refused() -> None:
    with pytest.raises(ConfigError, match="one ticker"):
        make_vec_env(wandering_market(), config())
    with pytest.raises(ConfigError, match="at least 3 less"):
        make_vec_env(wandering_market(12, 1), config())
    with pytest.raises(ConfigError, match="frame_bound: the window of a search"):
        make_vec_env(wandering_market(30, 1), config(class_kwargs={"frame_bound": (10, 20)}))
