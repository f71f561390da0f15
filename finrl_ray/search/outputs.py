"""The files that a search leaves in its folder beside Ray's: tables, curves, the chosen models."""

import io
import os
import shutil
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from finrl_ray._typing import DateArray
from finrl_ray.agent.atomic_file import atomic_path
from finrl_ray.errors import SearchError
from finrl_ray.object_store import in_words
from finrl_ray.search.folder import SearchFolder
from finrl_ray.search.journal import TrialRecord
from finrl_ray.search.results import PARETO, chosen_checkpoint, trial_table, winner
from finrl_ray.search.storage import CheckpointStorage
from finrl_ray.training import EVALUATIONS_FILE

TRIALS_FILE = "trials"
LEARNING_CURVES_FILE = "learning_curves.csv"
PARETO_FILE = "pareto.csv"
ACCOUNT_CURVES_FILE = "account_curves.parquet"
BEST_MODEL_FOLDER = "best_model"
FINAL_MODEL_FOLDER = "final_model"
_READERS = 8
FINAL_MODEL_FILE = "final_model.zip"
"""The same of one training run, whose models are single files as SB3's callbacks write them."""


def write_outputs(folder: SearchFolder, records: Sequence[TrialRecord]) -> None:
    """Write `trials.csv/.parquet`, the curves, `best_model/` and `final_model/` of the winner.

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
    table = trial_table(records, folder.config)
    curves, accounts = learning_curves(records), account_curves(folder, records, storage)
    _write(folder.path / f"{TRIALS_FILE}.csv", lambda path: table.to_csv(path, index=False))
    _write(folder.path / f"{TRIALS_FILE}.parquet", _parquet(table))
    if PARETO in table:
        front = table[table[PARETO]]
        _write(folder.path / PARETO_FILE, lambda path: front.to_csv(path, index=False))
    _write(folder.path / LEARNING_CURVES_FILE, lambda path: curves.to_csv(path, index=False))
    _write(folder.path / ACCOUNT_CURVES_FILE, _parquet(accounts))
    try:
        best = winner(records, folder.config)
    except SearchError:
        return
    for name, select in ((BEST_MODEL_FOLDER, "best"), (FINAL_MODEL_FOLDER, "last")):
        with storage.on_disk(chosen_checkpoint(best, storage, select)) as checkpoint:
            copy_tree(checkpoint, folder.path / name)


def learning_curves(records: Sequence[TrialRecord]) -> pd.DataFrame:
    """Return one row per trial and evaluation: `trial`, `timesteps` and every reported measure."""
    rows = [{"trial": record.index, **result} for record in records for result in record.results]
    columns = ["trial", "timesteps"]
    frame = pd.DataFrame(rows, columns=columns if not rows else None)
    return frame.drop(columns=[name for name in ("stop_reason", "seed") if name in frame])


def account_curves(
    folder: SearchFolder, records: Sequence[TrialRecord], storage: CheckpointStorage
) -> pd.DataFrame:
    """Return the account values of every evaluation on the validation window.

    Columns: `trial`, `timesteps`, `date`, `account_value` (currency).
    """
    with_some = [record for record in records if record.checkpoints]
    dates = folder.validation_data.dates
    frames = []
    # an object store answers many questions in the time of one
    with ThreadPoolExecutor(_READERS) as readers:
        contents = readers.map(partial(_evaluations, storage), with_some)
        for record, content in zip(with_some, contents, strict=True):
            with np.load(io.BytesIO(content), allow_pickle=False) as file:
                frames.append(_account_frame(record, file, dates))
    columns = ["trial", "timesteps", "date", "account_value"]
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=columns)


def _evaluations(storage: CheckpointStorage, record: TrialRecord) -> bytes:
    checkpoint = chosen_checkpoint(record, storage, "last")
    content = storage.read(checkpoint, EVALUATIONS_FILE)
    if content is None:
        raise SearchError(f"{checkpoint} has no {EVALUATIONS_FILE}; was it changed by hand?")
    return content


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


def copy_tree(source: Path, target: Path) -> None:
    """Copy a folder so that the target is the whole copy, or what it was."""
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".copy") as scratch:
        copy = Path(scratch) / target.name
        shutil.copytree(source, copy)
        if target.exists():
            target.rename(Path(scratch) / "old")
        os.replace(copy, target)  # noqa: PTH105  # Path.rename refuses an existing folder on some systems
