"""What an evaluation measures, and the one number that it is judged by."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from finrl_ray._typing import DateArray, FloatArray
from finrl_ray.agents.rollout import Episode
from finrl_ray.data.periods_per_year import DAYS_OF_EXCHANGES, periods_per_year
from finrl_ray.errors import ConfigError, DataError
from finrl_ray.metrics.performance import is_constant, undefined_reason
from finrl_ray.metrics.registry import BESIDE_BENCHMARK, MEASURES, Mode, performance_summary
from finrl_ray.metrics.returns import simple_returns

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
    metric : one of `MODES`
    periods_per_year : periods/year; None: read from the dates of the longest account
    risk_free_rate : 1/year

    Raises
    ------
    ConfigError
        If `metric` is not known or a rate is not finite.
    """

    metric: str
    periods_per_year: float | None = None
    risk_free_rate: float = 0.0

    def __post_init__(self) -> None:
        if self.metric not in MODES:
            raise ConfigError(f"metric must be one of {', '.join(MODES)}, got {self.metric!r}")
        periods = self.periods_per_year
        if periods is not None and not 0 < periods < np.inf:
            raise ConfigError(f"periods_per_year must be > 0, got {periods}")
        if not np.isfinite(self.risk_free_rate):
            raise ConfigError(f"risk_free_rate must be finite, got {self.risk_free_rate}")

    def measure(self, episodes: Sequence[Episode]) -> tuple[dict[str, float], str]:
        """Return the means over the episodes, and why the metric is NaN (empty where it is not).

        Measures of the account are left out where the env gives none.

        Raises
        ------
        DataError
            If `periods_per_year` is needed, not given, and cannot be read from the dates.
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
            measures["objective"] = value if MODES[self.metric] == "max" else -value
            return measures, ""
        measures["objective"] = UNDEFINED_OBJECTIVE[self.metric]
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
        periods = self.periods_per_year
        summary = performance_summary(
            history.account_value,
            periods_per_year=DAYS_OF_EXCHANGES if periods is None else periods,
            risk_free_rate=self.risk_free_rate,
            traded_amount=history.traded_amount,
            position_value=_finite(history.position_value),
            benchmark_value=history.benchmark_value,
        )
        if history.n_trades is not None:
            summary["n_trades"] = float(history.n_trades)
        return summary

    def _reason(self, histories: "Sequence[AccountHistory]") -> str:
        if self.metric == REWARD_METRIC:
            return "a reward is not finite"
        bad = next(h for h in histories if not np.isfinite(self._summary(h)[self.metric]))
        if not np.isfinite(bad.account_value).all():
            return "the account value is infinite"
        if self.metric in BESIDE_BENCHMARK:
            if bad.benchmark_value is None:
                return "the env gives no buy & hold to compare the account with"
            if is_constant(simple_returns(bad.benchmark_value)):
                return "the returns of buy & hold are constant"
        return undefined_reason(simple_returns(bad.account_value))


def _finite(values: FloatArray | None) -> FloatArray | None:
    return values if values is not None and bool(np.isfinite(values).all()) else None
