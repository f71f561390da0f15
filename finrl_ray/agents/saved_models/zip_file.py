"""The zip file that SB3 writes of a model: found, read whole, and rid of its pickles."""

import io
import json
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from finrl_ray.agents.saved_models.inert_pickle import RefusedError
from finrl_ray.errors import ConfigError

DESCRIPTION_MEMBER = "finrl_ray.json"
LARGEST_JSON = 64 << 20
LARGEST_RATIO = 100
"""Largest size of a zip file's content as a multiple of its size on disk; SB3 does not compress."""
_ZIP_ERRORS = (OSError, zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, KeyError)


def model_file(path: str | Path, what: str = "a model") -> Path:
    """Return the file that is meant by a path, which may lack `.zip` as in SB3.

    Parameters
    ----------
    path : as given by the user
    what : should be in it, for messages

    Raises
    ------
    ConfigError
        If there is none.
    """
    path = Path(path)
    with_suffix = path.with_name(path.name + ".zip")
    if path.is_file():
        return path
    if path.suffix != ".zip" and with_suffix.is_file():
        return with_suffix
    if path.is_dir():
        inside = sorted(file.name for file in path.glob("*.zip"))
        hint = f"; in it are {', '.join(inside[:5])}" if inside else ""
        raise ConfigError(
            f"{path} cannot be loaded as {what}: it is a folder; give the model's zip file{hint}"
        )
    beside = "" if path.suffix == ".zip" else f", and no {with_suffix.name} beside it"
    raise ConfigError(f"{path} cannot be loaded as {what}: there is no such file{beside}")


def read_bytes(file: Path) -> bytes:
    """Return the content of a file.

    Raises
    ------
    RefusedError
        If it cannot be read.
    """
    try:
        return file.read_bytes()
    except OSError as error:
        raise RefusedError(f"it cannot be read ({error.strerror or error})") from error


def read_members(content: bytes) -> dict[str, bytes]:
    """Return the contents of a zip file of SB3 by name.

    Raises
    ------
    RefusedError
        If it is no whole model of SB3.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            sizes = {info.filename: info.file_size for info in archive.infolist()}
            if sum(sizes.values()) > LARGEST_RATIO * len(content) + LARGEST_JSON:
                raise RefusedError(
                    f"it has {len(content)} bytes and would unpack to {sum(sizes.values())}; no "
                    "saved model is packed like that"
                )
            members = {name: archive.read(name) for name in sizes}
    except _ZIP_ERRORS as error:
        what = f"of {len(content)} bytes it" if content else "it is empty, and"
        raise RefusedError(
            f"{what} is not a whole zip file of SB3, which `model.save` writes ({error})"
        ) from error
    missing = [name for name in ("data", "policy.pth") if name not in members]
    if missing:
        raise RefusedError(
            f"it is not a whole model of SB3, as it has no {' and no '.join(missing)}, but "
            f"{', '.join(sorted(members)[:8]) or 'nothing'}"
        )
    return members


def has_description(members: Mapping[str, bytes]) -> bool:
    """Return whether a model's zip file was written by `save_model`."""
    return DESCRIPTION_MEMBER in members


def without_pickles(members: Mapping[str, bytes], data: Mapping[str, Any]) -> bytes:
    """Return a zip file from which SB3 takes names and the networks' numbers alone."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        # each name is replaced by what was read: SB3 unpickles nothing
        archive.writestr("data", json.dumps(dict.fromkeys(data)))
        for name, content in members.items():
            if name.endswith(".pth"):
                archive.writestr(name, content)
    return buffer.getvalue()
