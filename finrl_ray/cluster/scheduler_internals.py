"""Private names of Ray Tune's schedulers, under public ones, each with the reason.

Tried with Ray 2.60.0. Ray has no public way to change how one of its schedulers decides, nor to ask
it what it knows: one overrides private methods and reads private attributes. This module does so.
The schedulers of `search/schedulers/` derive from its classes, which call a public method wherever
Ray calls a private one that is to be changed.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ray import tune
from ray.tune.schedulers import (
    AsyncHyperBandScheduler,
    HyperBandScheduler,
    MedianStoppingRule,
    PopulationBasedTraining,
    TrialScheduler,
)
from ray.tune.schedulers.hyperband import _Bracket
from ray.tune.schedulers.pbt import _PBTTrialState

from finrl_ray.cluster.tune_internals import FutureTrainingResult, forget_decision

if TYPE_CHECKING:
    import pandas as pd
    from ray.tune.experiment import Trial
    from ray.tune.schedulers.pb2 import PB2

    from finrl_ray.cluster.tune_internals import TuneController

RungMap = dict[str, float]
"""The results that a rung of ASHA has seen, by trial id."""


def time_attr_of(scheduler: TrialScheduler) -> str:
    """Return the key of a result in which a scheduler counts time; empty if it counts none.

    Every scheduler of Ray takes it as `time_attr`, and keeps it to itself.
    """
    return getattr(scheduler, "_time_attr", "")


@dataclass(frozen=True, kw_only=True)
class AshaSettings:
    """The arguments that a scheduler of Ray's was made with, which it does not tell.

    Parameters
    ----------
    time_attr : key of a result in which time is counted
    max_t : time at which trials end
    reduction_factor : of the trials, one in so many goes on from a rung
    brackets : how many
    first_rung : time of the first rung of the first bracket
    """

    time_attr: str
    max_t: float
    reduction_factor: float
    brackets: int
    first_rung: float


def asha_settings(scheduler: AsyncHyperBandScheduler) -> AshaSettings:
    """Return what a scheduler was made with."""
    return AshaSettings(
        time_attr=scheduler._time_attr,
        max_t=scheduler._max_t,
        reduction_factor=scheduler._reduction_factor,
        brackets=len(scheduler._brackets),
        first_rung=min((rung for rung, _ in scheduler._brackets[0]._rungs), default=1),
    )


def keep_rungs_in(scheduler: AsyncHyperBandScheduler, make: Callable[[RungMap], RungMap]) -> None:
    """Let all rungs keep what they have seen in other mappings: Ray's are pickled slowly."""
    for bracket in scheduler._brackets:
        bracket._rungs = [(time, make(seen)) for time, seen in bracket._rungs]


def rungs_passed(scheduler: AsyncHyperBandScheduler, trial_id: str) -> list[int]:
    """Return the times of the rungs that have seen a trial; Ray tells a stop, not where it was."""
    bracket = scheduler._trial_info[trial_id]
    return [int(time) for time, seen in bracket._rungs if trial_id in seen]


def next_rung(scheduler: AsyncHyperBandScheduler, trial_id: str) -> float:
    """Return the time of the first rung that is yet to see a trial, or infinity.

    Ray asks the rungs about each result, from the last one down to one that has seen the trial; a
    result before the first that is left changes nothing. `stop_last_trials` must be off.

    A rung at the end of the budget is not waited for: what it decides on has ended by itself, and
    where it says stop, results after it are not taken.
    """
    left = math.inf
    for time, seen in scheduler._trial_info[trial_id]._rungs:
        if trial_id in seen:
            break
        left = float(time)
    return left if left < scheduler._max_t else math.inf


class Bracket(_Bracket):
    """A bracket of HyperBand that can be asked how far it is."""

    @property
    def next_milestone(self) -> int:
        """The time at which its trials are compared next."""
        return int(self._cumul_r)

    @property
    def trials(self) -> list["Trial"]:
        """All that were put into it, those that have ended included."""
        trials: list[Trial] = self._all_trials
        return trials

    @property
    def was_halved(self) -> bool:
        """Whether it has sorted trials out."""
        return bool(self._n < self._n0)


class HyperBandHooks(HyperBandScheduler):
    """Ray's HyperBand with public methods for how brackets are made and processed."""

    @property
    def n_brackets(self) -> int:
        """Brackets of a band. Ray derives the number from `max_t` alone, and takes no other."""
        return int(self._s_max_1)

    @n_brackets.setter
    def n_brackets(self, number: int) -> None:
        self._s_max_1 = number

    @property
    def open_bracket(self) -> Bracket | None:
        """The bracket that the next trial goes into; None: a new one."""
        state: dict[str, Any] = self._state  # Ray's annotation is of its numbers
        bracket: Bracket | None = state["bracket"]
        return bracket

    @open_bracket.setter
    def open_bracket(self, bracket: Bracket | None) -> None:
        state: dict[str, Any] = self._state
        state["bracket"] = bracket

    def bracket_options(self, s: int) -> dict[str, Any]:
        """Return the arguments of Ray's bracket number `s`, whose trials are halved `s` times."""
        return {
            "time_attr": self._time_attr,
            "max_trials": self._get_n0(s),  # type: ignore[no-untyped-call]  # Ray's
            "init_t_attr": self._get_r0(s),  # type: ignore[no-untyped-call]  # Ray's
            "max_t_attr": self._max_t_attr,
            "eta": self._eta,
            "s": s,
            "stop_last_trials": self._stop_last_trials,
        }

    def make_bracket(self, s: int) -> Bracket:
        """Return a new bracket number `s`."""
        return Bracket(**self.bracket_options(s))

    def process_bracket(self, tune_controller: "TuneController", bracket: Bracket) -> str:
        """Let the trials of a bracket go on or end, once all have come to the milestone."""
        return str(super()._process_bracket(tune_controller, bracket))

    # what Ray calls

    def _create_bracket(self, s: int) -> Bracket:
        return self.make_bracket(s)

    def _process_bracket(self, tune_controller: "TuneController", bracket: _Bracket) -> str:
        assert isinstance(bracket, Bracket)
        return self.process_bracket(tune_controller, bracket)


class MedianHooks(MedianStoppingRule):
    """Ray's median stopping rule with public methods for what it has seen and when it waits."""

    def forget_results_from(self, trial: "Trial", time: float) -> None:
        """Drop what a trial has reported at a time and later, which Ray would count twice."""
        earlier = [r for r in self._results[trial] if r[self._time_attr] < time]
        self._results[trial] = earlier

    def on_insufficient_samples(
        self, tune_controller: "TuneController", trial: "Trial", time: float
    ) -> str:
        """Decide on a trial while there are too few others to compare it with."""
        return str(super()._on_insufficient_samples(tune_controller, trial, time))

    # what Ray calls

    def _on_insufficient_samples(
        self, tune_controller: "TuneController", trial: "Trial", time: float
    ) -> str:
        return self.on_insufficient_samples(tune_controller, trial, time)


MemberState = _PBTTrialState
"""What population based training knows of a trial: its last score, time and checkpoint."""


def member_states(scheduler: PopulationBasedTraining) -> list[MemberState]:
    """Return what is known of each trial of a population, in the order in which they came."""
    return list(scheduler._trial_state.values())


class PopulationHooks(PopulationBasedTraining):
    """Ray's PBT with public methods for an exchange and its parts, and for when it is due."""

    def set_burn_in(self, steps: int) -> None:
        """Exchange nothing before so many steps: Ray's PB2 does not take the option of its PBT."""
        self._burn_in_period = steps

    @property
    def burn_in(self) -> int:
        """Steps before the first exchange."""
        return int(self._burn_in_period)

    @property
    def interval(self) -> int:
        """Steps between two exchanges."""
        return int(self._perturbation_interval)

    @property
    def next_exchange(self) -> float:
        """Steps at which the whole population is exchanged next, if it is synchronous."""
        return self._next_perturbation_sync

    @next_exchange.setter
    def next_exchange(self, steps: float) -> None:
        self._next_perturbation_sync = steps

    @property
    def is_synchronous(self) -> bool:
        """Whether all trials are exchanged at the same steps."""
        return bool(self._synch)

    @property
    def resample_chance(self) -> float:
        """The probability with which a hyperparameter is drawn anew."""
        return float(self._resample_probability)

    def all_members(self) -> list["Trial"]:
        """Return every trial that was added, in order, those that have ended included."""
        return list(self._trial_state)

    def state_of(self, trial: "Trial") -> MemberState:
        """Return what is known of a trial; it may be changed."""
        return self._trial_state[trial]

    def record(self, trial: "Trial", steps: int, result: dict[str, Any]) -> None:
        """Note a result, which counts at the next exchange."""
        self._save_trial_state(self._trial_state[trial], steps, result, trial)

    def worst_and_best(self) -> tuple[list["Trial"], list["Trial"]]:
        """Return the trials of the lower and of the upper quantile."""
        return self._quantiles()

    def exchange_one(
        self,
        trial: "Trial",
        tune_controller: "TuneController",
        best: list["Trial"],
        worst: list["Trial"],
    ) -> None:
        """Hold a trial's checkpoint if it is among the best; replace it if among the worst."""
        self._checkpoint_or_exploit(trial, tune_controller, best, worst)

    def on_recorded(self, trial: "Trial", steps: int, score: float) -> None:
        """Learn from a result that was noted; by default nothing."""

    def on_replaced(self, trial: "Trial", donor: "Trial") -> None:
        """Take note that a trial goes on as a changed copy of another; by default nothing."""

    def changed_sample(self, trial: "Trial", donor: "Trial") -> dict[str, Any]:
        """Return the hyperparameters with which a trial goes on as a copy of another."""
        raise NotImplementedError

    # what Ray calls

    def _save_trial_state(
        self, state: MemberState, time: int, result: dict[str, Any], trial: "Trial"
    ) -> Any:
        # not PB2's, which keeps the points as they are, and not the logarithms of ranges
        score: Any = PopulationBasedTraining._save_trial_state(self, state, time, result, trial)
        self.on_recorded(trial, time, score)
        return score

    def _checkpoint_or_exploit(
        self,
        trial: "Trial",
        tune_controller: "TuneController",
        upper_quantile: list["Trial"],
        lower_quantile: list["Trial"],
    ) -> None:
        super()._checkpoint_or_exploit(trial, tune_controller, upper_quantile, lower_quantile)
        state = self._trial_state[trial]
        if isinstance(state.last_checkpoint, FutureTrainingResult):
            # a few milliseconds: the trial has written it with its report. A future could neither
            # be kept on disk nor stay true once the trial trains on.
            saved = state.last_checkpoint.resolve()
            state.last_checkpoint = saved.checkpoint if saved else None

    def _exploit(
        self, tune_controller: "TuneController", trial: "Trial", trial_to_clone: "Trial"
    ) -> None:
        super()._exploit(tune_controller, trial, trial_to_clone)
        forget_decision(tune_controller, trial)
        self.on_replaced(trial, trial_to_clone)

    def _get_new_config(
        self, trial: "Trial", trial_to_clone: "Trial"
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        return self.changed_sample(trial, trial_to_clone), {}


def held_checkpoints(scheduler: PopulationBasedTraining) -> list[tune.Checkpoint]:
    """Return the checkpoints from which a population may yet let another trial go on."""
    held = [state.last_checkpoint for state in member_states(scheduler)]
    return [checkpoint for checkpoint in held if isinstance(checkpoint, tune.Checkpoint)]


def pb2_names(scheduler: "PB2") -> list[str]:
    """Return the hyperparameters that PB2 changes, in the order of its model's columns."""
    return list(scheduler._hyperparam_bounds_flat)


def pb2_choice(
    scheduler: "PB2",
    data: "pd.DataFrame",
    current: Any,
    trial: "Trial",
    donor: "Trial",
    sample: dict[str, float],
) -> tuple[dict[str, float], "pd.DataFrame"]:
    """Return the point that PB2's model chooses, and the data as the model leaves them.

    Parameters
    ----------
    scheduler : says within which bounds
    data : one row per result: `Trial`, `Time`, the hyperparameters, `Reward`
    current : points chosen in this exchange, of shape (n, number of names); None before the first
    trial, donor : the one that is replaced, and the one that is copied
    sample : hyperparameters of the donor
    """
    # imported where it is used: it imports scikit-learn, which takes a second
    from ray.tune.schedulers import pb2

    explore: Any = pb2._explore  # Ray's annotations are of other types
    chosen, left = explore(data, scheduler._hyperparam_bounds_flat, current, donor, trial, sample)
    return chosen, left
