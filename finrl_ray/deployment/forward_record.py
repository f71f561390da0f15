"""The forward record: what an agent said after each bar, one line each, chained by hashes.

A line of `forward.jsonl` is a JSON object with its number `n`, the `date` of the bar, when it was
`written`, what it says, the SHA-256 of the line before (`previous`) and its own (`sha256`): that
of the object without it, with sorted keys and no spaces. The first line follows the agent: its
`previous` is the SHA-256 of the agent's manifest, so that a record cannot be put beside another
agent. A line that was edited, removed, added or moved does not fit its neighbours.

What a chain of hashes cannot show: that all lines from one on were written anew, or the last ones
removed, by somebody who may write in the folder. The hash of the last line (`head`) stands for the
whole record: once it is published, or sent to somebody, that too is found (`find_head`). Removed
last lines are missed as well where their bars were kept (`find_gaps`). When a line was written is
what the clock of the computer said.
"""

import contextlib
import hashlib
import json
import logging
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pandas as pd
from filelock import FileLock, Timeout

from finrl_ray.data.labels import date_label
from finrl_ray.deployment.agent_folder import RECORD_FILE
from finrl_ray.errors import DataError, SearchError, shortened
from finrl_ray.files.bounded_reading import MB, parse_json, require_regular
from finrl_ray.files.disk_full import disk_full_error, is_disk_full
from finrl_ray.files.manifest import MANIFEST_FILE, fingerprint
from finrl_ray.support.text import counted
from finrl_ray.support.values import to_json

logger = logging.getLogger(__name__)

LOCK_FILE = ".forward.lock"
RECORD_BYTES = 1 << 30
LINE_BYTES = 16 * MB
_PATIENCE_S = 30.0
_WRITTEN_HERE = frozenset({"n", "written", "previous", "sha256"})

Entry = dict[str, Any]


class _Held(threading.local):
    """Folders that this thread is the sole writer of."""

    def __init__(self) -> None:
        self.folders: set[Path] = set()


_held = _Held()


@dataclass(frozen=True, kw_only=True, slots=True)
class Record:
    """What a forward record holds, as far as it is whole.

    Parameters
    ----------
    entries : the lines that fit each other, up to the first that does not
    problem : what is wrong with the first line that does not fit, with its number; empty if all do
    cut_short : that the last line ends in its middle, and what that means; empty if it does not
    head : SHA-256 of the last of the entries; of the agent's manifest where there is none
    size : bytes of the lines of the entries
    """

    entries: tuple[Entry, ...]
    problem: str
    cut_short: str
    head: str
    size: int


def read_record(folder: Path) -> Record:
    """Return the forward record of an agent's folder, whatever is wrong with it.

    Raises
    ------
    SearchError
        If the folder has no manifest, or the file cannot be read at all.
    """
    head, size, problem, cut_short = _manifest_hash(folder), 0, "", ""
    entries: list[Entry] = []
    for number, line in enumerate(_lines(folder / RECORD_FILE), start=1):
        entry, why = _checked(line, number, head, entries[-1] if entries else None)
        if why and not line.endswith(b"\n"):
            cut_short = _cut_short(number)
        elif why:
            problem = f"line {number} of {folder / RECORD_FILE}: {why}"
        if why:
            break
        entries.append(entry)
        head, size = entry["sha256"], size + len(line)
    return Record(
        entries=tuple(entries), problem=problem, cut_short=cut_short, head=head, size=size
    )


def read(folder: Path) -> list[Entry]:
    """Return the entries of an agent's forward record, in order.

    A last line that ends in its middle is left out: it is what a process that was killed leaves.

    Raises
    ------
    SearchError
        If a line was changed, removed, added or moved, with its number and the reason.
    """
    return list(_whole(folder).entries)


def append(folder: Path, entry: Mapping[str, Any]) -> Entry:
    """Add a line to an agent's forward record, on the disk when this returns.

    Parameters
    ----------
    folder : of the agent
    entry : plain values with the `date` of the bar; numpy's numbers and arrays are written as
        lists, NaN as null

    Returns
    -------
    dict
        The entry as it was written, with its number, time and hashes.

    Raises
    ------
    DataError
        If there is no date, it is not after that of the last entry, or names are taken.
    SearchError
        If the record does not fit the agent or itself, another process writes it, or it cannot be
        written; it is then as it was.
    """
    date = date_of(entry)
    taken = sorted(_WRITTEN_HERE & set(entry))
    if taken:
        raise DataError(f"an entry must not have {', '.join(taken)}, which are written anyway")
    with sole_writer(folder):
        record = _whole(folder)
        last = record.entries[-1] if record.entries else None
        if last is not None and date <= date_of(last):
            raise DataError(
                f"an entry must be of a bar after {last['date']}, the last one in "
                f"{folder / RECORD_FILE}, got one of {entry['date']}; what was said of a bar is "
                "never said again"
            )
        content: Entry = to_json(entry, _plain)
        content["date"] = date_label(date)
        content["n"] = len(record.entries) + 1
        content["written"] = datetime.now(timezone.utc).isoformat(timespec="seconds")
        content["previous"] = record.head
        content["sha256"] = _digest(content)
        if record.cut_short:
            logger.warning(record.cut_short)
        _write(folder / RECORD_FILE, _line_of(content) + b"\n", record.size)
    return content


def find_gaps(entries: Sequence[Entry], dates: Sequence[np.datetime64]) -> list[str]:
    """Return which bars have no entry, each with the line after which it would stand.

    Parameters
    ----------
    entries : of `read`
    dates : of the bars that are known, in order; those before the first entry do not count
    """
    if not entries:
        return []
    said = {date_of(entry): entry["n"] for entry in entries}
    first, found, line = date_of(entries[0]), [], 0
    for date in (pd.Timestamp(one).as_unit("ns").to_datetime64() for one in dates):
        if date in said:
            line = said[date]
        elif date > first:
            found.append(f"after line {line}: the bar of {date_label(date)} has no entry")
    return found


def find_head(entries: Sequence[Entry], head: str) -> int | None:
    """Return the number of the entry that a published hash is of; None if there is none.

    Up to that entry the record is the one that was published.
    """
    wanted = head.strip().lower()
    return next((entry["n"] for entry in entries if entry["sha256"] == wanted), None)


def _whole(folder: Path) -> Record:
    record = read_record(folder)
    if record.problem:
        raise SearchError(
            f"{record.problem}. The record is not what was written; put back a copy of it, or "
            f"move it away, with which the record of {folder} begins anew"
        )
    return record


def _checked(line: bytes, number: int, previous: str, before: Entry | None) -> tuple[Entry, str]:
    """Return the entry of a line, and why it does not fit the one before; empty if it does."""
    try:
        entry = parse_json(line)
    except ValueError:
        return {}, "it is not JSON: it was edited, or damaged"
    if not isinstance(entry, dict) or not isinstance(entry.get("sha256"), str):
        return {}, "it is no entry: it has no sha256"
    # every byte counts, also those that JSON reads over
    if entry["sha256"] != _digest(entry) or line.rstrip(b"\r\n") != _line_of(entry):
        return {}, "its content does not match its sha256: it was edited"
    if entry.get("previous") != previous:
        if before is None:
            return {}, (
                "it does not follow this agent's manifest: it is the record of another agent, or "
                "lines before it were removed"
            )
        return {}, (
            f"it does not follow line {number - 1}: a line was removed, added, moved or written "
            "anew"
        )
    if entry.get("n") != number:
        return {}, f"its number is {shortened(entry.get('n'))} instead of {number}"
    try:
        later = before is None or date_of(entry) > date_of(before)
    except DataError as error:
        return {}, str(error)
    if not later:
        return {}, f"its bar, {entry['date']}, is not after that of the line before"
    return entry, ""


def _cut_short(number: int) -> str:
    return (
        f"line {number} ends in its middle and is left out: a process was ended while it wrote, or "
        "the end was cut off; the lines before it are whole"
    )


def _lines(path: Path) -> Iterator[bytes]:
    try:
        require_regular(path, RECORD_BYTES)
        with path.open("rb") as file:
            while line := file.readline(LINE_BYTES + 1):
                if len(line) > LINE_BYTES:
                    raise SearchError(
                        f"{path} has a line of more than {LINE_BYTES:,} bytes: it is no forward "
                        "record, or is damaged; put back a copy of it"
                    )
                yield line
    except FileNotFoundError:
        return
    except OSError as error:
        raise SearchError(f"{path} cannot be read: {error}") from error


def _write(path: Path, line: bytes, after: int) -> None:
    """Write a line after the first bytes of a file, and have it on the disk."""
    begun = not path.exists()
    try:
        with path.open("a+b", buffering=0) as file:
            file.truncate(after)
            if after and _last_byte(file, after) != b"\n":
                line = b"\n" + line
            try:
                left = memoryview(line)
                while left:
                    left = left[file.write(left) :]
                os.fsync(file.fileno())
            except OSError:
                # half a line would be taken for that of a killed process
                with contextlib.suppress(OSError):
                    file.truncate(after)
                raise
        if begun:
            _flush_folder(path.parent)
    except OSError as error:
        if is_disk_full(error):
            remedy = "Make room, then ask again"
            raise disk_full_error(str(path), error, [path.parent], remedy) from error
        raise SearchError(f"{path} cannot be written: {error.strerror or error}") from error


def _last_byte(file: BinaryIO, size: int) -> bytes:
    file.seek(size - 1)
    return file.read(1)


def _flush_folder(folder: Path) -> None:
    if os.name == "nt":  # Windows cannot open a folder
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def sole_writer(folder: Path, agent: str | None = None) -> Iterator[None]:
    """Keep others from writing what grows in an agent's folder, and from putting another in place.

    What holds it may ask for it again.

    Parameters
    ----------
    folder : of the agent
    agent : SHA-256 of the manifest of the agent that what is written belongs to; None: whichever is
        there

    Raises
    ------
    SearchError
        If another agent is there meanwhile, another process writes, or nothing can be written.
    """
    place = folder.absolute()
    _require_agent(folder, agent)  # where there is none no file is made
    if place in _held.folders:
        yield
        return
    with _locked(folder):
        # it may have waited while the agent was replaced
        _require_agent(folder, agent)
        _held.folders.add(place)
        try:
            yield
        finally:
            _held.folders.remove(place)


def _require_agent(folder: Path, agent: str | None) -> None:
    if agent is None:
        return
    found = _manifest_hash(folder)
    if found != agent:
        raise SearchError(
            f"the agent in {folder} was replaced meanwhile: its manifest must have the SHA-256 "
            f"{agent}, as when it was loaded, got {found}; nothing is written, ask again"
        )


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    lock = FileLock(folder / LOCK_FILE, timeout=_PATIENCE_S, fallback_to_soft=False)
    try:
        lock.acquire()
    except Timeout:
        raise SearchError(
            f"another process has been writing the forward record of {folder} for "
            f"{counted(int(_PATIENCE_S), 'second')}; ask again when it has ended"
        ) from None
    except OSError as error:
        if not os.access(folder, os.W_OK):
            raise SearchError(
                f"{folder} must be writable to keep a forward record: {error.strerror or error}"
            ) from error
        logger.warning(
            "the storage of %s has no file locks (%s): take care that no other process writes the "
            "same forward record",
            folder,
            error.strerror or error,
        )
        yield
        return
    try:
        yield
    finally:
        lock.release()


def date_of(entry: Mapping[str, Any]) -> np.datetime64:
    """Return the date of the bar that an entry is of.

    Raises
    ------
    DataError
        If it has none.
    """
    given = entry.get("date")
    try:
        if not isinstance(given, str):
            raise ValueError
        instant = pd.Timestamp(given)
        if pd.isna(instant) or instant.tzinfo is not None:
            raise ValueError
        return instant.as_unit("ns").to_datetime64()
    except (ValueError, OverflowError) as error:
        raise DataError(
            "an entry must have the date of its bar, such as 2020-01-31 or 2020-01-31 15:30:00, "
            f"got {shortened(given)}"
        ) from error


def _manifest_hash(folder: Path) -> str:
    try:
        return str(fingerprint(folder / MANIFEST_FILE)["sha256"])
    except OSError as error:
        raise SearchError(
            f"{folder} is no agent's folder: {MANIFEST_FILE} cannot be read "
            f"({error.strerror or error}); `finrl-ray deploy SEARCH` writes one"
        ) from error


def _digest(entry: Mapping[str, Any]) -> str:
    content = {name: value for name, value in entry.items() if name != "sha256"}
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _line_of(entry: Mapping[str, Any]) -> bytes:
    return json.dumps(entry).encode()


def _plain(value: Any) -> Any:
    return to_json(value.tolist()) if hasattr(value, "tolist") else str(value)
