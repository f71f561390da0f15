"""A real search's report: what the winner held is what its account was made of."""

import base64
import hashlib
import io
import json
import os
import pickle
import shutil
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch as th
from small_search import small_config

from finrl_ray.cli.main import main
from finrl_ray.report import figures
from finrl_ray.report.read_search import SearchReport, read_search
from finrl_ray.report.winner_account import ACCOUNT_FILE, test_account, validation_account
from finrl_ray.report.write import write_report
from finrl_ray.search.run.runner import run_search
from finrl_ray.workflows import backtest

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", params=["close", pytest.param("next_open", marks=pytest.mark.long)])
def search(request, ray_session: None, tmp_path_factory: pytest.TempPathFactory) -> SearchReport:
    place = tmp_path_factory.mktemp("account")
    config = small_config(
        place, env={"fill": request.param, "hmax": 500}, search={"num_samples": 2}
    )
    result = run_search(config)
    backtest.backtest(result.path)
    return read_search(result.path)


def test_cash_and_positions_are_the_account(search: SearchReport) -> None:
    frame = validation_account(search)
    assert frame is not None
    value = (frame["shares"] * frame["close"]).groupby(frame["date"]).sum()
    daily = frame.groupby("date").first()
    np.testing.assert_allclose(value + daily["cash"], daily["account_value"], rtol=1e-9)
    # it is the very evaluation by which the trial was judged
    np.testing.assert_allclose(
        daily["account_value"].to_numpy(), search.account_curve["account_value"], rtol=1e-6
    )
    assert daily["cost"].iloc[0] == 0.0
    assert (daily["cost"] >= 0).all()


def test_the_test_window_likewise(search: SearchReport) -> None:
    frame = test_account(search)
    assert frame is not None
    value = (frame["shares"] * frame["close"]).groupby(frame["date"]).sum()
    account = frame.groupby("date")["account_value"].first()
    assert (value <= account * (1 + 1e-9)).all()
    assert account.to_numpy() == pytest.approx(search.backtest_curves["agent"].to_numpy())


def test_the_model_is_asked_once(search: SearchReport, monkeypatch) -> None:
    first = validation_account(search)
    kept = search.path / ACCOUNT_FILE
    before = kept.stat().st_mtime_ns
    monkeypatch.setattr("finrl_ray.search.results.winner.load_winner", None)
    pd.testing.assert_frame_equal(validation_account(search), first)
    assert kept.stat().st_mtime_ns == before


def test_every_figure_but_the_confirmed_is_there(search: SearchReport) -> None:
    empty = [make.__name__ for make in figures.ALL if make(search).empty]
    # two trials are too few for an importance
    assert empty == ["seeds_and_windows", "importance"]
    write_report(search.path)
    assert (search.path / "report" / "test_account_curves.svg").is_file()
    positions = figures.positions(search)
    (areas,) = positions.panels[0].marks
    total = np.sum(list(areas.layers.values()), axis=0)
    np.testing.assert_allclose(total, 1.0)


class Planted:
    """Unpickling one makes a folder: what a pickle of somebody else may do."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


def plant(path: Path, evil: Planted) -> bool:
    """Put a pickle into one file of a search's folder, where files of its kind can hold one."""
    if path.suffix == ".pkl" and path.parent.name == "state":
        # whole but for its signature, which only the one who wrote it can make
        head, number, _ = path.read_bytes().split(b"\n", 2)
        payload = pickle.dumps(evil)
        digest = hashlib.sha256(payload).hexdigest().encode()
        path.write_bytes(b"\n".join([head, number.split(b" ")[0] + b" " + digest, payload]))
    elif path.suffix == ".pkl":
        path.write_bytes(pickle.dumps(evil))
    elif path.suffix == ".pt":
        th.save({"state": evil}, path)
    elif path.suffix == ".npz" and path.name != "market_data.npz":
        np.savez(path, **dict.fromkeys(["settings", "curves", "account_value"], holding(evil)))
    elif path.suffix == ".zip":
        plant_zip(path, evil)
    else:
        return False
    return True


def holding(evil: Planted) -> Any:
    array = np.empty(1, dtype=object)
    array[0] = evil
    return array


def plant_zip(path: Path, evil: Planted) -> None:
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    if "data" in members:  # a model of SB3
        data = json.loads(members["data"])
        text = base64.b64encode(pickle.dumps(evil)).decode()
        members["data"] = json.dumps(
            {name: {":type:": "x", ":serialized:": text} for name in data}
        ).encode()
        members["unknown.pth"] = b""
    for name in members:
        if name.endswith(".npz") and "data" not in members:
            buffer = io.BytesIO()
            np.savez(buffer, curves=holding(evil), data=holding(evil))
            members[name] = buffer.getvalue()
    members.pop("unknown.pth", None)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)


COMMANDS = (
    ("show",),
    ("ls",),
    ("compare",),
    ("report",),
    ("backtest", "--again"),
    ("replay",),
    ("reproduce",),
    ("resume", "--no-report"),
)


def said(arguments: list[str], capfd: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """Return the exit code and the output of one command."""
    capfd.readouterr()
    code = 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["finrl-ray", *arguments])
        try:
            main()
        except SystemExit as end:
            code = int(end.code or 0)
    return code, "".join(capfd.readouterr())


def places(command: str, folder: Path) -> list[str]:
    """Return what a command is given to read a search's folder."""
    if command == "ls":
        return [str(folder.parent)]
    if command == "compare":
        other = folder.with_name("other")
        shutil.copytree(folder, other)
        return [str(folder), str(other)]
    return [str(folder)]


@pytest.fixture
def planted(search: SearchReport, tmp_path: Path) -> tuple[Path, Path]:
    """A copy of a finished search with a pickle in every file that can hold one."""
    folder, target = tmp_path / "runs" / "search", tmp_path / "run"
    shutil.copytree(search.path, folder)
    kinds = {
        path.suffix for path in folder.rglob("*") if path.is_file() and plant(path, Planted(target))
    }
    assert {".zip", ".pkl", ".npz", ".pt"} <= kinds
    (folder / ACCOUNT_FILE).unlink()
    return folder, target


one_search = pytest.mark.parametrize("search", ["close"], indirect=True)


@one_search
@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_no_command_runs_what_is_in_a_finished_search(command, planted, capfd) -> None:
    folder, target = planted
    code, output = said([command[0], *places(command[0], folder), *command[1:]], capfd)
    assert not target.exists()
    assert "unexpected" not in output
    # what cannot be read is refused; models are read from what is no pickle
    allowed = {"replay": (0, 1), "reproduce": (2,)}
    assert code in allowed.get(command[0], (0,)), output


@one_search
def test_a_model_of_somebody_else_asks_for_trust(planted, capfd) -> None:
    folder, target = planted
    for name in ("final_model", "best_model"):
        file = folder / name / "model.zip"
        with zipfile.ZipFile(file) as archive:
            kept = {n: archive.read(n) for n in archive.namelist() if "finrl_ray" not in n}
        with zipfile.ZipFile(file, "w") as archive:
            for member, content in kept.items():
                archive.writestr(member, content)
    for command in (["report", str(folder)], ["backtest", str(folder), "--again"]):
        code, output = said(command, capfd)
        assert code == 2
        assert "--trust" in output
        assert not target.exists()
    said(["report", str(folder), "--trust"], capfd)
    assert target.exists()


@one_search
def test_an_unfinished_search_of_somebody_else_asks_for_trust(planted, capfd) -> None:
    folder, target = planted
    journal = folder / "journal.jsonl"
    lines = journal.read_text(encoding="utf-8").splitlines(keepends=True)
    last = max(n for n, line in enumerate(lines) if '"event": "end"' in line)
    journal.write_text("".join(lines[:last]), encoding="utf-8")
    number = max(json.loads(line).get("n", 0) for line in lines[:last])
    for file in (folder / "state").glob("*.pkl"):
        head, facts, payload = file.read_bytes().split(b"\n", 2)
        file.write_bytes(b"\n".join([head, b"%d %s" % (number, facts.split(b" ")[1]), payload]))
    for command in (*COMMANDS[:3], ("resume",), ("backtest",)):
        code, output = said([command[0], *places(command[0], folder)], capfd)
        assert not target.exists()
        if command[0] == "resume":
            assert code == 2
            assert "--trust" in output
