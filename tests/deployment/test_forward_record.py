"""The forward record: whatever is done to its lines is shown with the line and the reason."""

import hashlib
import itertools
import json
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from finrl_ray.deployment.forward_record import (
    append,
    find_gaps,
    find_head,
    read,
    read_record,
)
from finrl_ray.errors import DataError, SearchError
from finrl_ray.files.manifest import write_folder_manifest

DATES = [f"2020-01-{day:02d}" for day in (2, 3, 6, 7, 8)]


def new_folder(path: Path, name: str = "agent") -> Path:
    folder = path / name
    folder.mkdir()
    (folder / "agent.json").write_text(json.dumps({"name": name}), encoding="utf-8")
    write_folder_manifest(folder)
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = new_folder(tmp_path)
    for number, date in enumerate(DATES):
        append(made, {"date": date, "orders": np.array([0.1 * number, -3.0]), "cash": np.nan})
    return made


def lines_of(folder: Path) -> list[bytes]:
    return (folder / "forward.jsonl").read_bytes().splitlines(keepends=True)


def put(folder: Path, lines: list[bytes]) -> None:
    (folder / "forward.jsonl").write_bytes(b"".join(lines))


def resealed(line: bytes, **changed: Any) -> bytes:
    """Return a line with other content and the hash that belongs to it."""
    entry = json.loads(line) | changed
    del entry["sha256"]
    text = json.dumps(entry, sort_keys=True, separators=(",", ":"))
    entry["sha256"] = hashlib.sha256(text.encode()).hexdigest()
    return json.dumps(entry).encode() + b"\n"


def test_what_was_said_is_read_again(folder: Path) -> None:
    entries = read(folder)
    assert [entry["date"] for entry in entries] == DATES
    assert [entry["n"] for entry in entries] == [1, 2, 3, 4, 5]
    assert entries[3]["orders"] == [0.1 * 3, -3.0]  # every bit
    assert entries[0]["cash"] is None
    manifest = hashlib.sha256((folder / "manifest.json").read_bytes()).hexdigest()
    assert entries[0]["previous"] == manifest
    for before, after in itertools.pairwise(entries):
        assert after["previous"] == before["sha256"]
    record = read_record(folder)
    assert (record.problem, record.cut_short) == ("", "")
    assert record.head == entries[-1]["sha256"]
    assert find_head(entries, f" {entries[2]['sha256'].upper()}\n") == 3
    assert find_head(entries, manifest) is None


def test_a_folder_without_a_record_has_an_empty_one(tmp_path: Path) -> None:
    folder = new_folder(tmp_path)
    assert read(folder) == []
    with pytest.raises(SearchError, match=r"no agent's folder: manifest\.json cannot be read"):
        read(tmp_path)


Tampering = Callable[[list[bytes]], list[bytes]]
TAMPERINGS: dict[str, tuple[Tampering, str]] = {
    "a number edited": (
        lambda lines: [*lines[:1], lines[1].replace(b"-3.0", b"-4.0"), *lines[2:]],
        "line 2 .*content does not match its sha256: it was edited",
    ),
    "a space added": (
        lambda lines: [*lines[:1], lines[1].replace(b": ", b":  ", 1), *lines[2:]],
        "line 2 .*content does not match its sha256: it was edited",
    ),
    "a key given twice": (
        lambda lines: [*lines[:1], b'{"n": 7, ' + lines[1][1:], *lines[2:]],
        "line 2 .*edited",
    ),
    "edited with its own hash": (
        lambda lines: [*lines[:1], resealed(lines[1], orders=[9.0, 9.0]), *lines[2:]],
        "line 3 .*does not follow line 2: a line was removed, added, moved or written anew",
    ),
    "the first removed": (lambda lines: lines[1:], "line 1 .*lines before it were removed"),
    "one removed": (lambda lines: lines[:2] + lines[3:], "line 3 .*does not follow line 2"),
    "two swapped": (
        lambda lines: [lines[0], lines[2], lines[1], *lines[3:]],
        "line 2 .*does not follow line 1",
    ),
    "one twice": (lambda lines: lines[:2] + lines[1:], "line 3 .*does not follow line 2"),
    "an empty line": (lambda lines: [*lines[:2], b"\n", *lines[2:]], "line 3 .*it is not JSON"),
    "no JSON": (lambda lines: [*lines[:4], b"{\xff\n"], "line 5 .*it is not JSON"),
    "another value": (lambda lines: [*lines[:4], b"[1]\n"], "line 5 .*it is no entry"),
    "an earlier bar": (
        lambda lines: [*lines[:4], resealed(lines[4], date=DATES[3])],
        "line 5 .*its bar, 2020-01-07, is not after that of the line before",
    ),
    "another number": (
        lambda lines: [*lines[:4], resealed(lines[4], n=6)],
        "line 5 .*its number is 6 instead of 5",
    ),
    "no date": (
        lambda lines: [*lines[:4], resealed(lines[4], date=5)],
        "line 5 .*an entry must have the date of its bar",
    ),
}


@pytest.mark.parametrize("name", TAMPERINGS)
def test_tampering_is_shown(folder: Path, name: str) -> None:
    tampered, reason = TAMPERINGS[name]
    put(folder, tampered(lines_of(folder)))
    before = (folder / "forward.jsonl").read_bytes()
    with pytest.raises(SearchError, match=reason):
        read(folder)
    with pytest.raises(SearchError, match=reason):
        append(folder, {"date": "2020-01-09"})
    assert (folder / "forward.jsonl").read_bytes() == before
    record = read_record(folder)
    number = int(record.problem.split()[1])
    assert [entry["n"] for entry in record.entries] == list(range(1, number))


def test_the_record_of_another_agent_is_refused(folder: Path, tmp_path: Path) -> None:
    other = new_folder(tmp_path, "other")
    put(other, lines_of(folder))
    with pytest.raises(SearchError, match=r"line 1 .*does not follow this agent's manifest"):
        read(other)


def test_a_record_written_anew_is_told_by_a_published_head(folder: Path, tmp_path: Path) -> None:
    """No chain of hashes shows it by itself."""
    published = read(folder)[-1]["sha256"]
    (folder / "forward.jsonl").rename(tmp_path / "old")
    for date in DATES:
        append(folder, {"date": date, "orders": [1.0, 1.0]})
    forged = read(folder)
    assert len(forged) == len(DATES)
    assert find_head(forged, published) is None


@pytest.mark.parametrize("cut", [1, 20, 200])
def test_a_killed_writer_leaves_half_a_line_that_is_said_and_replaced(
    folder: Path, cut: int
) -> None:
    *whole, last = lines_of(folder)
    put(folder, [*whole, last[: len(last) - 1 - cut]])
    record = read_record(folder)
    assert "line 5 ends in its middle" in record.cut_short
    assert record.problem == ""
    assert [entry["date"] for entry in read(folder)] == DATES[:4]
    append(folder, {"date": "2020-01-09"})
    assert [entry["date"] for entry in read(folder)] == [*DATES[:4], "2020-01-09"]
    assert lines_of(folder)[:4] == whole


def test_a_last_line_without_its_end_is_whole(folder: Path) -> None:
    lines = lines_of(folder)
    put(folder, [*lines[:4], lines[4].rstrip(b"\n")])
    assert len(read(folder)) == 5
    append(folder, {"date": "2020-01-09"})
    assert lines_of(folder)[:5] == lines
    assert len(read(folder)) == 6


def test_line_ends_of_another_system_change_nothing(folder: Path) -> None:
    put(folder, [line.replace(b"\n", b"\r\n") for line in lines_of(folder)])
    assert len(read(folder)) == 5
    append(folder, {"date": "2020-01-09"})
    assert len(read(folder)) == 6


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ({"date": "2020-01-08"}, "of a bar after 2020-01-08, the last one in .*never said again"),
        ({"date": "2020-01-07 23:00"}, "of a bar after 2020-01-08"),
        ({}, "must have the date of its bar, such as 2020-01-31 .*got None"),
        ({"date": "tomorrow-ish"}, "must have the date of its bar"),
        ({"date": "2020-01-09T00:00:00Z"}, "must have the date of its bar"),
        ({"date": "2020-01-09", "n": 3}, "must not have n, which are written anyway"),
    ],
)
def test_what_cannot_be_added(folder: Path, entry: dict[str, Any], reason: str) -> None:
    before = (folder / "forward.jsonl").read_bytes()
    with pytest.raises(DataError, match=reason):
        append(folder, entry)
    assert (folder / "forward.jsonl").read_bytes() == before


def test_bars_within_a_day(tmp_path: Path) -> None:
    folder = new_folder(tmp_path)
    for hour in (9, 10, 11):
        append(folder, {"date": f"2020-01-02 {hour:02d}:30:00"})
    assert [entry["date"][-8:] for entry in read(folder)] == ["09:30:00", "10:30:00", "11:30:00"]


def test_bars_without_an_entry(folder: Path) -> None:
    entries = read(folder)
    days = pd.bdate_range("2019-12-30", "2020-01-10").to_numpy()
    assert find_gaps(entries, days) == [
        "after line 5: the bar of 2020-01-09 has no entry",
        "after line 5: the bar of 2020-01-10 has no entry",
    ]
    assert find_gaps([entries[0], *entries[2:]], days[:8]) == [
        "after line 1: the bar of 2020-01-03 has no entry"
    ]
    assert find_gaps([], days) == []


def test_several_writers_take_turns(tmp_path: Path) -> None:
    folder = new_folder(tmp_path)
    refused: list[DataError] = []

    def write(date: str) -> None:
        try:
            append(folder, {"date": date})
        except DataError as error:
            refused.append(error)

    threads = [threading.Thread(target=write, args=(date,)) for date in DATES * 4]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    entries = read(folder)
    assert len(entries) + len(refused) == 20
    assert len({entry["date"] for entry in entries}) == len(entries)


def test_another_process_goes_on(folder: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from finrl_ray.deployment.forward_record import "
        "append; append(Path(sys.argv[1]), {'date': '2020-02-03'})"
    )
    subprocess.run([sys.executable, "-c", script, str(folder)], check=True)
    assert read(folder)[-1]["date"] == "2020-02-03"


def test_a_record_that_is_no_file(folder: Path) -> None:
    (folder / "forward.jsonl").unlink()
    (folder / "forward.jsonl").mkdir()
    with pytest.raises(SearchError, match="it must be a file, but it is a folder"):
        read(folder)
