"""What a metric of the user's own is told of an account, by name, with shape and unit."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from finrl_ray._typing import DateArray, FloatArray
from finrl_ray.metrics.returns import simple_returns

UNDEFINED_OWN = -1e9
"""Objective where an own metric is no number: finite, and worse than agents get in practice."""


@dataclass(frozen=True, kw_only=True, eq=False)
class MeasuredAccount:
    """One account over D days, with what is known of it.

    Parameters
    ----------
    account_value : array of shape (D,), currency
    periods_per_year : periods/year
    risk_free_rate : 1/year
    dates : array of shape (D,), datetime64[ns]; None where it is not known, like the others
    benchmark_value : array of shape (D,), currency: equal-weight buy & hold of the same days
    cash, position_value : arrays of shape (D,), currency
    cost, traded_amount : arrays of shape (D - 1,), currency
    n_trades : number
    """

    account_value: FloatArray
    periods_per_year: float
    risk_free_rate: float
    dates: DateArray | None = None
    benchmark_value: FloatArray | None = None
    cash: FloatArray | None = None
    position_value: FloatArray | None = None
    cost: FloatArray | None = None
    traded_amount: FloatArray | None = None
    n_trades: int | None = None

    @property
    def returns(self) -> FloatArray:
        """Simple returns per period, of shape (D - 1,)."""
        return simple_returns(self.account_value)

    @property
    def benchmark_returns(self) -> FloatArray | None:
        """Those of buy & hold."""
        return None if self.benchmark_value is None else simple_returns(self.benchmark_value)


@dataclass(frozen=True, kw_only=True, slots=True)
class MetricTerm:
    """One argument of metrics.

    Parameters
    ----------
    shape : D days; empty for a single number
    unit : of its numbers
    text : what it is, as the docs say it
    of : takes it from an account; None where it is not known
    """

    shape: str
    unit: str
    text: str
    of: Callable[[MeasuredAccount], Any]


METRIC_TERMS: Mapping[str, MetricTerm] = MappingProxyType(
    {
        "account_value": MetricTerm(
            shape="(D,)",
            unit="currency",
            text="cash and positions at the start and after each period",
            of=lambda account: account.account_value,
        ),
        "returns": MetricTerm(
            shape="(D - 1,)",
            unit="fraction",
            text="simple returns of the account per period",
            of=lambda account: account.returns,
        ),
        "benchmark_value": MetricTerm(
            shape="(D,)",
            unit="currency",
            text="equal-weight buy & hold of the same days, with the same amount and costs",
            of=lambda account: account.benchmark_value,
        ),
        "benchmark_returns": MetricTerm(
            shape="(D - 1,)",
            unit="fraction",
            text="its simple returns per period",
            of=lambda account: account.benchmark_returns,
        ),
        "dates": MetricTerm(
            shape="(D,)",
            unit="datetime64[ns]",
            text="of the account values",
            of=lambda account: account.dates,
        ),
        "cash": MetricTerm(
            shape="(D,)",
            unit="currency",
            text="cash at each close",
            of=lambda account: account.cash,
        ),
        "position_value": MetricTerm(
            shape="(D,)",
            unit="currency",
            text="what the positions are worth at each close; shares that are owed count too; >= 0",
            of=lambda account: account.position_value,
        ),
        "traded_amount": MetricTerm(
            shape="(D - 1,)",
            unit="currency",
            text="bought plus sold in each step, without costs",
            of=lambda account: account.traded_amount,
        ),
        "cost": MetricTerm(
            shape="(D - 1,)",
            unit="currency",
            text="paid in each step for trades and for borrowed shares",
            of=lambda account: account.cost,
        ),
        "n_trades": MetricTerm(
            shape="",
            unit="whole number",
            text="trades in the episode",
            of=lambda account: account.n_trades,
        ),
        "periods_per_year": MetricTerm(
            shape="",
            unit="periods/year",
            text="as `evaluation.periods_per_year` has it, or the dates",
            of=lambda account: account.periods_per_year,
        ),
        "risk_free_rate": MetricTerm(
            shape="",
            unit="1/year",
            text="`evaluation.risk_free_rate`",
            of=lambda account: account.risk_free_rate,
        ),
    }
)
"""The arguments by name, in the order of the docs."""
