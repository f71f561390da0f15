"""The figure of `PerformanceMonitorCallback`: four panels over the training episodes."""

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from finrl_ray._typing import FloatArray, IntArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MIN_EPISODES = 10
"""A moving average is drawn when there are more episodes than this."""
MAX_WINDOW = 50


def average_window(n_episodes: int) -> int | None:
    """Return the window of the moving average, a quarter of the episodes, at most 50; or None."""
    return min(MAX_WINDOW, n_episodes // 4) if n_episodes > MIN_EPISODES else None


def moving_average(values: FloatArray, window: int) -> tuple[IntArray, FloatArray]:
    """Return the means over each `window` values, and the index at which each window ends.

    Parameters
    ----------
    values : array of shape (n,)
    window : 1..n

    Returns
    -------
    indices, means : arrays of shape (n - window + 1,)
    """
    means = np.convolve(values, np.full(window, 1.0 / window), mode="valid")
    return np.arange(window - 1, len(values)), means


def progress_figure(
    rewards: FloatArray, lengths: FloatArray, portfolio_values: FloatArray, *, first: int = 1
) -> Figure:
    """Return the figure; it belongs to no window and to no state of pyplot.

    Parameters
    ----------
    rewards, lengths, portfolio_values : arrays of shape (n,), one entry per episode; NaN: unknown
    first : number of the first of these episodes, for the x axis
    """
    figure = Figure(figsize=(12, 8), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(2, 2)
    x = np.arange(len(rewards)) + first
    _line(axes[0, 0], x, rewards, "Episode Rewards", "Total Reward")
    _line(axes[0, 1], x, lengths, "Episode Lengths", "Steps")
    _line(axes[1, 0], x, portfolio_values, "Portfolio Value", "Value at Episode End")
    window = average_window(len(rewards))
    title = "Moving Average Rewards"
    if window is None:
        note = f"drawn from {MIN_EPISODES + 1} episodes on"
        _line(axes[1, 1], x[:0], rewards[:0], title, "Mean Reward", note)
        return figure
    indices, means = moving_average(rewards, window)
    _line(axes[1, 1], x[indices], means, f"{title} (window={window})", "Mean Reward")
    # the same episodes stand above each other in all panels
    axes[1, 1].set_xlim(axes[0, 0].get_xlim())
    return figure


def _line(
    axes: "Axes",
    x: IntArray,
    y: FloatArray,
    title: str,
    label: str,
    note: str = "the env reports none",
) -> None:
    axes.set(title=title, xlabel="Episode", ylabel=label)
    axes.grid(visible=True, alpha=0.3)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.yaxis.set_major_formatter("{x:,.10g}")
    if not np.isfinite(y).any():
        axes.text(0.5, 0.5, note, ha="center", va="center", transform=axes.transAxes)
        return
    # a single episode would be an invisible line
    axes.plot(x, y, linewidth=1.2, marker="o" if len(x) == 1 else "")
