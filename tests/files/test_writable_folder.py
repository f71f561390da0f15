"""A folder that cannot be written is refused before anything starts, and none is left behind."""

import os
from pathlib import Path

import pytest
from small_search import small_config

from finrl_ray.errors import ConfigError
from finrl_ray.files import writable_folder
from finrl_ray.files.writable_folder import require_writable
from finrl_ray.search.run.prepare import prepare_search


def refused(folder: str | Path) -> str:
    with pytest.raises(ConfigError, match=r"^search.storage_path must be a folder") as caught:
        require_writable("search.storage_path", folder)
    return str(caught.value)


def test_a_folder_that_is_there_or_can_be_made_passes_and_is_left_as_it_was(tmp_path) -> None:
    require_writable("key", tmp_path)
    require_writable("key", tmp_path / "a" / "b")
    assert list(tmp_path.iterdir()) == []


def test_a_file_or_a_dead_link_in_the_way_is_named(tmp_path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    assert str(file) in refused(file)
    assert str(file) in refused(file / "below")
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "nowhere")
    assert str(link) in refused(link)


@pytest.mark.parametrize("name", ["a" * 300, "nul\0byte"])
def test_a_name_that_no_file_system_takes_is_refused(tmp_path, name) -> None:
    refused(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere"
)
def test_a_folder_without_the_right_to_write_is_refused(tmp_path) -> None:
    tmp_path.chmod(0o500)
    try:
        assert "Permission denied" in refused(tmp_path / "runs")
    finally:
        tmp_path.chmod(0o700)


@pytest.mark.skipif(not Path("/proc/version").exists(), reason="a file system of Linux")
def test_a_file_system_that_takes_no_folders_is_refused_for_root_too() -> None:
    assert "/proc" in refused("/proc/finrl_ray_runs")


def test_a_full_or_read_only_disk_is_refused_with_its_reason(tmp_path, monkeypatch) -> None:
    def no_room(**keywords: object) -> None:
        raise OSError(30, "Read-only file system", f"{tmp_path}/.finrl_ray_x")

    monkeypatch.setattr(writable_folder.tempfile, "TemporaryDirectory", no_room)
    assert f"Read-only file system ({tmp_path})" in refused(tmp_path)


def test_a_search_is_refused_before_its_data_are_read(tmp_path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(ConfigError, match=r"search\.storage_path must be a folder"):
        prepare_search(small_config(blocked))
