"""The commands. Heavy modules are imported inside them, so that `--help` answers at once."""

import contextlib
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from typer.core import TyperGroup

from finrl_ray.cli import check, cluster, deployment, judge, read, schedule
from finrl_ray.cli.options import (
    EXIT_ERROR,
    EXIT_INTERRUPTED,
    AddressOption,
    DashboardOption,
    FolderArgument,
    JsonOption,
    OpenOption,
    ReportOption,
    TrustOption,
)
from finrl_ray.cli.results import end_on_agreement, show_backtest, show_result, show_training
from finrl_ray.cli.screen import (
    console,
    end_findings,
    progress_bar,
    quiet,
    say,
    show_finding,
    show_findings,
)
from finrl_ray.errors import FinRLRayError
from finrl_ray.files.disk_full import disk_full_error, is_disk_full
from finrl_ray.support.garbage import rare_collection
from finrl_ray.support.interruptions import announced, interrupted, leaves_at_once

FailOption = Annotated[
    bool,
    typer.Option(
        "--fail-on-no-evidence",
        help="End with exit code 3 unless the verdict is evidence or weak evidence.",
    ),
]

# for the thread that answers, on a busy machine
_ANSWERED_S = 5.0
_WHOLE = 1000
"""Characters of a command's first sentence, of which none is as long."""


class _Commands(TyperGroup):
    """The group of all commands, which says how one was interrupted."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """List the commands, each with its whole first sentence over as many lines as it takes."""
        commands = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl(
                [(name, one.get_short_help_str(_WHOLE)) for name, one in commands if one]
            )

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            interrupted(_ANSWERED_S)
        except SystemExit as ended:
            # as Ray's own handler ends a process
            if ended.code != signal.SIGTERM or not interrupted(_ANSWERED_S):
                raise
        print("interrupted before anything was lost", file=sys.stderr)
        raise typer.Exit(EXIT_INTERRUPTED)


app = typer.Typer(
    name="finrl-ray",
    cls=_Commands,
    help="Tune deep-RL trading agents in parallel with Ray Tune and Stable-Baselines3. "
    "Add --debug to any command to see the traceback of an error.",
    no_args_is_help=True,
    # as plain text: what draws boxes takes longer to import than all else that `--help` needs
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

ConfigArgument = Annotated[Path, typer.Argument(help="A config.yaml; see `finrl-ray new`.")]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", help="Override one value: --set agent.total_timesteps=20000."),
]


def main(*, own_process: bool = False) -> None:
    """Run the command line; a known error is one message and exit code 2, unless --debug.

    Parameters
    ----------
    own_process : it is all that this process does
    """
    arguments = [a for a in sys.argv[1:] if a != "--debug"]
    debug = len(arguments) < len(sys.argv) - 1
    if not debug:
        threading.excepthook = _thread_ended
    try:
        # a job goes on without the `submit` that follows it
        signals = contextlib.nullcontext() if arguments[:1] == ["submit"] else announced()
        with signals, rare_collection():
            app(args=arguments, prog_name="finrl-ray", standalone_mode=True, obj=own_process)
    except SystemExit as ended:
        if leaves_at_once():
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(ended.code if isinstance(ended.code, int) else int(ended.code is not None))
        raise
    except FinRLRayError as error:
        if debug:
            raise
        _fail(str(error))
    except Exception as error:
        if debug:
            raise
        if is_disk_full(error):
            _fail(_without_room(error))
        _fail(
            f"unexpected {type(error).__name__}: {error}\n"
            "This is a fault of finrl-ray; run again with --debug for the traceback."
        )


def _without_room(error: Exception) -> str:
    remedy = (
        "Make room, then run the command again; a search or a training that was interrupted goes "
        "on with `finrl-ray resume` of its folder"
    )
    return str(disk_full_error("a file", error, [Path.cwd(), tempfile.gettempdir()], remedy))


def _thread_ended(ended: threading.ExceptHookArgs) -> None:
    """Say a full disk plainly where a thread met it, such as the one that writes TensorBoard's."""
    if is_disk_full(ended.exc_value):
        # the command itself fails with its remedy when it writes next
        print(f"a thread could not write: {ended.exc_value}", file=sys.stderr)
    else:
        threading.__excepthook__(ended)


def _fail(message: str) -> None:
    print(f"error: {message}", file=sys.stderr)
    sys.exit(EXIT_ERROR)


def _print_version(wanted: bool) -> None:
    if wanted:
        from finrl_ray._version import __version__

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
    from finrl_ray.files.private_folder import set_fallback_folders

    set_fallback_folders()


@app.command()
def tune(
    context: typer.Context,
    config: ConfigArgument,
    overrides: SetOption = None,
    with_backtest: Annotated[
        bool, typer.Option("--backtest", help="Open the test window for the winner at the end.")
    ] = False,
    fail_on_no_evidence: FailOption = False,
    with_report: ReportOption = True,
    open_page: OpenOption = False,
    address: AddressOption = None,
    dashboard: DashboardOption = True,
) -> None:
    """Run a hyperparameter search."""
    from finrl_ray.config.load import load_config

    loaded = load_config(config, overrides or [])
    quiet()
    from finrl_ray.cli.start_search import prepare_and_run

    with _naming(config):
        result = prepare_and_run(
            loaded, config.parent, address, dashboard=dashboard, early=context.obj is True
        )
    show_result(
        result,
        with_backtest,
        fail_on_no_evidence=fail_on_no_evidence,
        with_report=with_report,
        open_page=open_page,
    )


@app.command()
def resume(
    folder: FolderArgument,
    add_trials: Annotated[
        int | None,
        typer.Option(
            "--add-trials",
            help="Give the search so many trials more; one that has finished is open again.",
        ),
    ] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Option(
            "--set", help="Change a value that may change in a search: --set search.max_failures=0."
        ),
    ] = None,
    with_backtest: Annotated[
        bool, typer.Option("--backtest", help="Open the test window for the winner at the end.")
    ] = False,
    fail_on_no_evidence: FailOption = False,
    with_report: ReportOption = True,
    open_page: OpenOption = False,
    address: AddressOption = None,
    dashboard: DashboardOption = True,
    trust: TrustOption = False,
) -> None:
    """Go on with an interrupted search or training run from its checkpoints.

    A training run ends as it was started, with the test window or (`--no-test`) without.
    """
    quiet()
    from finrl_ray.search.folder.folder import open_folder
    from finrl_ray.search.run.config_changes import require_search

    opened = open_folder(folder)
    if add_trials is not None or overrides:
        require_search(opened)
    if opened.kind == "train":
        from finrl_ray.workflows.pipeline.from_config import resume_training, wants_test

        path, completed = resume_training(opened.path, say=say, trust=trust)
        show_training(path, completed, with_test=with_backtest or wants_test(path), trust=trust)
        return
    from finrl_ray.cli.live_view import LiveView
    from finrl_ray.search.run.runner import resume_search

    if opened.kind == "confirmation":
        from finrl_ray.workflows.confirm import resume_confirmation

        judge.show_confirmation(
            resume_confirmation(
                folder, make_view=LiveView, address=address, dashboard=dashboard, trust=trust
            )
        )
        return
    result = resume_search(
        folder,
        add_trials=add_trials,
        overrides=overrides or (),
        make_view=LiveView,
        address=address,
        dashboard=dashboard,
        trust=trust,
    )
    show_result(
        result,
        with_backtest,
        fail_on_no_evidence=fail_on_no_evidence,
        with_report=with_report,
        open_page=open_page,
        trust=trust,
    )


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
    from finrl_ray.config.load import load_config

    loaded = load_config(config, overrides or [])
    quiet()
    from finrl_ray.workflows.pipeline.from_config import train_from_config

    with _naming(config), progress_bar() as progress:
        path, completed = train_from_config(
            loaded, base_dir=config.parent, say=say, open_test=with_test, progress=progress
        )
    show_training(path, completed, with_test=with_test)


@app.command()
def doctor(
    config: ConfigArgument,
    overrides: SetOption = None,
    measure: Annotated[
        bool, typer.Option(help="Train for some seconds to estimate time and memory of the search.")
    ] = True,
    as_json: JsonOption = False,
) -> None:
    """Look for everything that is wrong with a config before a night of compute."""
    quiet()
    from finrl_ray.diagnostics.doctor.doctor import diagnose_config

    report = diagnose_config(
        config, overrides or [], measure=measure, listener=None if as_json else show_finding
    )
    if as_json:
        show_findings(report, as_json=True)
    else:
        end_findings(report)


@app.command()
def backtest(
    folder: FolderArgument,
    again: Annotated[
        bool, typer.Option("--again", help="Open the test window once more; this is recorded.")
    ] = False,
    trust: TrustOption = False,
) -> None:
    """Run the winner on the sealed test window, beside buy & hold."""
    quiet()
    from finrl_ray.workflows.backtest import backtest as run_backtest

    show_backtest(run_backtest(folder, again=again, trust=trust))


@app.command()
def replay(
    folder: FolderArgument,
    trial: Annotated[
        int | None, typer.Option(help="Number of the trial; the winner if left out.", min=0)
    ] = None,
    trust: TrustOption = False,
) -> None:
    """Train a trial again from the journal alone, and compare it with what was recorded.

    A trial of population based training is trained with its whole schedule of hyperparameters.
    Ends as `reproduce` does.
    """
    quiet()
    from finrl_ray.report.terminal_tables import schedule_table
    from finrl_ray.search.reproduce.replay import replay as run_replay

    result = run_replay(folder, trial, trust=trust)
    console().print(schedule_table(result))
    print(f"model: {result.path}")
    steps = result.recorded["timesteps"]
    what = f"trial {result.trial} at {steps:,} timesteps is"
    end_on_agreement(result, what, [", ".join(result.differences)])


@app.command()
def new(
    name: Annotated[str, typer.Argument(help="Name of the experiment, and of its folder.")],
    parent: Annotated[
        Path, typer.Option("--in", help="Folder in which the new folder is made.")
    ] = Path("experiments"),
    style: Annotated[
        Literal["learning", "finrl"],
        typer.Option(
            help="`learning`: target weights, the reward beyond buy & hold and stationary "
            "observations. `finrl`: FinRL's orders, reward and observations, and the defaults of "
            "every key."
        ),
    ] = "learning",
) -> None:
    """Write a commented config to start from."""
    from finrl_ray.config.template import new_experiment

    path = new_experiment(name, parent, style)
    console().print(
        f"wrote {path}; run it with: finrl-ray tune {path}", soft_wrap=True, markup=False
    )


read.register(app)
judge.register(app)
check.register(app)
cluster.register(app)
deployment.register(app)
schedule.register(app)


@contextlib.contextmanager
def _naming(config: Path) -> Iterator[None]:
    """Put the config file's name in front of errors that are found after it was read."""
    from finrl_ray.errors import ConfigError

    try:
        yield
    except ConfigError as error:
        raise ConfigError(f"{config}: {error}") from error
