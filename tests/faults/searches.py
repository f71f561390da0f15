"""Searches in processes of their own, for tests that kill them: start, resume, compare, clean up.

A search is used as its users use it: the command line, and the files in its folder.
"""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
import torch as th
import yaml

REPOSITORY = Path(__file__).parents[2]
INJECT = Path(__file__).parent / "inject"
PLAN_VARIABLE = "FINRL_RAY_FAULTS"
CLOCKS = ("time_s", "failures", "notes")
"""Columns in which a disturbed search may differ: clocks, failure counters, what is said."""

OPEN: list["Search"] = []
"""The searches that are inside their `with` blocks."""


@dataclass(kw_only=True)
class Search:
    """One search: its config, its processes, its folder.

    Parameters
    ----------
    home : an empty folder for the config, the runs and the output
    raw : the config, as in YAML; `search.storage_path` is set if it is missing
    runs : the folder in which the search makes its own; None: `home`/runs
    faults : see tests/faults/inject/sitecustomize.py
    env : more environment variables of the driver
    """

    home: Path
    raw: dict[str, Any]
    faults: Sequence[Mapping[str, Any]] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    arguments: Sequence[str] = ()
    runs: Path | None = None
    process: "subprocess.Popen[bytes] | None" = None

    def __post_init__(self) -> None:
        self.home.mkdir(parents=True, exist_ok=True)
        # Ray's socket paths must stay below 108 characters, so its folder cannot be in `home`
        self.ray_tmp = Path(tempfile.mkdtemp(prefix="fr", dir=tempfile.gettempdir()))
        self.raw["search"].setdefault("storage_path", str(self.home / "runs"))
        self.runs = self.runs or Path(self.raw["search"]["storage_path"])
        self.config = self.home / "config.yaml"
        self.config.write_text(yaml.safe_dump(self.raw), encoding="utf-8")
        plan = {"driver": str(self.home / "driver.pid"), "faults": list(self.faults)}
        (self.home / "plan.json").write_text(json.dumps(plan), encoding="utf-8")

    def _environment(self) -> dict[str, str]:
        inherited = os.environ.get("PYTHONPATH")
        paths = [str(INJECT)] if self.faults else []
        paths += [str(REPOSITORY), *([inherited] if inherited else [])]
        injected = {PLAN_VARIABLE: str(self.home / "plan.json")} if self.faults else {}
        return {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(paths),
            "RAY_TMPDIR": str(self.ray_tmp),
            # else Ray's processes write their titles over it, and are not found
            "SPT_NOENV": "1",
            **injected,
            **self.env,
        }

    def _run(self, *arguments: str) -> None:
        with self.output_path.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "finrl_ray", *arguments],
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=self.home,
                env=self._environment(),
                start_new_session=True,
            )
        (self.home / "driver.pid").write_text(str(self.process.pid), encoding="utf-8")

    @property
    def output_path(self) -> Path:
        return self.home / "output.txt"

    @property
    def output(self) -> str:
        """All that the search's processes have printed."""
        return self.output_path.read_text(encoding="utf-8", errors="replace")

    @property
    def folder(self) -> Path:
        """The search's folder; there is one."""
        assert self.runs is not None
        (folder,) = [path for path in self.runs.iterdir() if path.is_dir()]
        return folder

    def start(self) -> None:
        self._run("tune", str(self.config), "--no-report", *self.arguments)

    def resume(self, target: str | None = None) -> None:
        self._run("resume", target or str(self.folder), "--no-report")

    def wait(self, timeout_s: float = 1200.0) -> int:
        """Return the exit code of the process that runs; kill it and raise if it takes longer."""
        assert self.process is not None
        try:
            return self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.kill_everything()
            raise AssertionError(f"still running after {timeout_s} s\n{self.tail()}") from None

    def worker_logs(self) -> str:
        """What Ray's workers have logged, over all sessions of this search."""
        logs = sorted(self.ray_tmp.glob("**/session_*/logs/worker-*"))
        return "".join(path.read_text(encoding="utf-8", errors="replace") for path in logs)

    def tail(self, lines: int = 15) -> str:
        return "\n".join(self.output.splitlines()[-lines:])

    def fired(self, name: str) -> bool:
        return (self.home / f"fired-{name}").exists()

    def events(self) -> list[dict[str, Any]]:
        """The journal's events up to this moment; half a last line is left out."""
        try:
            text = (self.folder / "journal.jsonl").read_text(encoding="utf-8", errors="replace")
        except (OSError, ValueError):
            return []
        found = []
        for line in text.splitlines():
            try:
                found.append(json.loads(line))
            except ValueError:
                continue
        return found

    def wait_for(
        self, ready: Callable[[list[dict[str, Any]]], bool], timeout_s: float = 1200.0
    ) -> None:
        """Wait until the journal's events satisfy `ready`, while the process runs."""
        assert self.process is not None
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            if ready(self.events()):
                return
            assert self.process.poll() is None, f"ended early: {self.tail()}"
            time.sleep(0.05)
        self.kill_everything()
        raise AssertionError(f"nothing of the kind in {timeout_s} s\n{self.tail()}")

    def wait_for_results(self, count: int) -> None:
        self.wait_for(lambda events: sum(e["event"] == "result" for e in events) >= count)

    def processes(self) -> list[psutil.Process]:
        """Every process of this search that is alive, known by its Ray folder."""
        return processes_below(str(self.ray_tmp))

    def kill_everything(self) -> None:
        for process in self.processes():
            _signal(process, signal.SIGKILL)
        if self.process is not None:
            self.process.wait(600)

    def close(self) -> None:
        """Kill what is left and delete Ray's files."""
        self.kill_everything()
        shutil.rmtree(self.ray_tmp, ignore_errors=True)

    def __enter__(self) -> "Search":
        OPEN.append(self)
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
        OPEN.remove(self)


def close_all_on_sigterm() -> None:
    """Leave no search behind when this process is ended, as by `timeout`."""

    def close_all(*_: object) -> None:
        for search in OPEN:
            search.close()
        os._exit(128 + signal.SIGTERM)

    signal.signal(signal.SIGTERM, close_all)


def processes_below(ray_tmp: str) -> list[psutil.Process]:
    """Return the living processes whose Ray folder is `ray_tmp`."""
    return [process for process in psutil.process_iter() if _ray_tmp(process) == ray_tmp]


def _ray_tmp(process: psutil.Process) -> str | None:
    try:
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        return process.environ().get("RAY_TMPDIR")
    except (psutil.NoSuchProcess, psutil.AccessDenied, OSError):
        return None


def _signal(process: psutil.Process, number: int) -> None:
    try:
        process.send_signal(number)
    except psutil.NoSuchProcess:
        return


@dataclass(frozen=True, kw_only=True)
class TrialResult:
    """What one trial left: its row, its learning curve, the digest of its last checkpoint's model.

    All of it as text, so that equal means equal bit for bit.
    """

    row: dict[str, str]
    curve: tuple[tuple[str, ...], ...]
    parameters: str
    failures: int


def results_by(folder: Path, key: str) -> dict[str, TrialResult]:
    """Return the trials of a search by one column of its table, such as a hyperparameter.

    Raises
    ------
    AssertionError
        If two rows have the same value: a trial is doubled.
    """
    table = read_text_table(folder / "trials.csv")
    curves = read_text_table(folder / "learning_curves.csv")
    checkpoints = last_checkpoints(folder)
    found: dict[str, TrialResult] = {}
    for row in table.to_dict("records"):
        assert row[key] not in found, f"two rows have {key} {row[key]}"
        own = curves[curves["trial"] == row["trial"]].drop(columns=["trial", *_in(curves, CLOCKS)])
        found[row[key]] = TrialResult(
            row={k: v for k, v in row.items() if k not in CLOCKS},
            curve=tuple(map(tuple, own.to_numpy().tolist())),
            parameters=parameters_digest(checkpoints[int(row["trial"])]),
            failures=int(row["failures"]),
        )
    return found


def read_text_table(path: Path) -> pd.DataFrame:
    return pd.read_csv(path, dtype=str, keep_default_na=False)


def whole_results(folder: Path) -> dict[str, str]:
    """Return the table, the curves and the final model's digest as text, without clocks."""
    found = {}
    for name in ("trials.csv", "learning_curves.csv"):
        frame = read_text_table(folder / name)
        found[name] = frame.drop(columns=_in(frame, CLOCKS)).to_csv(index=False)
    found["final_model"] = parameters_digest(folder / "final_model")
    return found


def _in(frame: pd.DataFrame, names: Sequence[str]) -> list[str]:
    return [name for name in names if name in frame]


def last_checkpoints(folder: Path) -> dict[int, Path]:
    """Return the newest checkpoint folder of each trial, by its number, as the journal names it."""
    numbers: dict[str, int] = {}
    newest: dict[int, tuple[int, Path]] = {}
    for line in (folder / "journal.jsonl").read_text(encoding="utf-8").splitlines():
        try:
            event = json.loads(line)
        except ValueError:
            continue  # half a line of a killed driver
        if "index" in event and "trial_id" in event:
            numbers[event["trial_id"]] = event["index"]
        if event["event"] == "checkpoint":
            number, steps = numbers[event["trial_id"]], event["timesteps"]
            if number not in newest or steps >= newest[number][0]:
                newest[number] = (steps, folder / event["path"])
    return {number: path for number, (_, path) in newest.items()}


def parameters_digest(checkpoint: Path) -> str:
    """Return a digest of every tensor in a checkpoint's model: parameters and optimizers."""
    digest = hashlib.sha256()
    with zipfile.ZipFile(checkpoint / "model.zip") as archive:
        for name in sorted(n for n in archive.namelist() if n.endswith(".pth")):
            with archive.open(name) as file:
                _update(digest, name, th.load(file, weights_only=True))
    return digest.hexdigest()[:16]


def _update(digest: Any, name: str, value: Any) -> None:
    if isinstance(value, th.Tensor):
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    elif isinstance(value, Mapping):
        for key in value:
            _update(digest, f"{name}/{key}", value[key])
    elif isinstance(value, list | tuple):
        for position, item in enumerate(value):
            _update(digest, f"{name}/{position}", item)
    else:
        digest.update(f"{name}={value!r}".encode())
