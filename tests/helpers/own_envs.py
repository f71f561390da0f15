"""Small env classes of a user's, and the market that they trade in."""

from typing import Any

import gymnasium as gym
import numpy as np
from stable_baselines3.common.vec_env import DummyVecEnv

from finrl_ray.data.market_data import MarketData


def small_market(close: Any, tickers: tuple[str, ...] = ("AAA", "BBB")) -> MarketData:
    """Return a market of these closes, of shape (T, N), with the last return as its feature."""
    prices = np.asarray(close, dtype=np.float64)
    days, n = prices.shape
    returns = np.zeros((days, n, 1))
    returns[1:, :, 0] = prices[1:] / prices[:-1] - 1.0
    return MarketData(
        dates=np.datetime64("2020-01-01", "ns") + np.arange(days) * np.timedelta64(1, "D"),
        tickers=tickers[:n],
        open=prices,
        high=prices,
        low=prices,
        close=prices,
        volume=np.full((days, n), 1e6),
        features=returns,
        feature_names=("last_return",),
        tradable=np.ones((days, n), dtype=bool),
        market_features=np.zeros((days, 0)),
        market_feature_names=(),
    )


def wandering_market(days: int = 60, n: int = 2) -> MarketData:
    """Return a market of seeded random walks."""
    rng = np.random.default_rng(4)
    walks = np.exp(np.cumsum(rng.normal(0.0, 0.02, (days, n)), axis=0))
    return small_market(100.0 * walks, ("AAA", "BBB", "CCC"))


class ValueEnv(gym.Env[Any, Any]):
    """Says its account's value and nothing else, and has no state."""

    def __init__(self, prices: Any, window: int = 1) -> None:
        self.prices = prices
        n = prices.shape[1]
        self.observation_space = gym.spaces.Box(-np.inf, np.inf, (n,), np.float32)
        self.action_space = gym.spaces.Box(-1.0, 1.0, (n,), np.float32)

    def _observation(self) -> Any:
        before = self.prices[max(self.day - 1, 0)]
        return (self.prices[self.day] / before - 1.0).astype(np.float32)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.day = 0
        self.account_value: Any = 1e6
        return self._observation(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        weights = np.clip(action, 0.0, 1.0) / len(action)
        self.day += 1
        growth = self.prices[self.day] / self.prices[self.day - 1] - 1.0
        reward = float((weights * growth).sum())
        self.account_value *= 1.0 + reward
        done = self.day == len(self.prices) - 1
        return self._observation(), 100.0 * reward, done, False, {}


class StatefulEnv(ValueEnv):
    """The same, with a state and its random numbers in it."""

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        result = super().reset(seed=seed, options=options)
        self.luck = self.np_random.normal()
        return result

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        observation, reward, done, cut, info = super().step(action)
        return observation, reward + 1e-3 * self.np_random.normal() + self.luck, done, cut, info

    def get_state(self) -> dict[str, Any]:
        rng = self.np_random.bit_generator.state
        return {"day": self.day, "value": self.account_value, "luck": self.luck, "rng": rng}

    def set_state(self, state: dict[str, Any]) -> None:
        self.day, self.account_value = state["day"], state["value"]
        self.luck = state["luck"]
        self.np_random.bit_generator.state = state["rng"]


class LookingAheadEnv(ValueEnv):
    """Shows prices by their mean over all of the window."""

    def _observation(self) -> Any:
        return (self.prices[self.day] / self.prices.mean(axis=0)).astype(np.float32)


class ForgetfulEnv(StatefulEnv):
    """Leaves its luck out of its state."""

    def set_state(self, state: dict[str, Any]) -> None:
        super().set_state({**state, "luck": 0.0})


class ClockEnv(ValueEnv):
    """Depends on how often it was made."""

    made = 0

    def __init__(self, prices: Any) -> None:
        super().__init__(prices)
        ClockEnv.made += 1
        self.number = ClockEnv.made

    def _observation(self) -> Any:
        return super()._observation() + np.float32(self.number)


class RaisingEnv(ValueEnv):
    """Fails in its third step."""

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        if self.day == 2:
            raise KeyError("no such day")
        return super().step(action)


class NanEnv(ValueEnv):
    """Pays NaN in its third step."""

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        observation, reward, *rest = super().step(action)
        return observation, float("nan") if self.day == 3 else reward, *rest


class SilentEnv(ValueEnv):
    """Says nothing of its account."""

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.account_value = 1.0
        result = super().step(action)
        self.account_value = None
        return result

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        result = super().reset(seed=seed, options=options)
        self.account_value = None
        return result


class NarrowEnv(ValueEnv):
    """Returns fewer numbers than its space says."""

    def _observation(self) -> Any:
        return super()._observation()[:1]


class NoDataEnv(ValueEnv):
    """Names no data."""

    def __init__(self, speed: int = 1) -> None:
        super().__init__(np.ones((10, 2)))


class GivenVecEnv(DummyVecEnv):
    """A VecEnv of a user's."""

    def __init__(self, market: MarketData, n_envs: int, window: int = 1) -> None:
        super().__init__([lambda: ValueEnv(market.close) for _ in range(n_envs)])

    def step_wait(self) -> Any:
        values = [env.account_value for env in self.envs]
        observations, rewards, dones, infos = super().step_wait()
        for index, info in enumerate(infos):
            growth = 1.0 + rewards[index] / 100.0
            info["account_value"] = values[index] * growth
        return observations, rewards, dones, infos

    def reset(self) -> Any:
        observations = super().reset()
        self.reset_infos = [{"account_value": env.account_value} for env in self.envs]
        return observations
