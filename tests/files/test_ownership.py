"""Whose a file or folder is, and what its three users do about it."""

import os
import stat
from pathlib import Path

import pytest

from finrl_ray.cluster import temp_folder
from finrl_ray.files import private_folder, signature
from finrl_ray.files.ownership import Ownership, file_ownership, folder_ownership

pytestmark = pytest.mark.skipif(not hasattr(os, "getuid"), reason="users and modes of POSIX")

EXPECTED = {
    0o700: Ownership.PRIVATE,
    0o600: Ownership.PRIVATE,
    0o750: Ownership.OTHERS_READ,
    0o701: Ownership.OTHERS_READ,
    0o604: Ownership.OTHERS_READ,
    0o720: Ownership.OTHERS_WRITE,
    0o702: Ownership.OTHERS_WRITE,
    0o777: Ownership.OTHERS_WRITE,
}


@pytest.mark.parametrize("mode", EXPECTED, ids=oct)
def test_modes(tmp_path: Path, mode: int) -> None:
    folder, file = tmp_path / "folder", tmp_path / "file"
    folder.mkdir()
    file.touch()
    folder.chmod(mode)
    file.chmod(mode)
    assert folder_ownership(folder) is EXPECTED[mode]
    assert file_ownership(file) is EXPECTED[mode]


def test_links_and_other_kinds_are_foreign(tmp_path: Path) -> None:
    folder, file = tmp_path / "folder", tmp_path / "file"
    folder.mkdir(mode=0o700)
    file.touch(mode=0o600)
    to_folder, to_file = tmp_path / "to_folder", tmp_path / "to_file"
    to_folder.symlink_to(folder)
    to_file.symlink_to(file)
    for path in (file, to_folder, to_file):
        assert folder_ownership(path) is Ownership.FOREIGN
    for path in (folder, to_folder, to_file):
        assert file_ownership(path) is Ownership.FOREIGN


def test_what_belongs_to_another_user_is_foreign(tmp_path: Path, monkeypatch) -> None:
    tmp_path.chmod(0o700)
    monkeypatch.setattr(os, "getuid", lambda: tmp_path.stat().st_uid + 1)
    assert folder_ownership(tmp_path) is Ownership.FOREIGN


def test_nothing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="gone"):
        folder_ownership(tmp_path / "gone")


def test_the_three_reactions_to_a_folder_that_others_may_enter(tmp_path: Path, monkeypatch) -> None:
    uid = os.getuid()
    monkeypatch.setattr(private_folder.tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(temp_folder, "_SHORT_BASES", (str(tmp_path),))
    private_folder.private_folder.cache_clear()
    signature._read_or_make.cache_clear()
    ours, rays = tmp_path / f"finrl_ray-{uid}", tmp_path / f"ray-{uid}"
    key = tmp_path / "keys" / "owner.key"
    for folder in (ours, rays, key.parent):
        folder.mkdir()
        folder.chmod(0o777)
    try:
        # one makes another folder, one closes it, one refuses what lies in it
        assert private_folder.private_folder() != ours
        assert temp_folder._own_short_folder() == rays
        assert stat.S_IMODE(rays.stat().st_mode) == 0o700
        assert signature._read_or_make(key) == b""
        assert stat.S_IMODE(ours.stat().st_mode) == 0o777
    finally:
        private_folder.private_folder.cache_clear()
        signature._read_or_make.cache_clear()


@pytest.mark.parametrize("lay", ["link", "file"])
def test_ray_gets_another_folder_instead_of_a_foreign_one(tmp_path: Path, monkeypatch, lay) -> None:
    monkeypatch.setattr(temp_folder, "_SHORT_BASES", (str(tmp_path),))
    usual = tmp_path / f"ray-{os.getuid()}"
    if lay == "link":
        (tmp_path / "elsewhere").mkdir(mode=0o700)
        usual.symlink_to(tmp_path / "elsewhere")
        found = temp_folder._own_short_folder()
        assert found != usual
        assert stat.S_IMODE(found.stat().st_mode) == 0o700
    else:
        usual.touch()
        with pytest.raises(temp_folder.ConfigError, match="no short folder can be made"):
            temp_folder._own_short_folder()
