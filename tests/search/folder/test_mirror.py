"""The copy of a search's folder in a store: always one that a search can be resumed from."""

import json
import logging
from pathlib import Path
from typing import Any

import pytest
from committer_parts import CountingSearcher, small_committer
from memory_store import MemoryStore
from ray.tune.schedulers import FIFOScheduler

from finrl_ray.deployment.agent_folder import AGENT_FILE, RECORD_FILE
from finrl_ray.errors import SearchError
from finrl_ray.search.folder import mirror
from finrl_ray.search.folder.mirror import FolderMirror, fetch_folder, require_newest, whole_lines
from finrl_ray.search.journal.events import append_event, read_journal
from finrl_ray.search.journal.lines import JOURNAL_FILE
from finrl_ray.search.tune.commit import StateCommitter, read_for_resume
from finrl_ray.storage import object_store
from finrl_ray.storage.segments import read_segments

URL = "s3://bucket/runs/one?region=us-east-1"
ROOT = "bucket/runs/one"


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> MemoryStore:
    found = MemoryStore()
    monkeypatch.setattr(object_store, "_connect", lambda url: found)
    monkeypatch.setattr(mirror, "_ASK_S", 0.0)
    return found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "here" / "one"
    path.mkdir(parents=True)
    for name in ("config.yaml", "experiment.json", "market_data.npz"):
        (path / name).write_text(name, encoding="utf-8")
    return path


def copied(store: MemoryStore) -> dict[str, bytes]:
    return {path.removeprefix(f"{ROOT}/"): content for path, content in store.files.items()}


def journal_of(store: MemoryStore) -> bytes | None:
    assert store.files
    filesystem, root = object_store.open_store(URL, patience_s=0.0)
    return read_segments(filesystem, f"{root}/journal", f"{root}/journal.jsonl")


def started(folder: Path) -> StateCommitter:
    committer = small_committer(folder)
    append_event(folder, committer.records, "search", state="started")
    return committer


def go_on(committer: StateCommitter, events: int = 1) -> None:
    for _ in range(events):
        index = len(committer.records.trials)
        trial_id = f"{index:05d}"
        sample = committer.searcher.suggest(trial_id)
        committer.searcher_changed()
        committer.write("created", trial_id=trial_id, index=index, sample=sample)


def test_what_changes_is_copied_once_and_checkpoints_and_scratch_files_never(
    folder: Path, store: MemoryStore
) -> None:
    committer = started(folder)
    go_on(committer)
    for name in (".lock", ".trials.7.tmp.csv", "half.tmp", "ray/t/checkpoint_000000/model.zip"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("x", encoding="utf-8")
    (folder / "final_model").mkdir()
    (folder / "final_model" / "model.zip").write_text("model", encoding="utf-8")
    copy = FolderMirror(folder, URL)
    copy.copy()
    assert set(copied(store)) == {
        "config.yaml",
        "experiment.json",
        "market_data.npz",
        f"journal/{0:015d}-{len((folder / JOURNAL_FILE).read_bytes()):015d}.part",
        "state/state_a.pkl",
        "final_model/model.zip",
    }
    assert journal_of(store) == (folder / JOURNAL_FILE).read_bytes()
    assert copy.left() == []
    before = len(store.written())
    copy.copy()
    assert len(store.written()) == before
    (folder / "final_model" / "model.zip").write_text("better", encoding="utf-8")
    assert copy.left() == ["final_model/model.zip"]
    copy.copy()
    assert store.written()[before:] == [f"{ROOT}/final_model/model.zip"]


def resumed(store: MemoryStore, runs: Path) -> tuple[int, int]:
    """Fetch and read for a resume; return how many trials were created, and are known since."""
    fetched, _ = fetch_folder(URL, runs)
    records, state, _ = read_for_resume(fetched)
    if state is None:
        return len(records.trials), 0
    committer = StateCommitter(fetched, records, CountingSearcher(), FIFOScheduler())
    committer.restore(state, lambda name: None, lambda path: None)
    return len(records.trials), committer.searcher.suggested


def test_a_search_can_be_resumed_from_the_copy_wherever_the_copying_stops(
    folder: Path, store: MemoryStore, tmp_path: Path
) -> None:
    committer, lives, checked = started(folder), 0, 0
    copy = FolderMirror(folder, URL)
    copy.copy()
    for burst in (1, 2, 3, 1, 4, 2):
        go_on(committer, burst)
        writes_before = len(store.written())
        before = dict(store.files)
        copy.copy()
        order = store.written()[writes_before:]
        after = dict(store.files)
        # as if the driver's machine was lost after each file
        for count in range(len(order) + 1):
            store.files = {**before, **{path: after[path] for path in order[:count]}}
            created, known = resumed(store, tmp_path / f"life{lives}")
            assert created == known
            lives += 1
            checked += created > 0
        store.files = after
        assert resumed(store, tmp_path / f"life{lives}") == (len(committer.records.trials),) * 2
        lives += 1
    assert checked > 10


def test_a_later_life_of_the_search_continues_the_copy(
    folder: Path, store: MemoryStore, tmp_path: Path
) -> None:
    committer = started(folder)
    go_on(committer, 3)
    FolderMirror(folder, URL).copy()
    go_on(committer, 2)
    copy = FolderMirror(folder, URL)
    before = dict(store.files)
    begin = len(store.written())
    copy.copy()
    order, after = store.written()[begin:], dict(store.files)
    for count in range(len(order) + 1):
        store.files = {**before, **{path: after[path] for path in order[:count]}}
        created, known = resumed(store, tmp_path / f"life{count}")
        assert created == known
    store.files = after
    assert resumed(store, tmp_path / "last") == (5, 5)


def test_a_store_of_an_earlier_version_is_gone_on_with(
    folder: Path, store: MemoryStore, tmp_path: Path
) -> None:
    committer = started(folder)
    go_on(committer, 3)
    FolderMirror(folder, URL).copy()
    former = {n: c for n, c in store.files.items() if not n.startswith(f"{ROOT}/journal/")}
    former[f"{ROOT}/journal.jsonl"] = (folder / JOURNAL_FILE).read_bytes()
    store.files = former
    assert resumed(store, tmp_path / "former") == (3, 3)
    go_on(committer, 2)
    FolderMirror(folder, URL).copy()
    assert store.files[f"{ROOT}/journal.jsonl"] == former[f"{ROOT}/journal.jsonl"]
    assert resumed(store, tmp_path / "later") == (5, 5)


def test_of_a_long_journal_only_what_is_new_is_sent(folder: Path, store: MemoryStore) -> None:
    committer = started(folder)
    go_on(committer, 40)
    copy = FolderMirror(folder, URL)
    copy.copy()
    before = len((folder / JOURNAL_FILE).read_bytes())
    go_on(committer, 1)
    begin = len(store.written())
    copy.copy()
    sent = [path for path in store.written()[begin:] if "/journal/" in path]
    whole = (folder / JOURNAL_FILE).read_bytes()
    assert [store.files[path] for path in sent] == [whole[before:]]


def test_a_damaged_copy_of_a_journal_is_said(
    folder: Path, store: MemoryStore, tmp_path: Path
) -> None:
    committer, copy = started(folder), FolderMirror(folder, URL)
    for _ in range(3):
        go_on(committer)
        copy.copy()
    first, second, third = sorted(name for name in store.files if "/journal/" in name)
    whole = dict(store.files)
    store.files = {name: content for name, content in whole.items() if name != second}
    with pytest.raises(SearchError, match=r"no file with the bytes from [\d,]+ to [\d,]+\. Go on"):
        fetch_folder(URL, tmp_path / "missing")
    store.files = {**whole, third: whole[third][:-1]}
    with pytest.raises(SearchError, match=r"part is cut: its name says how many bytes"):
        fetch_folder(URL, tmp_path / "cut")
    # the machine that runs the search puts it right
    FolderMirror(folder, URL).copy()
    assert journal_of(store) == (folder / JOURNAL_FILE).read_bytes()
    assert first in whole


@pytest.mark.parametrize("size", [0, 1, 70_000, 700_000])
def test_the_end_of_a_journal_says_how_far_it_is(tmp_path: Path, size: int) -> None:
    path = tmp_path / JOURNAL_FILE
    lines = [json.dumps({"event": "search", "n": 1}), json.dumps({"event": "end", "n": 2})]
    # a long line, and half a line of a killed driver
    text = "\n".join([*lines, json.dumps({"n": "x" * size}), ""])
    path.write_text(f'{text}{{"n": 3', encoding="utf-8")
    assert whole_lines(path) == (len(text), 2)
    path.write_text("", encoding="utf-8")
    assert whole_lines(path) == (0, 0)


def test_a_store_that_is_away_is_said_once_and_gets_everything_when_it_is_back(
    folder: Path, store: MemoryStore, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    monkeypatch.setattr(mirror, "_EVERY_S", 0.01)
    monkeypatch.setattr(mirror, "_AWAY_PAUSE_S", 0.01)
    committer = started(folder)
    store.failures = 20
    with caplog.at_level(logging.WARNING), FolderMirror(folder, URL) as copy:
        go_on(committer)
        copy.delete("ray/t/checkpoint_000000")
        store.files[f"{ROOT}/ray/t/checkpoint_000000/model.zip"] = b"old"
    assert journal_of(store) == (folder / JOURNAL_FILE).read_bytes()
    assert not any("checkpoint_" in name for name in store.files)
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 1
    assert "does not answer" in said[0]
    assert said[0].endswith("the search goes on")


def test_what_could_not_be_copied_is_named_at_the_end(
    folder: Path, store: MemoryStore, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    monkeypatch.setattr(mirror, "_LAST_S", 0.1)
    monkeypatch.setattr(mirror, "_EVERY_S", 0.01)
    monkeypatch.setattr(mirror, "_AWAY_PAUSE_S", 0.01)
    started(folder)
    store.failures = 10**9
    with caplog.at_level(logging.WARNING), FolderMirror(folder, URL):
        pass
    last = caplog.records[-1].getMessage()
    assert "config.yaml, experiment.json, journal.jsonl, market_data.npz are only on this" in last
    assert last.endswith(f"`finrl-ray resume {folder}` copies them when it does")


def test_without_a_url_nothing_is_copied(folder: Path, store: MemoryStore) -> None:
    with FolderMirror(folder, ""):
        started(folder)
    assert store.questions == []


def test_the_folder_that_is_here_is_used_unless_it_is_behind(
    folder: Path, store: MemoryStore, tmp_path: Path
) -> None:
    committer = started(folder)
    go_on(committer)
    FolderMirror(folder, URL).copy()
    there, _ = fetch_folder(URL, tmp_path / "there")
    assert len(read_journal(there).trials) == 1
    # it goes on here: the copy there is behind
    go_on(committer)
    FolderMirror(folder, URL).copy()
    require_newest(folder, URL)
    with pytest.raises(SearchError, match="has gone on elsewhere"):
        require_newest(there, URL)
    assert fetch_folder(URL, tmp_path / "there") == (there, URL)
    assert len(read_journal(there).trials) == 2
    # what is here and not yet in the store counts
    go_on(committer)
    assert len(read_journal(fetch_folder(URL, folder.parent)[0]).trials) == 3
    with (there / JOURNAL_FILE).open("a", encoding="utf-8") as file:
        file.write(json.dumps({"event": "search", "state": "resumed", "n": 99, "time": 0.0}) + "\n")
    FolderMirror(folder, URL).copy()
    with pytest.raises(SearchError, match="different ways"):
        fetch_folder(URL, tmp_path / "there")


def test_deployed_agents_are_not_copied(folder: Path, store: MemoryStore) -> None:
    """A copy that came back would take the place of a record that has grown."""
    started(folder)
    for name in ("agent", "agent_20240101_120000"):
        (folder / name / "paper").mkdir(parents=True)
        for file in (AGENT_FILE, RECORD_FILE, "paper/bars.parquet"):
            (folder / name / file).write_text(name, encoding="utf-8")
    (folder / "report").mkdir()
    (folder / "report" / "report.html").write_text("report", encoding="utf-8")
    copy = FolderMirror(folder, URL)
    copy.copy()
    assert "report/report.html" in copied(store)
    assert not [name for name in copied(store) if name.startswith("agent")]
    assert copy.left() == []


def test_openings_of_the_test_window_elsewhere_count_here(
    folder: Path, store: MemoryStore, tmp_path: Path
) -> None:
    started(folder)
    FolderMirror(folder, URL).copy()
    store.files[f"{ROOT}/test_openings.jsonl"] = b'{"trial": 1}\n{"trial": 2}\n'
    (folder / "test_openings.jsonl").write_text('{"trial": 1}\n{"trial": 3}\n', encoding="utf-8")
    fetch_folder(URL, folder.parent)
    lines = (folder / "test_openings.jsonl").read_text(encoding="utf-8").splitlines()
    assert lines == ['{"trial": 1}', '{"trial": 3}', '{"trial": 2}']


def test_a_url_without_a_search_and_a_store_that_is_away_are_errors(
    store: MemoryStore, tmp_path: Path
) -> None:
    with pytest.raises(SearchError, match=r"it has no experiment\.json"):
        fetch_folder(URL, tmp_path)
    for name in ("one", "two"):
        store.files[f"bucket/runs/{name}/experiment.json"] = b"{}"
    with pytest.raises(SearchError, match="there are 2 searches in it"):
        fetch_folder("s3://bucket/runs?region=us-east-1", tmp_path)
    store.failures = 1
    with pytest.raises(SearchError, match="does not answer"):
        fetch_folder(URL, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_url_one_level_above_a_single_search_is_enough(
    folder: Path, store: MemoryStore, tmp_path: Path
) -> None:
    started(folder)
    FolderMirror(folder, URL).copy()
    above = "s3://bucket/runs?region=us-east-1"
    assert fetch_folder(above, tmp_path) == (tmp_path / "one", URL)
