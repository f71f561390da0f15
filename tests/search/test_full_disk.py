"""A search on a disk that fills up: it ends cleanly, says why, and goes on once there is room."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from kill_cells import raw_config
from searches import Search, read_text_table, whole_results

pytestmark = [pytest.mark.slow, pytest.mark.long]

SIZE_MB = 24
GAMMAS = (0.9, 0.91, 0.92)
REASON = "No space left on device"


def config(storage: Path) -> dict:
    raw = raw_config("sac", gammas=GAMMAS)
    raw["search"]["storage_path"] = str(storage)
    return raw


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small disk of its own."""
    if not sys.platform.startswith("linux") or os.geteuid() != 0:
        pytest.skip("mounting a tmpfs needs Linux and root")
    mount = tmp_path / "disk"
    mount.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={SIZE_MB}m", "tmpfs", str(mount)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"a tmpfs cannot be mounted here: {done.stderr.strip()}")
    try:
        yield mount
    finally:
        subprocess.run(["umount", "--lazy", str(mount)], check=True)


def fill(disk: Path) -> Path:
    """Leave no room on the disk; what is deleted later makes room again."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file:
        block = b"\0" * 65536
        try:
            while True:
                file.write(block)
        except OSError:
            pass
    return ballast


def test_a_full_disk_ends_a_search_with_the_reason_and_room_lets_it_go_on(
    disk: Path, tmp_path: Path
) -> None:
    with Search(home=tmp_path / "whole", raw=config(tmp_path / "whole" / "runs")) as whole:
        whole.start()
        assert whole.wait() == 0, whole.tail()
        undisturbed = whole_results(whole.folder)
    with Search(home=tmp_path / "full", raw=config(disk / "runs")) as search:
        search.start()
        search.wait_for_results(4)  # the second trial has a checkpoint
        ballast = fill(disk)
        code = search.wait()
        assert code not in (0, -9), search.tail()
        assert "Traceback" not in search.output, search.output
        assert REASON in search.output + table_text(search.folder), search.output
        ballast.unlink()
        search.resume()
        assert search.wait() == 0, search.tail()
        assert whole_results(search.folder) == undisturbed


def table_text(folder: Path) -> str:
    path = folder / "trials.csv"
    return read_text_table(path).to_csv() if path.is_file() else ""
