"""Where prices come from: the bundled file, skfolio's file, a generator, a user's file."""

import hashlib
import importlib.util
import io
import zlib
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from finrl_ray.config.data import DataConfig
from finrl_ray.data.labels import did_you_mean, listed
from finrl_ray.data.sources.generated import read_generated
from finrl_ray.errors import ConfigError, DataError
from finrl_ray.files.shown_path import shown_path
from finrl_ray.support.progress import Progress, unseen

NAMED_SOURCES = ("bundled", "sp500", "yahoo", "noise", "planted")
SUFFIXES = (".csv", ".csv.gz", ".parquet")
SP500_FIRST_DATE = "2005-01-01"
"""Earlier prices of this set are rounded so coarsely that daily returns are wrong by percents."""

# the default of pandas 2 is off by a unit in the last place, so hashes would differ
_EXACT_FLOATS: dict[str, Any] = (
    {"float_precision": "round_trip"} if int(pd.__version__.split(".")[0]) < 3 else {}
)
_NA_WORDS = ["", "NA", "N/A", "n/a", "#N/A", "NaN", "nan", "NULL", "null", "None", "<NA>"]
_BUNDLED_FILE = "us_stocks_2004_2013.csv.gz"
_BUNDLED_SHA256 = "44c412c7032db6e3e2ea774490245ed14b489497f2be414217c95a28cdc3785b"
# the last four are bases of what pyarrow, gzip and the CSV parser raise on damaged files
_READ_ERRORS = (OSError, EOFError, zlib.error, ValueError, LookupError, RuntimeError, TypeError)


def read_source(config: DataConfig, base_dir: Path, progress: Progress = unseen) -> pd.DataFrame:
    """Return the rows of `config.source` in FinRL's long format.

    Parameters
    ----------
    config : `source` is one of `NAMED_SOURCES` or a path
    base_dir : folder from which a relative path is looked up
    progress : told of a download

    Raises
    ------
    DataError
        If there is no such source, or it cannot be read.
    ConfigError
        If the source needs an extra that is not installed, or `yahoo` lacks tickers or dates.
    """
    if config.source == "bundled":
        return read_bundled()
    if config.source == "sp500":
        return read_sp500()
    if config.source in ("noise", "planted"):
        return read_generated("noise" if config.source == "noise" else "planted")
    if config.source == "yahoo":
        from finrl_ray.data.sources.yahoo import read_yahoo

        return read_yahoo(config, progress)
    return read_file(config.source, base_dir)


def read_bundled() -> pd.DataFrame:
    """Return AAPL, GOOG, IBM, MSFT of 2004-08-19..2013-03-01, adjusted for splits and dividends.

    `close` is the source's adjusted close; open, high and low are multiplied by the same factor;
    volume is the source's, in shares of the day.

    Raises
    ------
    DataError
        If the file is not the one that was shipped.
    """
    folder = files("finrl_ray.data").joinpath("bundled")
    try:
        content = folder.joinpath(_BUNDLED_FILE).read_bytes()
    except OSError as error:
        raise DataError(
            f"the bundled prices cannot be read ({error}); install finrl-ray again"
        ) from error
    found = hashlib.sha256(content).hexdigest()
    if found != _BUNDLED_SHA256:
        raise DataError(
            f"the bundled prices must have the SHA-256 {_BUNDLED_SHA256}, got {found}; the file "
            "was changed or damaged: install finrl-ray again"
        )
    df = _parse_csv(content, compressed=True)
    factor = df["adj_close"] / df["close"]
    for name in ("open", "high", "low"):
        df[name] = df[name] * factor
    df["close"] = df["adj_close"]
    df["volume"] = df["volume"].astype(np.float64)
    return df.drop(columns="adj_close")


def read_sp500() -> pd.DataFrame:
    """Return the adjusted closes of 20 large US stocks from 2005 on, from skfolio's package.

    Only the file is read; skfolio is not imported.

    Raises
    ------
    ConfigError
        If skfolio is not installed.
    DataError
        If its file is not where this version of skfolio keeps it.
    """
    spec = importlib.util.find_spec("skfolio")
    if spec is None or spec.origin is None:
        raise ConfigError(
            "data.source 'sp500' needs the prices that ship with skfolio, which is not installed: "
            'pip install "finrl-ray[sp500]"'
        )
    path = Path(spec.origin).parent / "datasets" / "data" / "sp500_dataset.csv.gz"
    try:
        wide = pd.read_csv(path, index_col=0, **_EXACT_FLOATS)
    except _READ_ERRORS as error:
        raise DataError(
            f"skfolio's price file {path} cannot be read ({error}); install a version that "
            'finrl-ray knows: pip install "finrl-ray[sp500]"'
        ) from error
    wide = wide.loc[wide.index >= SP500_FIRST_DATE]
    t, n = wide.shape
    return pd.DataFrame(
        {
            "date": np.repeat(wide.index.to_numpy(), n),
            "tic": np.tile(wide.columns.to_numpy(), t),
            "close": wide.to_numpy(dtype=np.float64).reshape(-1),
        }
    )


def read_file(source: str, base_dir: Path) -> pd.DataFrame:
    """Return the rows of a .csv, .csv.gz or .parquet file.

    In CSV files `date` and `tic` are read as text, so that tickers such as NA, TRUE or 000001
    stay as they are.

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
    suffix = next((s for s in (*SUFFIXES, "") if path.name.lower().endswith(s)), "")
    if is_folder:
        raise DataError(
            f"data.source {source!r} must be a file, but {shown_path(path)} is a folder; name a "
            f"{' or '.join(SUFFIXES)} file in it"
        )
    if not exists:
        raise DataError(_no_such_source(source, path, suffix))
    if not suffix:
        raise DataError(
            f"data.source must be one of {listed(NAMED_SOURCES)} or end in "
            f"{' or '.join(SUFFIXES)}, got {source!r}"
        )
    try:
        if suffix == ".parquet":
            return pd.read_parquet(path)
        return _parse_csv(path.read_bytes(), compressed=suffix == ".csv.gz")
    except _READ_ERRORS as error:
        first_line = str(error).strip().partition("\n")[0]
        if isinstance(error, UnicodeDecodeError):
            first_line = _encoding_hint(error)
        raise DataError(
            f"{shown_path(path)} cannot be read as {suffix[1:]}: {first_line}"
        ) from error


def _parse_csv(content: bytes, *, compressed: bool) -> pd.DataFrame:
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
        **_EXACT_FLOATS,
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
    readable = [item for item in folder.iterdir() if item.name.lower().endswith(SUFFIXES)]
    nearest = did_you_mean(path.name, sorted(item.name for item in readable))
    if nearest or Path(source).is_absolute():
        return nearest
    return " A relative path is looked up from the folder of the config file"


def _no_such_source(source: str, path: Path, suffix: str) -> str:
    if suffix:
        return f"there is no file {shown_path(path)}.{_nearest_file(path, source)}"
    return (
        f"data.source must be one of {listed(NAMED_SOURCES)} or the path of a "
        f"{', '.join(SUFFIXES)} file, got {source!r}.{did_you_mean(source, NAMED_SOURCES)}"
    )
