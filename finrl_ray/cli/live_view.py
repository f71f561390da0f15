"""The view of a running search: a live panel in a terminal, plain lines elsewhere."""

import time
from typing import Any

from ray import tune
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.live import Live
from rich.table import Table

from finrl_ray.cluster.nodes import current_dashboard
from finrl_ray.cluster.security import token_place
from finrl_ray.report.terminal_tables import (
    formatted,
    measures_with_own,
    number,
    percent,
    short_label,
)
from finrl_ray.search.folder.folder import SearchFolder
from finrl_ray.search.journal.records import ENDED, TrialRecord
from finrl_ray.search.results.ranking import rank_name, trial_score
from finrl_ray.search.results.table import leader
from finrl_ray.search.run.trial_resources import why_none_runs
from finrl_ray.search.sampling.objective import whole_timesteps
from finrl_ray.search.tune.journal_callback import JournalCallback
from finrl_ray.support.interruptions import answer_through, stop_answering_through
from finrl_ray.support.text import counted, exact_time

_REFRESH_S = 0.25
# looking at thousands of trials takes longer; it takes at most this share of the time
_SHARE = 0.05
_PLAIN_EVERY_S = 10.0
# the first trials take some seconds to start, with what they run on reserved
_PATIENCE_S = 5.0
# interrupted: those that a resumed search has not started again yet
_STATES = ("running", "interrupted", "completed", "stopped", "rejected", "failed")


class LiveView(tune.Callback):
    """Ray Tune callback that shows the journal's records as they change.

    Parameters
    ----------
    folder : the search
    journal : read at each refresh
    planned : number of trials of the whole search
    """

    def __init__(self, folder: SearchFolder, journal: JournalCallback, planned: int) -> None:
        self.config = folder.config
        self.total_timesteps = whole_timesteps(folder.config)
        self.name = folder.config.name
        self.journal = journal
        self.planned = planned
        self.started_at = time.monotonic()
        # a resumed search is timed by what it does itself
        self.steps_before = sum(_steps(r) for r in self._records())
        self.ended_before = sum(r.state in ENDED for r in self._records())
        self.told = len(journal.records.endings)
        self.next_refresh = 0.0
        self.console: Console | None = None
        self.live: Live | None = None

    def __getstate__(self) -> dict[str, Any]:
        # Ray pickles callbacks when a search starts; a terminal cannot travel
        return {**self.__dict__, "console": None, "live": None}

    def _records(self) -> list[TrialRecord]:
        return self.journal.records.in_order()

    def setup(self, *args: Any, **info: Any) -> None:
        """Open the view."""
        self.console = Console()
        self.started_at = time.monotonic()
        url = current_dashboard()
        if url is not None:
            self._print(f"dashboard: {url}; its token is in {token_place()}")
        answer_through(self._print)
        if self.console.is_terminal:
            self.live = Live(console=self.console, auto_refresh=False, transient=True)
            self.live.start()

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """Refresh a few times a second, or print a line now and then."""
        began = time.monotonic()
        self._tell_endings()
        if began < self.next_refresh:
            return
        if self.live:
            self.live.update(self._panel(), refresh=True)
        else:
            self._print(self._summary_line())
        every = _REFRESH_S if self.live else _PLAIN_EVERY_S
        self.next_refresh = began + max(every, (time.monotonic() - began) / _SHARE)

    def on_experiment_end(self, trials: list[Any], **info: Any) -> None:
        """Close the view."""
        stop_answering_through(self._print)
        if self.live:
            self.live.stop()
            self.live = None
        else:
            self._tell_endings()

    def _print(self, line: str) -> None:
        if self.console:
            self.console.print(line, highlight=False, soft_wrap=True, markup=False)

    def _tell_endings(self) -> None:
        """Print a line for each trial that has ended since; a terminal has the panel instead."""
        endings = self.journal.records.endings
        if self.live is None:
            for record in endings[self.told :]:
                self._print(_end_line(record))
        self.told = len(endings)

    def _counts(self) -> dict[str, int]:
        states: list[str] = [record.state for record in self._records()]
        counts = {state: states.count(state) for state in _STATES}
        return {**counts, "waiting": max(0, self.planned - len(states))}

    def _best(self) -> TrialRecord | None:
        return leader(self._records(), self.config)

    def _speed(self) -> float:
        steps = sum(_steps(r) for r in self._records())
        return max(0, steps - self.steps_before) / max(1e-9, time.monotonic() - self.started_at)

    def _time_left(self) -> str:
        """Return a rough guess: from trials ended if there are any, else from timesteps."""
        records = self._records()
        ended = sum(record.state in ENDED for record in records)
        here = ended - self.ended_before
        elapsed = time.monotonic() - self.started_at
        if here >= 2:
            return f"; about {exact_time(elapsed * (self.planned - ended) / here)} left"
        speed = self._speed()
        done = sum(self.total_timesteps if r.state in ENDED else _steps(r) for r in records)
        if speed <= 0:
            return ""
        return f"; at most {exact_time((self.planned * self.total_timesteps - done) / speed)} left"

    def _panel(self) -> Table:
        width = min(78, self.console.width) if self.console else 78
        panel = Table(
            title=f"search {self.name}, trials of {counted(self.total_timesteps, 'step')}",
            title_justify="left",
            width=width,
            box=SIMPLE_HEAD,
            padding=(0, 0),
            show_edge=False,
            pad_edge=False,
        )
        measures = measures_with_own(list(self.config.own_metrics))
        for name in ("trial", "state", "steps", *map(short_label, measures)):
            panel.add_column(name, justify="left" if name == "state" else "right", no_wrap=True)
        running = [r for r in self._records() if r.state == "running"]
        best = self._best()
        for label, record in [*((str(r.index), r) for r in running[:8]), ("best", best)]:
            if record is None:
                continue
            name = label if label != "best" else f"best: {record.index}"
            last = record.last
            panel.add_row(
                name,
                record.state,
                f"{last.get('timesteps', 0):,}",
                *(formatted(last.get(f"eval/{one.name}"), one.format) for one in measures),
                style="bold green" if label == "best" else "",
            )
        panel.caption = self._summary_line()
        panel.caption_justify = "left"
        return panel

    def _summary_line(self) -> str:
        counts = ", ".join(f"{count} {state}" for state, count in self._counts().items() if count)
        best = self._best()
        name = rank_name(self.config)
        found = f"; best {name} {number(trial_score(best, self.config))}" if best else ""
        return (
            f"{counts}{self._waiting_for()}{found}; {self._speed():,.0f} steps/s{self._time_left()}"
        )

    def _waiting_for(self) -> str:
        """Return why nothing runs, where trials wait and it is known."""
        counts = self._counts()
        waited = time.monotonic() - self.started_at
        if counts["running"] or not counts["waiting"] or waited < _PATIENCE_S:
            return ""
        reason = why_none_runs(self.config)
        return f"; {reason}" if reason else ""


def _steps(record: TrialRecord) -> int:
    return int(record.last.get("timesteps", 0))


def _end_line(record: TrialRecord) -> str:
    last = record.last
    if not last:
        return f"trial {record.index}: {record.reason}"
    sharpe, drawdown = number(last.get("eval/sharpe_ratio")), percent(last.get("eval/max_drawdown"))
    appraisal = number(last.get("eval/appraisal_ratio"))
    return (
        f"trial {record.index}: {record.reason} (appraisal {appraisal}, Sharpe {sharpe}, max "
        f"drawdown {drawdown})"
    )
