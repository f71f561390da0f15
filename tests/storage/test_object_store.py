"""Patience with a store that is away, what is sent again, what never leaves the machine."""

import pickle
from pathlib import Path
from typing import Any

import pyarrow.fs as pafs
import pytest
from memory_store import MemoryStore

from finrl_ray.errors import ConfigError
from finrl_ray.storage import object_store, retries
from finrl_ray.storage.object_store import (
    open_store,
    read_file,
    require_usable,
    write_file,
)
from finrl_ray.storage.retries import Retries
from finrl_ray.storage.url import child_url, name_of

URL = "s3://bucket/runs?region=us-east-1"


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> MemoryStore:
    found = MemoryStore()
    monkeypatch.setattr(object_store, "_connect", lambda url: found)
    return found


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Time that passes in pauses alone."""
    now = [0.0]
    monkeypatch.setattr(retries.time, "monotonic", lambda: now[0])

    def sleep(seconds: float) -> None:
        now[0] += seconds

    monkeypatch.setattr(retries.time, "sleep", sleep)
    return now


def away(store: MemoryStore, failures: int, error: OSError | None = None) -> None:
    store.failures = failures
    store.error = error or store.error


def test_a_store_that_comes_back_is_asked_until_it_answers(store, clock) -> None:
    filesystem, root = open_store(URL)
    away(store, 5)
    write_file(filesystem, f"{root}/a", b"content")
    assert store.files == {"bucket/runs/a": b"content"}
    assert clock[0] == 0.5 + 1 + 2 + 4 + 8
    away(store, 2)
    assert read_file(filesystem, f"{root}/a") == b"content"


def test_patience_ends_once_per_outage_and_begins_again_after_an_answer(store, clock) -> None:
    filesystem, root = open_store(URL, patience_s=60.0)
    away(store, 10**6)
    with pytest.raises(OSError, match="NETWORK_CONNECTION"):
        read_file(filesystem, f"{root}/a")
    assert clock[0] == 60.0
    # the second question of the same outage is asked once
    with pytest.raises(OSError, match="NETWORK_CONNECTION"):
        read_file(filesystem, f"{root}/a")
    assert clock[0] == 60.0
    away(store, 0)
    assert read_file(filesystem, f"{root}/a") is None
    away(store, 3)
    assert read_file(filesystem, f"{root}/a") is None
    assert clock[0] == 63.5


@pytest.mark.parametrize(
    "error",
    [
        OSError("AWS Error ACCESS_DENIED during HeadObject operation: No response body"),
        OSError("When uploading: AWS Error NO_SUCH_BUCKET during PutObject operation"),
        PermissionError("Permission denied"),
    ],
)
def test_a_refusal_is_not_asked_again(store, clock, error) -> None:
    filesystem, root = open_store(URL)
    away(store, 1, error)
    with pytest.raises(OSError, match=str(error)):
        write_file(filesystem, f"{root}/a", b"")
    assert clock[0] == 0.0


def test_a_read_goes_on_where_the_connection_broke(store, clock) -> None:
    filesystem, root = open_store(URL)
    store.files[f"{root}/a"] = bytes(range(200))
    with filesystem.open_input_stream(f"{root}/a") as file:
        first = file.read(50)
        away(store, 2)
        assert first + file.read() == bytes(range(200))


def test_a_folder_is_copied_there_and_back_whatever_is_away(store, clock, tmp_path: Path) -> None:
    filesystem, root = open_store(URL)
    source = tmp_path / "checkpoint"
    source.mkdir()
    contents = {f"file{i}": bytes([i]) * (1000 + i) for i in range(20)}
    for name, content in contents.items():
        (source / name).write_bytes(content)
    away(store, 7)
    pafs.copy_files(str(source), f"{root}/c", destination_filesystem=filesystem)
    assert store.files == {f"{root}/c/{name}": content for name, content in contents.items()}
    away(store, 7)
    (tmp_path / "back").mkdir()
    pafs.copy_files(f"{root}/c", str(tmp_path / "back"), source_filesystem=filesystem)
    back = {path.name: path.read_bytes() for path in (tmp_path / "back").iterdir()}
    assert back == contents


def test_a_pickle_holds_the_url_alone(store, monkeypatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "very-secret-word")
    filesystem, root = open_store(URL)
    write_file(filesystem, f"{root}/a", b"content")
    pickled = pickle.dumps(filesystem)
    assert b"very-secret-word" not in pickled
    assert pickle.loads(pickled) == filesystem
    assert read_file(pickle.loads(pickled), f"{root}/a") == b"content"


def test_a_driver_may_have_less_patience_than_the_workers_that_it_tells(store, clock) -> None:
    filesystem, root = open_store(URL, here_s=10.0)
    away(store, 10**6)
    for here, waited in ((filesystem, 10.0), (pickle.loads(pickle.dumps(filesystem)), 310.0)):
        with pytest.raises(OSError, match="NETWORK_CONNECTION"):
            read_file(here, f"{root}/a")
        assert clock[0] == waited


def test_a_url_with_a_secret_is_refused() -> None:
    with pytest.raises(ConfigError, match="must hold no secret") as caught:
        open_store("s3://key:hunter2@bucket/runs")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("error", "match"),
    [
        (OSError("AWS Error ACCESS_DENIED: no"), "refuses access.*set AWS_ACCESS_KEY_ID and"),
        (OSError("AWS Error NETWORK_CONNECTION: curlCode 7"), "does not answer.*check the network"),
        (OSError("AWS Error NO_SUCH_BUCKET: no"), "make the bucket, or correct the name"),
    ],
)
def test_an_unusable_store_is_named_in_plain_words(store, clock, error, match) -> None:
    away(store, 10, error)
    with pytest.raises(
        ConfigError, match=rf"search\.storage_path: s3://bucket/runs .*{match}|{match}"
    ):
        require_usable("search.storage_path", URL)
    assert clock[0] == 0.0


def test_a_usable_store_is_left_as_it_was(store) -> None:
    require_usable("search.storage_path", URL)
    assert store.files == {}
    assert [kind for kind, _ in store.questions] == ["info", "write", "delete"]
    require_usable("search.storage_path", "runs")


@pytest.mark.parametrize("scheme", ["gs", "gcs"])
def test_a_google_url_gives_googles_client_with_a_limit_of_its_own(scheme: str) -> None:
    # nothing is asked, so that neither a server nor credentials are needed
    made: Any = object_store._connect(f"{scheme}://bucket/runs?endpoint_override=localhost:1")
    assert made.type_name == "gcs"
    filesystem, root = open_store(f"{scheme}://bucket/runs/")
    assert (filesystem.type_name, root) == (f"py::{scheme}", "bucket/runs")


def test_patience_of_nothing_asks_once(clock) -> None:
    asked = []

    def question() -> None:
        asked.append(1)
        raise OSError("away")

    with pytest.raises(OSError, match="away"):
        Retries("x", 0.0).call(question)
    assert asked == [1]


def test_urls_keep_their_options_when_a_name_is_added() -> None:
    assert child_url("s3://b/runs/?region=x", "one") == "s3://b/runs/one?region=x"
    assert child_url("s3://b", "one") == "s3://b/one"
    assert name_of("s3://b/runs/one/?region=x") == "one"
