"""The commands that train the winner again and again: `rollforward` and `retrain`."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from finrl_ray.cli.options import AddressOption, FolderArgument, TrustOption
from finrl_ray.cli.screen import progress_bar, quiet


def register(app: typer.Typer) -> None:
    """Add these commands to the command line."""
    app.command()(rollforward)
    app.command()(retrain)


def rollforward(
    folder: FolderArgument,
    every: Annotated[
        int | None,
        typer.Option(
            help="Rows after which the next agent follows; deploy.retrain.every if left out.",
            min=1,
        ),
    ] = None,
    window: Annotated[
        Literal["growing", "rolling"] | None,
        typer.Option(
            help="Train on all rows up to then, or on as many as the first agent; "
            "deploy.retrain.window if left out."
        ),
    ] = None,
    start: Annotated[
        str | None,
        typer.Option(
            help="First date on which an agent decides (YYYY-MM-DD). Default: where the validation "
            "window begins."
        ),
    ] = None,
    until: Annotated[
        str | None,
        typer.Option(
            help="First date that is not traded. Default: where the test window begins while it is "
            "sealed, where it ends once `backtest` has opened it."
        ),
    ] = None,
    trial: Annotated[
        int | None, typer.Option(help="Number of the trial; the winner if left out.", min=0)
    ] = None,
    confirmed: Annotated[
        bool,
        typer.Option("--confirmed", help="Take the first of the search's latest `confirm`."),
    ] = False,
    address: AddressOption = None,
    trust: TrustOption = False,
) -> None:
    """Train and trade the winner through history as it would have been lived, and judge the chain.

    Each agent is trained on rows before its first trade alone, side by side on Ray.
    """
    quiet()
    from finrl_ray.workflows.deployment.rollforward import rollforward as run_rollforward

    with progress_bar() as progress:
        found = run_rollforward(
            folder,
            every=every,
            window=window,
            start=start,
            until=until,
            trial=trial,
            confirmed=confirmed,
            address=address,
            trust=trust,
            progress=progress,
        )
    print(found.steps.to_string(index=False))
    print()
    for sentence in found.sentences():
        print(sentence)
    print(f"\nfolder: {found.path}")


def retrain(
    agent: Annotated[Path, typer.Argument(help="The folder of an agent; see `finrl-ray deploy`.")],
    prices: Annotated[
        str | None,
        typer.Option(
            help="A file, or a source by its name, with the bars since; those alone that the agent "
            "has seen if left out."
        ),
    ] = None,
    last: Annotated[
        str | None, typer.Option("--date", help="Last bar to train on (YYYY-MM-DD).")
    ] = None,
    at_once: Annotated[bool, typer.Option("--now", help="Train although it is not due.")] = False,
    trust: TrustOption = False,
) -> None:
    """Train the next agent when it is due (deploy.retrain), keep the one before, say what changed.

    Nothing is done, and that is said, while fewer bars have come than the schedule asks for.
    """
    quiet()
    from finrl_ray.workflows.deployment.retrain import retrain as run_retrain

    with progress_bar() as progress:
        found = run_retrain(
            agent, prices=prices, last=last, at_once=at_once, trust=trust, progress=progress
        )
    for sentence in found.changed:
        print(sentence)
    print(f"\nagent: {found.path}")
    if found.kept is not None:
        print(f"the one before: {found.kept}")
