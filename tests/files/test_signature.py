"""The key by which a user's own files are known again."""

import hashlib
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from finrl_ray.files import signature as signature_module
from finrl_ray.files.signature import is_own, key_file, signature

DIGEST = hashlib.sha256(b"content").hexdigest()


@pytest.fixture(autouse=True)
def _own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(signature_module.tempfile, "gettempdir", lambda: str(tmp_path / "tmp"))


def test_what_is_signed_is_ones_own_and_nothing_else() -> None:
    signed = signature(DIGEST)
    assert is_own(DIGEST, signed)
    assert not is_own(hashlib.sha256(b"other").hexdigest(), signed)
    for wrong in ("", "0" * 64, signed[:-1], "\u00e9" * 64):
        assert not is_own(DIGEST, wrong)


def test_another_process_of_the_user_knows_it_another_user_does_not(tmp_path: Path) -> None:
    signed = signature(DIGEST)
    code = "import sys; from finrl_ray.files.signature import is_own; print(is_own(*sys.argv[1:]))"

    def asked(**changes: str) -> str:
        return subprocess.run(
            [sys.executable, "-c", code, DIGEST, signed],
            env={**os.environ, **changes},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()

    assert asked() == "True"
    assert asked(XDG_DATA_HOME=str(tmp_path / "other")) == "False"


@pytest.mark.skipif(os.name == "nt", reason="POSIX file modes")
def test_the_key_is_for_the_user_alone() -> None:
    signature(DIGEST)
    assert stat.S_IMODE(key_file().stat().st_mode) == 0o600
    assert stat.S_IMODE(key_file().parent.stat().st_mode) == 0o700
    assert len(key_file().read_bytes()) == 32


@pytest.mark.skipif(os.name == "nt", reason="POSIX file modes")
def test_a_key_that_others_can_read_is_not_used(tmp_path: Path) -> None:
    signed = signature(DIGEST)
    key_file().chmod(0o644)
    signature_module._read_or_make.cache_clear()
    assert not is_own(DIGEST, signed)
    # the one in the temporary folder takes its place
    assert is_own(DIGEST, signature(DIGEST))
    assert list((tmp_path / "tmp").iterdir())


def test_without_a_home_that_can_be_written_the_key_is_in_the_temporary_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "file" / "home"))
    assert is_own(DIGEST, signature(DIGEST))
    monkeypatch.setattr(signature_module.tempfile, "gettempdir", lambda: str(tmp_path / "file"))
    assert signature(DIGEST) == ""
    assert not is_own(DIGEST, "")
