"""`ls`: every search under a storage path, whatever its state."""

from pathlib import Path

import pytest
from made_search import made_search
from memory_store import MemoryStore

from finrl_ray import object_store
from finrl_ray.errors import SearchError
from finrl_ray.report.listing import list_searches
from finrl_ray.report.search_report import read_search
from finrl_ray.search.folder import sole_driver


def test_every_state(tmp_path: Path) -> None:
    done = made_search(tmp_path, n_trials=3, name="done")
    broken = made_search(tmp_path, n_trials=2, planned=5, name="broken")
    lost = made_search(tmp_path, n_trials=2, failed=[0, 1], name="lost")
    damaged = made_search(tmp_path, n_trials=2, name="damaged")
    (damaged.path / "config.yaml").write_text("agent: 3\n")
    alive = made_search(tmp_path, n_trials=1, planned=4, name="alive")
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.txt").write_text("no search")
    with sole_driver(alive):
        found = {one.path: one for one in list_searches(tmp_path)}
    assert len(found) == 5
    assert found[str(done.path)].state == "finished"
    winner = read_search(done.path).table.iloc[0]
    assert found[str(done.path)].best_trial == winner["trial"]
    assert found[str(done.path)].best_objective == winner["objective"]
    assert found[str(done.path)].verdict == read_search(done.path).verdict.verdict.kind
    assert (found[str(broken.path)].state, found[str(broken.path)].ended) == ("interrupted", 2)
    assert found[str(broken.path)].verdict == ""
    assert found[str(lost.path)].best_trial is None
    assert found[str(alive.path)].state == "running"
    assert found[str(damaged.path)].state == "damaged"
    assert "agent" in found[str(damaged.path)].problem


def test_newest_first(tmp_path: Path) -> None:
    for name in ("a", "b"):
        made_search(tmp_path, n_trials=1, name=name)
    created = [one.created for one in list_searches(tmp_path)]
    assert created == sorted(created, reverse=True)


def test_the_folder_of_one_search_lists_itself(tmp_path: Path) -> None:
    folder = made_search(tmp_path, n_trials=1)
    assert [one.path for one in list_searches(folder.path)] == [str(folder.path)]


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(SearchError, match="there is no folder"):
        list_searches(tmp_path / "nothing")
    assert list_searches(tmp_path) == []


def test_a_storage_path_in_an_object_store(tmp_path: Path, monkeypatch) -> None:
    store = MemoryStore()
    monkeypatch.setattr(object_store, "_connect", lambda url: store)
    folder = made_search(tmp_path / "made", n_trials=2).path
    for path in folder.rglob("*"):
        if path.is_file():
            name = path.relative_to(folder).as_posix()
            store.files[f"bucket/runs/{folder.name}/{name}"] = path.read_bytes()
    store.files["bucket/runs/notes/a.txt"] = b"no search"
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    (found,) = list_searches("s3://bucket/runs?region=us-east-1")
    assert found.path == f"s3://bucket/runs/{folder.name}?region=us-east-1"
    assert (found.state, found.ended, found.verdict != "") == ("finished", 2, True)
