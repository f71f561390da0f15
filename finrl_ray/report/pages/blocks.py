"""What a report's page is made of: sections of figures, tables and texts, not yet HTML."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from finrl_ray.report.charts.model import FigureData


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One cell: what is written, by what it is sorted where that is something else, what it means.

    A `meaning` is shown when the text is pointed at, tapped or reached by the keyboard.
    """

    text: str
    sort: str | None = None
    numeric: bool = False
    meaning: str = ""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One row of a table; `tone` is `first` (the winner), `lost` (failed) or empty."""

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


Tone = Literal["better", "worse", ""]
"""How a number of the winner's is beside that of buy & hold; empty where neither is meant."""
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
    """One key figure beside that of buy & hold.

    Parameters
    ----------
    label, value : what it is and how much, as written
    beside : the same of buy & hold, or another line under the value
    tone : see `Tone`
    meaning : what the figure is, see `Cell`
    """

    label: str
    value: str
    beside: str = ""
    tone: Tone = ""
    meaning: str = ""


@dataclass(frozen=True, kw_only=True)
class Step:
    """What can be done next: a sentence, and the command for it if there is one."""

    text: str
    command: str = ""


@dataclass(frozen=True, kw_only=True, eq=False)
class AnswerBlock:
    """The first screen: what came of a search, in one sentence, one figure and six numbers.

    Parameters
    ----------
    headline : the sentence
    lines : what has to be known beside it
    figure : the account beside buy & hold
    tiles : the numbers
    steps : what to do next
    """

    headline: str
    lines: Sequence[str]
    figure: "FigureBlock"
    tiles: Sequence[Tile]
    steps: Sequence[Step]


@dataclass(frozen=True, kw_only=True)
class VerdictBlock:
    """The verdict: its sentence, what it rests on, and every figure of it, to be unfolded.

    Parameters
    ----------
    headline : the sentence
    lines : what it rests on; of a page without an answer they are shown unfolded
    warnings : what was found and done to the data before anything was trained on it
    figures : all figures of the verdict; None where there is no verdict
    """

    headline: str
    lines: Sequence[str] = ()
    warnings: Sequence[str] = ()
    figures: "TableBlock | None" = None


@dataclass(frozen=True, kw_only=True)
class Page:
    """A whole page; one that compares searches has no `answer`."""

    kind: str
    title: str
    subtitle: str
    state: str
    answer: AnswerBlock | None
    verdict: VerdictBlock
    sections: Sequence[Section]
    footer: str

    def figures(self) -> list[FigureData]:
        """Return all figures, in order."""
        blocks = [block for section in self.sections for block in section.blocks]
        first = [] if self.answer is None else [self.answer.figure]
        return [block.figure for block in [*first, *blocks] if isinstance(block, FigureBlock)]


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
