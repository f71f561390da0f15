"""What a trial tells Ray, and how it ends when it tells nothing."""

import errno
import faulthandler
import gc
import itertools
import os
import subprocess
import sys
import tempfile
import threading
import time
import weakref
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow.fs as pafs
import pytest
from ray import tune

from finrl_ray.errors import SearchError
from finrl_ray.machine.resources import ResourceMonitor
from finrl_ray.search.journal.events import reported_metrics
from finrl_ray.search.worker.restart import CheckpointFlusher
from finrl_ray.search.worker.trainable import (
    SCRATCH,
    Watchdog,
    collect_garbage,
    remove_leftovers,
    report_evaluation,
)

OWN = {"objective": 1.5, "timesteps": 100, "eval/sharpe_ratio": 1.5}


def storage(folder: Path) -> SimpleNamespace:
    return SimpleNamespace(
        trial_fs_path=str(folder),
        checkpoint_fs_path=str(folder / "checkpoint_000000"),
        storage_filesystem=pafs.LocalFileSystem(),
    )


def write_model(folder: Path) -> None:
    (folder / "model.zip").write_text("")


def report(place: Any, flusher: CheckpointFlusher | None = None) -> None:
    flusher = flusher or CheckpointFlusher()
    report_evaluation(ResourceMonitor(None), Watchdog(None), flusher, place, OWN, write_model)


def test_what_the_process_uses_is_in_rays_results_and_not_in_the_journal(
    monkeypatch, tmp_path
) -> None:
    reports = []
    monkeypatch.setattr(tune, "report", lambda metrics, checkpoint: reports.append(metrics))
    report(storage(tmp_path))
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
        report(place)
    assert list(tmp_path.iterdir()) == []


def test_a_checkpoint_is_flushed_after_its_report_without_holding_the_trial_up(
    monkeypatch, tmp_path
) -> None:
    happened: list[str] = []
    go_on = threading.Event()

    def slow_disk(folder: Path) -> None:
        assert go_on.wait(600)
        happened.append(f"flushed {folder.name}")

    monkeypatch.setattr("finrl_ray.search.worker.restart.flush_folder", slow_disk)
    monkeypatch.setattr(tune, "report", lambda metrics, checkpoint: happened.append("reported"))
    flusher = CheckpointFlusher()
    report(storage(tmp_path), flusher)
    happened.append("training")
    go_on.set()
    flusher.wait()
    assert happened == ["reported", "training", "flushed checkpoint_000000"]


def test_a_disk_that_does_not_flush_is_in_the_log(monkeypatch, tmp_path, caplog) -> None:
    def broken(folder: Path) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr("finrl_ray.search.worker.restart.flush_folder", broken)
    monkeypatch.setattr(tune, "report", lambda metrics, checkpoint: None)
    flusher = CheckpointFlusher()
    report(storage(tmp_path), flusher)
    flusher.wait()
    assert "checkpoint_000000 could not be flushed to the disk" in caplog.text


def test_a_process_frees_what_a_trial_left_before_it_begins_the_next_one(monkeypatch) -> None:
    class Model:
        """What refers to itself is freed by the garbage collector alone."""

        def __init__(self) -> None:
            self.itself = self

    monkeypatch.setattr("finrl_ray.search.worker.trainable._TRIALS", itertools.count())
    automatic = gc.isenabled()
    gc.disable()
    try:
        for _ in range(4):
            collect_garbage()
            left = weakref.ref(Model())
            assert left() is not None
            collect_garbage()
            assert left() is None
    finally:
        gc.unfreeze()
        if automatic:
            gc.enable()


def test_another_error_of_storage_is_passed_on(monkeypatch, tmp_path) -> None:
    def refused(metrics: object, checkpoint: object) -> None:
        raise PermissionError(errno.EACCES, "denied")

    monkeypatch.setattr(tune, "report", refused)
    with pytest.raises(PermissionError):
        report(storage(tmp_path))


@pytest.mark.slow
def test_the_watchdog_ends_a_process_that_hangs_and_says_where() -> None:
    code = (
        "import time; from finrl_ray.search.worker.trainable import Watchdog\n"
        "def hang():\n    time.sleep(3600)\n"
        "with Watchdog(0.5).watching():\n    hang()\n"
    )
    began = time.monotonic()
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 1
    assert "in hang" in ended.stderr
    assert time.monotonic() - began < 1800


def test_a_watchdog_that_is_stopped_ends_nothing(monkeypatch) -> None:
    armed: list[tuple[float, bool]] = []

    def arm(timeout_s: float, *, exit: bool, file: object) -> None:  # noqa: A002  # its name there
        armed[:] = [(timeout_s, exit)]

    monkeypatch.setattr(faulthandler, "dump_traceback_later", arm)
    monkeypatch.setattr(faulthandler, "cancel_dump_traceback_later", armed.clear)
    watchdog = Watchdog(1.0)
    with watchdog.watching():
        assert armed == [(1.0, True)]
        watchdog.stop()
        assert armed == []
        watchdog.start()
        assert armed == [(1.0, True)]
    assert armed == []


def test_what_a_killed_process_left_is_deleted_and_nothing_else(monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    names = (f"{SCRATCH}{ended.pid}_a", f"{SCRATCH}{os.getpid()}_b", f"{SCRATCH}notes", "tmpc")
    for name in names:
        (tmp_path / name).mkdir()
    remove_leftovers()
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names[1:])
