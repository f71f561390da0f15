"""The terminal: lines, progress bars and findings on it."""

import contextlib
import dataclasses
import gc
import json
import os
import signal
import textwrap
from collections.abc import Iterator
from signal import SIGINT, SIGTERM
from typing import TYPE_CHECKING

import typer

from finrl_ray.cli.options import EXIT_ERROR

if TYPE_CHECKING:
    from rich.console import Console

    from finrl_ray.diagnostics.findings import Finding, FindingsReport
    from finrl_ray.support.progress import Progress


def quiet() -> None:
    """Keep what Ray, numba and Optuna would print from the terminal."""
    # read by Ray and by numba when they are imported
    os.environ.setdefault("RAY_DEDUP_LOGS", "1")
    os.environ.setdefault("RAY_LOG_TO_STDERR", "0")
    import warnings

    warnings.filterwarnings("ignore", category=FutureWarning, module="ray")
    # after a killed search, trials report again what Optuna has seen
    warnings.filterwarnings("ignore", message="The reported value is ignored")


def console() -> "Console":
    """Return the terminal."""
    from rich.console import Console

    return Console()


@contextlib.contextmanager
def ended_like_ctrl_c() -> Iterator[None]:
    """Take SIGTERM and SIGINT as Ctrl-C, so that a child process is never left behind.

    A shell starts what it puts into the background with SIGINT ignored.
    """

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in (SIGTERM, SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def short_lived() -> None:
    """Collect no garbage: a command that reads, prints and ends has none, and much to look through.

    It takes a sixth of the time of reading thousands of trials. Nor does it look through all
    installed packages for plugins of pydantic, which checks configs.
    """
    gc.disable()
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")


@contextlib.contextmanager
def progress_bar() -> Iterator["Progress"]:
    """Return what shows a bar on the terminal's error output, from the first part on.

    Outside a terminal nothing is shown, so that logs stay short.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bars

    columns = (
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.description}", markup=False),
    )
    screen = Console(stderr=True)
    bars = Bars(*columns, console=screen, transient=True)
    task = bars.add_task("", total=None)

    def stop() -> None:
        if bars.live.is_started:  # one that has shown nothing would print an empty line
            bars.stop()

    def update(what: str, done: int, total: int) -> None:
        if done >= total:  # what comes next may print lines of its own
            stop()
            return
        bars.update(task, description=what, completed=done, total=total)
        if screen.is_terminal and not bars.live.is_started:
            bars.start()

    try:
        yield update
    finally:
        stop()


def hanging(text: str, console: "Console", indent: int) -> str:
    """Return `text` broken at words, its later lines indented; as it is outside a terminal."""
    if not console.is_terminal:
        return text
    margin = " " * indent
    width = max(20, console.width - indent)
    lines = [
        part
        for line in text.splitlines()
        for part in textwrap.wrap(line, width, break_long_words=False, break_on_hyphens=False)
    ]
    return f"\n{margin}".join(lines)


def say(line: str) -> None:
    """Print one line as it is."""
    console().print(line, highlight=False, soft_wrap=True, markup=False)


def show_findings(report: "FindingsReport", *, as_json: bool = False) -> None:
    """Print what was found, in colour; end with exit code 2 if there is an error."""
    if as_json:
        content = {
            "healthy": report.healthy,
            "summary": report.summary(),
            "findings": [dataclasses.asdict(finding) for finding in report.findings],
        }
        print(json.dumps(content, indent=2))
        if not report.healthy:
            raise typer.Exit(EXIT_ERROR)
        return
    for finding in report.findings:
        show_finding(finding)
    end_findings(report)


def show_finding(finding: "Finding") -> None:
    """Print one finding at once, in colour, also into a pipe."""
    screen = console()
    colours = {"error": "bold red", "warning": "yellow", "note": "cyan", "ok": "green"}
    screen.print(f"{finding.level:<8}", style=colours[finding.level], end="")
    said = hanging(f"{finding.where}: {finding.what}", screen, 8)
    screen.print(said, highlight=False, soft_wrap=True, markup=False)
    if finding.remedy:
        remedy = f"        -> {hanging(finding.remedy, screen, 11)}"
        screen.print(remedy, style="dim", soft_wrap=True, markup=False)
    screen.file.flush()


def end_findings(report: "FindingsReport") -> None:
    """Print the last line under findings; end with exit code 2 if there is an error."""
    console().print(f"\n{report.summary()}", highlight=False, style="bold")
    if not report.healthy:
        raise typer.Exit(EXIT_ERROR)
