"""The config's scheduler and searcher as Ray Tune's."""

from typing import TYPE_CHECKING, Any

from ray.tune.schedulers import AsyncHyperBandScheduler, FIFOScheduler, TrialScheduler
from ray.tune.search import ConcurrencyLimiter, SearchAlgorithm, Searcher
from ray.tune.search.basic_variant import BasicVariantGenerator

from finrl_ray.config import ExperimentConfig

if TYPE_CHECKING:
    from ray.tune.execution.tune_controller import TuneController
    from ray.tune.experiment import Trial

METRIC = "objective"
TIME_ATTR = "timesteps"


def grace_period(config: ExperimentConfig) -> int:
    """Return the timesteps before a trial may be stopped: as configured, else an eighth."""
    grace = config.search.scheduler.grace_period
    return grace if grace is not None else max(1, config.agent.total_timesteps // 8)


def make_scheduler(config: ExperimentConfig, space: Any = None) -> TrialScheduler:
    """Return the scheduler; its resource is env timesteps, its metric `objective`, maximised."""
    settings = config.search.scheduler
    if settings.type == "fifo":
        return FIFOScheduler()
    return AshaScheduler(
        time_attr=TIME_ATTR,
        max_t=config.agent.total_timesteps,
        grace_period=grace_period(config),
        reduction_factor=settings.reduction_factor,
        # the trial itself knows when its budget is spent, and says so
        stop_last_trials=False,
    )


def make_searcher(
    config: ExperimentConfig, max_concurrent_trials: int
) -> SearchAlgorithm | Searcher:
    """Return the searcher, seeded from the experiment's seed, with its limit of trials at once."""
    if config.search.searcher == "random":
        # Ray's own max_concurrent_trials does not reach a generator that is passed in
        return BasicVariantGenerator(random_state=config.seed, max_concurrent=max_concurrent_trials)
    import optuna
    from ray.tune.search.optuna import OptunaSearch

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return ConcurrencyLimiter(OptunaSearch(seed=config.seed), max_concurrent_trials)


class AshaScheduler(AsyncHyperBandScheduler):
    """Ray's ASHA that remembers at which rung it stopped each trial, for the table."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.stopped_at: dict[str, int] = {}

    def on_trial_result(
        self, tune_controller: "TuneController", trial: "Trial", result: dict[str, Any]
    ) -> str:
        """Decide as ASHA does; note the rung of a stop."""
        bracket = self._trial_info[trial.trial_id]
        action = super().on_trial_result(tune_controller, trial, result)
        if action == TrialScheduler.STOP:
            rungs = [int(m) for m, recorded in bracket._rungs if trial.trial_id in recorded]
            self.stopped_at[trial.trial_id] = max(rungs, default=int(result[TIME_ATTR]))
        return action


def stop_reason(scheduler: TrialScheduler, trial_id: str) -> str:
    """Return in words at which rung a trial was stopped, or an empty text if it was not."""
    rung = getattr(scheduler, "stopped_at", {}).get(trial_id)
    return "" if rung is None else f"stopped by asha at {rung:,}"


def trial_label(trial: "Trial") -> str:
    """Return the name under which a trial appears in Ray's screens and folders."""
    return f"trial_{trial.trial_id}"
