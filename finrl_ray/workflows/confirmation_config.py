"""The config of a confirmation: which samples are trained again, with which seeds and windows."""

import dataclasses
import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from finrl_ray.agents.hyperparameters import SEED_DRAW
from finrl_ray.config.experiment import ExperimentConfig
from finrl_ray.config.schedulers import FifoConfig
from finrl_ray.config.validation import WalkForward
from finrl_ray.search.folder.folder import SearchFolder
from finrl_ray.search.journal.records import TrialRecord
from finrl_ray.search.results.ensemble_members import choose_members
from finrl_ray.search.results.table import in_order_of_rank
from finrl_ray.support.values import to_python
from finrl_ray.workflows.confirmation_files import CONFIRMATION_FOLDER


def confirmation_config(
    folder: SearchFolder, chosen: Sequence[TrialRecord], *, seeds: int, windows: int
) -> ExperimentConfig:
    """Return the config that trains the chosen samples, each on every window with every seed."""
    config = folder.config
    first, stop = folder.split.train.first_row, folder.split.validation.stop_row
    begin = min(folder.split.validation.first_row, first + (stop - first) // 2)
    start = np.datetime_as_string(folder.market_data.dates[begin], unit="D")
    validation = WalkForward(
        n_windows=windows,
        seeds=seeds,
        start=pd.Timestamp(str(start)).date(),
    )
    samples = tuple(plain_sample(record) for record in chosen)
    members = ensemble_of(folder)
    search = dataclasses.replace(
        config.search,
        num_samples=len(samples),
        searcher="random",
        scheduler=FifoConfig(),
        space={name: _without_grid(entry) for name, entry in config.search.space.items()},
        initial_points=samples,
        objectives=(),
        select="last",
        select_last=None,
        # each training's model is kept, as they act together
        ensemble=len(members) or None,
        timesteps_budget=None,
        time_budget_s=None,
        stop_after_no_improvement=None,
        storage_path=str(folder.path / CONFIRMATION_FOLDER),
    )
    return dataclasses.replace(
        config,
        name=f"confirm_{config.name}"[:100],
        seed=new_seed(config.seed),
        validation=validation,
        evaluation=dataclasses.replace(
            config.evaluation, max_no_improvement_evals=None, min_evals=0
        ),
        search=search,
    )


def new_seed(seed: int) -> int:
    """Return a seed of which none of a search's own is derived, within 0..2**31-1."""
    return int.from_bytes(hashlib.sha256(f"confirm {seed}".encode()).digest()[:4], "big") >> 1


def plain_sample(record: TrialRecord) -> dict[str, Any]:
    """Return the hyperparameters of a trial, without the number that tells equal samples apart."""
    return {n: to_python(v) for n, v in record.sample.items() if n != SEED_DRAW}


def _without_grid(entry: Any) -> Any:
    """Return an entry of the space as one that random search draws from."""
    return {"choice": entry["grid"]} if isinstance(entry, dict) and "grid" in entry else entry


def ensemble_of(folder: SearchFolder) -> list[TrialRecord]:
    """Return the trials that are a search's winner together; empty where one trial is."""
    if not folder.config.search.has_ensemble:
        return []
    ranked = in_order_of_rank(folder.records().in_order(), folder.config)
    chosen = choose_members(ranked, folder.config).records
    return list(chosen) if len(chosen) > 1 else []
