"""Ray's searchers that learn from results, each made by one function.

A function takes the experiment, the samples to begin with in the form of `ModelSearcher`, the space
in Ray's terms, and what is maximised; the table `SEARCHERS` of the config names it. Libraries are
imported where they are used: some are extras, and each takes up to seconds.
"""

import logging
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ray.tune.search import Searcher

from finrl_ray.config.experiment import ExperimentConfig
from finrl_ray.config.trial.options import ALGORITHM, own_entry
from finrl_ray.support.extras import require_extra

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

# Optuna's own number; HyperOpt's would be 20, more than most searches have trials
STARTUP_TRIALS = 10
CANDIDATES = 24
"""Of which the one is taken that the model finds the most likely to be good."""


def make_optuna(
    config: ExperimentConfig,
    points: list[dict[str, Any]],
    space: Mapping[str, Any],
    metric: str | list[str],
) -> Searcher:
    """Return Optuna's tree-structured Parzen estimator, for one objective or several.

    Its settings are those of Optuna 5, written out because those of Optuna 4 are others: with one
    objective all hyperparameters are modelled together (with several each by itself), and running
    trials count as bad ones, so that trials at once do not try the same. The width of the kernels
    is no setting: it is that of the installed Optuna.

    Where `agent.algorithm` is searched, a sample has the entries of its algorithm alone, and the
    entries of each algorithm are modelled from its own trials.
    """
    import optuna
    from ray.tune.search.optuna import OptunaSearch

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    several = isinstance(metric, list)
    by_algorithm = any(own_entry(name) for name in space) and ALGORITHM in space
    with warnings.catch_warnings():
        # what Optuna 4 calls experimental of these is the default of Optuna 5, but for `group`
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        sampler = optuna.samplers.TPESampler(
            seed=config.seed,
            n_startup_trials=STARTUP_TRIALS,
            n_ei_candidates=CANDIDATES,
            multivariate=not several,
            group=by_algorithm and not several,
            constant_liar=True,
        )
    distributions = OptunaSearch.convert_search_space(dict(space))
    return OptunaSearch(
        space=OwnEntries(distributions, config) if by_algorithm else distributions,
        metric=metric,
        mode=["max"] * len(metric) if isinstance(metric, list) else "max",
        points_to_evaluate=points,
        sampler=sampler,
    )


class OwnEntries:
    """What Optuna samples where `agent.algorithm` is searched: the entries of the one drawn.

    Parameters
    ----------
    distributions : of the whole space; those of `agent.algorithm` are positions among its options
    config : the experiment
    """

    def __init__(
        self, distributions: Mapping[str, "BaseDistribution"], config: ExperimentConfig
    ) -> None:
        self.distributions = dict(distributions)
        entry = config.search.space[ALGORITHM]
        self.algorithms: list[str] = list(next(iter(entry.values())))

    def __call__(self, trial: Any) -> None:
        """Let a trial of Optuna draw its algorithm, and then what that has."""
        algorithm = self.algorithms[int(_suggested(trial, ALGORITHM, self.distributions))]
        for name in self.distributions:
            pair = own_entry(name)
            if name != ALGORITHM and (pair is None or pair[0] == algorithm):
                _suggested(trial, name, self.distributions)


def _suggested(trial: Any, name: str, distributions: Mapping[str, Any]) -> Any:
    kind = distributions[name]
    if hasattr(kind, "choices"):
        return trial.suggest_categorical(name, kind.choices)
    suggest = (
        trial.suggest_float if type(kind).__name__ == "FloatDistribution" else trial.suggest_int
    )
    return suggest(name, kind.low, kind.high, log=kind.log)


def make_hyperopt(
    config: ExperimentConfig,
    points: list[dict[str, Any]],
    space: Mapping[str, Any],
    metric: str | list[str],
) -> Searcher:
    """Return HyperOpt's tree-structured Parzen estimator."""
    require_extra("hyperopt", "search.searcher 'hyperopt'")
    from ray.tune.search.hyperopt import HyperOptSearch

    made: Any = HyperOptSearch(
        points_to_evaluate=points or None,
        n_initial_points=STARTUP_TRIALS,
        random_state_seed=config.seed,
    )
    made.set_search_properties(metric, "max", dict(space))
    searcher: Searcher = made
    return searcher


def make_bohb(
    config: ExperimentConfig,
    points: list[dict[str, Any]],
    space: Mapping[str, Any],
    metric: str | list[str],
) -> Searcher:
    """Return BOHB, whose kernel densities are fitted to the results of HyperBand's rungs."""
    require_extra("bohb", "search.searcher 'bohb'")
    from ray.tune.search.bohb import TuneBOHB

    logging.getLogger("hpbandster").setLevel(logging.WARNING)
    made: Any = TuneBOHB(points_to_evaluate=points, seed=config.seed)
    made.set_search_properties(metric, "max", dict(space))
    searcher: Searcher = made
    return searcher
