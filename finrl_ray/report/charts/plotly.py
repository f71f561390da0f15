"""Figures drawn by Plotly, for the page and for notebooks.

Everything is drawn as SVG. Plotly's own parallel coordinates need WebGL, which a browser without a
graphics card may not have.
"""

import html
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from finrl_ray.report.charts.model import (
    Areas,
    Bars,
    FigureData,
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

_TICKS = {"number": "", "percent": ".3~p", "count": "~s", "money": "~s", "seconds": ""}
_CELLS = {"number": ".2f", "percent": ".1%", "count": "d", "money": ".3s", "seconds": ".0f"}
_LONGEST = 40
_MANY = 300


def plain_text(text: str, longest: int = 400) -> str:
    """Return text that Plotly shows as it is: it would read tags and formulas in labels."""
    short = text if len(text) <= longest else f"{text[: longest - 1]}…"
    # dollars would begin a formula
    return html.escape(short, quote=False).replace("$", "&#36;")


def draw_plotly(figure: FigureData) -> go.Figure:
    """Return a figure with its panels as Plotly subplots."""
    panels = list(figure.panels)
    n = len(panels)
    grid: dict[str, Any] = {
        "rows": 1 if figure.beside else n,
        "cols": n if figure.beside else 1,
        "subplot_titles": [plain_text(panel.title) for panel in panels],
    }
    weights = [panel.weight for panel in panels]
    grid["column_widths" if figure.beside else "row_heights"] = weights
    shared = not figure.beside and n > 1 and all(p.x_kind == "date" for p in panels)
    spacing = {"horizontal_spacing": 0.1} if figure.beside else _gap(figure, shared=shared)
    drawn = make_subplots(**grid, shared_xaxes=shared, **spacing)
    seen: set[str] = set()
    for position, panel in enumerate(panels):
        row, column = (1, position + 1) if figure.beside else (position + 1, 1)
        for mark in panel.marks:
            _add(drawn, mark, row, column, seen)
        last = figure.beside or not shared or position == n - 1
        _axes(drawn, panel, row, column, with_label=last)
    drawn.update_layout(
        height=figure.height,
        margin={"l": 64, "r": 24, "t": 36, "b": 48},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"size": 12},
        barmode="stack",
        hovermode="closest",
        modebar={"bgcolor": "rgba(0,0,0,0)"},
        legend={"orientation": "h", "yanchor": "bottom", "y": 1.02, "x": 0},
    )
    return drawn


def _gap(figure: FigureData, *, shared: bool) -> dict[str, float]:
    """Return the space between panels above one another: room for ticks and titles, as a share."""
    titled = any(panel.title for panel in figure.panels)
    pixels = (16 if shared else 44) + (20 if titled else 0)
    plotted = max(100, figure.height - 84)  # without the margins
    return {"vertical_spacing": min(pixels / plotted, 0.6 / len(figure.panels))}


def plotly_json(figure: FigureData) -> dict[str, Any]:
    """Return what Plotly's script draws: `data` and `layout`, as plain values."""
    drawn = draw_plotly(figure)
    content: dict[str, Any] = json.loads(drawn.to_json(engine="json"))
    # the template repeats Plotly's defaults, seven kilobytes per figure
    content["layout"].pop("template", None)
    return {"data": content["data"], "layout": content["layout"]}


def _axes(drawn: go.Figure, panel: Panel, row: int, column: int, *, with_label: bool) -> None:
    parallel = any(isinstance(mark, Parallel) for mark in panel.marks)
    x: dict[str, Any] = {"showgrid": False, "zeroline": False, "automargin": True}
    if with_label:
        x["title"] = {"text": plain_text(panel.x_label)}
    x["type"] = {"date": "date", "name": "category", "number": "linear"}[panel.x_kind]
    if panel.x_kind == "number":
        x["tickformat"] = _TICKS[panel.x_format]
    y: dict[str, Any] = {
        "title": {"text": plain_text(panel.y_label)},
        "tickformat": _TICKS[panel.y_format],
        "zeroline": False,
        "automargin": True,
    }
    if any(isinstance(mark, Bars) and mark.horizontal for mark in panel.marks):
        x, y = {**x, "type": "linear"}, {**y, "type": "category", "autorange": "reversed"}
    if any(isinstance(mark, Heat) for mark in panel.marks):
        y |= {"type": "category", "autorange": "reversed"}
    if parallel:
        y |= {"visible": False, "range": [-0.12, 1.08]}
        x |= {"type": "linear"}
    drawn.update_xaxes(x, row=row, col=column)
    drawn.update_yaxes(y, row=row, col=column)


def _add(drawn: go.Figure, mark: Mark, row: int, column: int, seen: set[str]) -> None:
    """Draw one mark; a name is in the legend once."""
    if isinstance(mark, Rule):
        _rule(drawn, mark, row, column)
        return
    if isinstance(mark, Parallel):
        _parallel(drawn, mark, row, column)
        return
    for trace in _traces(mark):
        name = trace.name or ""
        trace.showlegend = bool(name) and name not in seen
        trace.legendgroup = name or None
        seen.add(name)
        drawn.add_trace(trace, row=row, col=column)


def _traces(mark: Line | Points | Bars | Areas | Heat) -> list[Any]:
    if isinstance(mark, Line):
        return [_line(mark)]
    if isinstance(mark, Points):
        return [_points(mark)]
    if isinstance(mark, Bars):
        return [_bars(mark)]
    if isinstance(mark, Areas):
        return _areas(mark)
    return [_heat(mark)]


def _places(x: Any) -> Any:
    """Return dates as short texts, to the day where that is all they say; numbers as they are."""
    values = np.asarray(x)
    if values.dtype.kind != "M":
        return x
    days = values.astype("datetime64[D]")
    return np.datetime_as_string(days if (days == values).all() else values.astype("datetime64[s]"))


def _hover(text: Sequence[str] | None) -> dict[str, Any]:
    if text is None:
        return {}
    return {"text": [plain_text(line) for line in text], "hoverinfo": "text"}


def _line(mark: Line) -> go.Scatter:
    colour = COLOURS[mark.role] if mark.cycle is None else cycled(mark.cycle)
    return go.Scatter(
        x=_places(mark.x),
        y=mark.y,
        name=plain_text(mark.name, _LONGEST),
        mode="lines+markers" if mark.points else "lines",
        line={
            "color": colour,
            "width": 1 if mark.quiet else 2,
            "dash": "dash" if mark.dashed else "solid",
            "shape": "hv" if mark.steps else "linear",
        },
        marker={"size": 4 if mark.quiet else 6},
        opacity=crowd_opacity(len(mark.x) // 4, 0.45) if mark.quiet else 1.0,
        fill="tozeroy" if mark.fill else None,
        connectgaps=False,
        **_hover(mark.text),
    )


def _points(mark: Points) -> go.Scatter:
    return go.Scatter(
        x=_places(mark.x),
        y=mark.y,
        name=plain_text(mark.name, _LONGEST),
        mode="markers",
        marker={
            "color": COLOURS[mark.role],
            "size": 8 if len(mark.x) < _MANY else 4,
            "symbol": mark.symbol,
        },
        **_hover(mark.text),
    )


def _bars(mark: Bars) -> go.Bar:
    names = _places(mark.x)
    if len(names) and isinstance(names[0], str):
        names = [plain_text(name, _LONGEST) for name in names]
    places: dict[str, Any] = {"x": names, "y": mark.y}
    if mark.horizontal:
        places = {"x": mark.y, "y": names, "orientation": "h"}
    return go.Bar(
        **places,
        name=plain_text(mark.name, _LONGEST),
        width=mark.widths,
        marker={"color": COLOURS[mark.role], "line": {"width": 0}},
        **_hover(mark.text),
    )


def _areas(mark: Areas) -> list[go.Scatter]:
    return [
        go.Scatter(
            x=_places(mark.x),
            y=values,
            name=plain_text(name, _LONGEST),
            mode="lines",
            stackgroup="one",
            line={"width": 0.5, "color": layer_colour(name, position, rest=mark.rest)},
        )
        for position, (name, values) in enumerate(mark.layers.items())
    ]


def _heat(mark: Heat) -> go.Heatmap:
    values = np.asarray(mark.z, dtype=np.float64)
    most = float(np.nanmax(np.abs(values))) if np.isfinite(values).any() else 1.0
    return go.Heatmap(
        x=[plain_text(name, _LONGEST) for name in mark.x],
        y=[plain_text(name, _LONGEST) for name in mark.y],
        z=values,
        zmid=0.0,
        zmin=-(most or 1.0),
        zmax=most or 1.0,
        colorscale=[[i / (len(DIVERGING) - 1), colour] for i, colour in enumerate(DIVERGING)],
        texttemplate=f"%{{z:{_CELLS[mark.format]}}}" if values.size <= 600 else None,
        showscale=False,
        hovertemplate=f"%{{y}}, %{{x}}: %{{z:{_CELLS[mark.format]}}}<extra></extra>",
        xgap=1,
        ygap=1,
    )


def _rule(drawn: go.Figure, mark: Rule, row: int, column: int) -> None:
    line = {"color": COLOURS[mark.role], "width": 1.5, "dash": "dot"}
    label = {
        "annotation_text": plain_text(mark.label, _LONGEST * 2),
        "annotation_font_color": COLOURS[mark.role],
    }
    if mark.vertical:
        label["annotation_position"] = "top"
        drawn.add_vline(x=mark.at, line=line, row=row, col=column, **label)
    else:
        drawn.add_hline(y=mark.at, line=line, row=row, col=column, **label)


def _parallel(drawn: go.Figure, mark: Parallel, row: int, column: int) -> None:
    """Draw the rows in bands of equal worth: one trace per band, the best in front."""
    n = len(mark.axes)
    opacity = crowd_opacity(len(mark.text), 0.75)
    for position, rows, x, y in mark.bands(len(WORTH)):
        texts = [mark.text[int(i)] for i in rows for _ in range(n + 1)]
        line = {"color": WORTH[position], "width": 1 + 1.5 * position / len(WORTH)}
        trace = go.Scatter(
            x=x, y=y, mode="lines", line=line, opacity=opacity, showlegend=False, **_hover(texts)
        )
        drawn.add_trace(trace, row=row, col=column)
    for place, ticks in enumerate(mark.ticks):
        drawn.add_vline(x=place, line={"color": COLOURS["other"], "width": 1}, row=row, col=column)
        for height, text in ticks:
            drawn.add_annotation(
                x=place,
                y=height,
                text=plain_text(text, 16),
                showarrow=False,
                xanchor="left" if place < n - 1 else "right",
                xshift=4 if place < n - 1 else -4,
                font={"size": 10},
                bgcolor="rgba(128,128,128,0.18)",
                row=row,
                col=column,
            )
    drawn.update_xaxes(
        {
            "tickmode": "array",
            "tickvals": list(range(n)),
            "ticktext": [plain_text(name, 24) for name in mark.axes],
            "range": [-0.2, n - 0.8],
        },
        row=row,
        col=column,
    )
