"""The commands that read what searches have left: `show`, `ls`, `report`, `compare`."""

import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from finrl_ray.cli.options import FolderArgument, JsonOption, OpenOption, TrustOption
from finrl_ray.cli.results import show_openings, show_report, show_verdict
from finrl_ray.cli.screen import console, ended_like_ctrl_c, progress_bar, quiet, say, short_lived
from finrl_ray.errors import ConfigError

if TYPE_CHECKING:
    from finrl_ray.report.read_search import SearchReport


SHOWN_TRIALS = 50
"""Trials that `show` prints of a longer table."""


def register(app: typer.Typer) -> None:
    """Add these commands to the command line."""
    app.command()(show)
    app.command()(ls)
    app.command()(report)
    app.command()(compare)
    app.command()(tensorboard)
    app.command()(schema)


def show(
    folder: FolderArgument,
    top: Annotated[
        int | None,
        typer.Option(
            "--top",
            "--limit",
            help=f"Show the best N trials only; by default {SHOWN_TRIALS}, and all with --json.",
            min=1,
        ),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Show all trials.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show the ranked table of a search: running, interrupted or finished."""
    if everything and top is not None:
        raise ConfigError(f"--all and --top {top} exclude each other; leave one of them out")
    quiet()
    short_lived()
    from finrl_ray.report.read_search import read_search

    search = read_search(folder, trained=True)
    if as_json:
        from finrl_ray.report.as_json import json_text, search_json

        print(json_text(search_json(search, limit=top)))
        return
    _show(search, len(search.trials) if everything else top or SHOWN_TRIALS)


def _show(search: "SearchReport", top: int) -> None:
    from finrl_ray.report.terminal_tables import ranking

    rows, started = search.best_rows(top), len(search.trials)
    if rows:
        console().print(ranking(rows, ranked_by=search.ranked_by))
        if started > len(rows):
            say(
                f"{started - len(rows):,} of {started:,} trials are not shown; --top N shows the "
                "best N, --all shows all"
            )
    else:
        console().print("no trial has started yet")
    if search.folder.kind != "train":
        say(search.state_sentence())
    show_verdict(search.verdict)
    if search.opened:
        show_openings(search.opened)


def ls(
    storage: Annotated[
        str, typer.Argument(help="A storage path: a folder of searches, or its URL.")
    ] = "runs",
    as_json: JsonOption = False,
) -> None:
    """List all searches under a storage path, with state, progress and the best so far."""
    quiet()
    short_lived()
    from finrl_ray.report.listing import list_searches

    found = list_searches(storage)
    if as_json:
        from finrl_ray.report.as_json import json_text

        print(json_text(found))
        return
    if not found:
        say(f"there is no search under {storage}")
        return
    from finrl_ray.report.terminal_tables import listing_table

    screen = console()
    screen.print(listing_table(found, screen.width), crop=False)
    for one in found:
        if one.problem:
            say(f"{one.path}: {one.problem}")


def report(
    folder: FolderArgument, open_page: OpenOption = False, trust: TrustOption = False
) -> None:
    """Write the HTML report of a search, with every figure as PNG, SVG and CSV beside it.

    The search may be running, interrupted, failed or finished.
    """
    quiet()
    show_report(folder, open_page=open_page, trust=trust)


def compare(
    folders: Annotated[list[str], typer.Argument(help="Two or more folders of searches.")],
    html: Annotated[
        Path | None, typer.Option(help="Write a page with figures to this file as well.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Put several searches side by side: algorithms, environments, dates."""
    quiet()
    from finrl_ray.report.pages import comparison

    left_out: list[str] = []
    with progress_bar() as progress:
        searches = comparison.read_searches(folders, progress, left_out)
    for line in left_out:
        print(f"left out: {line}", file=sys.stderr)
    table = comparison.comparison_table(searches)
    cautions = comparison.cautions(searches)
    different = comparison.config_differences(searches)
    if html is not None:
        with progress_bar() as progress:
            comparison.write_comparison(searches, html, progress)
    if as_json:
        from finrl_ray.report.as_json import json_text

        content = {"searches": table, "settings": different, "cautions": cautions}
        print(json_text(content))
        return
    from finrl_ray.report.terminal_tables import comparison_view, settings_view

    console().print(comparison_view(table))
    if len(different):
        console().print(settings_view(different))
    for line in cautions:
        say(f"- {line}")
    if html is not None:
        say(f"page: {html}")


def tensorboard(
    folder: FolderArgument,
    port: Annotated[int, typer.Option(help="Port on 127.0.0.1; a free one if it is taken.")] = 6006,
) -> None:
    """Show a search in TensorBoard until Ctrl-C: scalars, and hyperparameters in parallel."""
    quiet()
    from finrl_ray.monitoring.tensorboard_server import launch_tensorboard
    from finrl_ray.search.folder.folder import open_folder
    from finrl_ray.search.folder.lock import is_driven
    from finrl_ray.search.folder.names import TENSORBOARD_FOLDER
    from finrl_ray.search.loggers.tensorboard import write_tensorboard_log

    opened = open_folder(folder)
    shown = opened.path
    if opened.kind != "train":
        shown = opened.path / TENSORBOARD_FOLDER
        # a search that runs writes them itself; one from a store has come without them
        if not shown.is_dir() and not is_driven(opened.path):
            write_tensorboard_log(opened.path, opened.config, opened.records())
    # Ctrl-C may come before it waits, too
    stopped = contextlib.suppress(KeyboardInterrupt)
    with ended_like_ctrl_c(), launch_tensorboard(shown, port) as server, stopped:
        say(f"TensorBoard: {server.url()} (Ctrl-C ends it)")
        server.wait()


def schema(
    out: Annotated[Path | None, typer.Option(help="Write it to this file instead.")] = None,
) -> None:
    """Print the JSON Schema of the config file, by which editors complete and check it."""
    from finrl_ray.config.reference.json_schema import schema_text

    if out is None:
        print(schema_text(), end="")
        return
    try:
        out.write_text(schema_text(), encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"the schema cannot be written to {out}: {error}") from error
    say(f"wrote {out}")
