"""The winner trained again from one file: equal, not equal, damaged, not there."""

import contextlib
import dataclasses
import io
import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from small_search import small_config
from typer.testing import CliRunner

from finrl_ray.cli.main import app, main
from finrl_ray.errors import SearchError
from finrl_ray.machine.processor import processor_facts
from finrl_ray.search.folder.folder import open_folder
from finrl_ray.search.journal.events import read_journal
from finrl_ray.search.reproduce.archive import read_reproduction
from finrl_ray.search.reproduce.replay import replay
from finrl_ray.search.reproduce.reproduce import reproduce
from finrl_ray.search.run.outputs import write_outputs
from finrl_ray.search.run.runner import run_search

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("ray_session_of_two")]

SEARCHES: dict[str, dict[str, dict[str, object]]] = {
    "asha": {
        "search": {"scheduler": {"type": "asha", "grace_period": 512}, "max_concurrent_trials": 1}
    },
    "best": {"search": {"select": "best", "num_samples": 2, "max_concurrent_trials": 1}},
    "pbt": {
        "search": {
            "scheduler": {"type": "pbt", "perturbation_interval": 512},
            "space": {"learning_rate": {"loguniform": [1e-4, 1e-2]}, "net_arch": "tiny"},
        },
        "agent": {"total_timesteps": 2048, "n_envs": 4},
    },
    "cpcv": {
        "validation": {"scheme": "cpcv", "n_groups": 4, "embargo": 5},
        "agent": {"total_timesteps": 256, "n_envs": 4},
        "search": {"num_samples": 2, "max_concurrent_trials": 1},
    },
    "sac": {
        "agent": {"algorithm": "sac", "total_timesteps": 300, "n_envs": 1},
        "evaluation": {"eval_freq": 150},
        "search": {"num_samples": 1, "space": {"net_arch": "tiny", "learning_starts": 50}},
    },
}


@pytest.fixture(scope="module")
def searched(ray_session_of_two: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run_search(small_config(tmp_path_factory.mktemp("asha"), **SEARCHES["asha"])).path


def changed(source: Path, target: Path, **entries: bytes) -> Path:
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            key = name.partition(".")[0]
            if entries.get(key, b"?") != b"":
                new.writestr(name, entries.get(key, old.read(name)))
    return target


@pytest.mark.parametrize(
    "name", ["best", "pbt", "cpcv", pytest.param("sac", marks=pytest.mark.long)]
)
def test_winners_come_out_bit_for_bit(name, tmp_path) -> None:
    path = run_search(small_config(tmp_path, **SEARCHES[name])).path
    found = reproduce(path)
    assert found.exact, found.differences
    assert found.largest_difference == 0.0
    assert found.evaluations >= 1
    assert found.changed == {}


def test_the_file_alone_is_enough(searched, tmp_path) -> None:
    file = tmp_path / "sent.zip"
    shutil.copy(searched / "reproduction.zip", file)
    lines: list[str] = []
    found = reproduce(file, lines.append)
    assert found.exact, found.differences
    assert len(lines) == found.evaluations
    with zipfile.ZipFile(file) as content:
        assert set(content.namelist()) == {
            "manifest.json",
            "config.yaml",
            "market_data.npz",
            "curves.npz",
        }


def test_no_row_of_the_test_window_is_in_the_file(searched) -> None:
    data = read_reproduction(searched / "reproduction.zip").inputs.development
    assert data.dates[-1] < np.datetime64("2008-07-01")


def test_the_same_search_writes_the_same_bytes(searched) -> None:
    before = (searched / "reproduction.zip").read_bytes()
    write_outputs(open_folder(searched), read_journal(searched).in_order())
    assert (searched / "reproduction.zip").read_bytes() == before


def test_other_numbers_are_told(searched, tmp_path) -> None:
    source = searched / "reproduction.zip"
    with zipfile.ZipFile(source) as content:
        curves = np.load(io.BytesIO(content.read("curves.npz")))["curves"].copy()
        manifest = json.loads(content.read("manifest.json"))
    curves[-1, -1] *= 1.001
    buffer = io.BytesIO()
    np.savez(buffer, curves=curves)
    found = reproduce(changed(source, tmp_path / "curves.zip", curves=buffer.getvalue()))
    assert found.differences == ("account values differ by up to 0.000999",)
    manifest["results"][-1]["eval/sharpe_ratio"] += 1e-12
    manifest["parameters"] = "0" * 64
    manifest["versions"]["numpy"] = "1.0"
    file = changed(source, tmp_path / "results.zip", manifest=json.dumps(manifest).encode())
    found = reproduce(file)
    assert "is the first that differs: eval/sharpe_ratio was" in found.differences[0]
    assert found.differences[1] == "the parameters of the final policy differ"
    assert found.changed["numpy"][0] == "1.0"
    done = CliRunner().invoke(app, ["reproduce", str(file), "--out", str(tmp_path / "o")])
    assert done.exit_code == 1
    assert "numpy: recorded with 1.0" in done.output
    assert json.loads((tmp_path / "o").read_text())["exact"] is False


def test_the_file_names_the_processor_and_its_libraries(searched) -> None:
    with zipfile.ZipFile(searched / "reproduction.zip") as content:
        manifest = json.loads(content.read("manifest.json"))
    assert manifest["processor"] == processor_facts(1)
    facts = json.loads((searched / "experiment.json").read_text())
    assert facts["processor"] == processor_facts(1)


@pytest.mark.parametrize(
    ("factor", "agreement", "code", "said"),
    [
        (1.0, "exact", 0, "as recorded, bit for bit"),
        (1.0005, "within tolerance", 0, "equal within 0.001 on another processor"),
        (1.01, "undecided", 4, "cannot be told here"),
    ],
)
@pytest.mark.parametrize("known", [True, False])
def test_another_processor_is_compared_to_a_tolerance(
    searched, tmp_path, monkeypatch, capsys, factor, agreement, code, said, known
) -> None:
    source = searched / "reproduction.zip"
    with zipfile.ZipFile(source) as content:
        curves = np.load(io.BytesIO(content.read("curves.npz")))["curves"].copy()
        manifest = json.loads(content.read("manifest.json"))
    if known:
        manifest["processor"]["processor"] = "AMD EPYC 7B13 (cpu family 25, model 1)"
    else:
        del manifest["processor"]  # as of an earlier version
    buffer = io.BytesIO()
    np.savez(buffer, curves=curves * factor)
    entries = {"curves": buffer.getvalue(), "manifest": json.dumps(manifest).encode()}
    found = reproduce(changed(source, tmp_path / "sent.zip", **entries))
    assert found.agreement == agreement
    assert found.to_dict()["agreement"] == agreement
    assert ("processor" in found.elsewhere) == known
    monkeypatch.setattr("finrl_ray.search.reproduce.reproduce.reproduce", lambda *_, trust: found)
    result = CliRunner().invoke(app, ["reproduce", str(searched)])
    assert result.exit_code == code
    output = result.output
    assert said in output
    assert "differs" not in output
    if factor != 1.0:
        where = "AMD EPYC 7B13" if known else "not known: that was an earlier version"
        assert where in output


def test_a_replay_on_another_processor_is_compared_to_a_tolerance(searched, tmp_path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(searched, copy)
    assert replay(copy).agreement == "exact"
    facts = json.loads((copy / "experiment.json").read_text())
    facts["processor"]["processor"] = "AMD EPYC 7B13"
    (copy / "experiment.json").write_text(json.dumps(facts))
    found = replay(copy)
    assert found.agreement == "exact"
    assert found.elsewhere["processor"][0] == "AMD EPYC 7B13"
    for size, agreement in ((1e-6, "within tolerance"), (0.1, "undecided")):
        other = {**found.replayed, "eval/sharpe_ratio": found.replayed["eval/sharpe_ratio"] + size}
        moved = dataclasses.replace(found, replayed=other)
        assert moved.agreement == agreement
        assert moved.differences == ["eval/sharpe_ratio"]
        same_here = dataclasses.replace(moved, elsewhere={})
        assert same_here.agreement == "different"


def test_the_command_says_bit_for_bit(searched) -> None:
    before = sorted(path.name for path in searched.iterdir())
    done = subprocess.run(
        [sys.executable, "-m", "finrl_ray", "reproduce", str(searched)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "are as recorded, bit for bit" in done.stdout
    assert sorted(path.name for path in searched.iterdir()) == before


def test_damaged_files_are_said(searched, tmp_path, monkeypatch) -> None:
    source = searched / "reproduction.zip"
    (tmp_path / "cut.zip").write_bytes(source.read_bytes()[:2000])
    with pytest.raises(SearchError, match=r"cut\.zip is damaged"):
        reproduce(tmp_path / "cut.zip")
    with pytest.raises(SearchError, match=r"there is no .*none\.zip"):
        reproduce(tmp_path / "none.zip")
    with pytest.raises(SearchError, match="is damaged"):
        reproduce(changed(source, tmp_path / "missing.zip", curves=b""))
    other = changed(source, tmp_path / "format.zip", manifest=b'{"format": 99}')
    with pytest.raises(SearchError, match=r"has format 99, and this version of finrl-ray reads 1"):
        reproduce(other)
    monkeypatch.setattr(sys, "argv", ["finrl-ray", "reproduce", str(tmp_path / "cut.zip")])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2


def test_an_interrupted_search_has_no_winner_yet(searched, tmp_path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(searched, copy)
    lines = (copy / "journal.jsonl").read_text().splitlines()
    kept = [line for line in lines if '"event": "end"' not in line]
    (copy / "journal.jsonl").write_text("\n".join(kept) + "\n")
    with pytest.raises(SearchError, match="the winner is known once the search has ended"):
        reproduce(copy)


def test_a_flipped_byte_anywhere_is_said_or_seen(searched, tmp_path) -> None:
    whole = (searched / "reproduction.zip").read_bytes()
    for place in range(200, len(whole), len(whole) // 40):
        broken = bytearray(whole)
        broken[place] ^= 0xFF
        (tmp_path / "broken.zip").write_bytes(bytes(broken))
        # some bytes carry nothing, such as those of times
        with contextlib.suppress(SearchError):
            read_reproduction(tmp_path / "broken.zip")


def test_training_that_ends_elsewhere_differs(searched, tmp_path) -> None:
    source = searched / "reproduction.zip"
    with zipfile.ZipFile(source) as content:
        manifest = json.loads(content.read("manifest.json"))
    manifest["results"][-1]["timesteps"] += 1
    other = changed(source, tmp_path / "o.zip", manifest=json.dumps(manifest).encode())
    found = reproduce(other)
    assert not found.exact
    assert "but was not" in found.differences[0]
