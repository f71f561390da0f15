"""The state files: searcher and scheduler, pickled whenever the journal grows.

Ray restores no scheduler, and searchers only from snapshots that are seconds old. Here both objects
are pickled whole, before the journal's next events are appended, with references to what a resumed
search finds elsewhere: trials, checkpoints, what samples are drawn from. A state belongs to the
number of the last of those events. Two files take turns, so that one of them always fits the
journal, whenever the driver dies. A third is flushed to the disk every ten seconds, together with
the journal, in case the machine loses power.
"""

import hashlib
import io
import logging
import os
import pickle
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cloudpickle
from ray import tune
from ray.tune.experiment import Trial

from finrl_ray.errors import SearchError
from finrl_ray.files.bounded_reading import read_limited
from finrl_ray.files.signature import is_own, signature
from finrl_ray.search.sampling.drawn_samples import DrawnSamples

logger = logging.getLogger(__name__)

STATE_FOLDER = "state"
TURNS = ("state_a.pkl", "state_b.pkl")
FLUSHED = "state_flushed.pkl"
FLUSH_EVERY_S = 10.0
STATE_BYTES = 4 << 30
# raised whenever pickled classes move or change, since a pickle names its classes and modules
_FORMAT = 3
_FORMAT_MARK = b"finrl_ray search state "
_MAGIC = _FORMAT_MARK + f"{_FORMAT}\n".encode()

Find = Callable[[Any], Any]


@dataclass(frozen=True, kw_only=True)
class StoredState:
    """A readable state file.

    Parameters
    ----------
    number : of the journal's last event that the state has seen
    payload : what `dump_state` returned
    own : whether this user has written it; what somebody else has written is unpickled only with
        trust
    """

    number: int
    payload: bytes
    own: bool


class StateFiles:
    """The state files of one search's folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / STATE_FOLDER
        self.turn = 0
        self.flushed_at = 0.0

    def write(self, number: int, payload: bytes) -> None:
        """Write a state over the older of the two files.

        Raises
        ------
        OSError
            If it cannot be written; the other file stays.
        """
        path, content = self.folder / TURNS[self.turn], _framed(number, payload)
        try:
            _write_over(path, content)
        except FileNotFoundError:
            self.folder.mkdir(exist_ok=True)
            _write_over(path, content)
        self.turn = 1 - self.turn

    def flush(self, number: int, payload: bytes, journal: Path) -> None:
        """Flush the journal and a state that fits it to the disk, every ten seconds at most.

        Raises
        ------
        OSError
            If they cannot be written; what was flushed before stays.
        """
        if time.monotonic() - self.flushed_at <= FLUSH_EVERY_S:
            return
        with journal.open("rb") as file:
            os.fsync(file.fileno())
        _replace(self.folder / FLUSHED, _framed(number, payload))
        self.flushed_at = time.monotonic()

    def newest(self, until: int) -> StoredState | None:
        """Return the newest whole state that knows no event after `until`; None without one.

        The file that holds it is the last to be written over.

        Raises
        ------
        SearchError
            If the states are of another format, which this version cannot unpickle.
        """
        self._require_this_format()
        best: tuple[StoredState, str] | None = None
        for name in (*TURNS, FLUSHED):
            state = self._read(name)
            if state is None or state.number > until:
                continue
            if best is None or state.number > best[0].number:
                best = (state, name)
        if best is None:
            return None
        self.turn = 1 if best[1] == TURNS[0] else 0
        return best[0]

    def _require_this_format(self) -> None:
        found = {_format_of(self.folder / name) for name in (*TURNS, FLUSHED)} - {None}
        if not found or _FORMAT in found:
            return  # a damaged file has no format; `_read` says so
        (other, *_) = found
        raise SearchError(
            f"the search in {self.folder.parent} is unfinished, and another version of finrl_ray "
            f"began it: what its searcher and scheduler know is kept in format {other}, of which "
            f"this version, whose format is {_FORMAT}, cannot go on. Finish it with the version "
            f"that began it (its experiment.json names the versions): `finrl-ray resume "
            f"{self.folder.parent}` there. What it has reported can be read here (show, ls, "
            "report), and a finished search opens in every command that reads one"
        )

    def drop_ahead(self, number: int) -> None:
        """Delete states that have seen events which the journal, ending at `number`, has not.

        A driver that dies between a state and its events leaves one; events that are written later
        have the same numbers and are others.
        """
        for name in (*TURNS, FLUSHED):
            state = self._read(name)
            if state is not None and state.number > number:
                (self.folder / name).unlink(missing_ok=True)

    def is_newer_than_journal(self, number: int) -> bool:
        """Return whether the journal, which ends at `number`, lacks events that states have seen.

        One of the two files may be ahead: a driver that died between writing it and the journal.
        """
        states = [state for name in TURNS if (state := self._read(name)) is not None]
        return len(states) == len(TURNS) and all(state.number > number for state in states)

    def _read(self, name: str) -> StoredState | None:
        path = self.folder / name
        try:
            return _unframed(read_limited(path, STATE_BYTES))
        except FileNotFoundError:
            return None
        except (SearchError, ValueError) as error:
            logger.warning("%s is damaged (%s); the state before it is used", path, error)
            return None


def state_number(content: bytes) -> int:
    """Return the number of a state file's content; -1 if it is damaged."""
    try:
        return _unframed(content).number
    except ValueError:
        return -1


def _format_of(path: Path) -> int | None:
    """Return the format that a state file says it has; None if it says none or is not there."""
    try:
        with path.open("rb") as file:
            line = file.readline(len(_FORMAT_MARK) + 8)
    except FileNotFoundError:
        return None
    number = line.removeprefix(_FORMAT_MARK).strip()
    return int(number) if line.startswith(_FORMAT_MARK) and number.isdigit() else None


def _framed(number: int, payload: bytes) -> bytes:
    digest = hashlib.sha256(payload).hexdigest()
    head = f"{number} {digest} {signature(_signed(number, digest))}\n".encode()
    return _MAGIC + head + payload


def _signed(number: int, digest: str) -> str:
    return f"search state {number} {digest}"


def _unframed(content: bytes) -> StoredState:
    if not content.startswith(_MAGIC):
        raise ValueError("it is cut short, or of another version")
    head, _, payload = content[len(_MAGIC) :].partition(b"\n")
    # states of earlier versions have no signature
    number, digest, signed = [*head.decode("ascii", errors="replace").split(" "), "", ""][:3]
    if hashlib.sha256(payload).hexdigest() != digest:
        raise ValueError("it does not match its checksum")
    own = is_own(_signed(int(number), digest), signed)
    return StoredState(number=int(number), payload=payload, own=own)


def _write_over(path: Path, content: bytes) -> None:
    # in place: a file that is renamed over another one is flushed by some file systems, which takes
    # a hundred times as long; half a file does not match its checksum, and the other file is there
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o666)
    try:
        left = memoryview(content)
        while left:
            left = left[os.write(descriptor, left) :]
        os.ftruncate(descriptor, len(content))
    finally:
        os.close(descriptor)


def _replace(path: Path, content: bytes) -> None:
    temporary = path.with_suffix(".tmp")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


class _Pickler(cloudpickle.Pickler):  # type: ignore[misc]  # not typed
    """Writes what a resumed search finds elsewhere as references.

    Trials and checkpoints live on in the journal and on storage, and a checkpoint's file system may
    hold secrets; samples are drawn from config and seed, on from where a state says.
    `persistent_id` would do the same, but it is asked about every number and text, which takes most
    of the time.
    """

    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, Trial):
            return _referred, ("trial", obj.trial_id)
        if isinstance(obj, tune.Checkpoint):
            return _referred, ("checkpoint", obj.path)
        if isinstance(obj, DrawnSamples):
            return _referred, ("samples", obj.state())
        return super().reducer_override(obj)


def _referred(kind: str, name: Any) -> Any:
    raise pickle.UnpicklingError(f"{kind} {name} is a reference; use `load_state`")


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: io.BytesIO, find: Mapping[str, Find]) -> None:
        super().__init__(file)
        self._find = find

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == (__name__, _referred.__name__):
            return lambda kind, name: self._find[kind](name)
        return super().find_class(module, name)


def dump_state(value: Any) -> bytes:
    """Return the pickle of a searcher or scheduler, with references in it."""
    buffer = io.BytesIO()
    _Pickler(buffer).dump(value)
    return buffer.getvalue()


def load_state(payload: bytes, find: Mapping[str, Find]) -> Any:
    """Undo `dump_state`.

    Parameters
    ----------
    payload : of a state that is the user's own, or trusted; a pickle runs code
    find : by kind of reference (`trial`, `checkpoint`, `samples`) what returns the object that is
        meant, of a trial's id, a checkpoint's path, the `state` of samples
    """
    return _Unpickler(io.BytesIO(payload), find).load()


def pack_parts(parts: dict[str, bytes]) -> bytes:
    """Return several pickles as one payload."""
    return pickle.dumps(parts)


def unpack_parts(payload: bytes) -> Iterator[tuple[str, bytes]]:
    """Undo `pack_parts`."""
    yield from pickle.loads(payload).items()
