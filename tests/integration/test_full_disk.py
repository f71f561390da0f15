"""A search on a disk that fills up: interrupted with the reason, and goes on once there is room.

On a disk of every size between what the journal takes and what the search takes, and at each kind
of file that it writes, whatever the number of the error and whoever wraps it.
"""

import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from kill_cells import raw_config
from repository import TESTS
from searches import Search, whole_results

pytestmark = [pytest.mark.slow, pytest.mark.long]

GAMMAS = (0.9, 0.91, 0.92, 0.93)
PRELOADED = TESTS / "faults" / "no_room.c"
ONE_CPU = {"RAY_OVERRIDE_RESOURCES": '{"CPU": 1}'}


def config(storage: Path) -> dict:
    raw = raw_config("a2c", gammas=GAMMAS)
    raw["search"]["storage_path"] = str(storage)
    raw["search"]["max_failures"] = 0
    return raw


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, str], int]:
    """The results of a search with room, and the bytes that it takes."""
    home = tmp_path_factory.mktemp("whole")
    with Search(home=home, raw=config(home / "runs"), env=ONE_CPU) as whole:
        whole.start()
        assert whole.wait() == 0, whole.tail()
        size = sum(p.stat().st_size for p in whole.folder.rglob("*") if p.is_file())
        return whole_results(whole.folder), size


def goes_on(search: Search, undisturbed: dict[str, str]) -> None:
    """Check how the search was left, make room, and compare what comes out in the end."""
    assert "Traceback" not in search.output, search.output
    assert "Aborted" not in search.output, search.output
    ends = [e for e in search.events() if e["event"] == "end"]
    assert all(e["state"] in ("completed", "interrupted") for e in ends), ends
    assert not any(e["event"] == "recover" for e in search.events())
    search.env = ONE_CPU
    search.resume()
    assert search.wait() == 0, search.tail()
    assert whole_results(search.folder) == undisturbed
    assert set(failures(search.folder)) == {"0"}


def failures(folder: Path) -> list[str]:
    import pandas as pd

    return pd.read_csv(folder / "trials.csv", dtype=str)["failures"].tolist()


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Path]:
    """A folder that disks are mounted at."""
    if not sys.platform.startswith("linux") or os.geteuid() != 0:
        pytest.skip("mounting a tmpfs needs Linux and root")
    place = tmp_path / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(place)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"a tmpfs cannot be mounted here: {done.stderr.strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def resize(mount: Path, size: int) -> None:
    options = f"remount,size={size}"
    subprocess.run(["mount", "-o", options, str(mount)], check=True)


@pytest.mark.parametrize("share", [0.2, 0.35, 0.5, 0.65, 0.8, 0.9, 0.97])
def test_a_disk_of_any_size_between(
    share: float, mount: Path, tmp_path: Path, undisturbed: tuple[dict[str, str], int]
) -> None:
    results, size = undisturbed
    resize(mount, int(share * size))
    raw = config(mount / "runs")
    with Search(home=tmp_path / "home", raw=raw, env=ONE_CPU) as search:
        search.start()
        code = search.wait()
        if code != 0:
            assert "No space left on device" in search.output, search.output
        if code != 0 and not any((mount / "runs").iterdir()):
            # not even the search's folder had room: half of it is not left behind
            assert "start the search again" in search.output, search.output
            return
        if code != 0:
            assert f"finrl-ray resume {search.folder}" in search.output
            assert "free of" in search.output
        resize(mount, 10 * size)
        goes_on(search, results)


@pytest.fixture(scope="module")
def preloaded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = shutil.which("cc")
    if compiler is None or not sys.platform.startswith("linux"):
        pytest.skip("the fault is preloaded, which needs Linux and a C compiler")
    library = tmp_path_factory.mktemp("preloaded") / "no_room.so"
    command = [compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(PRELOADED), "-ldl"]
    subprocess.run(command, check=True)
    return library


CASES = {
    "journal": ("/journal.jsonl", 5, errno.ENOSPC),
    "journal, late": ("/journal.jsonl", 14, errno.EDQUOT),
    "state": ("/state/", 4, errno.ENOSPC),
    "first checkpoint": ("/checkpoint_", 0, errno.ENOSPC),
    "checkpoint": ("/checkpoint_", 9, errno.EDQUOT),
    "temporary folder": ("/finrl_ray_", 2, errno.ENOSPC),
    "TensorBoard": ("/tensorboard/", 3, errno.ENOSPC),
    "table": ("/.trials.", 0, errno.ENOSPC),
    "curves": ("/.account_curves.", 0, errno.EDQUOT),
    "verdict": ("/.verdict.", 0, errno.ENOSPC),
    "reproduction": ("/.reproduction.", 0, errno.ENOSPC),
    "models": ("/.copy", 1, errno.ENOSPC),
}


@pytest.mark.parametrize("name", CASES)
def test_each_kind_of_file(
    name: str, preloaded: Path, tmp_path: Path, undisturbed: tuple[dict[str, str], int]
) -> None:
    part, after, number = CASES[name]
    mark = tmp_path / "full"
    env = {
        **ONE_CPU,
        "LD_PRELOAD": str(preloaded),
        "FINRL_RAY_FULL_PATH": part,
        "FINRL_RAY_FULL_AFTER": str(after),
        "FINRL_RAY_FULL_ERRNO": str(number),
        "FINRL_RAY_FULL_MARK": str(mark),
    }
    with Search(home=tmp_path / "home", raw=config(tmp_path / "runs"), env=env) as search:
        search.start()
        assert search.wait() not in (0, -9), search.tail()
        assert mark.exists(), f"nothing was written to {part}"
        assert os.strerror(number) in search.output, search.output
        assert "finrl-ray resume" in search.output
        goes_on(search, undisturbed[0])
