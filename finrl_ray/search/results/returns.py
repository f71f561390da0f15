"""The out-of-sample returns of all trials on the same days, as the statistics need them."""

import io
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from finrl_ray._typing import AnyArray, DateArray, FloatArray
from finrl_ray.baselines.buy_and_hold import buy_and_hold
from finrl_ray.config.experiment import ExperimentConfig
from finrl_ray.errors import SearchError
from finrl_ray.files.bounded_reading import read_arrays
from finrl_ray.metrics.beside_benchmark import residual_returns
from finrl_ray.metrics.returns import simple_returns
from finrl_ray.search.folder.checkpoints import CheckpointStorage
from finrl_ray.search.folder.folder import SearchFolder
from finrl_ray.search.journal.records import TrialRecord
from finrl_ray.search.results.ensemble_facts import ENSEMBLE
from finrl_ray.search.results.ranking import scores_by_timesteps
from finrl_ray.search.results.table import chosen_checkpoint
from finrl_ray.training.fold_results import FOLDS_FILE, FoldResult, folds_of

_READERS = 8


@dataclass(frozen=True, kw_only=True, eq=False)
class TrialReturns:
    """Returns of N trials on the same T days.

    Parameters
    ----------
    trials : N trial numbers, and `ENSEMBLE` for that of a search; those that have left no whole
        series are missing
    dates : array of shape (T,)
    own : array of shape (T, N)
        Simple returns of each trial's account.
    benchmark : array of shape (T,)
        Those of equal-weight buy & hold at the same costs.
    residual : array of shape (T, N)
        `own` less each trial's beta times `benchmark`, beta by least squares on these days.
    """

    trials: tuple[int, ...]
    dates: DateArray
    own: FloatArray
    benchmark: FloatArray
    residual: FloatArray


def read_checkpoints(
    records: Iterable[TrialRecord], storage: CheckpointStorage, name: str
) -> list[tuple[TrialRecord, bytes]]:
    """Return a file of the last checkpoint of each trial that has one, in order.

    Raises
    ------
    SearchError
        If a checkpoint that the journal names is gone or lacks the file.
    """
    with_some = [record for record in records if record.checkpoints]
    # an object store answers many questions in the time of one
    with ThreadPoolExecutor(_READERS) as readers:
        contents = list(readers.map(partial(_read, storage, name), with_some))
    return list(zip(with_some, contents, strict=True))


def _read(storage: CheckpointStorage, name: str, record: TrialRecord) -> bytes:
    checkpoint = chosen_checkpoint(record, storage)
    content = storage.read(checkpoint, name)
    if content is None:
        raise SearchError(f"{checkpoint} has no {name}; was it changed by hand?")
    return content


def evaluation_returns(
    folder: SearchFolder, evaluations: Sequence[tuple[TrialRecord, bytes]]
) -> TrialReturns:
    """Return the returns of the evaluation that stands for each trial, on the validation window.

    It is the trial's last, or with `search.select: best` the one that ranks highest.

    Parameters
    ----------
    folder : of the search
    evaluations : what `read_checkpoints` has read of the evaluations' files
    """
    window, config = folder.validation_data, folder.config
    held = simple_returns(buy_and_hold(window, config.env))
    columns, trials = [], []
    for record, content in evaluations:
        file = read_arrays(io.BytesIO(content))
        values = file["account_value"][_standing(record, file["timesteps"], config), 0]
        if np.isfinite(values).all() and (values[:-1] > 0).all():
            columns.append(simple_returns(values))
            trials.append(record.index)
    return _stacked(trials, window.dates[1:], columns, held)


def _standing(record: TrialRecord, timesteps: AnyArray, config: ExperimentConfig) -> int:
    if config.search.select != "best":
        return -1
    scores = scores_by_timesteps(record, config)
    return int(np.argmax([scores.get(int(steps), -np.inf) for steps in timesteps]))


def path_returns(folder: SearchFolder, folds: Mapping[int, Sequence[FoldResult]]) -> TrialReturns:
    """Return the returns of each trial on the first path, which all trials run first.

    Further paths go over the same days again; their returns are never pooled with these.

    Parameters
    ----------
    folder : of a search whose trials train several times
    folds : by trial, those that are done; a trial that has not come to the end of the first path
        is left out
    """
    trainings = folder.config.validation.trainings_per_path
    columns, trials = [], []
    dates: DateArray = np.empty(0, dtype="datetime64[ns]")
    held: FloatArray = np.empty(0)
    for trial, done in folds.items():
        if len(done) < trainings:
            continue
        frame = fold_frame(done[:trainings])
        own = frame["return"].to_numpy()
        dates, held = frame["date"].to_numpy(), own - frame["active_return"].to_numpy()
        columns.append(own)
        trials.append(trial)
    return _stacked(trials, dates, columns, held)


def with_ensemble(returns: TrialReturns, dates: DateArray, own: FloatArray) -> TrialReturns:
    """Return returns with those of an ensemble as one candidate more, `ENSEMBLE`.

    Where they are not finite, or are of other days, nothing is added.

    Parameters
    ----------
    returns : of the trials
    dates, own : arrays of shape (T,), days and simple returns of the ensemble's account
    """
    same = len(dates) == len(returns.dates) and bool((dates == returns.dates).all())
    if not same or not np.isfinite(own).all():
        return returns
    columns = [*returns.own.T, own]
    return _stacked([*returns.trials, ENSEMBLE], returns.dates, columns, returns.benchmark)


def trial_folds(
    records: Sequence[TrialRecord], storage: CheckpointStorage
) -> dict[int, list[FoldResult]]:
    """Return the folds that each trial has done, by trial number."""
    read = read_checkpoints(records, storage, FOLDS_FILE)
    return {record.index: folds_of(content) for record, content in read}


def fold_frame(folds: Sequence[FoldResult]) -> pd.DataFrame:
    """Return folds as rows `fold`, `date`, `return`, `active_return`, in order of dates."""
    frames = [
        pd.DataFrame(
            {
                "fold": result.fold,
                "date": result.dates,
                "return": result.returns,
                "active_return": result.active,
            }
        )
        for result in folds
    ]
    return pd.concat(frames, ignore_index=True).sort_values("date", kind="stable")


def _stacked(
    trials: Sequence[int], dates: DateArray, columns: Sequence[Any], held: FloatArray
) -> TrialReturns:
    residual = [residual_returns(own, held) for own in columns]
    # all or none: buy & hold that does not move has no beta
    kept = [number for number, one in enumerate(residual) if np.isfinite(one).all()]
    nothing = np.empty((len(dates), 0))
    return TrialReturns(
        trials=tuple(trials[number] for number in kept),
        dates=dates,
        own=np.column_stack([columns[number] for number in kept]) if kept else nothing,
        benchmark=held,
        residual=np.column_stack([residual[number] for number in kept]) if kept else nothing,
    )
