"""`StockPortfolioEnv`: portfolio weights instead of orders, with FinRL's constructor."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from finrl_ray._typing import AnyArray, Float32Array, FloatArray
from finrl_ray.data.market_data import MarketData
from finrl_ray.env.account_history import AccountHistory
from finrl_ray.env.constructor import DEFAULTS
from finrl_ray.env.portfolio.account import PortfolioAccount
from finrl_ray.env.portfolio.market import PortfolioMarket, portfolio_market, portfolio_size
from finrl_ray.env.portfolio.weights import wanted_weights
from finrl_ray.errors import ConfigError
from finrl_ray.support.float32_range import FLOAT32_MAX

if TYPE_CHECKING:
    import pandas as pd
    from stable_baselines3.common.vec_env import DummyVecEnv

# no growth of a day has a larger logarithm in float64
_LARGEST_LOG = 745.0


class StockPortfolioEnv(gym.Env[Float32Array, Float32Array]):
    """Hold N stocks in weights chosen each day; the agent sees covariances and indicators.

    The action is projected onto the simplex: equal actions give equal weights, an action
    `1 / action_scale` above all others gives one stock everything. The observation is, row after
    row, the covariance of the last `lookback` returns (N x N), each indicator (N), and the weights
    held (N), which have drifted since the last rebalance. The reward is the log return of the
    account, costs paid, times `reward_scaling`. The last info of an episode holds
    `account_history`; every other info is empty.

    The arguments up to `day` are FinRL's, in FinRL's order. All but `df` may be left out with a
    MarketData.

    Parameters
    ----------
    df : frame in FinRL's long format, or MarketData. The first `lookback` days only fill the
        covariance, unless the frame has FinRL's column `cov_list`, or with `every_day`. Or what
        `portfolio_market` made of one, so that several envs share it.
    stock_dim : N
    hmax : accepted and not used, as in FinRL: weights have no number of shares
    initial_amount : currency, all cash at the start
    transaction_cost_pct : fraction of all that is bought and sold
    reward_scaling : reward per unit of log return
    state_space, action_space : N, as FinRL's tutorials pass it (action_space N + 1 with cash)
    tech_indicator_list : F columns, in observation order
    turbulence_threshold : on days at or above it the portfolio is cash; None for never
    lookback : returns in each covariance
    day : days after the first tradable one on which episodes start
    cash_weight : a last entry of the action is the weight of cash; without it all is invested
    action_scale : the action is multiplied by it before the projection
    risk_indicator_col : the series compared with the threshold
    every_day : begin on the first day: covariances of the first days are of the returns so far,
        zeros where there are fewer than 2
    random_start : begin episodes on a random day of the first half of the data, or of a part of it
    first_segment : of a market with seams (`MarketData.take`), the part of the first episode;
        episodes take turns through the parts

    Raises
    ------
    ConfigError
        If an argument does not fit the data or another argument.
    DataError
        If the data cannot be traded.
    """

    metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012  (gymnasium's declaration)

    def __init__(
        self,
        df: "pd.DataFrame | MarketData | PortfolioMarket",
        stock_dim: int | None = None,
        hmax: Any = None,
        initial_amount: float = DEFAULTS.initial_amount,
        transaction_cost_pct: float = DEFAULTS.buy_cost_pct,
        reward_scaling: float = 1.0,
        state_space: int | None = None,
        action_space: int | None = None,
        tech_indicator_list: Sequence[str] | None = None,
        turbulence_threshold: float | None = None,
        lookback: int = 252,
        day: int = 0,
        *,
        cash_weight: bool = False,
        action_scale: float = 1.0,
        risk_indicator_col: str = DEFAULTS.risk_indicator_col,
        every_day: bool = False,
        random_start: bool = False,
        first_segment: int = 0,
    ) -> None:
        self.market = (
            df
            if isinstance(df, PortfolioMarket)
            else portfolio_market(
                df,
                tech_indicator_list,
                lookback=lookback,
                risk_name=risk_indicator_col,
                every_day=every_day,
            )
        )
        n, f = len(self.market.tickers), len(self.market.feature_names)
        for name, came, must in (
            ("stock_dim", stock_dim, n),
            ("state_space", state_space, n),
            ("action_space", action_space, n + cash_weight),
        ):
            _require(came is None or came == must, name, f"{must} for this data", came)
        last = len(self.market.dates) - 2
        rule = f"> 0 and at most {FLOAT32_MAX:.2g}"
        _require(0 < initial_amount <= FLOAT32_MAX, "initial_amount", rule, initial_amount)
        most = f"> 0 and at most {FLOAT32_MAX / _LARGEST_LOG:.2g}, so that float32 holds rewards"
        fits = 0 < reward_scaling <= FLOAT32_MAX / _LARGEST_LOG
        _require(fits, "reward_scaling", most, reward_scaling)
        _require(0 < action_scale < math.inf, "action_scale", "> 0", action_scale)
        _require(
            0 <= transaction_cost_pct < 1,
            "transaction_cost_pct",
            "a fraction within [0, 1)",
            transaction_cost_pct,
        )
        _require(0 <= day <= last and int(day) == day, "day", f"within 0..{last}", day)
        parts = len(self.market.segments)
        _require(day == 0 or parts == 1, "day", f"0 with a market of {parts} parts", day)
        if turbulence_threshold is not None and self.market.risk is None:
            raise ConfigError(
                f"turbulence_threshold needs the series {risk_indicator_col!r}, which the data "
                "does not have; add it or name another in risk_indicator_col"
            )
        self.stock_dim, self.hmax, self.lookback = n, hmax, lookback
        self.reward_scaling, self.action_scale = reward_scaling, action_scale
        self.turbulence_threshold = turbulence_threshold
        self.tech_indicator_list = list(self.market.feature_names)
        self.observation_space: spaces.Space[Any] = spaces.Box(
            -np.inf, np.inf, shape=(portfolio_size(n, f),), dtype=np.float32
        )
        self.action_space: spaces.Space[Any] = spaces.Box(
            -1.0, 1.0, shape=(n + cash_weight,), dtype=np.float32
        )
        amount, cost_rate = float(initial_amount), float(transaction_cost_pct)
        self.random_start, self.first_segment = bool(random_start), int(first_segment)
        self._start_day, self._episode = int(day), 0
        self.account = PortfolioAccount(self.market, amount, cost_rate, *self._next_days())
        self.reward = 0.0

    # -- episodes -----------------------------------------------------------------------------

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Float32Array, dict[str, Any]]:
        """Start an episode with all cash."""
        super().reset(seed=seed)
        first, last = self._next_days()
        if self.random_start:
            first += int(self.np_random.integers(0, max(1, (last + 1 - first) // 2)))
        self._episode += 1
        self.account.start(first, last)
        self.reward = 0.0
        return self._observation(), {}

    def _next_days(self) -> tuple[int, int]:
        """Return the first and the last day of the part of the market that is traded next."""
        segments = self.market.segments
        first, stop = segments[(self._episode + self.first_segment) % len(segments)]
        return (first if len(segments) > 1 else self._start_day), stop - 1

    def step(self, action: AnyArray) -> tuple[Float32Array, float, bool, bool, dict[str, Any]]:
        """Rebalance at today's close and hold until the next.

        Raises
        ------
        ValueError
            If the action is NaN or infinite, or has the wrong shape.
        RuntimeError
            If the episode has ended.
        """
        if self.terminal:
            raise RuntimeError("the episode has ended; call reset() before step()")
        growth = self.account.hold(self._wanted(action))
        self.reward = math.log(growth) * self.reward_scaling
        return self._observation(), self.reward, False, self.terminal, self._info()

    def _info(self) -> dict[str, Any]:
        return {"account_history": self.account_history} if self.terminal else {}

    def _wanted(self, action: AnyArray) -> FloatArray:
        values = np.asarray(action, dtype=np.float64)
        if values.shape != self.action_space.shape:
            raise ValueError(
                f"actions must have shape {self.action_space.shape}, got {values.shape}"
            )
        if not np.isfinite(values).all():
            raise ValueError(
                f"actions must be finite, got {values} on {self.market.labels[self.day]}; check "
                "the policy for NaN weights and the observations' scale"
            )
        if self.turbulence_threshold is not None and self.turbulence >= self.turbulence_threshold:
            return np.zeros(self.stock_dim)
        return wanted_weights(values, self.action_scale, self.market.tradable[self.day])

    def _observation(self) -> Float32Array:
        return self.observation_of(self.day, self.account.weights)

    def observation_of(self, day: int, weights: FloatArray) -> Float32Array:
        """Return what is seen on a day of the market by a portfolio of weights (N,)."""
        return self._rows(day, weights).astype(np.float32).ravel()

    def _rows(self, day: int, weights: FloatArray) -> FloatArray:
        market = self.market
        rows = (market.covariance[day], market.features[day], weights[np.newaxis])
        return np.concatenate(rows)

    # -- where the portfolio stands ----------------------------------------------------------------

    @property
    def state(self) -> FloatArray:
        """Covariance, indicators and weights of today, of shape (N + F + 1, N)."""
        return self._rows(self.day, self.account.weights)

    @property
    def day(self) -> int:
        """Days after the first that can be traded."""
        return self.account.day

    @property
    def terminal(self) -> bool:
        """Whether the episode has ended."""
        return self.account.finished

    @property
    def turbulence(self) -> float:
        """Today's risk value, 0 if the data has none."""
        return 0.0 if self.market.risk is None else float(self.market.risk[self.day])

    @property
    def portfolio_value(self) -> float:
        """Value of the account, in currency."""
        return float(self.account.values[-1])

    @property
    def account_history(self) -> AccountHistory:
        """The episode so far; `trades` are fractions of shares."""
        return self.account.history()

    @property
    def asset_memory(self) -> list[float]:
        """Account value per day of this episode."""
        values: list[float] = self.account.values.tolist()
        return values

    @property
    def portfolio_return_memory(self) -> list[float]:
        """Simple return per day of this episode, 0 for the first."""
        values = self.account.values
        returns: list[float] = [0.0, *(values[1:] / values[:-1] - 1.0).tolist()]
        return returns

    @property
    def actions_memory(self) -> list[FloatArray]:
        """Weights after each rebalance."""
        return list(self.account.chosen.copy())

    @property
    def date_memory(self) -> list[Any]:
        """Dates of this episode, as the data has them."""
        return list(self.market.labels[self.account.first_day : self.day + 1])

    def save_asset_memory(self) -> "pd.DataFrame":
        """Return a frame with the columns `date`, `account_value` and `daily_return`."""
        import pandas as pd

        values, returns = self.asset_memory, self.portfolio_return_memory
        columns = {"date": self.date_memory, "account_value": values, "daily_return": returns}
        return pd.DataFrame(columns)

    def save_action_memory(self) -> "pd.DataFrame":
        """Return the weights after each rebalance: index `date`, one column per ticker."""
        import pandas as pd

        index = pd.Index(self.date_memory[:-1], name="date")
        return pd.DataFrame(
            self.account.chosen.copy(), index=index, columns=list(self.market.tickers)
        )

    def render(self, mode: str = "human") -> Any:
        """Return `state`."""
        return self.state

    def get_sb_env(self) -> "tuple[DummyVecEnv, AnyArray]":
        """Return this env in a DummyVecEnv, and its first observation."""
        from stable_baselines3.common.vec_env import DummyVecEnv

        env = DummyVecEnv([lambda: self])
        observation = env.reset()
        assert isinstance(observation, np.ndarray)
        return env, observation

    # -- saving and restoring -------------------------------------------------------------------

    def get_state(self) -> dict[str, Any]:
        """Return everything the env's future depends on, as a dict that can be pickled."""
        return {
            "account": self.account.get_state(),
            "episode": self._episode,
            "reward": self.reward,
            "rng": None if self._np_random is None else self.np_random.bit_generator.state,
            "rng_seed": self._np_random_seed,
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """Continue exactly where `get_state` was called, on an env built alike.

        Raises
        ------
        ConfigError
            If the state belongs to another market.
        """
        self.account.set_state(state["account"])
        self._episode = state.get("episode", 0)
        self.reward = state["reward"]
        self._np_random = None
        if state["rng"] is not None:
            self._np_random = np.random.Generator(np.random.PCG64())
            self._np_random.bit_generator.state = state["rng"]
        self._np_random_seed = state["rng_seed"]


def _require(fits: bool, name: str, rule: str, value: Any) -> None:
    if not fits:
        raise ConfigError(f"{name} must be {rule}, got {value}")
