"""The files that a search leaves in its folder beside Ray's: tables, curves, the chosen models."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from finrl_ray._typing import DateArray
from finrl_ray.baselines.curves import baseline_curves, curve_measures, measures_table
from finrl_ray.errors import SearchError
from finrl_ray.files.atomic import atomic_path
from finrl_ray.files.bounded_reading import read_arrays
from finrl_ray.files.copy import copy_tree
from finrl_ray.metrics.returns import account_values
from finrl_ray.own_code.metric import OwnMetric
from finrl_ray.search.folder.checkpoints import CheckpointStorage
from finrl_ray.search.folder.folder import SearchFolder
from finrl_ray.search.folder.names import (
    ACCOUNT_CURVES_FILE,
    ACTIVE_RETURNS_FILE,
    BASELINE_CURVES_FILE,
    BASELINES_FILE,
    BEST_MODEL_FOLDER,
    FINAL_MODEL_FOLDER,
    FOLD_RETURNS_FILE,
    LEARNING_CURVES_FILE,
    PARETO_FILE,
    RESIDUAL_RETURNS_FILE,
    TRIALS_FILE,
    VERDICT_FILE,
)
from finrl_ray.search.journal.records import TrialRecord
from finrl_ray.search.reproduce.archive import archived_trial, write_reproduction
from finrl_ray.search.results.ensemble import (
    JudgedEnsemble,
    members_checkpoints,
    write_ensemble,
)
from finrl_ray.search.results.ensemble_facts import ENSEMBLE, ENSEMBLE_NAME
from finrl_ray.search.results.ensemble_members import choose_members
from finrl_ray.search.results.refit import refit
from finrl_ray.search.results.returns import (
    TrialReturns,
    evaluation_returns,
    fold_frame,
    path_returns,
    read_checkpoints,
    trial_folds,
    with_ensemble,
)
from finrl_ray.search.results.table import (
    PARETO,
    chosen_checkpoint,
    in_order_of_rank,
    learning_curves,
    trial_table,
    winner,
)
from finrl_ray.search.results.verdict import judge_search, write_verdict
from finrl_ray.storage.object_store import in_words
from finrl_ray.training.agent import EVALUATIONS_FILE
from finrl_ray.training.fold_results import FoldResult
from finrl_ray.training.own_metrics import metrics_of


def write_outputs(folder: SearchFolder, records: Sequence[TrialRecord]) -> None:
    """Write the tables and curves, and what belongs to the winner: models, verdict, reproduction.

    Everything is collected before anything is written, and each file is written whole under another
    name first, so that an error or an interruption leaves the old ones.

    Raises
    ------
    SearchError
        If a checkpoint that the journal names is not on disk.
    """
    if not records:
        return
    storage = CheckpointStorage(folder.path, folder.remote)
    try:
        _write_all(folder, records, storage)
    except OSError as error:
        if storage.is_local:
            raise
        raise SearchError(
            f"{in_words(storage.url, error)}. What was reported is kept; the tables and the "
            f"winner's models are written by `finrl-ray resume {folder.path}`"
        ) from error


def _write_all(
    folder: SearchFolder, records: Sequence[TrialRecord], storage: CheckpointStorage
) -> None:
    table, curves = trial_table(records, folder.config), learning_curves(records)
    paths = folder.config.validation.has_paths
    # each file of a checkpoint is fetched once: a store may be far away
    folds = trial_folds(records, storage) if paths else {}
    evaluations = [] if paths else read_checkpoints(records, storage, EVALUATIONS_FILE)
    accounts = path_account_curves(folder, folds) if paths else account_curves(folder, evaluations)
    _write(folder.path / f"{TRIALS_FILE}.csv", lambda path: table.to_csv(path, index=False))
    _write(folder.path / f"{TRIALS_FILE}.parquet", _parquet(table))
    if PARETO in table:
        front = table[table[PARETO]]
        _write(folder.path / PARETO_FILE, lambda path: front.to_csv(path, index=False))
    _write(folder.path / LEARNING_CURVES_FILE, lambda path: curves.to_csv(path, index=False))
    _write(folder.path / ACCOUNT_CURVES_FILE, _parquet(accounts))
    if paths:
        _write(folder.path / FOLD_RETURNS_FILE, _parquet(fold_returns(folds)))
    write_baselines(folder)
    try:
        best: TrialRecord | None = winner(records, folder.config)
    except SearchError:
        best = None
    # an interrupted search has no winner yet: nothing is judged, kept or trained for one
    ended = folder.kind == "search" and folder.is_finished(folder.records())
    (folder.path / VERDICT_FILE).unlink(missing_ok=True)
    judged = None
    if ended and best is not None:
        if folder.config.validation.has_paths:
            refit(folder, best)
        if folder.config.search.has_ensemble:
            judged = write_ensemble(folder, records, storage, folds)
        _write_reproduction(folder, records, storage, best, judged)
    # an interruption may fall between a trial's first result and the note of its checkpoint
    if best is not None and best.checkpoints and not paths:
        _write_models(folder, storage, best, ensemble=judged is not None)
    if ended:
        # the last of all files: what has a verdict has the others too
        returns = path_returns(folder, folds) if paths else evaluation_returns(folder, evaluations)
        _write_verdict(folder, records, returns, best, judged)


def _write_verdict(
    folder: SearchFolder,
    records: Sequence[TrialRecord],
    returns: TrialReturns,
    best: TrialRecord | None,
    ensemble: JudgedEnsemble | None,
) -> None:
    """Write the verdict on a finished search and the returns that it rests on."""
    if ensemble is not None:
        returns = with_ensemble(returns, ensemble.dates, ensemble.returns)
    names = [ENSEMBLE_NAME if trial == ENSEMBLE else str(trial) for trial in returns.trials]
    frame = pd.DataFrame(returns.residual, columns=names)
    frame.insert(0, "date", returns.dates)
    _write(folder.path / RESIDUAL_RETURNS_FILE, _parquet(frame))
    (folder.path / ACTIVE_RETURNS_FILE).unlink(missing_ok=True)  # of an earlier version's verdict
    facts = None if ensemble is None else ensemble.facts
    write_verdict(folder.path, judge_search(folder, records, returns, best, facts))


def _write_reproduction(
    folder: SearchFolder,
    records: Sequence[TrialRecord],
    storage: CheckpointStorage,
    best: TrialRecord,
    ensemble: JudgedEnsemble | None,
) -> None:
    """Write what reproduces the winner, or all trials that are it together."""
    if ensemble is None:
        winners = [best]
        checkpoints = [(chosen_checkpoint(best, storage), int(best.last["timesteps"]))]
    else:
        chosen = choose_members(in_order_of_rank(records, folder.config), folder.config)
        winners = list(chosen.records)
        checkpoints = members_checkpoints(chosen, storage, folder.config)
    archived = []
    for record, (path, until) in zip(winners, checkpoints, strict=True):
        with storage.on_disk(path) as checkpoint:
            archived.append(archived_trial(folder, record, records, checkpoint, until))
    write_reproduction(folder, archived, None if ensemble is None else ensemble.account)


def _write_models(
    folder: SearchFolder, storage: CheckpointStorage, best: TrialRecord, *, ensemble: bool
) -> None:
    """Write the first trial's models as its checkpoints have them; an ensemble's place is its."""
    kinds = {BEST_MODEL_FOLDER: folder.config, FINAL_MODEL_FOLDER: None}
    if ensemble:
        del kinds[BEST_MODEL_FOLDER]
    for name, best_by in kinds.items():
        with storage.on_disk(chosen_checkpoint(best, storage, best_by)) as checkpoint:
            copy_tree(checkpoint, folder.path / name)


def write_baselines(folder: SearchFolder) -> None:
    """Write `baselines.csv` (measures) and `baseline_curves.csv` of the validation window."""
    measures, curves = baseline_tables(folder, metrics_of(folder.config))
    _write(folder.path / BASELINES_FILE, lambda path: measures.to_csv(path, index=False))
    _write(folder.path / BASELINE_CURVES_FILE, lambda path: curves.to_csv(path, index=False))


def baseline_tables(
    folder: SearchFolder, own_metrics: Sequence[OwnMetric] = ()
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the measures of the baselines, and their account values by date, on validation."""
    periods, rate = folder.periods_per_year, folder.config.evaluation.risk_free_rate
    found = baseline_curves(
        folder.validation_data, folder.train_data, folder.config, periods_per_year=periods
    )
    measures = curve_measures(
        found.curves,
        periods_per_year=periods,
        risk_free_rate=rate,
        own_metrics=own_metrics,
        dates=folder.validation_data.dates,
    )
    return measures_table(measures, found), pd.DataFrame(
        {"date": folder.validation_data.dates, **found.curves}
    )


def account_curves(
    folder: SearchFolder, evaluations: Sequence[tuple[TrialRecord, bytes]]
) -> pd.DataFrame:
    """Return the account values of every evaluation on the validation window.

    Columns: `trial`, `timesteps`, `date`, `account_value` (currency).
    """
    dates = folder.validation_data.dates
    frames = []
    for record, content in evaluations:
        frames.append(_account_frame(record, read_arrays(io.BytesIO(content)), dates))
    return _concatenated(frames, ["trial", "timesteps", "date", "account_value"])


def path_account_curves(
    folder: SearchFolder, folds: Mapping[int, Sequence[FoldResult]]
) -> pd.DataFrame:
    """Return the account values that compounding each whole path's returns gives.

    Columns: `trial`, `path` (from 1), `date`, `account_value` (currency), from the first day on
    which a return was earned; each path begins with `env.initial_amount` the day before.
    """
    own, amount = folder.config.validation.trainings_per_path, folder.config.env.initial_amount
    frames = []
    for trial, done in folds.items():
        for path in range(len(done) // own):
            frame = fold_frame(done[path * own : (path + 1) * own])
            values = account_values(frame["return"].to_numpy(), amount)[1:]
            columns = {"date": frame["date"].to_numpy(), "account_value": values}
            frames.append(pd.DataFrame({"trial": trial, "path": path + 1, **columns}))
    return _concatenated(frames, ["trial", "path", "date", "account_value"])


def fold_returns(folds: Mapping[int, Sequence[FoldResult]]) -> pd.DataFrame:
    """Return every return of every fold: `trial`, `fold`, `date`, `return`, `active_return`."""
    frames = [fold_frame(done).assign(trial=trial) for trial, done in folds.items() if done]
    columns = ["trial", "fold", "date", "return", "active_return"]
    return _concatenated(frames, columns)[columns]


def _concatenated(frames: Sequence[pd.DataFrame], columns: list[str]) -> pd.DataFrame:
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=columns)


def _account_frame(record: TrialRecord, file: Any, dates: DateArray) -> pd.DataFrame:
    steps = file["timesteps"]
    values = file["account_value"][:, 0, :]  # (evaluations, dates) of the one episode
    return pd.DataFrame(
        {
            "trial": record.index,
            "timesteps": np.repeat(steps, len(dates)),
            "date": np.tile(dates, len(steps)),
            "account_value": values.reshape(-1),
        }
    )


def _parquet(frame: pd.DataFrame) -> Any:
    plain = frame.copy()
    for name in plain.columns:
        # a hyperparameter may be a number in one trial and a name in another ("auto", 0.1)
        if plain[name].dtype == object and plain[name].map(type).nunique() > 1:
            plain[name] = plain[name].map(lambda v: None if v is None else str(v))
    return lambda path: plain.to_parquet(path, index=False)


def _write(path: Path, write: Any) -> None:
    with atomic_path(path) as temporary:
        write(temporary)
