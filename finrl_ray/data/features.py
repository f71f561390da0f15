"""Causal features: indicators by FinRL's names, and FinRL's turbulence index."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from finrl_ray._typing import BoolArray, FloatArray, IntArray
from finrl_ray.data.columns import PRICE_COLUMNS
from finrl_ray.data.frames.long_format import forward_fill
from finrl_ray.data.indicators import FINRL_INDICATORS, compute, lookback, required_columns
from finrl_ray.data.labels import date_label
from finrl_ray.data.market_data import MarketData
from finrl_ray.errors import DataError
from finrl_ray.support.progress import Progress, no_progress
from finrl_ray.support.text import listed

TURBULENCE_ROWS = 252
_CHUNK_VALUES = 4_000_000  # float64 values held at once by `turbulence`, about 32 MB


def available_indicators(
    market_data: MarketData, names: Sequence[str] = FINRL_INDICATORS
) -> tuple[str, ...]:
    """Return those of `names` whose price and volume columns every ticker has."""
    columns = _columns_present(market_data)
    return tuple(name for name in names if required_columns(name) <= columns)


def add_features(
    market_data: MarketData, names: Sequence[str], progress: Progress = no_progress
) -> MarketData:
    """Return market data with indicators appended to its features.

    Each ticker is computed alone, on the rows where it has quotes of its own and every column
    that the indicator needs; on other rows its last value is carried. Row t uses rows <= t.

    Parameters
    ----------
    market_data : prices
    names : stockstats' names, such as `macd`, `rsi_30`, `close_60_sma`
    progress : told before each ticker

    Returns
    -------
    MarketData
        `warmup` is raised to the longest `lookback` of the names and past the last row in which
        a ticker has no finite value yet.

    Raises
    ------
    DataError
        If a name is unknown, given twice or looks ahead; if it needs a column that the data does
        not have, or more rows than there are.
    """
    names = tuple(names)
    _check_names(market_data, names)
    if not names:
        return market_data
    block = _computed(market_data, names, progress)
    incomplete = ~np.isfinite(block)
    _raise_never_finite(market_data, names, incomplete[-1])
    first_complete = int((~incomplete.any(axis=(1, 2))).argmax())
    longest = max(lookback(name) for name in names)
    return replace(
        market_data,
        features=np.concatenate([market_data.features, block], axis=2),
        feature_names=(*market_data.feature_names, *names),
        warmup=max(market_data.warmup, longest, first_complete),
    )


def _check_names(market_data: MarketData, names: tuple[str, ...]) -> None:
    both = [*market_data.feature_names, *names]
    for name in names:
        if both.count(name) > 1:
            raise DataError(f"each feature must be named once, but {name!r} comes twice")
        rows = lookback(name)
        needed = required_columns(name) if rows <= market_data.n_periods else frozenset({"close"})
        missing = sorted(needed - _columns_present(market_data))
        if missing:
            raise DataError(_missing_columns(market_data, name, missing))
        if rows >= market_data.n_periods:
            raise DataError(
                f"the feature {name!r} needs {rows} rows before its first complete value, but the "
                f"data has only {market_data.n_periods} dates; use more data or a shorter window"
            )


def _missing_columns(market_data: MarketData, name: str, missing: list[str]) -> str:
    column = missing[0]
    values = getattr(market_data, column)
    lacking = [
        ticker
        for ticker, present in zip(
            market_data.tickers, np.isfinite(values).any(axis=0), strict=True
        )
        if not present
    ]
    whose = "the data has" if len(lacking) == market_data.n_assets else f"{listed(lacking)} have"
    works = listed(available_indicators(market_data))
    return (
        f"the feature {name!r} needs {listed(missing)}, but {whose} no {column!r}; of FinRL's "
        f"list these work here: {works}"
    )


def _columns_present(market_data: MarketData) -> frozenset[str]:
    return frozenset(
        name for name in PRICE_COLUMNS if np.isfinite(getattr(market_data, name)).any(axis=0).all()
    )


def _computed(market_data: MarketData, names: tuple[str, ...], progress: Progress) -> FloatArray:
    """Return the indicators as an array of shape (T, N, len(names)), carried over gaps."""
    groups: dict[frozenset[str], list[int]] = {}
    for index, name in enumerate(names):
        groups.setdefault(required_columns(name), []).append(index)
    block = np.full((market_data.n_periods, market_data.n_assets, len(names)), np.nan)
    total = len(groups) * market_data.n_assets
    for number, (needed, indices) in enumerate(groups.items()):
        usable = _usable_cells(market_data, needed)
        for asset, ticker in enumerate(market_data.tickers):
            done = number * market_data.n_assets + asset
            progress(f"computing features of {ticker}", done, total)
            rows = np.flatnonzero(usable[:, asset])
            group = [names[i] for i in indices]
            values = _on_own_rows(market_data, asset, rows, needed, group)
            block[rows[:, None], asset, np.array(indices)[None, :]] = values
    progress("computed the features", total, total)
    block[~np.isfinite(block)] = np.nan
    flat = block.reshape(market_data.n_periods, -1)
    return forward_fill(flat).reshape(block.shape)


def _usable_cells(market_data: MarketData, needed: frozenset[str]) -> BoolArray:
    usable = market_data.tradable.copy()
    for name in needed:
        usable &= np.isfinite(getattr(market_data, name))
    return usable


def _on_own_rows(
    market_data: MarketData,
    asset: int,
    rows: IntArray,
    needed: frozenset[str],
    names: list[str],
) -> FloatArray:
    # a window longer than the series makes some of stockstats' indicators NaN throughout, so that
    # early values would depend on how many rows follow; repeated last rows are cut off again
    short = max(0, max(lookback(name) for name in names) + 1 - len(rows)) if len(rows) else 0
    padded = np.concatenate([rows, np.repeat(rows[-1:], short)])
    # a column that the names do not depend on may hold gaps; stockstats gets the close instead
    columns = {
        name: getattr(market_data, name if name in needed else "close")[padded, asset]
        for name in PRICE_COLUMNS
    }
    return np.stack(compute(columns, names), axis=1)[: len(rows)]


def _raise_never_finite(
    market_data: MarketData, names: tuple[str, ...], missing: BoolArray
) -> None:
    if not missing.any():
        return
    asset, index = (int(i) for i in np.argwhere(missing)[0])
    ticker, last = market_data.tickers[asset], date_label(market_data.dates[-1])
    quotes = market_data.close[market_data.tradable[:, asset], asset]
    raise DataError(
        f"the feature {names[index]!r} of {ticker} has no finite value up to {last}: "
        f"{why_never_finite(quotes)}; leave the ticker or the feature out"
    )


def why_never_finite(quotes: FloatArray) -> str:
    """Return why an indicator of a ticker has no value, in words.

    Parameters
    ----------
    quotes : closes of the ticker's own, of shape (rows,)
    """
    n_moves = int((np.diff(quotes) != 0).sum())
    if len(quotes) > 1 and n_moves == 0:
        return (
            f"the ticker's price never moves, it is {quotes[0]:g} in all its {len(quotes)} quotes"
        )
    if n_moves < len(quotes) / 10:
        return f"its price moves only {n_moves} times in its {len(quotes)} quotes"
    return f"the ticker has too few quotes of its own, {len(quotes)}"


def flat_until(market_data: MarketData, asset: int) -> int:
    """Return the first row in which the close of a ticker differs from the one before, or T."""
    moved = np.flatnonzero(np.diff(market_data.close[:, asset]) != 0)
    return int(moved[0]) + 1 if moved.size else market_data.n_periods


def add_turbulence(market_data: MarketData) -> MarketData:
    """Return market data with the market series `turbulence` appended and 252 rows of warm-up.

    Raises
    ------
    DataError
        If there are 252 dates or fewer, or a series of that name exists.
    """
    if "turbulence" in market_data.market_feature_names:
        raise DataError(
            "the data already has a market series 'turbulence'; set data.turbulence to false, or "
            "leave the column out of data.market_columns"
        )
    if market_data.n_periods <= TURBULENCE_ROWS:
        raise DataError(
            f"turbulence needs {TURBULENCE_ROWS} rows before its first value, but the data has "
            f"only {market_data.n_periods} dates; use more data or set data.turbulence to false"
        )
    series = turbulence(market_data.close)[:, None]
    return replace(
        market_data,
        market_features=np.concatenate([market_data.market_features, series], axis=1),
        market_feature_names=(*market_data.market_feature_names, "turbulence"),
        warmup=max(market_data.warmup, TURBULENCE_ROWS),
    )


def turbulence(close: FloatArray) -> FloatArray:
    """Return FinRL's turbulence index: how unusual the day's returns are.

    With y the simple returns, mu and C the mean and covariance (ddof 1) of the 252 rows before t,
    the index is (y_t - mu) pinv(C) (y_t - mu)'. Rows 0..251 are 0; the first two positive values
    are replaced by 0, as FinRL does, and so are negative ones.

    Parameters
    ----------
    close : array of shape (T, N)
        Finite and positive. Where N is near 252 or above, or two tickers move alike, C is singular
        and the index depends on rounding.

    Returns
    -------
    array of shape (T,)
        Dimensionless, >= 0.

    References
    ----------
    .. [1] Kritzman and Li (2010), "Skulls, Financial Turbulence, and Risk Management", Financial
       Analysts Journal 66(5), 30-41.
    """
    t, n = close.shape
    result = np.zeros(t)
    returns = np.full((t, n), np.nan)
    returns[1:] = close[1:] / close[:-1] - 1
    if t > TURBULENCE_ROWS:
        # row 0 has no return, so the first window holds one row less
        first = returns[None, 1:TURBULENCE_ROWS]
        result[TURBULENCE_ROWS] = _mahalanobis(first, returns[[TURBULENCE_ROWS]])[0]
    chunk = max(1, _CHUNK_VALUES // (n * max(n, TURBULENCE_ROWS)))
    for start in range(TURBULENCE_ROWS + 1, t, chunk):
        stop = min(t, start + chunk)
        windows = np.lib.stride_tricks.sliding_window_view(
            returns[start - TURBULENCE_ROWS : stop - 1], TURBULENCE_ROWS, axis=0
        )
        result[start:stop] = _mahalanobis(windows.transpose(0, 2, 1), returns[start:stop])
    positive = result > 0
    return np.where(positive & (np.cumsum(positive) > 2), result, 0.0)


def _mahalanobis(windows: FloatArray, current: FloatArray) -> FloatArray:
    """Return the distances of shape (K,) of `current` (K, N) from `windows` (K, W, N)."""
    mean = windows.mean(axis=1)
    centred = windows - mean[:, None, :]
    covariance = centred.transpose(0, 2, 1) @ centred / (windows.shape[1] - 1)
    offset = (current - mean)[:, None, :]
    result: FloatArray = (offset @ np.linalg.pinv(covariance) @ offset.transpose(0, 2, 1))[:, 0, 0]
    return result
