"""What is sent with a job, what is packed, and what is laid over an earlier fetch; no Ray."""

import hashlib
import io
import shlex
import subprocess
import tarfile
from pathlib import Path

import pytest

from finrl_ray.config.load import load_config
from finrl_ray.errors import ConfigError, SearchError
from finrl_ray.jobs.client import _Printed
from finrl_ray.jobs.fetch import _packed, _place, _unpack
from finrl_ray.jobs.pack import archive_name, digest, pack
from finrl_ray.jobs.package import (
    make_package,
    pack_entrypoint,
    remote_storage,
    resume_entrypoint,
)


def shell(word: str, **variables: str) -> str:
    """Return what the shell of a cluster makes of a word between double quotes."""
    command = ["sh", "-c", f'printf %s "{word}"']
    return subprocess.run(command, env=variables, capture_output=True, text=True, check=True).stdout


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """A folder with a config and prices, and an empty one."""
    for name in ("here", "sent"):
        (tmp_path / name).mkdir()
    return tmp_path / "here", tmp_path / "sent"


def write(folder: Path, text: str) -> Path:
    (folder / "c.yaml").write_text(text, encoding="utf-8")
    return folder / "c.yaml"


def test_the_config_is_sent_with_its_overrides_and_its_data(folders) -> None:
    here, sent = folders
    (here / "prices.csv.gz").write_bytes(b"prices")
    config = write(here, "name: a.b\ndata: {source: prices.csv.gz}\nsearch: {storage_path: out}")
    package = make_package(config, ["search.num_samples=7"], sent)
    assert sorted(path.name for path in sent.iterdir()) == ["config.yaml", "data.csv.gz"]
    assert (sent / "data.csv.gz").read_bytes() == b"prices"
    loaded = load_config(sent / "config.yaml")
    assert loaded.data.source == "data.csv.gz"
    assert loaded.search.num_samples == 7
    assert package.results == "out"
    assert package.job_id.startswith("a.b_")


def test_own_code_is_sent_beside_the_config(folders) -> None:
    here, sent = folders
    (here / "my_reward.py").write_text("import my_parts\n", encoding="utf-8")
    (here / "my_parts.py").write_text("X = 1\n", encoding="utf-8")
    (here / "unrelated.py").write_text("X = 2\n", encoding="utf-8")
    make_package(write(here, "env: {reward: 'my_reward:reward'}"), [], sent)
    names = [path.name for path in sent.iterdir()]
    assert sorted(names) == ["config.yaml", "my_parts.py", "my_reward.py"]
    with pytest.raises(ConfigError, match=r"neither my_other\.py in"):
        make_package(write(here, "env: {reward: 'my_other:reward'}"), [], sent)


def test_a_source_that_is_no_file_here_is_left_as_it_is(folders) -> None:
    here, sent = folders
    for source in ("bundled", "/mnt/cluster/prices.parquet"):
        make_package(write(here, f"data: {{source: {source}}}"), [], sent)
        assert load_config(sent / "config.yaml").data.source == source
    assert [path.name for path in sent.iterdir()] == ["config.yaml"]


def test_a_wrong_config_is_not_sent(folders) -> None:
    here, sent = folders
    with pytest.raises(ConfigError, match="Did you mean 'search'"):
        make_package(write(here, "serach: {}"), [], sent)
    assert list(sent.iterdir()) == []


@pytest.mark.parametrize(
    ("given", "variables", "found"),
    [
        ("runs", {"FINRL_RAY_STORAGE": "/mnt/x", "HOME": "/h"}, "/mnt/x/job"),
        ("runs", {"FINRL_RAY_STORAGE": "s3://b/x", "HOME": "/h"}, "s3://b/x/job"),
        ("runs", {"HOME": "/h"}, "/h/finrl_ray_runs/job"),
        ("/data/my runs/", {"HOME": "/h"}, "/data/my runs/job"),
        ("s3://b/x?region=r", {"FINRL_RAY_STORAGE": "/mnt/x"}, "s3://b/x/job?region=r"),
        ('/data/$(touch x)`id`"', {"HOME": "/h"}, '/data/$(touch x)`id`"/job'),
    ],
)
def test_where_a_job_writes(given, variables, found) -> None:
    assert shell(remote_storage(given, "job"), **variables) == found


def test_the_commands_are_ours_and_quoted(folders) -> None:
    here, sent = folders
    package = make_package(write(here, "search: {storage_path: /data/my runs}"), [], sent)
    words = shlex.split(package.entrypoint)
    assert words[:4] == ["python", "-m", "finrl_ray", "tune"]
    assert words[-1] == f"search.storage_path=/data/my runs/{package.job_id}"
    assert shlex.split(pack_entrypoint("/a b", "j", checkpoints=True))[2:] == [
        *("finrl_ray.jobs.pack", "/a b", "j", "--checkpoints")
    ]
    assert '"/a b"/*/' in resume_entrypoint("/a b")
    url = "s3://b/runs/job?region=x&scheme=http"
    assert shlex.split(resume_entrypoint(url))[3:5] == ["resume", url]


def search_folder(folder: Path, name: str) -> Path:
    (folder / name / "ray" / "trial_0").mkdir(parents=True)
    (folder / name / "ray" / "trial_0" / "model.zip").write_bytes(b"big")
    (folder / name / "final_model").mkdir()
    (folder / name / "final_model" / "model.zip").write_bytes(b"best")
    return folder / name


@pytest.mark.parametrize("checkpoints", [False, True])
@pytest.mark.parametrize("as_url", [False, True])
def test_results_are_packed_with_or_without_checkpoints(checkpoints, as_url, tmp_path) -> None:
    search_folder(tmp_path / "storage", "night_1")
    source = tmp_path / "storage"
    archive = tmp_path / archive_name("j")
    names = pack(f"file://{source}" if as_url else str(source), archive, checkpoints=checkpoints)
    assert names == ["night_1"]
    assert digest(archive) == hashlib.sha256(archive.read_bytes()).hexdigest()
    (unpacked,) = _unpack(archive, tmp_path / "unpacked")
    assert (unpacked / "final_model" / "model.zip").read_bytes() == b"best"
    assert (unpacked / "ray").exists() is checkpoints
    assert [path.name for path in tmp_path.glob("*.part")] == []


@pytest.mark.parametrize("url", ["", "file://"])
def test_nothing_is_packed_when_nothing_was_written(url, tmp_path) -> None:
    archive = tmp_path / "a.tar.gz"
    assert pack(f"{url}{tmp_path}/none", archive) == []
    assert not archive.exists()


def test_what_was_packed_is_the_last_word_of_the_log() -> None:
    log = 'a warning\n{"finrl_ray_results": {"folders": []}}\n'
    assert _packed(log) == {"folders": []}
    with pytest.raises(SearchError, match="did not say what it packed"):
        _packed("ImportError: numpy\n")


def test_an_archive_cannot_write_elsewhere(tmp_path) -> None:
    archive = tmp_path / "evil.tar.gz"
    with tarfile.open(archive, "w:gz") as file:
        item = tarfile.TarInfo("../evil")
        item.size = 4
        file.addfile(item, io.BytesIO(b"evil"))
    with pytest.raises(SearchError, match="cannot be unpacked"):
        _unpack(archive, tmp_path / "unpacked")
    assert not (tmp_path / "evil").exists()


def test_a_damaged_archive_is_said(tmp_path) -> None:
    search_folder(tmp_path / "storage", "s")
    archive = tmp_path / "a.tar.gz"
    pack(str(tmp_path / "storage"), archive)
    archive.write_bytes(archive.read_bytes()[:-40])
    with pytest.raises(SearchError, match="cannot be unpacked"):
        _unpack(archive, tmp_path / "unpacked")


def test_a_second_fetch_keeps_what_is_only_here_and_every_opening(tmp_path) -> None:
    here = tmp_path / "runs" / "s"
    fetched = search_folder(tmp_path / "fetched", "s")
    here.mkdir(parents=True)
    (here / "test_openings.jsonl").write_text('{"time": 1}\n{"time": 2}\n')
    (here / "backtest.txt").write_text("mine")
    (here / "trials.csv").write_text("old")
    (fetched / "test_openings.jsonl").write_text('{"time": 1}\n{"time": 3}\n')
    (fetched / "trials.csv").write_text("new")
    assert _place(fetched, tmp_path / "runs") == here
    assert (here / "trials.csv").read_text() == "new"
    assert (here / "backtest.txt").read_text() == "mine"
    assert (here / "final_model" / "model.zip").read_bytes() == b"best"
    times = [line for line in (here / "test_openings.jsonl").read_text().splitlines()]
    assert times == ['{"time": 1}', '{"time": 2}', '{"time": 3}']


def test_a_log_that_is_read_again_is_written_once() -> None:
    parts: list[str] = []
    printed = _Printed(parts.append)
    for text in ("one\n", "two\n"):
        printed.take(text)
    # the connection broke; the log comes again, cut elsewhere, and goes on
    printed.from_the_start()
    for text in ("o", "ne\ntwo\nth", "ree\n"):
        printed.take(text)
    printed.from_the_start()
    printed.take("one\ntwo\nthree\n")
    assert "".join(parts) == "one\ntwo\nthree\n"
