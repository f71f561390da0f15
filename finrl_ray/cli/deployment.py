"""The commands from a finished search to what is traded tomorrow: `deploy`."""

from pathlib import Path
from typing import Annotated

import typer

from finrl_ray.cli.options import FolderArgument, TrustOption
from finrl_ray.cli.screen import progress_bar, quiet


def register(app: typer.Typer) -> None:
    """Add these commands to the command line."""
    app.command()(deploy)


def deploy(
    folder: FolderArgument,
    trial: Annotated[
        int | None,
        typer.Option(help="Number of the trial; the winner if left out.", min=0),
    ] = None,
    confirmed: Annotated[
        bool,
        typer.Option("--confirmed", help="Deploy the first of the search's latest `confirm`."),
    ] = False,
    until: Annotated[
        str | None,
        typer.Option(
            help="First date that is not trained on (YYYY-MM-DD). Default: where the test window "
            "begins while it is sealed, where it ends once `backtest` has opened it."
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="The agent's folder; `agent` in the search's folder if left out."),
    ] = None,
    replace: Annotated[
        bool,
        typer.Option(
            "--replace",
            help="Put it in the place of an agent that is there; one with a forward record is kept "
            "beside it.",
        ),
    ] = False,
    trust: TrustOption = False,
) -> None:
    """Train the winner once more on all rows that may be used, and write one folder that trades on.

    It carries the verdict of the search, and is written whatever that is.
    """
    quiet()
    from finrl_ray.workflows.deployment.deploy import deploy as run_deploy

    with progress_bar() as progress:
        found = run_deploy(
            folder,
            trial=trial,
            confirmed=confirmed,
            until=until,
            out=out,
            replace=replace,
            trust=trust,
            progress=progress,
        )
    for sentence in found.sentences():
        print(sentence)
    print(f"\nagent: {found.path}")
