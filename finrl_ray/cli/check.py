"""The command that checks what a user brings: `finrl-ray check my_env:MyTradingEnv`."""

import json
from pathlib import Path
from typing import Annotated

import typer

from finrl_ray.cli.options import JsonOption
from finrl_ray.cli.screen import quiet, say

EXIT_REFUSED = 1


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command()(check)


def check(
    env: Annotated[str, typer.Argument(help="An env: my_env:MyTradingEnv, of my_env.py here.")],
    config: Annotated[
        Path | None,
        typer.Option(help="A config.yaml, whose validation window and keywords are taken."),
    ] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", help="Override one value of the config."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Check an env of your own: what a search needs of it, what is there and what is missing.

    It runs your code. Without --config a year of bundled prices is traded. Ends with 1 where a
    search would refuse the env.
    """
    quiet()
    from finrl_ray.testing.command import check_reference

    report = check_reference(env, config, overrides or [])
    if as_json:
        content = {
            "env": report.name,
            "usable": report.usable,
            "findings": [
                {"name": f.name, "level": f.level, "text": f.text, "remedy": f.remedy}
                for f in report.findings
            ],
        }
        print(json.dumps(content, indent=2))
    else:
        for line in report.lines():
            say(line)
    if not report.usable:
        raise typer.Exit(EXIT_REFUSED)
