"""What schedulers and searchers compare trials by."""

import math
from typing import Any

from finrl_ray.config.experiment import ExperimentConfig

METRIC = "objective"
# finite, because percentiles between infinities are NaN; below every measure of an account
WORST = -1e9


def time_attr(config: ExperimentConfig) -> str:
    """Return what schedulers count: timesteps, or whole paths where trials train several times."""
    return "paths" if config.validation.has_paths else "timesteps"


def full_budget(config: ExperimentConfig) -> int:
    """Return how far a trial goes that nobody stops, in the unit of `time_attr`."""
    return config.validation.n_paths if config.validation.has_paths else whole_timesteps(config)


def whole_timesteps(config: ExperimentConfig) -> int:
    """Return the timesteps of a trial that nobody stops, at least."""
    return config.agent.total_timesteps * config.validation.n_trainings


def finite(result: dict[str, Any]) -> dict[str, Any]:
    """Return a result whose objective can be compared: NaN and infinities are as bad as can be.

    Ray's schedulers compare NaN with `<`, so that a trial without a Sharpe ratio would never be
    stopped.
    """
    if math.isfinite(result.get(METRIC, 0.0)):
        return result
    return {**result, METRIC: WORST}
