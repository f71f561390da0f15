"""What the read commands print with `--json`: plain values, for other programs."""

import dataclasses
import json
import sys
from datetime import date
from pathlib import Path
from typing import Any

from finrl_ray.config.trial.options import searched_algorithms
from finrl_ray.report.read_search import SearchReport
from finrl_ray.search.results.table import trial_settings
from finrl_ray.support.values import to_json


def plain(value: Any) -> Any:
    """Return a value as JSON has it: NaN and what is missing as null, infinity as a text."""
    return to_json(value, _without_tables)


def _without_tables(value: Any) -> Any:
    pandas = sys.modules.get("pandas")  # a value cannot be a table before pandas has been imported
    if pandas is not None:
        if isinstance(value, pandas.DataFrame):
            return [plain(row) for row in value.to_dict("records")]
        if value is pandas.NA or value is pandas.NaT:
            return None
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return plain({f.name: getattr(value, f.name) for f in dataclasses.fields(value)})
    return str(value) if isinstance(value, Path | date) else value


def json_text(value: Any) -> str:
    """Return `plain` of a value as indented JSON."""
    return json.dumps(plain(value), indent=2, allow_nan=False)


def search_json(search: SearchReport, *, limit: int | None = None) -> dict[str, Any]:
    """Return a search as `finrl-ray show --json` prints it, with its best `limit` trials."""
    verdict = search.verdict
    return {
        "name": search.name,
        "path": search.path,
        "state": search.state,
        "algorithm": ", ".join(searched_algorithms(search.folder.config)),
        "tickers": list(search.folder.market_data.tickers),
        "trials_ended": search.n_ended,
        "trials_planned": search.planned,
        "ended_by": search.records.ended_by,
        "winner": search.winner,
        "ranked_by": search.ranked_by,
        "ensemble": None if search.ensemble is None else search.ensemble.to_dict(),
        "total_timesteps": search.total_timesteps,
        "wall_time_s": search.records.time_s,
        "verdict": None
        if verdict is None
        else {
            "kind": verdict.verdict.kind,
            "sentences": verdict.sentences(),
            "earnings": None if verdict.earnings is None else verdict.earnings.to_dict(),
            "figures": verdict.verdict.to_dict(),
        },
        "test_openings": search.openings,
        "test_opened": search.opened,
        "backtest": search.backtest,
        "data_hash": search.facts.get("data_hash"),
        "trials": _trials(search, limit),
    }


def _trials(search: SearchReport, limit: int | None) -> list[dict[str, Any]]:
    """Return the rows of the table, with lists and mappings as such: a table has them as texts."""
    rows = search.rows[:limit]
    shown = {row["trial"] for row in rows}
    settings = {
        record.index: trial_settings(record, search.folder.config)
        for record in search.trials
        if record.index in shown
    }
    names = dict.fromkeys(name for row in search.rows for name in row)
    return [
        {name: settings[row["trial"]].get(name, row.get(name)) for name in names} for row in rows
    ]
