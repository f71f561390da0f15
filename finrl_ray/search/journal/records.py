"""What the events of a journal add up to: the trials of a search, and which of them have ended."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from finrl_ray.search.journal.lines import Event, TrialState

ENDED = ("completed", "stopped", "rejected", "failed")
STOP, PAUSE = "STOP", "PAUSE"
"""Ray's names of what a scheduler decides after a result."""


@dataclass(kw_only=True)
class TrialRecord:
    """What the journal knows of one trial.

    Parameters
    ----------
    trial_id : Ray's name of it
    index : position in the order of creation, from 0
    sample : the sampled values, before translation and repair; under population based training
        those that the trial trains with at last
    first_sample : those that it began with
    exploits : under population based training one mapping per exchange: `timesteps` of the donor's
        checkpoint that it went on from, `donor` (trial id), `sample` and `order`, its number
        among the events
    started : whether it has ever been started; until then it is in no table
    state : `completed` (its whole budget), `stopped` (by the scheduler or for want of
        improvement), `rejected` (drawdown limit), `failed`, `interrupted`, or `running`
    reason : one sentence on how it ended
    results : one mapping per evaluation, in order of timesteps
    checkpoints : folder of the checkpoint (relative to the search's) by timesteps
    latest_checkpoint : folder of the one to go on from; empty before the first
    decision : what the scheduler decided after the last result, if that is still to be carried out
    error : the traceback of a failed trial
    notes : what a reader of the table should know, such as a damaged checkpoint
    ended_at : number of the event that ended it
    time_s : seconds it has been running, over all its starts
    """

    trial_id: str
    index: int
    sample: dict[str, Any]
    started: bool = False
    state: TrialState = "running"
    reason: str = ""
    results: list[dict[str, Any]] = field(default_factory=list)
    checkpoints: dict[int, str] = field(default_factory=dict)
    latest_checkpoint: str = ""
    decision: str = ""
    exploits: list[dict[str, Any]] = field(default_factory=list)
    error: str = ""
    notes: list[str] = field(default_factory=list)
    failures: int = 0
    iterations: int = 0
    ended_at: int = 0
    time_s: float = 0.0
    started_at: float = 0.0

    def __post_init__(self) -> None:
        self.first_sample = dict(self.sample)

    @property
    def last(self) -> dict[str, Any]:
        """The latest result, or an empty mapping."""
        return self.results[-1] if self.results else {}


class TrialRecords:
    """The trials of a search, as its events, applied one after the other, leave them.

    Attributes
    ----------
    trials : by trial id, those that were created and not started yet included
    endings : the trials that have ended, in the order in which they did
    searches : the events of the search as a whole
    number : of the last event
    ended_by : why the search ends before its planned number of trials; empty if it does not
    lives : when each process that ran the search began, and when it last wrote, s since the epoch
    """

    def __init__(self) -> None:
        self.trials: dict[str, TrialRecord] = {}
        self.endings: list[TrialRecord] = []
        self.searches: list[Event] = []
        self.number = 0
        self.ended_by = ""
        self.lives: list[list[float]] = []

    @property
    def time_s(self) -> float:
        """Seconds that the search has been running, over all its lives."""
        return sum(end - start for start, end in self.lives)

    def apply(self, event: Event) -> None:
        """Apply one event; a trial that starts over from a checkpoint replaces its later rows."""
        _HANDLERS[event["event"]](self, event)
        if self.lives:
            self.lives[-1][1] = max(self.lives[-1][1], event["time"])
        self.number = event.get("n", self.number + 1)

    def _search(self, event: Event) -> None:
        self.searches.append(event)
        if event["state"] in ("started", "resumed"):
            self.lives.append([event["time"], event["time"]])
        self.ended_by = event.get("ended_by", self.ended_by)

    def _config(self, event: Event) -> None:
        if event.get("reopens"):
            self.ended_by = ""

    def _created(self, event: Event) -> None:
        trial_id = event["trial_id"]
        self.trials[trial_id] = TrialRecord(
            trial_id=trial_id, index=event["index"], sample=event["sample"]
        )

    def _start(self, event: Event) -> None:
        if event["trial_id"] not in self.trials:
            self._created(event)
        record = self.trials[event["trial_id"]]
        record.state, record.reason, record.error = "running", "", ""
        record.started, record.decision = True, ""
        record.started_at = event["time"]

    def _result(self, event: Event) -> None:
        record = self.trials[event["trial_id"]]
        steps = event["metrics"]["timesteps"]
        record.results = [r for r in record.results if r["timesteps"] < steps]
        record.results.append(event["metrics"])
        # later checkpoints belong to a life that has been left; they are written again
        record.checkpoints = {s: path for s, path in record.checkpoints.items() if s < steps}
        record.decision = event.get("decision", "")
        record.iterations = event.get("iteration", record.iterations)
        note = event["metrics"].get("notes")
        if note and note not in record.notes:
            record.notes.append(note)
        self._tick(record, event["time"])

    def _checkpoint(self, event: Event) -> None:
        record = self.trials[event["trial_id"]]
        path = event["path"]
        # an exchanged trial numbers its checkpoints anew, and may take the folder of an earlier one
        left = {s: known for s, known in record.checkpoints.items() if known != path}
        record.checkpoints = {**left, event["timesteps"]: path}
        record.latest_checkpoint = path

    def _exploit(self, event: Event) -> None:
        record = self.trials[event["trial_id"]]
        names = ("timesteps", "donor", "sample")
        order = event.get("n", self.number + 1)
        record.exploits.append({**{name: event[name] for name in names}, "order": order})
        record.sample, record.latest_checkpoint = event["sample"], event["checkpoint"]

    def _recover(self, event: Event) -> None:
        self.trials[event["trial_id"]].failures += event.get("counted", True)

    def _note(self, event: Event) -> None:
        self.trials[event["trial_id"]].notes.append(event["text"])

    def _end(self, event: Event) -> None:
        record = self.trials[event["trial_id"]]
        record.state, record.reason = event["state"], event["reason"]
        record.error = event.get("error", "")
        record.failures += record.state == "failed"
        if record.state in ENDED:
            record.decision = ""
            record.ended_at = event.get("n", self.number + 1)
            self.endings.append(record)
        self._tick(record, event["time"])

    @staticmethod
    def _tick(record: TrialRecord, now: float) -> None:
        record.time_s += max(0.0, now - record.started_at)
        record.started_at = now

    def in_order(self) -> list[TrialRecord]:
        """Return the trials that have been started, in order of creation."""
        started = [record for record in self.trials.values() if record.started]
        return sorted(started, key=lambda record: record.index)


_HANDLERS: Mapping[str, Callable[[TrialRecords, Event], None]] = MappingProxyType(
    {
        "search": TrialRecords._search,
        "config": TrialRecords._config,
        "created": TrialRecords._created,
        "start": TrialRecords._start,
        "result": TrialRecords._result,
        "checkpoint": TrialRecords._checkpoint,
        "exploit": TrialRecords._exploit,
        "recover": TrialRecords._recover,
        "note": TrialRecords._note,
        "end": TrialRecords._end,
        "back": lambda records, event: None,
    }
)


def interruption(record: TrialRecord) -> str:
    """Return the reason of a trial that can go on from its checkpoint."""
    return f"interrupted after {record.last.get('timesteps', 0):,} timesteps"


def unfinished(records: Iterable[TrialRecord]) -> list[TrialRecord]:
    """Return the trials that have not ended."""
    return [record for record in records if record.state not in ENDED]


def is_finished(records: TrialRecords, planned: int) -> bool:
    """Return whether every trial that the search starts has ended."""
    if records.ended_by:
        return not unfinished(records.in_order())
    return len(records.trials) >= planned and not unfinished(records.trials.values())
