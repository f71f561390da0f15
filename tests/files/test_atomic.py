"""Files that are complete or not there."""

import pytest

from finrl_ray.files.atomic import atomic_path


def test_the_file_takes_its_name_when_complete(tmp_path) -> None:
    path = tmp_path / "new" / "model.zip"
    with atomic_path(path) as temporary:
        assert temporary.suffix == ".zip"
        temporary.write_text("complete")
        assert not path.exists()
    assert path.read_text() == "complete"
    assert list(path.parent.iterdir()) == [path]


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path) -> None:
    path = tmp_path / "model.zip"
    path.write_text("old")

    def write() -> None:
        with atomic_path(path) as temporary:
            temporary.write_text("ha")
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
