"""The winner beside buy & hold on one stretch of days: the numbers of the first screen."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from finrl_ray._typing import FloatArray
from finrl_ray.baselines.names import BUY_AND_HOLD
from finrl_ray.data.labels import date_label
from finrl_ray.errors import DataError
from finrl_ray.metrics.beside_benchmark import residual_returns
from finrl_ray.metrics.registry import performance_summary
from finrl_ray.metrics.returns import simple_returns
from finrl_ray.report.figures.accounts import validation_accounts
from finrl_ray.report.read_search import SearchReport
from finrl_ray.statistics.dependence import dependence_factor
from finrl_ray.statistics.sharpe_inference import annual_standard_error, estimate_sharpe

if TYPE_CHECKING:
    import pandas as pd

Days = Literal["test", "validation", "judged"]
"""The test window once it was opened, else the days on which the winner was chosen: the validation
window, or the days of the folds."""
Z_95 = 1.959964
"""Standard errors on each side of an estimate that hold 95 % of a normal distribution."""
_UNKNOWN: Mapping[str, float] = {}


@dataclass(frozen=True, kw_only=True)
class BesideMarket:
    """The winner's account and that of buy & hold, at the same costs on the same days.

    Parameters
    ----------
    days : which days these are
    span : the first and the last of them; empty where no curve has been written yet
    own, held : measures of the winner and of buy & hold by name, as `performance_summary` has them;
        what is not known is missing
    ratio_interval : bounds of the winner's annual appraisal ratio that hold it with 95 %; NaN where
        there are too few days or no curve
    """

    days: Days
    span: tuple[str, str] | tuple[()]
    own: Mapping[str, float]
    held: Mapping[str, float]
    ratio_interval: tuple[float, float] = (math.nan, math.nan)

    def value(self, measure: str) -> float:
        """Return a measure of the winner; NaN where it is not known."""
        return _number(self.own.get(measure))

    def held_value(self, measure: str) -> float:
        """Return a measure of buy & hold; NaN where it is not known."""
        return _number(self.held.get(measure))


def beside_market(search: SearchReport) -> BesideMarket | None:
    """Return the winner beside buy & hold; None where no trial can win, or none has yet.

    Of the test window once it was opened. Before, of the days on which the winner was chosen, which
    flatter it: of the first path where trials train several times.
    """
    if search.winner is None:
        return None
    opened, periods = search.backtest, search.folder.periods_per_year
    if opened is not None:
        curves = search.backtest_curves
        return BesideMarket(
            days="test",
            span=_span(curves),
            own=opened.measures["agent"],
            held=opened.measures.get(BUY_AND_HOLD, _UNKNOWN),
            ratio_interval=ratio_interval(curves, periods),
        )
    curves = validation_accounts(search)
    if search.folder.plan is not None:
        return _on_folds(search, curves, periods)
    return BesideMarket(
        days="validation",
        span=_span(curves),
        own=_named(search.winner_row),
        held=held_on_validation(search),
        ratio_interval=ratio_interval(curves, periods),
    )


def held_on_validation(search: SearchReport) -> dict[str, float]:
    """Return the measures of buy & hold on the validation window, by name."""
    rows = {str(row["strategy"]): row for row in search.baselines.to_dict("records")}
    return _named(rows.get(BUY_AND_HOLD, {}))


def _on_folds(search: SearchReport, curves: "pd.DataFrame | None", periods: float) -> BesideMarket:
    """Return both on the days of the folds, where the trial's row has means over trainings."""
    exposure = {"exposure": _number(search.winner_row.get("exposure"))}
    if curves is None:
        return BesideMarket(days="judged", span=(), own=_named(search.winner_row), held=_UNKNOWN)
    settings: dict[str, Any] = {
        "periods_per_year": periods,
        "risk_free_rate": search.folder.config.evaluation.risk_free_rate,
    }
    # the curves begin after the first day's return
    amount = search.folder.config.env.initial_amount
    own, held = (
        np.concatenate([[amount], curves[name].to_numpy(dtype=np.float64)])
        for name in ("agent", BUY_AND_HOLD)
    )
    return BesideMarket(
        days="judged",
        span=_span(curves),
        own={**performance_summary(own, benchmark_value=held, **settings), **exposure},
        held=performance_summary(held, benchmark_value=held, **settings),
        ratio_interval=_interval(simple_returns(own), simple_returns(held), periods),
    )


def ratio_interval(curves: "pd.DataFrame | None", periods_per_year: float) -> tuple[float, float]:
    """Return bounds that hold the true annual appraisal ratio with 95 %, per year.

    The estimate and 1.96 standard errors on each side, for returns with the skewness, kurtosis and
    dependence found (see `annual_standard_error`).

    Parameters
    ----------
    curves : account values, columns `agent` and `buy_and_hold`
    periods_per_year : periods/year
    """
    if curves is None or BUY_AND_HOLD not in curves or len(curves) < 2:
        return math.nan, math.nan
    both = curves[["agent", BUY_AND_HOLD]].dropna().to_numpy(dtype=np.float64)
    try:
        own, held = simple_returns(both[:, 0]), simple_returns(both[:, 1])
    except DataError:  # an account that has lost everything has no returns
        return math.nan, math.nan
    return _interval(own, held, periods_per_year)


def _interval(own: FloatArray, held: FloatArray, periods: float) -> tuple[float, float]:
    residual = residual_returns(own, held)
    estimate = estimate_sharpe(residual)
    if estimate.flag:
        return math.nan, math.nan
    ratio = estimate.sharpe * math.sqrt(periods)
    error = annual_standard_error(estimate, dependence_factor(residual), periods)
    return ratio - Z_95 * error, ratio + Z_95 * error


def _span(curves: "pd.DataFrame | None") -> tuple[str, str] | tuple[()]:
    if curves is None or not len(curves):
        return ()
    dates = curves["date"].to_numpy()
    return date_label(dates[0]), date_label(dates[-1])


def _named(row: Mapping[Any, Any]) -> dict[str, float]:
    return {str(name): _number(value) for name, value in row.items()}


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return math.nan
