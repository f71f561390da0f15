"""`AccountView`: one account of an env under FinRL's names."""

from typing import TYPE_CHECKING, Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from finrl_ray._typing import AnyArray, Float32Array, FloatArray
from finrl_ray.config.trial.order_size import by_ticker
from finrl_ray.env import finrl_memories
from finrl_ray.env.account_history import AccountHistory
from finrl_ray.env.account_state import account_state, restore_account
from finrl_ray.env.accounts import Accounts
from finrl_ray.env.market_table import MarketTable
from finrl_ray.env.orders.discrete import Choices, choices_of
from finrl_ray.env.settings import (
    check_previous_state,
    per_account,
    per_ticker,
    start_rows,
    thresholds,
)
from finrl_ray.errors import ConfigError
from finrl_ray.support.whole_numbers import as_whole

if TYPE_CHECKING:
    import pandas as pd

_RESET_OPTIONS = ("start_row",)


def env_spaces(table: MarketTable, choices: Choices | None) -> tuple[spaces.Box, spaces.Space[Any]]:
    """Return the observation and the action space of an account in this market."""
    shape = (table.observation_size,)
    observation_space = spaces.Box(low=-np.inf, high=np.inf, shape=shape, dtype=np.float32)
    if choices is not None:
        return observation_space, choices.space
    action_space = spaces.Box(low=-1.0, high=1.0, shape=(table.n_assets,), dtype=np.float32)
    return observation_space, action_space


class AccountView(gym.Env[Float32Array, Float32Array]):
    """One account with FinRL's attributes, and the random stream of its start days.

    Attributes with setters take effect at once where a step reads them (`turbulence_threshold`,
    `hmax`, costs) and at the next reset otherwise (`initial_amount`, `num_stock_shares`,
    `random_start`, `start_row`, `initial`, `previous_state`).

    Parameters
    ----------
    accounts : the accounts, of which this shows one
    index : which one
    """

    metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012  (gymnasium's declaration)
    render_mode: str | None = None

    def __init__(self, accounts: Accounts, index: int) -> None:
        self.accounts = accounts
        self.index = index
        self.choices = choices_of(accounts.rules, accounts.table.n_assets)
        """What agents choose among, with `discrete_actions`; else None."""
        observation_space, action_space = env_spaces(accounts.table, self.choices)
        self.observation_space: spaces.Space[Any] = observation_space
        self.action_space: spaces.Space[Any] = action_space

    # -- episodes -----------------------------------------------------------------------------

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Float32Array, dict[str, Any]]:
        """Start an episode.

        Parameters
        ----------
        seed : starts the random stream anew
        options : `{"start_row": k}` starts on row k, whatever `day` and `random_start` say

        Raises
        ------
        ConfigError
            If an option is unknown or the row leaves no step to take.
        """
        super().reset(seed=seed)
        unknown = [name for name in options or {} if name not in _RESET_OPTIONS]
        if unknown:
            raise ConfigError(f"reset options are {list(_RESET_OPTIONS)}, got {unknown}")
        if options and options.get("start_row") is not None:
            row = int(start_rows("start_row", options["start_row"], 1)[0])
        else:
            rng = self.np_random if self.random_start else None
            row = self.accounts.first_row(self.index, rng)
        self.accounts.begin_episode(self.index, row)
        return self.accounts.observation(self.index), {}

    def step(self, action: AnyArray) -> tuple[Float32Array, float, bool, bool, dict[str, Any]]:
        """Refuse: accounts of a StockTradingVecEnv are stepped together.

        Raises
        ------
        TypeError
            Always.
        """
        raise TypeError("accounts of a StockTradingVecEnv are stepped together: call its step()")

    def seed_next_reset(self, seed: int) -> None:
        """Start the random stream anew, without a reset."""
        super().reset(seed=seed)

    # -- where the account stands ----------------------------------------------------------------

    @property
    def state(self) -> list[float]:
        """[cash, close (N), shares (N), indicator after indicator (N each)], unscaled.

        FinRL's state, whatever is observed: another env goes on from it.
        """
        table, books = self.accounts.table, self.accounts.books
        day = self.day
        # FinRL's cash is a NumPy number once shares have changed hands, and divides by 0 only then
        cash = books.records["cash"][self.index]
        result: list[float] = [
            cash if books.records["has_traded"][self.index] else float(cash),
            *table.market.close[day].tolist(),
            *books.shares[self.index].tolist(),
            *table.features[day].T.ravel().tolist(),
        ]
        return result

    @property
    def day(self) -> int:
        """Row of the data."""
        return int(self.accounts.books.records["day"][self.index])

    @property
    def terminal(self) -> bool:
        """Whether the episode has ended."""
        return bool(self.accounts.books.records["finished"][self.index])

    @property
    def turbulence(self) -> float:
        """Today's risk value, 0 without a threshold."""
        return float(self.accounts.books.records["turbulence"][self.index])

    @property
    def reward(self) -> float:
        """Scaled reward of the last step."""
        return float(self.accounts.books.records["reward"][self.index])

    @property
    def cost(self) -> float:
        """Costs paid in this episode, in currency."""
        return float(self.accounts.books.records["cost"][self.index])

    @property
    def trades(self) -> int:
        """Trades counted in this episode."""
        return int(self.accounts.books.records["n_trades"][self.index])

    @property
    def episode(self) -> int:
        """Resets so far."""
        return int(self.accounts.episode[self.index])

    @property
    def account_history(self) -> AccountHistory:
        """The episode so far."""
        return self.accounts.history(self.index)

    # -- FinRL's memories --------------------------------------------------------------------------

    @property
    def asset_memory(self) -> list[float]:
        """Account value per day of this episode."""
        values: list[float] = self.accounts.column(self.index, "account_value").tolist()
        return values

    @property
    def rewards_memory(self) -> list[float]:
        """Unscaled reward per step."""
        values: list[float] = self.accounts.column(self.index, "reward")[1:].tolist()
        return values

    @property
    def date_memory(self) -> list[Any]:
        """Dates of this episode, as the data has them."""
        start = int(self.accounts.books.records["start"][self.index])
        return list(self.accounts.table.labels[start : self.day + 1])

    @property
    def actions_memory(self) -> list[AnyArray]:
        """Executed shares per step (whole numbers as integers).

        Raises
        ------
        ConfigError
            If the env was built with record_trades=False.
        """
        executed = finrl_memories.recorded(self.accounts, self.index)
        kind = np.float64 if self.accounts.rules.fractional_shares else np.int64
        return list(executed.astype(kind))

    @property
    def state_memory(self) -> list[list[float]]:
        """`state` after each step of this episode."""
        states: list[list[float]] = finrl_memories.states(self.accounts, self.index).tolist()
        return states

    def save_asset_memory(self) -> "pd.DataFrame":
        """Return a frame with the columns `date` and `account_value`."""
        return finrl_memories.asset_frame(self.date_memory, self.asset_memory)

    def save_action_memory(self) -> "pd.DataFrame":
        """Return executed shares: index `date` x tickers, or columns `date`, `actions` for one."""
        tickers = self.accounts.table.tickers
        return finrl_memories.action_frame(self.date_memory[:-1], self.actions_memory, tickers)

    def save_state_memory(self) -> "pd.DataFrame":
        """Return the states after each step, under the date of the day before, as FinRL does.

        One ticker: columns `date` and `states`. More: index `date`, one named column per entry
        (FinRL's own names fit two tickers with one indicator only).
        """
        table = self.accounts.table
        names = ("close", "shares", *table.feature_names)
        return finrl_memories.state_frame(
            self.date_memory[:-1], self.state_memory, table.tickers, names
        )

    def render(self, mode: str = "human", close: bool = False) -> Any:
        """Return `state`, from which another env continues as its `previous_state`."""
        return self.state

    # -- saving and restoring --------------------------------------------------------------------

    def get_state(self) -> dict[str, Any]:
        """Return everything the account's future depends on, its random stream included.

        A dict of plain numbers and arrays, which can be pickled.
        """
        state = account_state(self.accounts, self.index)
        state["rng"] = None if self._np_random is None else self.np_random.bit_generator.state
        state["rng_seed"] = self._np_random_seed
        return state

    def set_state(self, state: dict[str, Any]) -> None:
        """Continue exactly where `get_state` was called, on an env built alike.

        Raises
        ------
        ConfigError
            If the state belongs to another market.
        """
        restore_account(self.accounts, self.index, state)
        self._np_random = None
        if state["rng"] is not None:
            self._np_random = np.random.Generator(np.random.PCG64())
            self._np_random.bit_generator.state = state["rng"]
        self._np_random_seed = state["rng_seed"]

    # -- how the account is set up ---------------------------------------------------------------

    def _set(self, name: str, value: Any) -> None:
        array = getattr(self.accounts.settings, name)
        before = array[self.index].copy()
        array[self.index] = value
        try:
            self.accounts.settings_changed()
        except ConfigError:
            array[self.index] = before
            raise

    @property
    def df(self) -> "pd.DataFrame":
        """The data in FinRL's long format."""
        return self.accounts.table.frame

    @property
    def stock_dim(self) -> int:
        """N, the number of tickers."""
        return self.accounts.table.n_assets

    @property
    def state_space(self) -> int:
        """Entries of an observation: 1 + 2N + F*N, unless `observation` is `stationary`."""
        return self.accounts.table.observation_size

    @property
    def tech_indicator_list(self) -> list[str]:
        """Indicators in observation order."""
        return list(self.accounts.table.feature_names)

    @property
    def risk_indicator_col(self) -> str:
        """The series compared with the turbulence threshold."""
        return self.accounts.table.risk_name

    @property
    def reward_scaling(self) -> float:
        """What the reward is multiplied by."""
        return self.accounts.reward_scaling

    @property
    def turbulence_threshold(self) -> float | None:
        """Risk at or above which everything is sold and nothing bought; None for no such rule."""
        value = float(self.accounts.settings.threshold[self.index])
        return None if np.isnan(value) else value

    @turbulence_threshold.setter
    def turbulence_threshold(self, value: float | None) -> None:
        self._set("threshold", thresholds(value, 1)[0])

    @property
    def hmax(self) -> Any:
        """What an action of 1 orders, in `hmax_unit`; a list if it differs between tickers."""
        return _as_finrl_has_it(self.accounts.settings.hmax[self.index])

    @hmax.setter
    def hmax(self, value: Any) -> None:
        numbers = by_ticker("hmax", value, self.accounts.table.tickers)
        self._set("hmax", per_ticker("hmax", numbers, 1, self.stock_dim)[0])

    @property
    def initial_amount(self) -> float:
        """Cash at the start of an episode."""
        return float(self.accounts.settings.initial_amount[self.index])

    @initial_amount.setter
    def initial_amount(self, value: float) -> None:
        self._set("initial_amount", per_account("initial_amount", value, 1)[0])

    @property
    def num_stock_shares(self) -> list[float]:
        """Shares at the start of an episode."""
        return [
            as_whole(float(value)) for value in self.accounts.settings.initial_shares[self.index]
        ]

    @num_stock_shares.setter
    def num_stock_shares(self, value: Any) -> None:
        name = "num_stock_shares"
        self._set("initial_shares", per_ticker(name, value, 1, self.stock_dim)[0])

    @property
    def buy_cost_pct(self) -> list[float]:
        """Cost of buying per ticker, as fractions."""
        return [float(value) for value in self.accounts.settings.buy_rate[self.index]]

    @buy_cost_pct.setter
    def buy_cost_pct(self, value: Any) -> None:
        self._set("buy_rate", per_ticker("buy_cost_pct", value, 1, self.stock_dim)[0])

    @property
    def sell_cost_pct(self) -> list[float]:
        """Cost of selling per ticker, as fractions."""
        return [float(value) for value in self.accounts.settings.sell_rate[self.index]]

    @sell_cost_pct.setter
    def sell_cost_pct(self, value: Any) -> None:
        self._set("sell_rate", per_ticker("sell_cost_pct", value, 1, self.stock_dim)[0])

    @property
    def random_start(self) -> bool:
        """Whether episodes start on a random day of the first half."""
        return bool(self.accounts.settings.random_start[self.index])

    @random_start.setter
    def random_start(self, value: bool) -> None:
        self._set("random_start", bool(value))

    @property
    def start_row(self) -> int:
        """Row on which episodes start, unless `random_start` or a reset option says otherwise."""
        return int(self.accounts.settings.start_row[self.index])

    @start_row.setter
    def start_row(self, value: int) -> None:
        self._set("start_row", start_rows("start_row", value, 1)[0])

    @property
    def initial(self) -> bool:
        """Whether episodes start with `initial_amount` and not from `previous_state`."""
        return self.accounts.settings.initial[self.index]

    @initial.setter
    def initial(self, value: bool) -> None:
        settings = self.accounts.settings
        if not value:
            self._check_previous_state(settings.previous_state[self.index])
        settings.initial[self.index] = bool(value)

    def _check_previous_state(self, value: Any) -> None:
        check_previous_state(value, self.stock_dim, short=self.accounts.rules.short)

    @property
    def previous_state(self) -> list[Any]:
        """The state that an episode continues from where `initial` is False."""
        return self.accounts.settings.previous_state[self.index]

    @previous_state.setter
    def previous_state(self, value: Any) -> None:
        settings = self.accounts.settings
        if not settings.initial[self.index]:
            self._check_previous_state(value)
        settings.previous_state[self.index] = list(value)


def _as_finrl_has_it(values: FloatArray) -> Any:
    numbers = [as_whole(float(value)) for value in values]
    return numbers[0] if len(set(numbers)) == 1 else numbers
