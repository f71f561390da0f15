"""The commands after a search, to what is traded tomorrow: `deploy`, `signal`, `forward`."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from finrl_ray.cli.options import EXIT_DIFFERENT, FolderArgument, JsonOption, TrustOption
from finrl_ray.cli.screen import console, hanging, progress_bar, quiet, say
from finrl_ray.support.text import and_list

if TYPE_CHECKING:
    from finrl_ray.deployment.forward import Forward
    from finrl_ray.deployment.next_orders import NextOrders

AgentArgument = Annotated[Path, typer.Argument(help="The folder that `deploy` has written.")]
_STDOUT = Path("-")


def register(app: typer.Typer) -> None:
    """Add these commands to the command line."""
    app.command()(deploy)
    app.command()(signal)
    app.command()(forward)


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
    onnx: Annotated[
        bool,
        typer.Option("--onnx", help="Also write the policy as `model.onnx` (extra [onnx])."),
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
            onnx=onnx,
            trust=trust,
            progress=progress,
        )
    for sentence in found.sentences():
        print(sentence)
    print(f"\nagent: {found.path}")


def signal(
    agent: AgentArgument,
    prices: Annotated[
        str,
        typer.Option(
            help="New bars: a .csv, .csv.gz or .parquet file (FinRL's long format, or as yfinance "
            "writes it), `yahoo`, or another source. They may hold newer bars alone."
        ),
    ],
    holdings: Annotated[
        Path | None,
        typer.Option(
            help="A CSV of what the account holds, as your broker exports it. Default: the "
            "agent's own paper account."
        ),
    ] = None,
    cash: Annotated[
        float | None, typer.Option(help="Cash of the account, where the CSV does not say.")
    ] = None,
    date: Annotated[
        str | None,
        typer.Option(
            help="The bar to act on; later ones are not looked at. Default: the last one, which "
            "must be recent."
        ),
    ] = None,
    csv: Annotated[Path | None, typer.Option("--csv", help="Write the orders here.")] = None,
    as_json: Annotated[
        Path | None,
        typer.Option("--json", help="Write the orders here as JSON; - prints JSON alone."),
    ] = None,
    record: Annotated[
        bool,
        typer.Option(
            "--record/--no-record",
            help="Add the orders to the agent's forward record, and keep the new bars.",
        ),
    ] = True,
    ticker_column: Annotated[
        str | None, typer.Option(help="Column of the CSV that has the tickers.")
    ] = None,
    shares_column: Annotated[
        str | None, typer.Option(help="Column of the CSV that has the shares.")
    ] = None,
    decimal: Annotated[
        Literal[".", ","] | None, typer.Option(help="What stands before decimals in the CSV.")
    ] = None,
    sum_rows: Annotated[
        bool, typer.Option("--sum-rows", help="Add up several rows of a ticker in the CSV.")
    ] = False,
    not_traded: Annotated[
        list[str] | None,
        typer.Option(help="A ticker that has no new bar, such as a halted one. May be repeated."),
    ] = None,
    really_moved: Annotated[
        list[str] | None,
        typer.Option(help="A ticker whose price jumped without a split. May be repeated."),
    ] = None,
    ignore_others: Annotated[
        bool, typer.Option("--ignore-others", help="The prices may hold other tickers too.")
    ] = False,
    rebase: Annotated[
        bool,
        typer.Option(
            "--rebase",
            help="Bring prices that were adjusted for dividends since (by 10 % at most) back onto "
            "the known ones.",
        ),
    ] = False,
    max_missing: Annotated[
        int | None,
        typer.Option(
            help="Bars in a row that may be missing. Default: as many as ever were, within 2 to 5.",
            min=0,
        ),
    ] = None,
    closes: Annotated[
        str | None,
        typer.Option(help="When the exchange closes (HH:MM), where it is not New York's."),
    ] = None,
    zone: Annotated[
        str | None, typer.Option(help="The time zone of --closes, such as Asia/Tokyo.")
    ] = None,
    trust: TrustOption = False,
) -> None:
    """Say what to trade next: the orders that follow from the last completed bar.

    Prices that are stale, incomplete, split-jumped, changed or of other tickers are refused with
    the reason (exit code 2).
    """
    quiet()
    from finrl_ray.deployment.agent import load_agent
    from finrl_ray.deployment.broker_files.holdings_file import read_holdings
    from finrl_ray.deployment.new_bars import BarRules
    from finrl_ray.deployment.next_orders import closing_of, next_orders, record_orders

    rules = BarRules(
        date=date,
        closing=closing_of(closes, zone),
        max_missing=max_missing,
        not_traded=tuple(not_traded or ()),
        really_moved=tuple(really_moved or ()),
        ignore_others=ignore_others,
        rebase=rebase,
    )
    columns = {"ticker_column": ticker_column, "shares_column": shares_column}
    options = {"cash": cash, **columns, "decimal": decimal, "sum_rows": sum_rows or None}
    _check_alone(holdings, options)
    deployed = load_agent(agent, trust=trust)
    held = None
    if holdings is not None:
        held = read_holdings(
            holdings, deployed.tickers, cash=cash, decimal=decimal, sum_rows=sum_rows, **columns
        )
    with progress_bar() as progress:
        found = next_orders(deployed, prices, held, rules, progress=progress)
    _hand_over(found, csv, as_json)
    if record:
        # beside JSON on the terminal nothing else is printed
        print(record_orders(deployed, found), file=sys.stderr if as_json == _STDOUT else None)


def _check_alone(holdings: Path | None, options: dict[str, Any]) -> None:
    """Refuse options of a file of holdings where there is no such file."""
    given = [f"--{name.replace('_', '-')}" for name, value in options.items() if value is not None]
    if holdings is None and given:
        from finrl_ray.errors import ConfigError

        raise ConfigError(
            f"{and_list(given)} must come with --holdings FILE, of which "
            f"{'it says' if len(given) == 1 else 'they say'} how to read it; without a file the "
            "agent's own paper account is traded"
        )


def _hand_over(found: "NextOrders", csv: Path | None, as_json: Path | None) -> None:
    """Write and print the orders."""
    from finrl_ray.deployment.order_table import write_orders_csv, write_orders_json

    if csv is not None:
        write_orders_csv(found.orders, csv)
    if as_json == _STDOUT:
        print(json.dumps(found.to_dict(), indent=1, allow_nan=False))
        return
    if as_json is not None:
        write_orders_json(found.to_dict(), as_json)
    show_orders(found)
    for path in (csv, as_json):
        if path is not None:
            say(f"written: {path}")


def show_orders(found: "NextOrders") -> None:
    """Print the orders of one bar, what they rest on, and what is to be looked at."""
    from finrl_ray.deployment.order_table import in_figures, orders_table
    from finrl_ray.deployment.signal import REASONS

    signal, screen = found.signal, console()
    at = "at the next open" if signal.fill == "next_open" else "at the close"
    say(f"Orders after the bar of {signal.date}, to be filled {at}, for {found.account}:")
    if any(order.side != "hold" or order.reasons for order in found.orders):
        screen.print(orders_table(found.orders))
    else:
        say("\nNothing is to be traded.\n")
    fee = in_figures(signal.borrow_fee, 2)
    among = f", of which {fee} for borrowed shares" if signal.borrow_fee else ""
    say(
        f"account {in_figures(signal.account_value, 2)}, cash {in_figures(signal.cash_before, 2)} "
        f"before and {in_figures(signal.cash_after, 2)} after, estimated cost "
        f"{in_figures(signal.cost, 2)}{among}"
    )
    used = sorted({code for order in found.orders for code in order.reasons})
    said = [f"{code}: {REASONS.get(code, '')}" for code in used]
    said += [*found.notes, signal.unfamiliar_in_words]
    said += [f"Verdict of the search: {found.verdict}"] if found.verdict else []
    for line in said:
        say(f"- {hanging(line, screen, 2)}")


def forward(
    agent: AgentArgument,
    published: Annotated[
        str | None,
        typer.Option(
            help="Hash of a line that was published: up to it the record must be the same."
        ),
    ] = None,
    as_json: JsonOption = False,
    trust: TrustOption = False,
) -> None:
    """Show how an agent has done since `signal` first said what to trade, beside buy & hold.

    Ends with exit code 1 where the record is not whole: a line was changed, removed or added, a bar
    has no entry, or the agent gives other orders on the same bars.
    """
    quiet()
    from finrl_ray.deployment.agent import load_agent
    from finrl_ray.deployment.forward import forward as look

    with progress_bar() as progress:
        found = look(load_agent(agent, trust=trust), published=published, progress=progress)
    if as_json:
        print(json.dumps(found.to_dict(), indent=1, allow_nan=False))
    else:
        show_forward(found)
    if found.problems:
        raise typer.Exit(EXIT_DIFFERENT)


def show_forward(found: "Forward") -> None:
    """Print what an agent's record says: the sentence, the figures, what is wrong with it."""
    screen = console()
    say(found.sentence)
    if found.lines():
        say("")
    for line in found.lines():
        say(f"- {hanging(line, screen, 2)}")
    for problem in found.problems:
        say(f"! {hanging(problem, screen, 2)}")
    say(f"\nhead of the record, to be published: {found.head}")
