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
from finrl_ray.errors import SearchError
from finrl_ray.files.bounded_reading import read_arrays
from finrl_ray.metrics.returns import active_returns
from finrl_ray.search.folder.checkpoints import CheckpointStorage
from finrl_ray.search.folder.folder import SearchFolder
from finrl_ray.search.journal.records import TrialRecord
from finrl_ray.search.results.table import chosen_checkpoint
from finrl_ray.training.folds import FOLDS_FILE, FoldResult, folds_of

_READERS = 8


@dataclass(frozen=True, kw_only=True, eq=False)
class TrialReturns:
    """Returns of N trials on the same T days.

    Parameters
    ----------
    trials : N trial numbers; those that have left no whole series are missing
    dates : array of shape (T,)
    active : array of shape (T, N)
        Simple returns less those of equal-weight buy & hold at the same costs on the same days.
    """

    trials: tuple[int, ...]
    dates: DateArray
    active: FloatArray


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
    checkpoint = chosen_checkpoint(record, storage, "last")
    content = storage.read(checkpoint, name)
    if content is None:
        raise SearchError(f"{checkpoint} has no {name}; was it changed by hand?")
    return content


def evaluation_returns(
    folder: SearchFolder, evaluations: Sequence[tuple[TrialRecord, bytes]]
) -> TrialReturns:
    """Return the returns of the evaluation that stands for each trial, on the validation window.

    It is the trial's last, or with `search.select: best` the one with the best objective.

    Parameters
    ----------
    folder : of the search
    evaluations : what `read_checkpoints` has read of the evaluations' files
    """
    window = folder.validation_data
    held = buy_and_hold(window, folder.config.env)
    columns, trials = [], []
    for record, content in evaluations:
        file = read_arrays(io.BytesIO(content))
        row = _standing(record, file["timesteps"], folder.config.search.select)
        values = file["account_value"][row, 0]
        if np.isfinite(values).all() and (values[:-1] > 0).all():
            columns.append(active_returns(values, held))
            trials.append(record.index)
    return _stacked(trials, window.dates[1:], columns)


def _standing(record: TrialRecord, timesteps: AnyArray, select: str) -> int:
    if select == "last":
        return -1
    scores = {result["timesteps"]: result["eval_objective"] for result in record.results}
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
    own = folder.config.validation.trainings_per_path
    columns, trials = [], []
    dates: DateArray = np.empty(0, dtype="datetime64[ns]")
    for trial, done in folds.items():
        if len(done) < own:
            continue
        frame = fold_frame(done[:own])
        dates = frame["date"].to_numpy()
        columns.append(frame["active_return"].to_numpy())
        trials.append(trial)
    return _stacked(trials, dates, columns)


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


def _stacked(trials: Sequence[int], dates: DateArray, columns: Sequence[Any]) -> TrialReturns:
    active = np.column_stack(columns) if columns else np.empty((len(dates), 0))
    return TrialReturns(trials=tuple(trials), dates=dates, active=active)
