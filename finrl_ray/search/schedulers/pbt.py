"""Population based training as a deterministic, journaled scheduler on top of Ray's."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from ray import tune
from ray.tune.schedulers import PopulationBasedTraining, TrialScheduler

from finrl_ray.cluster.scheduler_internals import PopulationHooks, time_attr_of
from finrl_ray.cluster.tune_internals import is_staged
from finrl_ray.config.experiment import ExperimentConfig
from finrl_ray.config.schedulers import PB2Config, PBTConfig
from finrl_ray.search.sampling.domains import Domain
from finrl_ray.search.sampling.objective import finite, time_attr
from finrl_ray.search.schedulers.default_times import eighth_unless_given
from finrl_ray.search.schedulers.mutations import mutable_domains, mutate
from finrl_ray.support.global_random import GlobalRandomState
from finrl_ray.support.values import nested_to_python

if TYPE_CHECKING:
    from ray.tune.experiment import Trial

    from finrl_ray.cluster.tune_internals import TuneController


@dataclass(frozen=True, kw_only=True)
class Exploit:
    """One exchange: a trial that goes on as a changed copy of a better one.

    Parameters
    ----------
    trial_id : of the trial that is replaced
    donor_id : of the trial that is copied
    timesteps : of the donor's checkpoint
    sample : all hyperparameters with which the trial goes on
    checkpoint : of the donor
    """

    trial_id: str
    donor_id: str
    timesteps: int
    sample: dict[str, Any]
    checkpoint: tune.Checkpoint


class PopulationBase(PopulationHooks):
    """What PBT and PB2 have in common here.

    Ray's draws from the global generators; here from the experiment's seed. A trial that ends
    leaves the population, and those that wait for it are exchanged without it, where Ray's would
    wait for ever. Nothing is exchanged at the end of training. Trials that are added when all
    others have ended are a population of their own.

    Attributes
    ----------
    exploits : each exchange, oldest first
    """

    def __init__(self, config: ExperimentConfig, **kwargs: Any) -> None:
        options = config.search.scheduler
        assert isinstance(options, PBTConfig | PB2Config)
        # a page per exchange, which the journal has too
        logging.getLogger("ray.tune.schedulers.pbt").setLevel(logging.WARNING)
        super().__init__(
            time_attr=time_attr(config),
            perturbation_interval=eighth_unless_given(config, options.perturbation_interval),
            quantile_fraction=options.quantile_fraction,
            synch=options.synch,
            log_config=False,  # the journal has it
            **kwargs,
        )
        self.set_burn_in(options.burn_in)
        self._begin()
        self.total_timesteps = config.agent.total_timesteps
        self.random = GlobalRandomState(config.seed)
        self.generator = np.random.default_rng([config.seed, 2])
        self.exploits: list[Exploit] = []
        self.gone: set[str] = set()

    def _begin(self) -> None:
        """Wait for the first exchange of a population."""
        self.next_exchange = max(self.interval, self.burn_in)

    def on_trial_add(self, tune_controller: "TuneController", trial: "Trial") -> None:
        """Take a trial in; the first after all others have ended begins another population."""
        others = self.all_members()
        if others and all(t.trial_id in self.gone or t.is_finished() for t in others):
            self._begin()
        # not PB2's, which looks for values that a sample lacks; here each has every one
        PopulationBasedTraining.on_trial_add(self, tune_controller, trial)

    def on_trial_result(
        self, tune_controller: "TuneController", trial: "Trial", result: dict[str, Any]
    ) -> str:
        """Exchange the trial when its time has come; a trial at its end leaves."""
        if result[time_attr_of(self)] >= self.total_timesteps or result.get("stop_reason"):
            self._leave(tune_controller, trial)
            return str(TrialScheduler.CONTINUE)
        seen = finite(result)
        with self.random.active():
            if self.is_synchronous:
                return self._on_synchronous_result(tune_controller, trial, seen)
            return str(super().on_trial_result(tune_controller, trial, seen))

    def choose_trial_to_run(self, tune_controller: "TuneController") -> "Trial | None":
        """Choose the trial that is furthest behind; of those that wait for a process, the last.

        Ray's chooses the same trial until it runs, so that the others get no process meanwhile.
        """
        trials: list[Trial] = tune_controller.get_trials()
        due = [
            trial
            for trial in trials
            if trial.status in (trial.PENDING, trial.PAUSED) and not self._waits(trial)
        ]
        due.sort(key=lambda trial: self.state_of(trial).last_train_time)
        unstaged = (trial for trial in due if not is_staged(tune_controller, trial))
        return next(unstaged, due[0] if due else None)

    def _waits(self, trial: "Trial") -> bool:
        """Return whether a trial has come to the next exchange and the others have not."""
        reached = self.state_of(trial).last_train_time >= self.next_exchange
        return bool(self.is_synchronous and reached)

    def on_trial_complete(
        self, tune_controller: "TuneController", trial: "Trial", result: dict[str, Any]
    ) -> None:
        """Let the trial leave."""
        self._leave(tune_controller, trial)

    def on_trial_error(self, tune_controller: "TuneController", trial: "Trial") -> None:
        """Let the trial leave."""
        self._leave(tune_controller, trial)

    def on_trial_remove(self, tune_controller: "TuneController", trial: "Trial") -> None:
        """Let the trial leave."""
        self._leave(tune_controller, trial)

    def _leave(self, tune_controller: "TuneController", trial: "Trial") -> None:
        self.gone.add(trial.trial_id)
        self.state_of(trial).last_score = None  # out of the quantiles
        if self.is_synchronous and self._all_wait(tune_controller):
            with self.random.active():
                self._exchange(tune_controller)

    def _on_synchronous_result(
        self, tune_controller: "TuneController", trial: "Trial", result: dict[str, Any]
    ) -> str:
        steps = result[time_attr_of(self)]
        if steps < self.next_exchange:
            return str(TrialScheduler.CONTINUE)
        self.record(trial, steps, result)
        if self._all_wait(tune_controller):
            self._exchange(tune_controller)
        # an exchanged trial is paused already
        paused = trial.status == trial.PAUSED
        return str(TrialScheduler.NOOP if paused else TrialScheduler.PAUSE)

    def _members(self, tune_controller: "TuneController") -> list["Trial"]:
        return [
            trial
            for trial in tune_controller.get_trials()
            if trial.trial_id not in self.gone and not trial.is_finished()
        ]

    def _all_wait(self, tune_controller: "TuneController") -> bool:
        members = self._members(tune_controller)
        return bool(members) and all(self._waits(trial) for trial in members)

    def _exchange(self, tune_controller: "TuneController") -> None:
        """Exchange the whole population, the best first, whose checkpoints the worst go on from."""
        worst, best = self.worst_and_best()
        members = self._members(tune_controller)
        others = [trial for trial in members if trial not in worst and trial not in best]
        for trial in [*best, *others, *worst]:
            # not the time of whoever came last, which depends on timing
            self.state_of(trial).last_perturbation_time = int(self.next_exchange)
            self.exchange_one(trial, tune_controller, best, worst)
        furthest = max(self.state_of(trial).last_train_time for trial in members)
        self.next_exchange = max(self.next_exchange + self.interval, furthest)

    def on_replaced(self, trial: "Trial", donor: "Trial") -> None:
        """Add the exchange to the list of all."""
        copied = self.state_of(donor)
        assert isinstance(copied.last_checkpoint, tune.Checkpoint)
        exploit = Exploit(
            trial_id=trial.trial_id,
            donor_id=donor.trial_id,
            timesteps=int(copied.last_train_time),
            sample=nested_to_python(trial.config),
            checkpoint=copied.last_checkpoint,
        )
        self.exploits.append(exploit)


class PBTScheduler(PopulationBase):
    """Ray's PBT whose changed values stay within the search space."""

    name = "pbt"

    def __init__(self, config: ExperimentConfig, space: Mapping[str, Domain]) -> None:
        options = config.search.scheduler
        assert isinstance(options, PBTConfig)
        self.domains = mutable_domains(config, space, continuous=False)
        super().__init__(
            config,
            # Ray needs the names alone: the values come from changed_sample
            hyperparam_mutations={n: list(d.values) for n, d in self.domains.items()},
            resample_probability=options.resample_probability,
        )

    def changed_sample(self, trial: "Trial", donor: "Trial") -> dict[str, Any]:
        """Return the donor's hyperparameters, changed within their domains."""
        return mutate(donor.config, self.domains, self.resample_chance, self.generator)


def make(config: ExperimentConfig, space: Mapping[str, Domain]) -> TrialScheduler:
    """Return the scheduler of a config whose type is `pbt`."""
    return PBTScheduler(config, space)
