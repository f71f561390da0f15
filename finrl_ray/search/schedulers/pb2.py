"""Ray's PB2 as a population of this package; only searches that use it import scikit-learn."""

import math
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from ray.tune.schedulers import TrialScheduler, pb2

from finrl_ray.cluster.scheduler_internals import pb2_choice, pb2_names
from finrl_ray.config.experiment import ExperimentConfig
from finrl_ray.search.sampling.domains import Domain
from finrl_ray.search.schedulers.mutations import mutable_domains, within
from finrl_ray.search.schedulers.pbt import PopulationBase
from finrl_ray.support.extras import require_extra

if TYPE_CHECKING:
    from ray.tune.experiment import Trial


class PB2Scheduler(PopulationBase, pb2.PB2):
    """Ray's PB2, with ranges that are searched in their logarithm modelled in it."""

    name = "pb2"
    current: Any  # points chosen in this exchange, (n, number of names); None before the first

    def __init__(self, config: ExperimentConfig, space: Mapping[str, Domain]) -> None:
        require_extra("pb2", "search.scheduler.type 'pb2'")
        self.domains = mutable_domains(config, space, continuous=True)
        bounds = {
            name: [self._coded(name, bound) for bound in domain.values]
            for name, domain in self.domains.items()
        }
        super().__init__(config, hyperparam_bounds=bounds)

    def _begin(self) -> None:
        super()._begin()
        # what an earlier population has shown is of other times
        self.data, self.current, self.last_exploration_time = pd.DataFrame(), None, 0

    def _coded(self, name: str, value: float) -> float:
        return math.log(value) if self.domains[name].kind == "loguniform" else float(value)

    def _decoded(self, name: str, value: float) -> float:
        domain = self.domains[name]
        return float(within(domain, math.exp(value) if domain.kind == "loguniform" else value))

    def _coded_sample(self, trial: "Trial") -> dict[str, float]:
        return {name: self._coded(name, trial.config[name]) for name in self.domains}

    def on_recorded(self, trial: "Trial", steps: int, score: float) -> None:
        """Add a result to the data of the model."""
        row = {"Trial": str(trial), "Time": steps, **self._coded_sample(trial), "Reward": score}
        self.data = pd.concat([self.data, pd.DataFrame([row])], ignore_index=True)

    def changed_sample(self, trial: "Trial", donor: "Trial") -> dict[str, Any]:
        """Return the donor's hyperparameters with those that the model chooses."""
        if self.data["Time"].max() > self.last_exploration_time:
            self.current = None  # the trials of an earlier exchange need no distance kept
        coded = self._coded_sample(donor)
        # in an order that does not depend on who reported first
        data = self.data.sort_values(["Time", "Trial"], kind="stable", ignore_index=True)
        with warnings.catch_warnings():
            # of few and equal points the kernel's scale is a guess, which nobody can act on
            warnings.simplefilter("ignore")
            chosen, self.data = pb2_choice(self, data, self.current, trial, donor, coded)
        point = np.array([[chosen[name] for name in pb2_names(self)]])
        latest = self.data["Time"].max()
        if self.current is None or latest > self.last_exploration_time:
            self.last_exploration_time, self.current = latest, point
        else:
            self.current = np.concatenate((self.current, point), axis=0)
        changed = {name: self._decoded(name, chosen[name]) for name in self.domains}
        return {**donor.config, **changed}


def make(config: ExperimentConfig, space: Mapping[str, Domain]) -> TrialScheduler:
    """Return the scheduler of a config whose type is `pb2`."""
    return PB2Scheduler(config, space)
