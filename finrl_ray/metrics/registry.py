"""All measures of an account: one list, which every other part of the package reads.

The choices of `evaluation.metric` and `search.objectives`, the callbacks, the tables, the reports
and the loggers take their measures from here. To add one, write its function in this file (or in
`finrl_ray.metrics.performance`, if other code calls it by name) and add a `Measure` to `MEASURES`;
then regenerate the reference pages.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, TypeAlias

import numpy as np

from finrl_ray._typing import FloatArray
from finrl_ray.errors import DataError
from finrl_ray.metrics.beside_benchmark import appraisal_ratio, beta, information_ratio
from finrl_ray.metrics.own import UNDEFINED_OWN
from finrl_ray.metrics.performance import (
    annual_return,
    annual_volatility,
    calmar_ratio,
    exposure,
    max_drawdown,
    sharpe_ratio,
    sortino_ratio,
    total_return,
    turnover,
)
from finrl_ray.metrics.returns import simple_returns

Mode: TypeAlias = Literal["max", "min"]
MeasureKind: TypeAlias = Literal["ratio", "return", "risk"]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class AccountCurve:
    """What measures are computed from: one account over T periods.

    Parameters
    ----------
    account_value : array of shape (T + 1,)
        Value at the start and after each period.
    returns : array of shape (T,)
        Simple returns per period; all infinite where the value is infinite anywhere, which makes
        every measure NaN.
    periods_per_year : periods/year
    risk_free_rate : 1/year
    benchmark_returns : array of shape (T,)
        Simple returns of buy & hold on the same periods at the same costs; None where they are not
        known, which makes the measures beside it NaN.
    """

    account_value: FloatArray
    returns: FloatArray
    periods_per_year: float
    risk_free_rate: float
    benchmark_returns: FloatArray | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Measure:
    """One measure of an account, and how it is judged and shown.

    Parameters
    ----------
    name : its key in results, tables and the config
    label : heading of its column
    title : what it is called in a sentence or at an axis
    format : Python's format of its values, `.2f` for a number or `.1%` for a fraction
    kind : a ratio of return and risk, a return or a risk; a ratio says little on few days
    mode : whether more or less of it is better; trials can be ranked by measures of `max`
    undefined : stands in for a value that is not a number where trials are compared: finite, and
        worse than agents get in practice
    function : computes it
    headline : whether tables with little room show it
    over_windows : its value over several windows, their mean or the worst of them
    """

    name: str
    label: str
    title: str
    format: str
    kind: MeasureKind
    mode: Mode
    undefined: float
    function: Callable[[AccountCurve], float]
    headline: bool = False
    over_windows: Literal["mean", "worst"] = "mean"


@dataclass(frozen=True, kw_only=True, slots=True)
class ShownMeasure:
    """A number beside the measures, which no trial is judged by: only how it is shown.

    Parameters are those of `Measure`.
    """

    name: str
    label: str
    format: str


def _appraisal_ratio(account: AccountCurve) -> float:
    if account.benchmark_returns is None:
        return float("nan")
    return appraisal_ratio(
        account.returns, account.benchmark_returns, periods_per_year=account.periods_per_year
    )


def _information_ratio(account: AccountCurve) -> float:
    if account.benchmark_returns is None:
        return float("nan")
    return information_ratio(
        account.returns, account.benchmark_returns, periods_per_year=account.periods_per_year
    )


def _by_name(measures: Iterable[Measure]) -> Mapping[str, Measure]:
    return MappingProxyType({measure.name: measure for measure in measures})


MEASURES: Mapping[str, Measure] = _by_name(
    (
        Measure(
            name="sharpe_ratio",
            label="Sharpe",
            title="Sharpe ratio",
            format=".2f",
            kind="ratio",
            mode="max",
            undefined=-10.0,
            function=lambda account: sharpe_ratio(
                account.returns,
                periods_per_year=account.periods_per_year,
                risk_free_rate=account.risk_free_rate,
            ),
            headline=True,
        ),
        Measure(
            name="appraisal_ratio",
            label="appraisal",
            title="appraisal ratio",
            format=".2f",
            kind="ratio",
            mode="max",
            undefined=-10.0,
            function=_appraisal_ratio,
            headline=True,
        ),
        Measure(
            name="information_ratio",
            label="information",
            title="information ratio",
            format=".2f",
            kind="ratio",
            mode="max",
            undefined=-10.0,
            function=_information_ratio,
        ),
        Measure(
            name="sortino_ratio",
            label="Sortino",
            title="Sortino ratio",
            format=".2f",
            kind="ratio",
            mode="max",
            undefined=-10.0,
            function=lambda account: sortino_ratio(
                account.returns,
                periods_per_year=account.periods_per_year,
                risk_free_rate=account.risk_free_rate,
            ),
        ),
        Measure(
            name="calmar_ratio",
            label="Calmar",
            title="Calmar ratio",
            format=".2f",
            kind="ratio",
            mode="max",
            undefined=-10.0,
            function=lambda account: calmar_ratio(
                account.returns, periods_per_year=account.periods_per_year
            ),
        ),
        Measure(
            name="max_drawdown",
            label="max DD",
            title="max drawdown",
            format=".1%",
            kind="risk",
            mode="max",  # it is <= 0
            undefined=-1.0,
            function=lambda account: max_drawdown(account.returns),
            headline=True,
            over_windows="worst",
        ),
        Measure(
            name="total_return",
            label="return",
            title="total return",
            format=".1%",
            kind="return",
            mode="max",
            undefined=-1.0,
            function=lambda account: total_return(account.returns),
            headline=True,
        ),
        Measure(
            name="annual_return",
            label="per year",
            title="annual return",
            format=".1%",
            kind="return",
            mode="max",
            undefined=-1.0,
            function=lambda account: annual_return(
                account.returns, periods_per_year=account.periods_per_year
            ),
        ),
        Measure(
            name="annual_volatility",
            label="volatility",
            title="annual volatility",
            format=".1%",
            kind="risk",
            mode="min",
            undefined=-10.0,
            function=lambda account: annual_volatility(
                account.returns, periods_per_year=account.periods_per_year
            ),
        ),
    )
)
"""The measures by name, in the order of results."""

SHOWN: Mapping[str, Measure | ShownMeasure] = MappingProxyType(
    {
        **MEASURES,
        "exposure": ShownMeasure(name="exposure", label="invested", format=".0%"),
        "beta": ShownMeasure(name="beta", label="beta", format=".2f"),
        "turnover": ShownMeasure(name="turnover", label="turnover / year", format=".2f"),
        "active_sharpe_ratio": ShownMeasure(
            name="active_sharpe_ratio", label="beyond buy & hold", format=".2f"
        ),
        "active_sharpe_se": ShownMeasure(
            name="active_sharpe_se", label="standard error", format=".2f"
        ),
    }
)
"""What tables can show of an account: the measures, and the numbers beside them."""

OTHER_MEASURES = ("n_trades", "mean_reward", "mean_ep_length", "objective")
"""What an evaluation records beside these: no own metric can have one of these names."""

METRICS: tuple[str, ...] = tuple(
    measure.name
    for kind in ("ratio", "return", "risk")
    for measure in MEASURES.values()
    if measure.kind == kind and measure.mode == "max"
)
"""Choices of `evaluation.metric` and `search.objectives`: what trials can be ranked by."""

BESIDE_BENCHMARK: tuple[str, ...] = ("appraisal_ratio", "information_ratio")
"""The measures that need buy & hold of the same days."""

HEADLINES: tuple[Measure, ...] = tuple(m for m in MEASURES.values() if m.headline)
"""The measures that tables with little room show."""


def shown_measure(metric: str) -> "Measure | ShownMeasure":
    """Return how a metric that the config names is shown, one of the user's own included."""
    name = measure_name(metric)
    return SHOWN.get(name) or ShownMeasure(name=name, label=name.replace("_", " "), format=".4g")


def leading_with(*names: str) -> tuple[Measure, ...]:
    """Return all measures, those of these names first and in this order."""
    first = [MEASURES[name] for name in names]
    return (*first, *(m for m in MEASURES.values() if m.name not in names))


def measure_name(metric: str) -> str:
    """Return the key of a metric in results and tables: of `my_metric:ulcer_index` the last part.

    Parameters
    ----------
    metric : as the config names it
    """
    return metric.rpartition(":")[2].rpartition(".")[2]


def undefined_value(metric: str) -> float:
    """Return what stands in for a metric that is not a number where trials are compared."""
    measure = MEASURES.get(metric)
    return UNDEFINED_OWN if measure is None else measure.undefined


def title_of(metric: str) -> str:
    """Return what a measure is called in a sentence; of an unknown one its name in words."""
    name = measure_name(metric)
    measure = MEASURES.get(name)
    return name.replace("_", " ") if measure is None else measure.title


def performance_summary(
    account_value: FloatArray,
    *,
    periods_per_year: float = 252.0,
    risk_free_rate: float = 0.0,
    traded_amount: FloatArray | None = None,
    position_value: FloatArray | None = None,
    benchmark_value: FloatArray | None = None,
) -> dict[str, float]:
    """Return every measure of one account curve, computed the same way wherever it is reported.

    Parameters
    ----------
    account_value : array of shape (T + 1,)
        Value at the start and after each period.
    periods_per_year : periods/year
    risk_free_rate : 1/year
    traded_amount : array of shape (T,), optional
        Adds the key `turnover`.
    position_value : array of shape (T + 1,), optional
        Adds the key `exposure`.
    benchmark_value : array of shape (T + 1,), optional
        Account value of buy & hold on the same days. Adds the key `beta`; without it the appraisal
        and the information ratio are NaN.

    Returns
    -------
    dict
        The keys of `MEASURES`, and those of what is given beside the curve. All NaN if the curve is
        infinite anywhere.

    Raises
    ------
    DataError
        As `simple_returns`, `turnover` and `exposure`; if the two curves are not of one length.
    """
    returns = simple_returns(account_value)
    if not np.isfinite(np.asarray(account_value)).all():
        returns = np.full(returns.shape, np.inf)
    benchmark = None if benchmark_value is None else simple_returns(benchmark_value)
    if benchmark is not None and benchmark.shape != returns.shape:
        raise DataError(
            f"benchmark_value must have one entry per day of the account, {returns.size + 1}, got "
            f"{benchmark.size + 1}"
        )
    account = AccountCurve(
        account_value=account_value,
        returns=returns,
        periods_per_year=periods_per_year,
        risk_free_rate=risk_free_rate,
        benchmark_returns=benchmark,
    )
    summary = {name: measure.function(account) for name, measure in MEASURES.items()}
    if traded_amount is not None:
        summary["turnover"] = turnover(
            traded_amount, account_value, periods_per_year=periods_per_year
        )
    if position_value is not None:
        summary["exposure"] = exposure(position_value, account_value)
    if benchmark is not None:
        summary["beta"] = beta(returns, benchmark)
    return summary
