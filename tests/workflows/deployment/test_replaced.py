"""A new agent's folder takes an older one's place; what a forward record has is never lost."""

from pathlib import Path

import pytest

from finrl_ray.deployment.agent_folder import AGENT_FILE, RECORD_FILE
from finrl_ray.errors import ConfigError, SearchError
from finrl_ray.workflows.deployment.replaced import kept_name, new_folder, require_place


def agent(path: Path, text: str = "old") -> Path:
    path.mkdir(parents=True)
    (path / AGENT_FILE).write_text(text)
    return path


def put(target: Path, text: str) -> None:
    with new_folder(target, kept_name(target)) as place:
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
        with new_folder(target, kept_name(target)) as place:
            agent(place, "new")
            raise RuntimeError("half way")

    with pytest.raises(RuntimeError, match="half way"):
        fail()
    assert [path.name for path in tmp_path.iterdir()] == ["agent"]
    assert (target / AGENT_FILE).read_text() == "old"


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
