"""One process at a time in a folder, on storage with file locks and on storage without."""

import contextlib
import errno
import fcntl
import logging
import os
import socket
import subprocess
import sys
from collections import namedtuple
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from finrl_ray.errors import SearchError
from finrl_ray.search.folder import lock
from finrl_ray.search.folder.lock import file_system_of, is_driven, sole_process
from finrl_ray.search.folder.names import LOCK_FILE

NO_LOCKS = (errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOLCK, errno.EINVAL, errno.EIO)
REFUSAL = "another process is at it"


def refuse_with(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Let every lock end with an error of the system."""

    def flock(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", flock)


@contextlib.contextmanager
def holder(folder: Path) -> Iterator[None]:
    """Hold the folder's lock in another process, until the block is left."""
    code = (
        "import sys; from pathlib import Path\n"
        "from finrl_ray.search.folder.lock import sole_process\n"
        "with sole_process(Path(sys.argv[1]), ''):\n    print('held', flush=True)\n    input()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout
        assert process.stdout.readline() == "held\n"
        yield
    finally:
        process.kill()
        process.wait(600)


def test_two_processes_do_not_run_one_search(tmp_path) -> None:
    assert not is_driven(tmp_path)
    with holder(tmp_path):
        assert is_driven(tmp_path)
        with pytest.raises(SearchError, match=REFUSAL), sole_process(tmp_path, REFUSAL):
            pass
    # the holder was killed: nothing is left of its lock
    assert not is_driven(tmp_path)
    with sole_process(tmp_path, REFUSAL):
        assert is_driven(tmp_path)
    assert not is_driven(tmp_path)


@pytest.mark.parametrize("number", [errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES])
def test_what_means_held(tmp_path, monkeypatch, number) -> None:
    (tmp_path / LOCK_FILE).touch()
    refuse_with(monkeypatch, number)
    assert is_driven(tmp_path)
    with pytest.raises(SearchError, match=REFUSAL), sole_process(tmp_path, REFUSAL):
        pass


@pytest.mark.parametrize("number", NO_LOCKS, ids=errno.errorcode.get)
def test_storage_without_locks_is_warned_of_and_used(tmp_path, monkeypatch, caplog, number) -> None:
    refuse_with(monkeypatch, number)
    monkeypatch.setattr(lock, "file_system_of", lambda path: "lustre at /scratch")
    with caplog.at_level(logging.WARNING), sole_process(tmp_path, REFUSAL):
        assert is_driven(tmp_path)
        # a second one on this machine
        with pytest.raises(SearchError, match=REFUSAL), sole_process(tmp_path, REFUSAL):
            pass
    assert not is_driven(tmp_path)
    (said,) = caplog.messages
    assert f"{tmp_path} (lustre at /scratch) has no file locks ({os.strerror(number)})" in said


def test_a_note_of_a_process_that_is_gone_or_elsewhere_holds_nothing(tmp_path, monkeypatch) -> None:
    refuse_with(monkeypatch, errno.ENOSYS)
    note, own, here = tmp_path / LOCK_FILE, psutil.Process(), socket.gethostname()
    started = own.create_time()
    for text, driven in (
        (f"{here} {own.pid} {started}", True),
        (f"{here} {own.pid} {started - 3600}", False),  # the id was given to another process
        (f"another-machine {own.pid} {started}", False),
        (f"{here} {own.pid}", False),
        (f"{here} nobody 1.0", False),
        ("", False),
    ):
        note.write_text(text, encoding="utf-8")
        assert is_driven(tmp_path) == driven, text
    note.write_bytes(b"\xff\xfe")
    assert not is_driven(tmp_path)


def test_a_folder_that_cannot_be_written_says_so(tmp_path, monkeypatch) -> None:
    # root writes everywhere: a lock that is a folder cannot be opened by anybody
    (tmp_path / LOCK_FILE).mkdir()
    with (
        pytest.raises(SearchError, match="must be writable to run what is in it"),
        sole_process(tmp_path, REFUSAL),
    ):
        pass
    assert not is_driven(tmp_path)


def test_the_file_system_is_that_of_the_longest_mount(monkeypatch) -> None:
    Partition = namedtuple("Partition", ["mountpoint", "fstype"])
    mounts = [
        Partition("/", "ext4"),
        Partition("/scratch", "nfs4"),
        Partition("/scratch/runs", "autofs"),
        Partition("/scratch/runs", "lustre"),
        Partition("/scratch/run", "xfs"),
    ]
    monkeypatch.setattr(psutil, "disk_partitions", lambda **_: mounts)
    monkeypatch.setattr(Path, "resolve", lambda self: self)
    assert file_system_of(Path("/scratch/runs/a")) == "lustre at /scratch/runs"
    assert file_system_of(Path("/scratch/running")) == "nfs4 at /scratch"
    assert file_system_of(Path("/home")) == "ext4 at /"
    monkeypatch.setattr(psutil, "disk_partitions", lambda **_: [])
    assert file_system_of(Path("/home")) == "an unknown file system"
