"""What the winner held and traded over time, and what that cost."""

from typing import Any

import numpy as np
import pandas as pd

from finrl_ray.report.charts.figure import Figure
from finrl_ray.report.charts.model import Areas, Bars, Line, Mark, Panel
from finrl_ray.report.figures.accounts import NO_WINNER
from finrl_ray.report.read_search import SearchReport
from finrl_ray.report.winner_account import test_account, validation_account

_MOST_TICKERS = 10
_CASH, _REST = "cash", "other tickers"
# An account that is worth less of its start is lost; a smaller position is a rounding error.
_LOST, _OWED = 1e-9, 1e-6


def _account(search: SearchReport) -> tuple[pd.DataFrame | None, str]:
    """Return the account that can be shown, and of which window it is."""
    frame = validation_account(search)
    if frame is not None:
        return frame, "validation window"
    return test_account(search), "test window"


def _empty(search: SearchReport) -> str:
    if search.winner is None:
        return NO_WINNER
    if search.folder.plan is not None:
        return (
            "no single model stands for the trainings on the judged days; once the test window is "
            "opened, the positions there are shown"
        )
    return "positions are shown once the search has left the winner's model"


def _whose(search: SearchReport) -> str:
    return "the best trial's" if search.ensemble is None else "the ensemble's"


def positions(search: SearchReport) -> Figure:
    """Return the share of the account in each ticker and in cash, and the trades of each day."""
    frame, window = _account(search)
    shell: dict[str, Any] = {
        "name": "positions",
        "title": f"Positions and trades on the {window}",
        "caption": f"Share of {_whose(search)} account in each ticker and in cash at the close, "
        f"and what it bought and sold each day in percent of the account, on the {window}. At most "
        f"{_MOST_TICKERS} tickers are named, the largest first. Where shares are owed, all "
        "positions together are shown instead: long, short, net and gross.",
    }
    if frame is None:
        return Figure(**shell, empty=_empty(search))
    marks = held_marks(frame)
    dates = frame["date"].unique()
    amounts = (frame["traded"] * frame["close"] / frame["account_value"]).where(_alive(frame), 0.0)
    bought = amounts.clip(lower=0.0).groupby(frame["date"]).sum().to_numpy()
    sold = amounts.clip(upper=0.0).groupby(frame["date"]).sum().to_numpy()
    held = Panel(
        marks=marks,
        y_label="share of the account",
        y_format="percent",
        x_kind="date",
        weight=2.5,
    )
    traded = Panel(
        marks=[
            Bars(name="bought", x=dates, y=bought, role="good"),
            Bars(name="sold", x=dates, y=sold, role="bad"),
        ],
        y_label="traded",
        y_format="percent",
        x_kind="date",
    )
    return Figure(**shell, panels=[held, traded], table=frame, height=560)


def _alive(frame: pd.DataFrame) -> Any:
    """Return where an account is not lost: of what is left then nothing is a meaningful share."""
    return frame["account_value"] > _LOST * frame["account_value"].iloc[0]


def held_marks(frame: pd.DataFrame) -> list[Mark]:
    """Return what is drawn of the positions: areas that add up to 1, or of shares owed lines.

    Where shares are owed, cash and what is held are more than the account, and areas cannot show
    it: the lines are the exposures as shares of the account, long, short (below 0), their
    difference (net) and their sum (gross).
    """
    weights = held_weights(frame)
    dates = weights.index.to_numpy()
    owed = exposures(frame)
    if not (owed["short"] < -_OWED).any():
        layers = {name: weights[name].to_numpy() for name in weights.columns}
        return [Areas(x=dates, layers=layers, rest=_CASH)]
    return [
        Line(name=name, x=dates, y=owed[name].to_numpy(), cycle=place)
        for place, name in enumerate(owed.columns)
    ]


def exposures(frame: pd.DataFrame) -> pd.DataFrame:
    """Return `long`, `short` (0 or below), `net` and `gross` as shares of the account, by date."""
    weights = (frame["shares"] * frame["close"] / frame["account_value"]).where(_alive(frame), 0.0)
    sides = {"long": weights.clip(lower=0.0), "short": weights.clip(upper=0.0)}
    table = pd.DataFrame({name: part.groupby(frame["date"]).sum() for name, part in sides.items()})
    return table.assign(net=table["long"] + table["short"], gross=table["long"] - table["short"])


def held_weights(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the share of the account in each ticker and in cash, by date; the rows add up to 1.

    The largest positions have their own column, the others one together.
    """
    values = frame.assign(value=frame["shares"] * frame["close"])
    # sorting by position, not by name: two tickers may be written alike but for case
    wide = values.pivot(index="date", columns="tic", values="value")
    account = frame.groupby("date")["account_value"].first()
    shares = wide.div(account, axis=0)
    order = shares.mean().sort_values(ascending=False, kind="stable").index
    named = shares[list(order[:_MOST_TICKERS])].copy()
    named.columns = [f"{name} " if name in (_CASH, _REST) else name for name in named.columns]
    if len(order) > _MOST_TICKERS:
        named[_REST] = shares[list(order[_MOST_TICKERS:])].sum(axis=1)
    named[_CASH] = 1.0 - shares.sum(axis=1)
    return named


def turnover_and_costs(search: SearchReport) -> Figure:
    """Return how much was traded and what it cost, added up."""
    frame, window = _account(search)
    shell: dict[str, Any] = {
        "name": "turnover_and_costs",
        "title": f"Turnover and costs on the {window}",
        "caption": f"Bought plus sold, as a multiple of the account and added up, and the costs "
        f"paid for it in percent of the starting amount, on the {window}.",
    }
    if frame is None:
        return Figure(**shell, empty=_empty(search))
    daily = frame.groupby("date").first()
    if "traded_amount" not in daily:
        amounts = (frame["traded"].abs() * frame["close"]).groupby(frame["date"]).sum()
        daily = daily.assign(traded_amount=amounts)
    dates = daily.index.to_numpy()
    moved = (daily["traded_amount"] / daily["account_value"]).where(_alive(daily), 0.0)
    share = moved.cumsum()
    table = pd.DataFrame({"date": dates, "cumulative_turnover": share.to_numpy()})
    years = max(1, len(daily) - 1) / search.folder.periods_per_year
    panels = [
        Panel(
            marks=[Line(name="", x=dates, y=share.to_numpy(), role="winner", fill=True)],
            y_label="times the account",
            x_kind="date",
            title=f"{float(share.iloc[-1]) / years:.2g} times the account per year",
        )
    ]
    if "cost" in daily:
        amount = search.folder.config.env.initial_amount
        paid = np.cumsum(daily["cost"].to_numpy()) / amount
        table["cumulative_cost"] = paid
        panels.append(
            Panel(
                marks=[Line(name="", x=dates, y=paid, role="bad", fill=True)],
                y_label="of the starting amount",
                y_format="percent",
                x_kind="date",
                title=f"{float(paid[-1]):.2%} of the starting amount in all",
            )
        )
    return Figure(**shell, panels=panels, table=table, height=440)
