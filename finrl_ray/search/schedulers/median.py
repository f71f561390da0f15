"""The median stopping rule (`search.scheduler.type: median`)."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ray.tune.schedulers import TrialScheduler

from finrl_ray.cluster.scheduler_internals import MedianHooks, time_attr_of
from finrl_ray.config.experiment import ExperimentConfig
from finrl_ray.config.schedulers import MedianConfig
from finrl_ray.search.sampling.domains import Domain
from finrl_ray.search.sampling.objective import METRIC, finite, time_attr
from finrl_ray.search.schedulers.default_times import eighth_unless_given

if TYPE_CHECKING:
    from ray.tune.experiment import Trial

    from finrl_ray.cluster.tune_internals import TuneController


class MedianScheduler(MedianHooks):
    """Ray's median stopping rule that remembers where it stopped each trial.

    Ray's lets a trial yield to waiting ones until there are enough results to compare with; here it
    goes on, because a pause costs a checkpoint and a start.
    """

    name = "median"

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.stopped_at: dict[str, int] = {}

    def on_trial_result(
        self, tune_controller: "TuneController", trial: "Trial", result: dict[str, Any]
    ) -> str:
        """Decide by the rule; note the timestep of a stop."""
        unit = time_attr_of(self)
        steps = int(result[unit])
        # a trial that crashed reports again what came after its checkpoint
        self.forget_results_from(trial, steps)
        kept = {name: finite(result)[name] for name in (unit, METRIC)}
        action = super().on_trial_result(tune_controller, trial, kept)
        if action == TrialScheduler.STOP:
            self.stopped_at[trial.trial_id] = steps
        return action

    def on_trial_complete(
        self, tune_controller: "TuneController", trial: "Trial", result: dict[str, Any]
    ) -> None:
        """Do nothing: the last result is known; Ray's rule would count it twice."""

    def on_insufficient_samples(
        self, tune_controller: "TuneController", trial: "Trial", time: float
    ) -> str:
        """Let the trial go on."""
        return str(TrialScheduler.CONTINUE)


def make(config: ExperimentConfig, space: Mapping[str, Domain]) -> TrialScheduler:
    """Return the scheduler of a config whose type is `median`."""
    options = config.search.scheduler
    assert isinstance(options, MedianConfig)
    return MedianScheduler(
        time_attr=time_attr(config),
        grace_period=eighth_unless_given(config, options.grace_period),
        min_samples_required=options.min_samples,
    )
