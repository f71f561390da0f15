"""Asynchronous successive halving (`search.scheduler.type: asha`)."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ray.tune.schedulers import AsyncHyperBandScheduler, TrialScheduler

from finrl_ray.cluster.scheduler_internals import (
    keep_rungs_in,
    next_rung,
    rungs_passed,
    time_attr_of,
)
from finrl_ray.config.experiment import ExperimentConfig
from finrl_ray.config.schedulers import AshaConfig
from finrl_ray.search.sampling.domains import Domain
from finrl_ray.search.sampling.objective import METRIC, finite, full_budget, time_attr
from finrl_ray.search.schedulers.default_times import eighth_unless_given
from finrl_ray.search.schedulers.packed_maps import PackedFloatMap, PackedIntMap
from finrl_ray.support.global_random import GlobalRandomState

if TYPE_CHECKING:
    from ray.tune.experiment import Trial

    from finrl_ray.cluster.tune_internals import TuneController


class AshaScheduler(AsyncHyperBandScheduler):
    """Ray's ASHA that remembers at which rung it stopped each trial.

    With several brackets Ray draws a trial's bracket from numpy's global generator; here from the
    experiment's seed.
    """

    name = "asha"

    def __init__(self, seed: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        keep_rungs_in(self, PackedFloatMap)
        self.stopped_at = PackedIntMap()
        self.random = GlobalRandomState(seed)

    def on_trial_add(self, tune_controller: "TuneController", trial: "Trial") -> None:
        """Put a trial into a bracket."""
        with self.random.active():
            super().on_trial_add(tune_controller, trial)

    def on_trial_result(
        self, tune_controller: "TuneController", trial: "Trial", result: dict[str, Any]
    ) -> str:
        """Decide as ASHA does; note the rung of a stop."""
        action = super().on_trial_result(tune_controller, trial, finite(result))
        if action == TrialScheduler.STOP:
            steps = int(result[time_attr_of(self)])
            self.stopped_at[trial.trial_id] = max(rungs_passed(self, trial.trial_id), default=steps)
        return action

    def asks_from(self, trial_id: str) -> float:
        """Return the time of the next rung that is to see a trial: ASHA passes results before it.

        Parameters
        ----------
        trial_id : of a trial that it was given
        """
        return next_rung(self, trial_id)

    def on_trial_complete(
        self, tune_controller: "TuneController", trial: "Trial", result: dict[str, Any]
    ) -> None:
        """Record the last result of a trial that ended by itself."""
        if METRIC in result:
            super().on_trial_complete(tune_controller, trial, finite(result))


def make(config: ExperimentConfig, space: Mapping[str, Domain]) -> TrialScheduler:
    """Return the scheduler of a config whose type is `asha`."""
    options = config.search.scheduler
    assert isinstance(options, AshaConfig)
    return AshaScheduler(
        config.seed,
        time_attr=time_attr(config),
        max_t=full_budget(config),
        grace_period=eighth_unless_given(config, options.grace_period),
        reduction_factor=options.reduction_factor,
        brackets=options.brackets,
        # the trial itself knows when its budget is spent, and says so
        stop_last_trials=False,
    )
