"""From what an env of the user's says of its account to an `AccountHistory` of the whole window.

The account of an evaluation is compared day by day with buy & hold and with the accounts of other
trials. So it covers all days of its window: on days before the env's first one (which an env needs
that looks back) and after its last one (where an account has lost all) it stays as it is.
"""

import numbers
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from finrl_ray._typing import DateArray, FloatArray
from finrl_ray.config.env import EnvConfig
from finrl_ray.data.labels import date_label
from finrl_ray.data.market_data import MarketData
from finrl_ray.env.account_history import AccountHistory
from finrl_ray.env.own.benchmark import held_over
from finrl_ray.errors import ConfigError
from finrl_ray.support.text import did_you_mean

PER_DAY = ("account_value", "cash", "gross_value", "benchmark_value")
"""Keys of an account history with one number for each of its D days."""
PER_STEP = ("rewards", "cost", "traded_amount")
"""Keys with one number for each of its D - 1 steps."""
KEYS = ("dates", *PER_DAY, *PER_STEP, "trades", "n_trades", "initial_amount", "tickers")
"""Everything that an account history can say; `account_value` alone is needed."""


class AccountWindow:
    """The window that accounts are about, and buy & hold over it, computed once.

    Parameters
    ----------
    market : T rows
    config : initial amount and costs of buy & hold
    where : what messages name, such as `MyEnv (my_env.py, line 12)`

    Attributes
    ----------
    covered : first row of the latest account, and the row after its last, before it was made one of
        the whole window
    """

    def __init__(self, market: MarketData, config: EnvConfig, where: str) -> None:
        self.market, self.config, self.where = market, config, where
        self._held: FloatArray | None = None
        self.covered = (0, market.n_periods)

    @property
    def held(self) -> FloatArray:
        """Buy & hold of all T days, begun with `config.initial_amount`, of shape (T,)."""
        if self._held is None:
            self._held = held_over(self.market, self.config)
        return self._held

    def history(
        self, given: Any, rewards: Sequence[float] = (), *, whole: bool = True, ended: bool = False
    ) -> AccountHistory:
        """Return the account of one episode.

        Parameters
        ----------
        given : an AccountHistory; a mapping or frame with some of `KEYS`; or account values alone
        rewards : of the episode's steps, where `given` has none
        whole : make it an account of all T days, beside buy & hold
        ended : whether the episode may have ended before its window; else an account without dates
            must have a value for each of the T days

        Raises
        ------
        ConfigError
            Saying what of the account is not as it must be.
        """
        history = given
        if not isinstance(given, AccountHistory):
            history = self._read(self._as_mapping(given), rewards, ended or not whole)
        first = self._first_row(history.dates)
        self.covered = (first, first + len(history.dates))
        return self._over_the_window(history, first) if whole else history

    def _refuse(self, what: str) -> ConfigError:
        return ConfigError(f"info['account_history'] of {self.where}: {what}")

    def _as_mapping(self, given: Any) -> dict[str, Any]:
        if hasattr(given, "columns") and hasattr(given, "to_numpy"):
            given = {str(name): given[name].to_numpy() for name in given.columns}
        if not isinstance(given, Mapping):
            if isinstance(given, str) or not hasattr(given, "__len__"):
                raise self._refuse(
                    "must be an AccountHistory, a mapping with account_value, or the account "
                    f"values, got a {type(given).__name__}"
                )
            given = {"account_value": given}
        content = {str(key): value for key, value in given.items() if value is not None}
        if "date" in content:
            content.setdefault("dates", content.pop("date"))
        unknown = [key for key in content if key not in KEYS]
        if unknown:
            hint = did_you_mean(unknown[0], KEYS)
            raise self._refuse(f"has the key {unknown[0]!r}, and may have {', '.join(KEYS)}.{hint}")
        if "account_value" not in content:
            raise self._refuse("must have account_value, the account's value on each day")
        return content

    def _read(
        self, content: dict[str, Any], rewards: Sequence[float], ended: bool
    ) -> AccountHistory:
        value = self._numbers(content, "account_value", None)
        assert value is not None
        n_days = len(value)
        if n_days < 2:
            raise self._refuse(f"must have 2 days or more, got {n_days}")
        dates = self._dates(content.get("dates"), n_days, ended)
        daily = {name: self._numbers(content, name, n_days) for name in PER_DAY[1:]}
        paid = {name: self._numbers(content, name, n_days - 1) for name in PER_STEP}
        own = np.zeros(n_days - 1)
        own[: len(rewards)] = list(rewards)[: n_days - 1]
        trades = content.get("trades")
        return AccountHistory(
            dates=dates,
            tickers=tuple(content.get("tickers", self.market.tickers)),
            account_value=value,
            cash=daily["cash"],
            rewards=own if paid["rewards"] is None else paid["rewards"],
            trades=None if trades is None else self._trades(trades, n_days - 1),
            cost=paid["cost"],
            traded_amount=paid["traded_amount"],
            n_trades=int(content["n_trades"]) if "n_trades" in content else None,
            initial_amount=float(content.get("initial_amount", value[0])),
            benchmark_value=daily["benchmark_value"],
            gross_value=daily["gross_value"],
        )

    def _numbers(
        self, content: Mapping[str, Any], name: str, length: int | None
    ) -> FloatArray | None:
        if name not in content:
            return None
        try:
            values = np.array(content[name], dtype=np.float64)
        except (TypeError, ValueError):
            raise self._refuse(f"{name} must hold numbers, got {content[name]!r:.80}") from None
        if values.ndim != 1 or (length is not None and len(values) != length):
            rule = "one number per day" if name in PER_DAY else "one number per step"
            wanted = "" if length is None else f", {length} of them"
            raise self._refuse(f"{name} must have {rule}{wanted}, got shape {values.shape}")
        bad = np.flatnonzero(~np.isfinite(values))
        if bad.size:
            raise self._refuse(f"{name}[{bad[0]}] must be a finite number, got {values[bad[0]]}")
        return values

    def _trades(self, trades: Any, n_steps: int) -> FloatArray:
        values = np.array(trades, dtype=np.float64)
        shape = (n_steps, self.market.n_assets)
        if values.shape != shape:
            raise self._refuse(
                f"trades must be the shares traded per step and ticker, of shape {shape}, got "
                f"{values.shape}"
            )
        return values

    def _dates(self, given: Any, n_days: int, ended: bool) -> DateArray:
        own, n_rows = self.market.dates, self.market.n_periods
        if given is None:
            if n_days == n_rows or (ended and n_days < n_rows):
                return own[:n_days].copy()
            raise self._refuse(
                f"has {n_days} values and the window {n_rows} days, so that nobody knows which "
                "day a value belongs to; give dates too, one per value, or a value for each day"
            )
        dates = as_dates(given, self._refuse)
        if len(dates) != n_days:
            raise self._refuse(f"dates must have one per value, {n_days}, got {len(dates)}")
        return dates

    def _first_row(self, dates: DateArray) -> int:
        """Return the row of the window that an account begins on; its rows must be the window's."""
        own = self.market.dates
        first = int(np.searchsorted(own, dates[0]))
        same = own[first : first + len(dates)]
        if len(same) != len(dates) or (same != dates).any():
            wrong = next(
                (date for date in dates if date not in own),
                dates[-1],
            )
            raise self._refuse(
                "dates must be days of the window, one after the other and none left out "
                f"({date_label(own[0])} to {date_label(own[-1])}), got {date_label(dates[0])} to "
                f"{date_label(dates[-1])} with {date_label(wrong)}"
            )
        return first

    def _over_the_window(self, history: AccountHistory, first: int) -> AccountHistory:
        n_rows = self.market.n_periods
        pad = (first, n_rows - first - len(history.dates))

        def daily(values: FloatArray | None) -> FloatArray | None:
            return None if values is None else np.pad(values, pad, "edge")

        def per_step(values: FloatArray | None) -> FloatArray | None:
            return None if values is None else np.pad(values, pad)

        value, rewards = daily(history.account_value), per_step(history.rewards)
        assert value is not None
        assert rewards is not None
        benchmark = daily(history.benchmark_value)
        if benchmark is None:
            held = self.held * (value[0] / self.config.initial_amount)
            benchmark = held if bool((held > 0).all()) else None
        trades = history.trades
        return replace(
            history,
            dates=self.market.dates.copy(),
            account_value=value,
            cash=daily(history.cash),
            rewards=rewards,
            trades=None if trades is None else np.pad(trades, (pad, (0, 0))),
            cost=per_step(history.cost),
            traded_amount=per_step(history.traded_amount),
            benchmark_value=benchmark,
            gross_value=daily(history.gross_value),
        )


def noted_date(date: Any) -> Any:
    """Return a day of an info as plain text or a number, of which a checkpoint keeps all."""
    import pandas as pd

    if isinstance(date, str):
        return str(date)
    if isinstance(date, numbers.Number):
        return date.item() if isinstance(date, np.generic) else date
    try:
        stamp = pd.Timestamp(date).tz_localize(None).as_unit("ns")
        return stamp.isoformat(timespec="nanoseconds")
    except (ValueError, TypeError, OverflowError):
        return str(date)


def as_dates(given: Any, refuse: Any) -> DateArray:
    """Return dates, texts or time stamps as datetime64[ns], increasing.

    Raises
    ------
    ConfigError
        As `refuse`, which makes the error of a sentence, makes it.
    """
    import pandas as pd

    try:
        stamps = pd.DatetimeIndex(pd.to_datetime(np.asarray(list(given))))
    except (ValueError, TypeError) as error:
        raise refuse(f"dates must hold dates, got {given!r:.80} ({error})") from None
    dates = stamps.tz_localize(None).to_numpy(dtype="datetime64[ns]")
    if (np.diff(dates) <= np.timedelta64(0, "ns")).any():
        raise refuse("dates must be increasing, each once")
    return dates
