"""What a reward function can ask for, by the names of its arguments, with shape and unit.

All of it belongs to one step of E accounts with N tickers: from one close to the next.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import Literal

import numpy as np

from finrl_ray._typing import AnyArray, DateArray, FloatArray, IntArray

RECENT_DAYS = 252
"""Columns of `recent_account_values`."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Position:
    """Where E accounts stand at a close.

    Parameters
    ----------
    account_value, cash : arrays of shape (E,), currency
    shares, close : arrays of shape (E, N), shares and currency per share
    peak : array of shape (E,), currency
        Highest account value at any close of the episode so far, this one included.
    benchmark_value : array of shape (E,), currency, or of shape (0,) where nobody asks for it
    """

    account_value: FloatArray
    cash: FloatArray
    shares: FloatArray
    close: FloatArray
    peak: FloatArray
    benchmark_value: FloatArray

    @property
    def weights(self) -> FloatArray:
        """Value of each position as a share of the account, of shape (E, N)."""
        weights: FloatArray = self.shares * self.close / self.account_value[:, np.newaxis]
        return weights

    @property
    def drawdown(self) -> FloatArray:
        """Fraction by which the account is below its peak, <= 0, of shape (E,)."""
        drawdown: FloatArray = self.account_value / self.peak - 1.0
        return drawdown


@dataclass(frozen=True, eq=False, kw_only=True)
class RewardedStep:
    """One step of E accounts, from one close to the next.

    Parameters
    ----------
    before, after : at the two closes
    trades : array of shape (E, N), shares that changed hands, sells negative
    cost, traded_amount : arrays of shape (E,), currency
    step : array of shape (E,), 1 in the first step of an episode
    day : array of shape (E,), row of the window that the step leads to
    date : array of shape (E,), datetime64[ns], of that row
    account_values : E arrays, the account values of the episode so far or those of the latest
        RECENT_DAYS, currency
    """

    before: Position
    after: Position
    trades: FloatArray
    cost: FloatArray
    traded_amount: FloatArray
    step: IntArray
    day: IntArray
    date: DateArray
    account_values: tuple[FloatArray, ...]

    @property
    def recent_account_values(self) -> FloatArray:
        """The latest account values, oldest first, of shape (E, RECENT_DAYS)."""
        recent = np.empty((len(self.step), RECENT_DAYS))
        for row, values in zip(recent, self.account_values, strict=True):
            known = values[-RECENT_DAYS:]
            row[: RECENT_DAYS - len(known)] = known[0]
            row[RECENT_DAYS - len(known) :] = known
        return recent

    def of_accounts(self, chosen: IntArray) -> "RewardedStep":
        """Return the step of some of the accounts, in this order."""
        return RewardedStep(
            before=_position_of(self.before, chosen),
            after=_position_of(self.after, chosen),
            trades=self.trades[chosen],
            cost=self.cost[chosen],
            traded_amount=self.traded_amount[chosen],
            step=self.step[chosen],
            day=self.day[chosen],
            date=self.date[chosen],
            account_values=tuple(self.account_values[index] for index in chosen.tolist()),
        )


def _position_of(position: Position, chosen: IntArray) -> Position:
    return Position(**{one.name: getattr(position, one.name)[chosen] for one in fields(Position)})


@dataclass(frozen=True, kw_only=True, slots=True)
class Term:
    """One argument of reward functions.

    Parameters
    ----------
    shape : E accounts, N tickers
    unit : of its numbers
    text : what it is, as the docs say it
    of : takes it from a step
    """

    shape: Literal["(E,)", "(E, N)", "(E, 252)"]
    unit: str
    text: str
    of: Callable[[RewardedStep], AnyArray]


TERMS: Mapping[str, Term] = MappingProxyType(
    {
        "account_value": Term(
            shape="(E,)",
            unit="currency",
            text="cash and positions at the close that the step leads to, after all costs; > 0",
            of=lambda step: step.after.account_value,
        ),
        "account_value_before": Term(
            shape="(E,)",
            unit="currency",
            text="the same at the close before, on which the agent acted; > 0",
            of=lambda step: step.before.account_value,
        ),
        "cash": Term(
            shape="(E,)",
            unit="currency",
            text="cash after the step",
            of=lambda step: step.after.cash,
        ),
        "cash_before": Term(
            shape="(E,)",
            unit="currency",
            text="cash before the step",
            of=lambda step: step.before.cash,
        ),
        "shares": Term(
            shape="(E, N)",
            unit="shares",
            text="shares held after the step; below 0 they are owed (`short`)",
            of=lambda step: step.after.shares,
        ),
        "shares_before": Term(
            shape="(E, N)",
            unit="shares",
            text="shares held before the step's trades",
            of=lambda step: step.before.shares,
        ),
        "weights": Term(
            shape="(E, N)",
            unit="share of the account",
            text="`shares * close / account_value`",
            of=lambda step: step.after.weights,
        ),
        "weights_before": Term(
            shape="(E, N)",
            unit="share of the account",
            text="`shares_before * close_before / account_value_before`",
            of=lambda step: step.before.weights,
        ),
        "close": Term(
            shape="(E, N)",
            unit="currency per share",
            text="prices at the close that the step leads to",
            of=lambda step: step.after.close,
        ),
        "close_before": Term(
            shape="(E, N)",
            unit="currency per share",
            text="prices at the close before",
            of=lambda step: step.before.close,
        ),
        "benchmark_value": Term(
            shape="(E,)",
            unit="currency",
            text="equal-weight buy & hold begun with the episode, with the same amount and costs; "
            "> 0",
            of=lambda step: step.after.benchmark_value,
        ),
        "benchmark_value_before": Term(
            shape="(E,)",
            unit="currency",
            text="the same at the close before",
            of=lambda step: step.before.benchmark_value,
        ),
        "trades": Term(
            shape="(E, N)",
            unit="shares",
            text="shares that changed hands in the step, sells negative",
            of=lambda step: step.trades,
        ),
        "traded_amount": Term(
            shape="(E,)",
            unit="currency",
            text="bought plus sold in the step, without costs",
            of=lambda step: step.traded_amount,
        ),
        "cost": Term(
            shape="(E,)",
            unit="currency",
            text="paid in the step for trades and for borrowed shares",
            of=lambda step: step.cost,
        ),
        "drawdown": Term(
            shape="(E,)",
            unit="fraction",
            text="`account_value` over its highest of the episode so far, less 1; <= 0",
            of=lambda step: step.after.drawdown,
        ),
        "drawdown_before": Term(
            shape="(E,)",
            unit="fraction",
            text="the same at the close before",
            of=lambda step: step.before.drawdown,
        ),
        "recent_account_values": Term(
            shape="(E, 252)",
            unit="currency",
            text="the latest account values of the episode, oldest first, `account_value` last; "
            "before the episode's start its first value",
            of=lambda step: step.recent_account_values,
        ),
        "step": Term(
            shape="(E,)",
            unit="whole number",
            text="steps of the episode so far: 1 in the first",
            of=lambda step: step.step,
        ),
        "day": Term(
            shape="(E,)",
            unit="whole number",
            text="row of the window that the step leads to",
            of=lambda step: step.day,
        ),
        "date": Term(
            shape="(E,)",
            unit="datetime64[ns]",
            text="date of that row",
            of=lambda step: step.date,
        ),
    }
)
"""The arguments by name, in the order of the docs."""

BENCHMARK_TERMS = frozenset({"benchmark_value", "benchmark_value_before"})
