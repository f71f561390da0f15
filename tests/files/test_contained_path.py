"""Paths out of files that others may have written: inside their folder, or refused."""

from pathlib import Path

import pytest

from finrl_ray.errors import SearchError
from finrl_ray.files.contained_path import (
    checked_folder_name,
    checked_relative_path,
    path_inside,
    why_outside,
)


@pytest.mark.parametrize(
    "name",
    [
        "ray/../../victim",
        "../victim",
        "..",
        "/etc/passwd",
        "//server/share",
        "C:\\victim",
        "C:victim",
        "\\\\server\\share",
        "ray\\..\\..\\victim",
        "ray/\0",
        "",
        None,
        3,
    ],
)
def test_what_leaves_is_refused(tmp_path: Path, name: object) -> None:
    assert why_outside(name)
    with pytest.raises(SearchError, match=r"the journal names .*is not followed"):
        path_inside(tmp_path, name, "the journal")


@pytest.mark.parametrize("name", ["ray/trial_1/checkpoint_000001", "a", "...", "a..b/c"])
def test_what_stays_is_the_path_itself(tmp_path: Path, name: str) -> None:
    assert path_inside(tmp_path, name, "the journal") == tmp_path / name
    assert checked_relative_path(name, "the journal") == name


def test_links_in_the_folder_that_lead_out_are_refused_and_others_are_not(tmp_path: Path) -> None:
    victim, folder = tmp_path / "victim", tmp_path / "search"
    for path in (victim, folder / "ray"):
        path.mkdir(parents=True)
    (folder / "ray" / "out").symlink_to(victim)
    (folder / "ray" / "round").symlink_to(folder / "ray" / "round")
    (folder / "ray" / "beside").symlink_to(folder / "ray")
    for name in ("ray/out", "ray/out/checkpoint", "ray/round/checkpoint"):
        with pytest.raises(SearchError, match="a link leads out"):
            path_inside(folder, name, "the journal")
    path_inside(folder, "ray/beside/checkpoint", "the journal")
    # the folder itself may be reached through a link
    (tmp_path / "runs").symlink_to(folder)
    path_inside(tmp_path / "runs", "ray/checkpoint", "the journal")


@pytest.mark.parametrize("name", ["../x", "a/b", ".", "..", "", "a b", "x" * 201, None, 3, "é"])
def test_names_of_folders(name: object) -> None:
    with pytest.raises(SearchError, match="trial_id must be"):
        checked_folder_name(name, "trial_id")
    assert checked_folder_name("00012", "trial_id") == "00012"
