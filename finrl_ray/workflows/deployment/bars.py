"""The raw rows that a deployed agent carries, so that features come out as it was trained on them.

They are taken from the search's own folder, which does not change, as a file may or the prices
that a download gives. Where a source has brought columns of its own under the names of indicators,
the folder cannot tell which those are, and the source is asked for its columns.
"""

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from finrl_ray._typing import AnyArray
from finrl_ray.config.data import DataConfig
from finrl_ray.config.trial.config_of_sample import config_of_sample
from finrl_ray.data.chosen_features import market_of_sample
from finrl_ray.data.columns import PRICE_COLUMNS
from finrl_ray.data.indicators import is_indicator
from finrl_ray.data.load import market_data_of
from finrl_ray.data.market_data import MarketData
from finrl_ray.data.own_features.names import is_of
from finrl_ray.data.sources.registry import read_source
from finrl_ray.errors import FinRLRayError, SearchError
from finrl_ray.own_code.reference import is_reference
from finrl_ray.search.folder.folder import SearchFolder
from finrl_ray.search.sampling.searched_data import data_of_search
from finrl_ray.workflows.deployment.rows import TrainedRows

MEMORY = "memory"
"""`data.source` of an agent's config: its rows are in its own folder."""


def agents_data(data: DataConfig, market: MarketData) -> DataConfig:
    """Return the `data` section of a deployed agent: its own rows, its tickers, and no end.

    Parameters
    ----------
    data : of the trial
    market : of the search, whose tickers it trades
    """
    return dataclasses.replace(
        data, source=MEMORY, source_kwargs={}, tickers=market.tickers, end=None
    )


def bars_of(
    folder: SearchFolder, rows: TrainedRows, samples: Sequence[Mapping[str, Any]]
) -> pd.DataFrame:
    """Return the raw rows before the end of the training in FinRL's long format, by date and name.

    It is checked that each trial's features come out of them bit for bit as the search had them.

    Parameters
    ----------
    folder : of the search
    rows : that are trained on; those before, in which features warm up, are returned too
    samples : of each trial that is deployed

    Raises
    ------
    SearchError
        If neither the folder's data nor the source gives the features that the search had.
    """
    reasons = []
    for name, read in _readings(folder, rows):
        try:
            bars = read()
            _require_same(bars, folder, rows, samples)
        except FinRLRayError as error:
            reasons.append(f"{name}: {error}")
        else:
            return bars
    listing = "".join(f"\n  - {reason}" for reason in reasons)
    raise SearchError(
        f"the features that the search in {folder.path} was run on cannot be computed again, "
        f"and an agent must see tomorrow what it was trained on:{listing}\nPut back the source "
        "(data.source) as it was when the search began, with the version of finrl-ray that ran it"
    )


def _readings(
    folder: SearchFolder, rows: TrainedRows
) -> Iterator[tuple[str, Callable[[], pd.DataFrame]]]:
    data = data_of_search(folder.config)
    yield (
        "computed from the prices in the folder",
        lambda: folder_bars(folder.market_data, data, rows.stop_row),
    )
    if data.source != MEMORY:
        yield (
            f"with the columns that data.source {data.source} has",
            lambda: folder_bars(
                folder.market_data, data, rows.stop_row, known=read_source(data, Path()).columns
            ),
        )


def folder_bars(
    market: MarketData, data: DataConfig, stop: int, known: Iterable[str] = ()
) -> pd.DataFrame:
    """Return rows of market data before row `stop` in FinRL's long format.

    Parameters
    ----------
    market : of the search, with all of its features
    data : as the search has loaded it
    stop : row
    known : columns of the source; a feature of such a name is one of them, whatever could compute
        it
    """
    brought = set(known)
    market = market.rows(0, stop)
    shape = (market.n_periods, market.n_assets)
    columns: dict[str, AnyArray] = {
        "date": np.repeat(market.dates, market.n_assets),
        "tic": np.tile(np.array(market.tickers, dtype=object), market.n_periods),
    }
    for name in PRICE_COLUMNS:
        values = getattr(market, name)
        if not np.isnan(values).all():  # the source has no such column
            columns[name] = values.reshape(-1)
    for position, name in enumerate(market.feature_names):
        if name not in columns and (name in brought or _is_column(name, data)):
            columns[name] = market.features[:, :, position].reshape(-1)
    for position, name in enumerate(market.market_feature_names):
        if name in data.market_columns:
            series = market.market_features[:, position, None]
            columns[name] = np.broadcast_to(series, shape).reshape(-1)
    if not market.tradable.all():
        columns["tradable"] = market.tradable.reshape(-1)
    return pd.DataFrame(columns)


def _is_column(name: str, data: DataConfig) -> bool:
    """Return whether a feature is a column of the source: neither an indicator nor own code's."""
    given = (data.features,) if isinstance(data.features, str) else data.features
    own = [one for one in given if is_reference(one, "features")]
    return not is_indicator(name) and not any(name == one or is_of(name, one) for one in own)


def _require_same(
    bars: pd.DataFrame,
    folder: SearchFolder,
    rows: TrainedRows,
    samples: Sequence[Mapping[str, Any]],
) -> None:
    for sample in samples:
        trial = config_of_sample(folder.config, sample)
        found, _ = market_data_of(
            bars, agents_data(trial.data, folder.market_data), check_own_features=False
        )
        known = market_of_sample(folder.market_data, sample)
        if found.n_periods != rows.stop_row or found.warmup > rows.first_row:
            raise SearchError(
                f"it gives {found.n_periods} rows, the first {found.warmup} of them to warm up, "
                f"where the search had {rows.stop_row} and {known.warmup}"
            )
        if rows.cut(found).content_hash != rows.cut(known).content_hash:
            raise SearchError(_difference(rows.cut(found), rows.cut(known)))


def _difference(found: MarketData, known: MarketData) -> str:
    """Return in words in what two markets differ."""
    for name in ("tickers", "feature_names", "market_feature_names"):
        if getattr(found, name) != getattr(known, name):
            return (
                f"it gives {name} {list(getattr(found, name))}, where the search had "
                f"{list(getattr(known, name))}"
            )
    for name in ("dates", *PRICE_COLUMNS, "tradable", "market_features"):
        one, other = getattr(found, name), getattr(known, name)
        if one.tobytes() != other.tobytes():
            return f"it gives other values of {name} than the search had"
    different = [
        name
        for position, name in enumerate(found.feature_names)
        if found.features[:, :, position].tobytes() != known.features[:, :, position].tobytes()
    ]
    return f"it gives other values of the features {different} than the search had"
