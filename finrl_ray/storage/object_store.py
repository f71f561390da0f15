"""Folders in object stores: S3, what speaks its language, and Google's; patient with outages.

Nothing here keeps a credential: they come from the environment, the configuration files or the role
of each machine, and what is pickled is the URL alone.
"""

import contextlib
import datetime
import io
import logging
import secrets
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar
from urllib.parse import parse_qsl, urlsplit

import pyarrow as pa
import pyarrow.fs as pafs

from finrl_ray.errors import ConfigError
from finrl_ray.files.disk_full import is_disk_full
from finrl_ray.storage.url import check_url, is_url, require_no_secret

logger = logging.getLogger(__name__)

PATIENCE_S = 300.0
"""How long a store may be away before a trial gives up."""
DRIVER_PATIENCE_S = 60.0
"""The same of the driver, at which a user may be waiting."""
_FIRST_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 15.0
_CONNECT_S = 5.0
_SILENCE_S = 15.0
_GCS_TRY_S = 20
_IN_MEMORY = 1 << 26
_BLOCK = 1 << 24
# what no patience helps against, in pyarrow's words for S3 and in Google's
_FINAL = (
    "ACCESS_DENIED",
    "NO_SUCH_BUCKET",
    "INVALID_ACCESS_KEY_ID",
    "INVALID_CLIENT_TOKEN_ID",
    "SIGNATURE_DOES_NOT_MATCH",
    "UNRECOGNIZED_CLIENT",
    "MISSING_AUTHENTICATION_TOKEN",
    "HTTP status 403",
    "HTTP status 401",
    "PERMISSION_DENIED",
    "UNAUTHENTICATED",
)
_T = TypeVar("_T")


def is_final(error: OSError) -> bool:
    """Return whether asking again cannot help."""
    if isinstance(error, FileNotFoundError | FileExistsError | PermissionError):
        return True
    return is_disk_full(error) or any(word in str(error) for word in _FINAL)


class Patience:
    """Asks again, with growing pauses, while a store is away.

    The time counts from the first question without an answer to the next answer, over all
    questions: the second one of an outage does not wait as long again.

    Parameters
    ----------
    name : of the store, for the log
    limit_s : how long; 0: every question is asked once
    """

    def __init__(self, name: str, limit_s: float) -> None:
        self.name = name
        self.limit_s = limit_s
        self.away_since: float | None = None
        self._lock = threading.Lock()

    def ask(self, question: Callable[[], _T]) -> _T:
        """Return the answer.

        Raises
        ------
        OSError
            The last one, when the patience is at its end or cannot help.
        """
        pause = _FIRST_PAUSE_S
        while True:
            asked_at = time.monotonic()
            try:
                answer = question()
            except OSError as error:
                if is_final(error):
                    self._note_answer()
                    raise
                left = self._note_outage(asked_at, error) + self.limit_s - time.monotonic()
                if left <= 0:
                    raise
                time.sleep(min(pause, left))
                pause = min(2 * pause, _LONGEST_PAUSE_S)
            else:
                self._note_answer()
                return answer

    def _note_outage(self, asked_at: float, error: OSError) -> float:
        """Return when it began."""
        with self._lock:
            since, self.away_since = (
                self.away_since,
                asked_at if self.away_since is None else self.away_since,
            )
        if since is None and self.limit_s > 0:
            text = "%s does not answer; asking again for up to %g s (%s)"
            logger.warning(text, self.name, self.limit_s, error)
        return asked_at if since is None else since

    def _note_answer(self) -> None:
        with self._lock:
            since, self.away_since = self.away_since, None
        if since is not None and self.limit_s > 0:
            away_s = time.monotonic() - since
            logger.warning("%s answers again, after %.0f s", self.name, away_s)


class StoreFiles(pafs.FileSystemHandler):  # type: ignore[misc]  # not typed
    """A store's file system, opened at the first question, that waits for a store that is away.

    Uploads are collected and sent when they are closed, so that they can be sent again.

    Parameters
    ----------
    url : any URL of the store
    patience_s : how long to wait
    here_s : how long in this process, if it differs; other processes, which get a pickle, wait for
        `patience_s`
    """

    def __init__(self, url: str, patience_s: float, here_s: float | None = None) -> None:
        require_no_secret("the storage URL", url)
        check_url("the storage URL", url)
        self.url = url
        self.patience_s = patience_s
        limit_s = patience_s if here_s is None else here_s
        self._patience = Patience(url.partition("?")[0], limit_s)
        self._inner: pafs.FileSystem | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {"url": self.url, "patience_s": self.patience_s}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, StoreFiles) and self.url == other.url

    def __hash__(self) -> int:
        return hash(self.url)

    def _ask(self, question: Callable[[pafs.FileSystem], _T]) -> _T:
        def asked() -> _T:
            if self._inner is None:
                # S3's region may have to be looked up
                self._inner = _connect(self.url)
            return question(self._inner)

        return self._patience.ask(asked)

    def get_type_name(self) -> str:
        """Return a name for messages."""
        return urlsplit(self.url).scheme

    def normalize_path(self, path: str) -> str:
        """Return the path as it is."""
        return path

    def get_file_info(self, paths: Sequence[str]) -> Any:
        """Return what is at some paths."""
        return self._ask(lambda fs: fs.get_file_info(paths))

    def get_file_info_selector(self, selector: Any) -> Any:
        """Return what is in a folder."""
        return self._ask(lambda fs: fs.get_file_info(selector))

    def create_dir(self, path: str, recursive: bool) -> None:
        """Make a folder."""
        self._ask(lambda fs: fs.create_dir(path, recursive=recursive))

    def delete_dir(self, path: str) -> None:
        """Delete a folder with what is in it."""
        # Google's client misses the entry of the folder itself, which not every folder has
        with contextlib.suppress(FileNotFoundError):
            self._ask(lambda fs: fs.delete_dir(path))

    def delete_dir_contents(self, path: str, missing_dir_ok: bool = False) -> None:
        """Delete what is in a folder."""
        self._ask(lambda fs: fs.delete_dir_contents(path, missing_dir_ok=missing_dir_ok))

    def delete_root_dir_contents(self) -> None:
        """Refuse."""
        raise NotImplementedError("nobody deletes all buckets")

    def delete_file(self, path: str) -> None:
        """Delete a file."""
        self._ask(lambda fs: fs.delete_file(path))

    def move(self, src: str, dest: str) -> None:
        """Move a file."""
        self._ask(lambda fs: fs.move(src, dest))

    def copy_file(self, src: str, dest: str) -> None:
        """Copy a file."""
        self._ask(lambda fs: fs.copy_file(src, dest))

    def open_input_stream(self, path: str) -> Any:
        """Open a file for reading."""
        return self.open_input_file(path)

    def open_input_file(self, path: str) -> Any:
        """Open a file for reading."""
        return pa.PythonFile(_Reader(self._ask, path), mode="r")

    def open_output_stream(self, path: str, metadata: Any) -> Any:
        """Open a file for writing."""
        return pa.PythonFile(_Writer(self._ask, path, metadata), mode="w")

    def open_append_stream(self, path: str, metadata: Any) -> Any:
        """Refuse: object stores cannot append."""
        raise NotImplementedError("an object store cannot append to a file")


Ask = Callable[[Callable[[Any], Any]], Any]


class _Reader(io.RawIOBase):
    """A remote file that is opened again where a connection broke."""

    def __init__(self, ask: Ask, path: str) -> None:
        self._ask = ask
        self._path = path
        self._position = 0
        self._file = ask(lambda fs: fs.open_input_file(path))
        self._size = int(self._file.size())

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = start + offset
        return self._position

    def read(self, size: int | None = -1) -> bytes:
        left = self._size - self._position
        count = left if size is None or size < 0 else min(size, left)
        content: bytes = self._ask(lambda fs: self._read_at(fs, count)) if count > 0 else b""
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
        if self._file is not None:
            self._file.close()
            self._file = None
        super().close()


class _Writer(io.RawIOBase):
    """Collects a file, and sends it when it is closed."""

    def __init__(self, ask: Ask, path: str, metadata: Any) -> None:
        self._ask = ask
        self._path = path
        self._metadata = metadata
        self._content = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115  # until close

    def writable(self) -> bool:
        return True

    def write(self, content: Any) -> int:
        return self._content.write(content)

    def close(self) -> None:
        if self.closed:
            return
        try:
            self._ask(self._send)
        finally:
            self._content.close()
            super().close()

    def _send(self, fs: pafs.FileSystem) -> None:
        self._content.seek(0)
        with fs.open_output_stream(self._path, metadata=self._metadata) as out:
            while block := self._content.read(_BLOCK):
                out.write(block)


def _connect(url: str) -> pafs.FileSystem:
    parts = urlsplit(url)
    options: dict[str, Any] = dict(parse_qsl(parts.query))
    if parts.scheme != "s3":
        # Google's client would try for a quarter of an hour by itself
        limit = int(options.pop("retry_limit_seconds", _GCS_TRY_S))
        return pafs.GcsFileSystem(retry_time_limit=datetime.timedelta(seconds=limit), **options)
    if "endpoint_override" not in options and "region" not in options:
        options["region"] = pafs.resolve_s3_region(parts.netloc)
    if "force_virtual_addressing" in options:
        wanted = options["force_virtual_addressing"]
        options["force_virtual_addressing"] = wanted.lower() in ("true", "1")
    # writes in the background take threads from the pool in which copies wait for them; one request
    # per small file instead of three
    return pafs.S3FileSystem(
        background_writes=False,
        allow_delayed_open=True,
        connect_timeout=_CONNECT_S,
        request_timeout=_SILENCE_S,
        retry_strategy=pafs.AwsStandardS3RetryStrategy(max_attempts=2),
        **options,
    )


def open_store(
    url: str, patience_s: float = PATIENCE_S, here_s: float | None = None
) -> tuple[pafs.FileSystem, str]:
    """Return the file system of a URL and the path of its folder on it; nothing is asked yet."""
    parts = urlsplit(url)
    path = f"{parts.netloc}{parts.path}".rstrip("/")
    return pafs.PyFileSystem(StoreFiles(url, patience_s, here_s)), path


def require_usable(key: str, url: str) -> None:
    """Check that a store is there and can be written to, by a small file that is deleted again.

    Raises
    ------
    ConfigError
        Naming `key`, with what is wrong in plain words.
    """
    if not is_url(url):
        return
    filesystem, root = open_store(url, patience_s=0.0)
    bucket = root.partition("/")[0]
    probe = f"{root}/.finrl_ray_{secrets.token_hex(4)}"
    try:
        (info,) = filesystem.get_file_info([bucket])
        if info.type == pafs.FileType.NotFound:
            raise ConfigError(f"{key}: there is no bucket {bucket!r}; make it, or correct the name")
        with filesystem.open_output_stream(probe) as file:
            file.write(b"can this be written?\n")
        filesystem.delete_file(probe)
    except OSError as error:
        raise ConfigError(f"{key}: {in_words(url, error)}") from error


def in_words(url: str, error: OSError) -> str:
    """Return what an error of a store means for its user."""
    place, text = url.partition("?")[0], str(error)
    if is_disk_full(error):
        return f"{place} has no room, or its quota is spent ({text}); make room there"
    if "NO_SUCH_BUCKET" in text or isinstance(error, FileNotFoundError):
        return f"there is nothing at {place}; make the bucket, or correct the name"
    if is_final(error):
        variables = (
            "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
            if url.startswith("s3://")
            else "GOOGLE_APPLICATION_CREDENTIALS"
        )
        return (
            f"{place} refuses access ({text}); set {variables} in the environment of this machine "
            "and of every node, or give the machines a role that may read, write and delete there"
        )
    return f"{place} does not answer ({text}); check the network and the URL's endpoint"


def read_file(filesystem: pafs.FileSystem, path: str) -> bytes | None:
    """Return the content of a file; None if there is none."""
    with contextlib.suppress(FileNotFoundError), filesystem.open_input_stream(path) as file:
        return bytes(file.readall())
    return None


def write_file(filesystem: pafs.FileSystem, path: str, content: bytes) -> None:
    """Write a file whole."""
    with filesystem.open_output_stream(path) as file:
        file.write(content)
