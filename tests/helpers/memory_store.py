"""An object store in memory, in the place of pyarrow's client of one; it can be away."""

import io
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.fs as pafs


class MemoryStore:
    """The files of a store by path, and the questions that it was asked.

    Attributes
    ----------
    failures : questions from now on that are not answered
    error : what they end with
    """

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.failures = 0
        self.error = OSError("AWS Error NETWORK_CONNECTION during GetObject: no route to host")
        self.questions: list[tuple[str, str]] = []

    def _asked(self, kind: str, path: str) -> None:
        self.questions.append((kind, path))
        if self.failures > 0:
            self.failures -= 1
            raise self.error

    def written(self) -> list[str]:
        return [path for kind, path in self.questions if kind == "write"]

    def get_file_info(self, what: Any) -> list[pafs.FileInfo]:
        if isinstance(what, Sequence):
            self._asked("info", what[0])
            return [self._info(path) for path in what]
        self._asked("list", what.base_dir)
        below = [p for p in self.files if p.startswith(f"{what.base_dir}/")]
        names = {p[len(what.base_dir) + 1 :] for p in below}
        if not what.recursive:
            names = {name.partition("/")[0] for name in names}
        return [self._info(f"{what.base_dir}/{name}") for name in sorted(names)]

    def _info(self, path: str) -> pafs.FileInfo:
        if path in self.files:
            return pafs.FileInfo(path, pafs.FileType.File, size=len(self.files[path]))
        folder = "/" not in path or any(name.startswith(f"{path}/") for name in self.files)
        kind = pafs.FileType.Directory if folder else pafs.FileType.NotFound
        return pafs.FileInfo(path, kind)

    def open_input_file(self, path: str) -> "_Input":
        self._asked("open", path)
        if path not in self.files:
            raise FileNotFoundError(path)
        return _Input(self, path)

    def open_output_stream(self, path: str, metadata: Any = None) -> "_Output":
        return _Output(self, path)

    def delete_dir(self, path: str) -> None:
        self._asked("delete", path)
        self.files = {n: c for n, c in self.files.items() if not n.startswith(f"{path}/")}

    def delete_file(self, path: str) -> None:
        self._asked("delete", path)
        del self.files[path]

    def create_dir(self, path: str, *, recursive: bool) -> None:
        self._asked("create", path)


class _Input:
    def __init__(self, store: MemoryStore, path: str) -> None:
        self.store, self.path = store, path

    def size(self) -> int:
        return len(self.store.files[self.path])

    def read_at(self, count: int, offset: int) -> pa.Buffer:
        self.store._asked("read", self.path)
        return self.store.files[self.path][offset : offset + count]

    def close(self) -> None:
        pass


class _Output(io.BytesIO):
    def __init__(self, store: MemoryStore, path: str) -> None:
        super().__init__()
        self.store, self.path = store, path

    def __exit__(self, *_: object) -> None:
        self.store._asked("write", self.path)
        self.store.files[self.path] = self.getvalue()
