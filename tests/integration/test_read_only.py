"""A search where nothing but its own folder and the temporary one can be written."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
from repository import REPOSITORY
from small_search import write_small_config

pytestmark = pytest.mark.slow

PLACES = {"REPOSITORY": str(REPOSITORY), "PACKAGES": sys.prefix}
LIMIT_S = 1800
# a user of whom the system knows nothing, as under `docker run --user 2000`; packages and
# everything below the repository are read-only
ENTER = """
set -e
for folder in "$REPOSITORY" "$PACKAGES"; do
    mount --bind "$folder" "$folder"
    mount -o remount,ro,bind "$folder"
done
if touch "$REPOSITORY/finrl_ray/x" 2>/dev/null; then exit 1; fi
unset HOME USER LOGNAME
exec unshare --user --map-user=2000 --map-group=2000 "$@"
"""


def _outside() -> list[str]:
    program = shutil.which("unshare")
    if program is None:
        pytest.skip("needs unshare of util-linux")
    return [program, "--mount", *(["--map-root-user"] if os.getuid() else [])]


def _in_read_only_places(arguments: list[str], cwd: Path, temporary: Path) -> tuple[int, str]:
    """Run the command line there, and end all that it has started, whatever happens."""
    environment = {
        **{k: v for k, v in os.environ.items() if not k.startswith(("RAY_", "NUMBA_", "MPL"))},
        **PLACES,
        "PYTHONPATH": str(REPOSITORY),
        "PYTHONDONTWRITEBYTECODE": "1",
        "TMPDIR": str(temporary),
        "RAY_TMPDIR": str(temporary),
    }
    command = [sys.executable, "-m", "finrl_ray", *arguments]
    process = subprocess.Popen(
        [*_outside(), "bash", "-c", ENTER, "bash", *command],
        env=environment,
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        output, _ = process.communicate(timeout=LIMIT_S)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    return process.returncode, output


# the learners of PPO take a minute to compile, which TRPO, trained by SB3's own code, has none of
@pytest.mark.parametrize("algorithm", ["trpo", pytest.param("ppo", marks=pytest.mark.long)])
def test_a_search_ends_where_neither_home_nor_the_package_can_be_written(
    algorithm, tmp_path
) -> None:
    tried = subprocess.run(
        [*_outside(), "bash", "-c", ENTER, "bash", "true"],
        env={**os.environ, **PLACES},
        capture_output=True,
        text=True,
        check=False,
    )
    if tried.returncode:
        pytest.skip(f"nothing can be mounted read-only here: {tried.stderr.strip()}")
    sections: dict[str, dict[str, Any]] = {
        "agent": {"algorithm": algorithm, "total_timesteps": 512},
        "evaluation": {"eval_freq": 256},
        "search": {
            "num_samples": 2,
            "max_concurrent_trials": 1,
            "space": {"n_steps": 64, "batch_size": 64, "net_arch": "tiny"},
            "default_space": False,
        },
    }
    write_small_config(tmp_path / "config.yaml", tmp_path / "runs", **sections)
    # short: Ray keeps sockets under it, whose paths may have 107 characters
    temporary = Path(tempfile.mkdtemp(prefix="fr"))
    try:
        code, output = _in_read_only_places(
            ["tune", "config.yaml", "--no-dashboard"], tmp_path, temporary
        )
        assert code == 0, output
        assert output.count("cannot be written: compiled code") == 1
        (folder,) = (tmp_path / "runs").iterdir()
        assert (folder / "report.html").is_file()
        private = temporary / "finrl_ray-2000"
        assert list(private.rglob("*.nbc"))
        # what is left of the search is seen, and nobody runs it
        code, output = _in_read_only_places(["ls", "runs"], tmp_path, temporary)
        assert code == 0, output
        assert "finished" in output
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
