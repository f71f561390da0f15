"""Envs of the user's as vec envs: built by what they name, with accounts and exact states."""

from typing import Any

import gymnasium as gym
import numpy as np
import own_envs
import pandas as pd
import pytest
from own_envs import (
    GivenVecEnv,
    NanEnv,
    NarrowEnv,
    NoDataEnv,
    RaisingEnv,
    SilentEnv,
    StatefulEnv,
    ValueEnv,
    wandering_market,
)

from finrl_ray.agents.state.env import capture_env_state, missing_state, restore_env_state
from finrl_ray.agents.state.plain_file import decode, encode
from finrl_ray.config.env import EnvConfig
from finrl_ray.data.market_data import MarketData
from finrl_ray.env.make import make_env, make_vec_env
from finrl_ray.env.own.construct import OwnEnv
from finrl_ray.env.own.make import OwnAccounts, make_own_vec_env
from finrl_ray.errors import ConfigError
from finrl_ray.own_code.failures import OwnCodeError


def config_of(made: Any, **options: Any) -> EnvConfig:
    return EnvConfig(class_=f"own_envs:{made.__name__}", **options)


def accounts(made: Any, market: MarketData | None = None, **arguments: Any) -> OwnAccounts:
    kwargs = arguments.pop("class_kwargs", {})
    market = wandering_market() if market is None else market
    return make_own_vec_env(market, config_of(made, class_kwargs=kwargs), **arguments)


def episode(env: OwnAccounts, n_steps: int) -> tuple[Any, list[Any], list[Any]]:
    env.reset()
    infos: Any = None
    rewards, observations = [], []
    rng = np.random.default_rng(0)
    for _ in range(n_steps):
        action = rng.uniform(-1.0, 1.0, (env.num_envs, *env.action_space.shape))
        observation, reward, _, infos = env.step(action.astype(np.float32))
        rewards.append(reward.tolist())
        observations.append(observation.tolist())
    return infos, rewards, observations


@pytest.mark.parametrize("made", [ValueEnv, GivenVecEnv])
def test_an_episode_ends_with_an_account_of_each_day(made: Any) -> None:
    market = wandering_market()
    infos, rewards, _ = episode(accounts(made, market, n_envs=2, training=False), 59)
    for index in range(2):
        history = infos[index]["account_history"]
        assert history.dates.tolist() == market.dates.tolist()
        grown = np.prod([1.0 + row[index] / 100.0 for row in rewards])
        assert history.account_value[0] == 1e6
        np.testing.assert_allclose(history.account_value[-1], 1e6 * grown, rtol=1e-6)
        assert history.benchmark_value is not None
        assert infos[index]["episode"]["l"] == 59


def test_make_vec_env_makes_accounts_of_the_class() -> None:
    env = make_vec_env(wandering_market(), config_of(ValueEnv), n_envs=3, seed=7)
    assert env.num_envs == 3
    assert env.observation_space.shape == (2,)
    with pytest.raises(ConfigError, match="make_vec_env makes accounts of it"):
        make_env(wandering_market(), config_of(ValueEnv))


def test_a_state_goes_on_bit_for_bit_and_through_a_file() -> None:
    env = accounts(StatefulEnv, n_envs=2, seed=3)
    env.reset()
    for _ in range(20):
        env.step(np.full((2, 2), 0.5, dtype=np.float32))
    state = decode(encode(capture_env_state(env), "state"))
    other = accounts(StatefulEnv, n_envs=2, seed=8)
    restore_env_state(other, state)
    assert missing_state(other) == ""
    for _ in range(80):  # over the end of the episode and into the next
        ours, theirs = (one.step(np.full((2, 2), 0.4, dtype=np.float32)) for one in (env, other))
        assert ours[0].tolist() == theirs[0].tolist()
        assert ours[1].tolist() == theirs[1].tolist()
    assert ours[3][0].keys() == theirs[3][0].keys()


class DatedEnv(StatefulEnv):
    """Says the day in each info, in the form that `write` gives it."""

    write: Any = staticmethod(lambda day: day)

    def __init__(self, prices: Any, dates: Any) -> None:
        super().__init__(prices)
        self.dates = dates

    def _info(self) -> dict[str, Any]:
        return {"date": self.write(self.dates[self.day])}

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        return super().reset(seed=seed, options=options)[0], self._info()

    def step(self, action: Any) -> Any:
        *result, _ = super().step(action)
        return *result, self._info()


def dated(write: Any) -> tuple[OwnAccounts, OwnAccounts]:
    """Return an account after 20 steps, and another that goes on from its saved state."""
    made = type("Written", (DatedEnv,), {"write": staticmethod(write)})
    market = wandering_market()
    own = OwnEnv("own_envs:ValueEnv", made)
    env, other = (
        make_own_vec_env(market, config_of(ValueEnv), seed=3, training=True, own=own)
        for _ in range(2)
    )
    env.reset()
    for _ in range(20):
        env.step(np.full((1, 2), 0.5, dtype=np.float32))
    restore_env_state(other, decode(encode(capture_env_state(env), "state")))
    return env, other


def to_the_end(env: OwnAccounts) -> Any:
    for _ in range(39):
        infos = env.step(np.full((1, 2), 0.5, dtype=np.float32))[3]
    return infos[0]["account_history"]


@pytest.mark.parametrize(
    "write",
    [
        lambda day: day,
        lambda day: np.datetime_as_string(day, "D"),
        lambda day: pd.Timestamp(day, tz="US/Eastern"),
        lambda day: pd.Timestamp(day).date(),
    ],
)
def test_days_that_an_env_says_are_the_same_after_a_restart(write: Any) -> None:
    for env in dated(write):
        assert to_the_end(env).dates.tolist() == wandering_market().dates.tolist()


def test_days_as_numbers_are_refused_with_and_without_a_restart() -> None:
    for env in dated(lambda day: int(np.datetime_as_string(day, "D").replace("-", ""))):
        with pytest.raises(ConfigError, match=r"info\['date'\] must be a day.*number 20200101"):
            to_the_end(env)


def test_an_env_without_a_state_says_so() -> None:
    env = accounts(ValueEnv)
    env.reset()
    assert "ValueEnv" in missing_state(env)
    assert "no get_state and no set_state" in missing_state(env)
    state = decode(encode(capture_env_state(env), "state"))
    restore_env_state(accounts(ValueEnv), state)  # which changes nothing


def test_rows_with_a_gap_are_traded_one_part_after_the_other() -> None:
    market = wandering_market().take([(0, 20), (40, 60)])
    env = accounts(ValueEnv, market)
    env.reset()
    starts = []
    for step in range(38):
        _, _, dones, infos = env.step(np.zeros((1, 2), dtype=np.float32))
        if dones[0]:
            starts.append((step, str(infos[0]["account_history"].dates[0])[:10]))
    assert starts == [(18, "2020-01-01"), (37, "2020-02-10")]
    with pytest.raises(ConfigError, match="'walk_forward', or a Gymnasium env"):
        accounts(GivenVecEnv, market)


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (NanEnv, "step.. 3 of an episode paid nan"),
        (NarrowEnv, r"shape \(1,\), and its observation_space says \(2,\)"),
        (NoDataEnv, r"market .MarketData., df .FinRL's long format. or prices .* got \(speed\)"),
        (SilentEnv, r"nothing was said of the account.*info\['account_history'\]"),
    ],
)
def test_a_broken_env_is_refused_by_name_file_and_line(made: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        episode(accounts(made), 59)
    assert f"{made.__name__} (" in str(caught.value)
    assert "own_envs.py, line" in str(caught.value)


def test_an_env_that_raises_is_named_with_the_line() -> None:
    with pytest.raises(OwnCodeError, match=r"KeyError: 'no such day'.*own_envs.py, line"):
        episode(accounts(RaisingEnv), 59)


def test_keywords_are_those_of_the_signature() -> None:
    seen: dict[str, Any] = {}

    def make(
        df: Any, hmax: Any, stock_dim: int, buy_cost_pct: Any, training: bool, bonus: int
    ) -> Any:
        seen.update(locals())
        return ValueEnv(df["close"].to_numpy().reshape(-1, 2))

    config = EnvConfig(
        class_="own_envs:ValueEnv",
        hmax=(5, 7),
        buy_cost_pct=0.01,
        class_kwargs={"bonus": 3},
    )
    own = OwnEnv("own_envs:make", make)
    make_own_vec_env(wandering_market(), config, own=own, training=False)
    assert seen["hmax"].tolist() == [5, 7]
    assert (seen["stock_dim"], seen["buy_cost_pct"]) == (2, [0.01, 0.01])
    assert (seen["training"], seen["bonus"]) == (False, 3)
    frame = seen["df"]
    assert frame.loc[1, "tic"].tolist() == ["AAA", "BBB"]
    assert frame["date"].iloc[0] == "2020-01-01"
    assert "last_return" in frame


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"class_kwargs": {"windo": 3}}, "no such parameter. Did you mean 'window'"),
        ({"class_kwargs": {"prices": 3}}, "gets it from the search"),
        ({"class_kwargs": {"initial_amount": 3}}, "it is a key of its own, env.initial_amount"),
        ({"hmax": 7}, "env.hmax is set, and ValueEnv .* has no parameter hmax"),
    ],
)
def test_keywords_that_nothing_reads_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_own_vec_env(wandering_market(), config_of(ValueEnv, **options))


def test_an_attribute_that_hides_a_method_is_refused() -> None:
    class Hiding(ValueEnv):
        def __init__(self, prices: Any) -> None:
            super().__init__(prices)
            self.close = prices

    with pytest.raises(ConfigError, match=r"hides the method close\(\) of gymnasium.Env"):
        make_own_vec_env(
            wandering_market(), config_of(ValueEnv), own=OwnEnv("own_envs:Hiding", Hiding)
        )


def test_what_is_no_env_is_refused() -> None:
    config = config_of(ValueEnv)
    for made, message in (
        (lambda prices: 3, "must make a Gymnasium env"),
        (lambda market: GivenVecEnv(market, 1), "made a VecEnv of 1 accounts, and 2"),
    ):
        with pytest.raises(ConfigError, match=message):
            make_own_vec_env(wandering_market(), config, n_envs=2, own=OwnEnv("a:b", made))
    with pytest.raises(ConfigError, match="has no 'missing_name'"):
        make_own_vec_env(wandering_market(), EnvConfig(class_="own_envs:missing_name"))
    assert isinstance(own_envs.ValueEnv, type)
    assert issubclass(own_envs.ValueEnv, gym.Env)
