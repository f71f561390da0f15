"""A sealed folder tells every kind of damage from wholeness."""

from pathlib import Path

import pytest

from finrl_ray.files import manifest as sealed_folder
from finrl_ray.files.manifest import MANIFEST_FILE, damage, flush, seal


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "model.zip").write_bytes(b"parameters")
    (tmp_path / "state.pt").write_bytes(bytes(range(256)))
    seal(tmp_path, timesteps=100)
    return tmp_path


def test_a_whole_folder_is_whole(folder) -> None:
    assert damage(folder) == ""
    flush(folder)
    assert damage(folder) == ""


@pytest.mark.parametrize("name", ["model.zip", "state.pt"])
def test_each_damage_of_a_file_is_named(folder, name) -> None:
    path = folder / name
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    assert damage(folder) == f"{name} has {len(whole) - 1} bytes instead of {len(whole)}"
    for position in range(0, len(whole), 7):
        flipped = bytearray(whole)
        flipped[position] ^= 1
        path.write_bytes(bytes(flipped))
        assert damage(folder) == f"{name} does not match its checksum"
    path.unlink()
    assert damage(folder) == f"{name} is missing"


def test_a_manifest_that_is_missing_cut_or_of_another_version_is_named(folder, monkeypatch) -> None:
    manifest = folder / MANIFEST_FILE
    whole = manifest.read_text(encoding="utf-8")
    for length in (0, 1, len(whole) // 2, len(whole) - 2):
        manifest.write_text(whole[:length], encoding="utf-8")
        assert damage(folder) == "manifest.json is damaged"
    manifest.write_text(whole.replace("folder 1", "folder 2"), encoding="utf-8")
    assert damage(folder) == "manifest.json is damaged"
    monkeypatch.setattr(sealed_folder, "FORMAT", "finrl_ray sealed folder 2")
    manifest.write_text(whole, encoding="utf-8")
    assert "has format 'finrl_ray sealed folder 1' instead of" in damage(folder)
    manifest.unlink()
    assert damage(folder) == "manifest.json is missing"


def test_no_flipped_bit_of_a_manifest_makes_a_damaged_folder_whole(folder) -> None:
    manifest = folder / MANIFEST_FILE
    whole = manifest.read_bytes()
    (folder / "model.zip").write_bytes(b"parameterz")
    for position in range(len(whole)):
        flipped = bytearray(whole)
        flipped[position] ^= 4
        manifest.write_bytes(bytes(flipped))
        assert damage(folder)
