"""Which checkpoint a trial goes on from: the first unreported one, or else the newest undamaged."""

import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pyarrow.fs as pafs
from ray import tune

from finrl_ray.files.manifest import find_damage, flush_folder
from finrl_ray.search.folder.checkpoints import checkpoint_folders
from finrl_ray.training.agent import FRESH_START, StartPoint

logger = logging.getLogger(__name__)


@contextmanager
def trial_start(
    given: tune.Checkpoint | None, own_folder: str, filesystem: pafs.FileSystem
) -> Iterator[StartPoint]:
    """Give where a trial starts, while the block runs.

    A checkpoint in the trial's own folder that is newer than the given one was written by a worker
    that died before its report arrived; the trial goes on from it and reports it. There are several
    where the journal is older than the checkpoints, such as the copy of a search whose machine is
    lost: the trial goes on from the first of them, so that no evaluation is left out. A damaged one
    is passed over for the one before it, never for a later one.

    Parameters
    ----------
    given : what Ray would restore; under PBT it may be another trial's
    own_folder : the trial's folder
    filesystem : of both
    """
    reported = given.path if given is not None else ""
    notes: list[str] = []
    for path in _candidates(reported, own_folder, filesystem):
        with _on_disk(tune.Checkpoint(path, filesystem)) as folder:
            problem = "it is gone" if folder is None else find_damage(folder)
            if not problem:
                unreported = path > reported
                yield StartPoint(
                    checkpoint=folder, must_report=unreported, notes=_note_on(notes, path)
                )
                return
        text = f"{path.rpartition('/')[2]} is damaged: {problem}"
        logger.warning("%s (%s)", text, path)
        if path <= reported:  # an unreported one was being written when its worker died
            notes.append(text)
    yield StartPoint(notes=_note_on(notes, "")) if notes else FRESH_START


def _candidates(reported: str, own_folder: str, filesystem: pafs.FileSystem) -> list[str]:
    """Return the paths of checkpoints that may be gone on from, the best first."""
    folder = reported.rpartition("/")[0] or own_folder
    paths = checkpoint_folders(filesystem, folder)
    earlier = [path for path in reversed(paths) if path <= reported]
    if folder != own_folder:  # a donor's later checkpoints are not ours
        return earlier
    return [path for path in paths if path > reported][:1] + earlier


@contextmanager
def _on_disk(checkpoint: tune.Checkpoint) -> Iterator[Path | None]:
    try:
        with checkpoint.as_directory() as folder:
            yield Path(folder)
    except FileNotFoundError:  # deleted, or lost, since it was listed
        yield None


def _note_on(notes: list[str], path: str) -> str:
    if not notes:
        return ""
    instead = path.rpartition("/")[2] if path else "the start"
    return f"{'; '.join(notes)}; went on from {instead}"


class CheckpointFlusher:
    """Has checkpoints on a local disk survive a loss of power, while training goes on.

    The disk takes as long as some hundred timesteps. One thread flushes in the order of reports.
    """

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="flush")

    def flush(self, path: str, filesystem: pafs.FileSystem) -> None:
        """Flush a checkpoint soon, if it is a folder of this machine or of a mounted disk."""
        if isinstance(filesystem, pafs.LocalFileSystem):
            self._thread.submit(_flush, Path(path))

    def wait(self) -> None:
        """Wait until everything has been flushed; the flusher takes no more."""
        self._thread.shutdown()


def _flush(folder: Path) -> None:
    try:
        flush_folder(folder)
    except FileNotFoundError:
        pass  # nothing was reported, or it has been superseded and deleted since
    except OSError as error:
        # what the disk does not take the next reader finds damaged, and takes the one before it
        logger.warning("%s could not be flushed to the disk: %s", folder, error)
