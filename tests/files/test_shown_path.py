"""Paths in messages."""

from pathlib import Path

import pytest

from finrl_ray.config.load import load_config
from finrl_ray.errors import FinRLRayError
from finrl_ray.files.shown_path import shown_path
from finrl_ray.report.listing import list_searches
from finrl_ray.search.folder.folder import open_folder


@pytest.mark.parametrize(
    ("path", "shown"),
    [("a/../../b", "../b"), ("./x//y", "x/y"), ("/a/b/../c", "/a/c"), (Path("p"), "p"), ("", ".")],
)
def test_detours_are_left_out(path: str | Path, shown: str) -> None:
    assert shown_path(path) == shown


def test_a_link_is_no_detour(tmp_path: Path) -> None:
    (tmp_path / "far" / "away").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "far" / "away")
    assert shown_path(tmp_path / "link" / ".." / "x") == f"{tmp_path}/link/../x"


@pytest.mark.parametrize("read", [load_config, open_folder, list_searches])
def test_what_is_missing_is_named_so(tmp_path: Path, monkeypatch, read) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FinRLRayError) as caught:
        read("a/../../b")
    assert "a/.." not in str(caught.value)
    assert "b" in str(caught.value)
