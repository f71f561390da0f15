"""A rich table of thousands of rows, printed in a fraction of the time that rich takes for it."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.segment import Segment
from rich.style import Style
from rich.table import Table
from rich.text import Text

_NARROWEST = 8
_SHORT = 20
"""Rows up to which rich itself takes no time."""


@dataclass(frozen=True, kw_only=True)
class LongTable:
    """A table that looks as rich would print it; only the last of its columns wraps.

    Rich measures, wraps and pads every cell on its own. Here the columns' widths are known, so a
    row is one line of text; rich prints the head, the foot and whatever is not plain text.

    Parameters
    ----------
    make : returns the table without its rows; all columns but the last have a width, and are
        justified right unless they say left
    rows : the texts of each row, none of them markup, and its style
    """

    make: Callable[[], Table]
    rows: Sequence[tuple[Sequence[str], str]]

    def whole(self) -> Table:
        """Return the table as rich has it."""
        view = self.make()
        for texts, style in self.rows:
            view.add_row(*map(Text, texts), style=style)
        return view

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Return the lines, for rich to print."""
        width = self._last_width(options.max_width)
        if width is None:
            yield self.whole()
            return
        sample = self.make()
        sample.columns[-1].width = width
        sample.add_row(*("" for _ in sample.columns))
        lines = list(Segment.split_lines(console.render(sample, options)))
        foot = lines.pop() if sample.show_edge else []
        *head, row = lines
        for line in head:
            yield from (*line, Segment.line())
        printed = _Rows(console, sample, "".join(part.text for part in row))
        for texts, style in self.rows:
            yield from printed.of(texts, style)
        if foot:
            yield from (*foot, Segment.line())

    def _last_width(self, max_width: int) -> int | None:
        """Return how wide the last column is; None where rich has to find out."""
        last = [texts[-1] for texts, _ in self.rows]
        if len(last) <= _SHORT or not all(_is_plain(text) for text in last):
            return None
        table = self.make()
        *fixed, wrapped = table.columns
        padding, edges = _padding(table), 2 if table.show_edge else 0
        taken = sum((column.width or 0) + padding + 1 for column in fixed) + padding + edges
        lines = [line for text in {str(wrapped.header), *last} for line in text.splitlines()]
        width = min(max(map(cell_len, lines)), max_width - taken)
        return width if width >= _NARROWEST else None


def _padding(table: Table) -> int:
    """Return the spaces on both sides of a cell together."""
    _, right, _, left = table.padding
    return int(left + right)


def _is_plain(text: str) -> bool:
    return text.replace("\n", "").isprintable()


class _Rows:
    """Prints rows between the borders of a row that rich has printed."""

    def __init__(self, console: Console, table: Table, row: str) -> None:
        self.console = console
        self.widths = [column.width or 0 for column in table.columns]
        self.left = [column.justify == "left" for column in table.columns]
        self.padding, edge = _padding(table), int(table.show_edge)
        self.first, self.last = (row[0], row[-1]) if edge else ("", "")
        self.between = row[edge + self.padding + self.widths[0]]
        self.wrapped: dict[str, list[str]] = {}

    def of(self, texts: Sequence[str], style: str) -> Iterator[Segment]:
        """Return the lines of one row: as many as its last text takes."""
        *fixed, last = texts
        cells = [
            text.ljust(width) if left else text.rjust(width)
            for text, width, left in zip(fixed, self.widths, self.left, strict=False)
        ]
        endings = self._wrapped(last)
        for ending in endings:
            yield from self._line([*cells, ending], self.console.get_style(style))
            cells = []

    def _wrapped(self, text: str) -> list[str]:
        if text not in self.wrapped:
            width = self.widths[-1]
            lines = Text(text).wrap(self.console, width, justify="left", overflow="ellipsis")
            self.wrapped[text] = [line.plain for line in lines]
        return self.wrapped[text]

    def _line(self, cells: list[str], style: Style) -> Iterator[Segment]:
        missing = self.widths[: len(self.widths) - len(cells)]
        blank = [" " * (width + self.padding) for width in missing]
        side = " " * (self.padding // 2)
        if not style:
            inner = self.between.join([*blank, *(f"{side}{cell}{side}" for cell in cells)])
            yield Segment(f"{self.first}{inner}{self.last}\n")
            return
        if self.first:
            yield Segment(self.first)
        for place in range(len(self.widths)):
            if place:
                yield Segment(self.between)
            if place < len(blank):
                yield Segment(blank[place], style)
                continue
            pad = [Segment(side, style)] if side else []
            yield from (*pad, Segment(cells[place - len(blank)], style), *pad)
        if self.last:
            yield Segment(self.last)
        yield Segment.line()
