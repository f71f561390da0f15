"""What a trial tells Ray, and how it ends when it tells nothing."""

import errno
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

import pyarrow.fs as pafs
import pytest
from ray import tune

from finrl_ray.agent.resources import ResourceMonitor
from finrl_ray.errors import SearchError
from finrl_ray.search.journal import reported_metrics
from finrl_ray.trainable import SCRATCH, Watchdog, remove_leftovers, report_to_tune

OWN = {"objective": 1.5, "timesteps": 100, "eval/sharpe_ratio": 1.5}


def storage(folder: Path) -> SimpleNamespace:
    return SimpleNamespace(
        trial_fs_path=str(folder),
        checkpoint_fs_path=str(folder / "checkpoint_000000"),
        storage_filesystem=pafs.LocalFileSystem(),
    )


def write_model(folder: Path) -> None:
    (folder / "model.zip").write_text("")


def test_what_the_process_uses_is_in_rays_results_and_not_in_the_journal(
    monkeypatch, tmp_path
) -> None:
    reports = []
    monkeypatch.setattr(tune, "report", lambda metrics, checkpoint: reports.append(metrics))
    report_to_tune(ResourceMonitor(None), Watchdog(None), storage(tmp_path), OWN, write_model)
    assert {"sys/rss_gb", "sys/memory_fraction", "sys/cpu_percent"} <= reports[0].keys()
    assert reports[0]["sys/rss_gb"] > 0
    # tables of equal searches stay equal, whatever machine they ran on
    assert reported_metrics(reports[0]) == OWN


def test_a_full_disk_ends_the_trial_with_the_reason_and_gives_the_room_back(
    monkeypatch, tmp_path
) -> None:
    place = storage(tmp_path)

    def half_written(metrics: object, checkpoint: object) -> None:
        Path(place.checkpoint_fs_path).mkdir()
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tune, "report", half_written)
    with pytest.raises(SearchError, match="100 timesteps cannot be written: No space left"):
        report_to_tune(ResourceMonitor(None), Watchdog(None), place, OWN, write_model)
    assert list(tmp_path.iterdir()) == []


def test_another_error_of_storage_is_passed_on(monkeypatch, tmp_path) -> None:
    def refused(metrics: object, checkpoint: object) -> None:
        raise PermissionError(errno.EACCES, "denied")

    monkeypatch.setattr(tune, "report", refused)
    with pytest.raises(PermissionError):
        report_to_tune(ResourceMonitor(None), Watchdog(None), storage(tmp_path), OWN, write_model)


@pytest.mark.slow
def test_the_watchdog_ends_a_process_that_hangs_and_says_where() -> None:
    code = (
        "import time; from finrl_ray.trainable import Watchdog\n"
        "def hang():\n    time.sleep(60)\n"
        "with Watchdog(0.5).watching():\n    hang()\n"
    )
    began = time.monotonic()
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 1
    assert "in hang" in ended.stderr
    assert time.monotonic() - began < 55


def test_a_watchdog_that_is_stopped_ends_nothing() -> None:
    watchdog = Watchdog(0.05)
    with watchdog.watching():
        watchdog.stop()
        time.sleep(0.2)
        watchdog.start()
    time.sleep(0.1)


def test_what_a_killed_process_left_is_deleted_and_nothing_else(monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    names = (f"{SCRATCH}{ended.pid}_a", f"{SCRATCH}{os.getpid()}_b", f"{SCRATCH}notes", "tmpc")
    for name in names:
        (tmp_path / name).mkdir()
    remove_leftovers()
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names[1:])
