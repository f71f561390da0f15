"""Searches whose checkpoints are on S3: a server on loopback that goes away in the middle."""

import base64
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cloudpickle
import pytest
import yaml
from kill_cells import raw_config
from object_storage import PYTHON, SECRET, ObjectStorage
from searches import Search, read_text_table, whole_results

from finrl_ray.agents.ensemble_model.files import load_ensemble
from finrl_ray.config.load import load_config
from finrl_ray.search.run.runner import run_search

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not PYTHON.exists(), reason="no S3 server: run `make .venv-s3`"),
]

GAMMAS = (0.9, 0.91, 0.92)
AWAY_S = 10.0


@pytest.fixture(scope="module")
def storage() -> Iterator[ObjectStorage]:
    with ObjectStorage() as server:
        yield server


@pytest.fixture(scope="module")
def on_disk(ray_session: None, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    home = tmp_path_factory.mktemp("disk")
    # as a command reads it: the order of the entries is that of the draws
    (home / "config.yaml").write_text(yaml.safe_dump(config(str(home / "runs"))), encoding="utf-8")
    return whole_results(run_search(load_config(home / "config.yaml")).path)


def config(storage_path: str | None = None) -> dict[str, Any]:
    raw = raw_config("ppo", gammas=GAMMAS)
    raw["agent"]["total_timesteps"] = 512
    if storage_path is not None:
        raw["search"]["storage_path"] = storage_path
    return raw


def on_s3(storage: ObjectStorage, home: Path, **section: Any) -> Search:
    raw = config(storage.url(home.name))
    raw["search"] |= section
    # the driver's own files are in ./runs, below the folder where the command is given
    return Search(home=home, raw=raw, env=storage.env, runs=home / "runs")


@pytest.mark.long
def test_a_search_on_s3_equals_one_on_disk_and_writes_no_secret(
    storage: ObjectStorage, on_disk: dict[str, str], tmp_path: Path
) -> None:
    with on_s3(storage, tmp_path) as search:
        search.start()
        assert search.wait() == 0, search.tail()
        assert whole_results(search.folder) == on_disk
        uploaded = {k: v for k, v in storage.files().items() if k.startswith(tmp_path.name + "/")}
        assert any("checkpoint_" in name for name in uploaded)
        assert any(name.endswith("trials.csv") for name in uploaded)
        files = dict(uploaded)
        for folder in (tmp_path, search.ray_tmp):
            paths = (path for path in folder.rglob("*") if path.is_file())
            files |= {str(path): path.read_bytes() for path in paths}
        assert any(name.endswith("tuner.pkl") for name in files)
        assert [name for name, content in files.items() if holds(content, SECRET)] == []


@pytest.mark.long
def test_an_ensemble_is_made_of_checkpoints_on_s3(storage: ObjectStorage, tmp_path: Path) -> None:
    with on_s3(storage, tmp_path, ensemble=2) as search:
        search.start()
        assert search.wait() == 0, search.tail()
        assert len(load_ensemble(search.folder / "best_model").members) == 2
        for name in ("best_model/member_2.zip", "ensemble_account.parquet"):
            (there,) = (c for k, c in storage.files().items() if k.endswith(f"/{name}"))
            assert there == (search.folder / name).read_bytes()


def holds(content: bytes, secret: str) -> bool:
    """Whether a secret is in a file: as it is, in UTF-16, as hex digits or in base 64.

    Ray's JSON files hold pickles as hex digits. Where base 64 begins within a secret is not known.
    """
    raw = secret.encode()
    shifted = [base64.b64encode(raw[cut : cut + (len(raw) - cut) // 3 * 3]) for cut in range(3)]
    return any(
        form in content for form in (raw, secret.encode("utf-16-le"), raw.hex().encode(), *shifted)
    )


def test_a_secret_is_found_in_every_form() -> None:
    pickled = cloudpickle.dumps({"key": SECRET})
    for content in (
        pickled,
        pickled.hex().encode(),
        *(base64.b64encode(b"x" * i + pickled) for i in range(3)),
    ):
        assert holds(content, SECRET)
    assert not holds(cloudpickle.dumps({"key": SECRET[:-4]}), SECRET)


@pytest.mark.long
@pytest.mark.parametrize("way", ["hold", "refuse"])
def test_a_server_that_goes_away_for_a_while_changes_nothing(
    way: str, storage: ObjectStorage, on_disk: dict[str, str], tmp_path: Path
) -> None:
    with on_s3(storage, tmp_path) as search:
        search.start()
        search.wait_for_results(2)
        getattr(storage, way)(AWAY_S)
        assert search.wait() == 0, search.tail()
        table = read_text_table(search.folder / "trials.csv")
        assert set(table["state"]) == {"completed"}
        assert whole_results(search.folder) == on_disk


def test_a_killed_search_goes_on_from_its_url_in_an_empty_folder(
    storage: ObjectStorage, on_disk: dict[str, str], tmp_path: Path
) -> None:
    with on_s3(storage, tmp_path / tmp_path.name) as search:
        search.start()
        search.wait_for_results(9)  # of the second trial
        name = search.folder.name
        search.wait_for(lambda events: sum(e["event"] == "checkpoint" for e in events) >= 9)
        assert search.process is not None
        os.kill(search.process.pid, signal.SIGKILL)
        assert search.wait() == -9
        search.kill_everything()
        shutil.rmtree(search.home / "runs")
        search.resume(storage.url(f"{search.home.name}/{name}"))
        assert search.wait() == 0, search.tail()
        assert whole_results(search.folder) == on_disk
