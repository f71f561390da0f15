"""Searches in a process of their own, to be ended by signals and resumed."""

import subprocess
import sys
import time
from pathlib import Path

import pandas as pd

from finrl_ray.config.load import load_config
from finrl_ray.search.run.runner import run_search

UNCLOCKED = ["time_s", "failures"]


def start(config: Path, *arguments: str) -> "subprocess.Popen[str]":
    command = [
        sys.executable,
        "-m",
        "finrl_ray",
        "tune",
        str(config),
        "--no-dashboard",
        "--no-report",
        *arguments,
    ]
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=config.parent,
        start_new_session=True,
    )


def undisturbed_table(config: Path) -> pd.DataFrame:
    """Return the table of a config's search that runs to its end, in this process and its Ray.

    The file is read again, because the order of the entries in it is that of the draws.
    """
    return table(run_search(load_config(config)).path)


def _resume_command(folder: Path) -> list[str]:
    options = ["--no-dashboard", "--no-report"]
    return [sys.executable, "-m", "finrl_ray", "resume", str(folder), *options]


def resuming(folder: Path) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        _resume_command(folder), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def resume(folder: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(_resume_command(folder), capture_output=True, text=True, check=False)


def wait_for_results(storage: Path, count: int, process: "subprocess.Popen[str]") -> Path:
    deadline = time.monotonic() + 1200
    while time.monotonic() < deadline:
        assert process.poll() is None, process.communicate()[0]
        for folder in _searches(storage):
            journal = folder / "journal.jsonl"
            if journal.exists() and journal.read_text().count('"event": "result"') >= count:
                return folder
        time.sleep(0.05)
    process.kill()
    raise AssertionError("the search reported too little in 20 minutes")


def _searches(storage: Path) -> list[Path]:
    """Return the searches' folders; none while the storage is not there for good.

    A search that begins makes the folder to see whether it may write there, and takes it away
    again: a listing that falls between the two finds nothing.
    """
    try:
        return list(storage.glob("small_*"))
    except FileNotFoundError:
        return []


def table(folder: Path) -> pd.DataFrame:
    return pd.read_csv(folder / "trials.csv").drop(columns=UNCLOCKED)
