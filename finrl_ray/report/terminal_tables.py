"""Tables for the terminal, as rich renderables: ranked trials, backtest, listing, comparison."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from rich.console import Console
from rich.table import Table
from rich.text import Text

from finrl_ray.baselines.names import BUY_AND_HOLD, LABELS
from finrl_ray.metrics.registry import HEADLINES, SHOWN, ShownMeasure
from finrl_ray.report.long_table import LongTable
from finrl_ray.search.results.table import PARETO

if TYPE_CHECKING:
    import pandas as pd

    from finrl_ray.report.listing import ListedSearch
    from finrl_ray.search.reproduce.replay import Replay
    from finrl_ray.workflows.backtest import Backtest

# what fits into 80 columns
_BACKTEST_COLUMNS = (
    *(SHOWN[n] for n in ("total_return", "annual_volatility", "max_drawdown", "sharpe_ratio")),
    ShownMeasure(name="active_sharpe_ratio", label="beyond", format=".2f"),
)

# wider than any table, to measure how wide one would be
_WIDE = Console(width=1_000)


def percent(value: Any) -> str:
    """Return a fraction as percent with one decimal, or a dash where there is no number."""
    return formatted(value, ".1%")


def number(value: Any, digits: int = 2) -> str:
    """Return a number with `digits` decimals, or a dash where there is none."""
    return formatted(value, f".{digits}f")


def formatted(value: Any, style: str) -> str:
    """Return a number in a format of Python's, or a dash where there is none."""
    return format(value, style) if _is_number(value) else "-"


def _is_number(value: Any) -> bool:
    try:
        return not math.isnan(float(value))
    except (TypeError, ValueError):
        return False


def ranking(
    table: "pd.DataFrame | Sequence[Mapping[Any, Any]]", *, limit: int | None = None
) -> LongTable:
    """Return the ranked trials, within 80 columns: one line a trial, the reason wrapped.

    Parameters
    ----------
    table : of `trial_table`, or the rows of `ranked_rows`
    limit : rows shown; None for all
    """
    every = list(table) if isinstance(table, Sequence) else table.to_dict("records")
    # the objective is shown where it is not the Sharpe ratio of the same row
    scored = any(_differ(row["objective"], row["sharpe_ratio"]) for row in every)
    front = any(PARETO in row for row in every)
    first, *others = (measure.label for measure in HEADLINES)
    names = ["#", "trial", first, *(["objective"] if scored else []), *others]
    names += ["steps", *(["Pareto"] if front else [])]
    rows = every[:limit]
    cells = [_ranked(row, scored=scored, front=front) for row in rows]
    # rich would measure each cell of each column
    widths = [
        max([len(name), *(len(texts[place]) for texts in cells)])
        for place, name in enumerate(names)
    ]

    def empty() -> Table:
        view = Table(title="Trials, best first (validation window)", title_justify="left")
        for name, width in zip(names, widths, strict=True):
            justify: Literal["left", "right"] = "left" if name == "Pareto" else "right"
            view.add_column(name, justify=justify, no_wrap=True, width=width)
        view.add_column("how it ended")
        return view

    shown = [([*texts, _ending(row)], _style(row)) for row, texts in zip(rows, cells, strict=True)]
    return LongTable(make=empty, rows=shown)


def _differ(one: Any, other: Any) -> bool:
    if _is_number(one) and _is_number(other):
        return bool(one != other)
    return _is_number(one) or _is_number(other)


def _ranked(row: Mapping[Any, Any], *, scored: bool, front: bool) -> list[str]:
    first, *others = (formatted(row[measure.name], measure.format) for measure in HEADLINES)
    return [
        str(row["rank"]) if _is_number(row["rank"]) else "-",
        str(row["trial"]),
        first,
        *([number(row["objective"])] if scored else []),
        *others,
        f"{row['timesteps']:,}",
        *(["yes" if row[PARETO] else ""] if front else []),
    ]


def _ending(row: Mapping[Any, Any]) -> str:
    ending = str(row["reason"] or row["state"])
    return f"{ending}; {row['notes']}" if row.get("notes") else ending


def _style(row: Mapping[Any, Any]) -> str:
    if row["state"] in ("failed", "rejected"):
        return "red"
    return "bold green" if row["rank"] == 1 else ""


def schedule_table(result: "Replay") -> Table:
    """Return the stretches of a replayed trial, with the hyperparameters that change in them."""
    view = Table(title=f"Schedule of trial {result.trial}", title_justify="left")
    view.add_column("timesteps", justify="right")
    view.add_column("trained by")
    samples = [segment.sample for segment in result.schedule]
    changing = [name for name in samples[0] if len({str(s.get(name)) for s in samples}) > 1]
    for name in changing:
        view.add_column(name, justify="right")
    for segment in result.schedule:
        end = result.recorded["timesteps"] if segment.end is None else segment.end
        values = [_short(segment.sample.get(name)) for name in changing]
        view.add_row(f"{segment.start:,} to {end:,}", f"trial {segment.trial}", *values)
    return view


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def confirmation_table(table: "pd.DataFrame") -> Table:
    """Return confirmed configurations, the highest lower bound first, within 80 columns."""
    title = "Confirmed: annual Sharpe ratio beyond buy & hold, seeds x windows"
    view = Table(title=title, title_justify="left", min_width=len(title) + 2)
    for name in ("#", "trial", "was", "lower bound", "mean", "IQM [95 %]", "worst DD"):
        view.add_column(name, justify="right", no_wrap=True)
    for row in table.to_dict("records"):
        interval = f"{number(row['iqm'])} [{number(row['iqm_low'])}, {number(row['iqm_high'])}]"
        view.add_row(
            str(row["rank"]) if _is_number(row["rank"]) else "-",
            str(row["trial"]),
            str(row["search_rank"]),
            number(row["lower_bound"]),
            number(row["active_sharpe_ratio"]),
            interval,
            percent(row["max_drawdown"]),
            style="bold green" if row["rank"] == 1 else "",
        )
    return view


def backtest_table(result: "Backtest") -> Table:
    """Return the winner beside the baselines on the test window, within 80 columns."""
    start, end = result.window
    title = f"Test window {start} to {end}, trial {result.trial}"
    view = Table(title=title, title_justify="left", min_width=len(title) + 2)
    view.add_column("")
    for measure in _BACKTEST_COLUMNS:
        view.add_column(measure.label, justify="right", no_wrap=True)
    for name, measures in result.measures.items():
        cells = [formatted(measures.get(one.name), one.format) for one in _BACKTEST_COLUMNS]
        # beyond itself buy & hold has nothing
        cells[-1] = "" if name == BUY_AND_HOLD else cells[-1]
        view.add_row(LABELS.get(name, name), *cells, style="bold" if name == "agent" else "")
    return view


def listing_table(found: "Sequence[ListedSearch]", width: int = 80) -> Table:
    """Return the searches under a storage path, one line each; no folder's name is broken.

    Parameters
    ----------
    found : the searches
    width : of the screen; where they do not fit, lines are longer
    """
    for gap in (2, 1):
        view = _listing(found, gap)
        wanted = view.__rich_measure__(_WIDE, _WIDE.options).maximum
        if wanted <= width:
            return view
    view.width = wanted
    return view


def _listing(found: "Sequence[ListedSearch]", gap: int) -> Table:
    view = Table(
        title="Searches, newest first",
        title_justify="left",
        box=None,
        pad_edge=False,
        padding=(0, gap, 0, 0),
    )
    for name in ("folder", "agents", "state"):
        view.add_column(name, no_wrap=True)
    for name in ("trials", "best"):
        view.add_column(name, justify="right", no_wrap=True)
    view.add_column("verdict", no_wrap=True)
    colours = {"running": "bold cyan", "interrupted": "yellow", "damaged": "red"}
    for one in found:
        kind = "" if one.kind in ("search", "") else f" ({one.kind})"
        view.add_row(
            Text(one.path.rpartition("/")[2] or one.path),
            one.algorithm,
            f"{one.state}{kind}",
            f"{one.ended}/{one.planned}",
            number(one.best_objective),
            one.verdict.removesuffix(" of skill"),  # room for the folder
            style=colours.get(one.state, ""),
        )
    return view


_COMPARED = (
    ("algorithm", "algorithm", ""),
    ("tickers", "tickers", "d"),
    ("validation", "validation", ""),
    ("state", "state", ""),
    ("trials", "trials", "d"),
    ("best_trial", "best trial", "d"),
    *(
        (SHOWN[name].name, SHOWN[name].label, SHOWN[name].format)
        for name in ("sharpe_ratio", "max_drawdown", "active_sharpe_ratio", "active_sharpe_se")
    ),
    ("dsr", "deflated Sharpe", ".2f"),
    ("pbo", "PBO", ".2f"),
    ("verdict", "verdict", ""),
    ("test_sharpe_ratio", "Sharpe, test", ".2f"),
    ("test_active_sharpe_ratio", "beyond, test", ".2f"),
    ("total_timesteps", "env steps", ",.0f"),
    ("wall_time_s", "wall time, s", ",.0f"),
    ("steps_per_second", "steps/s", ",.0f"),
)


def comparison_view(table: "pd.DataFrame") -> Table:
    """Return compared searches as columns, one measure a line."""
    view = Table(title="Side by side (best trial, validation window)", title_justify="left")
    view.add_column("")
    for name in table["search"]:
        view.add_column(Text(str(name)), justify="right", overflow="fold")
    for label, values in compared_rows(table):
        view.add_row(label, *values)
    return view


def compared_rows(table: "pd.DataFrame") -> list[tuple[str, list[str]]]:
    """Return what is shown of compared searches: each measure, and its text per search."""
    return [
        (label, [_compared(value, style) for value in table[key]])
        for key, label, style in _COMPARED
    ]


def _compared(value: Any, style: str) -> str:
    if not style:
        return str(value) or "-"
    return format(int(value) if style == "d" else float(value), style) if _is_number(value) else "-"


def settings_view(table: "pd.DataFrame") -> Table:
    """Return the settings in which searches differ."""
    view = Table(title="Settings that differ", title_justify="left")
    for name in table.columns:
        view.add_column(Text(str(name)), overflow="fold")
    for row in table.itertuples(index=False):
        view.add_row(*(Text(str(value)) for value in row))
    return view
