"""Raw rows of prices that an agent's folder keeps, and new ones that follow them.

They have the columns of FinRL's long format and all others of the source. Dates are without a time
zone, converted as `data.timezone` says, so that rows of several sources are on one clock.
"""

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd

from finrl_ray.config.data import DataConfig
from finrl_ray.data.columns import PRICE_COLUMNS
from finrl_ray.data.frames.columns import check_columns, read_tickers
from finrl_ray.data.frames.dates import read_dates
from finrl_ray.data.labels import date_label
from finrl_ray.data.load import market_data_of
from finrl_ray.data.market_data import MarketData
from finrl_ray.data.sources.files import READ_ERRORS
from finrl_ray.errors import DataError
from finrl_ray.files.bounded_reading import require_regular

SAME_PRICE = 1e-6
"""Relative difference up to which a price of the past is the same: files round."""
_ARRAYS = ("dates", *PRICE_COLUMNS, "features", "tradable", "market_features")


def plain_bars(
    df: pd.DataFrame, config: DataConfig, *, until: "pd.Timestamp | None" = None
) -> pd.DataFrame:
    """Return rows in order of date and ticker, with dates without a zone; nothing is repaired.

    Parameters
    ----------
    df : frame in FinRL's long format; not changed
    config : says the zone that instants are converted to
    until : rows at or after it are left out; None: all are kept

    Raises
    ------
    DataError
        If a column is missing, or a ticker or a date cannot be read.
    """
    check_columns(df, ())
    tickers = read_tickers(df["tic"])
    dates = read_dates(df["date"], tickers, config.timezone).dates
    kept = df[[name for name in df.columns if isinstance(name, str)]].copy()
    kept["date"], kept["tic"] = dates, tickers
    if until is not None:
        kept = kept[kept["date"] < until]
    return kept.sort_values(["date", "tic"], kind="stable", ignore_index=True)


def write_bars(bars: pd.DataFrame, path: Path) -> None:
    """Write rows as Parquet, every number to its last bit."""
    bars.to_parquet(path, index=False)


def read_bars(path: Path) -> pd.DataFrame:
    """Return what `write_bars` wrote.

    Raises
    ------
    DataError
        If the file is missing or damaged, or lacks dates, tickers or closes.
    """
    try:
        require_regular(path, error=DataError)
        bars = pd.read_parquet(path)
    except READ_ERRORS as error:
        raise DataError(f"{path} cannot be read as prices: {error}") from error
    missing = [name for name in ("date", "tic", "close") if name not in bars.columns]
    if missing:
        raise DataError(
            f"{path} must have the columns date, tic and close, but lacks {', '.join(missing)}; "
            "put back a copy"
        )
    return bars


def with_new_bars(
    bars: pd.DataFrame, new: pd.DataFrame, config: DataConfig, *, volume_matters: bool = True
) -> pd.DataFrame:
    """Return rows that are known already and the new ones after them.

    Of a date and ticker that is known, the known row stays; that of the new rows must have the same
    prices, to a millionth.

    Parameters
    ----------
    bars : from `plain_bars`
    new : frame in FinRL's long format; rows of tickers that are not known are left out
    config : as of `plain_bars`
    volume_matters : whether volumes must be the same too

    Raises
    ------
    DataError
        If a price of the past has changed, with ticker, date and column.
    """
    added = plain_bars(new, config)
    added = added[added["tic"].isin(bars["tic"].unique())]
    both = pd.merge(bars, added, on=["date", "tic"], suffixes=("", " now"))
    compared = [name for name in PRICE_COLUMNS if name != "volume" or volume_matters]
    for name in compared:
        if name in bars.columns and name in added.columns:
            _check_same(both, name)
    known = pd.MultiIndex.from_frame(bars[["date", "tic"]])
    fresh = added[~pd.MultiIndex.from_frame(added[["date", "tic"]]).isin(known)]
    if fresh.empty:
        return bars
    whole = pd.concat([bars, fresh], ignore_index=True)
    return whole.sort_values(["date", "tic"], kind="stable", ignore_index=True)


def _check_same(both: pd.DataFrame, name: str) -> None:
    before = both[name].to_numpy(dtype=np.float64)
    now = both[f"{name} now"].to_numpy(dtype=np.float64)
    differ = np.flatnonzero(np.abs(now - before) > SAME_PRICE * np.abs(before))
    if differ.size:
        row = both.iloc[int(differ[0])]
        raise DataError(
            f"{name} of {row['tic']} on {date_label(np.datetime64(row['date']))} was "
            f"{row[name]:g} when the agent last saw it and is {row[f'{name} now']:g}"
            f" ({differ.size} such values): prices were adjusted again, by a split or a dividend, "
            "and features would jump; give prices adjusted as before, or deploy the agent again"
        )


def market_of_bars(bars: pd.DataFrame, config: DataConfig) -> MarketData:
    """Return the market of some rows, with the features that a section asks for.

    Parameters
    ----------
    bars : from the source's first row on
    config : its `end` is not asked: later rows are what an agent lives by

    Raises
    ------
    DataError, ConfigError
        As `market_data_of`.
    """
    open_ended = dataclasses.replace(config, end=None)
    return market_data_of(bars, open_ended, check_own_features=False)[0]


def check_reproduced(bars: pd.DataFrame, config: DataConfig, trained: MarketData) -> None:
    """Refuse bars from which the rows that were trained on do not come out again, bit for bit.

    Raises
    ------
    DataError
        Naming what differs, and where first.
    """
    market = market_of_bars(bars, config)
    if market.tickers != trained.tickers:
        raise DataError(
            f"the bars give the tickers {list(market.tickers)}, and the model was trained on "
            f"{list(trained.tickers)}; give the rows of the source that it was trained on"
        )
    first = int(np.searchsorted(market.dates, trained.dates[0]))
    rows = market.rows(first, min(first + trained.n_periods, market.n_periods))
    rows = rows.with_features(trained.feature_names)
    for name in _ARRAYS:
        ours, theirs = getattr(rows, name), getattr(trained, name)
        same = ours.shape == theirs.shape and np.array_equal(
            ours, theirs, equal_nan=ours.dtype.kind == "f"
        )
        if not same:
            raise DataError(
                f"the bars do not give the {name} that the model was trained on; give the rows of "
                "the source that it was trained on, from the first one, and its config"
            )
