"""What the searcher and the scheduler know, kept on disk after every event of the journal.

Ray restores no scheduler, and searchers only from snapshots that are seconds old. Here both objects
are pickled whole, with trials and checkpoints as references, before the journal's next events are
appended. A state belongs to the number of the last of those events. Two files take turns, so that
one of them always fits the journal, whenever a driver dies; a third is flushed to the disk now and
then, for a machine that loses power.
"""

import hashlib
import io
import logging
import os
import pickle
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cloudpickle
from ray import tune
from ray.tune.experiment import Trial

logger = logging.getLogger(__name__)

STATE_FOLDER = "state"
TURNS = ("state_a.pkl", "state_b.pkl")
FLUSHED = "state_flushed.pkl"
FLUSH_EVERY_S = 10.0
_MAGIC = b"finrl_ray search state 1\n"

TrialById = Callable[[str], Trial]
CheckpointAt = Callable[[str], tune.Checkpoint]


@dataclass(frozen=True, kw_only=True)
class StoredState:
    """A readable state file.

    Parameters
    ----------
    number : of the journal's last event that the state has seen
    payload : what `dump` returned
    """

    number: int
    payload: bytes


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
        self.folder.mkdir(exist_ok=True)
        content = _framed(number, payload)
        _replace(self.folder / TURNS[self.turn], content, flush=False)
        self.turn = 1 - self.turn
        if time.monotonic() - self.flushed_at > FLUSH_EVERY_S:
            _replace(self.folder / FLUSHED, content, flush=True)
            self.flushed_at = time.monotonic()

    def newest(self, until: int) -> StoredState | None:
        """Return the newest whole state that knows no event after `until`; None without one.

        The file that holds it is the last to be written over.
        """
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

    def ahead_of(self, number: int) -> bool:
        """Return whether the journal, which ends at `number`, lacks events that states have seen.

        One of the two files may be ahead: a driver that died between writing it and the journal.
        """
        states = [state for name in TURNS if (state := self._read(name)) is not None]
        return len(states) == len(TURNS) and all(state.number > number for state in states)

    def _read(self, name: str) -> StoredState | None:
        path = self.folder / name
        try:
            return _unframed(path.read_bytes())
        except FileNotFoundError:
            return None
        except ValueError as error:
            logger.warning("%s is damaged (%s); the state before it is used", path, error)
            return None


def state_number(content: bytes) -> int:
    """Return the number of a state file's content; -1 if it is damaged."""
    try:
        return _unframed(content).number
    except ValueError:
        return -1


def _framed(number: int, payload: bytes) -> bytes:
    head = f"{number} {hashlib.sha256(payload).hexdigest()}\n".encode()
    return _MAGIC + head + payload


def _unframed(content: bytes) -> StoredState:
    if not content.startswith(_MAGIC):
        raise ValueError("it is cut short, or of another version")
    head, _, payload = content[len(_MAGIC) :].partition(b"\n")
    number, _, digest = head.decode("ascii", errors="replace").partition(" ")
    if hashlib.sha256(payload).hexdigest() != digest:
        raise ValueError("it does not match its checksum")
    return StoredState(number=int(number), payload=payload)


def _replace(path: Path, content: bytes, *, flush: bool) -> None:
    temporary = path.with_suffix(".tmp")
    with temporary.open("wb") as file:
        file.write(content)
        if flush:
            file.flush()
            os.fsync(file.fileno())
    temporary.replace(path)


class _Pickler(cloudpickle.Pickler):  # type: ignore[misc]  # not typed
    """Writes trials and checkpoints as references.

    They live on in the journal and on storage, and a checkpoint's file system may hold secrets.
    """

    def persistent_id(self, obj: Any) -> tuple[str, str] | None:
        if isinstance(obj, Trial):
            return ("trial", obj.trial_id)
        if isinstance(obj, tune.Checkpoint):
            return ("checkpoint", obj.path)
        return None


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: io.BytesIO, trial: TrialById, checkpoint: CheckpointAt) -> None:
        super().__init__(file)
        self._find = {"trial": trial, "checkpoint": checkpoint}

    def persistent_load(self, pid: Any) -> Any:
        kind, name = pid
        return self._find[kind](name)


def dump(value: Any) -> bytes:
    """Return the pickle of a searcher or scheduler, with trials and checkpoints as references."""
    buffer = io.BytesIO()
    _Pickler(buffer).dump(value)
    return buffer.getvalue()


def load(payload: bytes, trial: TrialById, checkpoint: CheckpointAt) -> Any:
    """Undo `dump`.

    Parameters
    ----------
    payload : from a folder that the user trusts; a pickle runs code
    trial : returns the trial of an id
    checkpoint : returns the checkpoint at a path
    """
    return _Unpickler(io.BytesIO(payload), trial, checkpoint).load()


def joined(parts: dict[str, bytes]) -> bytes:
    """Return several pickles as one payload."""
    return pickle.dumps(parts)


def parted(payload: bytes) -> Iterator[tuple[str, bytes]]:
    """Undo `joined`."""
    yield from pickle.loads(payload).items()
