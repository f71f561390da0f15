"""`add_own_features`: market data with the features of the user's functions appended."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from finrl_ray._typing import FloatArray
from finrl_ray.data.frames.long_format import forward_fill
from finrl_ray.data.market_data import MarketData
from finrl_ray.data.own_features.checks import (
    check_again,
    check_columns,
    check_same_columns,
    check_without_future,
)
from finrl_ray.data.own_features.names import feature_name
from finrl_ray.data.own_features.tables import Asked, Call, Columns, called, calls_of
from finrl_ray.data.own_features.variants import check_taken, own_function, variants
from finrl_ray.errors import DataError
from finrl_ray.support.progress import Progress, no_progress


def add_own_features(
    market_data: MarketData,
    references: Sequence[str],
    feature_kwargs: Mapping[str, Any],
    *,
    checked: bool = True,
    progress: Progress = no_progress,
) -> MarketData:
    """Return market data with what functions of the user's give appended to its features.

    A function is called per ticker, on the rows where it has quotes of its own, or once with all
    tickers where it has the attribute `market_wide`; on other rows the last value is carried.

    Parameters
    ----------
    market_data : prices, and market columns
    references : of the functions, each once
    feature_kwargs : their keywords; each function gets those that it takes
    checked : call each again, and without the last rows, to see that it is deterministic and does
        not look ahead
    progress : told before each call

    Returns
    -------
    MarketData
        With `warmup` raised past the last row in which a ticker has no value yet.

    Raises
    ------
    OwnCodeError
        Naming file, line and remedy, for a function that fails or is not what it must be.
    DataError
        If a feature of that name is there already.
    """
    functions = [own_function(reference) for reference in references]
    check_taken(functions, feature_kwargs)
    calls = [
        Call(own=own, keywords=keywords)
        for own in functions
        for keywords in variants(own, feature_kwargs)
    ]
    if not calls:
        return market_data
    blocks: dict[str, FloatArray] = {}
    for number, call in enumerate(calls):
        progress(f"computing features of {call.own.reference}", number, len(calls))
        for column, values in _values(market_data, call, checked).items():
            name = feature_name(call.own.reference, column, call.keywords)
            if name in blocks or name in market_data.feature_names:
                raise DataError(f"each feature must have a name of its own, but two are {name!r}")
            blocks[name] = values
    progress("computed the features", len(calls), len(calls))
    block = np.stack(list(blocks.values()), axis=2)
    first_complete = int(np.isfinite(block).all(axis=(1, 2)).argmax())
    return replace(
        market_data,
        features=np.concatenate([market_data.features, block], axis=2),
        feature_names=(*market_data.feature_names, *blocks),
        warmup=max(market_data.warmup, first_complete),
    )


def _values(market_data: MarketData, call: Call, checked: bool) -> dict[str, FloatArray]:
    """Return the features of one call by column, of shape (T, N), carried over gaps."""
    asked = list(calls_of(market_data, call))
    looked_at = {0, len(asked) // 2, len(asked) - 1} if checked else set()
    blocks: dict[str, FloatArray] = {}
    first: Columns = {}
    for number, one in enumerate(asked):
        found = called(call, one)
        first = first or found
        check_same_columns(call, one, found, first)
        if number in looked_at:
            check_again(call, one, found)
            check_without_future(call, one, found)
        check_columns(call, one, found)
        for name, values in found.items():
            _lay_in(blocks, name, one, values)
    return {name: forward_fill(values) for name, values in blocks.items()}


def _lay_in(blocks: dict[str, FloatArray], name: str, asked: Asked, values: FloatArray) -> None:
    data = asked.market_data
    if name not in blocks:
        blocks[name] = np.full((data.n_periods, data.n_assets), np.nan)
    tradable = data.tradable[np.ix_(asked.rows, asked.assets)]
    blocks[name][np.ix_(asked.rows, asked.assets)] = np.where(tradable, values, np.nan)
