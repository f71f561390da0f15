"""Prices from a file of the user's: CSV, compressed or not, or Parquet, in FinRL's long format."""

import io
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from finrl_ray.config.data import FILE_ENDINGS
from finrl_ray.errors import DataError
from finrl_ray.files.shown_path import shown_path
from finrl_ray.support.text import did_you_mean, listed

# the default of pandas 2 is off by a unit in the last place, so hashes would differ
EXACT_FLOATS: dict[str, Any] = (
    {"float_precision": "round_trip"} if int(pd.__version__.split(".")[0]) < 3 else {}
)
_NA_WORDS = ["", "NA", "N/A", "n/a", "#N/A", "NaN", "nan", "NULL", "null", "None", "<NA>"]
# the last four are bases of what pyarrow, gzip and the CSV parser raise on damaged files
READ_ERRORS = (OSError, EOFError, zlib.error, ValueError, LookupError, RuntimeError, TypeError)


def read_file(source: str, base_dir: Path, *, known: Sequence[str]) -> pd.DataFrame:
    """Return the rows of a .csv, .csv.gz or .parquet file.

    In CSV files `date` and `tic` are read as text, so that tickers such as NA, TRUE or 000001
    stay as they are.

    Parameters
    ----------
    source : the path, absolute or from `base_dir`
    base_dir : the folder of the config file
    known : names of sources that are not files, for the message where there is no such file

    Raises
    ------
    DataError
        If the path is missing, a folder, of another suffix, or cannot be read.
    """
    try:
        path = Path(base_dir, Path(source).expanduser())
        is_folder, exists = path.is_dir(), path.exists()
    except (OSError, ValueError, RuntimeError) as error:
        raise DataError(f"data.source {source!r} cannot be read: {error}") from error
    suffix = next((s for s in (*FILE_ENDINGS, "") if path.name.lower().endswith(s)), "")
    if is_folder:
        raise DataError(
            f"data.source {source!r} must be a file, but {shown_path(path)} is a folder; name a "
            f"{' or '.join(FILE_ENDINGS)} file in it"
        )
    if not exists:
        raise DataError(_no_such_source(source, path, suffix, known))
    if not suffix:
        raise DataError(
            f"data.source must be one of {listed(known)} or end in "
            f"{' or '.join(FILE_ENDINGS)}, got {source!r}"
        )
    try:
        if suffix == ".parquet":
            return pd.read_parquet(path)
        return parse_csv(path.read_bytes(), compressed=suffix == ".csv.gz")
    except READ_ERRORS as error:
        first_line = str(error).strip().partition("\n")[0]
        if isinstance(error, UnicodeDecodeError):
            first_line = _encoding_hint(error)
        raise DataError(
            f"{shown_path(path)} cannot be read as {suffix[1:]}: {first_line}"
        ) from error


def parse_csv(content: bytes, *, compressed: bool) -> pd.DataFrame:
    """Return the rows of a CSV file, with every number as the file has it, to the last bit.

    Parameters
    ----------
    content : the file's bytes, UTF-8, or such bytes compressed by gzip
    compressed : whether they are

    Raises
    ------
    DataError
        If the columns are separated by something else than commas, or a name occurs twice.
    """
    compression: Literal["gzip"] | None = "gzip" if compressed else None
    first_line = pd.read_csv(
        io.BytesIO(content),
        compression=compression,
        header=None,
        nrows=1,
        dtype="str",
        keep_default_na=False,
    )
    header: list[str] = first_line.iloc[0].tolist()
    _check_separator(header)
    repeated = sorted({name for name in header if name and header.count(name) > 1})
    if repeated:
        raise DataError(f"each column name must occur once; more than once: {listed(repeated)}")
    text = [name for name in header if name in ("date", "tic")]
    df: pd.DataFrame = pd.read_csv(
        io.BytesIO(content),
        compression=compression,
        dtype=dict.fromkeys(text, "str"),
        keep_default_na=False,
        na_values={name: _NA_WORDS for name in header if name not in text},
        low_memory=False,
        **EXACT_FLOATS,
    )
    return df


def _encoding_hint(error: UnicodeDecodeError) -> str:
    utf_16 = error.object[:2] in (b"\xff\xfe", b"\xfe\xff")
    kind, example = ("is UTF-16", "utf-16") if utf_16 else ("is not in UTF-8", "latin-1")
    return (
        f"it {kind}, and must be UTF-8; write it again: "
        f"pd.read_csv(path, encoding={example!r}).to_csv(path, index=False)"
    )


def _check_separator(header: Sequence[str]) -> None:
    """Refuse a file whose first line is one cell of names that something else separates."""
    found = next((sign for sign in (";", "\t", "|") if sign in header[0]), None)
    if len(header) > 1 or found is None:
        return
    names = {";": "semicolons", "\t": "tabs", "|": "vertical bars"}
    decimal = ", decimal=','" if found == ";" else ""
    note = " (leave decimal out if its numbers have points)" if decimal else ""
    raise DataError(
        f"its columns are separated by {names[found]}, and must be by commas; write it again: "
        f"pd.read_csv(path, sep={found!r}{decimal}).to_csv(path, index=False){note}"
    )


def _nearest_file(path: Path, source: str) -> str:
    """Return what may help to find a file: one of like name, else where it was looked for."""
    folder = Path(shown_path(path)).parent
    if not folder.is_dir():
        return f" There is no folder {folder} either"
    # of other kinds there are always some beside it, such as the config itself
    readable = [item for item in folder.iterdir() if item.name.lower().endswith(FILE_ENDINGS)]
    nearest = did_you_mean(path.name, sorted(item.name for item in readable))
    if nearest or Path(source).is_absolute():
        return nearest
    return " A relative path is looked up from the folder of the config file"


def _no_such_source(source: str, path: Path, suffix: str, known: Sequence[str]) -> str:
    if suffix:
        return f"there is no file {shown_path(path)}.{_nearest_file(path, source)}"
    return (
        f"data.source must be one of {listed(known)} or the path of a "
        f"{', '.join(FILE_ENDINGS)} file, or a function of your own such as my_source:read, got "
        f"{source!r}.{did_you_mean(source, known)}"
    )
