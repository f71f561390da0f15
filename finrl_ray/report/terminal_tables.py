"""Tables for the terminal, as rich renderables: ranked trials, backtest, listing, comparison."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from finrl_ray.baselines.names import LABELS
from finrl_ray.metrics.registry import SHOWN, Measure, ShownMeasure, shown_measure, title_of
from finrl_ray.report.long_table import LongTable
from finrl_ray.search.results.table import IN_ENSEMBLE, PARETO

if TYPE_CHECKING:
    import pandas as pd

    from finrl_ray.report.listing import ListedSearch
    from finrl_ray.search.reproduce.replay import Replay
    from finrl_ray.workflows.backtest_files import Backtest
    from finrl_ray.workflows.costs_table import TradingCosts

# what fits into 80 columns
_BACKTEST_COLUMNS = (
    *(SHOWN[n] for n in ("total_return", "max_drawdown", "sharpe_ratio")),
    *(SHOWN[n] for n in ("appraisal_ratio", "beta", "exposure")),
)

RANKED_MEASURES = (
    "appraisal_ratio",
    "sharpe_ratio",
    "max_drawdown",
    "total_return",
    "exposure",
    "beta",
    "turnover",
)
"""Measures of a trial that every table of trials shows."""
_SHORT = {"appraisal_ratio": "appr.", "exposure": "inv.", "turnover": "turn."}
_LONGEST_LABEL = 12
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


def short_label(measure: Measure | ShownMeasure) -> str:
    """Return the heading of a measure for which there is room in 80 columns; see docs/search.md."""
    own = measure.label[:_LONGEST_LABEL] if measure.name not in SHOWN else measure.label
    return _SHORT.get(measure.name, own)


def _is_number(value: Any) -> bool:
    try:
        return not math.isnan(float(value))
    except (TypeError, ValueError):
        return False


def ranking(
    table: "pd.DataFrame | Sequence[Mapping[Any, Any]]",
    *,
    limit: int | None = None,
    ranked_by: str = "",
) -> LongTable:
    """Return the ranked trials, within 80 columns: one line a trial, the reason wrapped.

    Parameters
    ----------
    table : of `trial_table`, or the rows of `ranked_rows`
    limit : rows shown; None for all
    ranked_by : by what they are ranked, in words
    """
    every = list(table) if isinstance(table, Sequence) else table.to_dict("records")
    # the score is shown where it is no measure of the same row
    scored = not any(
        all(not _differ(row["score"], row.get(name)) for row in every) for name in RANKED_MEASURES
    )
    front = any(PARETO in row for row in every)
    measures = measures_with_own(_own_metric(every))
    names = ["#", "trial", *(["score"] if scored else [])]
    names += [short_label(measure) for measure in measures]
    names += ["steps", *(["Pareto"] if front else [])]
    rows = every[:limit]
    cells = [_ranked(row, measures, scored=scored, front=front) for row in rows]
    # rich would measure each cell of each column
    widths = [
        max([len(name), *(len(texts[place]) for texts in cells)])
        for place, name in enumerate(names)
    ]
    by = f" by {ranked_by}" if ranked_by else ""

    def empty() -> Table:
        view = Table(
            title=f"Trials, best first{by} (validation window)",
            title_justify="left",
            box=SIMPLE_HEAD,
            padding=(0, 0),
            show_edge=False,
            pad_edge=False,
        )
        for name, width in zip(names, widths, strict=True):
            justify: Literal["left", "right"] = "left" if name == "Pareto" else "right"
            view.add_column(name, justify=justify, no_wrap=True, width=width)
        view.add_column("how it ended")
        return view

    shown = [([*texts, _ending(row)], _style(row)) for row, texts in zip(rows, cells, strict=True)]
    return LongTable(make=empty, rows=shown)


def measures_with_own(metrics: Sequence[str]) -> list[Measure | ShownMeasure]:
    """Return what tables of trials show, metrics of the user's first, in the place of turnover.

    Parameters
    ----------
    metrics : as the config names them
    """
    own = [shown_measure(metric) for metric in metrics]
    names = RANKED_MEASURES[:-1] if own else RANKED_MEASURES
    return [*own, *(SHOWN[name] for name in names)]


def _own_metric(rows: Sequence[Mapping[Any, Any]]) -> list[str]:
    """Return the user's own metric by which the trials of a table were compared, if there is one.

    It is the only one with a column of its best value that is no measure of the package.
    """
    columns = map(str, rows[0] if rows else ())
    named = [name.removeprefix("best_") for name in columns if name.startswith("best_")]
    return [name for name in named if name not in SHOWN and name in rows[0]]


def _differ(one: Any, other: Any) -> bool:
    if _is_number(one) and _is_number(other):
        return bool(one != other)
    return _is_number(one) or _is_number(other)


def _ranked(
    row: Mapping[Any, Any],
    measures: Sequence[Measure | ShownMeasure],
    *,
    scored: bool,
    front: bool,
) -> list[str]:
    return [
        str(row["rank"]) if _is_number(row["rank"]) else "-",
        str(row["trial"]),
        *([number(row["score"])] if scored else []),
        *(formatted(row.get(one.name), one.format) for one in measures),
        f"{row['timesteps']:,}",
        *(["yes" if row[PARETO] else ""] if front else []),
    ]


def _ending(row: Mapping[Any, Any]) -> str:
    ending = str(row["reason"] or row["state"])
    return f"{ending}; {row['notes']}" if row.get("notes") else ending


def _style(row: Mapping[Any, Any]) -> str:
    if row["state"] in ("failed", "rejected"):
        return "red"
    return "bold green" if row["rank"] == 1 or row.get(IN_ENSEMBLE) else ""


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
    measures = {title_of(str(name)) for name in table["ranked_by"]}
    title = f"Confirmed: {', '.join(sorted(measures))}, seeds x windows"
    view = Table(title=title, title_justify="left", min_width=len(title) + 2)
    for name in ("#", "trial", "was", "lower bound", "mean", "IQM [95 %]", "worst DD"):
        view.add_column(name, justify="right", no_wrap=True)
    for row in table.to_dict("records"):
        interval = f"{number(row['iqm'])} [{number(row['iqm_low'])}, {number(row['iqm_high'])}]"
        view.add_row(
            str(row["rank"]) if _is_number(row["rank"]) else "-",
            str(row["trial"]) if _is_number(row["trial"]) else "ensemble",
            str(row["search_rank"]) if _is_number(row["search_rank"]) else "-",
            number(row["lower_bound"]),
            number(row["mean"]),
            interval,
            percent(row["max_drawdown"]),
            style="bold green" if row["rank"] == 1 else "",
        )
    return view


def backtest_table(result: "Backtest") -> Table:
    """Return the winner beside the baselines on the test window, within 80 columns."""
    start, end = result.window
    title = f"Test window {start} to {end}, {result.who}"
    view = Table(title=title, title_justify="left", min_width=len(title) + 2)
    view.add_column("")
    agent = result.measures.get("agent", {})
    # an own metric stands last in place of what is left out for it
    own = [shown_measure(name) for name in agent if name not in SHOWN]
    columns = [*_BACKTEST_COLUMNS[: -1 if own else None], *own]
    for measure in columns:
        view.add_column(measure.label[:_LONGEST_LABEL], justify="right", no_wrap=True)
    for name, measures in result.measures.items():
        cells = [formatted(measures.get(one.name), one.format) for one in columns]
        view.add_row(LABELS.get(name, name), *cells, style="bold" if name == "agent" else "")
    return view


def costs_view(trading: "TradingCosts") -> Table:
    """Return the winner and buy & hold at several costs on the test window, within 80 columns."""
    title = "The same agent at other costs, test window"
    view = Table(
        title=title,
        title_justify="left",
        box=SIMPLE_HEAD,
        padding=(0, 1),
        show_edge=False,
        pad_edge=False,
        min_width=len(title) + 2,
    )
    view.add_column("", no_wrap=True)
    for name in ("return", "Sharpe", "appraisal", "itself", "paid", "b&h ret.", "b&h Sh."):
        view.add_column(name, justify="right", no_wrap=True)
    for row in trading.rows:
        agent, earned = row.agent, row.earnings
        view.add_row(
            trading.label(row),
            percent(agent.get("total_return")),
            number(agent.get("sharpe_ratio")),
            number(agent.get("appraisal_ratio")),
            percent(round(earned.total_return - earned.market_return, 3) + 0.0),  # no -0.0
            percent(row.cost_paid),
            percent(row.held.get("total_return")),
            number(row.held.get("sharpe_ratio")),
            style="bold" if row is trading.rows[0] else "",
        )
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
            number(one.best_score),
            one.verdict.removesuffix(" of skill"),  # room for the folder
            style=colours.get(one.state, ""),
        )
    return view


COMPARED_MEASURES = (
    "annual_volatility",
    "appraisal_ratio",
    "sharpe_ratio",
    "max_drawdown",
    "exposure",
    "beta",
    "turnover",
)
"""Measures of the best trial that stand beside those of other searches, after its return."""
_COMPARED = (
    ("algorithm", "algorithm", ""),
    ("tickers", "tickers", "d"),
    ("validation", "validation", ""),
    ("state", "state", ""),
    ("trials", "trials", "d"),
    ("best_trial", "best trial", "d"),
    ("ranked_by", "ranked by", ""),
    ("score", "score", ".2f"),
    ("total_return", "return", ".1%"),
    ("benchmark_return", "buy & hold", ".1%"),
    *((SHOWN[name].name, SHOWN[name].label, SHOWN[name].format) for name in COMPARED_MEASURES),
    ("judged_on", "judged on", ""),
    ("judged_ratio", "ratio judged", ".2f"),
    ("judged_se", "its standard error", ".2f"),
    ("dsr", "deflated Sharpe", ".2f"),
    ("pbo", "PBO", ".2f"),
    ("verdict", "verdict", ""),
    ("verdict_says", "it says", ""),
    ("test_total_return", "return, test", ".1%"),
    ("test_appraisal_ratio", "appraisal, test", ".2f"),
    ("test_sharpe_ratio", "Sharpe, test", ".2f"),
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
