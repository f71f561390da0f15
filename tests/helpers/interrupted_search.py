"""Searches that are interrupted and resumed: in a process of their own, or in that of the test.

A process of its own, with a Ray of its own, is half a minute of CPU. What a kill leaves of a search
is in its folder: `searched_with_a_copy` takes it from a search that goes on, and ends as if nothing
had been.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pandas as pd
from ray import tune

from finrl_ray.config.load import load_config
from finrl_ray.search.run.runner import run_search

UNCLOCKED = ["time_s", "failures"]


class AtResult(tune.Callback):
    """Does something in the driver, once: when so many results have come."""

    def __init__(self, number: int = 1) -> None:
        self.left = number

    def act(self) -> None:
        """Do it."""
        raise NotImplementedError

    def on_trial_result(
        self, iteration: int, trials: Any, trial: Any, result: Any, **info: Any
    ) -> None:
        """Count."""
        self.left -= 1
        if self.left == 0:
            self.act()


class Interrupter(AtResult):
    """Sends Ctrl-C to this process, as a terminal does."""

    def act(self) -> None:
        os.kill(os.getpid(), signal.SIGINT)


class Copier(AtResult):
    """Copies the search's folder: what a kill of the driver and of its trials would leave."""

    def __init__(self, folder: Path, target: Path, number: int) -> None:
        super().__init__(number)
        self.folder, self.target = folder, target

    def act(self) -> None:
        shutil.copytree(self.folder, self.target, copy_function=_copied_if_there)


def _copied_if_there(source: str, target: str) -> None:
    with contextlib.suppress(FileNotFoundError):  # a trial has renamed it meanwhile
        shutil.copy2(source, target)


def searched_with_a_copy(config: Path, after: int, target: Path) -> pd.DataFrame:
    """Return the table of a config's search that runs to its end, and its folder as it once was.

    It runs in this process and on its Ray. The file is read again, because the order of the entries
    in it is that of the draws.

    Parameters
    ----------
    config : the file
    after : results after which the folder is copied
    target : where the copy will be
    """

    def copier(folder: Any, *_: Any) -> Copier:
        return Copier(folder.path, target, after)

    return table(run_search(load_config(config), make_view=copier).path)


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
