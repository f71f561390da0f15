"""`Accounts`: E accounts over one market, stepped together by the kernel."""

import math
from typing import Any

import numpy as np

from finrl_ray._typing import AnyArray, Float32Array, FloatArray, IntArray
from finrl_ray.env import order_limits
from finrl_ray.env.account_history import AccountHistory, history_of
from finrl_ray.env.benchmark import EpisodeBenchmarks, start_benchmark
from finrl_ray.env.kernel.arrays import ACCOUNT, LEDGER_COLUMNS, Account, Books, Switches
from finrl_ray.env.kernel.rewards import LEAST_GROWTH, REWARDS
from finrl_ray.env.kernel.short_weights import plan_short_orders
from finrl_ray.env.kernel.sorting_network import sorting_network
from finrl_ray.env.kernel.step import step_accounts
from finrl_ray.env.kernel.target_weights import plan_orders
from finrl_ray.env.kernel.values import value_of
from finrl_ray.env.market_table import MarketTable, rescaled
from finrl_ray.env.orders.refused import raise_beyond_float32, raise_status
from finrl_ray.env.orders.sizes import check_sizes, orders_in_currency
from finrl_ray.env.own_reward.payments import RewardPayments
from finrl_ray.env.own_reward.reward import OwnReward
from finrl_ray.env.rules import TradingRules
from finrl_ray.env.scaling import ObservationScaling
from finrl_ray.env.settings import AccountSettings, per_account
from finrl_ray.env.target_weights import weight_rules
from finrl_ray.errors import ConfigError
from finrl_ray.support.float32_range import FLOAT32_MAX


class Accounts:
    """The state of E accounts over one market; single envs have E = 1.

    Parameters
    ----------
    table : the market
    rules : how orders are treated
    settings : what each account starts from; changed only through the env's attributes
    reward_scaling : what the reward of `rules.reward` is multiplied by
    record_trades : keep the executed shares of every step (E * T * N numbers)
    own_reward : pays in the place of the reward of `rules`, which is its name

    Raises
    ------
    ConfigError
        If a setting is out of range or needs data that the market does not have.
    """

    def __init__(
        self,
        table: MarketTable,
        rules: TradingRules,
        settings: AccountSettings,
        *,
        reward_scaling: float,
        record_trades: bool,
        own_reward: OwnReward | None = None,
    ) -> None:
        scaling = float(per_account("reward_scaling", reward_scaling, 1)[0])
        if not 0 < scaling <= FLOAT32_MAX:
            raise ConfigError(
                f"reward_scaling must be > 0 and at most {FLOAT32_MAX:.2g}, the largest float32, "
                f"got {reward_scaling}"
            )
        self.table = table
        self.rules = rules
        self.settings = settings
        self.reward_scaling = scaling
        self.record_trades = record_trades
        self.n_envs = len(settings.initial_amount)
        self.episode = np.zeros(self.n_envs, dtype=np.int64)
        self.books = self._new_books()
        sizes = self.n_envs, table.n_assets, table.n_periods
        reward = REWARDS[rules.reward] if own_reward is None else own_reward.in_kernel
        self.limits = order_limits.new_limits(rules, *sizes, table.impact(rules), reward)
        self._kernel_limits = order_limits.in_kernel(self.limits, short=rules.short)
        self._margin = order_limits.margin_in_kernel(rules, table.dates)
        self._planning_limits = order_limits.in_planning(self.limits)
        self._weights = weight_rules(rules, table.n_assets)
        self._buffers()
        self.payments: RewardPayments | None = None
        if own_reward is not None:
            at = table, self.books, self.limits, self._executed
            self.payments = RewardPayments(own_reward, *at, scaling)
        self.settings_changed()
        for index in range(self.n_envs):
            self.start_episode(index, int(settings.start_row[index]))

    def _new_books(self) -> Books:
        e, n, days = self.n_envs, self.table.n_assets, self.table.n_periods
        steps = days - 1 if self.record_trades else 0
        return Books(
            records=np.zeros(e, dtype=ACCOUNT),
            shares=np.zeros((e, n)),
            buy_rate=self.settings.buy_rate,
            sell_rate=self.settings.sell_rate,
            ledger=np.zeros((e, days, len(LEDGER_COLUMNS))),
            trades=np.zeros((e, steps, n)),
        )

    def _buffers(self) -> None:
        shape = (self.n_envs, self.table.n_assets)
        self._orders = np.empty(shape)
        self._executed = np.empty(shape)
        self._sequence: IntArray = np.zeros(shape, dtype=np.int64)
        self._observation_shape = (self.n_envs, self.table.observation_size)

    def settings_changed(self) -> None:
        """Check the settings and derive what a step needs from them.

        Raises
        ------
        ConfigError
            If a setting is out of range, or a turbulence threshold has no series to compare with.
        """
        self.settings.check(self.table.n_periods, short=self.rules.short)
        check_sizes(self.settings.hmax, self.rules)
        if self.rules.action == "orders":
            order_limits.check_lots(self.limits, self.settings.hmax, self.rules.hmax_unit)
        if not self.table.has_risk and not np.isnan(self.settings.threshold).all():
            raise ConfigError(
                f"turbulence_threshold needs the series {self.table.risk_name!r}, which the data "
                "does not have; add it (to a MarketData by from_finrl's market_columns), or name "
                "another in risk_indicator_col"
            )
        at = self.table.market, self.rules, self.settings.buy_rate, self.limits.impact
        self._benchmarks = EpisodeBenchmarks(*at)
        self.books.records["threshold"] = self.settings.threshold
        self._hmax: dict[Any, AnyArray] = {np.dtype(np.float64): self.settings.hmax}
        narrow = np.float64 if self.settings.hmax_is_wide else np.float32
        self._hmax[np.dtype(np.float32)] = self.settings.hmax.astype(narrow)
        finrl = self.rules.ties == "argsort"
        self._switches = Switches(
            reward_scaling=self.reward_scaling,
            lag=int(self.rules.fill == "next_open"),
            fractional=self.rules.fractional_shares,
            finrl_prices=not self.rules.clean_data,
            finrl_liquidation=self.rules.halt == "first_indicator",
            count_empty=self.rules.count_empty_trades,
            presorted=finrl,
            dummy_step=self.rules.time_limit == "dummy_step",
            as_shares_of_account=self.rules.observation == "stationary",
        )

    def observe_with(self, scaling: ObservationScaling | None) -> None:
        """Scale observations of the market by another scaling from here on; accounts stay.

        Raises
        ------
        ConfigError
            If `scaling` was fitted on other columns.
        """
        self.table = rescaled(self.table, self.rules, scaling)

    # -- episodes -----------------------------------------------------------------------------

    def first_row(self, index: int, rng: np.random.Generator | None) -> int:
        """Return the row on which the next episode of account `index` starts."""
        # accounts take turns through the segments, each in its own order, so that every row is
        # visited equally often
        segments = self.table.segments
        first, stop = segments[(int(self.episode[index]) + index) % len(segments)]
        if self.settings.random_start[index]:
            assert rng is not None
            return first + int(rng.integers(0, max(1, (stop - first) // 2)))
        if len(segments) > 1:
            return first
        return int(self.settings.start_row[index]) if self.rules.start_at_day else 0

    def begin_episode(self, index: int, row: int) -> None:
        """Reset account `index` to `row` and count the episode."""
        self.episode[index] += 1
        self.start_episode(index, row)

    def start_episode(self, index: int, row: int) -> None:
        """Reset account `index` to `row`.

        Raises
        ------
        ConfigError
            If `row` leaves no step to take.
        """
        stop = next((stop for _, stop in self.table.segments if row < stop), 0)
        if not 0 <= row <= stop - 2:
            raise ConfigError(
                f"start_row must be within 0..{self.table.n_periods - 2} and not the last of a "
                f"segment, got {row}"
                if self.table.seams
                else f"start_row must be within 0..{self.table.n_periods - 2}, got {row}"
            )
        account, close = self.books.records[index], self.table.market.close[row]
        first_value = self._set_positions(index, close)
        cash, threshold = float(account["cash"]), float(self.settings.threshold[index])
        value = value_of(cash, self.books.shares[index], close)
        ruled = self.rules.first_day_risk and not math.isnan(threshold)
        # one assignment for all fields, because one for each takes longer than the rest of a reset
        self.books.records[index] = Account(
            cash=cash,
            value=value,
            reward=float(account["reward"]),
            cost=0.0,
            turbulence=float(self.table.market.risk[row]) if ruled else 0.0,
            threshold=threshold,
            day=row,
            start=row,
            last=stop - 1,
            n_trades=0,
            finished=False,
            # with one ticker FinRL's price is a NumPy number, which divides by 0 from the start
            has_traded=self.table.n_assets == 1 or bool(self.settings.numpy_cash[index]),
        )
        order_limits.start_limits(self.limits, index, self.books.shares[index], close)
        start_benchmark(
            self.limits,
            index,
            self.table.market,
            row + self._switches.lag,
            self.settings.buy_rate[index],
            value,
            whole=not self.rules.fractional_shares,
        )
        self.books.ledger[index, 0] = (first_value, cash, 0.0, 0.0, 0.0)
        if self.payments is not None:
            self.payments.begin(index)

    def _set_positions(self, index: int, close: FloatArray) -> float:
        """Set cash and shares; return the first account value."""
        settings, books = self.settings, self.books
        shares = settings.initial_shares[index]
        if not settings.initial[index] and self.episode[index] > 0:
            return self._continue_positions(index, close)
        held = shares
        if not settings.initial[index]:
            # before the first reset FinRL shows the previous state but values the initial one
            self._continue_positions(index, close)
        else:
            if self.table.n_assets == 1 and not self.rules.single_ticker_shares:
                held = np.zeros(1)
            books.records["cash"][index] = settings.initial_amount[index]
            books.shares[index] = held
        if self.rules.clean_data:
            return float(value_of(float(books.records["cash"][index]), books.shares[index], close))
        return float(settings.initial_amount[index] + np.sum(shares * close))

    def _continue_positions(self, index: int, close: FloatArray) -> float:
        n = self.table.n_assets
        previous = self.settings.previous_state[index]
        self.books.records["cash"][index] = previous[0]
        self.books.shares[index] = previous[1 + n : 1 + 2 * n]
        return float(value_of(float(previous[0]), self.books.shares[index], close))

    # -- steps --------------------------------------------------------------------------------

    def step(self, actions: AnyArray) -> Float32Array:
        """Trade and advance every account by one day; return new observations (E, S).

        Rewards and ends of episodes are the fields `reward` and `finished` of `books.records`.

        Parameters
        ----------
        actions : array of shape (E, N)
            Orders as fractions of hmax, beyond -1..1 taken as they are; or target weights.

        Raises
        ------
        ValueError
            If an action is NaN or infinite, or the shape is wrong.
        DataError
            If an order is undefined because of a price of 0 (FinRL's rules only), or an account
            has come to more than the float32 of observations and rewards can hold.
        OwnCodeError
            If an own reward raises, or pays an account anything but a finite number.
        """
        self._write_orders(actions)
        before = None if self.payments is None else self.payments.before()
        observations = np.empty(self._observation_shape, dtype=np.float32)
        status = step_accounts(
            self._orders,
            self._executed,
            self._sequence,
            # not kept, because pickling loses the read-only flag, on which code is specialised
            sorting_network(self.table.n_assets),
            observations,
            tuple(self.table.market),
            tuple(self.books),
            tuple(self._switches),
            self._margin,
            self._kernel_limits,
        )
        if status != 0:
            raise_status(self.table, self.books, status, actions)
        if self.payments is not None and before is not None:
            self.payments.pay(before)
        return observations

    def in_kernel(self, network: IntArray, sizing: tuple[Any, ...]) -> tuple[Any, ...]:
        """Return the fields of `Stepping`, for steps in compiled loops."""
        weights = tuple(self._weights) if self.rules.action == "target_weights" else None
        hmax = np.ascontiguousarray(self.settings.hmax)
        scratch = self._orders, self._executed, self._sequence, network
        read = tuple(self.table.market), tuple(self.books), tuple(self._switches)
        options = self._margin, self._kernel_limits, self._planning_limits, weights
        return (*scratch, *read, *options, hmax, sizing)

    def planned_orders(self, actions: AnyArray) -> FloatArray:
        """Return the shares (E, N) that a step would set out to trade, before rules and cash."""
        self._write_orders(actions)
        return self._orders.copy()

    def _write_orders(self, actions: AnyArray) -> None:
        if actions.shape != self._orders.shape:
            raise ValueError(
                f"actions must have shape {self._orders.shape} (accounts, tickers), got "
                f"{actions.shape}"
            )
        if self.rules.action == "target_weights":
            self._orders[:] = actions
            plan = plan_short_orders if self.rules.short else plan_orders
            plan(
                self._orders,
                tuple(self.table.market),
                tuple(self.books),
                self._planning_limits,
                tuple(self._weights),
            )
            return
        hmax = self._hmax.get(actions.dtype)
        if hmax is None:
            hmax, actions = self.settings.hmax, actions.astype(np.float64)
        if self.rules.hmax_unit != "shares":
            self._orders[:] = orders_in_currency(
                actions, self.settings.hmax, self.rules, self.table.market.close, self.books.records
            )
            return
        # float32 actions are multiplied in float32, as FinRL does: 0.29 * 100 is 29 and not 28.99
        np.multiply(actions, hmax, out=self._orders)
        if self.rules.ties == "argsort":
            self._argsort_orders()

    def _argsort_orders(self) -> None:
        if not np.isfinite(self._orders).all():
            return
        orders = self._orders.astype(np.int64)
        liquidate = self.books.records["turbulence"] >= self.settings.threshold
        orders[liquidate] = -self.settings.hmax[liquidate].astype(np.int64)
        # the same call on the same dtype as FinRL: how it breaks ties decides who gets the cash
        self._sequence[:] = np.argsort(orders, axis=-1)
        self._orders[:] = orders

    def observation(self, index: int) -> Float32Array:
        """Return what account `index` sees, as a new array of shape (S,)."""
        market, n = self.table.market, self.table.n_assets
        row = market.table[self.books.records["day"][index]]
        result = np.empty(self.table.observation_size, dtype=np.float32)
        with np.errstate(over="ignore"):  # said below
            result[0], result[1 + n : 1 + 2 * n] = self._observed_account(index)
        result[1 : 1 + n] = row[:n]
        result[1 + 2 * n :] = row[n:]
        if not np.isfinite(result).all():
            raise_beyond_float32(self.table, self.books, index)
        return result

    def _observed_account(self, index: int) -> tuple[float, FloatArray]:
        """Return cash, and positions of shape (N,), as account `index` sees them."""
        account, shares, market = (
            self.books.records[index],
            self.books.shares[index],
            self.table.market,
        )
        if not self._switches.as_shares_of_account:
            return account["cash"] * market.factors[0], shares * market.factors[1:]
        value = account["value"]
        if not value > 0:
            return 0.0, np.zeros(len(shares))
        return account["cash"] / value, shares * market.close[account["day"]] / value

    # -- results ------------------------------------------------------------------------------

    def n_steps(self, index: int) -> int:
        """Return the number of days that account `index` has traded in this episode."""
        return int(self.books.records["day"][index] - self.books.records["start"][index])

    def column(self, index: int, name: str) -> FloatArray:
        """Return one column of account `index`'s ledger, of shape (steps + 1,), as a view."""
        rows = self.n_steps(index) + 1
        return self.books.ledger[index, :rows, LEDGER_COLUMNS.index(name)]

    @property
    def last_executed(self) -> FloatArray:
        """Executed shares (E, N) of the last day that was traded, sells negative, as a view."""
        return self._executed

    def scaled_rewards(self, index: int) -> list[float]:
        """Return what `step` has paid account `index` so far, penalties and scaling included."""
        rewards = self.column(index, "reward")[1:]
        taken_off = order_limits.penalties(self.limits, index, self.n_steps(index))
        if taken_off is not None:
            rewards = rewards - taken_off
        scaled: list[float] = (rewards * self.reward_scaling).tolist()
        return scaled

    def executed_shares(self, index: int) -> FloatArray | None:
        """Return executed shares of shape (steps, N) as a view, None if they are not recorded."""
        if not self.record_trades:
            return None
        return self.books.trades[index, : self.n_steps(index)]

    def is_lost(self, index: int) -> bool:
        """Return whether account `index` has ended because it lost all (short sales)."""
        values, ended = self.column(index, "account_value"), self.books.records["finished"][index]
        return bool(self.rules.short and ended and values[-1] <= LEAST_GROWTH * values[-2])

    def history(self, index: int) -> AccountHistory:
        """Return the episode of account `index` so far, as copies."""
        books, trades, lost = self.books, self.executed_shares(index), self.is_lost(index)
        record, ledger, shares = books.records[index], books.ledger[index], books.shares[index]
        amount, last = float(self.settings.initial_amount[index]), record["last" if lost else "day"]
        held = self._benchmarks.of_episode(index, record["start"], last, ledger[0, 0])
        return history_of(record, ledger, trades, self.table, amount, held, shares, lost=lost)
