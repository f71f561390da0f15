"""Names of metrics: those of the package, and import paths of the user's own."""

from collections.abc import Sequence
from typing import Any

from finrl_ray.config.checks import require
from finrl_ray.metrics.registry import METRICS, OTHER_MEASURES
from finrl_ray.own_code.reference import is_reference
from finrl_ray.support.text import did_you_mean


def check_metric_name(key: str, metric: Any, further: Sequence[str] = ()) -> None:
    """Raise ConfigError unless a value names a measure of the package or one of the user's own.

    Parameters
    ----------
    key : that has the value
    metric : the value
    further : other texts that the key takes
    """
    choices = (*METRICS, *further)
    require(
        isinstance(metric, str) and (metric in choices or is_reference(metric, "metric")),
        f"{key} must be one of {', '.join(map(repr, choices))}, or the import path of your own, "
        f"such as 'my_metric:metric', got {metric!r}.{did_you_mean(str(metric), choices)}",
    )


def is_own_metric(metric: str) -> bool:
    """Return whether the name of a metric, checked before, is that of one of the user's own."""
    known = metric in METRICS or metric in OTHER_MEASURES
    return not known and is_reference(metric, "metric")
