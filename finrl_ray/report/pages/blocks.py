"""What a report's page is made of: sections of figures, tables and texts, not yet HTML."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from finrl_ray.report.charts.model import FigureData


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One cell: what is written, and by what it is sorted where that is something else."""

    text: str
    sort: str | None = None
    numeric: bool = False


@dataclass(frozen=True, kw_only=True)
class Row:
    """One row of a table; `tone` is `first`, `lost` or empty."""

    cells: Sequence[Cell]
    tone: str = ""


@dataclass(frozen=True, kw_only=True)
class Column:
    """The head of a column."""

    label: str
    numeric: bool = False


@dataclass(frozen=True, kw_only=True)
class TableBlock:
    """A table with a caption."""

    type: ClassVar[str] = "table"
    title: str
    columns: Sequence[Column]
    rows: Sequence[Row]
    caption: str = ""
    sortable: bool = True
    tall: bool = False


@dataclass(frozen=True, kw_only=True)
class TextBlock:
    """A text as it is, such as a config, folded away unless `open`."""

    type: ClassVar[str] = "text"
    title: str
    text: str
    open: bool = False


@dataclass(frozen=True, kw_only=True, eq=False)
class FigureBlock:
    """A figure of the page."""

    type: ClassVar[str] = "figure"
    figure: FigureData
    wide: bool = False


Block = TableBlock | TextBlock | FigureBlock


@dataclass(frozen=True, kw_only=True)
class Section:
    """One section of the page."""

    anchor: str
    title: str
    blocks: Sequence[Block] = ()
    lines: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True)
class Tile:
    """One key figure."""

    label: str
    value: str
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class VerdictBlock:
    """The verdict; `tone` is `good`, `middle`, `bad` or empty where there is none yet."""

    headline: str
    lines: Sequence[str] = ()
    tone: str = ""


@dataclass(frozen=True, kw_only=True)
class Page:
    """A whole page."""

    kind: str
    title: str
    subtitle: str
    state: str
    verdict: VerdictBlock
    tiles: Sequence[Tile]
    sections: Sequence[Section]
    footer: str

    def figures(self) -> list[FigureData]:
        """Return all figures, in order."""
        blocks = [block for section in self.sections for block in section.blocks]
        return [block.figure for block in blocks if isinstance(block, FigureBlock)]


def number_cell(value: Any, style: str = ".2f") -> Cell:
    """Return a number as `style` writes it, sorted by its exact value; a dash for none."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if math.isnan(number):
        return Cell(text="-", sort="", numeric=True)
    return Cell(text=format(number, style), sort=repr(number), numeric=True)


def cell(value: Any) -> Cell:
    """Return a cell of whatever value: numbers to the right, the rest as text, as in a config."""
    if isinstance(value, bool) or value is None:
        return Cell(text="" if value is None else str(value).lower())
    if isinstance(value, float):
        return number_cell(value, ".4g")
    if isinstance(value, int) or hasattr(value, "dtype"):
        return number_cell(value, ",.10g")
    return Cell(text=str(value))
