"""Folders that somebody else has made, with bad intent: named, and the others are shown."""

import json
import os
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from made_search import made_search

from finrl_ray.config.experiment import ExperimentConfig
from finrl_ray.errors import FinRLRayError, SearchError
from finrl_ray.report.listing import list_searches
from finrl_ray.report.pages.comparison import read_searches
from finrl_ray.report.read_search import read_search
from finrl_ray.search.folder.checkpoints import CheckpointStorage
from finrl_ray.search.journal.events import append_event, read_events, read_journal
from finrl_ray.search.journal.records import TrialRecords
from finrl_ray.search.reproduce.archive import read_reproduction
from finrl_ray.search.tune.retention import delete_at_once, prune


def append(folder: Path, line: str) -> None:
    with (folder / "journal.jsonl").open("a") as file:
        file.write(f"{line}\n")


def event(kind: str, **content: object) -> str:
    return json.dumps({"event": kind, "n": 1000, "time": 1e9, "trial_id": "00000", **content})


def replaced_by_a_pipe(name: str) -> Callable[[Path], None]:
    def replace(folder: Path) -> None:
        (folder / name).unlink()
        os.mkfifo(folder / name)

    return replace


def replaced_by_a_folder(name: str) -> Callable[[Path], None]:
    def replace(folder: Path) -> None:
        (folder / name).unlink()
        (folder / name).mkdir()

    return replace


def replaced_by(name: str, text: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_text(text) and None


def sparse(name: str, size: int) -> Callable[[Path], None]:
    return lambda folder: os.truncate(folder / name, size)


ALIASES = "a0: &a0 [x]\n" + "\n".join(
    f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 10)
)
DAMAGES: dict[str, Callable[[Path], None]] = {
    "aliases": replaced_by("config.yaml", ALIASES),
    "brackets": replaced_by("config.yaml", "a: " + "[" * 100_000),
    "journal is a folder": replaced_by_a_folder("journal.jsonl"),
    "journal is a pipe": replaced_by_a_pipe("journal.jsonl"),
    "journal of one line": sparse("journal.jsonl", 1 << 30),
    "journal of a terabyte": sparse("journal.jsonl", 1 << 40),
    "config is a pipe": replaced_by_a_pipe("config.yaml"),
    "config of a gigabyte": sparse("config.yaml", 1 << 30),
    "experiment is a pipe": replaced_by_a_pipe("experiment.json"),
    "experiment is a folder": replaced_by_a_folder("experiment.json"),
    "experiment of brackets": replaced_by("experiment.json", "[" * 100_000),
    "experiment of a list": replaced_by("experiment.json", "[]"),
    "experiment of digits": replaced_by("experiment.json", '{"kind": ' + "9" * 5000 + "}"),
    "experiment of a gigabyte": sparse("experiment.json", 1 << 30),
    "verdict is a list": replaced_by("verdict.json", "[]"),
    "verdict of brackets": replaced_by("verdict.json", "[" * 100_000),
    "verdict of a gigabyte": sparse("verdict.json", 1 << 30),
    "path out": lambda f: append(f, event("checkpoint", timesteps=256, path="ray/../../x")),
    "absolute path": lambda f: append(f, event("checkpoint", timesteps=256, path="/tmp/x")),
    "exchange out": lambda f: append(
        f, event("exploit", donor="00001", sample={}, timesteps=256, checkpoint="../../x")
    ),
    "trial out": lambda f: append(f, event("created", trial_id="../x", index=99, sample={})),
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_search(tmp_path_factory.mktemp("made"), n_trials=2).path


def copies(made: Path, storage: Path, *names: str) -> list[Path]:
    return [Path(shutil.copytree(made, storage / name)) for name in names]


@pytest.mark.parametrize("name", DAMAGES)
def test_one_bad_folder_hides_no_other(made: Path, tmp_path: Path, name: str) -> None:
    *good, bad = copies(made, tmp_path, "a", "b", "bad")
    DAMAGES[name](bad)
    found = {one.path: one for one in list_searches(tmp_path)}
    assert [found[str(path)].state for path in good] == ["finished", "finished"]
    assert found[str(bad)].state == "damaged"
    assert 0 < len(found[str(bad)].problem) < 5000
    with pytest.raises(FinRLRayError) as caught:
        read_search(bad)
    assert "bad" in str(caught.value)
    left_out: list[str] = []
    assert [s.path for s in read_searches([*good, bad], left_out=left_out)] == good
    assert len(left_out) == 1
    with pytest.raises(FinRLRayError):
        read_searches([good[0], bad], left_out=[])


MALFORMED = (
    "[" * 100_000,
    '{"a":' * 100_000,
    "9" * 5000,
    "[]",
    "null",
    event("created", index="x", sample={}),
    event("created", index=-1, sample={}),
    event("created", index=10**30, sample={}),
    event("start", index=3, sample=[]),
    event("result", metrics=[]),
    event("result", metrics={"timesteps": "many"}),
    event("result", metrics={"timesteps": 256, "objective": "high"}),
    event("result", metrics={"timesteps": 256, "eval/sharpe_ratio": [1]}),
    event("result", metrics={"timesteps": 256, "objective": 10**400}),
    event("end", state="won", reason="?"),
    event("end", state="failed", reason=None),
    event("note", text={}),
    event("back", to="the start"),
    json.dumps({"event": {}, "n": 1, "time": 0}),
    json.dumps({"event": "start", "n": "one", "time": 0}),
    json.dumps({"event": "search", "state": "started", "n": 5000, "time": "today"}),
)


@pytest.mark.parametrize("line", MALFORMED, ids=range(len(MALFORMED)))
def test_a_line_that_is_no_event_is_left_out(made: Path, tmp_path: Path, line: str) -> None:
    (folder,) = copies(made, tmp_path, "a")
    before = read_events(folder)
    append(folder, line)
    assert read_events(folder) == before
    assert list_searches(tmp_path)[0].state == "finished"


def test_an_exchange_with_a_trial_that_never_was_is_left_out(made: Path, tmp_path: Path) -> None:
    (folder,) = copies(made, tmp_path, "a")
    append(folder, event("exploit", donor="00009", sample={}, timesteps=256, checkpoint="ray/x"))
    assert read_journal(folder).trials["00000"].exploits == []
    assert list_searches(tmp_path)[0].state == "finished"


def test_nothing_outside_a_folder_is_deleted(tmp_path: Path) -> None:
    victim, folder = tmp_path / "victim", tmp_path / "runs" / "search"
    for path in (victim / "checkpoint_000001", folder / "ray" / "t" / "checkpoint_000001"):
        path.mkdir(parents=True)
        (path / "file").write_text("precious")
    (folder / "ray" / "linked").symlink_to(victim)
    storage = CheckpointStorage(folder)
    for path in ("ray/../../../victim", str(victim), "ray/linked", "ray/linked/checkpoint_000001"):
        for use in (storage.delete, storage.exists, storage.checkpoint, storage.absolute):
            with pytest.raises(SearchError, match="is not followed"):
                use(path)
        with pytest.raises(SearchError, match="is not followed"):
            storage.read(path, "file")
    assert (victim / "checkpoint_000001" / "file").read_text() == "precious"
    storage.delete("ray/t/checkpoint_000001")
    assert not (folder / "ray" / "t" / "checkpoint_000001").exists()


def test_a_journal_that_names_a_victim_is_not_read_so_nothing_is_pruned(tmp_path: Path) -> None:
    victim, folder = tmp_path / "victim", tmp_path / "search"
    victim.mkdir()
    folder.mkdir()
    records = TrialRecords()
    append_event(folder, records, "start", trial_id="00000", index=0, sample={})
    for steps in (1, 2, 3, 4):
        place = {"trial_id": "00000", "timesteps": steps, "path": f"ray/../../victim/{steps}"}
        append_event(folder, records, "checkpoint", **place)
    with pytest.raises(SearchError, match=r"line 2, names 'ray/\.\./\.\./victim/1'"):
        read_journal(folder)
    storage = CheckpointStorage(folder)
    with pytest.raises(SearchError, match="is not followed"):
        prune(storage, records.in_order(), ExperimentConfig(), delete_at_once(storage))
    assert victim.is_dir()


def test_a_search_that_was_moved_finds_its_checkpoints(tmp_path: Path) -> None:
    storage = CheckpointStorage(tmp_path)
    here = f"{tmp_path}/ray/trial_00000/checkpoint_000001"
    for before in (here, "/elsewhere/runs/x/ray/trial_00000/checkpoint_000001"):
        assert storage.moved_checkpoint(before).path == here


@pytest.mark.parametrize(
    ("name", "size"), [("manifest.json", 1 << 27), ("config.yaml", 1 << 26), ("curves.npz", 100)]
)
def test_a_reproduction_file_is_not_unpacked_before_it_is_refused(
    tmp_path: Path, name: str, size: int
) -> None:
    path = tmp_path / "reproduction.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        with file.open(name, "w", force_zip64=True) as member:
            block = b" " * (1 << 20)
            for _ in range(max(1, size >> 20)):
                member.write(block)
        if name != "manifest.json":
            file.writestr("manifest.json", '{"format": 1, "data_hash": "x"}')
    with pytest.raises(SearchError, match="is damaged") as caught:
        read_reproduction(path)
    assert len(str(caught.value)) < 1000


def test_a_damaged_table_is_named(made: Path, tmp_path: Path) -> None:
    for name, content in (
        ("account_curves.parquet", b"no parquet"),
        ("residual_returns.parquet", b""),
        ("baselines.csv", b"\xff\xfe\x00"),
    ):
        (folder,) = copies(made, tmp_path, f"of_{name}")
        (folder / name).write_bytes(content)
        report = read_search(folder)
        with pytest.raises(SearchError, match=name):
            _ = (report.account_curve, report.judged_returns, report.baselines)
