"""What the commands print, and with which exit code they end."""

import contextlib
import dataclasses
import json
import os
import signal
import sys
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from signal import SIGINT, SIGTERM
from typing import TYPE_CHECKING, Annotated

import typer

from finrl_ray.errors import FinRLRayError
from finrl_ray.support.text import counted, times

if TYPE_CHECKING:
    from rich.console import Console

    from finrl_ray.diagnostics.findings import Finding, FindingsReport
    from finrl_ray.search.folder.test_openings import Opening
    from finrl_ray.search.reproduce.replay import Replay
    from finrl_ray.search.reproduce.reproduce import Reproduction
    from finrl_ray.search.results.verdict import SearchVerdict
    from finrl_ray.search.run.runner import SearchResult
    from finrl_ray.support.progress import Progress
    from finrl_ray.workflows.backtest import Backtest

EXIT_INTERRUPTED = 130
EXIT_ERROR = 2
EXIT_NO_WINNER = 1
EXIT_DIFFERENT = 1
EXIT_NO_EVIDENCE = 3
EXIT_UNDECIDED = 4

# a Path would make s3:/ of s3://
FolderArgument = Annotated[str, typer.Argument(help="The folder of a search, or its URL.")]
AddressOption = Annotated[
    str | None,
    typer.Option(
        help="Join a Ray: auto (the one on this machine) or host:port of a cluster's head. "
        "Default: RAY_ADDRESS, else a Ray of its own."
    ),
]
DashboardOption = Annotated[
    bool,
    typer.Option(
        "--dashboard/--no-dashboard",
        help="Start its Ray with the dashboard, on 127.0.0.1 (150 MB, a second).",
    ),
]


JsonOption = Annotated[
    bool, typer.Option("--json", help="Print JSON, for other programs, and nothing else.")
]
ReportOption = Annotated[
    bool, typer.Option("--report/--no-report", help="Write the HTML report at the end.")
]
OpenOption = Annotated[
    bool, typer.Option("--open", help="Open the report in the browser, where there is a screen.")
]
TrustOption = Annotated[
    bool,
    typer.Option(
        "--trust", help="Run code that is in the folder's files: they are of somebody you trust."
    ),
]


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
    bars = Bars(*columns, console=Console(stderr=True), transient=True)
    task = bars.add_task("", total=None)

    def update(what: str, done: int, total: int) -> None:
        if done >= total:  # what comes next may print lines of its own
            bars.stop()
            return
        bars.update(task, description=what, completed=done, total=total)
        if not bars.live.is_started:
            bars.start()

    try:
        yield update
    finally:
        bars.stop()


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


def show_training(path: Path, completed: bool, *, with_test: bool, trust: bool = False) -> None:
    """Print how one training has ended; with the test window if it is wanted."""
    print(f"folder: {path}")
    if not completed:
        print("interrupted; what was evaluated is kept")
        print(f"go on with: finrl-ray resume {path}")
        raise typer.Exit(EXIT_INTERRUPTED)
    from finrl_ray.search.folder.folder import open_folder

    (record,) = open_folder(path).records().in_order()
    if record.state == "rejected":
        print(f"rejected: {record.reason}; the test window stays sealed", file=sys.stderr)
        raise typer.Exit(EXIT_NO_WINNER)
    if with_test:
        from finrl_ray.workflows.backtest import backtest as run_backtest

        show_backtest(run_backtest(path, trust=trust))
    else:
        print(f"the test window is still sealed; open it with: finrl-ray backtest {path}")


def show_report(folder: str | Path, *, open_page: bool, trust: bool = False) -> None:
    """Write the report of a search and print where it is."""
    from finrl_ray.report.write import write_report

    with progress_bar() as progress:
        path = write_report(folder, progress=progress, trust=trust)
    say(f"report: {path}")
    if open_page and _has_screen():
        import webbrowser

        webbrowser.open(path.resolve().as_uri())


def _report_at_end(folder: Path, *, open_page: bool, trust: bool) -> None:
    """Write the report; where that fails, the search's own result and exit code stand."""
    try:
        show_report(folder, open_page=open_page, trust=trust)
    except FinRLRayError as error:
        print(f"no report was written: {error}", file=sys.stderr)
    except Exception as error:  # noqa: BLE001  # a fault of the report is none of the search
        print(
            f"no report was written: unexpected {type(error).__name__}: {error}\n"
            "This is a fault of finrl-ray; for the traceback run: "
            f"finrl-ray report {folder} --debug",
            file=sys.stderr,
        )


def _has_screen() -> bool:
    """Return whether a browser could be seen: without a screen a text browser would come up."""
    if sys.platform in ("darwin", "win32"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def show_result(
    result: "SearchResult",
    with_backtest: bool,
    *,
    fail_on_no_evidence: bool = False,
    with_report: bool = True,
    open_page: bool = False,
    trust: bool = False,
) -> None:
    """Print the ranking, the verdict, and what comes next; end with the code that fits."""
    try:
        _show_ending(result, with_backtest, trust=trust)
    finally:
        # whatever the search has come to, and whatever the exit code will be
        if with_report:
            _report_at_end(result.path, open_page=open_page, trust=trust)
    judged = result.judged
    if fail_on_no_evidence and not (judged and judged.shows_evidence):
        raise typer.Exit(EXIT_NO_EVIDENCE)


def _show_ending(result: "SearchResult", with_backtest: bool, *, trust: bool) -> None:
    from finrl_ray.report.terminal_tables import ranking

    screen = console()
    if len(result.table):
        screen.print(ranking(result.table))
    print(f"\nfolder: {result.path}")
    if result.remote:
        print(f"checkpoints, and a copy of the folder: {result.remote}")
    if not result.finished:
        states = result.table["state"].tolist() if len(result.table) else []
        ended = sum(state != "interrupted" for state in states)
        print(
            f"interrupted with {ended} of {counted(result.planned, 'trial')} ended; nothing "
            "reported is lost"
        )
        print(f"go on with: finrl-ray resume {result.path}")
        raise typer.Exit(EXIT_INTERRUPTED)
    if not len(result.table):
        print(f"no trial was started: {result.ended_by}", file=sys.stderr)
        raise typer.Exit(EXIT_NO_WINNER)
    if result.ended_by:
        print(f"ended early: {result.ended_by}")
    if not (result.table["rank"] == 1).any():
        show_verdict(result.judged)
        print("no trial can win; see the reasons above", file=sys.stderr)
        raise typer.Exit(EXIT_NO_WINNER)
    show_verdict(result.judged)
    if with_backtest:
        from finrl_ray.workflows.backtest import backtest as run_backtest

        show_backtest(run_backtest(result.path, trust=trust))
    else:
        print(f"next: finrl-ray backtest {result.path}")


def show_verdict(judged: "SearchVerdict | None") -> None:
    """Print whether the winner is more than luck, the word first and in colour."""
    if judged is None:
        return
    colours = {"evidence": "bold green", "weak evidence": "bold yellow"}
    first, *rest = judged.sentences()
    screen = console()
    screen.print()
    screen.print(
        hanging(first, screen, 2), style=colours.get(judged.verdict.kind, "bold red"), markup=False
    )
    for line in rest:
        said = hanging(line, screen, 2)
        screen.print(f"  {said}", highlight=False, soft_wrap=True, markup=False)


def show_backtest(result: "Backtest") -> None:
    """Print the winner beside the baselines, and how often the test window has been opened."""
    from finrl_ray.report.terminal_tables import backtest_table

    console().print(backtest_table(result))
    from finrl_ray.report.terminal_tables import number

    print("beyond: annual Sharpe ratio of the returns beyond those of buy & hold")
    print(
        f"probability that the agent's is truly above 0: {number(result.psr)}; p-value that agent "
        f"and buy & hold have one Sharpe ratio: {number(result.difference_p)}"
    )
    for note in result.notes:
        print(note)
    show_openings(result.opened)
    if result.repeated:
        print("shown again from the earlier run; --again opens the window once more")


def show_openings(opened: "Sequence[Opening]") -> None:
    """Print how often the test window has been opened, and each time on what."""
    print(f"the test window of this search has been opened {times(len(opened))}")
    for opening in opened:
        print(f"  {opening.sentence()}")


def end_on_agreement(found: "Replay | Reproduction", what: str, differences: list[str]) -> None:
    """Print what a repeated training has come to, and end with the exit code for it.

    Parameters
    ----------
    found : the comparison
    what : the subject of the sentence, and its verb
    differences : what is not as recorded, in words
    """
    from finrl_ray.search.reproduce.agreement import elsewhere_words, where_lines

    if found.agreement == "exact":
        print(f"{what} as recorded, bit for bit")
        return
    lines = where_lines(found.elsewhere, known=found.processor_known)
    if found.agreement == "different":
        for line in differences:
            print(f"not as recorded: {line}", file=sys.stderr)
        raise typer.Exit(EXIT_DIFFERENT)
    for line in lines:
        print(line)
    largest = getattr(found, "largest_of_all", None)
    said = elsewhere_words(
        found.agreement, found.largest_difference if largest is None else largest
    )
    if found.agreement == "within tolerance":
        print(f"{what} {said}")
        return
    print(said, file=sys.stderr)
    raise typer.Exit(EXIT_UNDECIDED)
