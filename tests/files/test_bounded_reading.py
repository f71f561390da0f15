"""Files that are not what their names say: too large, too deep, pipes, packed to nothing."""

import io
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest

from finrl_ray.errors import DataError, SearchError
from finrl_ray.files.bounded_reading import (
    MB,
    check_members,
    parse_json,
    read_arrays,
    read_json,
    read_limited,
    read_member,
)


def test_only_regular_files_within_the_limit_are_read(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"12345")
    assert read_limited(path, 5) == b"12345"
    with pytest.raises(SearchError, match="5 bytes, and at most 4"):
        read_limited(path, 4)
    with pytest.raises(SearchError, match="it is a folder"):
        read_limited(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(SearchError, match="it is a pipe"):
        read_limited(tmp_path / "pipe")
    with pytest.raises(SearchError, match="a device"):
        read_limited(Path("/dev/zero"))
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(SearchError, match="cannot be read"):
        read_limited(tmp_path / "loop")
    with pytest.raises(FileNotFoundError):
        read_limited(tmp_path / "none")


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, "1" * 5000, "nothing"])
def test_json_that_python_cannot_hold_is_a_value_error(tmp_path: Path, text: str) -> None:
    with pytest.raises(ValueError, match=r"nested too deeply|digits|Expecting"):
        parse_json(text)
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(ValueError, match=r"nested too deeply|digits|Expecting"):
        read_json(tmp_path / "a.json")


def packed(members: dict[str, bytes]) -> io.BytesIO:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer


def test_what_would_unpack_to_gigabytes_is_not_unpacked() -> None:
    bomb = packed({f"{i}.npy": bytes(200 * MB) for i in range(3)})
    assert len(bomb.getvalue()) < MB
    with zipfile.ZipFile(bomb) as archive:
        with pytest.raises(ValueError, match="would unpack to 629,145,600"):
            check_members(archive)
        with pytest.raises(ValueError, match=r"0\.npy would unpack"):
            read_member(archive, "0.npy", 100 * MB)
    with pytest.raises(ValueError, match="would unpack"):
        read_arrays(bomb)


def header(shape: str, content: bytes = bytes(80), dtype: str = "<f8") -> bytes:
    text = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}"
    padded = text.ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + len(padded).to_bytes(2, "little") + padded.encode() + content


@pytest.mark.parametrize(
    "array",
    [
        header("(1000000000000,)"),
        header("(10, 99999999999999999999)"),
        header("(11,)"),
        header("(-10,)"),
        header("(10,)", dtype="|O"),
        b"no array",
    ],
)
def test_arrays_are_as_large_as_they_say(tmp_path: Path, array: bytes) -> None:
    path = tmp_path / "a.npz"
    path.write_bytes(packed({"a.npy": array}).getvalue())
    with pytest.raises(ValueError, match=r".+"):
        read_arrays(path)
    path.write_bytes(packed({"a.npy": header("(10,)")}).getvalue())
    assert read_arrays(path)["a"].tolist() == [0.0] * 10


def test_what_numpy_writes_is_read(tmp_path: Path) -> None:
    arrays = {
        "floats": np.arange(12.0).reshape(3, 4),
        "texts": np.array(["a", "bc"]),
        "dates": np.array(["2020-01-01"], dtype="datetime64[ns]"),
        "flags": np.ones(100_000, dtype=bool),
        "none": np.empty((0, 3)),
        "one": np.array(3),
        "columns": np.asfortranarray(np.arange(12.0).reshape(3, 4)),
    }
    for save in (np.savez, np.savez_compressed):
        save(tmp_path / "a.npz", **arrays)
        found = read_arrays(tmp_path / "a.npz")
        assert found.keys() == arrays.keys()
        assert all(np.array_equal(found[name], arrays[name]) for name in arrays)
    with pytest.raises(DataError, match="it is a folder"):
        read_arrays(tmp_path)
