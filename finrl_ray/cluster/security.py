"""Who may talk to a Ray: its token, who can read the token, and addresses that reach outside.

Ray runs any code that it is sent, so whoever reaches its ports and has its token has the account
that it runs under. This module knows nothing of Ray itself and can be imported without it.
"""

import ipaddress
import logging
import os
import secrets
import socket
from pathlib import Path
from urllib.parse import urlsplit

from finrl_ray.errors import ConfigError
from finrl_ray.files.private_folder import (
    can_be_written,
    existing_private_folder,
    home,
    private_folder,
)

logger = logging.getLogger(__name__)

MODE_VARIABLE = "RAY_AUTH_MODE"
TOKEN_VARIABLE = "RAY_AUTH_TOKEN"
TOKEN_PATH_VARIABLE = "RAY_AUTH_TOKEN_PATH"
_OTHERS = 0o077
_OWNER_ONLY = 0o600


def default_token_path() -> Path | None:
    """Return where Ray looks for a token when no variable names one; None without a home."""
    own = home()
    return own and own / ".ray" / "auth_token"


def _private_token_path() -> Path | None:
    """Return where our token is kept if HOME cannot be written; None where it can, or never was."""
    usual = default_token_path()
    if usual and can_be_written(usual.parent):
        return None
    folder = existing_private_folder()
    return folder and folder / "auth_token"


def read_token() -> str | None:
    """Return the token that Ray would use, in Ray's order of places; None if there is none.

    Raises
    ------
    ConfigError
        If RAY_AUTH_TOKEN_PATH names a file that cannot be read or is empty; Ray would end there.
    """
    token = os.environ.get(TOKEN_VARIABLE, "").strip()
    if token:
        return token
    named = os.environ.get(TOKEN_PATH_VARIABLE)
    if not named:
        return _content(default_token_path()) or _content(_private_token_path()) or None
    path = Path(named).expanduser()
    try:
        token = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"{TOKEN_PATH_VARIABLE} must name a readable file with Ray's token, got {path}: {error}"
        ) from error
    if not token:
        raise ConfigError(f"{TOKEN_PATH_VARIABLE} names {path}, which is empty")
    return token


def _content(path: Path | None) -> str:
    try:
        return path.read_text(encoding="utf-8").strip() if path else ""
    except (OSError, UnicodeDecodeError):
        return ""


def token_place() -> str:
    """Return where the token is kept, in words that hold no part of it."""
    ours = _private_token_path()
    named = os.environ.get(TOKEN_VARIABLE, "").strip()
    if named and named != _content(ours):
        return f"the environment variable {TOKEN_VARIABLE}"
    usual = default_token_path()
    if named or not _content(usual):
        usual = ours or usual
    return os.environ.get(TOKEN_PATH_VARIABLE) or str(usual or "~/.ray/auth_token")


def ensure_token_file() -> None:
    """Make Ray's token file, or close it to others, so that only its owner can read it.

    Ray would make the file itself, readable by everybody on the machine. A file of somebody else
    and one that RAY_AUTH_TOKEN_PATH names are left as they are. Where HOME cannot be written Ray
    gets its token through the environment.
    """
    if any(os.environ.get(name) for name in (TOKEN_VARIABLE, TOKEN_PATH_VARIABLE)):
        return
    if os.environ.get(MODE_VARIABLE, "token").lower() != "token":
        return
    path = default_token_path()
    try:
        if path and _make_token(path):
            logger.info("made %s with a new token for Ray, readable by its owner only", path)
    except OSError:
        path = None
    if not _content(path):
        os.environ[TOKEN_VARIABLE] = _token_of_this_user()


def _make_token(path: Path) -> bool:
    """Return whether a file with a new token was made; one that is there is closed to others."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        # the mode belongs to the making of the file: no moment in which others can open it
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _OWNER_ONLY)
    except FileExistsError:
        _close_to_others(path)
        return False
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(secrets.token_hex(32))
    return True


def _token_of_this_user() -> str:
    """Return a token that this user's next processes find too, where there is room for it."""
    try:
        path = private_folder() / "auth_token"
        _make_token(path)
    except OSError:
        path = None
    return _content(path) or secrets.token_hex(32)


def token_into_environment() -> None:
    """Let Ray find the token that is not where it looks."""
    if any(os.environ.get(name) for name in (TOKEN_VARIABLE, TOKEN_PATH_VARIABLE)):
        return
    ours = _content(_private_token_path())
    if ours and not _content(default_token_path()):
        os.environ[TOKEN_VARIABLE] = ours


def _close_to_others(path: Path) -> None:
    if not hasattr(os, "getuid"):  # Windows: rights are inherited from the user's own folder
        return
    try:
        found = path.stat()
        if found.st_uid == os.getuid() and found.st_mode & _OTHERS:
            path.chmod(_OWNER_ONLY)
            logger.warning(
                "%s, the key to your Ray clusters, was readable by others on this machine (mode "
                "%o); it is readable by its owner only from here on",
                path,
                found.st_mode & 0o777,
            )
    except OSError as error:
        logger.warning("the rights of %s cannot be changed: %s", path, error)


def token_mode_wanted() -> bool:
    """Return whether a connection should present a token: one exists and nothing forbids it."""
    mode = os.environ.get(MODE_VARIABLE)
    if mode is not None:
        return mode.lower() == "token"
    return read_token() is not None


def host_of(address: str) -> str:
    """Return the host of `host:port` or of a URL, without brackets."""
    url = address if "://" in address else f"//{address}"
    return (urlsplit(url).hostname or "").lower()


def reaches_outside(host: str) -> bool:
    """Return whether a host is neither this machine nor in a private network.

    0.0.0.0 and :: mean every interface, so they reach outside. A name counts by the addresses that
    it stands for; one that stands for none does not.
    """
    if host in ("", "localhost"):
        return False
    try:
        addresses = [ipaddress.ip_address(host)]
    except ValueError:
        try:
            found = {str(info[4][0]) for info in socket.getaddrinfo(host, None)}
        except OSError:
            return False
        addresses = [ipaddress.ip_address(text.partition("%")[0]) for text in found]
    return any(a.is_unspecified or not (a.is_private or a.is_loopback) for a in addresses)


def is_loopback(host: str) -> bool:
    """Return whether a host is this machine, reached by no other."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def exposure(address: str, *, with_token: bool) -> str | None:
    """Return why joining the Ray at `address` is dangerous, in one sentence; None if it is not."""
    host = host_of(address)
    if with_token or not reaches_outside(host):
        return None
    return (
        f"the Ray at {address} is outside this machine and its private networks and is joined "
        f"without a token: if it needs none, anybody who reaches it can run code there and read "
        f"your data; start it with {MODE_VARIABLE}=token, or reach it through an SSH tunnel"
    )


def dashboard_exposure(url: str) -> str | None:
    """Return what an open dashboard host means, in one sentence; None if it is on loopback."""
    host = host_of(url)
    if is_loopback(host):
        return None
    return (
        f"the Ray dashboard listens on {host}, not on loopback alone: whoever reaches that address "
        "and has the token, or needs none, can run code on the cluster; start Ray with "
        "--dashboard-host=127.0.0.1 and use an SSH tunnel"
    )
