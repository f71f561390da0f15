"""Account curves beside the baselines, their drawdown, and returns by month."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from finrl_ray._typing import FloatArray
from finrl_ray.baselines.names import BUY_AND_HOLD, LABELS
from finrl_ray.metrics.returns import account_values
from finrl_ray.report.charts.figure import Figure
from finrl_ray.report.charts.model import Heat, Line, Mark, Panel
from finrl_ray.report.read_search import SearchReport
from finrl_ray.support.text import times

NOT_YET = "account curves are written when the search ends, and at Ctrl-C"
NO_WINNER = "no trial can win, so there is no account to show"
SEALED = "the test window is sealed; `finrl-ray backtest` opens it"
_WHOLE = "whole year"
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def drawdown(account_value: FloatArray) -> FloatArray:
    """Return at each moment how far the account is below its highest value so far, as <= 0."""
    return account_value / np.maximum.accumulate(account_value) - 1.0


def account_curves(search: SearchReport) -> Figure:
    """Return the winner's account and the baselines on the days that it was judged on."""
    frame = validation_accounts(search)
    days = "validation window" if not search.folder.plan else "judged days (out of sample)"
    shell: dict[str, Any] = {
        "name": "account_curves",
        "title": f"Account on the {days}",
        "caption": f"{_who(search)} and the baselines at the same costs on the {days}, in the "
        "account's currency; under it how far each is below its highest value. The search has "
        "chosen the winner on these days, so its curve flatters it.",
    }
    if frame is None:
        return Figure(**shell, empty=_missing(search))
    return Figure(**shell, panels=_account_panels(frame), table=frame, height=560)


def beside_buy_and_hold(search: SearchReport) -> Figure:
    """Return the winner's account beside buy & hold alone, and how far each is below its highest.

    On the test window once it was opened, before on the days on which the winner was chosen.
    """
    frame, days = search.backtest_curves, "test window"
    if frame is None or search.backtest is None:
        frame = validation_accounts(search)
        days = "validation window" if search.folder.plan is None else "days of the folds"
    shell: dict[str, Any] = {
        "name": "beside_buy_and_hold",
        "title": f"The account beside buy & hold, {days}",
        "caption": "The winner and buy & hold at the same costs, in the account's currency; under "
        "it how far each is below its highest value.",
    }
    if frame is None:
        return Figure(**shell, empty=_missing(search))
    known = [name for name in ("date", "agent", BUY_AND_HOLD) if name in frame]
    both = frame[known]
    return Figure(**shell, panels=_account_panels(both), table=both, height=360)


def test_account_curves(search: SearchReport) -> Figure:
    """Return the winner's account and the baselines on the test window, if it was opened."""
    frame, opened = search.backtest_curves, search.backtest
    shell: dict[str, Any] = {"name": "test_account_curves", "title": "Account on the test window"}
    if frame is None or opened is None:
        return Figure(**shell, caption="", empty=SEALED)
    caption = (
        f"{opened.who[0].upper()}{opened.who[1:]} and the baselines on {opened.window[0]} to "
        f"{opened.window[1]}, days that no trial has seen. This window has been opened "
        f"{times(search.openings)}; each look after the first makes it less of a test."
    )
    panels = _account_panels(frame)
    return Figure(**shell, caption=caption, panels=panels, table=frame, height=560)


# the name is the figure's; pytest would take the function for a test
test_account_curves.__test__ = False  # type: ignore[attr-defined]


def _who(search: SearchReport) -> str:
    """Return the winner as the first words of a sentence."""
    if search.ensemble is None:
        return "The best trial"
    name = search.ensemble.name
    return f"{name[0].upper()}{name[1:]}, the trial that ranks first alone,"


def _missing(search: SearchReport) -> str:
    if search.winner is None:
        return NO_WINNER if search.n_ended else NOT_YET
    return NOT_YET


def validation_accounts(search: SearchReport) -> pd.DataFrame | None:
    """Return `date`, `agent` and the baselines, in currency, on the days the winner is judged on.

    Where a trial trains several times these are the days of its first path, with buy & hold on the
    same days as the one baseline.
    """
    own = search.account_curve
    if own is None:
        return None
    if search.folder.plan is not None:
        return _path_accounts(search)
    frame = own[["date", "account_value"]].rename(columns={"account_value": "agent"})
    first = search.first_trials_curve
    if search.ensemble is not None and first is not None:
        alone = first[["date", "account_value"]]
        name = f"trial {search.winner} alone"
        frame = frame.merge(alone.rename(columns={"account_value": name}), on="date", how="left")
    return frame.merge(search.baseline_curves, on="date", how="left")


def _path_accounts(search: SearchReport) -> pd.DataFrame | None:
    returns = search.fold_returns
    if returns is None:
        return None
    own = search.folder.config.validation.trainings_per_path
    frame = returns[returns["fold"] < own].sort_values("date", kind="stable")
    amount = search.folder.config.env.initial_amount
    earned, active = frame["return"].to_numpy(), frame["active_return"].to_numpy()
    return pd.DataFrame(
        {
            "date": frame["date"].to_numpy(),
            "agent": account_values(earned, amount)[1:],
            BUY_AND_HOLD: account_values(earned - active, amount)[1:],
        }
    )


def _account_panels(frame: pd.DataFrame) -> list[Panel]:
    dates = frame["date"].to_numpy()
    curves: Mapping[str, FloatArray] = {
        str(name): frame[name].to_numpy(dtype=np.float64)
        for name in frame.columns
        if name != "date"
    }
    value = Panel(
        marks=[
            _account_line(name, dates, curve, i) for i, (name, curve) in enumerate(curves.items())
        ],
        y_label="account value",
        y_format="money",
        x_kind="date",
        weight=3.0,
    )
    shown = {name: curves[name] for name in ("agent", BUY_AND_HOLD) if name in curves}
    below: Sequence[Mark] = [
        Line(
            name=LABELS[name],
            x=dates,
            y=drawdown(curve),
            role="winner" if name == "agent" else "held",
            fill=name == "agent",
        )
        for name, curve in shown.items()
    ]
    under = Panel(marks=below, y_label="drawdown", y_format="percent", x_kind="date", weight=1.3)
    return [value, under]


def _account_line(name: str, dates: FloatArray, curve: FloatArray, position: int) -> Line:
    label = LABELS.get(name, name)
    if name == "agent":
        return Line(name=label, x=dates, y=curve, role="winner")
    if name == BUY_AND_HOLD:
        return Line(name=label, x=dates, y=curve, role="held")
    return Line(name=label, x=dates, y=curve, cycle=position, dashed=True)


def _whose(search: SearchReport) -> str:
    return "the best trial's" if search.ensemble is None else "the ensemble's"


def monthly_returns(search: SearchReport) -> Figure:
    """Return the winner's return of each month, and of each year, as a heat map."""
    shell: dict[str, Any] = {
        "name": "monthly_returns",
        "title": "Returns by month",
        "caption": f"Simple return of {_whose(search)} account in each calendar month, and "
        "compounded over the year's days shown. Months at the ends of a window may be cut.",
    }
    windows = {"validation": validation_accounts(search), "test": search.backtest_curves}
    tables = {
        name: monthly_table(frame["date"], frame["agent"].to_numpy(dtype=np.float64))
        for name, frame in windows.items()
        if frame is not None
    }
    if not tables:
        return Figure(**shell, empty=_missing(search))
    panels = [
        Panel(
            marks=[
                Heat(x=list(table.columns), y=[str(y) for y in table.index], z=table.to_numpy(),
                     format="percent")
            ],
            title=f"{name} window",
            x_kind="name",
            weight=float(len(table)) + 1.0,
        )
        for name, table in tables.items()
    ]  # fmt: skip
    rows = pd.concat(
        [table.reset_index(names="year").assign(window=name) for name, table in tables.items()],
        ignore_index=True,
    )
    height = 40 + 100 * len(tables) + 34 * sum(len(table) for table in tables.values())
    return Figure(**shell, panels=panels, table=rows, height=height)


def monthly_table(dates: pd.Series, account_value: FloatArray) -> pd.DataFrame:
    """Return simple returns by year (rows) and month (columns), and of the `whole year`.

    The first month counts from the first day's value.
    """
    days = pd.DatetimeIndex(dates)
    values = pd.DataFrame({"year": days.year, "month": days.month, "value": account_value})
    month_ends = values.groupby(["year", "month"], as_index=False).last()
    before = np.concatenate([[account_value[0]], month_ends["value"].to_numpy()[:-1]])
    earned = month_ends["value"].to_numpy() / before - 1.0
    years = sorted(set(month_ends["year"]))
    table = pd.DataFrame(np.nan, index=years, columns=list(_MONTHS))
    for year, month, value in zip(month_ends["year"], month_ends["month"], earned, strict=True):
        table.loc[year, _MONTHS[month - 1]] = value
    table[_WHOLE] = (1.0 + table[list(_MONTHS)]).prod(axis=1) - 1.0
    return table
