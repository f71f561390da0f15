"""`ls`: every search under a storage path, whatever its state."""

import dataclasses
import io
from pathlib import Path

import pytest
from made_search import made_search
from memory_store import MemoryStore
from rich.console import Console

from finrl_ray.errors import SearchError
from finrl_ray.report.listing import ListedSearch, list_searches
from finrl_ray.report.read_search import read_search
from finrl_ray.report.terminal_tables import listing_table
from finrl_ray.search.folder.folder import sole_driver
from finrl_ray.storage import object_store


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
    assert found[str(done.path)].best_score == winner["score"]
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


SEARCHES = [
    ListedSearch(path=f"runs/{name}_20261129_162504_2499", name=name, state=state, kind=kind,
                 algorithm=agent, ended=12, planned=100, best_score=-0.25, verdict=verdict)
    for name, state, kind, agent, verdict in (
        ("experiment", "finished", "search", "ddpg", "no evidence of skill"),
        ("experiment", "finished", "search", "ddpg", "weak evidence"),
        ("experiment", "interrupted", "search", "ppo", ""),
        ("quickstart", "running", "search", "a2c", ""),
    )
]  # fmt: skip


def printed(found: list[ListedSearch], width: int) -> list[str]:
    screen = Console(file=io.StringIO(), width=width)
    screen.print(listing_table(found, screen.width), crop=False)
    return screen.file.getvalue().splitlines()  # type: ignore[attr-defined]


def test_at_80_columns_a_search_is_one_line_with_its_whole_folder() -> None:
    lines = printed(SEARCHES, 80)
    assert len(lines) == 2 + len(SEARCHES)
    assert max(map(len, lines)) <= 80
    for one, line in zip(SEARCHES, lines[2:], strict=True):
        assert line.startswith(one.path.removeprefix("runs/") + " ")
        assert one.state in line


@pytest.mark.parametrize("width", [40, 80])
def test_a_long_name_is_never_broken(width: int) -> None:
    long = dataclasses.replace(SEARCHES[0], path=f"runs/{'n' * 100}_20261129_162504_2499")
    lines = printed([long, *SEARCHES], width)
    assert len(lines) == 2 + 5
    assert lines[2].startswith(f"{'n' * 100}_20261129_162504_2499 ")
    assert lines[2].rstrip().endswith("no evidence")
