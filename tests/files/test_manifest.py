"""Every kind of damage to a folder with a manifest is found and named."""

from pathlib import Path

import pytest

from finrl_ray.files import manifest as manifests
from finrl_ray.files.manifest import MANIFEST_FILE, find_damage, flush_folder, write_folder_manifest


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "model.zip").write_bytes(b"parameters")
    (tmp_path / "state.pt").write_bytes(bytes(range(256)))
    write_folder_manifest(tmp_path, timesteps=100)
    return tmp_path


def test_a_whole_folder_is_whole(folder) -> None:
    assert find_damage(folder) == ""
    flush_folder(folder)
    assert find_damage(folder) == ""


@pytest.mark.parametrize("name", ["model.zip", "state.pt"])
def test_each_damage_of_a_file_is_named(folder, name) -> None:
    path = folder / name
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    assert find_damage(folder) == f"{name} has {len(whole) - 1} bytes instead of {len(whole)}"
    for position in range(0, len(whole), 7):
        flipped = bytearray(whole)
        flipped[position] ^= 1
        path.write_bytes(bytes(flipped))
        assert find_damage(folder) == f"{name} does not match its checksum"
    path.unlink()
    assert find_damage(folder) == f"{name} is missing"


def test_a_manifest_that_is_missing_cut_or_of_another_version_is_named(folder, monkeypatch) -> None:
    manifest = folder / MANIFEST_FILE
    whole = manifest.read_text(encoding="utf-8")
    for length in (0, 1, len(whole) // 2, len(whole) - 2):
        manifest.write_text(whole[:length], encoding="utf-8")
        assert find_damage(folder) == "manifest.json is damaged"
    manifest.write_text(whole.replace("folder 1", "folder 2"), encoding="utf-8")
    assert find_damage(folder) == "manifest.json is damaged"
    monkeypatch.setattr(manifests, "FORMAT", "finrl_ray sealed folder 2")
    manifest.write_text(whole, encoding="utf-8")
    assert "has format 'finrl_ray sealed folder 1' instead of" in find_damage(folder)
    manifest.unlink()
    assert find_damage(folder) == "manifest.json is missing"


def test_no_flipped_bit_of_a_manifest_makes_a_damaged_folder_whole(folder) -> None:
    manifest = folder / MANIFEST_FILE
    whole = manifest.read_bytes()
    (folder / "model.zip").write_bytes(b"parameterz")
    for position in range(len(whole)):
        flipped = bytearray(whole)
        flipped[position] ^= 4
        manifest.write_bytes(bytes(flipped))
        assert find_damage(folder)
