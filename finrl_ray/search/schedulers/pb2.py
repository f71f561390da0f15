"""Ray's PB2 as a population of this package; only searches that use it import scikit-learn."""

import math
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from ray.tune.schedulers import PopulationBasedTraining, TrialScheduler, pb2
from ray.tune.schedulers.pbt import _PBTTrialState

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

    def _save_trial_state(
        self, state: _PBTTrialState, time: int, result: dict[str, Any], trial: "Trial"
    ) -> float:
        score: Any = PopulationBasedTraining._save_trial_state(self, state, time, result, trial)
        row = {"Trial": str(trial), "Time": time, **self._coded_sample(trial), "Reward": score}
        self.data = pd.concat([self.data, pd.DataFrame([row])], ignore_index=True)
        return float(score)

    def _get_new_config(
        self, trial: "Trial", trial_to_clone: "Trial"
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        if self.data["Time"].max() > self.last_exploration_time:
            self.current = None  # the trials of an earlier exchange need no distance kept
        coded = self._coded_sample(trial_to_clone)
        explore: Any = pb2._explore  # Ray's annotations are of other types
        # in an order that does not depend on who reported first
        data = self.data.sort_values(["Time", "Trial"], kind="stable", ignore_index=True)
        with warnings.catch_warnings():
            # of few and equal points the kernel's scale is a guess, which nobody can act on
            warnings.simplefilter("ignore")
            chosen, self.data = explore(
                data, self._hyperparam_bounds_flat, self.current, trial_to_clone, trial, coded
            )
        point = np.array([[chosen[name] for name in self._hyperparam_bounds_flat]])
        latest = self.data["Time"].max()
        if self.current is None or latest > self.last_exploration_time:
            self.last_exploration_time, self.current = latest, point
        else:
            self.current = np.concatenate((self.current, point), axis=0)
        changed = {name: self._decoded(name, chosen[name]) for name in self.domains}
        return {**trial_to_clone.config, **changed}, {}


def make(config: ExperimentConfig, space: Mapping[str, Domain]) -> TrialScheduler:
    """Return the scheduler of a config whose type is `pb2`."""
    return PB2Scheduler(config, space)
