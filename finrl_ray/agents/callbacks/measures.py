"""What an evaluation measures, and the one number that it is judged by."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from finrl_ray._typing import DateArray, FloatArray
from finrl_ray.agents.rollout import Episode
from finrl_ray.data.periods_per_year import DAYS_OF_EXCHANGES, periods_per_year
from finrl_ray.errors import ConfigError, DataError
from finrl_ray.metrics.own import UNDEFINED_OWN, MeasuredAccount
from finrl_ray.metrics.performance import is_constant, undefined_reason
from finrl_ray.metrics.registry import BESIDE_BENCHMARK, MEASURES, Mode, performance_summary
from finrl_ray.metrics.returns import simple_returns
from finrl_ray.own_code.metric import OwnMetric, load_metric
from finrl_ray.own_code.reference import is_reference

if TYPE_CHECKING:
    from finrl_ray.env.account_history import AccountHistory

logger = logging.getLogger(__name__)

REWARD_METRIC = "mean_reward"
"""SB3's own; the only one that needs no account."""

MODES: Mapping[str, Mode] = MappingProxyType(
    {**{name: measure.mode for name, measure in MEASURES.items()}, REWARD_METRIC: "max"}
)
"""Metrics that an agent can be judged by, and whether more or less of each is better."""

MEASURE_NAMES = (
    *MODES,
    "exposure",
    "beta",
    "turnover",
    "n_trades",
    "mean_ep_length",
    "objective",
)
"""Every measure of an evaluation."""

UNDEFINED_OBJECTIVE: Mapping[str, float] = MappingProxyType(
    {**{name: measure.undefined for name, measure in MEASURES.items()}, REWARD_METRIC: -1e9}
)
"""What a scheduler is told where the metric is NaN: finite, worse than agents get in practice."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Judge:
    """Turns finished episodes into measures.

    Parameters
    ----------
    metric : one of `MODES`, or the name of one of `own_metrics`
    periods_per_year : periods/year; None: read from the dates of the longest account
    risk_free_rate : 1/year
    own_metrics : of the user, measured beside those of the package

    Raises
    ------
    ConfigError
        If `metric` is not known or a rate is not finite.
    """

    metric: str
    periods_per_year: float | None = None
    risk_free_rate: float = 0.0
    own_metrics: tuple[OwnMetric, ...] = ()

    def __post_init__(self) -> None:
        if self.metric not in MODES and self.own is None:
            raise ConfigError(
                f"metric must be one of {', '.join(MODES)}, or your own (a function, or its import "
                f"path such as 'my_metric:metric'), got {self.metric!r}"
            )
        periods = self.periods_per_year
        if periods is not None and not 0 < periods < np.inf:
            raise ConfigError(f"periods_per_year must be > 0, got {periods}")
        if not np.isfinite(self.risk_free_rate):
            raise ConfigError(f"risk_free_rate must be finite, got {self.risk_free_rate}")

    @property
    def own(self) -> OwnMetric | None:
        """The user's metric by which agents are judged; None where it is one of the package."""
        return next((own for own in self.own_metrics if own.name == self.metric), None)

    @property
    def mode(self) -> Mode:
        """Whether more or less of the metric is better."""
        return MODES[self.metric] if self.own is None else self.own.mode

    def measure(self, episodes: Sequence[Episode]) -> tuple[dict[str, float], str]:
        """Return the means over the episodes, and why the metric is NaN (empty where it is not).

        Measures of the account are left out where the env gives none.

        Raises
        ------
        DataError
            If `periods_per_year` is needed, not given, and cannot be read from the dates.
        OwnCodeError
            If an own metric raises or returns no number.
        """
        measures: dict[str, float] = {}
        histories = [e.history for e in episodes if e.history is not None]
        if len(histories) == len(episodes):
            judge = self.settled_by(episodes)
            summaries = [judge._summary(history) for history in histories]
            names = [name for name in summaries[0] if all(name in s for s in summaries)]
            measures = {name: float(np.mean([s[name] for s in summaries])) for name in names}
        measures[REWARD_METRIC] = float(np.mean([episode.reward for episode in episodes]))
        measures["mean_ep_length"] = float(np.mean([episode.length for episode in episodes]))
        value = measures[self.metric]
        if np.isfinite(value):
            measures["objective"] = value if self.mode == "max" else -value
            return measures, ""
        measures["objective"] = UNDEFINED_OBJECTIVE.get(self.metric, UNDEFINED_OWN)
        return measures, f"{self.metric} is undefined: {self._reason(histories)}"

    def settled_by(self, episodes: Sequence[Episode]) -> "Judge":
        """Return `settled` with the dates of the longest account; this judge without accounts."""
        dates = [e.history.dates for e in episodes if e.history is not None]
        return self.settled(max(dates, key=len)) if dates else self

    def settled(self, dates: DateArray) -> "Judge":
        """Return this judge with a number of periods per year, its own or that of `dates`.

        Raises
        ------
        DataError
            If the dates follow no pattern and the metric depends on them.
        """
        if self.periods_per_year is not None:
            return self
        try:
            periods = periods_per_year(dates, "periods_per_year")
        except DataError as error:
            if self.metric != REWARD_METRIC:
                raise
            logger.warning(
                "annual measures are for %g periods a year: %s", DAYS_OF_EXCHANGES, error
            )
            periods = DAYS_OF_EXCHANGES
        return replace(self, periods_per_year=periods)

    def _summary(self, history: "AccountHistory") -> dict[str, float]:
        periods = DAYS_OF_EXCHANGES if self.periods_per_year is None else self.periods_per_year
        summary = performance_summary(
            history.account_value,
            periods_per_year=periods,
            risk_free_rate=self.risk_free_rate,
            traded_amount=history.traded_amount,
            position_value=_finite(history.position_value),
            benchmark_value=history.benchmark_value,
        )
        if history.n_trades is not None:
            summary["n_trades"] = float(history.n_trades)
        return summary | own_values(self.own_metrics, history, periods, self.risk_free_rate)

    def _reason(self, histories: "Sequence[AccountHistory]") -> str:
        if self.metric == REWARD_METRIC:
            return "a reward is not finite"
        bad = next(h for h in histories if not np.isfinite(self._summary(h)[self.metric]))
        if not np.isfinite(bad.account_value).all():
            return "the account value is infinite"
        if self.own is not None:
            missing = self.own.missing(measured_account(bad, DAYS_OF_EXCHANGES, 0.0))
            value = self._summary(bad)[self.metric]
            gave = f"the env gives no {' and no '.join(missing)}"
            return gave if missing else f"{self.own.who} returned {value!r}"
        if self.metric in BESIDE_BENCHMARK:
            if bad.benchmark_value is None:
                return "the env gives no buy & hold to compare the account with"
            if is_constant(simple_returns(bad.benchmark_value)):
                return "the returns of buy & hold are constant"
        return undefined_reason(simple_returns(bad.account_value))


def measured_account(
    history: "AccountHistory", periods_per_year: float, risk_free_rate: float
) -> MeasuredAccount:
    """Return an env's account as own metrics are told of it."""
    return MeasuredAccount(
        account_value=history.account_value,
        periods_per_year=periods_per_year,
        risk_free_rate=risk_free_rate,
        dates=history.dates,
        benchmark_value=history.benchmark_value,
        cash=history.cash,
        position_value=history.position_value,
        cost=history.cost,
        traded_amount=history.traded_amount,
        n_trades=history.n_trades,
    )


def own_values(
    own_metrics: Iterable[OwnMetric],
    history: "AccountHistory",
    periods_per_year: float,
    risk_free_rate: float,
) -> dict[str, float]:
    """Return what the user's metrics say of an account, by their names.

    Raises
    ------
    OwnCodeError
        If one of them raises or returns no number.
    """
    account = measured_account(history, periods_per_year, risk_free_rate)
    return {own.name: own.value(account) for own in own_metrics}


def judge_of(
    metric: Any,
    *,
    metric_kwargs: Mapping[str, Any] | None = None,
    own_metrics: Sequence[OwnMetric] = (),
    periods_per_year: float | None = None,
    risk_free_rate: float = 0.0,
) -> Judge:
    """Return a judge by a metric of the package or of the user.

    Parameters
    ----------
    metric : one of `MODES`, the reference of a user's metric, or the function itself
    metric_kwargs : keywords of the user's metric
    own_metrics : of the user, loaded already; measured whether or not `metric` is one of them
    periods_per_year, risk_free_rate : see `Judge`

    Raises
    ------
    ConfigError
        If the metric is not known, or is one of the user's and does not pass `check_metric`.
    """
    loaded = tuple(own_metrics)
    names = {own.reference: own.name for own in loaded}
    if callable(metric) or (metric not in names and is_reference(metric, "metric")):
        own = load_metric(metric, metric_kwargs or {})
        loaded, names[metric] = (own, *loaded), own.name
    elif metric_kwargs and metric not in names:
        raise ConfigError(
            f"metric_kwargs are keywords of an own metric, and metric is {metric!r}; leave out "
            f"{dict(metric_kwargs)}"
        )
    return Judge(
        metric=names.get(metric, metric),
        periods_per_year=periods_per_year,
        risk_free_rate=risk_free_rate,
        own_metrics=loaded,
    )


def _finite(values: FloatArray | None) -> FloatArray | None:
    return values if values is not None and bool(np.isfinite(values).all()) else None
