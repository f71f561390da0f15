"""The config's scheduler as Ray Tune's, in timesteps or paths, with what it decided and where."""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ray import tune
from ray.tune.schedulers import (
    AsyncHyperBandScheduler,
    FIFOScheduler,
    HyperBandForBOHB,
    HyperBandScheduler,
    MedianStoppingRule,
    PopulationBasedTraining,
    TrialScheduler,
)
from ray.tune.schedulers.hyperband import _Bracket

from finrl_ray.config.experiment import ExperimentConfig
from finrl_ray.config.search import PAUSING
from finrl_ray.search.sampling.domains import Domain
from finrl_ray.search.sampling.objective import METRIC, finite, full_budget, time_attr
from finrl_ray.search.schedulers.packed_maps import PackedFloatMap, PackedIntMap
from finrl_ray.search.schedulers.pbt import PBTScheduler
from finrl_ray.support.global_random import GlobalRandomState

if TYPE_CHECKING:
    from ray.tune.execution.tune_controller import TuneController
    from ray.tune.experiment import Trial

__all__ = [
    "METRIC",
    "donor_checkpoints",
    "grace_period",
    "make_scheduler",
    "samples_all_first",
    "stop_reason",
    "trial_label",
]


def grace_period(config: ExperimentConfig) -> int:
    """Return the timesteps, or paths, before a trial may be stopped: as given, else an eighth."""
    return _eighth(config, config.search.scheduler.grace_period)


def _eighth(config: ExperimentConfig, given: int | None) -> int:
    return given if given is not None else max(1, full_budget(config) // 8)


def make_scheduler(config: ExperimentConfig, space: Mapping[str, Domain]) -> TrialScheduler:
    """Return the scheduler; its time is env timesteps, and metric and mode come from TuneConfig.

    Raises
    ------
    ConfigError
        If a mutation of `pbt` or `pb2` cannot change during training, or an extra is missing.
    """
    return _MAKERS[config.search.scheduler.type](config, space)


def samples_all_first(config: ExperimentConfig) -> bool:
    """Return whether all trials must be created before the first ends.

    HyperBand compares the trials of a bracket, and population based training those of the
    population, at the same timestep; they pause those that are ahead. HyperBand for BOHB fills its
    brackets as trials come, since BOHB learns from them.
    """
    return config.search.scheduler.type in PAUSING and config.search.searcher != "bohb"


def donor_checkpoints(scheduler: TrialScheduler) -> list[str]:
    """Return the paths of checkpoints that a scheduler may yet let another trial go on from."""
    states = scheduler._trial_state if isinstance(scheduler, PopulationBasedTraining) else {}
    held = [state.last_checkpoint for state in states.values()]
    return [checkpoint.path for checkpoint in held if isinstance(checkpoint, tune.Checkpoint)]


def stop_reason(scheduler: TrialScheduler, trial_id: str) -> str:
    """Return in words where a scheduler stopped a trial; empty if it did not."""
    where: dict[str, int] = getattr(scheduler, "stopped_at", {})
    if trial_id not in where:
        return ""
    unit = "path " if getattr(scheduler, "_time_attr", "") == "paths" else ""
    return f"stopped by {scheduler.name} at {unit}{where[trial_id]:,}"  # type: ignore[attr-defined]  # with stopped_at


class AshaScheduler(AsyncHyperBandScheduler):
    """Ray's ASHA that remembers at which rung it stopped each trial.

    With several brackets Ray draws a trial's bracket from numpy's global generator; here from the
    experiment's seed.
    """

    name = "asha"

    def __init__(self, seed: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        for bracket in self._brackets:
            bracket._rungs = [(steps, PackedFloatMap(seen)) for steps, seen in bracket._rungs]
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
        bracket = self._trial_info[trial.trial_id]
        action = super().on_trial_result(tune_controller, trial, finite(result))
        if action == TrialScheduler.STOP:
            rungs = [int(m) for m, recorded in bracket._rungs if trial.trial_id in recorded]
            self.stopped_at[trial.trial_id] = max(rungs, default=int(result[self._time_attr]))
        return action

    def on_trial_complete(
        self, tune_controller: "TuneController", trial: "Trial", result: dict[str, Any]
    ) -> None:
        """Record the last result of a trial that ended by itself."""
        if METRIC in result:
            super().on_trial_complete(tune_controller, trial, finite(result))


class MedianScheduler(MedianStoppingRule):
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
        steps = int(result[self._time_attr])
        # a trial that crashed reports again what came after its checkpoint
        self._results[trial] = [r for r in self._results[trial] if r[self._time_attr] < steps]
        kept = {name: finite(result)[name] for name in (self._time_attr, METRIC)}
        action = super().on_trial_result(tune_controller, trial, kept)
        if action == TrialScheduler.STOP:
            self.stopped_at[trial.trial_id] = steps
        return action

    def on_trial_complete(
        self, tune_controller: "TuneController", trial: "Trial", result: dict[str, Any]
    ) -> None:
        """Do nothing: the last result is known; Ray's rule would count it twice."""

    def _on_insufficient_samples(
        self, tune_controller: "TuneController", trial: "Trial", time: float
    ) -> str:
        return str(TrialScheduler.CONTINUE)


class _RecordingBracket(_Bracket):
    """Bracket of HyperBand that notes at which milestone it sorted a trial out."""

    def __init__(self, stopped_at: dict[str, int], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.stopped_at = stopped_at

    def successive_halving(
        self, metric: str, metric_op: float
    ) -> tuple[list["Trial"], list["Trial"]]:
        milestone = int(self._cumul_r)
        good, bad = super().successive_halving(metric, metric_op)
        self.stopped_at.update({trial.trial_id: milestone for trial in bad})
        return good, bad


class _HyperBandBase(HyperBandScheduler):
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
        self._s_max_1 = math.floor(rungs + 1e-9) + 1
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
        state: dict[str, Any] = self._state
        if state["bracket"] is not None and self._is_closed(state["bracket"]):
            state["bracket"] = None
        super().on_trial_add(tune_controller, trial)

    def _is_closed(self, bracket: _Bracket) -> bool:
        """Return whether all trials of a bracket have ended, so that none is left to compare."""
        return all(trial.is_finished() for trial in bracket._all_trials)

    def _create_bracket(self, s: int) -> _Bracket:
        return _RecordingBracket(
            self.stopped_at,
            time_attr=self._time_attr,
            max_trials=self._get_n0(s),  # type: ignore[no-untyped-call]  # Ray's
            init_t_attr=self._get_r0(s),  # type: ignore[no-untyped-call]  # Ray's
            max_t_attr=self._max_t_attr,
            eta=self._eta,
            s=s,
            stop_last_trials=self._stop_last_trials,
        )

    def _process_bracket(self, tune_controller: "TuneController", bracket: _Bracket) -> str:
        action = super()._process_bracket(tune_controller, bracket)
        while _no_trial_left_for_rung(bracket):
            again = super()._process_bracket(tune_controller, bracket)
            action = action if action == TrialScheduler.STOP else again
        bracket.is_being_processed = False
        return str(action)


def _no_trial_left_for_rung(bracket: _Bracket) -> bool:
    """Return whether the next rung lies behind every trial: evaluations may be further apart."""
    trials: list[Trial] = bracket.current_trials()
    return bool(trials) and not any(bracket.continue_trial(trial) for trial in trials)


class HyperbandScheduler(_HyperBandBase):
    """HyperBand that fills its boldest bracket first: a small search may have no other."""

    def _is_closed(self, bracket: _Bracket) -> bool:
        """Return whether trials of a bracket have ended or were sorted out."""
        halved = bracket._n < bracket._n0
        return halved or any(trial.is_finished() for trial in bracket._all_trials)

    def _create_bracket(self, s: int) -> _Bracket:
        return super()._create_bracket(self._s_max_1 - 1 - s)


class BohbScheduler(_HyperBandBase, HyperBandForBOHB):
    """HyperBand as BOHB needs it: brackets fill while trials run."""


def _fifo(config: ExperimentConfig, space: Mapping[str, Domain]) -> TrialScheduler:
    return FIFOScheduler()


def _asha(config: ExperimentConfig, space: Mapping[str, Domain]) -> TrialScheduler:
    settings = config.search.scheduler
    return AshaScheduler(
        config.seed,
        time_attr=time_attr(config),
        max_t=full_budget(config),
        grace_period=grace_period(config),
        reduction_factor=settings.option("reduction_factor"),
        brackets=settings.option("brackets"),
        # the trial itself knows when its budget is spent, and says so
        stop_last_trials=False,
    )


def _median(config: ExperimentConfig, space: Mapping[str, Domain]) -> TrialScheduler:
    return MedianScheduler(
        time_attr=time_attr(config),
        grace_period=grace_period(config),
        min_samples_required=config.search.scheduler.option("min_samples"),
    )


def _hyperband(config: ExperimentConfig, space: Mapping[str, Domain]) -> TrialScheduler:
    scheduler = BohbScheduler if config.search.searcher == "bohb" else HyperbandScheduler
    return scheduler(
        unit=time_attr(config),
        max_t=full_budget(config),
        grace=grace_period(config),
        reduction_factor=config.search.scheduler.option("reduction_factor"),
    )


def _population(config: ExperimentConfig, space: Mapping[str, Domain]) -> TrialScheduler:
    interval = _eighth(config, config.search.scheduler.perturbation_interval)
    if config.search.scheduler.type == "pb2":
        # it imports scikit-learn, which takes a second
        from finrl_ray.search.schedulers.pb2 import PB2Scheduler

        return PB2Scheduler(config, space, interval)
    return PBTScheduler(config, space, interval)


_MAKERS = {
    "fifo": _fifo,
    "asha": _asha,
    "median": _median,
    "hyperband": _hyperband,
    "pbt": _population,
    "pb2": _population,
}


def trial_label(trial: "Trial") -> str:
    """Return the name under which a trial appears in Ray's screens and folders."""
    return f"trial_{trial.trial_id}"
