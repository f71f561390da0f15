"""Several searches side by side: algorithms, environments, dates."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from finrl_ray.config.dump import config_to_dict, yaml_value
from finrl_ray.config.trial.options import searched_algorithms
from finrl_ray.errors import FinRLRayError, SearchError
from finrl_ray.report.beside_market import held_on_validation
from finrl_ray.report.charts.figure import Figure
from finrl_ray.report.charts.model import Bars, Line, Panel
from finrl_ray.report.figures.accounts import drawdown, validation_accounts
from finrl_ray.report.pages.blocks import (
    Cell,
    Column,
    FigureBlock,
    Page,
    Row,
    Section,
    TableBlock,
    TextBlock,
    VerdictBlock,
)
from finrl_ray.report.read_search import SearchReport, read_search
from finrl_ray.report.terminal_tables import COMPARED_MEASURES, compared_rows
from finrl_ray.statistics.verdict_text import meaning_of, series_name
from finrl_ray.support.progress import Progress, no_progress

_NOT_SETTINGS = ("name", "search.storage_path", "search.local_path")
_UNSET = "not set"


def read_searches(
    paths: Sequence[str | Path], progress: Progress = no_progress, left_out: list[str] | None = None
) -> list[SearchReport]:
    """Read the searches that are to be compared.

    Parameters
    ----------
    paths : their folders
    progress : called for each
    left_out : gets the reason of each that cannot be read, as long as two or more others can

    Raises
    ------
    SearchError
        If there are fewer than two, one is given twice, or one cannot be read.
    """
    if len(paths) < 2:
        raise SearchError(f"it takes two or more searches to compare, got {len(paths)}")
    searches: list[SearchReport] = []
    unread: list[FinRLRayError] = []
    for done, path in enumerate(paths):
        progress(f"reading {path}", done, len(paths))
        try:
            searches.append(read_search(path))
        except FinRLRayError as error:
            unread.append(error)
    if unread and (left_out is None or len(searches) < 2):
        raise unread[0]
    if left_out is not None:
        left_out += map(str, unread)
    progress("read", len(paths), len(paths))
    folders = [search.path.resolve() for search in searches]
    twice = sorted({str(folder) for folder in folders if folders.count(folder) > 1})
    if twice:
        raise SearchError(f"each search must be given once, twice: {', '.join(twice)}")
    return searches


def labels(searches: Sequence[SearchReport]) -> list[str]:
    """Return a short name for each search: the experiment's, the folder's where names repeat."""
    names = [search.name for search in searches]
    folders = [search.path.name for search in searches]
    if len(set(folders)) < len(folders):
        folders = [str(search.path) for search in searches]
    return [
        name if names.count(name) == 1 else folder
        for name, folder in zip(names, folders, strict=True)
    ]


def comparison_table(searches: Sequence[SearchReport]) -> pd.DataFrame:
    """Return one row per search.

    Columns: `search`, `path`, `algorithm`, `tickers`, `train`, `validation` (spans of dates),
    `data_hash`, `state`, `trials`, `best_trial`, `ranked_by`, `score`, `total_return`,
    `benchmark_return` (of buy & hold), `annual_volatility`, `appraisal_ratio`, `sharpe_ratio`,
    `max_drawdown`, `exposure`, `beta`, `turnover` (of the best trial, validation), `judged_ratio`
    with `judged_se` (what the verdict is about) and `judged_on`, `dsr`, `pbo`, `verdict` and
    `verdict_says`, `test_total_return`, `test_appraisal_ratio`, `test_sharpe_ratio` (if opened),
    `total_timesteps`, `wall_time_s`, `steps_per_second`. Without a winner or a verdict they are
    empty.
    """
    rows = [_row(name, one) for name, one in zip(labels(searches), searches, strict=True)]
    return pd.DataFrame(rows)


def _row(name: str, search: SearchReport) -> dict[str, Any]:
    data, split = search.folder.market_data, search.folder.split
    best = search.winner_row
    found = None if search.verdict is None else search.verdict.verdict
    agent = {} if search.backtest is None else search.backtest.measures["agent"]
    seconds = search.records.time_s
    return {
        "search": name,
        "path": str(search.path),
        "algorithm": ", ".join(searched_algorithms(search.folder.config)),
        "tickers": data.n_assets,
        "train": _span(split.train),
        "validation": _span(split.validation),
        "data_hash": str(search.facts.get("data_hash", "")),
        "state": search.state,
        "trials": len(search.trials),
        "best_trial": search.winner,
        "ranked_by": search.ranked_by,
        "score": best.get("score"),
        "total_return": best.get("total_return"),
        "benchmark_return": _held_return(search),
        **{one: best.get(one) for one in COMPARED_MEASURES},
        "judged_ratio": math.nan if found is None else found.sharpe_annual,
        "judged_se": math.nan if found is None else found.standard_error_annual,
        "judged_on": "" if found is None else series_name(found),
        "dsr": math.nan if found is None else found.dsr,
        "pbo": math.nan if found is None else found.pbo,
        "verdict": "" if found is None else found.kind,
        "verdict_says": "" if found is None else meaning_of(found),
        "test_total_return": agent.get("total_return"),
        "test_appraisal_ratio": agent.get("appraisal_ratio"),
        "test_sharpe_ratio": agent.get("sharpe_ratio"),
        "total_timesteps": search.total_timesteps,
        "wall_time_s": seconds,
        "steps_per_second": search.total_timesteps / seconds if seconds > 0 else None,
    }


def _held_return(search: SearchReport) -> float | None:
    """Return what buy & hold earned on the validation window; None where folds are judged."""
    if search.folder.plan is not None:
        return None
    return held_on_validation(search).get("total_return")


def _span(window: Any) -> str:
    return f"{str(window.start)[:10]} to {str(window.end)[:10]}"


def cautions(searches: Sequence[SearchReport]) -> list[str]:
    """Return why numbers of these searches must not be compared as they are."""
    found = []
    if len({str(s.facts.get("data_hash")) for s in searches}) > 1:
        found.append(
            "The prices or features are not the same: raw Sharpe ratios and returns differ for "
            "that reason alone. What can be compared is what each earns beside buy & hold of its "
            "own tickers."
        )
    if len({_span(s.folder.split.validation) for s in searches}) > 1:
        found.append("The validation windows differ: a good year flatters every agent in it.")
    if len({s.folder.config.env for s in searches}) > 1:
        found.append("The accounts or trading rules differ; the differences are listed below.")
    if len({s.verdict.verdict.rule for s in searches if s.verdict is not None}) > 1:
        found.append(
            "The verdicts were made by different rules: those of earlier versions are on returns "
            "less those of buy & hold, beta taken as 1."
        )
    unfinished = [
        name for name, s in zip(labels(searches), searches, strict=True) if s.verdict is None
    ]
    if unfinished:
        found.append(f"Without a verdict yet: {', '.join(unfinished)}.")
    found.append(
        f"Choosing the best of {len(searches)} searches is one more choice by results: each "
        "verdict counts the trials of its own search alone."
    )
    return found


def config_differences(searches: Sequence[SearchReport]) -> pd.DataFrame:
    """Return the settings in which the searches differ: `setting`, and one column per search."""
    flat = [_flat(config_to_dict(search.folder.config)) for search in searches]
    names = labels(searches)
    keys = dict.fromkeys(key for one in flat for key in one)
    rows = []
    for key in keys:
        values = [yaml_value(one[key]) if key in one else _UNSET for one in flat]
        if key not in _NOT_SETTINGS and len(set(values)) > 1:
            rows.append([key, *values])
    return pd.DataFrame(rows, columns=["setting", *names])


def _flat(value: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, inner in value.items():
        name = f"{prefix}{key}"
        found |= _flat(inner, f"{name}.") if isinstance(inner, dict) and inner else {name: inner}
    return found


def best_so_far_figure(searches: Sequence[SearchReport]) -> Figure:
    """Return the score of each search's best so far, over wall time and over timesteps."""
    shell: dict[str, Any] = {
        "name": "compared_best_so_far",
        "title": "Best so far",
        "caption": "Objective of the trial that would have won at each moment, per search.",
    }
    tables = {
        name: one.results
        for name, one in zip(labels(searches), searches, strict=True)
        if len(one.results)
    }
    if not tables:
        return Figure(**shell, empty="no trial has reported a result yet")
    panels = []
    for column, label in (("elapsed_s", "wall time, s"), ("total_timesteps", "timesteps, summed")):
        marks = [
            Line(
                name=name,
                x=table[column].to_numpy(dtype=float),
                y=table["best_score"].astype(float).to_numpy(),
                cycle=i,
                steps=True,
            )
            for i, (name, table) in enumerate(tables.items())
        ]
        panels.append(Panel(marks=marks, x_label=label, y_label="score"))
    rows = [table.assign(search=name) for name, table in tables.items()]
    return Figure(**shell, panels=panels, beside=True, table=pd.concat(rows, ignore_index=True))


def account_figure(searches: Sequence[SearchReport]) -> Figure:
    """Return the account of each search's winner, from 1, on the days that it was judged on."""
    shell: dict[str, Any] = {
        "name": "compared_accounts",
        "title": "Accounts of the winners",
        "caption": "Account of each search's best trial on the days that it was judged on, as a "
        "multiple of its first value, and under it the drawdown. Curves over different days do not "
        "compete.",
    }
    frames = {}
    for name, search in zip(labels(searches), searches, strict=True):
        frame = validation_accounts(search)
        if frame is not None:
            values = frame["agent"].to_numpy(dtype=float)
            frames[name] = pd.DataFrame({"date": frame["date"], "value": values / values[0]})
    if not frames:
        return Figure(**shell, empty="no search has left an account curve yet")
    grown = [
        Line(name=name, x=f["date"].to_numpy(), y=f["value"].to_numpy(), cycle=i)
        for i, (name, f) in enumerate(frames.items())
    ]
    below = [
        Line(name="", x=f["date"].to_numpy(), y=drawdown(f["value"].to_numpy()), cycle=i)
        for i, f in enumerate(frames.values())
    ]
    panels = [
        Panel(marks=grown, y_label="times the first value", x_kind="date", weight=3.0),
        Panel(marks=below, y_label="drawdown", y_format="percent", x_kind="date", weight=1.3),
    ]
    rows = [frame.assign(search=name) for name, frame in frames.items()]
    table = pd.concat(rows, ignore_index=True)
    return Figure(**shell, panels=panels, table=table, height=560)


def judged_ratio_figure(searches: Sequence[SearchReport]) -> Figure:
    """Return the ratio that each verdict is about, beside what luck shows."""
    shell: dict[str, Any] = {
        "name": "compared_judged_ratio",
        "title": "What the winners earned, beside luck",
        "caption": "The ratio that each verdict is about, of the winner on its own tickers and "
        "days: annual appraisal ratio, or Sharpe ratio beyond buy & hold in verdicts of earlier "
        "versions; and the ratio expected of the best of as many trials without skill.",
    }
    known = [
        (name, one.verdict.verdict)
        for name, one in zip(labels(searches), searches, strict=True)
        if one.verdict is not None and math.isfinite(one.verdict.verdict.sharpe_annual)
    ]
    if not known:
        return Figure(**shell, empty="no search has a verdict yet")
    names = [name for name, _ in known]
    beyond = [found.sharpe_annual for _, found in known]
    luck = [found.luck_annual for _, found in known]
    rules = [series_name(found) for _, found in known]
    table = pd.DataFrame(
        {"search": names, "judged_ratio": beyond, "judged_on": rules, "luck_annual": luck}
    )
    panels = [
        Panel(
            marks=[Bars(name="", x=names, y=values, role=role, horizontal=True)],  # type: ignore[arg-type]  # literals
            x_label=label,
            x_kind="name",
        )
        for values, role, label in (
            (beyond, "winner", "ratio of the winner"),
            (luck, "luck", "expected of luck"),
        )
    ]
    height = 160 + 30 * len(names)
    return Figure(**shell, panels=panels, table=table, beside=True, height=height)


def comparison_page(searches: Sequence[SearchReport]) -> Page:
    """Return the page of several searches."""
    table = comparison_table(searches)
    different = config_differences(searches)
    blocks = [_side_by_side(table)]
    differences = (
        _settings(different)
        if len(different)
        else TextBlock(title="Settings that differ", text="None.", open=True)
    )
    drawn = [
        FigureBlock(figure=figure(searches))
        for figure in (judged_ratio_figure, best_so_far_figure, account_figure)
    ]
    folders = TextBlock(title="Folders", text="\n".join(table["path"]), open=True)
    sections = [
        Section(anchor="table", title="Side by side", blocks=blocks),
        Section(anchor="figures", title="Figures", blocks=drawn),
        Section(anchor="settings", title="Settings", blocks=[differences, folders]),
    ]
    return Page(
        kind="finrl-ray, searches compared",
        title=" / ".join(table["search"]),
        subtitle=f"{len(searches)} searches",
        state="",
        answer=None,
        verdict=VerdictBlock(headline="What can be compared", lines=cautions(searches)),
        sections=sections,
        footer="Made by finrl-ray.",
    )


def _side_by_side(table: pd.DataFrame) -> TableBlock:
    rows = [
        Row(cells=[Cell(text=label), *(Cell(text=text, numeric=True) for text in texts)])
        for label, texts in compared_rows(table)
    ]
    columns = [Column(label=""), *(Column(label=name, numeric=True) for name in table["search"])]
    caption = "Of the best trial on the validation window, where nothing else is said."
    return TableBlock(title="", columns=columns, rows=rows, caption=caption, sortable=False)


def _settings(frame: pd.DataFrame) -> TableBlock:
    rows = [
        Row(cells=[Cell(text=str(value)) for value in row]) for row in frame.itertuples(index=False)
    ]
    columns = [Column(label=str(name)) for name in frame.columns]
    return TableBlock(title="Settings that differ", columns=columns, rows=rows)


def write_comparison(
    searches: Sequence[SearchReport], target: Path, progress: Progress = no_progress
) -> Path:
    """Write the page of several searches, and its figures into a folder beside it.

    Raises
    ------
    SearchError
        If nothing can be written there.
    """
    # what draws is imported for the page alone, of which the terminal needs nothing
    from finrl_ray.report.pages.write_page import write_page

    return write_page(comparison_page(searches), target, target.with_suffix(""), progress)
