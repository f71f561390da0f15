"""The function that Ray Tune runs for each trial: the one place where training meets Ray."""

import gc
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch as th
from ray import tune

from finrl_ray.agent.resources import ResourceMonitor
from finrl_ray.config import ExperimentConfig
from finrl_ray.data.market_data import MarketData
from finrl_ray.training import train_agent


def train_trial(
    sample: dict[str, Any],
    *,
    config: ExperimentConfig,
    train_data: MarketData,
    validation_data: MarketData,
) -> None:
    """Train one sampled configuration, reporting to Ray Tune after each evaluation.

    Parameters
    ----------
    sample : one draw from the search space
    config : the experiment
    train_data, validation_data : the rows of the two windows; no other rows reach a trial
    """
    th.set_num_threads(max(1, int(config.search.cpus_per_trial)))
    # the actor has no child processes, and looking for some takes milliseconds
    report = partial(report_to_tune, ResourceMonitor(None, include_children=False))
    resume_from = tune.get_checkpoint()
    try:
        if resume_from is None:
            train_agent(sample, config, train_data, validation_data, report)
            return
        with resume_from.as_directory() as folder:
            train_agent(sample, config, train_data, validation_data, report, Path(folder))
    finally:
        # the actor is reused by the next trial: leave it as it was found
        gc.collect()


def report_to_tune(
    monitor: ResourceMonitor, metrics: dict[str, Any], save: Callable[[Path], None]
) -> None:
    """Report one evaluation with its checkpoint and what the process uses (`sys/...`).

    The `sys/` values are in Ray's results alone: the journal takes over what the trial computed,
    which does not depend on the machine.

    When the scheduler stops the trial, `tune.report` does not return: Ray raises SystemExit in it.
    """
    with tempfile.TemporaryDirectory() as folder:
        save(Path(folder))
        metrics = metrics | monitor.measure().metrics()
        tune.report(metrics, checkpoint=tune.Checkpoint.from_directory(folder))
