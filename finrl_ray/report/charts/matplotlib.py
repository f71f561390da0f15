"""Figures drawn by Matplotlib, for PNG and SVG: no browser and no display is needed.

Matplotlib's object interface is used, not pyplot, which keeps every figure in memory and chooses a
display.
"""

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np
from matplotlib import dates as mdates
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import FuncFormatter, MaxNLocator

from finrl_ray.report.charts.model import (
    Areas,
    Bars,
    FigureData,
    Format,
    Heat,
    Line,
    Mark,
    Panel,
    Parallel,
    Points,
    Rule,
    crowd_opacity,
)
from finrl_ray.report.charts.palette import COLOURS, DIVERGING, WORTH, cycled, layer_colour

_WIDTH_INCHES = 9.0
_PIXELS_PER_INCH = 100.0
_SYMBOLS = {"circle": "o", "x": "x", "diamond": "D", "square": "s"}
_MOST_NAMES = 14
_CELL_TEXTS = 300


def plain_text(text: str, longest: int = 60) -> str:
    """Return text that Matplotlib draws as it is: dollars would begin a formula."""
    short = text if len(text) <= longest else f"{text[: longest - 1]}…"
    return short.replace("$", r"\$")


def draw_files(figure: FigureData, paths: Sequence[Path], *, dpi: int = 150) -> None:
    """Draw a figure once, and write it under each path, as its ending says."""
    canvas = _draw(figure)
    for path in paths:
        canvas.savefig(path, format=path.suffix[1:], dpi=dpi, metadata=_no_date(path.suffix))
        canvas.set_layout_engine("none")  # it stays as it was laid out for the first


def draw_into(figure: FigureData, file: IO[bytes], kind: str, *, dpi: int = 100) -> None:
    """Draw a figure into an open file."""
    _draw(figure).savefig(file, format=kind, dpi=dpi, metadata=_no_date(f".{kind}"))


def _no_date(suffix: str) -> dict[str, Any]:
    # without a date, the same figure gives the same file
    return {"Date": None} if suffix == ".svg" else {}


def _draw(figure: FigureData) -> Canvas:
    n = len(figure.panels)
    canvas = Canvas(figsize=(_WIDTH_INCHES, figure.height / _PIXELS_PER_INCH), layout="constrained")
    FigureCanvasAgg(canvas)
    weights = [panel.weight for panel in figure.panels]
    shape = {"nrows": 1, "ncols": n, "width_ratios": weights}
    if not figure.beside:
        shape = {"nrows": n, "ncols": 1, "height_ratios": weights}
    axes = canvas.subplots(**shape, squeeze=False).ravel()  # type: ignore[call-overload]  # dict
    for panel, ax in zip(figure.panels, axes, strict=True):
        _panel(ax, panel)
    canvas.suptitle(plain_text(figure.title, 100), fontsize=12)
    return canvas


def _panel(ax: Axes, panel: Panel) -> None:
    for mark in panel.marks:
        _add(ax, mark, panel)
    special = any(isinstance(mark, Heat | Parallel) for mark in panel.marks)
    horizontal = any(isinstance(mark, Bars) and mark.horizontal for mark in panel.marks)
    ax.set_xlabel(plain_text(panel.x_label, 90), fontsize=9)
    ax.set_ylabel(plain_text(panel.y_label, 60), fontsize=9)
    if panel.title:
        ax.set_title(plain_text(panel.title, 80), fontsize=10)
    ax.tick_params(labelsize=8)
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    if not special and not horizontal:
        ax.yaxis.set_major_formatter(FuncFormatter(_formatter(panel.y_format)))
        ax.grid(axis="y", alpha=0.3)
        if panel.x_kind == "date":
            locator = mdates.AutoDateLocator()  # type: ignore[no-untyped-call]  # not typed there
            ax.xaxis.set_major_locator(locator)
            concise = mdates.ConciseDateFormatter(locator)  # type: ignore[no-untyped-call]
            ax.xaxis.set_major_formatter(concise)
        elif panel.x_kind == "number":
            ax.xaxis.set_major_formatter(FuncFormatter(_formatter(panel.x_format)))
            ax.xaxis.set_major_locator(MaxNLocator(8))
    _legend(ax)


def _legend(ax: Axes) -> None:
    handles, labels = ax.get_legend_handles_labels()
    found = dict(zip(labels, handles, strict=True))
    if not found:
        return
    shown = list(found)[:_MOST_NAMES]
    ax.legend(
        [found[name] for name in shown],
        shown,
        fontsize=7,
        ncols=min(4, len(shown)),
        loc="lower left",
        bbox_to_anchor=(0.0, 1.0),
        frameon=False,
    )


def _formatter(kind: Format) -> Any:
    def number(value: float, place: int) -> str:
        if kind == "percent":
            return f"{100 * value:.3g}%"
        if kind in ("count", "money") and abs(value) >= 1000:
            for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
                if abs(value) >= size:
                    return f"{value / size:.4g}{letter}"
        return f"{value:g}"

    return number


def _add(ax: Axes, mark: Mark, panel: Panel) -> None:
    if isinstance(mark, Line):
        _line(ax, mark)
    elif isinstance(mark, Points):
        ax.plot(
            _values(mark.x),
            mark.y,
            _SYMBOLS[mark.symbol],
            color=COLOURS[mark.role],
            markersize=4,
            label=_label(mark.name),
        )
    elif isinstance(mark, Bars):
        _bars(ax, mark)
    elif isinstance(mark, Areas):
        names = [_label(name) for name in mark.layers]
        colours = [layer_colour(name, i, rest=mark.rest) for i, name in enumerate(mark.layers)]
        ax.stackplot(_values(mark.x), *mark.layers.values(), labels=names, colors=colours)
    elif isinstance(mark, Heat):
        _heat(ax, mark)
    elif isinstance(mark, Rule):
        _rule(ax, mark)
    else:
        _parallel(ax, mark)


def _label(name: str) -> str:
    # Matplotlib leaves names out that begin with an underscore
    text = plain_text(name, 40)
    return f"\u200b{text}" if text.startswith("_") else text or "_"


def _values(x: Any) -> Any:
    return np.asarray(x)


def _line(ax: Axes, mark: Line) -> None:
    style: dict[str, Any] = {
        "color": COLOURS[mark.role] if mark.cycle is None else cycled(mark.cycle),
        "linewidth": 0.7 if mark.quiet else 1.6,
        "alpha": crowd_opacity(len(mark.x) // 4, 0.5) if mark.quiet else 1.0,
        "linestyle": "--" if mark.dashed else "-",
        "drawstyle": "steps-post" if mark.steps else "default",
    }
    if mark.points:
        style |= {"marker": "o", "markersize": 2.5}
    ax.plot(_values(mark.x), mark.y, label=_label(mark.name), **style)
    if mark.fill:
        step: Literal["post"] | None = "post" if mark.steps else None
        colour = COLOURS[mark.role]
        ax.fill_between(_values(mark.x), mark.y, 0.0, step=step, color=colour, alpha=0.25)


def _bars(ax: Axes, mark: Bars) -> None:
    colour, label = COLOURS[mark.role], _label(mark.name)
    if mark.horizontal:
        ax.barh([plain_text(str(name), 40) for name in mark.x], mark.y, color=colour, label=label)
        if not ax.yaxis_inverted():
            ax.invert_yaxis()
        return
    width = 0.8 if mark.widths is None else np.asarray(mark.widths)
    names = len(mark.x) and isinstance(mark.x[0], str)
    x = [plain_text(str(name), 30) for name in mark.x] if names else _values(mark.x)
    ax.bar(x, mark.y, width=width, color=colour, label=label)


def _heat(ax: Axes, mark: Heat) -> None:
    values = np.asarray(mark.z, dtype=np.float64)
    most = float(np.nanmax(np.abs(values))) if np.isfinite(values).any() else 1.0
    colours = LinearSegmentedColormap.from_list("diverging", DIVERGING)
    ax.imshow(values, cmap=colours, vmin=-(most or 1.0), vmax=most or 1.0, aspect="auto")
    ax.set_xticks(range(len(mark.x)), [plain_text(name, 18) for name in mark.x])
    ax.set_yticks(range(len(mark.y)), [plain_text(name, 18) for name in mark.y])
    if values.size > _CELL_TEXTS:
        return
    for row, column in zip(*np.nonzero(np.isfinite(values)), strict=True):
        value = values[row, column]
        text = f"{value:.1%}" if mark.format == "percent" else f"{value:.2f}"
        colour = "white" if abs(value) > 0.6 * most else "black"
        ax.text(column, row, text, ha="center", va="center", fontsize=6.5, color=colour)


def _rule(ax: Axes, mark: Rule) -> None:
    colour = COLOURS[mark.role]
    text = plain_text(mark.label, 60)
    if mark.vertical:
        ax.axvline(mark.at, color=colour, linestyle=":", linewidth=1.3)
        place = ax.get_xaxis_transform()
        ax.text(
            mark.at, 0.98, text, color=colour, fontsize=7, transform=place, rotation=90, va="top"
        )
    else:
        ax.axhline(mark.at, color=colour, linestyle=":", linewidth=1.3)
        ax.text(
            1.0, mark.at, text, color=colour, fontsize=7, transform=ax.get_yaxis_transform(),
            ha="right", va="bottom",
        )  # fmt: skip


def _parallel(ax: Axes, mark: Parallel) -> None:
    n = len(mark.axes)
    opacity = crowd_opacity(len(mark.text), 0.9)
    for position, _, x, y in mark.bands(len(WORTH)):
        ax.plot(x, y, color=WORTH[position], linewidth=0.9, alpha=opacity)
    for place, ticks in enumerate(mark.ticks):
        ax.axvline(place, color=COLOURS["other"], linewidth=0.8)
        for height, text in ticks:
            side = "left" if place < n - 1 else "right"
            ax.text(place, height, f" {plain_text(text, 16)} ", fontsize=6.5, ha=side, va="center")
    names = [textwrap.fill(plain_text(name, 24), 12) for name in mark.axes]
    ax.set_xticks(range(n), names)
    ax.set_yticks([])
    ax.spines["left"].set_visible(False)
