"""The token file, who can read it, and which addresses count as outside."""

import logging
import os
import socket
import stat
from pathlib import Path

import pytest

from finrl_ray.cluster import security
from finrl_ray.errors import ConfigError

POSIX = pytest.mark.skipif(not hasattr(os, "getuid"), reason="file modes of POSIX")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of its own, and none of Ray's variables."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@POSIX
@pytest.mark.parametrize("umask", [0o000, 0o022])
def test_a_new_token_file_is_its_owners_alone_under_any_umask(umask, home) -> None:
    before = os.umask(umask)
    try:
        security.ensure_token_file()
    finally:
        os.umask(before)
    path = home / ".ray" / "auth_token"
    assert mode(path) == 0o600
    assert mode(path.parent) == 0o700
    token = path.read_text()
    assert len(token) == 64
    assert int(token, 16) >= 0
    assert security.read_token() == token


@POSIX
def test_a_readable_token_file_is_closed_and_that_is_said_without_the_token(home, caplog) -> None:
    path = home / ".ray" / "auth_token"
    path.parent.mkdir()
    path.write_text("secret-token")
    path.chmod(0o644)
    with caplog.at_level(logging.INFO):
        security.ensure_token_file()
    assert mode(path) == 0o600
    assert path.read_text() == "secret-token"
    assert "was readable by others" in caplog.text
    assert "mode 644" in caplog.text
    assert "secret-token" not in caplog.text
    caplog.clear()
    security.ensure_token_file()
    assert caplog.text == ""


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("RAY_AUTH_TOKEN", "abc"),
        ("RAY_AUTH_TOKEN_PATH", "elsewhere"),
        ("RAY_AUTH_MODE", "disabled"),
    ],
)
def test_no_file_is_made_when_the_user_has_said_otherwise(name, value, home, monkeypatch) -> None:
    monkeypatch.setenv(name, value)
    security.ensure_token_file()
    assert not (home / ".ray").exists()


def test_the_token_is_looked_for_in_rays_order(home, monkeypatch) -> None:
    assert security.read_token() is None
    assert not security.token_mode_wanted()
    security.ensure_token_file()
    assert security.token_place() == str(home / ".ray" / "auth_token")
    assert security.token_mode_wanted()
    named = home / "named"
    named.write_text("from-file\n")
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(named))
    assert security.read_token() == "from-file"
    assert security.token_place() == str(named)
    monkeypatch.setenv("RAY_AUTH_TOKEN", "from-variable")
    assert security.read_token() == "from-variable"
    assert "from-variable" not in security.token_place()
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    assert not security.token_mode_wanted()


def test_a_named_token_file_must_hold_a_token(home, monkeypatch) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(home / "gone"))
    with pytest.raises(ConfigError, match="must name a readable file"):
        security.read_token()
    (home / "gone").write_text("\n")
    with pytest.raises(ConfigError, match="which is empty"):
        security.read_token()


@pytest.mark.parametrize(
    ("host", "outside"),
    [
        ("", False),
        ("localhost", False),
        ("127.0.0.1", False),
        ("::1", False),
        ("10.1.2.3", False),
        ("192.168.0.9", False),
        ("fd00::1", False),
        ("8.8.8.8", True),
        ("2001:4860:4860::8888", True),
        ("0.0.0.0", True),
        ("::", True),
    ],
)
def test_which_hosts_reach_outside(host, outside) -> None:
    assert security.reaches_outside(host) is outside


def test_a_name_counts_by_its_addresses(monkeypatch) -> None:
    def lookup(name: str, port: None) -> list[object]:
        if name == "nobody":
            raise socket.gaierror("unknown")
        address = "8.8.4.4" if name == "public" else "10.0.0.7"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 0))]

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    assert security.reaches_outside("public")
    assert not security.reaches_outside("inside")
    assert not security.reaches_outside("nobody")


@pytest.mark.parametrize(
    ("address", "host"),
    [
        ("10.0.0.1:6379", "10.0.0.1"),
        ("http://[::1]:8265", "::1"),
        ("ray://Head.example:10001", "head.example"),
        ("http://127.0.0.1:8265/#/jobs", "127.0.0.1"),
    ],
)
def test_hosts_of_addresses(address, host) -> None:
    assert security.host_of(address) == host


def test_a_warning_says_why() -> None:
    assert security.exposure("8.8.8.8:6379", with_token=True) is None
    assert security.exposure("10.0.0.1:6379", with_token=False) is None
    assert "run code there" in (security.exposure("8.8.8.8:6379", with_token=False) or "")
    assert security.dashboard_exposure("http://127.0.0.1:8265") is None
    assert security.dashboard_exposure("http://localhost:8265") is None
    for host in ("0.0.0.0", "10.0.0.1"):
        warning = security.dashboard_exposure(f"http://{host}:8265")
        assert "--dashboard-host=127.0.0.1" in (warning or "")
