"""A small trading env with the contract of finrl_ray's: account history, get_state, set_state."""

from typing import Any

import gymnasium as gym
import numpy as np

from finrl_ray.env.account_history import AccountHistory


class MarketEnv(gym.Env):
    """Two assets on a random walk; the action sets shares bought or sold, without costs."""

    metadata = {"render_modes": []}  # noqa: RUF012  # as Gymnasium declares it

    def __init__(self, days=30, market_seed=0, noise=0.0, end_on=None, flat=False, discrete=False):
        rng = np.random.default_rng(market_seed)
        steps = rng.normal(0.0005, 0.02, size=(days, 2))
        self.prices = 100.0 * np.exp(np.cumsum(steps, axis=0))
        if flat:
            self.prices[:] = 100.0
        self.dates = np.datetime64("2020-01-01", "ns") + np.arange(days) * np.timedelta64(1, "D")
        self.noise, self.end_on = noise, end_on
        self.observation_space = gym.spaces.Box(-np.inf, np.inf, (5,), np.float32)
        self.discrete = discrete
        self.action_space = gym.spaces.Box(-1.0, 1.0, (2,), np.float32)
        if discrete:  # sell, hold, buy of the one asset, and of the other
            self.action_space = gym.spaces.Discrete(9)
        self._start()

    def _start(self):
        self.day, self.cash, self.shares = 0, 10_000.0, np.zeros(2)
        self.values, self.trades, self.amounts = [self.cash], [], []

    def _observation(self):
        jitter = self.noise * self.np_random.standard_normal(2) if self.noise else 0.0
        relative = self.prices[self.day] / 100.0 - 1.0 + jitter
        return np.array([self.cash / 1e4, *relative, *(self.shares / 10)], dtype=np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self._start()
        return self._observation(), {}

    def step(self, action):
        price = self.prices[self.day]
        if self.discrete:
            action = np.array([int(action) // 3 - 1, int(action) % 3 - 1])
        traded = np.clip(np.asarray(action, dtype=np.float64) * 10, -self.shares, None)
        spent = traded.clip(min=0) @ price
        traded = np.where(traded > 0, traded * min(1.0, self.cash / max(spent, 1e-9)), traded)
        self.cash -= float(traded @ price)
        self.shares = self.shares + traded
        self.day += 1
        self.values.append(self.cash + float(self.shares @ self.prices[self.day]))
        self.trades.append(traded)
        self.amounts.append(float(np.abs(traded) @ price))
        reward = (self.values[-1] - self.values[-2]) * 1e-2
        terminated = self.day == self.end_on
        truncated = self.day == len(self.prices) - 1
        info: dict[str, Any] = {}
        if terminated or truncated:
            info["account_history"] = self._history()
        return self._observation(), reward, terminated, truncated, info

    def _history(self):
        values = np.array(self.values)
        return AccountHistory(
            dates=self.dates[: len(values)],
            tickers=("AAA", "BBB"),
            account_value=values,
            cash=np.full(len(values), np.nan),
            rewards=np.diff(values),
            trades=np.array(self.trades),
            cost=np.zeros(len(values) - 1),
            traded_amount=np.array(self.amounts),
            n_trades=int(np.count_nonzero(self.trades)),
            initial_amount=10_000.0,
            benchmark_value=5_000.0 * (self.prices[: len(values)] / self.prices[0]).sum(axis=1),
        )

    def get_state(self):
        return {
            "day": self.day,
            "cash": self.cash,
            "shares": self.shares.copy(),
            "values": list(self.values),
            "trades": [t.copy() for t in self.trades],
            "amounts": list(self.amounts),
            "rng": self.np_random.bit_generator.state,
        }

    def set_state(self, state):
        for name in ("day", "cash"):
            setattr(self, name, state[name])
        self.shares = state["shares"].copy()
        self.values, self.amounts = list(state["values"]), list(state["amounts"])
        self.trades = [t.copy() for t in state["trades"]]
        self.np_random.bit_generator.state = state["rng"]
