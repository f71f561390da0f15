"""Reading and appending the journal of a search: one line per event.

Each event is numbered and appended as it happens. The journal suffices to show, judge and resume
any search: the samples, results, checkpoints and ends of all trials are read from it, whether the
search is running, interrupted or finished. Ray's own snapshots are never read.
"""

import contextlib
import json
import os
import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from finrl_ray.search.journal.lines import JOURNAL_FILE, Event, read_lines
from finrl_ray.search.journal.records import TrialRecords
from finrl_ray.support.values import to_python

REPORTED = (
    "timesteps",
    "folds",
    "paths",
    "objective",
    "eval_objective",
    "seed",
    "stop_reason",
    "notes",
)

# kinds of events that stay when a search is resumed from an earlier state
_KEPT_WHEN_GOING_BACK = ("search", "config", "back")


def read_events(folder: Path) -> list[Event]:
    """Return the numbered events of a search folder's journal that count.

    A half-written line is left out, and so is what a search took back when it was resumed from an
    earlier state.

    Raises
    ------
    SearchError
        If the file cannot be a journal, or names a path out of the folder.
    """
    events: list[Event] = []
    for event in _written(folder):
        if event["event"] == "back":
            events = without_later(events, event["to"])
        events.append(event)
    return events


def first_gap(folder: Path) -> int | None:
    """Return the number of the first event that is missing from a journal; None if none is."""
    expected = 1
    for event in _written(folder):
        if event["n"] != expected:
            return expected
        expected += 1
    return None


def _written(folder: Path) -> Iterator[Event]:
    return read_lines(folder / JOURNAL_FILE)


def without_later(events: Sequence[Event], number: int) -> list[Event]:
    """Return the events up to a number, and those after it that belong to no trial."""
    return [e for e in events if e["n"] <= number or e["event"] in _KEPT_WHEN_GOING_BACK]


def replay_events(events: Iterable[Event]) -> TrialRecords:
    """Return the records of a list of events; one whose trial is not known is left out."""
    records = TrialRecords()
    for event in events:
        try:
            if event["event"] == "exploit":
                _ = records.trials[event["donor"]]
            records.apply(event)
        except (KeyError, TypeError, AttributeError):
            continue  # the start of this trial was lost; `resume` says so
    return records


def read_journal(folder: Path) -> TrialRecords:
    """Return what the journal of a search folder says."""
    return replay_events(read_events(folder))


def append_event(folder: Path, records: TrialRecords, event: str, **content: Any) -> None:
    """Append one event to the journal of `folder` and apply it to `records`."""
    append_events(folder, records, [make_event(records, event, content)])


def make_event(
    records: TrialRecords, event: str, content: Mapping[str, Any], ahead: int = 1
) -> Event:
    """Return a new event with its time and number.

    Parameters
    ----------
    records : what the journal says so far
    event : its kind
    content : its other fields
    ahead : how many numbers after the journal's last event; 1 for the next one
    """
    return {"event": event, "n": records.number + ahead, "time": time.time(), **content}


def append_events(folder: Path, records: TrialRecords, events: Sequence[Event]) -> None:
    """Append numbered events to the journal of `folder` in one write, and apply them to `records`.

    Raises
    ------
    OSError
        If they cannot be written; the file is then as it was, unless the process is killed.
    """
    for event in events:
        records.apply(event)
    append_lines(folder, events)


def append_lines(folder: Path, events: Sequence[Event]) -> None:
    """Append numbered events to the journal of `folder` in one write.

    Raises
    ------
    OSError
        As `append_events` does.
    """
    lines = b"".join(json.dumps(event, default=to_python).encode() + b"\n" for event in events)
    # without a buffer, which would be written once more when the file is closed
    with (folder / JOURNAL_FILE).open("a+b", buffering=0) as file:
        if file.seek(0, os.SEEK_END):
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":  # a killed driver left half a line
                lines = b"\n" + lines
        end, left = file.seek(0, os.SEEK_END), memoryview(lines)
        try:
            while left:
                left = left[file.write(left) :]
        except OSError:
            # a part of them would be read as if the rest had never happened
            with contextlib.suppress(OSError):
                os.truncate(file.fileno(), end)
            raise


def reported_metrics(result: Mapping[str, Any]) -> dict[str, Any]:
    """Return what finrl_ray itself reported, without the fields that Ray adds."""
    return {
        name: to_python(value)
        for name, value in result.items()
        if name in REPORTED or name.startswith("eval/")
    }


def error_line(traceback: str) -> str:
    """Return the line of a traceback that names the exception, shortened."""
    lines = traceback.strip().splitlines() or ["unknown error"]
    named = [line for line in lines if re.match(r"[A-Za-z_][\w.]*(: |$)", line)]
    line = (named or lines)[-1].strip()[:300]
    return re.sub(r"^finrl_ray\.[\w.]+: ", "", line)  # our own messages speak for themselves
