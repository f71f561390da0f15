"""How searches, trainings and backtests have ended: printed, with the exit code that fits."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from finrl_ray.cli.options import (
    EXIT_DIFFERENT,
    EXIT_INTERRUPTED,
    EXIT_NO_EVIDENCE,
    EXIT_NO_WINNER,
    EXIT_UNDECIDED,
)
from finrl_ray.cli.screen import console, hanging, progress_bar, say
from finrl_ray.errors import FinRLRayError
from finrl_ray.support.text import counted, times

if TYPE_CHECKING:
    from finrl_ray.search.folder.test_openings import Opening
    from finrl_ray.search.reproduce.replay import Replay
    from finrl_ray.search.reproduce.reproduce import Reproduction
    from finrl_ray.search.results.verdict import SearchVerdict
    from finrl_ray.search.run.runner import SearchResult
    from finrl_ray.workflows.backtest_files import Backtest


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
        screen.print(ranking(result.table, ranked_by=result.ranked_by))
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
    from finrl_ray.report.terminal_tables import backtest_table, costs_view

    console().print(backtest_table(result))
    from finrl_ray.report.terminal_tables import number
    from finrl_ray.statistics.verdict import FORMER_RULE

    if result.earnings is not None:
        print(result.earnings.sentence("the winner"))
    former = result.rule == FORMER_RULE
    what = "returns beyond those of buy & hold" if former else "returns beside the market"
    print(
        f"probability that the agent's {what} have a Sharpe ratio above 0: {number(result.psr)}; "
        "p-value that agent and buy & hold have one Sharpe ratio: "
        f"{number(result.difference_p)}"
    )
    for note in result.notes:
        print(note)
    if result.trading is not None:
        console().print(costs_view(result.trading))
        print(result.trading.costs_sentence())
        for line in result.trading.lines():
            print(line)
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
