"""The config's scheduler as Ray Tune's, in timesteps or paths, with what it decided and where.

The scheduler of each `search.scheduler.type` is in the file of this folder that bears its name, and
its function `make` returns it.
"""

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING

from ray.tune.schedulers import PopulationBasedTraining, TrialScheduler

from finrl_ray.cluster.scheduler_internals import held_checkpoints, time_attr_of
from finrl_ray.config.experiment import ExperimentConfig
from finrl_ray.config.search import SEARCHERS
from finrl_ray.search.sampling.domains import Domain
from finrl_ray.search.sampling.objective import METRIC

if TYPE_CHECKING:
    from ray.tune.experiment import Trial

__all__ = [
    "METRIC",
    "donor_checkpoints",
    "make_scheduler",
    "samples_all_first",
    "stop_reason",
    "trial_label",
]


def make_scheduler(config: ExperimentConfig, space: Mapping[str, Domain]) -> TrialScheduler:
    """Return the scheduler; its time is env timesteps, and metric and mode come from TuneConfig.

    Raises
    ------
    ConfigError
        If a mutation of `pbt` or `pb2` cannot change during training, or an extra is missing.
    """
    # only the one that is used: pb2 imports scikit-learn, which takes a second
    module = import_module(f"finrl_ray.search.schedulers.{config.search.scheduler.type}")
    scheduler: TrialScheduler = module.make(config, space)
    return scheduler


def samples_all_first(config: ExperimentConfig) -> bool:
    """Return whether all trials must be created before the first ends.

    HyperBand compares the trials of a bracket, and population based training those of the
    population, at the same timestep; they pause those that are ahead. HyperBand for BOHB fills its
    brackets as trials come, since BOHB learns from them.
    """
    return config.search.scheduler.pauses_trials and not SEARCHERS[config.search.searcher].at_rungs


def donor_checkpoints(scheduler: TrialScheduler) -> list[str]:
    """Return the paths of checkpoints that a scheduler may yet let another trial go on from."""
    if not isinstance(scheduler, PopulationBasedTraining):
        return []
    return [checkpoint.path for checkpoint in held_checkpoints(scheduler)]


def stop_reason(scheduler: TrialScheduler, trial_id: str) -> str:
    """Return in words where a scheduler stopped a trial; empty if it did not."""
    where: dict[str, int] = getattr(scheduler, "stopped_at", {})
    if trial_id not in where:
        return ""
    unit = "path " if time_attr_of(scheduler) == "paths" else ""
    return f"stopped by {scheduler.name} at {unit}{where[trial_id]:,}"  # type: ignore[attr-defined]  # with stopped_at


def trial_label(trial: "Trial") -> str:
    """Return the name under which a trial appears in Ray's screens and folders."""
    return f"trial_{trial.trial_id}"
