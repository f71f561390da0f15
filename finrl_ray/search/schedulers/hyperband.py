"""HyperBand, also as BOHB needs it (`search.scheduler.type: hyperband`)."""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ray.tune.schedulers import HyperBandForBOHB, TrialScheduler

from finrl_ray.cluster.scheduler_internals import Bracket, HyperBandHooks
from finrl_ray.config.experiment import ExperimentConfig
from finrl_ray.config.schedulers import HyperbandConfig
from finrl_ray.config.search import SEARCHERS
from finrl_ray.search.sampling.domains import Domain
from finrl_ray.search.sampling.objective import finite, full_budget, time_attr
from finrl_ray.search.schedulers.default_times import eighth_unless_given

if TYPE_CHECKING:
    from ray.tune.experiment import Trial

    from finrl_ray.cluster.tune_internals import TuneController


class _RecordingBracket(Bracket):
    """Bracket of HyperBand that notes at which milestone it sorted a trial out."""

    def __init__(self, stopped_at: dict[str, int], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.stopped_at = stopped_at

    def successive_halving(
        self, metric: str, metric_op: float
    ) -> tuple[list["Trial"], list["Trial"]]:
        milestone = self.next_milestone
        good, bad = super().successive_halving(metric, metric_op)
        self.stopped_at.update({trial.trial_id: milestone for trial in bad})
        return good, bad


class _HyperBandBase(HyperBandHooks):
    """What this package's two HyperBands have in common.

    Ray derives the number of brackets from `max_t`, which in timesteps would give brackets of
    thousands of trials that begin at one timestep. Here the boldest bracket begins at the grace
    period. Ray also stops looking at a bracket when a trial leaves it after the first rung, so that
    the others would wait for that trial for ever.
    """

    name = "hyperband"

    def __init__(self, *, unit: str, max_t: int, grace: int, reduction_factor: float) -> None:
        super().__init__(
            time_attr=unit,
            max_t=max_t,
            reduction_factor=reduction_factor,
            # the trial itself knows when its budget is spent, and says so
            stop_last_trials=False,
        )
        rungs = math.log(max_t / grace) / math.log(reduction_factor)
        self.n_brackets = math.floor(rungs + 1e-9) + 1
        self.stopped_at: dict[str, int] = {}

    def on_trial_result(
        self, tune_controller: "TuneController", trial: "Trial", result: dict[str, Any]
    ) -> str:
        """Decide as HyperBand does."""
        seen = finite(result)
        action = super().on_trial_result(tune_controller, trial, seen)
        if "hyperband_info" in seen:  # what BOHB learns its budget from
            result["hyperband_info"] = seen["hyperband_info"]
        return str(action)

    def on_trial_add(self, tune_controller: "TuneController", trial: "Trial") -> None:
        """Put a trial into the open bracket; into the next one if its trials are on their way."""
        if self.open_bracket is not None and self._is_closed(self.open_bracket):
            self.open_bracket = None
        super().on_trial_add(tune_controller, trial)

    def _is_closed(self, bracket: Bracket) -> bool:
        """Return whether all trials of a bracket have ended, so that none is left to compare."""
        return all(trial.is_finished() for trial in bracket.trials)

    def make_bracket(self, s: int) -> Bracket:
        """Return a bracket that notes where it sorts trials out."""
        return _RecordingBracket(self.stopped_at, **self.bracket_options(s))

    def process_bracket(self, tune_controller: "TuneController", bracket: Bracket) -> str:
        """Process a bracket until a rung lies before one of its trials."""
        action = super().process_bracket(tune_controller, bracket)
        while _no_trial_left_for_rung(bracket):
            again = super().process_bracket(tune_controller, bracket)
            action = action if action == TrialScheduler.STOP else again
        bracket.is_being_processed = False
        return action


def _no_trial_left_for_rung(bracket: Bracket) -> bool:
    """Return whether the next rung lies behind every trial: evaluations may be further apart."""
    trials: list[Trial] = bracket.current_trials()
    return bool(trials) and not any(bracket.continue_trial(trial) for trial in trials)


class HyperbandScheduler(_HyperBandBase):
    """HyperBand that fills its boldest bracket first: a small search may have no other."""

    def _is_closed(self, bracket: Bracket) -> bool:
        """Return whether trials of a bracket have ended or were sorted out."""
        return bracket.was_halved or any(trial.is_finished() for trial in bracket.trials)

    def make_bracket(self, s: int) -> Bracket:
        """Return the brackets in the opposite order of Ray's."""
        return super().make_bracket(self.n_brackets - 1 - s)


class BohbScheduler(_HyperBandBase, HyperBandForBOHB):
    """HyperBand as BOHB needs it: brackets fill while trials run."""


def make(config: ExperimentConfig, space: Mapping[str, Domain]) -> TrialScheduler:
    """Return the scheduler of a config whose type is `hyperband`."""
    options = config.search.scheduler
    assert isinstance(options, HyperbandConfig)
    at_rungs = SEARCHERS[config.search.searcher].at_rungs
    scheduler = BohbScheduler if at_rungs else HyperbandScheduler
    return scheduler(
        unit=time_attr(config),
        max_t=full_budget(config),
        grace=eighth_unless_given(config, options.grace_period),
        reduction_factor=options.reduction_factor,
    )
