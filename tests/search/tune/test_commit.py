"""The committer: journal and state always fit each other, whenever a driver dies."""

import codecs
import errno
import hashlib
import json
import os
import pickle
import shutil
from pathlib import Path
from typing import Any

import pytest
from committer_parts import small_committer
from ray.tune.experiment import Trial
from ray.tune.schedulers import AsyncHyperBandScheduler, FIFOScheduler

from finrl_ray.errors import SearchError
from finrl_ray.search.journal.events import read_journal
from finrl_ray.search.journal.lines import JOURNAL_FILE
from finrl_ray.search.journal.records import TrialRecords
from finrl_ray.search.journal.state_files import (
    FLUSHED,
    STATE_FOLDER,
    TURNS,
    _referred,
    dump_state,
    load_state,
)
from finrl_ray.search.sampling.domains import Domain
from finrl_ray.search.sampling.drawn_samples import DrawnSamples
from finrl_ray.search.sampling.searchers import SampleList
from finrl_ray.search.tune.commit import StateCommitter, read_for_resume, require_trusted


class KilledError(Exception):
    """What ends a driver in a test."""


def die(*arguments: object) -> None:
    raise KilledError


def create(committer: StateCommitter, count: int) -> None:
    for _ in range(count):
        index = len(committer.records.trials)
        sample = committer.searcher.suggest(f"{index:05d}")
        committer.searcher_changed()
        committer.write("created", trial_id=f"{index:05d}", index=index, sample=sample)


def suggested(folder: Path) -> tuple[int, int]:
    """Return how many trials the journal has, and how many the searcher has suggested."""
    records, state, files = read_for_resume(folder)
    again = small_committer(folder)
    again.files, again.records = files, records
    assert state is not None
    again.restore(state, lambda trial_id: trial_id, lambda path: path)
    return len(records.trials), again.searcher.suggested


def test_a_resumed_searcher_goes_on_where_the_journal_ends(tmp_path) -> None:
    create(small_committer(tmp_path), 3)
    assert suggested(tmp_path) == (3, 3)


@pytest.mark.parametrize("count", [3, 4])
def test_a_driver_killed_between_state_and_journal_loses_what_neither_has_told(
    tmp_path, count, monkeypatch
) -> None:
    committer = small_committer(tmp_path)
    create(committer, count)
    monkeypatch.setattr("finrl_ray.search.tune.commit.append_lines", die)
    with pytest.raises(KilledError):
        create(committer, 1)  # the state is written, the journal is not
    assert suggested(tmp_path) == (count, count)


def test_a_driver_killed_before_the_very_first_event_starts_anew(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("finrl_ray.search.tune.commit.append_lines", die)
    with pytest.raises(KilledError):
        create(small_committer(tmp_path), 1)
    records, state, _ = read_for_resume(tmp_path)
    assert (records.trials, state) == ({}, None)


@pytest.mark.parametrize("damage", ["cut", "flip", "empty"])
def test_a_damaged_state_falls_back_to_the_one_before_it(tmp_path, damage, caplog) -> None:
    committer = small_committer(tmp_path)
    create(committer, 4)
    newest = tmp_path / STATE_FOLDER / TURNS[1]
    whole = newest.read_bytes()
    other = {"cut": whole[:-5], "flip": whole[:-5] + b"\0" + whole[-4:], "empty": b""}
    newest.write_bytes(other[damage])
    assert suggested(tmp_path) == (3, 3)
    assert "is damaged" in caplog.text
    # what was taken back is taken back for every later reader, and can happen again
    assert len(read_journal(tmp_path).trials) == 3
    records, state, files = read_for_resume(tmp_path)
    assert state is not None
    again = small_committer(tmp_path)
    again.files, again.records = files, records
    again.restore(state, lambda trial_id: trial_id, lambda path: path)
    create(again, 1)
    assert read_journal(tmp_path).trials["00003"].sample == {"x": 3}
    assert suggested(tmp_path) == (4, 4)


def test_without_any_state_a_search_cannot_go_on(tmp_path) -> None:
    create(small_committer(tmp_path), 2)
    for name in (*TURNS, FLUSHED):
        (tmp_path / STATE_FOLDER / name).unlink(missing_ok=True)
    before = (tmp_path / JOURNAL_FILE).read_bytes()
    with pytest.raises(SearchError, match="was cut or lost"):
        read_for_resume(tmp_path)
    assert (tmp_path / JOURNAL_FILE).read_bytes() == before


@pytest.mark.parametrize("left", [0, 1, 2])
def test_a_cut_journal_is_refused(tmp_path, left) -> None:
    committer = small_committer(tmp_path)
    create(committer, 4)
    lines = (tmp_path / JOURNAL_FILE).read_bytes().splitlines(keepends=True)
    (tmp_path / JOURNAL_FILE).write_bytes(b"".join(lines[:left]))
    with pytest.raises(SearchError, match="was cut or lost"):
        read_for_resume(tmp_path)


def test_a_journal_with_a_hole_is_refused(tmp_path) -> None:
    committer = small_committer(tmp_path)
    create(committer, 4)
    lines = (tmp_path / JOURNAL_FILE).read_bytes().splitlines(keepends=True)
    (tmp_path / JOURNAL_FILE).write_bytes(b"".join([lines[0], *lines[2:]]))
    with pytest.raises(SearchError, match="was cut or lost"):
        read_for_resume(tmp_path)


def test_what_happens_during_a_decision_is_written_after_its_result(tmp_path) -> None:
    committer = small_committer(tmp_path)
    create(committer, 2)
    committer.begin()
    committer.write("end", trial_id="00001", state="stopped", reason="")
    content = {"trial_id": "00000", "metrics": {"timesteps": 10}, "decision": "STOP"}
    committer.commit(("result", content))
    lines = (tmp_path / JOURNAL_FILE).read_text(encoding="utf-8").splitlines()
    events = [json.loads(line) for line in lines]
    assert [e["event"] for e in events] == ["created", "created", "result", "end"]
    assert [e["n"] for e in events] == [1, 2, 3, 4]
    assert suggested(tmp_path) == (2, 2)


@pytest.mark.parametrize(
    ("number", "remedy"),
    [(errno.ENOSPC, "Make room"), (errno.EROFS, "writable again"), (errno.EIO, "writable again")],
)
def test_a_folder_that_cannot_be_written_to_says_how_to_go_on(
    tmp_path, number, remedy, monkeypatch
) -> None:
    committer = small_committer(tmp_path)

    def fail(*arguments: object) -> None:
        raise OSError(number, "what the system says")

    monkeypatch.setattr("finrl_ray.search.tune.commit.append_lines", fail)
    words = rf"cannot be written(?: to)?: .*what the system says.*{remedy}, .*`finrl-ray resume"
    with pytest.raises(SearchError, match=words):
        create(committer, 1)


@pytest.mark.parametrize("again", [False, True])
def test_a_folder_that_is_deleted_or_moved_is_not_called_a_full_disk(tmp_path, again) -> None:
    folder = tmp_path / "search"
    folder.mkdir()
    committer = small_committer(folder)
    create(committer, 1)
    folder.rename(tmp_path / "elsewhere")
    if again:  # a worker that keeps a checkpoint makes the folder anew
        (folder / "ray").mkdir(parents=True)
    with pytest.raises(SearchError, match="is gone: it was deleted or moved") as caught:
        create(committer, 1)
    assert "room" not in str(caught.value)
    assert not (folder / JOURNAL_FILE).exists()
    assert suggested(tmp_path / "elsewhere") == (1, 1)


def test_a_journal_that_an_editor_saved_with_a_byte_order_mark_is_read_whole(tmp_path) -> None:
    create(small_committer(tmp_path), 3)
    path = tmp_path / JOURNAL_FILE
    path.write_bytes(codecs.BOM_UTF8 + path.read_bytes().replace(b"\n", b"\r\n"))
    assert suggested(tmp_path) == (3, 3)
    assert len(read_journal(tmp_path).trials) == 3


def test_a_state_that_was_half_written_falls_back_to_the_one_before_it(tmp_path) -> None:
    committer = small_committer(tmp_path)
    create(committer, 3)
    older = tmp_path / STATE_FOLDER / TURNS[1]
    whole = (tmp_path / STATE_FOLDER / TURNS[0]).read_bytes()
    # the driver died while it wrote the next state over the older file
    older.write_bytes(whole[: len(whole) // 2] + older.read_bytes()[len(whole) // 2 :])
    assert suggested(tmp_path) == (3, 3)


def test_what_is_flushed_fits_a_journal_that_was_flushed_before_it(tmp_path) -> None:
    committer = small_committer(tmp_path)
    create(committer, 1)
    lines = (tmp_path / JOURNAL_FILE).read_bytes()
    create(committer, 2)
    # power was lost: what was flushed ten seconds ago is all that there is
    (tmp_path / JOURNAL_FILE).write_bytes(lines)
    for name in TURNS:
        (tmp_path / STATE_FOLDER / name).unlink()
    assert suggested(tmp_path) == (1, 1)


LIST_SPACE = {
    "x": Domain(kind="uniform", values=(0.0, 1.0)),
    "k": Domain(kind="grid", values=(1, 2)),
}


def drawn(seed: int = 5, total: int = 10**12) -> DrawnSamples:
    return DrawnSamples(LIST_SPACE, seed, total, [{"x": 7.0, "k": 1}])


def drawing_committer(folder: Path, samples: DrawnSamples) -> StateCommitter:
    return StateCommitter(folder, TrialRecords(), SampleList(samples), FIFOScheduler())


def resumed_drawing(folder: Path, samples: DrawnSamples) -> StateCommitter:
    records, state, files = read_for_resume(folder)
    again = drawing_committer(folder, samples)
    again.files, again.records = files, records
    assert state is not None
    again.restore(state, lambda trial_id: trial_id, lambda path: path)
    return again


def test_a_state_has_of_the_samples_only_where_they_are(tmp_path) -> None:
    expected = drawn().first(6)
    create(drawing_committer(tmp_path, drawn()), 4)
    assert (tmp_path / STATE_FOLDER / TURNS[0]).stat().st_size < 2000
    again = resumed_drawing(tmp_path, drawn())
    assert [again.searcher.suggest(str(k)) for k in (4, 5)] == expected[4:]
    # more of them: a search that is given more trials goes on with the same ones
    again = resumed_drawing(tmp_path, drawn(total=10**13))
    assert [again.searcher.suggest(str(k)) for k in (4, 5)] == expected[4:]


def test_samples_that_come_out_otherwise_are_refused(tmp_path) -> None:
    create(drawing_committer(tmp_path, drawn()), 4)
    with pytest.raises(SearchError, match="come out otherwise now than when it began"):
        resumed_drawing(tmp_path, drawn(seed=6))


class FormerSamples:
    """The samples in the states of version 0.1: by the digest of all of them."""

    def __reduce__(self) -> Any:
        return _referred, ("samples", "0" * 64)


def test_a_state_that_counts_the_samples_goes_on_as_well(tmp_path) -> None:
    committer = drawing_committer(tmp_path, drawn())
    create(committer, 4)
    searcher: Any = SampleList(drawn())
    searcher.samples, searcher.given = FormerSamples(), 5
    committer.searcher = searcher
    committer.searcher_changed()
    committer.write("created", trial_id="00004", index=4, sample=drawn().first(5)[4])
    again = resumed_drawing(tmp_path, drawn())
    assert again.searcher.suggest("00005") == drawn().first(6)[5]
    assert "given" not in vars(again.searcher)


def test_trials_are_references_in_a_pickled_scheduler() -> None:
    scheduler: Any = AsyncHyperBandScheduler(time_attr="t", max_t=8, metric="m", mode="max")
    trial, other = Trial("x", trial_id="a", stub=True), Trial("x", trial_id="a", stub=True)
    scheduler.on_trial_add(None, trial)
    scheduler.seen = {trial: "by trial"}
    again = load_state(dump_state(scheduler), {"trial": {"a": other}.__getitem__})
    assert again.seen == {other: "by trial"}
    assert again.on_trial_result(None, other, {"t": 4, "m": 1.0}) == "CONTINUE"


class Planted:
    """Unpickling one makes a folder: what a state of somebody else may do."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


def plant(folder: Path, number: int, target: Path, signed: str = "") -> None:
    """Put a state that is whole, but for its signature, in place of the newest ones."""
    payload = pickle.dumps({"searcher": pickle.dumps(Planted(target))})
    digest = hashlib.sha256(payload).hexdigest()
    head = f"finrl_ray search state 3\n{number} {digest}{signed}\n".encode()
    for name in (*TURNS, FLUSHED):
        (folder / STATE_FOLDER / name).write_bytes(head + payload)


@pytest.mark.parametrize("signed", ["", " ", " " + "0" * 64, " é", " a b c"])
def test_a_state_of_somebody_else_is_not_unpickled_without_trust(tmp_path, signed) -> None:
    folder, target = tmp_path / "search", tmp_path / "run"
    folder.mkdir()
    create(small_committer(folder), 3)
    number = read_for_resume(folder)[0].number
    plant(folder, number, target, signed)
    for refuse in (read_for_resume, require_trusted):
        with pytest.raises(SearchError, match=r"not written by you.*--trust"):
            refuse(folder)
    assert not target.exists()
    require_trusted(folder, trust=True)
    records, state, files = read_for_resume(folder, trust=True)
    again = small_committer(folder)
    again.files, again.records = files, records
    with pytest.raises(KeyError):  # there is no scheduler in it
        again.restore(state, lambda trial_id: trial_id, lambda path: path)
    assert target.exists()


def test_a_signature_is_of_one_state_alone(tmp_path) -> None:
    committer = small_committer(tmp_path)
    create(committer, 2)
    content = [(tmp_path / STATE_FOLDER / name).read_bytes() for name in TURNS]
    signed = b" " + max(content).split(b"\n")[1].split(b" ")[2]
    plant(tmp_path, committer.records.number, tmp_path / "run", signed.decode())
    with pytest.raises(SearchError, match="not written by you"):
        read_for_resume(tmp_path)


def test_ones_own_search_goes_on_wherever_it_is_moved(tmp_path, monkeypatch) -> None:
    (tmp_path / "here").mkdir()
    create(small_committer(tmp_path / "here"), 3)
    shutil.copytree(tmp_path / "here", tmp_path / "there" / "copied")
    require_trusted(tmp_path / "there" / "copied")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "somebody else's home"))
    with pytest.raises(SearchError, match="not written by you"):
        require_trusted(tmp_path / "there" / "copied")
    require_trusted(tmp_path / "there" / "copied", trust=True)


def test_a_search_of_another_format_is_refused_before_anything_is_started(tmp_path: Path) -> None:
    create(small_committer(tmp_path), 3)
    for file in (tmp_path / STATE_FOLDER).iterdir():
        content = file.read_bytes()
        assert content.startswith(b"finrl_ray search state 3\n")
        file.write_bytes(content.replace(b"search state 3\n", b"search state 2\n", 1))
    before = (tmp_path / "journal.jsonl").read_bytes()
    for refuse in (read_for_resume, require_trusted):
        with pytest.raises(SearchError, match=r"kept in format 2, .* whose format is 3, cannot"):
            refuse(tmp_path, trust=True)
    assert (tmp_path / "journal.jsonl").read_bytes() == before


def test_events_of_a_round_are_known_at_once_and_permanent_together(tmp_path) -> None:
    committer = small_committer(tmp_path)
    create(committer, 2)
    with committer.together():
        create(committer, 2)
        assert len(committer.records.trials) == 4
        # a driver that is killed here has told nobody of the two
        shutil.copytree(tmp_path, tmp_path / "killed")
        committer.flush()
        create(committer, 1)
        shutil.copytree(tmp_path, tmp_path / "flushed", ignore=shutil.ignore_patterns("killed"))
    assert suggested(tmp_path / "killed") == (2, 2)
    assert suggested(tmp_path / "flushed") == (4, 4)
    assert suggested(tmp_path) == (5, 5)


def test_a_round_that_fails_keeps_what_it_has_had(tmp_path) -> None:
    committer = small_committer(tmp_path)

    def fail() -> None:
        with committer.together():
            create(committer, 2)
            raise KilledError

    with pytest.raises(KilledError):
        fail()
    assert suggested(tmp_path) == (2, 2)
