"""Options and arguments that several commands have, and the exit codes of all."""

from typing import Annotated

import typer

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
