"""Everything that a report says of one search, read once from its folder.

Searches that run, that were interrupted, or of which all trials failed are read the same way; what
is not there yet is None, and `state_sentence` says why.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from finrl_ray.errors import SearchError
from finrl_ray.files.bounded_reading import read_json
from finrl_ray.metrics.registry import SHOWN, measure_name
from finrl_ray.report.timeline import result_times
from finrl_ray.search.folder.folder import SearchFolder, open_folder
from finrl_ray.search.folder.lock import is_driven
from finrl_ray.search.folder.names import (
    ACCOUNT_CURVES_FILE,
    ACTIVE_RETURNS_FILE,
    BACKTEST_FOLDER,
    BASELINE_CURVES_FILE,
    BASELINES_FILE,
    CURVES_FILE,
    ENSEMBLE_ACCOUNT_FILE,
    EXPERIMENT_FILE,
    FOLD_RETURNS_FILE,
    RESIDUAL_RETURNS_FILE,
)
from finrl_ray.search.folder.test_openings import Opening, read_openings
from finrl_ray.search.journal.events import read_events, replay_events
from finrl_ray.search.journal.lines import Event
from finrl_ray.search.journal.records import (
    ENDED,
    TrialRecord,
    TrialRecords,
    interruption,
    unfinished,
)
from finrl_ray.search.results.ensemble_facts import EnsembleFacts
from finrl_ray.search.results.ranking import curve_key, rank_name, scores_by_timesteps
from finrl_ray.search.results.table import leader, learning_curves, ranked_rows, table_of
from finrl_ray.search.results.table_files import read_csv_table, read_parquet_table
from finrl_ray.search.results.verdict import SearchVerdict, read_verdict
from finrl_ray.statistics.verdict import FORMER_RULE
from finrl_ray.support.text import counted

if TYPE_CHECKING:
    import pandas as pd

    from finrl_ray.workflows.backtest_files import Backtest
    from finrl_ray.workflows.confirmation_files import Confirmation

# modules that train, judge or draw are imported where they are used: a table needs none of them
SearchState = Literal["running", "interrupted", "finished"]


@dataclass(frozen=True, kw_only=True, eq=False)
class SearchReport:
    """One search as it is at one moment.

    Parameters
    ----------
    folder : of the search
    events : its journal
    records : the trials, as the journal records them
    state : `running` while a process on this machine drives it; `finished` once every planned trial
        has ended; else `interrupted`
    planned : trials that it was to start
    facts : `experiment.json`: versions, data hash, windows
    verdict : None before the search has ended
    opened : every opening of the test window
    trust : whether code in the winner's model may run (see docs/trust.md)
    """

    folder: SearchFolder
    events: list[Event] = field(repr=False)
    records: TrialRecords = field(repr=False)
    state: SearchState
    planned: int
    facts: Mapping[str, Any] = field(repr=False)
    verdict: SearchVerdict | None
    opened: list[Opening]
    trust: bool = False

    @property
    def path(self) -> Path:
        """Its folder."""
        return self.folder.path

    @property
    def name(self) -> str:
        """The experiment's name."""
        return self.folder.config.name

    @property
    def metric(self) -> str:
        """The key of `learning_curves` that is nearest to what trials are ranked by."""
        return curve_key(self.folder.config)

    @property
    def ranked_by(self) -> str:
        """By what trials are ranked, in words."""
        return rank_name(self.folder.config)

    @cached_property
    def trials(self) -> list[TrialRecord]:
        """The started trials, in order of creation."""
        return self.records.in_order()

    @cached_property
    def rows(self) -> list[dict[str, Any]]:
        """One per started trial, best first; see `ranked_rows`."""
        return ranked_rows(self.trials, self.folder.config)

    def best_rows(self, top: int) -> list[dict[str, Any]]:
        """Return the first of `rows`, without making all of them."""
        return ranked_rows(self.trials, self.folder.config, top)

    @cached_property
    def table(self) -> "pd.DataFrame":
        """One row per started trial, best first."""
        return table_of(self.rows)

    @property
    def openings(self) -> int:
        """How often the test window has been opened."""
        return len(self.opened)

    @property
    def n_ended(self) -> int:
        """Trials that have ended."""
        return sum(record.state in ENDED for record in self.trials)

    @cached_property
    def winner(self) -> int | None:
        """The number of the trial that ranks first at this moment; None if none can win."""
        best = leader(self.trials, self.folder.config)
        return None if best is None else best.index

    @property
    def ensemble(self) -> EnsembleFacts | None:
        """The trials that are the winner together; None before the end, or where one trial is."""
        return None if self.verdict is None else self.verdict.ensemble

    @property
    def who(self) -> str:
        """The winner in words: `trial 3`, or `the ensemble of trials 3 and 5`."""
        return f"trial {self.winner}" if self.ensemble is None else self.ensemble.name

    @property
    def winner_row(self) -> dict[Any, Any]:
        """The row of the trial that ranks first in `table`; empty if none can win.

        Where several trials are the winner together, the measures in it are theirs.
        """
        if self.winner is None:
            return {}
        row = dict(self.table[self.table["trial"] == self.winner].to_dict("records")[0])
        if self.ensemble is None:
            return row
        shown = {*SHOWN, *map(measure_name, self.folder.config.own_metrics)}
        together = {name: self.ensemble.measures.get(str(name)) for name in row if name in shown}
        return {**row, **together, "score": self.ensemble.score, "state": "ensemble"}

    @property
    def total_timesteps(self) -> int:
        """Env steps that all trials together have done."""
        return sum(int(record.last.get("timesteps", 0)) for record in self.trials)

    @cached_property
    def learning_curves(self) -> "pd.DataFrame":
        """One row per trial and evaluation."""
        return learning_curves(self.trials)

    @cached_property
    def results(self) -> "pd.DataFrame":
        """One row per result in the order of time; see `timeline.result_times`."""
        return result_times(self.events, self.folder.config)

    @cached_property
    def account_curve(self) -> "pd.DataFrame | None":
        """The winner's account on the days that it is judged on; None before it is written.

        Columns `date`, `account_value`, and `path` where a trial trains several times. It is the
        evaluation that stands for the trial, or the ensemble's.
        """
        return self.first_trials_curve if self.ensemble is None else self._ensembles_curve()

    def _ensembles_curve(self) -> "pd.DataFrame | None":
        frame = self._ensemble_account
        if frame is None or self.folder.plan is None:
            return frame
        amount = self.folder.config.env.initial_amount
        path = frame["fold"] // self.folder.config.validation.trainings_per_path + 1
        grown = (1.0 + frame["return"]).groupby(path).cumprod() * amount
        return frame[["date"]].assign(path=path, account_value=grown)

    @cached_property
    def _ensemble_account(self) -> "pd.DataFrame | None":
        return None if self.ensemble is None else ensembles_returns_of(self.path)

    @cached_property
    def first_trials_curve(self) -> "pd.DataFrame | None":
        """The account of the trial that ranks first, as `account_curve` is."""
        path = self.path / ACCOUNT_CURVES_FILE
        if self.winner is None or self.state == "running" or not path.is_file():
            return None
        frame = read_parquet_table(path, filters=[("trial", "==", self.winner)])
        if not len(frame):
            return None
        if "timesteps" in frame:
            frame = frame[frame["timesteps"] == self._selected_timesteps(frame)]
        return frame.drop(columns=["trial"]).reset_index(drop=True)

    def _selected_timesteps(self, frame: "pd.DataFrame") -> int:
        # the journal may hold one result more than the curves, if the search was killed in between
        written = {int(steps) for steps in frame["timesteps"].unique()}
        record = next(record for record in self.trials if record.index == self.winner)
        results = [r for r in record.results if r["timesteps"] in written]
        if self.folder.config.search.select != "best" or not results:
            return max(written)
        scores = scores_by_timesteps(record, self.folder.config)
        return int(max((r["timesteps"] for r in results), key=lambda steps: scores[steps]))

    @property
    def baseline_curves(self) -> "pd.DataFrame":
        """Account values of the baselines on the validation window: `date`, one per baseline."""
        return self._baseline_tables[1]

    @property
    def baselines(self) -> "pd.DataFrame":
        """The measures of the baselines on the validation window."""
        return self._baseline_tables[0]

    @cached_property
    def _baseline_tables(self) -> "tuple[pd.DataFrame, pd.DataFrame]":
        measures = self._csv(BASELINES_FILE)
        curves = self._csv(BASELINE_CURVES_FILE, dates=True)
        # they depend on the data alone, so they can be computed before the search has written them
        if measures is None or curves is None:
            from finrl_ray.search.run.outputs import baseline_tables

            return baseline_tables(self.folder)
        return measures, curves

    @cached_property
    def judged_returns(self) -> "pd.DataFrame | None":
        """What the verdict rests on: `date` and one column per trial; None before the end."""
        if self.verdict is None:
            return None
        former = self.verdict.verdict.rule == FORMER_RULE
        path = self.path / (ACTIVE_RETURNS_FILE if former else RESIDUAL_RETURNS_FILE)
        return read_parquet_table(path) if path.is_file() and self.state == "finished" else None

    @cached_property
    def fold_returns(self) -> "pd.DataFrame | None":
        """The winner's returns of every training; None where trials train once."""
        if self.ensemble is not None and self.folder.plan is not None:
            return self._ensemble_account
        return fold_returns_of(self.path, self.winner)

    @cached_property
    def confirmation(self) -> "Confirmation | None":
        """What `confirm` has found; None if it has not run."""
        from finrl_ray.workflows.confirmation_files import read_confirmation

        return read_confirmation(self.path)

    @cached_property
    def backtest(self) -> "Backtest | None":
        """The winner on the test window; None while that is sealed."""
        if not (self.path / BACKTEST_FOLDER).exists():
            return None
        from finrl_ray.workflows.backtest_files import read_backtest

        return read_backtest(self.path)

    @cached_property
    def backtest_curves(self) -> "pd.DataFrame | None":
        """Account values on the test window: `date`, `agent` and the baselines."""
        return self._csv(f"{BACKTEST_FOLDER}/{CURVES_FILE}", dates=True)

    def _csv(self, name: str, *, dates: bool = False) -> "pd.DataFrame | None":
        path = self.path / name
        if not path.is_file():
            return None
        return read_csv_table(path, dates=dates)

    def state_sentence(self) -> str:
        """Return in one sentence how far the search is."""
        verb = "has" if self.planned == 1 else "have"
        done = f"{self.n_ended:,} of {counted(self.planned, 'trial')} {verb} ended"
        if self.state == "running":
            return f"The search is running: {done}. Every number below is of this moment."
        if self.state == "interrupted":
            return (
                f"The search was interrupted: {done}. Nothing is judged before it has ended; go on "
                f"with: finrl-ray resume {self.path}"
            )
        if self.records.ended_by:
            return f"The search has ended early: {self.records.ended_by}; {done}."
        if self.winner is None:
            return f"The search has ended without a winner: {self.lost_sentence()}."
        return f"The search has ended: {done}."

    def lost_sentence(self) -> str:
        """Return how the trials ended, in words."""
        states = [record.state for record in self.trials]
        counts = {state: states.count(state) for state in dict.fromkeys(states)}
        return ", ".join(f"{n} {state}" for state, n in counts.items()) or "no trial was started"


def read_search(path: str | Path, *, trained: bool = False, trust: bool = False) -> SearchReport:
    """Read a search's folder for a report.

    Parameters
    ----------
    path : the folder, or the URL of one
    trained : also accept the folder of one training, as a search of one trial
    trust : see `SearchReport`

    Raises
    ------
    SearchError
        If it is no search's folder, or what it needs is damaged.
    """
    folder = open_folder(path)
    if folder.kind == "train" and not trained:
        raise SearchError(
            f"{folder.path} holds one training of `finrl-ray train`; a report is made of a search"
        )
    driven = is_driven(folder.path)
    events = read_events(folder.path)
    records = replay_events(events)
    finished = folder.is_finished(records)
    if not driven:
        _mark_killed_as_interrupted(records)
    return SearchReport(
        folder=folder,
        events=events,
        records=records,
        # a process that still has the folder's lock may be writing its tables
        state="running" if driven else "finished" if finished else "interrupted",
        planned=folder.planned,
        facts=read_json(folder.path / EXPERIMENT_FILE),
        verdict=read_verdict(folder.path) if finished and not driven else None,
        opened=read_openings(folder.path),
        trust=trust,
    )


def _mark_killed_as_interrupted(records: TrialRecords) -> None:
    """Mark running trials of a killed search as interrupted: it could not record that itself."""
    for record in unfinished(records.in_order()):
        if record.state == "running":
            record.state, record.reason = "interrupted", interruption(record)


def ensembles_returns_of(path: Path) -> "pd.DataFrame | None":
    """Return the account of the ensemble of a folder; None if it has none."""
    file = path / ENSEMBLE_ACCOUNT_FILE
    return read_parquet_table(file) if file.is_file() else None


def fold_returns_of(path: Path, trial: int | None) -> "pd.DataFrame | None":
    """Return `fold`, `date`, `return`, `active_return` of one trial; None if it has none."""
    file = path / FOLD_RETURNS_FILE
    if trial is None or not file.is_file():
        return None
    frame = read_parquet_table(file, filters=[("trial", "==", trial)])
    return frame.drop(columns=["trial"]) if len(frame) else None
