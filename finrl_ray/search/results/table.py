"""The ranked table of a search's trials, its winner, and the winner's checkpoint."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from finrl_ray.agents.hyperparameters import settings_of_sample, trial_seed
from finrl_ray.config.dump import yaml_value
from finrl_ray.config.experiment import ExperimentConfig
from finrl_ray.config.trial.own_metrics import is_own_metric
from finrl_ray.errors import SearchError
from finrl_ray.metrics.registry import leading_with, measure_name
from finrl_ray.search.journal.lineage import lineage, segments
from finrl_ray.search.journal.records import TrialRecord
from finrl_ray.search.results.ensemble_members import choose_members
from finrl_ray.search.results.pareto import non_dominated
from finrl_ray.search.results.ranking import scores_by_timesteps, trial_score

if TYPE_CHECKING:
    import pandas as pd

    from finrl_ray.search.folder.checkpoints import CheckpointStorage

CLOCK_COLUMNS = ("time_s",)
PARETO = "pareto"
IN_ENSEMBLE = "in_ensemble"
_ORDER = {"completed": 0, "stopped": 0, "running": 0, "interrupted": 0, "rejected": 1, "failed": 2}
_LEADING = (
    "appraisal_ratio",
    "sharpe_ratio",
    "max_drawdown",
    "total_return",
    "annual_return",
    "annual_volatility",
)
_MEASURES = (
    *(measure.name for measure in leading_with(*_LEADING)),
    "exposure",
    "beta",
    "turnover",
)
_PATH_MEASURES = ("active_sharpe_ratio", "active_sharpe_se")


def trial_table(records: Sequence[TrialRecord], config: ExperimentConfig) -> "pd.DataFrame":
    """Return one row per started trial, best first.

    Columns: `rank` (from 1; missing for trials that cannot win), `trial` (order of creation),
    `state`, `reason`, `score` (what trials are ranked by, see `finrl_ray.search.results.ranking`),
    `objective` (what schedulers compare), the performance measures of the last evaluation on the
    validation window (means over all trainings where a trial has several, with
    `active_sharpe_ratio`, its standard error `active_sharpe_se`, and the worst `max_drawdown`),
    the mean invested share `exposure`, `beta` and `turnover` per year beside buy & hold,
    `best_<metric>`, `timesteps`, `folds` and `paths` done, `evaluations`, `seed`, the
    hyperparameters really used and the options of the config that were searched, by their dotted
    names (under population based training the last ones, with the column
    `lineage`, the trial's ancestors), with several objectives `pareto` (whether no other trial that
    can win is better in one of them and as good in all), with `search.ensemble` `in_ensemble`
    (whether it is one of those that act together), `failures`, `error` (last line), `notes`
    (such as a damaged checkpoint that was passed over) and `time_s`.
    """
    return table_of(ranked_rows(records, config))


def table_of(rows: Sequence[Mapping[str, Any]]) -> "pd.DataFrame":
    """Return the rows of `ranked_rows` as a table."""
    # half a second, which printing the rows does not need
    import pandas as pd

    table = pd.DataFrame(rows)
    if not rows:
        return table
    for name in table.columns:
        # pandas makes floats of whole numbers of which some are missing, as n_steps of sac is
        given = [value for row in rows if (value := row.get(name)) is not None]
        if len(given) < len(rows) and given and all(type(value) is int for value in given):
            table[name] = table[name].astype("Int64")
    table["rank"] = table["rank"].astype("Int64")
    return table


def ranked_rows(
    records: Sequence[TrialRecord], config: ExperimentConfig, top: int | None = None
) -> list[dict[str, Any]]:
    """Return the rows of `trial_table`, best first; what is missing is None.

    Parameters
    ----------
    records : all started trials
    config : of the search
    top : rows returned, the best; None for all. Those of thousands of trials take seconds
    """
    by_index = {record.index: record for record in records}
    order = sorted((_brief(record, config) for record in by_index.values()), key=_sort_key)
    rows = [_row(by_index[brief["trial"]], config, records) for brief in order[:top]]
    _mark_front(rows, records, config)
    _mark_members(rows, records, config)
    for position, row in enumerate(rows, start=1):
        row["rank"] = position if _eligible(row) else None
    return rows


def _brief(record: TrialRecord, config: ExperimentConfig) -> dict[str, Any]:
    """Return the part of a trial's row that says where it ranks."""
    return {
        "trial": record.index,
        "state": record.state,
        "score": trial_score(record, config),
    }


def _mark_members(
    rows: Sequence[dict[str, Any]], records: Sequence[TrialRecord], config: ExperimentConfig
) -> None:
    """Mark the trials that act together, where several do."""
    if not config.search.has_ensemble:
        return
    chosen = {
        one.index for one in choose_members(in_order_of_rank(records, config), config).records
    }
    for row in rows:
        row[IN_ENSEMBLE] = row["trial"] in chosen


def _mark_front(
    rows: Sequence[dict[str, Any]], records: Sequence[TrialRecord], config: ExperimentConfig
) -> None:
    """Mark the trials that are best when all objectives count, of those that can win."""
    names = [measure_name(name) for name in config.search.objectives]
    if not names:
        return
    can_win = [record for record in records if _eligible(_brief(record, config))]
    values = [[record.last.get(f"eval/{name}") for name in names] for record in can_win]
    front = non_dominated(np.array(values, dtype=np.float64).reshape(-1, len(names)))
    best = {record.index for record, first in zip(can_win, front, strict=True) if first}
    for row in rows:
        row[PARETO] = row["trial"] in best


def _row(
    record: TrialRecord, config: ExperimentConfig, records: Sequence[TrialRecord]
) -> dict[str, Any]:
    last = record.last
    metric = measure_name(config.evaluation.metric)
    population = config.search.scheduler.is_population
    paths = config.validation.has_paths
    values = [r[f"eval/{metric}"] for r in record.results if f"eval/{metric}" in r]
    finite = [value for value in values if math.isfinite(value)]
    best = max(finite, default=None)
    if is_own_metric(config.evaluation.metric):
        best = _best_of_own(record, f"eval/{metric}")
    return {
        "rank": None,
        "trial": record.index,
        "state": record.state,
        "reason": record.reason,
        "score": trial_score(record, config),
        "objective": last.get("objective"),
        **{name: last.get(f"eval/{name}") for name in _measures_of(config)},
        f"best_{metric}": best,
        "timesteps": last.get("timesteps", 0),
        **({name: last.get(name, 0) for name in ("folds", "paths")} if paths else {}),
        "evaluations": len(record.results),
        # the random streams of a copy are those of its first ancestor
        "seed": trial_seed(config.seed, segments(record, records)[0].sample),
        **{name: _as_cell(v) for name, v in trial_settings(record, config).items()},
        **({"lineage": lineage(record, records)} if population else {}),
        **({PARETO: False} if config.search.objectives else {}),
        **({IN_ENSEMBLE: False} if config.search.has_ensemble else {}),
        "failures": record.failures,
        "error": record.reason if record.state == "failed" else "",
        "notes": "; ".join(record.notes),
        "time_s": round(record.time_s, 3),
    }


def _best_of_own(record: TrialRecord, key: str) -> float | None:
    """Return the best value of an own metric, of which less may be better: the objective says."""
    known = [result for result in record.results if math.isfinite(result.get(key, math.nan))]
    best = max(known, key=lambda result: float(result["eval_objective"]), default=None)
    return None if best is None else float(best[key])


def _measures_of(config: ExperimentConfig) -> tuple[str, ...]:
    own = [measure_name(metric) for metric in config.own_metrics]
    names = (*_MEASURES[: len(_LEADING)], *own, *_MEASURES[len(_LEADING) :])
    return (*_PATH_MEASURES, *names) if config.validation.has_paths else names


def trial_settings(record: TrialRecord, config: ExperimentConfig) -> dict[str, Any]:
    """Return the hyperparameters and options that a trial has really used, by name in the table."""
    return settings_of_sample(config, record.sample).flat()


def _as_cell(value: Any) -> Any:
    if not isinstance(value, list | tuple | dict):
        return value
    return yaml_value(json.loads(json.dumps(value, default=str)))  # as in a config: [macd, rsi_30]


def _eligible(row: dict[str, Any]) -> bool:
    return _ORDER[row["state"]] == 0 and row["score"] is not None


def _sort_key(row: dict[str, Any]) -> tuple[int, float, int]:
    worth = -math.inf if row["score"] is None else row["score"]
    return (_ORDER[row["state"]] if worth > -math.inf else 3, -worth, row["trial"])


def winner(records: Sequence[TrialRecord], config: ExperimentConfig) -> TrialRecord:
    """Return the trial that ranks first.

    Raises
    ------
    SearchError
        If no trial can win, with how many started and how they ended.
    """
    table = trial_table(records, config)
    ranked = table[table["rank"] == 1] if len(table) else table
    if not len(ranked):
        states = table["state"].value_counts().to_dict() if len(table) else {}
        raise SearchError(f"no trial of {len(records)} can win: {states or 'none has started'}")
    index = int(ranked.iloc[0]["trial"])
    return next(record for record in records if record.index == index)


def leader(records: Iterable[TrialRecord], config: ExperimentConfig) -> TrialRecord | None:
    """Return the trial that ranks first in the table, without making one; None if none can win."""
    return next(iter(in_order_of_rank(records, config)), None)


def in_order_of_rank(records: Iterable[TrialRecord], config: ExperimentConfig) -> list[TrialRecord]:
    """Return the trials that can win, in the order of the table, without making one."""
    by_index = {record.index: record for record in records}
    rows = [_brief(record, config) for record in by_index.values()]
    return [by_index[row["trial"]] for row in sorted(filter(_eligible, rows), key=_sort_key)]


def chosen_checkpoint(
    record: TrialRecord, storage: "CheckpointStorage", best_by: ExperimentConfig | None = None
) -> str:
    """Return the checkpoint of a trial's last evaluation, or of the one that ranks highest.

    Parameters
    ----------
    record : the trial
    storage : of the search
    best_by : the config that says what ranks highest; None for the last evaluation

    Returns
    -------
    str
        Its path in the search's folder.

    Raises
    ------
    SearchError
        If none of the trial's checkpoints is there.
    """
    order = sorted(record.checkpoints, reverse=True)
    if best_by is not None:
        scores = scores_by_timesteps(record, best_by)
        order.sort(key=lambda steps: (-scores.get(steps, -math.inf), steps))
    for steps in order:
        if storage.exists(record.checkpoints[steps]):
            return record.checkpoints[steps]
    place = storage.url or storage.folder
    raise SearchError(
        f"trial {record.index} has no checkpoint under {place}; was the folder moved without its "
        "ray/ subfolder?"
    )


def learning_curves(records: Sequence[TrialRecord]) -> "pd.DataFrame":
    """Return one row per trial and evaluation: `trial`, `timesteps` and every reported measure."""
    import pandas as pd

    rows = [{"trial": record.index, **result} for record in records for result in record.results]
    columns = ["trial", "timesteps"]
    frame = pd.DataFrame(rows, columns=columns if not rows else None)
    return frame.drop(columns=[name for name in ("stop_reason", "seed") if name in frame])
