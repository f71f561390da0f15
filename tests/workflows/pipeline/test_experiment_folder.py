"""The folder of a training run: unique, absolute, and written whole."""

import json
import secrets
import subprocess
from pathlib import Path

import pytest

from finrl_ray.errors import SearchError
from finrl_ray.workflows.pipeline.experiment_folder import (
    SUBFOLDERS,
    git_commit,
    json_text,
    new_experiment_folder,
    sole_trainer,
    write_json,
)


def test_runs_of_the_same_second_get_folders_of_their_own(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    made = {new_experiment_folder("./experiments", "run") for _ in range(20)}
    assert len(made) == 20
    for path in made:
        assert path.is_absolute()
        assert {p.name for p in path.iterdir()} == set(SUBFOLDERS)
        assert path.name.startswith("run_2")


def test_digits_that_another_run_has_drawn_are_drawn_again(tmp_path, monkeypatch) -> None:
    digits = iter(["aaaa", "aaaa", "bbbb"])
    monkeypatch.setattr(secrets, "token_hex", lambda n: next(digits))
    names = [new_experiment_folder(tmp_path, "run").name[-4:] for _ in range(2)]
    assert names == ["aaaa", "bbbb"]


@pytest.mark.parametrize("name", ["", "a/b", "..", "/tmp"])
def test_a_name_that_cannot_name_a_folder_is_refused(name, tmp_path) -> None:
    with pytest.raises(SearchError, match="must be the name of a folder"):
        new_experiment_folder(tmp_path, name)


def test_a_place_that_cannot_be_written_is_named(tmp_path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SearchError, match="cannot be made"):
        new_experiment_folder(tmp_path / "file", "run")


def test_json_has_null_for_nan(tmp_path) -> None:
    write_json(tmp_path / "m.json", {"a": float("nan"), "b": [float("inf"), 1.0], "c": Path("x")})
    text = (tmp_path / "m.json").read_text()
    assert json.loads(text) == {"a": None, "b": [None, 1.0], "c": "x"}


def test_equal_content_gives_equal_text_whatever_the_address() -> None:
    class Schedule:
        def __call__(self, remaining: float) -> float:
            return remaining

    first, second = (json_text({"lr": Schedule(), "limit": float("inf")}) for _ in range(2))
    assert first == second
    assert "Schedule" in first


def test_a_second_trainer_is_refused(tmp_path) -> None:
    with (
        sole_trainer(tmp_path),
        pytest.raises(SearchError, match="another process is training in"),
        sole_trainer(tmp_path),
    ):
        pass
    with sole_trainer(tmp_path):
        pass


def test_the_commit_is_that_of_the_repository_and_says_if_files_changed(tmp_path) -> None:
    assert git_commit(tmp_path) is None
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b.c"]
    (tmp_path / "file").write_text("1")
    for arguments in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "first"]):
        subprocess.run([*git, *arguments], cwd=tmp_path, check=True)
    commit = git_commit(tmp_path)
    assert commit is not None
    assert len(commit) == 40
    (tmp_path / "file").write_text("2")
    assert git_commit(tmp_path) == f"{commit}+changes"
