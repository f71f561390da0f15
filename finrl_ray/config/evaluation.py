"""The `evaluation` section of the YAML: how often, and by which measure, agents are judged."""

from dataclasses import dataclass, field
from typing import Any, ClassVar

from finrl_ray.config.checks import FORBID_UNKNOWN, not_searched, require, require_numbers
from finrl_ray.config.search import Metric
from finrl_ray.config.trial.own_metrics import check_metric_name, is_own_metric
from finrl_ray.errors import ConfigError
from finrl_ray.own_code.reference import reference_of


@dataclass(frozen=True, kw_only=True, slots=True)
class EvaluationConfig:
    """How often, and by which measure, an agent is judged on the validation window."""

    __pydantic_config__: ClassVar[dict[str, Any]] = FORBID_UNKNOWN

    eval_freq: int = 2_000
    """Timesteps between evaluations; the last one always falls on the end of training, the only one
    if this is more than `agent.total_timesteps`."""
    metric: Metric | str = "sharpe_ratio"
    """What schedulers compare and searchers maximise (max_drawdown is <= 0, so it is maximised
    too). The winner is ranked by `search.rank_by`. Or your own, by import path: `my_metric:metric`
    (see docs/bring/metric.md)."""
    metric_kwargs: dict[str, Any] = field(
        default_factory=dict,
        metadata=not_searched("trials are compared by one measure, the same for all of them"),
    )
    """Keywords of your own `metric`, beside what it is told of an account."""
    periods_per_year: float | None = None
    """Bars in a year; null: from the spacing of the dates (252 for daily bars without weekends,
    365 with them; see docs/environment.md for bars within the day)."""
    risk_free_rate: float = 0.0
    """Simple annual rate."""
    index_column: str | None = None
    """One of `data.market_columns`, the level of an index, shown beside the other baselines."""
    max_no_improvement_evals: int | None = None
    """Stop training when more than this many evaluations in a row bring no new best, as SB3's
    StopTrainingOnNoModelImprovement does; null: never."""
    min_evals: int = 0
    """Evaluations before `max_no_improvement_evals` starts to count."""

    def __post_init__(self) -> None:
        require_numbers(self)
        if callable(self.metric):
            object.__setattr__(self, "metric", reference_of(self.metric, "metric"))
        check_metric_name("metric", self.metric)
        require(
            is_own_metric(self.metric) or not self.metric_kwargs,
            f"metric_kwargs are keywords of an own metric, and metric is {self.metric!r}; leave "
            f"out {dict(self.metric_kwargs)}, or name your function in metric",
        )
        require(self.eval_freq >= 1, f"eval_freq must be >= 1 timestep, got {self.eval_freq}")
        periods = self.periods_per_year
        require(
            periods is None or periods > 0, f"periods_per_year must be > 0 or null, got {periods}"
        )
        patience = self.max_no_improvement_evals
        require(
            patience is None or patience >= 1,
            f"max_no_improvement_evals must be >= 1 or null, got {patience}",
        )
        require(self.min_evals >= 0, f"min_evals must be >= 0, got {self.min_evals}")


def settled_periods_per_year(evaluation: EvaluationConfig) -> float:
    """Return `periods_per_year`, settled by `data.periods_per_year.with_periods_per_year`.

    Raises
    ------
    ConfigError
        If it is still null.
    """
    periods = evaluation.periods_per_year
    if periods is None:
        raise ConfigError(
            "evaluation.periods_per_year is still null; give it a number, or call "
            "with_periods_per_year(config, dates) first"
        )
    return periods


def earliest_stop(evaluation: EvaluationConfig) -> int:
    """Return the first evaluation, counted from 1, at which early stopping can end training.

    The first evaluation is always a new best, and those up to `min_evals` do not count.
    """
    patience = evaluation.max_no_improvement_evals
    if patience is None:
        raise ValueError("max_no_improvement_evals is null: early stopping is off")
    return max(evaluation.min_evals, 1) + patience + 1
