"""The commands. Heavy modules are imported inside them, so that `--help` answers at once."""

import contextlib
import os
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from finrl_ray import cli_cluster
from finrl_ray.errors import FinRLRayError

if TYPE_CHECKING:
    from rich.console import Console

    from finrl_ray.report.backtest import Backtest
    from finrl_ray.search.runner import SearchResult

EXIT_INTERRUPTED = 130
EXIT_ERROR = 2
EXIT_NO_WINNER = 1
EXIT_DIFFERENT = 1

app = typer.Typer(
    name="finrl-ray",
    help="Tune deep-RL trading agents in parallel with Ray Tune and Stable-Baselines3. "
    "Add --debug to any command to see the traceback of an error.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

ConfigArgument = Annotated[Path, typer.Argument(help="A config.yaml; see `finrl-ray new`.")]
# a Path would make s3:/ of s3://
FolderArgument = Annotated[str, typer.Argument(help="The folder of a search, or its URL.")]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", help="Override one value: --set agent.total_timesteps=20000."),
]
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


def main() -> None:
    """Run the command line; a known error is one message and exit code 2, unless --debug."""
    arguments = [a for a in sys.argv[1:] if a != "--debug"]
    debug = len(arguments) < len(sys.argv) - 1
    try:
        app(args=arguments, prog_name="finrl-ray", standalone_mode=True)
    except FinRLRayError as error:
        if debug:
            raise
        _fail(str(error))
    except KeyboardInterrupt:
        if debug:
            raise
        print("\ninterrupted before anything was lost", file=sys.stderr)
        sys.exit(EXIT_INTERRUPTED)
    except Exception as error:
        if debug:
            raise
        _fail(
            f"unexpected {type(error).__name__}: {error}\n"
            "This is a fault of finrl-ray; run again with --debug for the traceback."
        )


def _fail(message: str) -> None:
    print(f"error: {message}", file=sys.stderr)
    sys.exit(EXIT_ERROR)


def _print_version(wanted: bool) -> None:
    if wanted:
        from finrl_ray import __version__

        print(f"finrl-ray {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print it."),
    ] = False,
) -> None:
    # typer makes `--version` from the parameter; its callback has done the work
    del version


@app.command()
def tune(
    config: ConfigArgument,
    overrides: SetOption = None,
    with_backtest: Annotated[
        bool, typer.Option("--backtest", help="Open the test window for the winner at the end.")
    ] = False,
    address: AddressOption = None,
    dashboard: DashboardOption = True,
) -> None:
    """Run a hyperparameter search."""
    from finrl_ray.config_file import load_config

    loaded = load_config(config, overrides or [])
    _quiet()
    from finrl_ray.live_view import LiveView
    from finrl_ray.search.preparation import prepare_search
    from finrl_ray.search.runner import run_search

    with _naming(config):
        prepared = prepare_search(loaded, base_dir=config.parent, address=address)
    console = _console()
    console.print(prepared.describe(), highlight=False, markup=False)
    console.print("joining Ray" if address else "starting Ray (a few seconds)")
    result = run_search(prepared, make_view=LiveView, address=address, dashboard=dashboard)
    _show_result(result, with_backtest)


@app.command()
def resume(
    folder: FolderArgument,
    with_backtest: Annotated[
        bool, typer.Option("--backtest", help="Open the test window for the winner at the end.")
    ] = False,
    address: AddressOption = None,
    dashboard: DashboardOption = True,
) -> None:
    """Go on with an interrupted search or training run from its checkpoints.

    A training run ends as it was started, with the test window or (`--no-test`) without.
    """
    _quiet()
    from finrl_ray.search.folder import open_folder

    opened = open_folder(folder)
    if opened.kind == "train":
        from finrl_ray.pipeline.from_config import resume_training, wants_test

        path, completed = resume_training(opened.path, say=_say)
        _show_training(path, completed, with_test=with_backtest or wants_test(path))
        return
    from finrl_ray.live_view import LiveView
    from finrl_ray.search.runner import resume_search

    result = resume_search(folder, make_view=LiveView, address=address, dashboard=dashboard)
    _show_result(result, with_backtest)


@app.command()
def train(
    config: ConfigArgument,
    overrides: SetOption = None,
    with_test: Annotated[
        bool,
        typer.Option(
            "--test/--no-test", help="Open the test window once, at the end, or leave it sealed."
        ),
    ] = True,
) -> None:
    """Train one agent as configured, without Ray, and evaluate it on the test window."""
    from finrl_ray.config_file import load_config

    loaded = load_config(config, overrides or [])
    _quiet()
    from finrl_ray.pipeline.from_config import train_from_config

    with _naming(config):
        path, completed = train_from_config(
            loaded, base_dir=config.parent, say=_say, open_test=with_test
        )
    _show_training(path, completed, with_test=with_test)


@app.command()
def doctor(config: ConfigArgument, overrides: SetOption = None) -> None:
    """Look for everything that is wrong with a config before a night of compute."""
    _quiet()
    from finrl_ray.practice.doctor import diagnose_config

    report = diagnose_config(config, overrides or [])
    console = _console()
    colours = {"error": "bold red", "warning": "yellow", "note": "cyan", "ok": "green"}
    for finding in report.findings:
        console.print(f"{finding.level:<8}", style=colours[finding.level], end="")
        said = _hanging(f"{finding.where}: {finding.what}", console, 8)
        console.print(said, highlight=False, soft_wrap=True, markup=False)
        if finding.remedy:
            remedy = f"        -> {_hanging(finding.remedy, console, 11)}"
            console.print(remedy, style="dim", soft_wrap=True, markup=False)
    console.print(f"\n{report.summary()}", highlight=False, style="bold")
    if not report.healthy:
        raise typer.Exit(EXIT_ERROR)


@app.command()
def backtest(
    folder: FolderArgument,
    again: Annotated[
        bool, typer.Option("--again", help="Open the test window once more; this is recorded.")
    ] = False,
) -> None:
    """Run the winner on the sealed test window, beside buy & hold."""
    _quiet()
    from finrl_ray.report.backtest import backtest as run_backtest

    _show_backtest(run_backtest(folder, again=again))


@app.command()
def show(
    folder: FolderArgument,
    limit: Annotated[int | None, typer.Option(help="Show the best N trials only.", min=1)] = None,
) -> None:
    """Show the ranked table of a search: running, interrupted or finished."""
    from finrl_ray.report.tables import ranking
    from finrl_ray.search.folder import open_folder
    from finrl_ray.search.results import trial_table

    opened = open_folder(folder)
    table = trial_table(opened.records().in_order(), opened.config)
    if len(table):
        _console().print(ranking(table, limit=limit))
    else:
        _console().print("no trial has started yet")


@app.command()
def replay(
    folder: FolderArgument,
    trial: Annotated[
        int | None, typer.Option(help="Number of the trial; the winner if left out.", min=0)
    ] = None,
) -> None:
    """Train a trial again from the journal alone, and compare it with what was recorded.

    A trial of population based training is trained with its whole schedule of hyperparameters.
    """
    _quiet()
    from finrl_ray.report.tables import schedule_table
    from finrl_ray.search.replay import replay as run_replay

    result = run_replay(folder, trial)
    _console().print(schedule_table(result))
    print(f"model: {result.path}")
    if result.differences:
        print(f"not as recorded: {', '.join(result.differences)}", file=sys.stderr)
        raise typer.Exit(EXIT_DIFFERENT)
    steps = result.recorded["timesteps"]
    print(f"trial {result.trial} at {steps:,} timesteps is as recorded, bit for bit")


@app.command()
def new(
    name: Annotated[str, typer.Argument(help="Name of the experiment, and of its folder.")],
    parent: Annotated[
        Path, typer.Option("--in", help="Folder in which the new folder is made.")
    ] = Path("experiments"),
) -> None:
    """Write a commented config to start from."""
    from finrl_ray.search.template import new_experiment

    path = new_experiment(name, parent)
    _console().print(
        f"wrote {path}; run it with: finrl-ray tune {path}", soft_wrap=True, markup=False
    )


cli_cluster.register(app)


@contextlib.contextmanager
def _naming(config: Path) -> Iterator[None]:
    """Put the config file's name in front of errors that are found after it was read."""
    from finrl_ray.errors import ConfigError

    try:
        yield
    except ConfigError as error:
        raise ConfigError(f"{config}: {error}") from error


def _quiet() -> None:
    # read by Ray and by numba when they are imported
    os.environ.setdefault("RAY_DEDUP_LOGS", "1")
    os.environ.setdefault("RAY_LOG_TO_STDERR", "0")
    import warnings

    warnings.filterwarnings("ignore", category=FutureWarning, module="ray")
    # after a killed search, trials report again what Optuna has seen
    warnings.filterwarnings("ignore", message="The reported value is ignored")


def _console() -> "Console":
    from rich.console import Console

    return Console()


def _hanging(text: str, console: "Console", indent: int) -> str:
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


def _say(line: str) -> None:
    _console().print(line, highlight=False, soft_wrap=True, markup=False)


def _show_training(path: Path, completed: bool, *, with_test: bool) -> None:
    print(f"folder: {path}")
    if not completed:
        print("interrupted; what was evaluated is kept")
        print(f"go on with: finrl-ray resume {path}")
        raise typer.Exit(EXIT_INTERRUPTED)
    from finrl_ray.search.folder import open_folder

    (record,) = open_folder(path).records().in_order()
    if record.state == "rejected":
        print(f"rejected: {record.reason}; the test window stays sealed", file=sys.stderr)
        raise typer.Exit(EXIT_NO_WINNER)
    if with_test:
        from finrl_ray.report.backtest import backtest as run_backtest

        _show_backtest(run_backtest(path))
    else:
        print(f"the test window is still sealed; open it with: finrl-ray backtest {path}")


def _show_result(result: "SearchResult", with_backtest: bool) -> None:
    from finrl_ray.report.tables import ranking

    console = _console()
    if len(result.table):
        console.print(ranking(result.table))
    print(f"\nfolder: {result.path}")
    if result.remote:
        print(f"checkpoints, and a copy of the folder: {result.remote}")
    if not result.finished:
        states = result.table["state"].tolist() if len(result.table) else []
        ended = sum(state != "interrupted" for state in states)
        print(
            f"interrupted with {ended} of {result.planned} trials ended; nothing reported is lost"
        )
        print(f"go on with: finrl-ray resume {result.path}")
        raise typer.Exit(EXIT_INTERRUPTED)
    if not len(result.table):
        print(f"no trial was started: {result.ended_by}", file=sys.stderr)
        raise typer.Exit(EXIT_NO_WINNER)
    if result.ended_by:
        print(f"ended early: {result.ended_by}")
    if not (result.table["rank"] == 1).any():
        print("no trial can win; see the reasons above", file=sys.stderr)
        raise typer.Exit(EXIT_NO_WINNER)
    if with_backtest:
        from finrl_ray.report.backtest import backtest as run_backtest

        _show_backtest(run_backtest(result.path))
    else:
        print(f"next: finrl-ray backtest {result.path}")


def _show_backtest(result: "Backtest") -> None:
    from finrl_ray.report.tables import backtest_table

    _console().print(backtest_table(result))
    times = "once" if result.openings == 1 else f"{result.openings} times"
    print(f"the test window of this search has been opened {times}")
    if result.repeated:
        print("shown again from the earlier run; --again opens the window once more")
