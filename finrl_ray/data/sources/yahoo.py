"""Daily prices from Yahoo through yfinance, kept in a cache on disk."""

import hashlib
import json
import logging
import os
import tempfile
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from finrl_ray.config.data import DataConfig
from finrl_ray.data.columns import PRICE_COLUMNS
from finrl_ray.data.sources.source import Source
from finrl_ray.errors import ConfigError, DataError
from finrl_ray.files.private_folder import private_folder
from finrl_ray.support.progress import Progress, no_progress
from finrl_ray.support.text import listed

_log = logging.getLogger(__name__)
_AT_ONCE = 20  # tickers of one request, so that a long download says how far it is


def read_yahoo(config: DataConfig, progress: Progress = no_progress) -> pd.DataFrame:
    """Return prices adjusted for splits and dividends, from the cache or by a download.

    Windows that end in the past are cached; a window that may still grow is not.

    Parameters
    ----------
    config : `tickers`, `start` and `end` are given
    progress : told before each request

    Raises
    ------
    ConfigError
        If tickers, start or end is missing, or yfinance is not installed.
    DataError
        If the download fails or a ticker came back empty.
    """
    if config.tickers is None or config.start is None or config.end is None:
        given = {"tickers": config.tickers, "start": config.start, "end": config.end}
        missing = [f"data.{name}" for name, value in given.items() if value is None]
        raise ConfigError(f"data.source 'yahoo' needs {' and '.join(missing)} to be set")
    path = _cache_path(config)
    cached = _read_cache(path)
    if cached is not None:
        return cached
    frame = _download(config, progress)
    df = yahoo_to_long(frame, config.tickers)
    if config.end <= datetime.now(timezone.utc).date():
        _write_cache(df, path)
    return df


def _cache_path(config: DataConfig) -> Path:
    key = json.dumps([sorted(config.tickers or ()), str(config.start), str(config.end)])
    name = hashlib.sha256(key.encode()).hexdigest()[:24]
    try:
        folder = Path(config.cache_dir).expanduser()
    except RuntimeError:  # nobody's home, as under `docker run --user`
        folder = private_folder() / "downloads"
    return folder / f"yahoo-{name}.parquet"


def _read_cache(path: Path) -> pd.DataFrame | None:
    if not path.is_file():
        return None
    try:
        return pd.read_parquet(path)
    except (OSError, ValueError) as error:
        _log.warning("the cached download %s cannot be read (%s); downloading again", path, error)
        return None


def _write_cache(df: pd.DataFrame, path: Path) -> None:
    """Write beside the target and rename, so that a reader never sees half a file."""
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".part", delete=False) as file:
            temporary = Path(file.name)
            df.to_parquet(file, index=False)
        os.replace(temporary, path)  # noqa: PTH105  # the one call documented as atomic
        temporary = None
    except OSError as error:
        _log.warning("the download could not be kept in %s: %s", path, error)
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def _download(config: DataConfig, progress: Progress) -> pd.DataFrame:
    try:
        import yfinance
        from yfinance.exceptions import YFException
    except ImportError:
        raise ConfigError(
            "data.source 'yahoo' needs yfinance, which is not installed: "
            'pip install "finrl-ray[yahoo]"'
        ) from None
    tickers = list(config.tickers or ())
    found: list[pd.DataFrame] = []
    try:
        for first in range(0, len(tickers), _AT_ONCE):
            some = tickers[first : first + _AT_ONCE]
            progress(f"downloading {listed(some[:3])}", first, len(tickers))
            part = yfinance.download(
                some,
                start=str(config.start),
                end=str(config.end),
                auto_adjust=True,
                progress=False,
                multi_level_index=True,
            )
            if part is not None and len(part):
                found.append(pd.DataFrame(part))
    except (OSError, ValueError, TypeError, LookupError, RuntimeError, YFException) as error:
        raise DataError(
            f"the download of {listed(tickers)} from Yahoo failed: {error}; try again later, or "
            "save the prices to a file and name it as data.source"
        ) from error
    progress("downloaded", len(tickers), len(tickers))
    if not found:
        raise DataError(
            f"Yahoo returned nothing for {listed(tickers)} from {config.start} to {config.end}; "
            "check the network, the names and the dates"
        )
    return found[0] if len(found) == 1 else pd.concat(found, axis=1)


def yahoo_to_long(frame: pd.DataFrame, tickers: Sequence[str]) -> pd.DataFrame:
    """Return FinRL's long format from the frame that `yfinance.download` returns.

    Parameters
    ----------
    frame : index of dates; columns (field, ticker) or (ticker, field), or plain fields when there
        is one ticker
    tickers : the names that were asked for

    Returns
    -------
    frame with date, tic, open, high, low, close, volume
        Rows in which a ticker has no value at all are left out. A time zone stays on the dates.

    Raises
    ------
    DataError
        If a ticker or its closes are missing.
    """
    wide = _fields_by_ticker(frame, tickers)
    parts = []
    empty = []
    for ticker in tickers:
        fields = {name: wide[name, ticker] for name in PRICE_COLUMNS if (name, ticker) in wide}
        part = pd.DataFrame(fields, index=frame.index).dropna(how="all")
        if "close" not in fields or not np.isfinite(part["close"].to_numpy(dtype=float)).any():
            empty.append(ticker)
            continue
        part.insert(0, "tic", ticker)
        part.insert(0, "date", part.index)
        parts.append(part)
    if empty:
        raise DataError(
            f"Yahoo returned no closes for {listed(empty)}; correct the names, leave them out of "
            "data.tickers, or choose dates on which they traded"
        )
    return pd.concat(parts, ignore_index=True)


def _fields_by_ticker(
    frame: pd.DataFrame, tickers: Sequence[str]
) -> dict[tuple[str, str], "pd.Series[Any]"]:
    wide: dict[tuple[str, str], pd.Series[Any]] = {}
    labels: Sequence[object] = frame.columns.tolist()
    for position, column in enumerate(labels):
        parts = column if isinstance(column, tuple) else (column, tickers[0])
        field = next((p for p in parts if str(p).lower() in PRICE_COLUMNS), None)
        ticker = next((p for p in parts if p in tickers), None)
        if field is not None and ticker is not None:
            wide[str(field).lower(), str(ticker)] = frame.iloc[:, position]
    return wide


YAHOO = Source(
    name="yahoo",
    description="Daily prices from Yahoo, adjusted for splits and dividends",
    read=read_yahoo,
)
