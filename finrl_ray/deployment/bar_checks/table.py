"""Tables of bars in the forms that users have them, as FinRL's long format.

Long: one row per date and ticker. Wide: as `yfinance.download` returns and writes it, with a level
of fields and one of tickers; or one column of closes per ticker. Nothing is judged here.
"""

import csv
import gzip
import io
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from finrl_ray.config.data import FILE_ENDINGS
from finrl_ray.data.columns import PRICE_COLUMNS
from finrl_ray.data.sources.files import EXACT_FLOATS, READ_ERRORS, parse_csv
from finrl_ray.errors import DataError
from finrl_ray.files.bounded_reading import TABLE_BYTES, require_regular
from finrl_ray.files.shown_path import shown_path
from finrl_ray.support.text import did_you_mean, listed

Order = Literal["fields first", "tickers first"]

_OTHER_FIELDS = ("adj close", "dividends", "stock splits", "capital gains")
_FIELDS = (*PRICE_COLUMNS, *_OTHER_FIELDS)
_NAMES = {
    "date": ("date", "datetime", "timestamp", "time"),
    "tic": ("tic", "ticker", "symbol"),
    **{name: (name,) for name in PRICE_COLUMNS},
    "tradable": ("tradable",),
}
"""What columns of long tables are called, in any case."""


def read_bar_file(path: Path, tickers: Sequence[str]) -> pd.DataFrame:
    """Return the rows of a .csv, .csv.gz or .parquet file in FinRL's long format.

    Parameters
    ----------
    path : of the file
    tickers : of the agent, which tell what the columns of a wide table are

    Raises
    ------
    DataError
        If it is missing, of another suffix, cannot be read, or is in none of the known forms.
    """
    suffix = next((s for s in FILE_ENDINGS if path.name.lower().endswith(s)), "")
    if not suffix:
        raise DataError(
            f"a file of prices must end in {', '.join(FILE_ENDINGS)}, got {shown_path(path)}; save "
            "it as one of these, or name a source such as yahoo"
        )
    try:
        require_regular(path, TABLE_BYTES, DataError)
        if suffix == ".parquet":
            return long_bars(pd.read_parquet(path), tickers)
        content = path.read_bytes()
        return _of_csv(gzip.decompress(content) if suffix == ".csv.gz" else content, tickers)
    except FileNotFoundError:
        beside = [one.name for one in path.parent.glob("*")] if path.parent.is_dir() else []
        raise DataError(
            f"there is no file {shown_path(path)}.{did_you_mean(path.name, sorted(beside))}"
        ) from None
    except DataError as error:
        raise DataError(f"{shown_path(path)}: {error}") from error
    except (*READ_ERRORS, zlib.error) as error:
        first_line = str(error).strip().partition("\n")[0]
        raise DataError(
            f"{shown_path(path)} cannot be read as {suffix[1:]}: {first_line}; write it again as "
            "UTF-8 with commas, or as Parquet"
        ) from error


def long_bars(frame: pd.DataFrame, tickers: Sequence[str]) -> pd.DataFrame:
    """Return a table of bars in FinRL's long format, whatever known form it has; never changed.

    Parameters
    ----------
    frame : long, wide as `yfinance.download` returns it, closes by ticker, or one ticker's fields
    tickers : of the agent

    Raises
    ------
    DataError
        If it is none of these.
    """
    if isinstance(frame.columns, pd.MultiIndex):
        return _of_levels(frame, tickers)
    named = [name for name in frame.index.names if name is not None]
    dated = isinstance(frame.index, pd.DatetimeIndex) and "date" not in _lower(frame)
    if named or dated:
        index = frame.index if named else frame.index.rename("date")
        frame = frame.set_axis(index, axis=0).reset_index()
    frame = frame.rename(columns=_canonical([str(name) for name in frame.columns]))
    if "tic" in frame.columns or "date" not in frame.columns:
        return frame  # reading the table says which column is missing
    if "close" in frame.columns:
        return _of_one_ticker(frame, tickers)
    return _of_closes(frame, tickers)


def _lower(frame: pd.DataFrame) -> list[str]:
    return [str(name).strip().lower() for name in frame.columns]


def _canonical(names: Sequence[str]) -> dict[str, str]:
    """Return the columns to rename; a name that is there already is left alone."""
    renamed = {}
    for wanted, known in _NAMES.items():
        found = [name for name in names if name.strip().lower() in known]
        if wanted not in names and found:
            renamed[found[0]] = wanted
    return renamed


def _of_one_ticker(frame: pd.DataFrame, tickers: Sequence[str]) -> pd.DataFrame:
    if len(tickers) != 1:
        raise DataError(
            "there must be a column tic with the ticker of each row, but there are "
            f"{listed(str(name) for name in frame.columns)}, and the agent trades "
            f"{listed(tickers)}; add the column"
        )
    return frame.assign(tic=tickers[0])


def _of_closes(frame: pd.DataFrame, tickers: Sequence[str]) -> pd.DataFrame:
    names = [str(name) for name in frame.columns if name != "date"]
    if not set(names) & set(tickers):
        raise DataError(
            "there must be a column tic and a column close, or one column of closes for each of "
            f"the agent's tickers {listed(tickers)}, but the columns are "
            f"{listed(['date', *names])}; give FinRL's long format: date, tic, open, high, low, "
            "close, volume"
        )
    return frame.melt(id_vars="date", var_name="tic", value_name="close")


def _of_levels(frame: pd.DataFrame, tickers: Sequence[str]) -> pd.DataFrame:
    """Return the long table of columns (field, ticker) or (ticker, field) over dates."""
    labels = [tuple(str(part) for part in column) for column in frame.columns]
    order = _order([label[0] for label in labels], [label[-1] for label in labels])
    if frame.columns.nlevels != 2 or order is None:
        raise DataError(
            "columns of two levels must be fields (open, high, low, close, volume) and tickers, "
            f"but the first is {labels[0]!r}; give FinRL's long format: one row per date and ticker"
        )
    return _stacked(frame, labels, order)


def _order(first: Sequence[str], second: Sequence[str]) -> Order | None:
    """Return which of two lines of headings has the fields; None if none or both have."""
    fields = [{name.strip().lower() for name in line} <= set(_FIELDS) for line in (first, second)]
    if fields == [True, False]:
        return "fields first"
    return "tickers first" if fields == [False, True] else None


def _stacked(frame: pd.DataFrame, labels: Sequence[tuple[str, ...]], order: Order) -> pd.DataFrame:
    by_ticker: dict[str, dict[str, pd.Series[Any]]] = {}
    for position, label in enumerate(labels):
        field, ticker = label if order == "fields first" else label[::-1]
        name = field.strip().lower()
        if name in PRICE_COLUMNS:
            by_ticker.setdefault(ticker.strip(), {})[name] = frame.iloc[:, position]
    parts = []
    for ticker, fields in by_ticker.items():
        given = {name: fields[name] for name in PRICE_COLUMNS if name in fields}
        part = pd.DataFrame(given).dropna(how="all")
        part.insert(0, "tic", ticker)
        part.insert(0, "date", part.index)
        parts.append(part)
    if not parts:
        raise DataError("there must be columns of prices, but there is none")
    return pd.concat(parts, ignore_index=True)


def _of_csv(content: bytes, tickers: Sequence[str]) -> pd.DataFrame:
    content = content.removeprefix(b"\xef\xbb\xbf")
    text = content[: 1 << 20].decode("utf-8", errors="ignore")
    first = list(csv.reader(io.StringIO(text)))[:3]
    order = _order(first[0][1:], first[1][1:]) if len(first) > 1 and len(first[0]) > 1 else None
    if order is None or not _are_names(first[1][1:]):
        return long_bars(parse_csv(_renamed(content, first), compressed=False), tickers)
    # the third line of yfinance's files has the name of the dates alone
    named = len(first) > 2 and not any(first[2][1:])
    frame = pd.read_csv(
        io.BytesIO(content), header=None, skiprows=3 if named else 2, index_col=0, **EXACT_FLOATS
    )
    labels = list(zip(first[0][1:], first[1][1:], strict=False))
    if frame.shape[1] != len(labels):
        raise DataError(
            f"each line must have as many cells as the heading ({len(labels) + 1}), but there are "
            f"{frame.shape[1] + 1}; write it again by frame.to_csv"
        )
    return _stacked(frame, labels, order)


def _renamed(content: bytes, lines: list[list[str]]) -> bytes:
    """Return the file with FinRL's names in its heading, so that dates and tickers stay text."""
    if not lines:
        raise DataError("there must be a line of column names, but the file is empty")
    renamed = _canonical(lines[0])
    head, newline, body = content.partition(b"\n")
    if not renamed or (b'"' in head and head.count(b'"') % 2):
        return content
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow([renamed.get(name, name) for name in lines[0]])
    return line.getvalue().encode() + newline + body


def _are_names(cells: Sequence[str]) -> bool:
    return any(cells) and not any(_is_number(cell) for cell in cells)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
