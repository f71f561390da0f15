"""`read_progress`: how far a run is, read from its files.

Files that are missing, half-written or of an older kind are read as far as they go: the run that
writes them is under way in another process.
"""

import csv
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from finrl_ray._typing import FloatArray
from finrl_ray.errors import DataError, SearchError
from finrl_ray.files.bounded_reading import read_arrays, require_regular
from finrl_ray.monitoring.event_files import EVENT_PATTERN, read_scalars
from finrl_ray.search.journal.lines import JOURNAL_FILE

EPISODES_FILES = ("plots/performance.csv", "performance.csv")
EVALUATIONS_FILES = ("eval_logs/evaluations.npz", "evaluations.npz")
END_FILES = ("metrics.json", "final_model.zip", "final_model")
RUN_MARKS = (*EPISODES_FILES, *EVALUATIONS_FILES, JOURNAL_FILE, "eval_logs", "tensorboard", "plots")


def _none() -> dict[str, FloatArray]:
    return {}


@dataclass(frozen=True, kw_only=True)
class RunProgress:
    """What the files of a run said when they were read.

    Parameters
    ----------
    episodes : columns of `performance.csv`, one entry per training episode
    evaluations : `timesteps`, `mean_reward`, `account_value` (last day) and the measures that the
        run evaluates, one entry per evaluation on the validation window
    scalars : of TensorBoard's event files, if there is nothing else: by tag, an array (n, 2) of
        step and value
    curves : of a search: by trial, an array (n, 2) of timesteps and objective
    trial_states : of a search: number of trials by state
    best_objective : of a search: best last objective so far, NaN before the first
    finished : whether nothing more will be written
    """

    episodes: Mapping[str, FloatArray] = field(default_factory=_none)
    evaluations: Mapping[str, FloatArray] = field(default_factory=_none)
    scalars: Mapping[str, FloatArray] = field(default_factory=_none)
    curves: Mapping[str, FloatArray] = field(default_factory=_none)
    trial_states: Mapping[str, int] = field(default_factory=dict)
    best_objective: float = np.nan
    finished: bool = False

    @property
    def is_search(self) -> bool:
        """Whether these are several trials."""
        return sum(self.trial_states.values()) > 1

    @property
    def is_empty(self) -> bool:
        """Whether nothing has been found yet."""
        return not (self.episodes or self.evaluations or self.scalars or self.trial_states)

    @property
    def timesteps(self) -> int:
        """The latest timesteps found; of a search, summed over its trials."""
        if self.is_search:
            return int(sum(curve[-1, 0] for curve in self.curves.values() if len(curve)))
        seen = [self.episodes.get("timesteps"), self.evaluations.get("timesteps")]
        seen += [curve[:, 0] for curve in (*self.scalars.values(), *self.curves.values())]
        return int(
            max((steps[-1] for steps in seen if steps is not None and len(steps)), default=0)
        )


def read_progress(folder: Path) -> RunProgress:
    """Return what the files of a run say: a folder of the training pipeline or of a search.

    Of a folder of neither kind, TensorBoard's event files in it are read.
    """
    found: dict[str, Any] = {
        "episodes": _first(folder, EPISODES_FILES, read_episodes),
        "evaluations": _first(folder, EVALUATIONS_FILES, read_evaluations),
        "finished": any((folder / name).exists() for name in END_FILES),
    }
    if (folder / JOURNAL_FILE).exists():
        found |= read_search(folder)
    elif not found["episodes"] and not found["evaluations"]:
        found["scalars"] = read_scalars(folder)
    return RunProgress(**found)


def newest_run(folder: Path) -> Path:
    """Return `folder` if it looks like a run, else the latest run directly in it, else `folder`."""
    if looks_like_run(folder) or not folder.is_dir():
        return folder
    runs = [path for path in folder.iterdir() if path.is_dir() and looks_like_run(path)]
    return max(runs, key=_changed_at, default=folder)


def looks_like_run(folder: Path) -> bool:
    """Return whether a folder holds anything that a run writes."""
    return any((folder / name).exists() for name in RUN_MARKS) or any(folder.glob(EVENT_PATTERN))


def read_episodes(path: Path) -> dict[str, FloatArray]:
    """Return the numeric columns of `performance.csv`; a row that is cut off is left out."""
    try:
        with require_regular(path).open(newline="", encoding="utf-8") as file:
            header, *rows = csv.reader(file)
    except (SearchError, OSError, ValueError):  # missing, no header yet, or not text
        return {}
    numbers = [row for row in map(_floats, rows) if len(row) == len(header)]
    if not numbers or "timesteps" not in header:
        return {}
    return dict(zip(header, np.array(numbers).T, strict=True))


def read_evaluations(path: Path) -> dict[str, FloatArray]:
    """Return what `evaluations.npz` holds per evaluation, as finrl_ray and as SB3 write it."""
    try:
        arrays = read_arrays(path)
    # numpy raises any of these, depending on where the file is cut off
    except (DataError, OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile, zlib.error):
        return {}
    if not {"timesteps", "results"} <= arrays.keys() or not len(arrays["timesteps"]):
        return {}
    found = {
        name: np.asarray(array, dtype=np.float64)
        for name, array in arrays.items()
        if array.ndim == 1 and array.dtype.kind in "iuf"
    }
    found["mean_reward"] = np.nanmean(arrays["results"], axis=1)
    if "account_value" in arrays:
        found["account_value"] = np.array([_last_values(e) for e in arrays["account_value"]])
    return found


def read_search(folder: Path) -> dict[str, Any]:
    """Return `curves`, `trial_states`, `best_objective` and `finished` of a search folder."""
    # here, because it imports Ray, which a training run without a search does not need
    from finrl_ray.search.journal.events import read_journal
    from finrl_ray.search.journal.records import ENDED

    records = read_journal(folder)
    trials = records.in_order()
    curves = {
        str(trial.index): np.array([[r["timesteps"], r["objective"]] for r in trial.results])
        for trial in trials
        if trial.results
    }
    judged = [t for t in trials if t.results and t.state not in ("failed", "rejected")]
    if records.searches:
        finished = records.searches[-1].get("state") in ("finished", "interrupted")
    else:
        finished = bool(trials) and all(t.state in (*ENDED, "interrupted") for t in trials)
    return {
        "curves": curves,
        "trial_states": dict(Counter(trial.state for trial in trials)),
        "best_objective": max((float(t.last["objective"]) for t in judged), default=np.nan),
        "finished": finished,
    }


def _first(
    folder: Path, names: tuple[str, ...], read: Callable[[Path], dict[str, FloatArray]]
) -> dict[str, FloatArray]:
    for name in names:
        found = read(folder / name)
        if found:
            return found
    return {}


def _floats(row: list[str]) -> list[float]:
    try:
        return [float(text) for text in row]
    except ValueError:
        return []


def _last_values(curves: FloatArray) -> float:
    """Return the mean over episodes of the last number of each (K, D) row that has one."""
    last = [curve[np.isfinite(curve)][-1:] for curve in curves]
    values = np.concatenate(last)
    return float(values.mean()) if len(values) else np.nan


def _changed_at(folder: Path) -> float:
    try:
        return folder.stat().st_mtime
    except OSError:
        return 0.0
