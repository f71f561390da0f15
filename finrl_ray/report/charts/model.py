"""What a figure shows, apart from how it is drawn: panels of marks, one caption, one table.

A figure is computed once. `charts.plotly` draws it for the page, `charts.matplotlib` for PNG and
SVG, and its table is the CSV: the three cannot say different things. Nothing here draws; the
figures that a user holds, which can be drawn and saved, are in `charts.figure`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pandas as pd

from finrl_ray._typing import FloatArray, IntArray
from finrl_ray.report.charts.palette import Role

Format = Literal["number", "percent", "count", "money", "seconds"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Line:
    """Points joined in order; NaN breaks the line.

    Parameters
    ----------
    name : in the legend; empty for none
    x, y : of shape (n,)
    text : per point, shown when it is pointed at
    points : draw the points too
    quiet : one of many: thin and pale
    dashed, fill, steps : how it is drawn
    cycle : instead of a role, the colour of the n-th of several equal things
    """

    name: str
    x: Any
    y: Any
    role: Role = "plain"
    text: Sequence[str] | None = None
    points: bool = False
    quiet: bool = False
    dashed: bool = False
    cycle: int | None = None
    fill: bool = False
    steps: bool = False


@dataclass(frozen=True, kw_only=True, eq=False)
class Points:
    """Single points; see `Line`."""

    name: str
    x: Any
    y: Any
    role: Role = "plain"
    text: Sequence[str] | None = None
    symbol: Literal["circle", "x", "diamond", "square"] = "circle"


@dataclass(frozen=True, kw_only=True, eq=False)
class Bars:
    """Bars from zero; those of one panel and place are stacked.

    Parameters
    ----------
    x, y : where, and how high; with `horizontal` `x` are the names and lie on the y axis
    widths : of the bars, in units of x; None for names
    """

    name: str
    x: Any
    y: Any
    role: Role = "plain"
    text: Sequence[str] | None = None
    widths: Any = None
    horizontal: bool = False


@dataclass(frozen=True, kw_only=True, eq=False)
class Areas:
    """Areas stacked on one another, such as the shares of a portfolio.

    Parameters
    ----------
    x : of shape (n,)
    layers : by name, arrays of shape (n,)
    rest : the name of the layer that is none of the others, drawn in grey
    """

    x: Any
    layers: Mapping[str, Any]
    rest: str = ""


@dataclass(frozen=True, kw_only=True, eq=False)
class Heat:
    """A matrix of numbers as colours, zero in the middle, with the numbers in the cells.

    Parameters
    ----------
    x, y : names of the columns and rows
    z : of shape (len(y), len(x)); NaN cells stay empty
    """

    x: Sequence[str]
    y: Sequence[str]
    z: Any
    format: Format = "number"


@dataclass(frozen=True, kw_only=True, eq=False)
class Rule:
    """A straight line across the panel, with a label."""

    at: float
    label: str
    role: Role = "luck"
    vertical: bool = False


@dataclass(frozen=True, kw_only=True, eq=False)
class Parallel:
    """Parallel coordinates: one line per row across upright axes, coloured by its worth.

    Parameters
    ----------
    axes : names
    ticks : per axis, places within [0, 1] and what is written there
    places : of shape (rows, axes), within [0, 1]
    worth : of shape (rows,), within [0, 1]; 1 is the best
    text : per row
    """

    axes: Sequence[str]
    ticks: Sequence[Sequence[tuple[float, str]]]
    places: Any
    worth: Any
    text: Sequence[str]

    def bands(self, count: int) -> Iterator[tuple[int, IntArray, FloatArray, FloatArray]]:
        """Return the rows in bands of equal worth, the best last: number, rows, and their points.

        The points of all rows of a band are one line, with a NaN after each row.
        """
        n = len(self.axes)
        places = np.asarray(self.places, dtype=np.float64)
        band = np.minimum((np.asarray(self.worth) * count).astype(int), count - 1)
        for number in range(count):
            rows = np.flatnonzero(band == number)
            if rows.size:
                x = np.tile(np.array([*range(n), np.nan]), rows.size)
                y = np.column_stack([places[rows], np.full(rows.size, np.nan)]).ravel()
                yield number, rows, x, y


def crowd_opacity(count: int, most: float) -> float:
    """Return how opaque each of `count` lines over one another is drawn, at most `most`."""
    return max(0.12, min(most, 60.0 / max(1, count)))


Mark = Line | Points | Bars | Areas | Heat | Rule | Parallel


@dataclass(frozen=True, kw_only=True, eq=False)
class Panel:
    """One pair of axes.

    Parameters
    ----------
    marks : from back to front
    x_label, y_label : with units
    x_kind : `date`, `number` or `name`
    y_format : how the numbers of the y axis are written
    weight : height relative to the other panels
    """

    marks: Sequence[Mark]
    x_label: str = ""
    y_label: str = ""
    x_kind: Literal["date", "number", "name"] = "number"
    x_format: Format = "count"
    y_format: Format = "number"
    weight: float = 1.0
    title: str = ""


@dataclass(frozen=True, kw_only=True, eq=False)
class FigureData:
    """All that one figure of the report shows.

    Parameters
    ----------
    name : of its files, and of its place in the page
    title, caption : for people; the caption says what is seen, and of which rows of the data
    panels : above one another; with `beside` next to one another
    table : all that is shown, as rows
    empty : why there is nothing to show; the figure then has no panels
    height : pixels on the page
    """

    name: str
    title: str
    caption: str
    panels: Sequence[Panel] = ()
    table: pd.DataFrame = field(default_factory=pd.DataFrame)
    empty: str = ""
    beside: bool = False
    height: int = 420
