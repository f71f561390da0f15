"""Checkpoints and the copy of a folder on Google's store, played by an emulator on loopback."""

import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import pyarrow.fs as pafs
import pytest
from committer_parts import small_committer
from object_storage import PYTHON

from finrl_ray.errors import ConfigError
from finrl_ray.search.folder.checkpoints import CheckpointStorage
from finrl_ray.search.folder.mirror import FolderMirror, fetch_folder
from finrl_ray.search.journal.events import append_event, read_journal
from finrl_ray.storage import object_store
from finrl_ray.storage.object_store import open_store, read_file, require_usable, write_file

EMULATOR = PYTHON.with_name("gcp-storage-emulator")
READY_S = 600.0

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not EMULATOR.exists(), reason="no Google server: run `make .venv-s3`"),
]


class Server:
    def __init__(self) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        options = ["--host=127.0.0.1", f"--port={self.port}", "--in-memory"]
        self.process = subprocess.Popen(
            [str(EMULATOR), "start", *options, "--default-bucket=bucket"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + READY_S
        while True:
            try:
                urlopen(f"http://127.0.0.1:{self.port}/storage/v1/b/bucket", timeout=5).close()
                return
            except (URLError, OSError):
                assert self.process.poll() is None, "the server ended"
                assert time.monotonic() < deadline, "the server does not answer"
                time.sleep(0.1)

    def url(self, path: str, limit_s: int = 20) -> str:
        endpoint = f"127.0.0.1:{self.port}"
        options = f"endpoint_override={endpoint}&scheme=http&retry_limit_seconds={limit_s}"
        return f"gs://bucket/{path}?{options}"

    def hold(self, seconds: float) -> None:
        self.process.send_signal(signal.SIGSTOP)
        time.sleep(seconds)
        self.process.send_signal(signal.SIGCONT)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.process.kill()
    made.process.wait(600)


@pytest.fixture(autouse=True)
def anonymous(monkeypatch: pytest.MonkeyPatch) -> None:
    # the emulator knows no credentials, and real ones must not be sent to it
    client: Any = partial(pafs.GcsFileSystem, anonymous=True)
    monkeypatch.setattr(object_store.pafs, "GcsFileSystem", client)


def test_checkpoints_are_written_listed_read_and_deleted(server: Server, tmp_path: Path) -> None:
    storage = CheckpointStorage(tmp_path, server.url("one"))
    source = tmp_path / "checkpoint"
    source.mkdir()
    (source / "model.zip").write_bytes(os.urandom(3_000_000))
    (source / "evaluations.npz").write_bytes(b"x" * 10)
    for index in (0, 1):
        target = storage.absolute(f"ray/t/checkpoint_{index:06d}")
        storage.filesystem.create_dir(target, recursive=True)
        pafs.copy_files(str(source), target, destination_filesystem=storage.filesystem)
    first, second = (f"ray/t/checkpoint_{index:06d}" for index in (0, 1))
    assert storage.checkpoints("ray/t") == [first[6:], second[6:]]
    assert storage.sizes() == {first: 3_000_010, second: 3_000_010}
    assert storage.read(first, "evaluations.npz") == b"x" * 10
    assert storage.read(first, "none") is None
    with storage.on_disk(second) as folder:
        assert (folder / "model.zip").read_bytes() == (source / "model.zip").read_bytes()
    storage.delete(first)
    assert not storage.exists(first)
    assert storage.exists(second)


def test_a_folder_is_copied_and_fetched(server: Server, tmp_path: Path) -> None:
    folder = tmp_path / "here" / "two"
    folder.mkdir(parents=True)
    (folder / "experiment.json").write_text("{}", encoding="utf-8")
    committer = small_committer(folder)
    with FolderMirror(folder, server.url("two")):
        append_event(folder, committer.records, "search", state="started")
        committer.write("created", trial_id="00000", index=0, sample={"x": 1})
    fetched, _ = fetch_folder(server.url("two"), tmp_path / "there")
    assert list(read_journal(fetched).trials) == ["00000"]
    files = {path.relative_to(fetched).as_posix() for path in fetched.rglob("*.*")}
    assert files == {"experiment.json", "journal.jsonl", "state/state_a.pkl"}


def test_a_server_that_is_away_for_a_while_is_waited_for(server: Server) -> None:
    filesystem, root = open_store(server.url("three", limit_s=1))
    write_file(filesystem, f"{root}/a", b"content")
    away = threading.Thread(target=server.hold, args=(5.0,))
    away.start()
    time.sleep(0.2)
    write_file(filesystem, f"{root}/b", b"more")
    assert read_file(filesystem, f"{root}/a") == b"content"
    away.join()


def test_a_missing_bucket_is_named(server: Server) -> None:
    require_usable("search.storage_path", server.url("four"))
    url = server.url("four").replace("gs://bucket", "gs://nobucket")
    with pytest.raises(ConfigError, match=r"search\.storage_path: there is no bucket 'nobucket'"):
        require_usable("search.storage_path", url)
