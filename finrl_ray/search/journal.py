"""The search's own record: one line per event, appended as it happens, enough to show any search.

Ray's snapshots are a few seconds old when a driver dies; this file is not. What a trial was, what
it reported, where its checkpoints are and how it ended is read from here, for running, interrupted
and finished searches alike.
"""

import json
import os
import re
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ray import tune
from ray.tune.schedulers import TrialScheduler

from finrl_ray.agent.hyperparameters import to_python

if TYPE_CHECKING:
    from ray.tune.experiment import Trial

JOURNAL_FILE = "journal.jsonl"
REPORTED = ("timesteps", "objective", "eval_objective", "seed", "stop_reason")

TrialState = Literal["running", "completed", "stopped", "rejected", "failed", "interrupted"]
ENDED = ("completed", "stopped", "rejected", "failed")


@dataclass(kw_only=True)
class TrialRecord:
    """What the journal knows of one trial.

    Parameters
    ----------
    trial_id : Ray's name of it
    index : position in the order of creation, from 0
    sample : the sampled values, before translation and repair
    state : `completed` (its whole budget), `stopped` (by the scheduler or for want of
        improvement), `rejected` (drawdown limit), `failed`, `interrupted`, or `running`
    reason : one sentence on how it ended
    results : one mapping per evaluation, in order of timesteps
    checkpoints : folder of the checkpoint (relative to the search's) by timesteps
    error : the traceback of a failed trial
    time_s : seconds it has been running, over all its starts
    """

    trial_id: str
    index: int
    sample: dict[str, Any]
    state: TrialState = "running"
    reason: str = ""
    results: list[dict[str, Any]] = field(default_factory=list)
    checkpoints: dict[int, str] = field(default_factory=dict)
    error: str = ""
    failures: int = 0
    time_s: float = 0.0
    started_at: float = 0.0

    @property
    def last(self) -> dict[str, Any]:
        """The latest result, or an empty mapping."""
        return self.results[-1] if self.results else {}


class Records:
    """The trials of a search, as a fold over its events."""

    def __init__(self) -> None:
        self.trials: dict[str, TrialRecord] = {}
        self.searches: list[dict[str, Any]] = []

    def apply(self, event: dict[str, Any]) -> None:
        """Fold one event in; a trial that starts over from a checkpoint replaces its later rows."""
        handlers: dict[str, Callable[[dict[str, Any]], None]] = {
            "search": self.searches.append,
            "known": self._known,
            "start": self._start,
            "result": self._result,
            "checkpoint": self._checkpoint,
            "recover": self._recover,
            "end": self._end,
        }
        handlers[event["event"]](event)

    def _known(self, event: dict[str, Any]) -> None:
        # a resumed search begins with a snapshot: what started after it will be sampled again
        known = set(event["trial_ids"])
        self.trials = {key: record for key, record in self.trials.items() if key in known}

    def free_index(self) -> int:
        """Return the smallest number that no trial has."""
        taken = {record.index for record in self.trials.values()}
        return next(i for i in range(len(taken) + 1) if i not in taken)

    def _start(self, event: dict[str, Any]) -> None:
        record = self.trials.get(event["trial_id"])
        if record is None:
            record = TrialRecord(
                trial_id=event["trial_id"], index=event["index"], sample=event["sample"]
            )
            self.trials[record.trial_id] = record
        record.state, record.reason, record.error = "running", "", ""
        record.started_at = event["time"]

    def _result(self, event: dict[str, Any]) -> None:
        record = self.trials[event["trial_id"]]
        steps = event["metrics"]["timesteps"]
        record.results = [r for r in record.results if r["timesteps"] < steps]
        record.results.append(event["metrics"])
        # later checkpoints belong to a life that a killed driver ended; Ray writes them again
        record.checkpoints = {s: path for s, path in record.checkpoints.items() if s < steps}
        self._tick(record, event["time"])

    def _checkpoint(self, event: dict[str, Any]) -> None:
        self.trials[event["trial_id"]].checkpoints[event["timesteps"]] = event["path"]

    def _recover(self, event: dict[str, Any]) -> None:
        self.trials[event["trial_id"]].failures += 1

    def _end(self, event: dict[str, Any]) -> None:
        record = self.trials[event["trial_id"]]
        record.state, record.reason = event["state"], event["reason"]
        record.error = event.get("error", "")
        record.failures += bool(record.error)
        self._tick(record, event["time"])

    @staticmethod
    def _tick(record: TrialRecord, now: float) -> None:
        record.time_s += max(0.0, now - record.started_at)
        record.started_at = now

    def in_order(self) -> list[TrialRecord]:
        """Return the trials in order of creation."""
        return sorted(self.trials.values(), key=lambda record: record.index)


def read_journal(folder: Path) -> Records:
    """Return what the journal of a search folder says; a half-written last line is left out."""
    records = Records()
    path = folder / JOURNAL_FILE
    if not path.exists():
        return records
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            records.apply(json.loads(line))
        except (ValueError, KeyError, TypeError):
            # half a line of a killed driver, or a trial whose start was lost; a resume compares
            # what is left with Ray's snapshot
            continue
    return records


def append_event(folder: Path, records: Records, event: str, **content: Any) -> None:
    """Append one event to the journal of `folder` and fold it into `records`."""
    line = {"event": event, "time": time.time(), **content}
    records.apply(line)
    with (folder / JOURNAL_FILE).open("a+b") as file:
        if file.seek(0, os.SEEK_END):
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":  # a killed driver left half a line
                file.write(b"\n")
        file.write(json.dumps(line, default=to_python).encode() + b"\n")


def reported_metrics(result: Mapping[str, Any]) -> dict[str, Any]:
    """Return what finrl_ray itself reported, without the fields that Ray adds."""
    return {
        name: to_python(value)
        for name, value in result.items()
        if name in REPORTED or name.startswith("eval/")
    }


class SearchJournal(tune.Callback):
    """Ray Tune callback that writes the journal and keeps `records` up to date."""

    def __init__(
        self,
        folder: Path,
        total_timesteps: int,
        scheduler: TrialScheduler,
        records: Records | None = None,
    ) -> None:
        self.folder = folder
        self.total_timesteps = total_timesteps
        self.scheduler = scheduler
        self.records = Records() if records is None else records
        self.reconciled = not self.records.trials

    def write(self, event: str, **content: Any) -> None:
        """Append one event and fold it into `records`."""
        append_event(self.folder, self.records, event, **content)

    def on_step_begin(self, iteration: int, trials: list["Trial"], **info: Any) -> None:
        """After a resume, once: keep the trials that Ray knows."""
        if not self.reconciled:
            self.reconciled = True
            self.write("known", trial_ids=[trial.trial_id for trial in trials])

    def on_trial_start(
        self, iteration: int, trials: list["Trial"], trial: "Trial", **info: Any
    ) -> None:
        """Note a trial's first start, or a later one from its checkpoint."""
        known = self.records.trials.get(trial.trial_id)
        index = known.index if known else self._index(trial.trial_id)
        sample = {name: to_python(value) for name, value in trial.config.items()}
        self.write("start", trial_id=trial.trial_id, index=index, sample=sample)

    def _index(self, trial_id: str) -> int:
        # Ray numbers the trials of random and grid search in their ids; Optuna's have random ids
        numbered = re.fullmatch(r"\w+_(\d{5})", trial_id)
        return int(numbered.group(1)) if numbered else self.records.free_index()

    def on_trial_result(
        self,
        iteration: int,
        trials: list["Trial"],
        trial: "Trial",
        result: dict[str, Any],
        **info: Any,
    ) -> None:
        """Note an evaluation."""
        metrics = reported_metrics(result)
        if "timesteps" in metrics:
            self.write("result", trial_id=trial.trial_id, metrics=metrics)

    def on_checkpoint(
        self,
        iteration: int,
        trials: list["Trial"],
        trial: "Trial",
        checkpoint: Any,
        **info: Any,
    ) -> None:
        """Note where the checkpoint of the trial's latest report is."""
        path = Path(checkpoint.path)
        where = path.relative_to(self.folder) if path.is_relative_to(self.folder) else path
        steps = (trial.last_result or {}).get("timesteps")
        if steps is not None:
            self.write("checkpoint", trial_id=trial.trial_id, timesteps=steps, path=str(where))

    def on_trial_complete(
        self, iteration: int, trials: list["Trial"], trial: "Trial", **info: Any
    ) -> None:
        """Note a trial that ended without an error, and why."""
        state, reason = self._verdict(trial.trial_id)
        self.write("end", trial_id=trial.trial_id, state=state, reason=reason)

    def _verdict(self, trial_id: str) -> tuple[TrialState, str]:
        record = self.records.trials[trial_id]
        last = record.last
        stop_reason = str(last.get("stop_reason", ""))
        if stop_reason.startswith("drawdown"):
            return "rejected", stop_reason
        if last.get("timesteps", 0) >= self.total_timesteps:
            return "completed", f"completed {last['timesteps']:,} timesteps"
        if stop_reason:
            return "stopped", stop_reason
        rung = getattr(self.scheduler, "stopped_at", {}).get(trial_id)
        if rung is not None:
            return "stopped", f"stopped by asha at {rung:,}"
        return "interrupted", interruption(record)

    def on_trial_error(
        self, iteration: int, trials: list["Trial"], trial: "Trial", **info: Any
    ) -> None:
        """Note a trial that failed for good, with the line that names its error as the reason."""
        text = trial.error_file and Path(trial.error_file).read_text(encoding="utf-8")
        text = text or "no traceback was left"
        reason = error_line(text)
        self.write("end", trial_id=trial.trial_id, state="failed", reason=reason, error=text)

    def on_trial_recover(
        self, iteration: int, trials: list["Trial"], trial: "Trial", **info: Any
    ) -> None:
        """Count a crash after which the trial is started again from its checkpoint."""
        self.write("recover", trial_id=trial.trial_id)


def error_line(traceback: str) -> str:
    """Return the line of a traceback that names the exception, shortened."""
    lines = traceback.strip().splitlines() or ["unknown error"]
    named = [line for line in lines if re.match(r"[A-Za-z_][\w.]*(: |$)", line)]
    line = (named or lines)[-1].strip()[:300]
    return re.sub(r"^finrl_ray\.[\w.]+: ", "", line)  # our own messages speak for themselves


def interruption(record: TrialRecord) -> str:
    """Return the reason of a trial that can go on from its checkpoint."""
    return f"interrupted after {record.last.get('timesteps', 0):,} timesteps"


def unfinished(records: Iterable[TrialRecord]) -> list[TrialRecord]:
    """Return the trials that have not ended."""
    return [record for record in records if record.state not in ENDED]
