"""`confirm`: train the best trials of a search again, in parallel, with new seeds and windows.

The best of many trials owes a part of its result to its seed and its window. New seeds and several
windows remove that part. The prices are still those on which the configurations were chosen.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from finrl_ray._typing import FloatArray
from finrl_ray.config.experiment import ExperimentConfig
from finrl_ray.config.search import RANK_BY_OBJECTIVE
from finrl_ray.errors import ConfigError, SearchError
from finrl_ray.files.atomic import atomic_path
from finrl_ray.metrics.registry import measure_name
from finrl_ray.search.folder.checkpoints import CheckpointStorage
from finrl_ray.search.folder.folder import SearchFolder, open_folder
from finrl_ray.search.journal.records import TrialRecord
from finrl_ray.search.results.ranking import result_score
from finrl_ray.search.results.returns import trial_folds
from finrl_ray.search.results.table import trial_table
from finrl_ray.search.run.runner import SearchResult, ViewFactory, resume_search, run_search
from finrl_ray.statistics.interquartile_mean import interquartile_mean, interquartile_mean_interval
from finrl_ray.support.text import and_list
from finrl_ray.training.fold_results import FoldResult
from finrl_ray.training.folds import fold_measures, fold_metrics
from finrl_ray.workflows.confirmation_config import (
    confirmation_config,
    ensemble_of,
    plain_sample,
)
from finrl_ray.workflows.confirmation_files import (
    FORMER_MEASURE,
    TABLE_FILE,
    WHOLE_NUMBERS,
    Confirmation,
)


def confirm(
    path: str | Path,
    *,
    top: int = 5,
    seeds: int = 5,
    windows: int = 4,
    make_view: ViewFactory | None = None,
    address: str | None = None,
    dashboard: bool = False,
    trust: bool = False,
) -> Confirmation:
    """Train the best configurations of a finished search with new seeds over walk-forward windows.

    With `search.ensemble` the trials of the ensemble are among them, whatever `top` is, and what
    they come to together is ranked beside them.

    The windows cover the second half of the rows before the test window, or all of the validation
    window where that begins earlier; each follows a training on all rows before it. The test window
    stays sealed.

    Parameters
    ----------
    path : the search's folder
    top : configurations, best first
    seeds : trainings of each configuration on each window
    windows : windows
    make_view, address, dashboard : as for `run_search`
    trust : run own code that somebody else has put into the folder; see docs/trust.md

    Raises
    ------
    ConfigError
        If a number is less than 1, or the windows leave nothing to train on.
    SearchError
        If the search has not ended or none of its trials can win.
    """
    for name, value in (("top", top), ("seeds", seeds), ("windows", windows)):
        if value < 1:
            raise ConfigError(f"{name} must be >= 1, got {value}")
    folder = open_folder(path)
    chosen = confirmed_records(folder, top)
    folder.run_code(trust=trust)
    config = confirmation_config(folder, chosen, seeds=seeds, windows=windows)
    result = run_search(
        config,
        market_data=folder.market_data,
        make_view=make_view,
        address=address,
        dashboard=dashboard,
        kind="confirmation",
        code=folder.code,
    )
    return summarised(result, [record.index for record in chosen], ensemble_of(folder))


def resume_confirmation(
    path: str | Path,
    *,
    make_view: ViewFactory | None = None,
    address: str | None = None,
    dashboard: bool = False,
    trust: bool = False,
) -> Confirmation:
    """Go on with an interrupted confirmation.

    Parameters
    ----------
    path : its own folder, in the folder of the search
    make_view, address, dashboard : as for `run_search`
    trust : as for `resume_search`

    Raises
    ------
    SearchError
        If the folder is no confirmation's, or does not lie in the search that it belongs to.
    """
    folder = open_folder(path)
    if folder.kind != "confirmation":
        raise SearchError(f"{folder.path} is not the folder of a confirmation")
    points = folder.config.search.initial_points
    searched = open_folder(folder.path.parents[1])
    chosen = _records_of_points(searched, points)
    if chosen is None:
        raise SearchError(
            f"{folder.path} does not confirm the best of the search in {folder.path.parents[1]}; "
            "was one of the folders moved?"
        )
    result = resume_search(
        path, make_view=make_view, address=address, dashboard=dashboard, trust=trust
    )
    return summarised(result, [record.index for record in chosen], ensemble_of(searched))


def _records_of_points(searched: SearchFolder, points: Sequence[Any]) -> list[TrialRecord] | None:
    """Return the trials of which a confirmation has the samples; None if it is another search's."""
    for top in range(len(points), 0, -1):
        chosen = confirmed_records(searched, top)
        if [plain_sample(record) for record in chosen] == list(points):
            return chosen
    return None


def confirmed_records(folder: SearchFolder, top: int) -> list[TrialRecord]:
    """Return the trials that rank first, at most `top`, and after them others of the ensemble.

    Raises
    ------
    SearchError
        As `best_records`.
    """
    chosen = best_records(folder, top)
    known = {record.index for record in chosen}
    return [*chosen, *(one for one in ensemble_of(folder) if one.index not in known)]


def best_records(folder: SearchFolder, top: int) -> list[TrialRecord]:
    """Return the trials that rank first, at most `top`.

    Raises
    ------
    SearchError
        If the folder is no search's, or the search has not ended or has no winner.
    """
    if folder.kind != "search":
        raise SearchError(f"{folder.path} is not the folder of a search, whose best are confirmed")
    records = folder.records()
    if not folder.is_finished(records):
        raise SearchError(
            f"only a finished search is confirmed; go on with: finrl-ray resume {folder.path}"
        )
    table = trial_table(records.in_order(), folder.config)
    ranked = table[table["rank"].notna()] if len(table) else table
    if not len(ranked):
        raise SearchError(f"no trial of the search in {folder.path} can win")
    by_index = {record.index: record for record in records.in_order()}
    return [by_index[int(index)] for index in ranked["trial"].iloc[:top]]


def summarised(
    result: SearchResult, trials: Sequence[int], ensemble: Sequence[TrialRecord] = ()
) -> Confirmation:
    """Return and write the table of a search that trained trials of another again.

    Parameters
    ----------
    result : of the new trainings
    trials : numbers of the trials in the search before
    ensemble : those that are its winner together, as it has them
    """
    folder = open_folder(result.path)
    records = folder.records().in_order()
    folds = trial_folds(records, CheckpointStorage(folder.path, folder.remote))
    rows = [_row(record, folds.get(record.index, []), trials, folder) for record in records]
    if ensemble:
        numbers = [one.index for one in ensemble]
        begun = [records[trials.index(n)] for n in numbers] if len(records) == len(trials) else []
        rows.append(_ensembles_row(begun, numbers, folds, folder))
    rows.sort(key=lambda row: (row["lower_bound"] is None, -(row["lower_bound"] or 0.0)))
    for position, row in enumerate(rows, start=1):
        row["rank"] = None if row["lower_bound"] is None else position
    table = pd.DataFrame(rows)
    if len(table):
        for name in WHOLE_NUMBERS:
            table[name] = table[name].astype("Int64")
    _write(result.path / TABLE_FILE, table.to_csv(index=False))
    return Confirmation(path=result.path, table=table, finished=result.finished)


def _row(
    record: TrialRecord,
    folds: Sequence[FoldResult],
    trials: Sequence[int],
    folder: SearchFolder,
) -> dict[str, Any]:
    row = _measured(record.last, folds, folder, can_win=record.state == "completed")
    own = {"trial": trials[record.index], "search_rank": record.index + 1}
    return {**row, **own, "state": record.state, "reason": record.reason}


def _ensembles_row(
    members: Sequence[TrialRecord],
    trials: Sequence[int],
    folds: Mapping[int, Sequence[FoldResult]],
    folder: SearchFolder,
) -> dict[str, Any]:
    """Return the row of an ensemble, and write its returns.

    Parameters
    ----------
    members : its new trainings; empty if not all have begun
    trials : their numbers in the search
    folds : what trainings have come to, by number of the record
    folder : of the new trainings
    """
    # it loads torch, which reading a table does not need
    from finrl_ray.search.results.ensemble import confirmed_folds

    completed = bool(members) and all(one.state == "completed" for one in members)
    done = confirmed_folds(folder, members, folds) if completed else []
    metrics = fold_metrics(done, folder.config, folder.periods_per_year) if done else {}
    row = _measured(metrics, done, folder, can_win=completed)
    state = "completed" if completed else "unfinished"
    reason = f"the ensemble of trials {and_list(trials)}"
    names = ", ".join(map(str, trials))
    return {**row, "state": state, "reason": reason, "members": names}


def _measured(
    last: Mapping[str, Any],
    folds: Sequence[FoldResult],
    folder: SearchFolder,
    *,
    can_win: bool,
) -> dict[str, Any]:
    """Return what a row says of the trainings of one configuration."""
    measure = confirmed_measure(folder.config)
    row: dict[str, Any] = {
        "rank": None,
        "trial": None,
        "search_rank": None,
        "ranked_by": measure,
        "lower_bound": result_score(last, folder.config) if can_win else None,
        "mean": last.get(f"eval/{measure}"),
        "standard_error": last.get(f"eval/{_error_name(measure)}"),
        "iqm": None,
        "iqm_low": None,
        "iqm_high": None,
        "max_drawdown": last.get("eval/max_drawdown"),
        **{name: last.get(f"eval/{name}") for name in ("exposure", "beta", "turnover")},
        "folds": last.get("folds", 0),
    }
    if can_win:
        periods = folder.periods_per_year
        matrix = measure_matrix(folds, folder.config, measure, periods_per_year=periods)
        low, high = interquartile_mean_interval(matrix, seed=folder.config.seed)
        row |= {"iqm": interquartile_mean(matrix), "iqm_low": low, "iqm_high": high}
    return row


def confirmed_measure(config: ExperimentConfig) -> str:
    """Return the measure that configurations are confirmed by: that of `search.rank_by`.

    Of searches of earlier versions it is the Sharpe ratio of returns beyond buy & hold.
    """
    ranked = config.search.rank_by
    return FORMER_MEASURE if ranked == RANK_BY_OBJECTIVE else measure_name(ranked)


def _error_name(measure: str) -> str:
    return "active_sharpe_se" if measure == FORMER_MEASURE else f"{measure}_se"


def measure_matrix(
    folds: Sequence[FoldResult],
    config: ExperimentConfig,
    measure: str,
    *,
    periods_per_year: float,
) -> FloatArray:
    """Return a measure of each training of a whole trial, of shape (seeds, windows)."""
    values = [fold_measures(result, config, periods_per_year)[measure] for result in folds]
    return np.array(values).reshape(config.validation.seeds, -1)


def _write(path: Path, text: str) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
