"""`CheckpointStorage`: where a search's checkpoints are, on a disk or in an object store."""

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow.fs as pafs
from ray import tune

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
            self.filesystem, self.root = pafs.FileSystem.from_uri(url)

    @property
    def is_local(self) -> bool:
        """Whether checkpoints are files of this machine, or of a disk that it has mounted."""
        return not self.url

    def __getstate__(self) -> dict[str, object]:
        # a pyarrow file system pickles its credentials
        return {"folder": self.folder, "url": self.url}

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__init__(state["folder"], state["url"])  # type: ignore[misc]

    def absolute(self, relative: str) -> str:
        """Return the path on the file system."""
        return relative if relative.startswith("/") else f"{self.root}/{relative}"

    def relative(self, path: str) -> str:
        """Return the path in the search's folder, or `path` itself where it is elsewhere."""
        return path.removeprefix(f"{self.root}/")

    def checkpoint(self, path: str) -> tune.Checkpoint:
        """Return Ray's handle of a checkpoint, by either path."""
        return tune.Checkpoint(self.absolute(self.relative(path)), self.filesystem)

    def exists(self, path: str) -> bool:
        """Return whether there is a folder at a path."""
        (info,) = self.filesystem.get_file_info([self.absolute(path)])
        return bool(info.type == pafs.FileType.Directory)

    def checkpoints(self, trial_path: str) -> list[str]:
        """Return the names of a trial's checkpoints, whole or not, oldest first."""
        selector = pafs.FileSelector(self.absolute(trial_path), allow_not_found=True)
        infos = self.filesystem.get_file_info(selector)
        return sorted(i.base_name for i in infos if _CHECKPOINT.fullmatch(i.base_name))

    def size(self, path: str) -> int:
        """Return the bytes of a checkpoint; 0 if it is gone."""
        selector = pafs.FileSelector(self.absolute(path), recursive=True, allow_not_found=True)
        infos = self.filesystem.get_file_info(selector)
        return sum(info.size for info in infos if info.type == pafs.FileType.File)

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
