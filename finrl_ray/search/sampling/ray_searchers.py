"""Ray's searchers that learn from results, each made by one function.

A function takes the experiment and the samples to begin with, in the form of `ModelSearcher`; the
table `SEARCHERS` of the config names it. Libraries are imported where they are used: some are
extras, and each takes up to seconds.
"""

import logging
from typing import Any

from ray.tune.search import Searcher

from finrl_ray.config.experiment import ExperimentConfig
from finrl_ray.support.extras import require_extra

# Optuna's own number; HyperOpt's would be 20, more than most searches have trials
STARTUP_TRIALS = 10


def make_optuna(config: ExperimentConfig, points: list[dict[str, Any]]) -> Searcher:
    """Return Optuna's tree-structured Parzen estimator, or its sampler for several objectives."""
    import optuna
    from ray.tune.search.optuna import OptunaSearch

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return OptunaSearch(seed=config.seed, points_to_evaluate=points)


def make_hyperopt(config: ExperimentConfig, points: list[dict[str, Any]]) -> Searcher:
    """Return HyperOpt's tree-structured Parzen estimator."""
    require_extra("hyperopt", "search.searcher 'hyperopt'")
    from ray.tune.search.hyperopt import HyperOptSearch

    return HyperOptSearch(
        points_to_evaluate=points or None,
        n_initial_points=STARTUP_TRIALS,
        random_state_seed=config.seed,
    )


def make_bohb(config: ExperimentConfig, points: list[dict[str, Any]]) -> Searcher:
    """Return BOHB, whose kernel densities are fitted to the results of HyperBand's rungs."""
    require_extra("bohb", "search.searcher 'bohb'")
    from ray.tune.search.bohb import TuneBOHB

    logging.getLogger("hpbandster").setLevel(logging.WARNING)
    return TuneBOHB(points_to_evaluate=points, seed=config.seed)
