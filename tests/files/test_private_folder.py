"""Where things are kept when neither HOME nor the package's folder can be written."""

import logging
import os
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numba
import pytest
from repository import REPOSITORY

from finrl_ray.cluster import security
from finrl_ray.files import private_folder
from finrl_ray.machine import compiled_cache

pytestmark = pytest.mark.skipif(not hasattr(os, "getuid"), reason="users and modes of POSIX")


@pytest.fixture(autouse=True)
def nowhere_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A temporary folder of its own, a HOME that cannot be made, and no word said before."""
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    # nothing can be made below a file, not even by root
    (tmp_path / "file").touch()
    monkeypatch.setenv("HOME", str(tmp_path / "file" / "home"))
    for name in (
        *("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "MPLCONFIGDIR"),
        *("XDG_CONFIG_HOME", "XDG_CACHE_HOME", "NUMBA_CACHE_DIR"),
    ):
        # set first, so that what a test sets is gone afterwards
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    said = (private_folder.private_folder, compiled_cache._keep_in_private_folder)
    for function in said:
        function.cache_clear()
    yield tmp_path / "tmp"
    for function in said:
        function.cache_clear()


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def test_it_is_the_users_alone_and_said_once(nowhere_else, caplog) -> None:
    before = os.umask(0)
    try:
        with caplog.at_level(logging.WARNING):
            path = private_folder.private_folder()
            assert private_folder.private_folder() == path
    finally:
        os.umask(before)
    assert path == nowhere_else / f"finrl_ray-{os.getuid()}"
    assert mode(path) == 0o700
    (said,) = caplog.messages
    assert str(path) in said
    # the next process takes the same
    private_folder.private_folder.cache_clear()
    assert private_folder.private_folder() == path == private_folder.existing_private_folder()


def _by_another(path: Path) -> None:
    path.mkdir(mode=0o700)
    os.chown(path, 12345, 12345)


def _open_to_others(path: Path) -> None:
    path.mkdir()
    path.chmod(0o777)


def _a_link(path: Path) -> None:
    (path.parent / "elsewhere").mkdir(mode=0o700)
    path.symlink_to(path.parent / "elsewhere")


def _a_file(path: Path) -> None:
    path.touch(mode=0o600)


@pytest.mark.parametrize("lay", [_by_another, _open_to_others, _a_link, _a_file])
def test_what_somebody_has_laid_there_is_not_used(nowhere_else, lay) -> None:
    if lay is _by_another and os.getuid() != 0:
        pytest.skip("only root can make a folder of another user")
    usual = nowhere_else / f"finrl_ray-{os.getuid()}"
    lay(usual)
    assert private_folder.existing_private_folder() is None
    path = private_folder.private_folder()
    assert path != usual
    assert path.parent == nowhere_else
    assert mode(path) == 0o700
    assert list(path.iterdir()) == []


def test_no_temporary_folder_is_an_error_of_the_system(nowhere_else, monkeypatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(nowhere_else.parent / "file" / "tmp"))
    with pytest.raises(OSError, match="Not a directory"):
        private_folder.private_folder()
    assert private_folder.existing_private_folder() is None
    # a token is made all the same, and compiled code is kept in memory
    security.ensure_token_file()
    assert len(os.environ["RAY_AUTH_TOKEN"]) == 64


def test_shared_memory_is_the_last_resort(nowhere_else, monkeypatch) -> None:
    shared = nowhere_else.parent / "shm"
    shared.mkdir()
    monkeypatch.setattr(private_folder, "_SHARED_MEMORY", shared)
    monkeypatch.setattr(tempfile, "gettempdir", _no_temporary_folder)
    assert private_folder.private_folder() == shared / f"finrl_ray-{os.getuid()}"
    private_folder.private_folder.cache_clear()
    monkeypatch.setattr(private_folder, "_SHARED_MEMORY", nowhere_else.parent / "file" / "shm")
    with pytest.raises(FileNotFoundError, match="No usable temporary directory"):
        private_folder.private_folder()


def _no_temporary_folder() -> str:
    raise FileNotFoundError("No usable temporary directory found in ['/tmp']")


def test_ray_has_its_token_through_the_environment(nowhere_else, monkeypatch) -> None:
    assert security.read_token() is None
    security.ensure_token_file()
    token = os.environ["RAY_AUTH_TOKEN"]
    path = nowhere_else / f"finrl_ray-{os.getuid()}" / "auth_token"
    assert path.read_text() == token
    assert mode(path) == 0o600
    assert len(token) == 64
    assert security.token_place() == str(path)
    # another process of this user finds the same one, for Ray too
    monkeypatch.delenv("RAY_AUTH_TOKEN")
    assert security.read_token() == token
    assert security.token_mode_wanted()
    security.token_into_environment()
    assert os.environ.pop("RAY_AUTH_TOKEN") == token
    security.ensure_token_file()
    assert os.environ["RAY_AUTH_TOKEN"] == token
    monkeypatch.setenv("RAY_AUTH_TOKEN", "mine")
    assert security.token_place() == "the environment variable RAY_AUTH_TOKEN"


def test_a_home_that_can_be_written_is_used(nowhere_else, monkeypatch) -> None:
    home = nowhere_else.parent / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    security.ensure_token_file()
    private_folder.set_fallback_folders()
    assert (home / ".ray" / "auth_token").is_file()
    assert not {"RAY_AUTH_TOKEN", "MPLCONFIGDIR"} & os.environ.keys()
    assert list(nowhere_else.iterdir()) == []


def test_a_user_without_a_home(nowhere_else, monkeypatch) -> None:
    monkeypatch.setattr(Path, "home", _nobodys_home)
    assert private_folder.home() is None
    security.ensure_token_file()
    assert len(os.environ["RAY_AUTH_TOKEN"]) == 64
    private_folder.set_fallback_folders()
    assert os.environ["HOME"] == str(nowhere_else / f"finrl_ray-{os.getuid()}" / "home")
    assert Path(os.environ["HOME"]).is_dir()


def _nobodys_home() -> Path:
    raise RuntimeError("Could not determine home directory.")


@pytest.mark.parametrize("loaded", [True, False])
def test_matplotlib_keeps_its_files_there(nowhere_else, monkeypatch, loaded) -> None:
    if loaded:
        monkeypatch.setitem(sys.modules, "matplotlib", None)
    else:
        monkeypatch.delitem(sys.modules, "matplotlib", raising=False)
    private_folder.set_fallback_folders()
    folder = nowhere_else / f"finrl_ray-{os.getuid()}" / "matplotlib"
    assert os.environ.get("MPLCONFIGDIR") == (None if loaded else str(folder))
    assert folder.is_dir() is not loaded


SOURCE = """
from finrl_ray.machine.compiled_cache import cached_njit

@cached_njit(nogil=True)
def doubled(x):
    return 2 * x
"""


def test_compiled_code_is_kept_there_and_found_again(nowhere_else, tmp_path) -> None:
    package = tmp_path / "package"
    package.mkdir()
    (package / "small.py").write_text(SOURCE, encoding="utf-8")
    # nothing can be made below a file, not even by root
    (package / "__pycache__").touch()
    code = "import small; print(small.doubled(21), sum(small.doubled.stats.cache_hits.values()))"
    environment = {
        **{k: v for k, v in os.environ.items() if k != "NUMBA_CACHE_DIR"},
        "TMPDIR": str(nowhere_else),
        "PYTHONPATH": f"{package}{os.pathsep}{REPOSITORY}",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    outputs = []
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-c", code],
            env=environment,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
            timeout=1200,
        )
        outputs.append(done.stdout.split())
        assert done.stderr.count("cannot be written") == 1
    assert outputs == [["42", "0"], ["42", "1"]]
    kept = nowhere_else / f"finrl_ray-{os.getuid()}" / "numba"
    assert list(kept.rglob("*.nbc"))


def test_without_any_place_functions_are_compiled_all_the_same(nowhere_else, monkeypatch) -> None:
    monkeypatch.setattr(numba.config, "CACHE_DIR", "")
    monkeypatch.setattr(tempfile, "tempdir", str(nowhere_else.parent / "file" / "tmp"))

    def tripled(x):  # type: ignore[no-untyped-def]  # Numba finds the types
        return 3 * x

    monkeypatch.setattr(compiled_cache, "_can_keep", lambda folder: False)
    monkeypatch.setattr(compiled_cache, "njit", _njit_that_keeps_nothing)
    assert compiled_cache.cached_njit(nogil=True)(tripled)(14) == 42


def _njit_that_keeps_nothing(cache: bool = False, **options):  # type: ignore[no-untyped-def]
    if cache:
        raise RuntimeError("no locator available")
    return numba.njit(**options)
