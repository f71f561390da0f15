"""What a confirmation has found, and the table that it is read from again.

A report reads it without what trains.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from finrl_ray.search.results.table_files import read_csv_table

if TYPE_CHECKING:
    import pandas as pd

CONFIRMATION_FOLDER = "confirmation"
TABLE_FILE = "confirmation.csv"
FORMER_MEASURE = "active_sharpe_ratio"
WHOLE_NUMBERS = ("rank", "trial", "search_rank")
"""Columns of whole numbers, some of which may be missing."""


@dataclass(frozen=True, kw_only=True)
class Confirmation:
    """What `confirm` returns.

    Parameters
    ----------
    path : the folder of the new trainings, itself that of a search
    table : one row per configuration, the highest lower bound first: `rank`, `trial` (its number in
        the search), `search_rank`, `ranked_by` (the measure, that of the search), `lower_bound`
        (mean less standard error), `mean` (over seeds x windows), `standard_error`, `iqm` with
        `iqm_low` and `iqm_high` (interquartile mean, and its 95 % interval over seeds),
        `max_drawdown` (worst), `exposure`, `beta`, `turnover`, `folds` and the state. With
        `search.ensemble` a further row, without `trial` and `search_rank`, is of the ensemble, each
        seed of which trains all of its trials again; `members` names them
    finished : whether every training has ended; if not, `finrl-ray resume PATH` goes on
    """

    path: Path
    table: "pd.DataFrame"
    finished: bool


def read_confirmation(path: Path) -> Confirmation | None:
    """Return the latest confirmation in a search's folder; None if there is none."""
    found = sorted((path / CONFIRMATION_FOLDER).glob(f"*/{TABLE_FILE}"), key=_made_at)
    if not found:
        return None
    table = read_csv_table(found[-1])
    if "ranked_by" not in table:  # of an earlier version
        names = {FORMER_MEASURE: "mean", "active_sharpe_se": "standard_error"}
        table = table.rename(columns=names).assign(ranked_by=FORMER_MEASURE)
    for name in WHOLE_NUMBERS:
        table[name] = table[name].astype("Int64")
    return Confirmation(
        path=found[-1].parent, table=table, finished=bool((table["state"] == "completed").all())
    )


def _made_at(table: Path) -> str:
    stamp = re.search(r"_(\d{8}_\d{6})_", table.parent.name)
    return stamp[1] if stamp else ""
