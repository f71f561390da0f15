"""What `RealTimeMonitor` shows: the same panels as a figure and as lines of text."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from finrl_ray._typing import FloatArray
from finrl_ray.metrics.registry import title_of
from finrl_ray.monitoring.run_files import RunProgress

BLOCKS = "▁▂▃▄▅▆▇█"
ASCII_BLOCKS = "_.-=+*%#"
SPARK_WIDTH = 40
MAX_CURVES = 20
"""The most trials drawn; of more, the last ones are."""
_SHARPE = title_of("sharpe_ratio").title()
_SCALARS: Mapping[str, str] = {
    "performance/portfolio_value": "Portfolio Value",
    "rollout/ep_rew_mean": "Mean Episode Reward",
    "train/reward_mean": "Mean Reward per Step",
    "eval/sharpe_ratio": f"Validation {_SHARPE}",
    "eval/mean_reward": "Validation Reward",
}


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One plot.

    Parameters
    ----------
    title : also the label of its line of text
    unit : label of the y axis
    lines : by name, an array (n, 2) of x and y; only points that are finite are drawn
    xlabel : label of the x axis
    """

    title: str
    unit: str
    lines: Mapping[str, FloatArray]
    xlabel: str = "Timesteps"


def panels(progress: RunProgress) -> list[Panel]:
    """Return what there is to show, the most telling first; at most three."""
    if progress.is_search:
        return _search_panels(progress)
    if progress.episodes or progress.evaluations:
        return _run_panels(progress)
    if progress.scalars:
        titles = {tag: title for tag, title in _SCALARS.items() if tag in progress.scalars}
        titles = titles or {t: t for t in progress.scalars if not t.startswith("time/")}
        return [
            Panel(title=title, unit="Value", lines={tag: progress.scalars[tag]})
            for tag, title in list(titles.items())[:3]
        ]
    named = {f"trial {name}": curve for name, curve in progress.curves.items()}
    return [Panel(title="Objective", unit="Objective", lines=named)] if named else []


def draw(found: list[Panel], caption: str) -> Figure:
    """Return a figure of the panels side by side, or one that says what is waited for."""
    figure = Figure(figsize=(max(6.0, 6.0 * len(found)), 4.0), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(caption, fontsize="medium")
    if not found:
        return figure
    for axes, panel in zip(figure.subplots(1, len(found), squeeze=False)[0], found, strict=True):
        axes.set(title=panel.title, xlabel=panel.xlabel, ylabel=panel.unit)
        axes.grid(visible=True, alpha=0.3)
        axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
        axes.xaxis.set_major_formatter("{x:,.10g}")
        axes.yaxis.set_major_formatter("{x:,.10g}")
        for name, curve in panel.lines.items():
            drawn = curve[np.isfinite(curve).all(axis=1)]
            marker = "o" if len(drawn) < 3 else ""
            axes.plot(drawn[:, 0], drawn[:, 1], linewidth=1.2, marker=marker, label=name)
        if 1 < len(panel.lines) <= 8:
            axes.legend(fontsize="small")
    return figure


def text(found: list[Panel], caption: str, *, blocks: str = BLOCKS) -> str:
    """Return one line per panel: title, curve, last value; of several lines, the last."""
    width = max((len(panel.title) for panel in found), default=0)
    rows = [caption]
    for panel in found:
        curve = list(panel.lines.values())[-1]
        values = curve[np.isfinite(curve[:, 1]), 1]
        last = _number(float(values[-1])) if len(values) else "-"
        rows.append(f"  {panel.title:<{width}}  {sparkline(values, blocks=blocks)}  {last}")
    return "\n".join(rows)


def sparkline(values: FloatArray, *, width: int = SPARK_WIDTH, blocks: str = BLOCKS) -> str:
    """Return numbers as a row of at most `width` blocks between their least and their largest.

    Of more numbers, each block stands for the mean of its share.

    Parameters
    ----------
    values : array of shape (n,), finite
    """
    if not len(values):
        return ""
    shares = np.array_split(values, min(width, len(values)))
    means = np.array([share.mean() for share in shares])
    low, span = means.min(), np.ptp(means)
    if span == 0:
        return blocks[0] * len(means)
    heights = ((means - low) / span * (len(blocks) - 1)).round().astype(int)
    return "".join(blocks[height] for height in heights)


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def _run_panels(progress: RunProgress) -> list[Panel]:
    # a run without episodes yet, or without accounts, is shown by its evaluations
    found = [*_episode_panels(progress.episodes), *_evaluation_panels(progress.evaluations)]
    return found[:3]


def _episode_panels(episodes: Mapping[str, FloatArray]) -> list[Panel]:
    found = []
    for column, title, unit, factor in (
        ("portfolio_value", "Portfolio Value", "Value at Episode End", 1.0),
        ("portfolio_return", "Episode Returns (%)", "Return %", 100.0),
        ("reward", "Episode Rewards", "Total Reward", 1.0),
    ):
        values = episodes.get(column)
        if values is not None and np.isfinite(values).any():
            curve = _mean_at_each_step(episodes["timesteps"], values * factor)
            found.append(Panel(title=title, unit=unit, lines={"training episodes": curve}))
    # rewards follow from the account: they add little where its value and returns are known
    return found[:2]


def _mean_at_each_step(timesteps: FloatArray, values: FloatArray) -> FloatArray:
    """Return (n, 2): episodes of several envs that ended at the same timesteps are one point."""
    known = np.isfinite(values)
    steps, place, counts = np.unique(timesteps[known], return_inverse=True, return_counts=True)
    return np.column_stack([steps, np.bincount(place, values[known]) / counts])


def _evaluation_panels(evaluations: Mapping[str, FloatArray]) -> list[Panel]:
    found = []
    for name, title, unit in (
        ("sharpe_ratio", f"Validation {_SHARPE}", _SHARPE),
        ("account_value", "Validation Portfolio Value", "Value at Episode End"),
        ("mean_reward", "Validation Reward", "Total Reward"),
    ):
        if name in evaluations:
            curve = np.column_stack([evaluations["timesteps"], evaluations[name]])
            found.append(Panel(title=title, unit=unit, lines={"evaluations": curve}))
    return found


def _search_panels(progress: RunProgress) -> list[Panel]:
    chosen = list(progress.curves.items())[-MAX_CURVES:]
    curves = {f"trial {name}": curve for name, curve in chosen}
    if not curves:
        return []
    last = np.array([curve[-1, 1] for curve in progress.curves.values()])
    order = np.arange(1, len(last) + 1)
    best = np.fmax.accumulate(np.where(np.isfinite(last), last, -math.inf))
    return [
        Panel(title="Learning Curves", unit="Objective", lines=curves),
        Panel(
            title="Best Objective",
            unit="Objective",
            lines={"best so far": np.column_stack([order, best])},
            xlabel="Trials",
        ),
    ]
