"""Reading files that others may have written: their kind and size are checked first.

A file of gigabytes, a pipe in place of a file, or JSON of a hundred thousand brackets then ends in
a message, not in a full memory or a wait without an end.
"""

import json
import stat
import zipfile
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from finrl_ray._typing import AnyArray
from finrl_ray.errors import DataError, FinRLRayError, SearchError

MB = 1 << 20
JSON_BYTES = 64 * MB
TABLE_BYTES = 8 << 30
ARRAY_BYTES = 64 << 30
_MEMBERS = 1000
# repeated numbers are packed well, but a table of prices is never packed this far
_PACKED_TIMES = 200
_ALWAYS_FINE = 512 * MB


def require_regular(
    path: Path, limit: int = TABLE_BYTES, error: type[FinRLRayError] = SearchError
) -> Path:
    """Return a path that is a regular file of at most `limit` bytes.

    Parameters
    ----------
    path : links are followed
    limit : bytes
    error : what is raised otherwise

    Raises
    ------
    FileNotFoundError
        If there is nothing.
    FinRLRayError
        Of class `error`: if it is a folder, a pipe or a device, is too large, or may not be read.
    """
    try:
        found = path.stat()
    except FileNotFoundError:
        raise
    except (OSError, ValueError) as problem:
        raise error(f"{path} cannot be read: {problem}") from problem
    if not stat.S_ISREG(found.st_mode):
        kind = "a folder" if stat.S_ISDIR(found.st_mode) else "a pipe, a socket or a device"
        raise error(f"{path} cannot be read: it must be a file, but it is {kind}")
    if found.st_size > limit:
        raise error(
            f"{path} has {found.st_size:,} bytes, and at most {limit:,} are read: it is not what "
            "its name says"
        )
    return path


def read_limited(
    path: Path, limit: int = JSON_BYTES, error: type[FinRLRayError] = SearchError
) -> bytes:
    """Return the content of a regular file of at most `limit` bytes.

    Raises
    ------
    FileNotFoundError
        If there is nothing.
    FinRLRayError
        Of class `error`, as `require_regular` raises it.
    """
    require_regular(path, limit, error)
    try:
        with path.open("rb") as file:
            content = file.read(limit + 1)
    except FileNotFoundError:
        raise
    except OSError as problem:
        raise error(f"{path} cannot be read: {problem}") from problem
    if len(content) > limit:  # it has grown since it was measured
        raise error(f"{path} has more than the {limit:,} bytes that are read")
    return content


def parse_json(content: str | bytes) -> Any:
    """Return the value of a JSON text.

    Raises
    ------
    ValueError
        If it is none, or is nested deeper than anything that is written here.
    """
    try:
        return json.loads(content)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def read_json(path: Path, limit: int = JSON_BYTES) -> Any:
    """Return the value in a JSON file.

    Raises
    ------
    FileNotFoundError
        If there is nothing.
    SearchError
        If it is no regular file, or is too large.
    ValueError
        If it is not JSON.
    """
    return parse_json(read_limited(path, limit))


def check_members(archive: zipfile.ZipFile) -> None:
    """Refuse a zip file that would become far more than anything that is written here.

    Raises
    ------
    ValueError
        With the sizes.
    """
    members = archive.infolist()
    if len(members) > _MEMBERS:
        raise ValueError(f"it has {len(members):,} members, and at most {_MEMBERS:,} are read")
    packed = sum(member.compress_size for member in members)
    whole = sum(member.file_size for member in members)
    if whole > max(_ALWAYS_FINE, _PACKED_TIMES * packed) or whole > ARRAY_BYTES:
        raise ValueError(f"its {packed:,} bytes would unpack to {whole:,}")


def read_member(archive: zipfile.ZipFile, name: str, limit: int = JSON_BYTES) -> bytes:
    """Return a member of a zip file that unpacks to at most `limit` bytes.

    Raises
    ------
    ValueError
        If it is larger.
    KeyError, zipfile.BadZipFile
        If it is missing or damaged.
    """
    size = archive.getinfo(name).file_size
    if size > limit:
        raise ValueError(f"{name} would unpack to {size:,} bytes, and at most {limit:,} are read")
    # no more than the size that it names is unpacked, whatever is packed
    return archive.read(name)


def read_arrays(source: Path | BinaryIO) -> dict[str, AnyArray]:
    """Return the arrays of an .npz file, by name.

    What each array says of its shape is compared with its bytes before there is room made for it.

    Raises
    ------
    FileNotFoundError
        If there is nothing.
    DataError
        If it is no regular file, or it is too large.
    ValueError, OSError, zipfile.BadZipFile
        If it is damaged, holds Python objects, or would unpack to far more than it should.
    """
    if isinstance(source, Path):
        require_regular(source, ARRAY_BYTES, DataError)
    with zipfile.ZipFile(source) as archive:
        check_members(archive)
        for member in archive.infolist():
            _check_header(archive, member)
    if not isinstance(source, Path):
        source.seek(0)
    try:
        with np.load(source, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except MemoryError:
        raise ValueError("there is not enough memory for it") from None
    except EOFError as error:
        raise ValueError(f"it is cut short: {error}") from error


def _check_header(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> None:
    with archive.open(member) as file:
        version = np.lib.format.read_magic(file)
        if version not in ((1, 0), (2, 0)):
            raise ValueError(f"{member.filename} is of version {version}, which is not written")
        first = version == (1, 0)
        read = (np.lib.format.read_array_header_1_0, np.lib.format.read_array_header_2_0)[not first]
        shape, _, dtype = read(file)
        if dtype.hasobject:
            raise ValueError(f"{member.filename} holds Python objects, which are not read")
        count = 1
        for length in shape:
            count *= int(length)
        if count * dtype.itemsize + file.tell() != member.file_size or min(shape, default=0) < 0:
            raise ValueError(f"{member.filename} says that it is of shape {shape}, which it is not")
