"""The report page of one search: its sections, tables, figures and texts."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import pandas as pd

from finrl_ray.baselines.names import LABELS
from finrl_ray.config.dump import config_text
from finrl_ray.config.trial.options import searched_algorithms
from finrl_ray.metrics.registry import HEADLINES, SHOWN, leading_with, shown_measure
from finrl_ray.report import figures
from finrl_ray.report.charts.figure import Figure
from finrl_ray.report.figures.hyperparameters import compared
from finrl_ray.report.pages.blocks import (
    Block,
    Cell,
    Column,
    FigureBlock,
    Page,
    Row,
    Section,
    TableBlock,
    TextBlock,
    cell,
    number_cell,
)
from finrl_ray.report.pages.first_screen import answer_block
from finrl_ray.report.pages.trading import trading_section
from finrl_ray.report.pages.verdict import verdict_block
from finrl_ray.report.read_search import SearchReport
from finrl_ray.report.terminal_tables import number
from finrl_ray.search.results.table import IN_ENSEMBLE
from finrl_ray.support.progress import Progress, no_progress
from finrl_ray.support.text import time_in_one_unit, times

_TRIAL_MEASURES = (
    *HEADLINES,
    *(SHOWN[name] for name in ("annual_volatility", "exposure", "beta", "turnover")),
)
_STRATEGY_MEASURES = (
    *leading_with("total_return", "annual_return", "annual_volatility", "max_drawdown"),
    SHOWN["exposure"],
    SHOWN["beta"],
)
_JUDGED_ON_FOLDS = (
    "Trials were judged on the days of their folds, beside buy & hold on those same days: see the "
    "account below."
)


def search_page(search: SearchReport, progress: Progress = no_progress) -> Page:
    """Return the page of a search in whatever state it is.

    Parameters
    ----------
    search : what `read_search` has read
    progress : told before each figure is computed
    """
    drawn = _figures(search, progress)
    sections = [
        Section(
            anchor="winner", title=f"{_title(search)} beside the baselines", blocks=_winner(search)
        ),
        Section(
            anchor="search",
            title="How the search went",
            blocks=[drawn["best_so_far"], drawn["learning_curves"]],
        ),
        Section(anchor="trials", title="Every started trial", blocks=_trials(search)),
        Section(
            anchor="luck",
            title="Skill or luck",
            blocks=[drawn["trial_sharpes"], drawn["seeds_and_windows"]],
        ),
        Section(
            anchor="account",
            title="What the account did",
            lines=_openings(search),
            blocks=[
                drawn[name]
                for name in (
                    "account_curves",
                    "test_account_curves",
                    "monthly_returns",
                    "positions",
                    "turnover_and_costs",
                )
            ],
        ),
        trading_section(search),
        Section(
            anchor="hyperparameters",
            title="Hyperparameters",
            blocks=[drawn["parallel_coordinates"], drawn["importance"]],
        ),
        Section(
            anchor="resources", title="Resources", blocks=[drawn["throughput"], *_costs(search)]
        ),
        Section(anchor="reproduce", title="How to reproduce it", blocks=_reproduce(search)),
    ]
    config = search.folder.config
    return Page(
        kind="finrl-ray, a hyperparameter search",
        title=search.name,
        subtitle=f"{', '.join(searched_algorithms(config)).upper()} on {_tickers(search)}"
        f"{_started(search)}",
        state=search.state_sentence(),
        answer=answer_block(search, drawn["beside_buy_and_hold"]),
        verdict=verdict_block(search),
        sections=sections,
        footer="Made by finrl-ray. Past prices are no promise; a search says what it has seen, on "
        "the days that it has seen.",
    )


def _title(search: SearchReport) -> str:
    return "The best trial" if search.ensemble is None else "The ensemble"


def _figures(search: SearchReport, progress: Progress) -> dict[str, FigureBlock]:
    total = len(figures.ALL)
    drawn = {}
    for done, make in enumerate(figures.ALL):
        progress(make.__name__.replace("_", " "), done, total)
        figure: Figure = make(search)
        drawn[figure.name] = FigureBlock(figure=figure, wide=figure.name == "parallel_coordinates")
    return drawn


def _started(search: SearchReport) -> str:
    """Return when it was started, as people write it."""
    text = str(search.facts.get("created", ""))
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return f"; started {text}" if text else ""
    zone = f" {moment.tzname()}" if moment.tzinfo is not None else ""
    return f"; started {moment.day} {moment:%B %Y, %H:%M}{zone}"


def _tickers(search: SearchReport) -> str:
    tickers = search.folder.market_data.tickers
    if len(tickers) <= 6:
        return ", ".join(tickers)
    return f"{len(tickers)} tickers ({', '.join(tickers[:4])}, ...)"


def _openings(search: SearchReport) -> list[str]:
    if not search.openings:
        return ["The test window is sealed: nothing here has seen it."]
    return [
        f"The test window has been opened {times(search.openings)}.",
        *(f"Opened {opening.sentence()}" for opening in search.opened),
    ]


def _winner(search: SearchReport) -> list[Block]:
    title = "On the validation window, on which the winner was chosen"
    rows: list[dict[Any, Any]] = list(search.baselines.to_dict("records"))
    note = ""
    if search.folder.plan is not None:
        title, note = "Baselines on the validation window", _JUDGED_ON_FOLDS
    elif search.winner is not None:
        own = {"strategy": "agent", **search.winner_row}
        rows = [own, *rows]
        if search.ensemble is not None:
            first = search.table[search.table["trial"] == search.winner].to_dict("records")[0]
            rows.insert(1, {**first, "strategy": f"trial {search.winner} alone"})
            note = f"The agent is {search.ensemble.name}."
    metrics = search.folder.config.own_metrics
    by_name = {str(row["strategy"]): row for row in rows}
    blocks: list[Block] = [_strategies(title, by_name, metrics, note)]
    opened = search.backtest
    if opened is not None:
        start, end = opened.window
        title = f"On the test window, {start} to {end} (not included)"
        p_value = number(opened.difference_p)
        note = f"p-value that agent and buy & hold have one Sharpe ratio: {p_value}. "
        blocks.append(_strategies(title, opened.measures, metrics, note + " ".join(opened.notes)))
    return blocks


def _strategies(
    title: str,
    measures: Mapping[str, Mapping[Any, Any]],
    own: Iterable[str],
    note: str = "",
) -> TableBlock:
    shown = [*_STRATEGY_MEASURES, *map(shown_measure, own)]
    columns = [Column(label="strategy")]
    columns += [Column(label=one.label, numeric=True) for one in shown]
    rows = []
    for name, values in measures.items():
        cells = [Cell(text=LABELS.get(name, name))]
        cells += [number_cell(values.get(m.name), m.format) for m in shown]
        rows.append(Row(cells=cells, tone="first" if name == "agent" else ""))
    caption = f"All at the same costs on the same days. {note}".strip()
    return TableBlock(title=title, columns=columns, rows=rows, caption=caption)


def _trials(search: SearchReport) -> list[Block]:
    table = search.table
    if not len(table):
        return [TextBlock(title="Trials", text="No trial has been started.", open=True)]
    varied = [axis.name for axis in compared(search)[2] if axis.name in table]
    measures = [*_TRIAL_MEASURES, *map(shown_measure, search.folder.config.own_metrics)]
    columns_of_measures = [f"eval/{one.name}" for one in measures]
    own = search.folder.config.validation.has_paths or search.metric not in columns_of_measures
    columns = [
        Column(label="#", numeric=True),
        Column(label="trial", numeric=True),
        Column(label="state"),
    ]
    columns += [Column(label="score", numeric=True)] if own else []
    columns += [Column(label=one.label, numeric=True) for one in measures]
    columns += [Column(label="timesteps", numeric=True), Column(label="how it ended")]
    columns += [Column(label=name, numeric=_numeric(table[name])) for name in varied]
    names = ("evaluations", "crashes", "time, s")
    columns += [Column(label=name, numeric=True) for name in names]
    rows = []
    for row in table.to_dict("records"):
        cells = [
            number_cell(None if pd.isna(row["rank"]) else row["rank"], ".0f"),
            number_cell(row["trial"], ".0f"),
            Cell(text=str(row["state"])),
            *([number_cell(row["score"])] if own else []),
            *(number_cell(row.get(one.name), one.format) for one in measures),
            number_cell(row["timesteps"], ",.0f"),
            Cell(text="; ".join(str(row[k]) for k in ("reason", "notes") if row[k])),
            *(cell(None if row[name] is pd.NA else row[name]) for name in varied),
            number_cell(row["evaluations"], ".0f"),
            number_cell(row["failures"], ".0f"),
            number_cell(row["time_s"], ".1f"),
        ]
        lost = row["state"] in ("failed", "rejected")
        won = row.get(IN_ENSEMBLE) or (not pd.isna(row["rank"]) and row["rank"] == 1)
        tone = "first" if won else "lost" if lost else ""
        rows.append(Row(cells=cells, tone=tone))
    caption = (
        f"Best first, by {search.ranked_by} on the validation window. Stopped, failed and rejected "
        "trials keep their row: each was a chance to be lucky. Hyperparameters that all trials "
        "share are in the config below. A click on a column sorts by it."
    )
    return [TableBlock(title="", columns=columns, rows=rows, caption=caption, tall=True)]


def _numeric(values: pd.Series) -> bool:
    return bool(pd.api.types.is_numeric_dtype(values))


def _costs(search: SearchReport) -> list[Block]:
    seconds, trials = search.records.time_s, search.trials
    busy = sum(record.time_s for record in trials)
    config = search.folder.config.search
    rows: Sequence[tuple[str, str]] = (
        ("wall time, pauses left out", time_in_one_unit(seconds)),
        ("time of all trials together", time_in_one_unit(busy)),
        ("trials at once, on average", number(busy / seconds) if seconds > 0 else "-"),
        ("env steps of all trials", f"{search.total_timesteps:,}"),
        (
            "env steps per second",
            f"{search.total_timesteps / seconds:,.0f}" if seconds > 0 else "-",
        ),
        ("starts of the search", str(len(search.records.lives))),
        ("crashes of trials", str(sum(record.failures for record in trials))),
        ("CPUs per trial", f"{config.cpus_per_trial:g}"),
        ("GPUs per trial", f"{config.gpus_per_trial:g}"),
        (
            "CPUs of the machine that drove it",
            str(search.facts.get("versions", {}).get("cpu_count")),
        ),
    )
    return [
        TableBlock(
            title="",
            columns=[Column(label="resource"), Column(label="used", numeric=True)],
            rows=[Row(cells=[Cell(text=a), Cell(text=b, numeric=True)]) for a, b in rows],
            sortable=False,
        )
    ]


def _reproduce(search: SearchReport) -> list[Block]:
    facts = search.facts
    commands = (
        f"# the search's folder: {search.path}\n"
        f"finrl-ray reproduce {search.path}    # trains the winner again and compares every "
        f"number\nfinrl-ray tune {search.path / 'config.yaml'}    # the whole search again"
    )
    data = facts.get("data", {})
    seen = [
        *(str(line) for line in data.get("lines", [])),
        f"SHA-256 of the prices and features as used: {facts.get('data_hash', '')}",
        *(str(line) for line in facts.get("split", [])),
        "trials were sent the rows of train and validation alone",
    ]
    versions = "\n".join(f"{name:<20} {value}" for name, value in facts.get("versions", {}).items())
    return [
        TextBlock(title="Commands", text=commands, open=True),
        TextBlock(title="Data and windows", text="\n".join(seen), open=True),
        TextBlock(title="Versions", text=f"{versions}\nseed {facts.get('seed', '')}", open=True),
        TextBlock(title="Configuration", text=config_text(search.folder.config)),
    ]
