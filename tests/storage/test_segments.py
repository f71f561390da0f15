"""A growing file in a store: what is read is the file, wherever the copying was cut off."""

from typing import Any

import numpy as np
import pyarrow.fs as pafs
import pytest
from memory_store import MemoryStore

from finrl_ray.errors import SearchError
from finrl_ray.storage import object_store, segments
from finrl_ray.storage.segments import SegmentedCopy, read_segments

FOLDER, FORMER = "bucket/one/journal", "bucket/one/journal.jsonl"


class Stopped(MemoryStore):
    """A store whose client is killed after some writes and deletions."""

    left = 10**9

    def _asked(self, kind: str, path: str) -> None:
        if kind in ("write", "delete"):
            if self.left == 0:
                raise OSError("killed")
            self.left -= 1
        super()._asked(kind, path)


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(segments, "_SMALL_BYTES", 40)
    found = Stopped()
    monkeypatch.setattr(object_store, "_connect", lambda url: found)
    return found


def files() -> pafs.FileSystem:
    return object_store.open_store("s3://bucket/one?region=us-east-1", patience_s=0.0)[0]


def read_back() -> bytes | None:
    return read_segments(files(), FOLDER, FORMER)


def content(length: int) -> bytes:
    return np.random.default_rng(0).integers(0, 256, length, dtype=np.uint8).tobytes()


def new_copy() -> SegmentedCopy:
    return SegmentedCopy(files(), FOLDER, FORMER)


def extend(copy: SegmentedCopy, whole: bytes, length: int) -> None:
    copy.extend(length, lambda start, end: whole[start:end])


def test_what_is_read_is_the_file_and_little_is_sent_twice(store: Any) -> None:
    whole, copy, length, sent = content(20_000), new_copy(), 0, 0
    assert read_back() is None
    random = np.random.default_rng(1)
    while length < len(whole):
        length = min(len(whole), length + int(random.integers(1, 60)))
        known = set(store.files)
        extend(copy, whole, length)
        sent += sum(len(c) for name, c in store.files.items() if name not in known)
        assert read_back() == whole[:length]
        # 20,000 bytes are four sizes above 40, of each of which there are seven at most
        assert len(store.files) <= 7 * 5
    assert sent < 6 * len(whole)


def test_a_copy_that_was_killed_at_any_moment_is_read_and_gone_on_with(store: Any) -> None:
    whole, steps = content(3_000), range(30, 3_001, 30)
    kills = 0
    for after in range(0, 260, 3):
        store.files, store.left = {}, after
        reached = 0
        try:
            copy = new_copy()
            for length in steps:
                extend(copy, whole, length)
                reached = length
        except OSError:
            kills += 1
        store.left = 10**9
        read = read_back() or b""
        assert whole.startswith(read)
        assert reached <= len(read) <= reached + 30
        extend(new_copy(), whole, len(whole))
        assert read_back() == whole
        assert len(store.files) < 30
    assert kills > 50


def test_a_store_that_was_away_gets_the_rest(store: Any) -> None:
    whole, copy = content(300), new_copy()
    extend(copy, whole, 100)
    store.failures = 1
    with pytest.raises(OSError, match="no route"):
        extend(copy, whole, 200)
    extend(copy, whole, 300)
    assert read_back() == whole


def test_a_file_that_was_changed_is_written_anew(store: Any) -> None:
    whole, other = content(300), content(400)[100:]
    extend(new_copy(), whole, 300)
    extend(new_copy(), other, 200)
    assert read_back() == other[:200]


def test_the_copy_in_one_piece_of_earlier_versions_is_the_first_segment(store: Any) -> None:
    whole = content(300)
    store.files[FORMER] = whole[:200]
    assert read_back() == whole[:200]
    extend(new_copy(), whole, 300)
    assert [len(c) for c in store.files.values()] == [200, 100]
    assert read_back() == whole


def test_a_missing_and_a_cut_segment_are_said(store: Any) -> None:
    whole, copy = content(90), new_copy()
    for length in (30, 60, 90):
        extend(copy, whole, length)
    names = sorted(store.files)
    kept = dict(store.files)
    del store.files[names[1]]
    with pytest.raises(SearchError, match="no file with the bytes from 30 to 60"):
        read_back()
    store.files = {**kept, names[2]: kept[names[2]][:-1]}
    with pytest.raises(SearchError, match=f"{names[2]} is cut"):
        read_back()
    # where another one holds the same bytes, a cut one does no harm
    store.files[segments.segment_path(FOLDER, 0, 90)] = whole
    assert read_back() == whole


def test_segments_that_are_written_together_while_they_are_read_are_looked_for_again(
    store: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, copy = content(60), new_copy()
    extend(copy, whole, 30)
    extend(copy, whole, 60)
    read = segments.read_file

    def merging(filesystem: Any, path: str) -> bytes | None:
        for name in [*store.files]:
            if name != segments.segment_path(FOLDER, 0, 60):
                del store.files[name]
        store.files[segments.segment_path(FOLDER, 0, 60)] = whole
        return read(filesystem, path)

    monkeypatch.setattr(segments, "read_file", merging)
    assert read_back() == whole
