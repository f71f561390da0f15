"""Telling files that this user has written from files of somebody else.

Some state can only be kept as pickles, and a pickle runs code when it is read. What this package
writes of that kind carries a signature with a key that lies outside of any search's folder: one's
own files are known again wherever they are moved to, and what anybody else has written, or has
changed, is not.
"""

import contextlib
import hashlib
import hmac
import logging
import os
import secrets
import tempfile
from functools import cache
from pathlib import Path

from finrl_ray.files.ownership import Ownership, file_ownership, folder_ownership

logger = logging.getLogger(__name__)

KEY_FILE = "owner.key"
_FOLDER = "finrl_ray"
_LENGTH = 32


def signature(digest: str) -> str:
    """Return this user's signature of the SHA-256 of a content; empty without a key.

    Parameters
    ----------
    digest : in hexadecimal digits; other text before it tells kinds of files apart
    """
    key = _key()
    return _sign(key, digest) if key else ""


def is_own(digest: str, signed: str) -> bool:
    """Return whether this user has signed the SHA-256 of a content."""
    key = _key()
    return bool(key) and hmac.compare_digest(_sign(key, digest).encode(), signed.encode())


def key_file() -> Path:
    """Return where the key is kept.

    `$XDG_DATA_HOME/finrl_ray/owner.key`, by default in `~/.local/share`; on Windows in
    `%LOCALAPPDATA%`.
    """
    own = os.environ.get("LOCALAPPDATA") if os.name == "nt" else os.environ.get("XDG_DATA_HOME")
    with contextlib.suppress(RuntimeError):  # there may be no home
        return Path(own or "~/.local/share").expanduser() / _FOLDER / KEY_FILE
    return _temporary_file()


def _temporary_file() -> Path:
    # for a home that cannot be written to, as in some containers
    user = os.getuid() if hasattr(os, "getuid") else "user"
    return Path(tempfile.gettempdir()) / f"{_FOLDER}-{user}" / KEY_FILE


def _sign(key: bytes, digest: str) -> str:
    return hmac.new(key, digest.encode(), hashlib.sha256).hexdigest()


def _key() -> bytes:
    for place in (key_file, _temporary_file):
        found = _read_or_make(place())
        if found:
            return found
    return b""


@cache
def _read_or_make(path: Path) -> bytes:
    """Return the key in a file, which is made if it is missing; empty if that cannot be."""
    try:
        if not path.exists():
            _make(path)
        return _read(path)
    except OSError as error:
        logger.debug("no key in %s: %s", path, error)
        return b""


def _make(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    temporary = path.with_name(f".{KEY_FILE}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.write(descriptor, secrets.token_bytes(_LENGTH))
    finally:
        os.close(descriptor)
    try:
        with contextlib.suppress(FileExistsError):  # another process was first
            os.link(temporary, path)
    except OSError:  # not every file system has links
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _read(path: Path) -> bytes:
    """Return the key, if nobody else can have put it there or read it."""
    for place, private_enough in (
        (path, file_ownership(path) is Ownership.PRIVATE),
        (path.parent, folder_ownership(path.parent) >= Ownership.OTHERS_READ),
    ):
        if not private_enough:
            logger.warning(
                "%s belongs to another user, or others may change or read it; it is not used, "
                "and searches are resumed with --trust",
                place,
            )
            return b""
    content = path.read_bytes()
    return content if len(content) == _LENGTH else b""
