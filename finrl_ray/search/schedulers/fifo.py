"""No early stop: every trial runs to its end (`search.scheduler.type: fifo`)."""

from collections.abc import Mapping

from ray.tune.schedulers import FIFOScheduler, TrialScheduler

from finrl_ray.config.experiment import ExperimentConfig
from finrl_ray.search.sampling.domains import Domain


def make(config: ExperimentConfig, space: Mapping[str, Domain]) -> TrialScheduler:
    """Return the scheduler of a config whose type is `fifo`."""
    return FIFOScheduler()
