"""A new agent's folder takes an older one's place; what a forward record has is never lost."""

import threading
from pathlib import Path

import pytest

from finrl_ray.deployment.agent_folder import AGENT_FILE, RECORD_FILE
from finrl_ray.deployment.forward_record import append, read, read_record, sole_writer
from finrl_ray.errors import ConfigError, SearchError
from finrl_ray.files.manifest import write_folder_manifest
from finrl_ray.workflows.deployment.replaced import dated_name, new_folder, require_place


def agent(path: Path, text: str = "old") -> Path:
    path.mkdir(parents=True)
    (path / AGENT_FILE).write_text(text)
    return path


def put(target: Path, text: str) -> None:
    with new_folder(target, dated_name(target)) as place:
        agent(place, text)


def test_a_new_place_is_made(tmp_path) -> None:
    target = tmp_path / "a" / "agent"
    require_place(target, replace=False)
    put(target, "new")
    assert (target / AGENT_FILE).read_text() == "new"
    assert [path.name for path in target.parent.iterdir()] == ["agent"]


def test_an_empty_folder_is_taken(tmp_path) -> None:
    target = tmp_path / "agent"
    target.mkdir()
    require_place(target, replace=False)
    put(target, "new")
    assert (target / AGENT_FILE).read_text() == "new"


def test_another_agent_is_replaced_only_if_asked(tmp_path) -> None:
    target = agent(tmp_path / "agent")
    with pytest.raises(SearchError, match="holds an agent already; add --replace"):
        require_place(target, replace=False)
    require_place(target, replace=True)
    put(target, "new")
    assert [path.name for path in tmp_path.iterdir()] == ["agent"]
    assert (target / AGENT_FILE).read_text() == "new"


def test_an_agent_with_a_record_is_kept_beside(tmp_path) -> None:
    target = agent(tmp_path / "agent")
    (target / RECORD_FILE).write_text("{}\n")
    put(target, "new")
    put(target, "newer")  # which has no record to lose
    kept = [path for path in tmp_path.iterdir() if path != target]
    assert len(kept) == 1
    assert kept[0].name.startswith("agent_20")
    assert (kept[0] / AGENT_FILE).read_text() == "old"
    assert (kept[0] / RECORD_FILE).read_text() == "{}\n"
    assert (target / AGENT_FILE).read_text() == "newer"


def test_a_failure_leaves_the_older_agent(tmp_path) -> None:
    target = agent(tmp_path / "agent")
    (target / RECORD_FILE).write_text("{}\n")

    def fail() -> None:
        with new_folder(target, dated_name(target)) as place:
            agent(place, "new")
            raise RuntimeError("half way")

    with pytest.raises(RuntimeError, match="half way"):
        fail()
    assert [path.name for path in tmp_path.iterdir()] == ["agent"]
    assert (target / AGENT_FILE).read_text() == "old"


def test_a_record_that_begins_while_the_new_agent_is_written_is_kept(tmp_path) -> None:
    target = agent(tmp_path / "agent")
    kept = dated_name(target)
    with new_folder(target, kept) as place:
        agent(place, "new")
        (target / RECORD_FILE).write_text("{}\n")
    assert (kept / RECORD_FILE).read_text() == "{}\n"
    assert (target / AGENT_FILE).read_text() == "new"
    assert not (target / RECORD_FILE).exists()


@pytest.mark.parametrize("back", [True, False])
def test_an_agent_that_cannot_be_put_in_place_loses_no_other(tmp_path, monkeypatch, back) -> None:
    target = agent(tmp_path / "agent")
    kept, rename, failed = dated_name(target), Path.rename, []

    def refusing(path: Path, to: Path) -> Path:
        if to == target and (not failed or not back):
            failed.append(path)
            raise PermissionError("it is in use")
        return rename(path, to)

    monkeypatch.setattr(Path, "rename", refusing)
    where = "is there again" if back else f"lies in {kept}: rename it back"
    with pytest.raises(SearchError, match=f"must be renamed to .*agent: it is in use; .*{where}"):
        put_there(target, kept)
    assert [path.name for path in tmp_path.iterdir()] == [(target if back else kept).name]
    assert ((target if back else kept) / AGENT_FILE).read_text() == "old"


def test_an_agent_that_cannot_be_renamed_stays(tmp_path, monkeypatch) -> None:
    target = agent(tmp_path / "agent")

    def refusing(path: Path, to: Path) -> Path:
        raise PermissionError("it is in use")

    monkeypatch.setattr(Path, "rename", refusing)
    with pytest.raises(SearchError, match="it is in use; it stays as it was"):
        put_there(target, dated_name(target))
    assert (target / AGENT_FILE).read_text() == "old"


def test_an_agent_that_is_another_meanwhile_is_not_replaced(tmp_path) -> None:
    target = agent(tmp_path / "agent")
    write_folder_manifest(target)
    known = read_record(target).head
    put_there(target, dated_name(target), agent=known)
    kept = [path for path in tmp_path.iterdir() if path != target]
    assert [(path / AGENT_FILE).read_text() for path in kept] == ["old"]  # without a record too
    with pytest.raises(SearchError, match="was replaced meanwhile"):
        put_there(target, dated_name(target), agent=known)
    assert (target / AGENT_FILE).read_text() == "new"


def test_nothing_is_replaced_while_its_record_is_written(tmp_path) -> None:
    target = agent(tmp_path / "agent")
    write_folder_manifest(target)
    kept, began, done = dated_name(target), threading.Event(), threading.Event()

    def write() -> None:
        with sole_writer(target):
            began.set()
            done.wait(30)
            append(target, {"date": "2020-01-02"})

    writer = threading.Thread(target=write)
    writer.start()
    assert began.wait(30)
    threading.Timer(0.3, done.set).start()
    put_there(target, kept)
    writer.join()
    assert [entry["date"] for entry in read(kept)] == ["2020-01-02"]
    assert not (target / RECORD_FILE).exists()


def put_there(target: Path, kept: Path, **more: str) -> None:
    with new_folder(target, kept, **more) as place:
        agent(place, "new")
        write_folder_manifest(place)


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_what_is_no_agent_is_never_replaced(tmp_path, kind) -> None:
    target = tmp_path / "mine"
    if kind == "file":
        target.write_text("mine")
    else:
        target.mkdir()
        (target / "notes.txt").write_text("mine")
    with pytest.raises(SearchError, match="is not the folder of an agent"):
        require_place(target, replace=True)


def test_a_file_in_the_way_is_refused(tmp_path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(ConfigError, match="must be a folder in which this process can make files"):
        require_place(tmp_path / "file" / "agent", replace=False)
