"""Checks of searcher, scheduler and initial points that are made before anything starts."""

import logging
import math
from collections.abc import Mapping

from finrl_ray.config.experiment import ExperimentConfig
from finrl_ray.config.search import SEARCHERS
from finrl_ray.config.trial.options import FEATURES
from finrl_ray.errors import ConfigError
from finrl_ray.search.sampling.domains import Domain, count_trials
from finrl_ray.search.sampling.initial_points import check_points
from finrl_ray.search.schedulers.make import make_scheduler, samples_all_first
from finrl_ray.support.extras import require_extra

logger = logging.getLogger(__name__)

MIN_POPULATION = 2
MOST_AT_ONCE = 100_000
"""Trials of a scheduler that has all of them wait for each other."""


def check_plan(config: ExperimentConfig, space: Mapping[str, Domain]) -> None:
    """Check what `build_space` cannot know: points, mutations, installed extras.

    Raises
    ------
    ConfigError
        Naming the key, what came, what must hold.
    """
    search = config.search
    check_points(config, space)
    searcher = SEARCHERS[search.searcher]
    if searcher.extra is not None:
        require_extra(searcher.extra, f"search.searcher {search.searcher!r}")
    for tracker in search.trackers:
        require_extra(tracker, f"search.trackers {tracker!r}")
    make_scheduler(config, space)  # refuses mutations that cannot be
    if search.scheduler.is_population and search.num_samples < MIN_POPULATION:
        raise ConfigError(
            f"search.num_samples must be >= {MIN_POPULATION} for search.scheduler.type "
            f"{search.scheduler.type!r}, whose trials learn from each other, got "
            f"{search.num_samples}"
        )
    most = MOST_AT_ONCE if samples_all_first(config) else math.inf
    if (planned := count_trials(space, search)) > most:
        raise ConfigError(
            f"search.num_samples must give at most {MOST_AT_ONCE:,} trials for "
            f"search.scheduler.type {search.scheduler.type!r}, which starts them all before it "
            f"compares the first, got {planned:,}"
        )
    _check_ensemble(config, planned)
    if searcher.at_rungs and not any(len(d.values) > 1 for d in space.values()):
        raise ConfigError(
            f"search.searcher {search.searcher!r} needs something to search over in search.space"
        )


def _check_ensemble(config: ExperimentConfig, planned: int) -> None:
    """Warn of an ensemble of more trials than there will be, and of one that trades by orders."""
    search = config.search
    if not search.has_ensemble:
        return
    assert search.ensemble is not None
    if config.env.class_ is not None and FEATURES in search.space:
        raise ConfigError(
            f"search.ensemble acts in one account of {config.env.class_}, which all members see "
            f"alike: leave {FEATURES} out of search.space, or search.ensemble"
        )
    if search.ensemble > planned:
        logger.warning(
            "search.ensemble asks for %s trials, and %s will be started: as many as there are act "
            "together (search.num_samples)",
            f"{search.ensemble:,}",
            f"{planned:,}",
        )
    if config.env.class_ is None and _may_order(config):
        logger.warning(
            "search.ensemble averages orders where env.action is 'orders', which made agents worse "
            "where it was measured (docs/search.md); with env.action 'target_weights' it made most "
            "better"
        )


def _may_order(config: ExperimentConfig) -> bool:
    """Return whether trials may have `env.action: orders`."""
    entry = config.search.space.get("env.action")
    if entry is None:
        return config.env.action == "orders"
    return "orders" in str(entry)
