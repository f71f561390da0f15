"""How the search went on: the best so far, and what each trial learned."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from finrl_ray._typing import FloatArray
from finrl_ray.metrics.registry import title_of
from finrl_ray.report.charts.figure import Figure
from finrl_ray.report.charts.model import Line, Mark, Panel, Points
from finrl_ray.report.charts.palette import Role
from finrl_ray.report.read_search import SearchReport
from finrl_ray.search.journal.records import TrialRecord

_ENDS: dict[str, tuple[str, Role]] = {
    "stopped": ("stopped early", "stopped"),
    "completed": ("completed", "good"),
    "rejected": ("rejected (drawdown limit)", "bad"),
    "failed": ("failed", "bad"),
    "interrupted": ("interrupted", "other"),
    "running": ("running", "other"),
}


def metric_name(search: SearchReport) -> str:
    """Return what the learning curves show, in words."""
    return title_of(search.metric.removeprefix("eval/"))


def best_so_far(search: SearchReport) -> Figure:
    """Return the score of the trial that would have won, over wall time and over timesteps."""
    table = search.results
    shell: dict[str, Any] = {
        "name": "best_so_far",
        "title": "Best so far",
        "caption": f"What trials are ranked by ({search.ranked_by}, validation window), of the "
        "trial that would have won at each moment, and every result that came. It falls where a "
        "leading trial got worse, failed or was rejected. Pauses between two starts are left out.",
        "table": table,
    }
    if not len(table):
        return Figure(**shell, empty="no trial has reported a result yet")
    shown = table["score"].astype(float)
    text = [
        f"trial {trial} at {steps:,} timesteps: {value:.3f}"
        for trial, steps, value in zip(table["trial"], table["timesteps"], shown, strict=True)
    ]
    panels = []
    for column, label in (("elapsed_s", "wall time, s"), ("total_timesteps", "timesteps, summed")):
        x = table[column].to_numpy(dtype=float)
        marks: list[Mark] = [
            Points(name="results", x=x, y=shown.to_numpy(), role="trial", text=text),
            Line(
                name="best so far",
                x=x,
                y=table["best_score"].astype(float).to_numpy(),
                role="winner",
                steps=True,
            ),
        ]
        panels.append(Panel(marks=marks, x_label=label, y_label=search.ranked_by))
    return Figure(**shell, panels=panels, beside=True)


def learning_curves(search: SearchReport) -> Figure:
    """Return the metric of every trial over its timesteps, where each was stopped and why."""
    shell: dict[str, Any] = {
        "name": "learning_curves",
        "title": "Learning curves",
        "caption": f"The {metric_name(search)} at each evaluation on the validation window, one "
        "line per trial; the last point of each says how and why it ended.",
        "table": _learning_table(search),
    }
    with_results = [record for record in search.trials if record.results]
    if not with_results:
        return Figure(**shell, empty="no trial has been evaluated yet")
    marks: list[Mark] = []
    for state, (name, role) in _ENDS.items():
        group = [r for r in with_results if r.state == state and r.index != search.winner]
        if group:
            marks += _curves(group, search.metric, name, role)
    best = [record for record in with_results if record.index == search.winner]
    for record in best:
        x, y, text = _curve(record, search.metric)
        name = f"best: trial {record.index}"
        marks.append(Line(name=name, x=x, y=y, text=text, role="winner", points=True))
    panel = Panel(marks=marks, x_label="timesteps of the trial", y_label=metric_name(search))
    return Figure(**shell, panels=[panel], height=460)


def _learning_table(search: SearchReport) -> pd.DataFrame:
    table = search.learning_curves
    if search.metric not in table:
        return pd.DataFrame(columns=["trial", "timesteps", search.metric, "state", "reason"])
    ends = pd.DataFrame(
        [(r.index, r.state, r.reason) for r in search.trials], columns=["trial", "state", "reason"]
    )
    return table[["trial", "timesteps", search.metric]].merge(ends, on="trial", how="left")


def _curve(record: TrialRecord, metric: str) -> tuple[list[float], list[float], list[str]]:
    x = [float(result["timesteps"]) for result in record.results]
    y = [float(result.get(metric, np.nan)) for result in record.results]
    text = [
        f"trial {record.index}, {int(s):,} timesteps: {v:.3f}" for s, v in zip(x, y, strict=True)
    ]
    text[-1] += f"; {record.reason or record.state}"
    return x, y, text


def _curves(group: Sequence[TrialRecord], metric: str, name: str, role: Role) -> list[Mark]:
    """Return the curves of one state as one line with gaps, and the points where they end."""
    xs: list[float] = []
    ys: list[float] = []
    texts: list[str] = []
    last: list[tuple[float, float, str]] = []
    for record in group:
        x, y, text = _curve(record, metric)
        xs += [*x, np.nan]
        ys += [*y, np.nan]
        texts += [*text, ""]
        last.append((x[-1], y[-1], text[-1]))
    ends_x, ends_y, ends_text = zip(*last, strict=True)
    symbol = "x" if role in ("bad", "stopped") else "circle"
    return [
        Line(name="", x=_array(xs), y=_array(ys), text=texts, role=role, quiet=True),
        Points(
            name=name,
            x=_array(ends_x),
            y=_array(ends_y),
            text=ends_text,
            role=role,
            symbol=symbol,  # type: ignore[arg-type]  # mypy widens the literals
        ),
    ]


def _array(values: Sequence[float]) -> FloatArray:
    return np.asarray(values, dtype=np.float64)
