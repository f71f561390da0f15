"""`StateCommitter`: writes events to the journal together with the state that belongs to them."""

import contextlib
import errno
import json
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ray import tune
from ray.tune.experiment import Trial
from ray.tune.schedulers import TrialScheduler
from ray.tune.search import Searcher

from finrl_ray.errors import SearchError
from finrl_ray.files.disk_full import disk_full_error, is_disk_full
from finrl_ray.files.signature import key_file
from finrl_ray.search.journal.events import (
    append_event,
    append_lines,
    first_gap,
    make_event,
    read_events,
    replay_events,
    without_later,
)
from finrl_ray.search.journal.lines import JOURNAL_FILE, Event
from finrl_ray.search.journal.records import TrialRecords
from finrl_ray.search.journal.state_files import (
    STATE_FOLDER,
    StateFiles,
    StoredState,
    dump_state,
    load_state,
    pack_parts,
    unpack_parts,
)
from finrl_ray.search.sampling.drawn_samples import DrawnSamples
from finrl_ray.search.tune.trial_ids import TrialIds

# events after which the searcher and the scheduler are as they were before
_OUTSIDE = ("search", "config", "back", "note")
# a version that draws otherwise does so from the first sample on; points come before it
_COMPARED_SAMPLES = 100


class StateCommitter:
    """Makes every event of a running search permanent, with the searcher's and scheduler's state.

    It works like the transactions of a database: `write` commits one event; between `begin` and
    `commit`, while the scheduler decides on a result, events are pending, and `commit` writes them
    after that result. Of each transaction the state is written first and then the events, so that
    a driver that dies in between leaves an earlier state that fits the journal.

    Parameters
    ----------
    folder : the search's folder
    records : what the journal says so far
    searcher, scheduler : as a new search starts with them
    files : the state files

    Attributes
    ----------
    registered : ids of the trials that the scheduler has been given
    decisions : what the scheduler decided last, by trial id
    """

    def __init__(
        self,
        folder: Path,
        records: TrialRecords,
        searcher: Searcher,
        scheduler: TrialScheduler,
        files: StateFiles | None = None,
    ) -> None:
        self.folder = folder
        self.records = records
        self.searcher = searcher
        self.scheduler = scheduler
        self.files = files or StateFiles(folder)
        self.registered = TrialIds()
        self.decisions: dict[str, str] = {}
        self._pending: list[tuple[str, dict[str, Any]]] | None = None
        self._pickles: dict[str, bytes] = {}
        self._failed: SearchError | None = None
        self._together = 0
        self._unwritten: list[Event] = []

    def write(self, event: str, **content: Any) -> None:
        """Make one event permanent, or keep it pending while a transaction is open.

        Raises
        ------
        SearchError
            If the folder cannot be written to.
        """
        if self._pending is not None:
            self._pending.append((event, content))
            return
        self._write_together([(event, content)])

    def begin(self) -> None:
        """Open a transaction: events stay pending until `commit`."""
        self._pending = []

    def commit(self, *events: tuple[str, dict[str, Any]]) -> None:
        """Close the transaction: write events, and after them those pending since `begin`."""
        pending, self._pending = self._pending or [], None
        self._write_together([*events, *pending])

    def pending(self, event: str) -> int:
        """Return how many events of a kind are pending."""
        return sum(kind == event for kind, _ in self._pending or [])

    def searcher_changed(self) -> None:
        """Note that the searcher must be pickled again."""
        self._pickles.pop("searcher", None)

    def scheduler_changed(self) -> None:
        """Note that the scheduler must be pickled again."""
        self._pickles.pop("scheduler", None)

    def register(self, trial_id: str) -> None:
        """Note that the scheduler has been given a trial."""
        self.registered.add(trial_id)
        self._pickles.pop("registered", None)

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """Make the events of the block permanent at its end, with one state.

        The records have them at once. What has happened outside meanwhile must be such that it can
        happen again if the driver dies within the block. A trial may go on, or start on the worker
        of another one: the journal has it as created, so that a resumed search starts it again. No
        checkpoint may be deleted, which an earlier state still names: `flush` writes before.
        """
        self._together += 1
        try:
            yield
        finally:
            self._together -= 1
            if not self._together and self._failed is None:
                self.flush()

    def _write_together(self, contents: list[tuple[str, dict[str, Any]]]) -> None:
        if self._failed is not None:
            # a second state without its events would leave none that fits the journal
            raise self._failed
        for event, content in contents:
            made = make_event(self.records, event, content)
            self.records.apply(made)
            self._unwritten.append(made)
        if not self._together:
            self.flush()

    def flush(self) -> None:
        """Write what the records have and the journal has not.

        Raises
        ------
        SearchError
            If the folder cannot be written to.
        """
        events, self._unwritten = self._unwritten, []
        if not events:
            return
        journal = self.folder / JOURNAL_FILE
        try:
            if events[0]["n"] > 1 and not journal.exists():
                # workers make folders for their checkpoints, so that the search's may be there anew
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(journal))
            # the state first: if the driver dies in between, the other file fits the journal
            number, payload = events[-1]["n"], self._payload()
            self.files.write(number, payload)
            append_lines(self.folder, events)
            self.files.flush(number, payload, journal)
        except OSError as error:
            self._failed = unwritable(self.folder, error)
            raise self._failed from error

    def _payload(self) -> bytes:
        whole = {"searcher": self.searcher, "scheduler": self.scheduler}
        for name, value in whole.items():
            if name not in self._pickles:
                self._pickles[name] = dump_state(value)
        if "registered" not in self._pickles:
            self._pickles["registered"] = dump_state(self.registered.text())
        return pack_parts(self._pickles)

    def restore(
        self,
        state: StoredState,
        trial: Callable[[str], Trial],
        checkpoint: Callable[[str], tune.Checkpoint],
    ) -> None:
        """Take over searcher and scheduler from a state.

        Parameters
        ----------
        state : from the state files
        trial : returns the trial of an id
        checkpoint : returns the checkpoint at a path

        Raises
        ------
        SearchError
            If samples are drawn otherwise here than when the search began.
        """
        find = {"trial": trial, "checkpoint": checkpoint, "samples": self._samples}
        self._check_samples()
        parts = {name: load_state(part, find) for name, part in unpack_parts(state.payload)}
        self.searcher, self.scheduler = parts["searcher"], parts["scheduler"]
        self._go_on_drawing()
        self.registered = TrialIds.of_text(parts["registered"])
        self._pickles.clear()

    def _samples(self, state: Mapping[str, Any] | str) -> DrawnSamples:
        """Return this process's samples where a state has left them."""
        drawn = getattr(self.searcher, "samples", None)
        if not isinstance(drawn, DrawnSamples):
            raise self._drawn_otherwise()
        if not isinstance(state, str):  # a text: the digest that states held formerly
            drawn.go_to(state)
        return drawn

    def _go_on_drawing(self) -> None:
        """Draw again what a state of an earlier version only counts."""
        given = vars(self.searcher).pop("given", None)
        if given is not None:
            for _ in range(given):
                self.searcher.samples.draw()  # type: ignore[attr-defined]  # as `given`

    def _check_samples(self) -> None:
        """Refuse to go on where the first samples would be others than the journal's."""
        drawn = getattr(self.searcher, "samples", None)
        if not isinstance(drawn, DrawnSamples):
            return
        begun = list(self.records.trials.values())[:_COMPARED_SAMPLES]
        for record, sample in zip(begun, drawn.first(len(begun)), strict=False):
            if json.loads(json.dumps(sample)) != record.first_sample:
                raise self._drawn_otherwise()

    def _drawn_otherwise(self) -> SearchError:
        return SearchError(
            f"the samples of the search in {self.folder} are drawn from its config and seed, "
            "and come out otherwise now than when it began: go on with the versions of Python, "
            "numpy and Ray that its experiment.json names"
        )


def unwritable(folder: Path, error: OSError) -> SearchError:
    """Return what it means that a search's folder cannot be written to."""
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        gone = folder if not folder.is_dir() else folder / JOURNAL_FILE
        return SearchError(
            f"{gone} is gone: it was deleted or moved, or its disk was taken away, while the "
            "search ran. Put it back, or go to where it was moved, and go on with `finrl-ray "
            "resume` there; without it, start a new search"
        )
    remedy = f"then go on with `finrl-ray resume {folder}`"
    if is_disk_full(error):
        return disk_full_error(
            f"the search's folder {folder}", error, [folder], f"Make room, {remedy}"
        )
    return SearchError(
        f"the search's folder {folder} cannot be written to: {error}. Make it writable again, "
        f"{remedy}"
    )


def require_trusted(folder: Path, *, trust: bool = False) -> None:
    """Refuse a search whose state somebody else has written, before anything is started for it.

    Raises
    ------
    SearchError
        As `read_for_resume` does.
    """
    state = StateFiles(folder).newest(until=replay_events(read_events(folder)).number)
    if state is not None:
        _require_own(folder, state, trust=trust)


def _require_own(folder: Path, state: StoredState, *, trust: bool) -> None:
    if state.own or trust:
        return
    raise SearchError(
        f"the state of the unfinished search in {folder} was not written by you with the key in "
        f"{key_file()} (it is somebody else's, of another machine, or of an earlier version). It "
        "is a pickle, and going on with it runs whatever code is in it: if you trust whoever wrote "
        "it, resume with --trust (trust=True in Python); on another machine of yours, copy the key "
        "there instead"
    )


def read_for_resume(
    folder: Path, *, trust: bool = False
) -> tuple[TrialRecords, StoredState | None, StateFiles]:
    """Return the records and the state that a search goes on from.

    Where the newest state is damaged, the one before it is used, and what the journal says beyond
    it is taken back; trials that go on from their checkpoints report it again.

    Parameters
    ----------
    folder : of the search
    trust : take a state that somebody else has written; it runs code when it is restored

    Raises
    ------
    SearchError
        If journal and state do not fit each other, because one of them was cut or exchanged; or if
        the state needs trust.
    """
    events = read_events(folder)
    records = replay_events(events)
    files = StateFiles(folder)
    gap = first_gap(folder)
    if gap is None and files.is_newer_than_journal(records.number):
        gap = records.number + 1
    if gap is not None:
        raise SearchError(
            f"{folder / JOURNAL_FILE} has no event {gap}, which {folder / STATE_FOLDER} has seen: "
            "it was cut or lost; put back a copy of it, or start a new search"
        )
    state = files.newest(until=records.number)
    if state is None:
        if any(_changes_state(event) for event in events):
            raise SearchError(
                f"no file in {folder / STATE_FOLDER} fits {folder / JOURNAL_FILE}: what the "
                "searcher and the scheduler know was cut or lost; put back a copy of it, or start "
                "a new search"
            )
        return records, None, files
    _require_own(folder, state, trust=trust)
    if any(_changes_state(event) for event in events if event["n"] > state.number):
        taken_back = replay_events(without_later(events, state.number))
        taken_back.number = records.number
        append_event(folder, taken_back, "back", to=state.number)
        records = taken_back
    files.drop_ahead(records.number)
    return records, state, files


def _changes_state(event: Event) -> bool:
    interrupted = event["event"] == "end" and event["state"] == "interrupted"
    return event["event"] not in _OUTSIDE and not interrupted
