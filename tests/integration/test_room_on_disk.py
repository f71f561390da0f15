"""What a full disk leaves of journal and state, write by write: whole, and fit for each other."""

import errno
import os
import resource
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from committer_parts import small_journal

from finrl_ray.config.experiment import ExperimentConfig
from finrl_ray.files.disk_full import DiskFullError
from finrl_ray.search.journal.events import append_event, read_events
from finrl_ray.search.journal.lines import JOURNAL_FILE
from finrl_ray.search.journal.records import TrialRecords
from finrl_ray.search.journal.state_files import TURNS, StateFiles
from finrl_ray.search.loggers import tensorboard
from finrl_ray.search.loggers.tensorboard import TensorBoardLog
from finrl_ray.search.tune.commit import read_for_resume


@contextmanager
def files_up_to(size: int) -> Iterator[None]:
    """Let no file of this process grow beyond `size` bytes: the write that would is cut short."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def start(folder: Path, records: TrialRecords, index: int) -> None:
    append_event(folder, records, "start", trial_id=f"{index:05d}", index=index, sample={})


@pytest.mark.parametrize("room", [0, 1, 40])
def test_half_an_event_is_taken_back(tmp_path: Path, room: int) -> None:
    records = TrialRecords()
    start(tmp_path, records, 0)
    path = tmp_path / JOURNAL_FILE
    before = path.read_bytes()
    with files_up_to(len(before) + room), pytest.raises(OSError, match="too large"):
        start(tmp_path, records, 1)
    assert path.read_bytes() == before
    again = TrialRecords()
    for event in read_events(tmp_path):
        again.apply(event)
    start(tmp_path, again, 1)
    assert [event["n"] for event in read_events(tmp_path)] == [1, 2]


def test_a_committer_that_could_not_write_writes_nothing_more(tmp_path: Path) -> None:
    journal = small_journal(tmp_path)
    journal.committer.write("start", trial_id="00000", index=0, sample={})
    number, content = journal.records.number, (tmp_path / JOURNAL_FILE).read_bytes()
    with files_up_to(len(content) + 10), pytest.raises(DiskFullError, match="finrl-ray resume"):
        journal.committer.write("note", trial_id="00000", text="x" * 5000)
    with pytest.raises(DiskFullError):
        journal.committer.write("note", trial_id="00000", text="there is room again")
    assert (tmp_path / JOURNAL_FILE).read_bytes() == content
    records, state, _ = read_for_resume(tmp_path)
    assert records.number == number
    assert state is not None
    assert state.number == number


def test_states_ahead_of_the_journal_go_before_their_numbers_are_used_again(
    tmp_path: Path,
) -> None:
    records, files = TrialRecords(), StateFiles(tmp_path)
    files.write(1, b"seen")
    start(tmp_path, records, 0)
    files.write(2, b"of an event that was never written")
    found, state, files = read_for_resume(tmp_path)
    assert state is not None
    assert state.payload == b"seen"
    append_event(tmp_path, found, "search", state="resumed")
    # killed here, the search would go on from a state that has seen another event 2
    _, state, _ = read_for_resume(tmp_path)
    assert state is not None
    assert state.payload == b"seen"
    assert sum((tmp_path / "state" / name).exists() for name in TURNS) == 1


class Journal:
    def __init__(self, records: TrialRecords) -> None:
        self.records = records


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_tensorboard_on_a_full_disk_has_no_thread_and_no_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], number: int
) -> None:
    records = TrialRecords()
    start(tmp_path, records, 0)
    metrics = {"timesteps": 100, "objective": 1.0}
    append_event(tmp_path, records, "result", trial_id="00000", metrics=metrics)

    def fails(*_: Any) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(tensorboard._EventFile, "write", fails)
    threads = threading.active_count()
    log = TensorBoardLog(tmp_path, ExperimentConfig(), Journal(records))
    with pytest.raises(DiskFullError, match="TensorBoard's files cannot be written"):
        log.on_step_end(1, [])
    log.on_experiment_end([])
    assert threading.active_count() == threads
    log = TensorBoardLog(tmp_path, ExperimentConfig(), Journal(records))
    log.on_experiment_end([])  # at the end nothing is lost: the files are made from the journal
    assert "Traceback" not in capfd.readouterr().err
