"""The commands that judge: `audit` the data, `confirm` and `reproduce` what was found."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from finrl_ray.cli.options import (
    EXIT_INTERRUPTED,
    AddressOption,
    DashboardOption,
    FolderArgument,
    JsonOption,
    TrustOption,
)
from finrl_ray.cli.results import end_on_agreement
from finrl_ray.cli.screen import console, quiet, say, show_findings
from finrl_ray.support.text import and_list

if TYPE_CHECKING:
    from finrl_ray.workflows.confirmation_files import Confirmation


def register(app: typer.Typer) -> None:
    """Add these commands to the command line."""
    app.command()(audit)
    app.command()(confirm)
    app.command()(reproduce)


def audit(
    config: Annotated[Path, typer.Argument(help="A config.yaml; see `finrl-ray new`.")],
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", help="Override one value: --set data.source=prices.csv."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Look for leaks: features that know the future, another ticker, the whole sample."""
    quiet()
    from finrl_ray.diagnostics.leaks.audit import audit_config

    show_findings(audit_config(config, overrides or []), as_json=as_json)


def confirm(
    folder: FolderArgument,
    top: Annotated[int, typer.Option(help="Configurations, best first.", min=1)] = 5,
    seeds: Annotated[int, typer.Option(help="New seeds of each.", min=1)] = 5,
    windows: Annotated[int, typer.Option(help="Walk-forward windows.", min=1)] = 4,
    address: AddressOption = None,
    dashboard: DashboardOption = True,
    trust: TrustOption = False,
) -> None:
    """Train the best of a search again, with new seeds on several windows, and rank what is left.

    The test window stays sealed.
    """
    quiet()
    from finrl_ray.cli.live_view import LiveView
    from finrl_ray.workflows.confirm import confirm as run_confirm

    found = run_confirm(
        folder,
        top=top,
        seeds=seeds,
        windows=windows,
        make_view=LiveView,
        address=address,
        dashboard=dashboard,
        trust=trust,
    )
    show_confirmation(found)


def reproduce(
    folder: Annotated[
        str, typer.Argument(help="The folder of a search, its URL, or a reproduction.zip.")
    ],
    out: Annotated[Path | None, typer.Option(help="Write the comparison into this JSON.")] = None,
    trust: TrustOption = False,
) -> None:
    """Train the winner again from the folder alone, and compare every number.

    Ends with 0 if all are equal bit for bit, or, on another processor than the recorded one, within
    the tolerance that it prints; with 1 if they differ on the same processor; with 4 if they are
    further apart on another one, where nothing more can be told.
    """
    quiet()
    from finrl_ray.search.reproduce.reproduce import reproduce as run_reproduce

    found = run_reproduce(folder, say, trust=trust)
    if out is not None:
        out.write_text(json.dumps(found.to_dict(), indent=2) + "\n", encoding="utf-8")
    for name, (recorded, here) in found.changed.items():
        print(f"{name}: recorded with {recorded}, here {here}")
    if found.agreement == "different" and found.changed:
        print("other versions are the usual reason", file=sys.stderr)
    what = f"trial {found.trial}: {found.evaluations} evaluations up to {found.timesteps:,} "
    what += "timesteps are"
    if found.ensemble:
        trials = and_list(found.ensemble)
        what = (
            f"trials {trials}: {found.evaluations} evaluations in {found.timesteps:,} timesteps, "
            "and the account of their ensemble, are"
        )
    end_on_agreement(found, what, list(found.differences))


def show_confirmation(found: "Confirmation") -> None:
    """Print the ranked configurations and what the ranking says."""
    from finrl_ray.metrics.registry import title_of
    from finrl_ray.report.terminal_tables import confirmation_table

    if len(found.table):
        console().print(confirmation_table(found.table))
    print(f"\nfolder: {found.path}")
    if not found.finished:
        print("interrupted; what was trained is kept", file=sys.stderr)
        print(f"go on with: finrl-ray resume {found.path}")
        raise typer.Exit(EXIT_INTERRUPTED)
    best = found.table[found.table["rank"] == 1]
    if not len(best):
        print("no configuration was trained to its end; see the reasons in the folder's table")
        return
    import pandas as pd

    row = best.iloc[0]
    kept = "above" if row["lower_bound"] > 0 else "not above"
    who = f"trial {row['trial']}" if row["trial"] is not pd.NA else row["reason"]
    print(
        f"{who} has the highest lower bound ({title_of(str(row['ranked_by']))}); it "
        f"is {kept} 0. The "
        "windows are those that the search has seen: a new seed is new, the prices are not"
    )
