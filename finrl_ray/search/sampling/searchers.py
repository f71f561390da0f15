"""The config's searcher as Ray Tune's: what each trial samples, reproducibly from the seed."""

import copy
import math
from collections.abc import Mapping
from importlib import import_module
from typing import Any

from ray.tune.search import Searcher

from finrl_ray.config.experiment import ExperimentConfig
from finrl_ray.config.search import SEARCHERS
from finrl_ray.config.trial.options import ALGORITHM, own_entry
from finrl_ray.metrics.registry import measure_name
from finrl_ray.search.sampling.domains import Domain, count_trials, grid_options
from finrl_ray.search.sampling.drawn_samples import DrawnSamples
from finrl_ray.search.sampling.initial_points import complete_points, contains
from finrl_ray.search.sampling.objective import METRIC
from finrl_ray.support.global_random import GlobalRandomState
from finrl_ray.support.values import to_python


def make_searcher(config: ExperimentConfig, space: Mapping[str, Domain]) -> Searcher:
    """Return the searcher, seeded and ready; its suggestions are whole samples.

    It limits neither the number of trials nor how many run at once, except that the samples of
    random and grid search come to an end.

    Raises
    ------
    ConfigError
        If the searcher needs an extra that is not installed.
    """
    constants = {name: d.values[0] for name, d in space.items() if len(d.values) == 1}
    domains = {name: domain for name, domain in space.items() if name not in constants}
    # Optuna would take the draw for a hyperparameter and model its effect
    seed_draw = not SEARCHERS[config.search.searcher].learns
    points = complete_points(config, space, seed_draw=seed_draw)
    if not seed_draw and domains:
        return ModelSearcher(config, domains, constants, points)
    fixed = {name: Domain(kind="constant", values=(value,)) for name, value in constants.items()}
    total = count_trials(space, config.search)
    return SampleList(
        DrawnSamples(space if seed_draw else fixed, config.seed, total, points, seed_draw=seed_draw)
    )


class SampleList(Searcher):
    """Ray Tune searcher that learns nothing: drawn samples, until there are no more."""

    def __init__(self, samples: DrawnSamples) -> None:
        super().__init__()
        self.samples = samples

    def suggest(self, trial_id: str) -> Any:
        """Return the next sample, or `Searcher.FINISHED`."""
        sample = self.samples.draw()
        return Searcher.FINISHED if sample is None else sample

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Do nothing: the samples do not depend on results."""


class ModelSearcher(Searcher):
    """Ray Tune searcher around one of Ray's that learn, in terms of this package's samples.

    The inner searcher sees choices as labels and steps as whole numbers, which every library can
    represent; it is told finite numbers or a failure, never NaN, from which none recovers. Initial
    points that its space can represent are queued in it, a zero as the lower end of a logarithmic
    range. Others are run as they are, and it never hears of them.

    Parameters
    ----------
    config : the experiment
    domains : what is searched over
    constants : what every sample has besides
    points : whole samples to begin with
    """

    def __init__(
        self,
        config: ExperimentConfig,
        domains: Mapping[str, Domain],
        constants: Mapping[str, Any],
        points: list[dict[str, Any]],
    ) -> None:
        super().__init__()
        self.domains = dict(domains)
        self.constants = dict(constants)
        self.total_timesteps = config.agent.total_timesteps
        self.objectives = [f"eval/{measure_name(name)}" for name in config.search.objectives]
        self.random = GlobalRandomState(config.seed)
        self.own_entries = SEARCHERS[config.search.searcher].own_entries
        # the points still to come, and whether the inner searcher has them queued
        points = [self._of_its_algorithm(point) for point in points]
        encoded = [self._encode(point) for point in points]
        self.points = [(p, e is not None) for p, e in zip(points, encoded, strict=True)]
        self.live: set[str] = set()
        self.told: set[tuple[str, int]] = set()
        self.learns_from_budgets = SEARCHERS[config.search.searcher].at_rungs
        with self.random.active():
            self.inner = _make_inner(
                config,
                [point for point in encoded if point is not None],
                self._encoded_space(),
                self.objectives or METRIC,
            )

    def suggest(self, trial_id: str) -> Any:
        """Return the next sample; None when the inner searcher waits."""
        point, queued = self.points[0] if self.points else (None, True)
        if not queued:
            self.points.pop(0)
            return copy.deepcopy(point)
        drawn: Any
        with self.random.active():
            drawn = self.inner.suggest(trial_id)
        if drawn is None or drawn == Searcher.FINISHED:
            return drawn
        self.live.add(trial_id)
        if point is not None:
            self.points.pop(0)
            return copy.deepcopy(point)
        decoded = {name: self._decoded(name, value) for name, value in drawn.items()}
        return self._of_its_algorithm({**copy.deepcopy(self.constants), **decoded})

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Pass results at the ends of HyperBand's rungs on to BOHB; the others learn at the end."""
        if trial_id in self.live and self.learns_from_budgets:
            self._tell_budget(trial_id, result)

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Tell the inner searcher how a trial ended; without finite measures it failed."""
        if trial_id not in self.live:
            return
        self.live.discard(trial_id)
        names = self.objectives or [METRIC]
        finite = bool(result) and all(_is_finite((result or {}).get(name)) for name in names)
        failed = error or not finite
        with self.random.active():
            if not failed and self.learns_from_budgets and result:
                self._tell_budget(trial_id, result)
            self.inner.on_trial_complete(trial_id, None if failed else result, error=failed)

    def _tell_budget(self, trial_id: str, result: dict[str, Any]) -> None:
        """Tell BOHB the result of a budget once: Ray leaves out those that end a trial."""
        steps = int(result["timesteps"])  # BOHB is not used where the unit is paths
        budget = result.get("hyperband_info", {}).get("budget")
        if budget is None and steps >= self.total_timesteps:
            budget = self.total_timesteps
        if budget is None or (trial_id, steps) in self.told or not _is_finite(result.get(METRIC)):
            return
        self.told.add((trial_id, steps))
        with self.random.active():
            told = {METRIC: result[METRIC], "hyperband_info": {"budget": float(budget)}}
            self.inner.on_trial_result(trial_id, told)

    # -- what HyperBand for BOHB tells its searcher, and how many BOHB lets run at once -----------

    def on_pause(self, trial_id: str) -> None:
        """Pass on, for trials that the inner searcher knows."""
        if trial_id in self.live and self.learns_from_budgets:
            self.inner.on_pause(trial_id)  # type: ignore[attr-defined]  # TuneBOHB has it

    def on_unpause(self, trial_id: str) -> None:
        """Pass on, for trials that the inner searcher knows."""
        if trial_id in self.live and self.learns_from_budgets:
            self.inner.on_unpause(trial_id)  # type: ignore[attr-defined]  # TuneBOHB has it

    # -- this package's samples and those of the inner searcher -----------------------------------

    def _encoded_space(self) -> dict[str, Any]:
        from ray import tune

        encoded: dict[str, Any] = {}
        for name, domain in self.domains.items():
            if domain.kind == "quniform":
                encoded[name] = tune.randint(0, len(grid_options(domain)))
            elif domain.kind == "choice":
                encoded[name] = tune.choice([str(k) for k in range(len(domain.values))])
            else:
                encoded[name] = getattr(tune, domain.kind)(*domain.values)
        return encoded

    def _of_its_algorithm(self, sample: dict[str, Any]) -> dict[str, Any]:
        """Return a sample without the entries of other algorithms, where the searcher has none."""
        if not self.own_entries or ALGORITHM not in sample:
            return sample
        others = (own_entry(name) for name in sample)
        return {
            name: sample[name]
            for name, pair in zip(sample, others, strict=True)
            if pair is None or pair[0] == sample[ALGORITHM]
        }

    def _encode(self, point: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return a point in the inner searcher's terms; None if its space has no such point."""
        if any(point[name] != self.constants[name] for name in self.constants if name in point):
            return None
        encoded = {}
        for name, value in point.items():
            if name in self.constants:
                continue
            domain = self.domains[name]
            if domain.kind == "loguniform" and value == 0:
                value = domain.values[0]
            if not contains(domain, value):
                return None
            if domain.kind in ("quniform", "choice"):
                position = grid_options(domain).index(value)
                value = str(position) if domain.kind == "choice" else position
            encoded[name] = value
        return encoded

    def _decoded(self, name: str, value: Any) -> Any:
        domain = self.domains[name]
        if domain.kind in ("quniform", "choice"):
            return copy.deepcopy(grid_options(domain)[int(value)])
        if domain.kind == "randint":
            return int(value)
        # some libraries take the logarithm of the bounds and leave them by rounding
        return min(max(float(value), float(domain.values[0])), float(domain.values[1]))


def _make_inner(
    config: ExperimentConfig,
    points: list[dict[str, Any]],
    space: Mapping[str, Any],
    metric: str | list[str],
) -> Searcher:
    """Return Ray's own searcher; only the one that is used is imported."""
    maker = SEARCHERS[config.search.searcher].maker
    assert maker is not None
    module, name = maker.split(":")
    inner: Searcher = getattr(import_module(module), name)(config, points, space, metric)
    return inner


def _is_finite(value: Any) -> bool:
    return isinstance(to_python(value), int | float) and math.isfinite(value)
