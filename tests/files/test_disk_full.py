"""Errors of a disk without room, whoever has wrapped them, told from all others."""

import errno
import os
import pickle
import shutil
import sqlite3
import threading
from pathlib import Path

import pyarrow.fs as pafs
import pytest
from ray.exceptions import RayTaskError
from ray.tune.error import TuneError

from finrl_ray.cli import main
from finrl_ray.cluster import session
from finrl_ray.errors import SearchError
from finrl_ray.files.disk_full import (
    DiskFullError,
    disk_full_error,
    explain_disk_full,
    find_disk_full,
    free_space_in_words,
    is_disk_full,
)
from finrl_ray.search.tune.trial import SearchTrial
from finrl_ray.storage import object_store, retries


def full(number: int = errno.ENOSPC) -> OSError:
    return OSError(number, os.strerror(number), "/data/x")


def raised_from(error: Exception, cause: Exception) -> Exception:
    try:
        raise error from cause
    except type(error) as caught:
        return caught


def of_a_worker(cause: Exception) -> RayTaskError:
    return RayTaskError("train", f"Traceback: {cause}", cause).as_instanceof_cause()


NO_ROOM = {
    "ENOSPC": full(),
    "EDQUOT": full(errno.EDQUOT),
    "EFBIG": full(errno.EFBIG),
    "pyarrow": OSError("[Errno 28] Error writing bytes to file. Detail: [errno 28] No space left"),
    "torch": RuntimeError("[enforce fail] . PytorchStreamWriter failed writing file data/0: ..."),
    "torch at its end": RuntimeError("[enforce fail at inline_container.cc:659] unexpected pos 64"),
    "SQLite": sqlite3.OperationalError("database or disk is full"),
    "Ray": RuntimeError("ray.exceptions.OutOfDiskError: Local disk is full"),
    "Ray's task": of_a_worker(full()),
    "Tune": raised_from(TuneError("The Ray Tune run failed."), full()),
    "ours": raised_from(SearchError("the state cannot be saved"), full(errno.EDQUOT)),
    "ours, from a worker": of_a_worker(DiskFullError("x")),
    "MinIO": OSError("AWS Error XMinioStorageFull during PutObject: Storage backend is full"),
    "a quota of S3": OSError("AWS Error UNKNOWN (HTTP status 403): QuotaExceeded"),
    "Windows": OSError(0, "There is not enough space on the disk"),
}
OTHERS = {
    "nothing": None,
    "no file": FileNotFoundError(errno.ENOENT, "No such file", "/data/x"),
    "a broken disk": OSError(errno.EIO, os.strerror(errno.EIO)),
    "read only": OSError(errno.EROFS, os.strerror(errno.EROFS)),
    "memory": MemoryError(),
    "a worker's own": of_a_worker(ValueError("bad value")),
}


@pytest.mark.parametrize("name", NO_ROOM)
def test_what_is_a_full_disk(name: str) -> None:
    error = NO_ROOM[name]
    assert is_disk_full(error)
    told = explain_disk_full("the table", ["/tmp"], "Make room")
    with pytest.raises(DiskFullError, match=r"the table cannot be written|^x$"), told:
        raise RuntimeError("wrapped") from error


@pytest.mark.parametrize("name", OTHERS)
def test_what_is_not(name: str) -> None:
    assert not is_disk_full(OTHERS[name])
    with pytest.raises(KeyError), explain_disk_full("x", [], ""):
        raise KeyError


def test_the_message_names_the_disk_the_room_and_the_remedy(tmp_path: Path) -> None:
    deep = tmp_path / "not" / "there"
    found = disk_full_error("the table", full(errno.EDQUOT), [deep], "Make room on node 7")
    usage = os.statvfs(tmp_path)
    total = usage.f_frsize * usage.f_blocks
    assert "the table cannot be written: Disk quota exceeded" in str(found)
    assert f"{tmp_path} has " in str(found)
    assert "Make room on node 7" in str(found)
    unit = next(u for u, size in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6)) if total >= size)
    assert free_space_in_words(tmp_path).endswith(unit)
    assert str(pickle.loads(pickle.dumps(found))) == str(found)
    assert disk_full_error("again", found, [], "") is found


def test_a_trial_without_room_is_neither_counted_nor_tried_again() -> None:
    trial = SearchTrial.__new__(SearchTrial)
    trial.stub = True
    for error in (of_a_worker(full()), full(), of_a_worker(DiskFullError("the checkpoint"))):
        with pytest.raises(DiskFullError, match=r"No space left|the checkpoint"):
            trial.handle_error(error)
    assert "has_diverged" not in vars(trial)


def test_what_a_worker_has_said_is_shown_without_its_traceback() -> None:
    said = DiskFullError("the checkpoint of 64 timesteps cannot be written")
    outer = raised_from(TuneError("The Ray Tune run failed."), raised_from(said, of_a_worker(said)))
    assert find_disk_full(outer) is said
    wrapped = OSError(errno.ENOSPC, "Error writing. Detail: [errno 28] No space left on device")
    assert ": No space left on device" in str(disk_full_error("x", wrapped, [], ""))


def test_a_folder_that_was_copied_in_part_is_told_in_one_reason(tmp_path: Path) -> None:
    names = ("/" + "long" * 100, "/" + "far" * 100)
    left = [(*names, f"[Errno 28] No space left on device: '{name}'") for name in names]
    expected = r"^the model cannot be written: No space left on device \("
    told = explain_disk_full("the model", [tmp_path], "Make room")
    with pytest.raises(DiskFullError, match=expected), told:
        raise shutil.Error(left)


def test_a_store_without_room_is_not_waited_for() -> None:
    error = OSError("AWS Error UNKNOWN (HTTP status 507): Insufficient Storage")
    assert retries.is_permanent(error)
    words = object_store.in_words("s3://bucket/runs?region=x", error)
    assert words.startswith("s3://bucket/runs has no room")


def test_any_command_says_it_in_one_message(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(**_: object) -> None:
        raise RuntimeError("could not save") from full()

    monkeypatch.setattr(main, "app", fails)
    monkeypatch.setattr("sys.argv", ["finrl-ray", "train", "config.yaml"])
    with pytest.raises(SystemExit) as ended:
        main.main()
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith("error: a file cannot be written: ")
    assert "Make room" in said
    assert "fault of finrl-ray" not in said


def test_a_thread_without_room_ends_in_a_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def end_in(error: Exception) -> str:
        def fail() -> None:
            raise error

        thread = threading.Thread(target=fail)
        thread.start()
        thread.join()
        return capsys.readouterr().err

    monkeypatch.setattr("sys.argv", ["finrl-ray", "--version"])
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)  # put back afterwards
    with pytest.raises(SystemExit):
        main.main()
    capsys.readouterr()
    assert end_in(full(errno.EDQUOT)).count("\n") == 1
    assert "Traceback" in end_in(KeyError("x"))


def test_pyarrow_s_own_error_has_its_number(tmp_path: Path) -> None:
    """The texts above are those of this version of pyarrow, where a disk can be filled."""
    if not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full")
    opened = pafs.LocalFileSystem().open_output_stream("/dev/full", compression=None)
    with pytest.raises(OSError, match=r"No space left|Errno 28") as caught, opened as file:
        file.write(b"x" * 10_000_000)
    assert is_disk_full(caught.value)


def test_ray_is_not_started_where_its_logs_have_no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "free_bytes", lambda _: 200_000)
    with pytest.raises(DiskFullError, match=r"its temporary folder needs 16 MB .* RAY_TMPDIR"):
        session.require_room_for_ray("/tmp/ray")
    monkeypatch.setattr(session, "free_bytes", lambda _: None)
    session.require_room_for_ray("/tmp/ray")
