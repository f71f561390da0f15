"""Folders in object stores: S3, compatible stores, and Google's; outages are waited for.

Nothing here keeps a credential: they come from the environment, the configuration files or the role
of each machine, and what is pickled is the URL alone.
"""

import contextlib
import datetime
import secrets
from collections.abc import Callable, Sequence
from typing import Any, TypeVar
from urllib.parse import parse_qsl, urlsplit

import pyarrow as pa
import pyarrow.fs as pafs

from finrl_ray.errors import ConfigError
from finrl_ray.files.disk_full import is_disk_full
from finrl_ray.storage.remote_files import RemoteReader, RemoteWriter
from finrl_ray.storage.retries import Retries, is_permanent
from finrl_ray.storage.url import check_url, is_url, require_no_secret

PATIENCE_S = 300.0
"""Seconds that a store may be away before a trial gives up."""
DRIVER_PATIENCE_S = 60.0
"""The same for the driver, for which a user may be waiting."""
_CONNECT_S = 5.0
_SILENCE_S = 15.0
_GCS_TRY_S = 20
_T = TypeVar("_T")


class StoreFiles(pafs.FileSystemHandler):  # type: ignore[misc]  # not typed
    """A store's file system, opened at the first request, that waits for a store that is away.

    Uploads are collected and sent when they are closed, so that they can be sent again.

    Parameters
    ----------
    url : any URL of the store
    patience_s : seconds to wait for a store that is away
    here_s : the same in this process, if it differs; other processes, which get a pickle, wait for
        `patience_s`
    """

    def __init__(self, url: str, patience_s: float, here_s: float | None = None) -> None:
        require_no_secret("the storage URL", url)
        check_url("the storage URL", url)
        self.url = url
        self.patience_s = patience_s
        limit_s = patience_s if here_s is None else here_s
        self._retries = Retries(url.partition("?")[0], limit_s)
        self._inner: pafs.FileSystem | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {"url": self.url, "patience_s": self.patience_s}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, StoreFiles) and self.url == other.url

    def __hash__(self) -> int:
        return hash(self.url)

    def _request(self, call: Callable[[pafs.FileSystem], _T]) -> _T:
        def on_store() -> _T:
            if self._inner is None:
                # S3's region may have to be looked up
                self._inner = _connect(self.url)
            return call(self._inner)

        return self._retries.call(on_store)

    def get_type_name(self) -> str:
        """Return a name for messages."""
        return urlsplit(self.url).scheme

    def normalize_path(self, path: str) -> str:
        """Return the path as it is."""
        return path

    def get_file_info(self, paths: Sequence[str]) -> Any:
        """Return what is at some paths."""
        return self._request(lambda fs: fs.get_file_info(paths))

    def get_file_info_selector(self, selector: Any) -> Any:
        """Return what is in a folder."""
        return self._request(lambda fs: fs.get_file_info(selector))

    def create_dir(self, path: str, recursive: bool) -> None:
        """Make a folder."""
        self._request(lambda fs: fs.create_dir(path, recursive=recursive))

    def delete_dir(self, path: str) -> None:
        """Delete a folder with what is in it."""
        # Google's client misses the entry of the folder itself, which not every folder has
        with contextlib.suppress(FileNotFoundError):
            self._request(lambda fs: fs.delete_dir(path))

    def delete_dir_contents(self, path: str, missing_dir_ok: bool = False) -> None:
        """Delete what is in a folder."""
        self._request(lambda fs: fs.delete_dir_contents(path, missing_dir_ok=missing_dir_ok))

    def delete_root_dir_contents(self) -> None:
        """Refuse."""
        raise NotImplementedError("nobody deletes all buckets")

    def delete_file(self, path: str) -> None:
        """Delete a file."""
        self._request(lambda fs: fs.delete_file(path))

    def move(self, src: str, dest: str) -> None:
        """Move a file."""
        self._request(lambda fs: fs.move(src, dest))

    def copy_file(self, src: str, dest: str) -> None:
        """Copy a file."""
        self._request(lambda fs: fs.copy_file(src, dest))

    def open_input_stream(self, path: str) -> Any:
        """Open a file for reading."""
        return self.open_input_file(path)

    def open_input_file(self, path: str) -> Any:
        """Open a file for reading."""
        return pa.PythonFile(RemoteReader(self._request, path), mode="r")

    def open_output_stream(self, path: str, metadata: Any) -> Any:
        """Open a file for writing."""
        return pa.PythonFile(RemoteWriter(self._request, path, metadata), mode="w")

    def open_append_stream(self, path: str, metadata: Any) -> Any:
        """Refuse: object stores cannot append."""
        raise NotImplementedError("an object store cannot append to a file")


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
    if is_permanent(error):
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
