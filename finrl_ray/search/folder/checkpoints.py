"""`CheckpointStorage`: where a search's checkpoints are, on a disk or in an object store."""

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow.fs as pafs
from ray import tune

from finrl_ray.files.contained_path import checked_relative_path, path_inside
from finrl_ray.search.folder.names import RAY_FOLDER
from finrl_ray.storage.object_store import DRIVER_PATIENCE_S, open_store, read_file

_CHECKPOINT = re.compile(r"checkpoint_\d{6}")


class CheckpointStorage:
    """The checkpoints of one search, by paths relative to its folder.

    Parameters
    ----------
    folder : the search's folder
    url : folder of the same name in an object store, such as `s3://bucket/runs/x`; empty: the
        checkpoints are in `folder`
    """

    def __init__(self, folder: Path, url: str = "") -> None:
        self.folder = folder
        self.url = url
        self.root = str(folder)
        self.filesystem: pafs.FileSystem = pafs.LocalFileSystem()
        if url:
            self.filesystem, self.root = open_store(url, here_s=DRIVER_PATIENCE_S)

    @property
    def is_local(self) -> bool:
        """Whether checkpoints are files of this machine, or of a disk that it has mounted."""
        return not self.url

    def __getstate__(self) -> dict[str, object]:
        return {"folder": self.folder, "url": self.url}

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__init__(**state)  # type: ignore[misc]

    def absolute(self, path: str) -> str:
        """Return the path on the file system, of either path.

        Raises
        ------
        SearchError
            If it leads out of the search's folder: the journal was changed by hand.
        """
        name = path.removeprefix(f"{self.root}/")
        if self.is_local:
            return str(path_inside(self.folder, name, self._source))
        return f"{self.root}/{checked_relative_path(name, self._source)}"

    @property
    def _source(self) -> str:
        return f"the journal of {self.folder}"

    def relative(self, path: str) -> str:
        """Return the path in the search's folder, or `path` itself where it is elsewhere."""
        return path.removeprefix(f"{self.root}/")

    def checkpoint(self, path: str) -> tune.Checkpoint:
        """Return Ray's handle of a checkpoint, by either path."""
        return tune.Checkpoint(self.absolute(path), self.filesystem)

    def moved_checkpoint(self, path: str) -> tune.Checkpoint:
        """Return Ray's handle of a checkpoint by the path it had where the search lay before."""
        before, mark, inside = path.rpartition(f"/{RAY_FOLDER}/")
        return self.checkpoint(f"{RAY_FOLDER}/{inside}" if mark and before else path)

    def exists(self, path: str) -> bool:
        """Return whether there is a folder at a path."""
        (info,) = self.filesystem.get_file_info([self.absolute(path)])
        return bool(info.type == pafs.FileType.Directory)

    def checkpoints(self, trial_path: str) -> list[str]:
        """Return the names of a trial's checkpoints, whole or not, oldest first."""
        paths = checkpoint_folders(self.filesystem, self.absolute(trial_path))
        return [path.rpartition("/")[2] for path in paths]

    def sizes(self) -> dict[str, int]:
        """Return the bytes of every checkpoint there is, by its path in the search's folder."""
        top = pafs.FileSelector(self.absolute(RAY_FOLDER), recursive=True, allow_not_found=True)
        found: dict[str, int] = {}
        for info in self.filesystem.get_file_info(top):
            folder, _, _ = self.relative(info.path).rpartition("/")
            if info.is_file and _CHECKPOINT.fullmatch(folder.rpartition("/")[2]):
                found[folder] = found.get(folder, 0) + info.size
        return found

    def read(self, path: str, name: str) -> bytes | None:
        """Return the content of one file of a checkpoint; None if it is not there."""
        return read_file(self.filesystem, f"{self.absolute(path)}/{name}")

    def delete(self, path: str) -> None:
        """Delete a checkpoint if it is there."""
        if self.is_local:
            shutil.rmtree(self.absolute(path), ignore_errors=True)
        elif self.exists(path):
            self.filesystem.delete_dir(self.absolute(path))

    @contextmanager
    def on_disk(self, path: str) -> Iterator[Path]:
        """Give a folder on this machine that holds a checkpoint while the block runs."""
        with self.checkpoint(path).as_directory() as folder:
            yield Path(folder)


def checkpoint_folders(filesystem: pafs.FileSystem, trial_folder: str) -> list[str]:
    """Return the paths of a trial's checkpoints, whole or not, oldest first."""
    # a store lists the folders in a folder only where they were made by name; files it always lists
    selector = pafs.FileSelector(trial_folder, recursive=True, allow_not_found=True)
    paths = set()
    for info in filesystem.get_file_info(selector):
        name = info.path[len(trial_folder) :].strip("/").partition("/")[0]
        if _CHECKPOINT.fullmatch(name):
            paths.add(f"{trial_folder}/{name}")
    return sorted(paths)
