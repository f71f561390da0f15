"""The table in a broker's export: its heading and its rows, without what stands around them.

Exports have lines before the table (whose account, of when), lines after it (disclaimers), several
tables one after the other, and any sign between their columns.
"""

import csv
import io
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from finrl_ray.deployment.broker_files.numbers import written_number
from finrl_ray.deployment.broker_files.words import (
    SHARES_NAMES,
    TICKER_NAMES,
    TRADES,
    WEAK_SHARES,
    WEAK_TICKERS,
)
from finrl_ray.errors import DataError
from finrl_ray.files.bounded_reading import read_limited
from finrl_ray.files.shown_path import shown_path
from finrl_ray.support.text import did_you_mean, listed

_DELIMITERS = (",", ";", "\t", "|")
_MOST_BYTES = 64 << 20
_SECTION_WORDS = ("header", "data")
_UMLAUTS = str.maketrans({"\u00e4": "ae", "\u00f6": "oe", "\u00fc": "ue", "\u00df": "ss"})


@dataclass(frozen=True, kw_only=True)
class Line:
    """One row of a table.

    Parameters
    ----------
    number : of the line in the file, from 1
    cells : as many as the heading has; those that are missing are empty
    """

    number: int
    cells: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class BrokerTable:
    """A table of positions.

    Parameters
    ----------
    place : the file, for messages
    heading : the names of the columns
    lines : its rows; of lots and other parts of positions none
    ticker, shares : which columns these are
    delimiter : between the columns
    ending_cash : of a statement with a section of its own for cash; by currency
    """

    place: str
    heading: tuple[str, ...]
    lines: tuple[Line, ...]
    ticker: int
    shares: int
    delimiter: str
    ending_cash: tuple[tuple[str, str], ...] = ()

    def column(self, names: Sequence[str]) -> int | None:
        """Return the first column of one of these names, by the order of the names."""
        plain = [plain_name(name) for name in self.heading]
        return next((plain.index(name) for name in names if name in plain), None)


def plain_name(name: str) -> str:
    """Return a column's name in small letters and digits, words apart; umlauts are two letters."""
    # a letter and its dots may be two signs
    small = unicodedata.normalize("NFC", name).strip().lower().replace(".", "")
    return re.sub(r"[^a-z0-9%$]+", " ", small.translate(_UMLAUTS)).strip()


def read_broker_table(
    path: Path, ticker_column: str | None = None, shares_column: str | None = None
) -> BrokerTable:
    """Return the table of positions in a broker's file.

    Parameters
    ----------
    path : of the file: text in UTF-8, UTF-16 or Latin-1
    ticker_column, shares_column : names of the columns, where they are not the usual ones

    Raises
    ------
    DataError
        If there is no file, it is no text, or there is no table with both columns: the message
        lists the columns that were found.
    """
    place = shown_path(path)
    try:
        content = read_limited(path, _MOST_BYTES, DataError)
    except FileNotFoundError:
        beside = [one.name for one in path.parent.glob("*")] if path.parent.is_dir() else []
        raise DataError(
            f"there is no file {place}.{did_you_mean(path.name, sorted(beside))}"
        ) from None
    text = _text(content, place)
    rows = {sign: _rows(text, sign) for sign in _DELIMITERS}
    sections = _sections(rows[","])
    if sections is not None:
        return _of_sections(sections, place, ticker_column, shares_column)
    found = []
    for sign in _DELIMITERS:
        at = _heading(rows[sign], ticker_column, shares_column)
        if at is not None:
            found.append((sign, at))
    if not found:
        raise DataError(_no_heading(rows, place, ticker_column, shares_column))
    sign, at = max(found, key=lambda one: len(rows[one[0]][one[1]][1]))
    _require_positions(rows[sign], at, place, ticker_column, shares_column)
    heading = tuple(name.strip() for name in rows[sign][at][1])
    ticker, shares = _columns(
        heading, [cells for _, cells in rows[sign][at + 1 :]], place, ticker_column, shares_column
    )
    lines = _lines(rows[sign][at + 1 :], heading, sign, place)
    return BrokerTable(
        place=place, heading=heading, lines=lines, ticker=ticker, shares=shares, delimiter=sign
    )


def _text(content: bytes, place: str) -> str:
    if content[:2] == b"PK" or content[:4] == b"\xd0\xcf\x11\xe0":
        raise DataError(f"{place} must be a CSV file, but it is a spreadsheet; save it as CSV")
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return content.decode("utf-16", errors="replace")
    if b"\0" in content[:4096]:
        raise DataError(f"{place} must be a CSV file, but it is no text; export it as CSV")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("latin-1")


def _rows(text: str, delimiter: str) -> list[tuple[int, list[str]]]:
    """Return the rows with the number of the line on which each ends; empty ones are left out."""
    reader = csv.reader(io.StringIO(text), delimiter=delimiter)
    rows = []
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                rows.append((reader.line_num, cells))
    except csv.Error:
        return []  # a quote that never ends, read with a sign that does not separate columns
    return rows


def _heading(
    rows: Sequence[tuple[int, list[str]]], ticker_column: str | None, shares_column: str | None
) -> int | None:
    """Return the first row that names a column of tickers and one of shares."""
    for at, (_, cells) in enumerate(rows):
        if len(cells) < 2:
            continue
        if _is_heading(cells, ticker_column, shares_column):
            return at
    return None


def _is_heading(cells: Sequence[str], ticker_column: str | None, shares_column: str | None) -> bool:
    named = _named(cells, ticker_column, TICKER_NAMES)
    return bool(named and _shares_named(cells, shares_column))


def _shares_named(cells: Sequence[str], wanted: str | None) -> list[int]:
    """Return the columns of shares; an amount is one only where tickers stand beside ISINs."""
    found = _named(cells, wanted, SHARES_NAMES)
    if wanted is not None or "symbol isin" in map(plain_name, cells):
        return found
    return [at for at in found if plain_name(cells[at]) != "amount"]


def _require_positions(
    rows: Sequence[tuple[int, list[str]]],
    at: int,
    place: str,
    ticker_column: str | None,
    shares_column: str | None,
) -> None:
    """Refuse orders and trades, and a second table, whose rows would be read as positions."""
    number, cells = rows[at]
    trades = [cell.strip() for cell in cells if plain_name(cell) in TRADES]
    if trades and (ticker_column is None or shares_column is None):
        raise DataError(
            f"{place} must hold positions, but line {number} has {listed(trades)}, as orders and "
            "trades do; export the positions, or name both columns if these are positions "
            "(--ticker-column NAME --shares-column NAME)"
        )
    first = [cell.strip() for cell in cells]
    for later, other in rows[at + 1 :]:
        own = [cell.strip() for cell in other]
        if own != first and _is_heading(own, ticker_column, shares_column):
            raise DataError(
                f"{place} must hold one table of positions, but line {later} begins another than "
                f"line {number}; keep the one with the positions"
            )


def _named(cells: Sequence[str], wanted: str | None, usual: Sequence[str]) -> list[int]:
    if wanted is not None:
        same = [at for at, cell in enumerate(cells) if cell.strip() == wanted.strip()]
        return same or [
            at for at, cell in enumerate(cells) if plain_name(cell) == plain_name(wanted)
        ]
    return [at for at, cell in enumerate(cells) if plain_name(cell) in usual]


def _columns(
    heading: Sequence[str],
    rows: Sequence[Sequence[str]],
    place: str,
    ticker_column: str | None,
    shares_column: str | None,
) -> tuple[int, int]:
    tickers = _usual_first(heading, _named(heading, ticker_column, TICKER_NAMES), WEAK_TICKERS)
    shares = _usual_first(heading, _shares_named(heading, shares_column), WEAK_SHARES)
    return (
        _one_column(heading, rows, tickers, place, "ticker"),
        _one_column(heading, rows, shares, place, "shares"),
    )


def _usual_first(
    heading: Sequence[str], candidates: Sequence[int], weak: Sequence[str]
) -> Sequence[int]:
    """Return the columns whose names mean one thing, if there are any, else all."""
    return [at for at in candidates if plain_name(heading[at]) not in weak] or candidates


def _one_column(
    heading: Sequence[str],
    rows: Sequence[Sequence[str]],
    candidates: Sequence[int],
    place: str,
    what: str,
) -> int:
    """Return the one candidate, or the first of those that say the same in every row."""
    if what == "shares" and len(candidates) > 1:
        # a column Position may say Long or Short
        digits = [
            at
            for at in candidates
            if any(any(map(str.isdigit, r[at])) for r in rows if at < len(r))
        ]
        candidates = digits or candidates
    said = {tuple(row[at].strip() for row in rows if at < len(row)) for at in candidates}
    if len(said) == 1 or len(candidates) == 1:
        return candidates[0]
    names = listed(heading[at] for at in candidates)
    raise DataError(
        f"{place}: one column must hold the {what}, but {names} may, and they differ; say which "
        f"(--{what}-column {heading[candidates[0]]!r}); the columns are {listed(heading)}"
    )


def _lines(
    rows: Sequence[tuple[int, list[str]]], heading: Sequence[str], delimiter: str, place: str
) -> tuple[Line, ...]:
    """Return the rows under a heading; one repeated for another account is left out."""
    lines = []
    for number, cells in rows:
        if [cell.strip() for cell in cells] == list(heading):
            continue
        rest = cells[len(heading) :]
        if any(written_number(cell) for cell in rest):
            hint = "; numbers with decimal commas must stand in quotes" if delimiter == "," else ""
            raise DataError(
                f"{place}: each row must have at most {len(heading)} cells, as the heading, but "
                f"line {number} has {len(cells)}{hint}"
            )
        padded = [*cells, *[""] * len(heading)][: len(heading)]
        lines.append(Line(number=number, cells=tuple(padded)))
    return tuple(lines)


def _no_heading(
    rows: dict[str, list[tuple[int, list[str]]]],
    place: str,
    ticker_column: str | None,
    shares_column: str | None,
) -> str:
    tables = [row for sign in _DELIMITERS for row in rows[sign]]
    if not tables:
        return f"{place} must hold a table of positions, but it is empty"
    # the row with most words, the first of several: what a heading looks like
    number, cells = max(tables, key=lambda row: sum(_is_word(cell) for cell in row[1]))
    wanted = [
        f"a column of tickers ({ticker_column or 'such as Symbol, Ticker, Instrument'})",
        f"one of shares ({shares_column or 'such as Quantity, Shares, Position, Units'})",
    ]
    return (
        f"{place} must have a row that names {' and '.join(wanted)}, but there is none; line "
        f"{number} has {listed(cell.strip() for cell in cells)}. Name the columns: "
        "--ticker-column NAME --shares-column NAME"
    )


def _is_word(cell: str) -> bool:
    return any(map(str.isalpha, cell)) and len(cell) < 60


def _sections(
    rows: Sequence[tuple[int, list[str]]],
) -> dict[str, list[tuple[int, list[str]]]] | None:
    """Return the sections of a statement whose rows begin with a name and Header or Data."""
    marked = [
        row for row in rows if len(row[1]) > 2 and row[1][1].strip().lower() in _SECTION_WORDS
    ]
    if len(marked) < 2 or len(marked) < len(rows) / 2:
        return None
    sections: dict[str, list[tuple[int, list[str]]]] = {}
    for number, cells in marked:
        sections.setdefault(cells[0].strip().lower(), []).append((number, cells[1:]))
    return sections


def _of_sections(
    sections: dict[str, list[tuple[int, list[str]]]],
    place: str,
    ticker_column: str | None,
    shares_column: str | None,
) -> BrokerTable:
    rows = next((rows for name, rows in sections.items() if "positions" in name), None)
    if rows is None:
        raise DataError(
            f"{place} must have a section of open positions, but it has "
            f"{listed(sections)}; export them with the statement"
        )
    at = _heading(rows, ticker_column, shares_column)
    if at is None:
        raise DataError(_no_heading({sign: rows for sign in _DELIMITERS}, place, None, None))
    heading = [cell.strip() for cell in rows[at][1]]
    data = [row for row in rows[at + 1 :] if row[1][0].strip().lower() == "data"]
    plain = [plain_name(name) for name in heading]
    if "datadiscriminator" in plain:
        kind = plain.index("datadiscriminator")
        # lots are parts of the position that a summary has
        whole = [row for row in data if row[1][kind].strip().lower() != "lot"]
        data = whole
    ticker, shares = _columns(
        heading, [cells for _, cells in data], place, ticker_column, shares_column
    )
    return BrokerTable(
        place=place,
        heading=tuple(heading),
        lines=_lines(data, heading, ",", place),
        ticker=ticker,
        shares=shares,
        delimiter=",",
        ending_cash=_ending_cash(sections.get("cash report", [])),
    )


def _ending_cash(rows: Sequence[tuple[int, list[str]]]) -> tuple[tuple[str, str], ...]:
    """Return the ending cash of a statement by currency."""
    if not rows:
        return ()
    plain = [plain_name(cell) for cell in rows[0][1]]
    if not {"currency", "total"} <= set(plain):
        return ()
    currency, total = plain.index("currency"), plain.index("total")
    return tuple(
        (cells[currency].strip(), cells[total])
        for _, cells in rows[1:]
        if "ending cash" in map(plain_name, cells) and len(cells) > max(currency, total)
    )
