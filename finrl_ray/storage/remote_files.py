"""Files in an object store as Python's file objects, which survive broken connections."""

import io
import tempfile
from collections.abc import Callable
from typing import Any, TypeAlias

import pyarrow.fs as pafs

_IN_MEMORY_BYTES = 1 << 26
_BLOCK_BYTES = 1 << 24

Request: TypeAlias = Callable[[Callable[[Any], Any]], Any]
"""Makes a request of a file system, and repeats it while the store is away."""


class RemoteReader(io.RawIOBase):
    """A file in a store for reading, opened again where a connection broke.

    Parameters
    ----------
    request : makes a request of the file system, and repeats it while the store is away
    path : of the file
    """

    def __init__(self, request: Request, path: str) -> None:
        self._request = request
        self._path = path
        self._position = 0
        self._file = request(lambda fs: fs.open_input_file(path))
        self._size = int(self._file.size())

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def tell(self) -> int:
        """Return the position in bytes."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to a position, and return it."""
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = start + offset
        return self._position

    def read(self, size: int | None = -1) -> bytes:
        """Return up to `size` bytes; all that are left for -1."""
        left = self._size - self._position
        count = left if size is None or size < 0 else min(size, left)
        content: bytes = self._request(lambda fs: self._read_at(fs, count)) if count > 0 else b""
        self._position += len(content)
        return content

    def _read_at(self, fs: pafs.FileSystem, count: int) -> bytes:
        if self._file is None:
            self._file = fs.open_input_file(self._path)
        try:
            return bytes(self._file.read_at(count, self._position))
        except OSError:
            self._file = None
            raise

    def close(self) -> None:
        """Close the file in the store."""
        if self._file is not None:
            self._file.close()
            self._file = None
        super().close()


class RemoteWriter(io.RawIOBase):
    """A file for writing, collected here and sent to the store when it is closed.

    Parameters
    ----------
    request : makes a request of the file system, and repeats it while the store is away
    path : of the file
    metadata : that the store keeps with it
    """

    def __init__(self, request: Request, path: str, metadata: Any) -> None:
        self._request = request
        self._path = path
        self._metadata = metadata
        self._content = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY_BYTES)  # noqa: SIM115  # until close

    def writable(self) -> bool:
        """Return True."""
        return True

    def write(self, content: Any) -> int:
        """Collect bytes."""
        return self._content.write(content)

    def close(self) -> None:
        """Send the file."""
        if self.closed:
            return
        try:
            self._request(self._send)
        finally:
            self._content.close()
            super().close()

    def _send(self, fs: pafs.FileSystem) -> None:
        self._content.seek(0)
        with fs.open_output_stream(self._path, metadata=self._metadata) as out:
            while block := self._content.read(_BLOCK_BYTES):
                out.write(block)
