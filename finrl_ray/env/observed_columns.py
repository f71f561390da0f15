"""The market entries of observations: which columns they are, and how many.

T days, N tickers, F features, H return horizons, L rows of lookback.
"""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from finrl_ray._typing import AnyArray, FloatArray, IntArray
from finrl_ray.config.env_options.trading import TradingOptions
from finrl_ray.errors import ConfigError
from finrl_ray.support.text import counted

FINRL = "finrl"
MOST_TABLE_BYTES = 8 * 1024**3
"""Memory that the observed rows of one market may take; all envs of a process share them."""
_FLOAT_BYTES = 4


def describe_columns(options: TradingOptions) -> str:
    """Return in words which columns an observation has of one row: equal for equal columns."""
    if options.observation == FINRL:
        return FINRL
    spread = ", distance from the nearest ticker" if options.nearest_spread else ""
    return f"stationary, returns over {', '.join(map(str, options.return_horizons))}{spread}"


def column_kinds(options: TradingOptions, features: Sequence[str]) -> tuple[str, ...]:
    """Return the names of one row's columns, each of which stands for N, one per ticker."""
    if options.observation == FINRL:
        return ("close", *features)
    returns = (f"log return over {k}" for k in options.return_horizons)
    spread = ("log price beyond the nearest ticker's",) if options.nearest_spread else ()
    return (*returns, *spread, *features)


def observation_size(options: TradingOptions, n_assets: int, n_features: int) -> int:
    """Return the number of entries of an observation.

    1 + 2N + F*N of FinRL's observation, 1 + N + L*(H+F)*N of the stationary one, or, with
    `nearest_spread`, 1 + N + L*(H+1+F)*N.
    """
    kinds = len(column_kinds(options, [""] * n_features))
    return 1 + n_assets + options.lookback * kinds * n_assets


def entry_names(
    options: TradingOptions, tickers: Sequence[str], features: Sequence[str]
) -> list[str]:
    """Return what each entry of an observation is, in words."""
    kinds = column_kinds(options, features)
    share = "" if options.observation == FINRL else "share of the account in "
    rows = [""] + [f", {counted(back, 'row')} before" for back in range(1, options.lookback)]
    market = [f"{kind} of {ticker}{row}" for row in rows for kind in kinds for ticker in tickers]
    held = [f"{share}{ticker}" if share else f"shares of {ticker}" for ticker in tickers]
    n = len(tickers)
    return [f"{share}cash", *market[:n], *held, *market[n:]]


def size_in_words(options: TradingOptions, n_assets: int, n_features: int) -> str:
    """Return how `observation_size` comes about, with its numbers."""
    if options.observation == FINRL:
        return f"1 + 2 * {n_assets} tickers + {n_features} indicators * {n_assets} tickers"
    return (
        f"1 + {n_assets} tickers + lookback {options.lookback} * "
        f"({len(options.return_horizons)} return_horizons + "
        f"{'1 nearest_spread + ' if options.nearest_spread else ''}{n_features} indicators) * "
        f"{n_assets} tickers"
    )


def check_look_back(options: TradingOptions, n_rows: int) -> None:
    """Raise ConfigError if observations look back over a whole window, of which no row has more.

    The default `return_horizons` are cut short in a shorter window.

    Parameters
    ----------
    n_rows : of the window that agents train on, or of the env's own
    """
    if options.observation == FINRL:
        return
    if options.lookback >= n_rows:
        raise ConfigError(
            f"lookback must be less than the {n_rows} rows of the window, got {options.lookback}; "
            "only its last row could show so many"
        )
    longest = max(options.return_horizons)
    if longest >= n_rows and "return_horizons" in options.changed_options():
        raise ConfigError(
            f"return_horizons must be less than the {n_rows} rows of the window, got {longest}; no "
            "row of it has such a return"
        )


def check_table_size(options: TradingOptions, n_rows: int, n_columns: int) -> None:
    """Raise ConfigError if the observed rows of a market would take too much memory.

    Parameters
    ----------
    n_rows, n_columns : of `observed_columns`
    """
    needed = n_rows * options.lookback * n_columns * _FLOAT_BYTES
    if needed > MOST_TABLE_BYTES:
        most = MOST_TABLE_BYTES // (n_rows * n_columns * _FLOAT_BYTES)
        raise ConfigError(
            f"lookback must be at most {most}, got {options.lookback}: {n_rows:,} rows of "
            f"{options.lookback} x {n_columns} numbers would take {needed / 1024**3:.1f} GiB, and "
            f"at most {MOST_TABLE_BYTES // 1024**3} are kept"
        )


def first_rows(n_periods: int, seams: Sequence[int]) -> IntArray:
    """Return, of each row, the first row of its segment, of shape (T,)."""
    edges = (0, *seams, n_periods)
    return np.repeat(np.array(edges[:-1]), [stop - start for start, stop in pairwise(edges)])


def market_columns(close: FloatArray, features: FloatArray) -> FloatArray:
    """Return close and features in FinRL's observation order.

    Parameters
    ----------
    close : array of shape (T, N)
    features : array of shape (T, N, F)

    Returns
    -------
    array of shape (T, N + F*N)
        Close of every ticker, then the first feature of every ticker, and so on.
    """
    return np.concatenate([close, _by_feature(features)], axis=1)


def _by_feature(features: FloatArray) -> FloatArray:
    """Return features of shape (T, N, F) as (T, F*N): feature by feature, N each."""
    columns: FloatArray = features.transpose(0, 2, 1).reshape(len(features), -1)
    return columns


def observed_columns(
    options: TradingOptions,
    close: FloatArray,
    features: FloatArray,
    seams: Sequence[int] = (),
    nearest: IntArray | None = None,
) -> FloatArray:
    """Return what is observed of each row, unscaled: close or returns, then the features.

    A return looks back to the first row of the window, or of its segment, at most: a horizon is cut
    short there, and the first row has returns of 0.

    Parameters
    ----------
    close : array of shape (T, N)
    features : array of shape (T, N, F)
    seams : rows before which rows are missing
    nearest : what `nearest_tickers` gives for the train window; without it every ticker is its own,
        and all distances are 0

    Returns
    -------
    array of shape (T, N + F*N), or (T, H*N + F*N) of the stationary observation
        Horizon by horizon, the distances from the nearest tickers, then feature by feature, N each.
    """
    if options.observation == FINRL:
        return market_columns(close, features)
    rows, starts = np.arange(len(close)), first_rows(len(close), seams)
    logs = np.log(close)
    # an index holds 64 bits, and no return looks back further than the window is long
    horizons = [min(k, len(close)) for k in options.return_horizons]
    returns = [logs - logs[np.maximum(rows - k, starts)] for k in horizons]
    spread = []
    if options.nearest_spread:
        spread = [logs - logs[:, np.arange(logs.shape[1]) if nearest is None else nearest]]
    return np.concatenate([*returns, *spread, _by_feature(features)], axis=1)


def nearest_tickers(close: FloatArray) -> IntArray:
    """Return which ticker is nearest to each: the partners of the distance method.

    It is the ticker from which the distance of log prices has the least variance; of equals the
    first, and a ticker without others is its own. Only differences of log prices count, so that the
    level of a price does not matter.

    Parameters
    ----------
    close : array of shape (T, N), of the train window

    Returns
    -------
    array of shape (N,)
        Indices of tickers.

    References
    ----------
    .. [1] Gatev, Goetzmann and Rouwenhorst (2006), "Pairs Trading: Performance of a Relative-Value
       Arbitrage Rule", Review of Financial Studies 19(3), 797-827: they take the least sum of
       squared distances between prices that begin at 1.
    """
    logs = np.log(close)
    n_assets = logs.shape[1]
    if n_assets == 1:
        return np.zeros(1, dtype=np.int64)
    nearest = np.empty(n_assets, dtype=np.int64)
    for ticker in range(n_assets):
        variance = (logs[:, [ticker]] - logs).var(axis=0)
        variance[ticker] = np.inf
        nearest[ticker] = variance.argmin()
    return nearest


def with_lookback(columns: AnyArray, lookback: int, seams: Sequence[int]) -> AnyArray:
    """Return the rows t, t-1, ..., t-L+1 of (T, K) columns after one another, of shape (T, L*K).

    The first row of the window, or of a segment, stands in for rows before it.
    """
    if lookback == 1:
        return columns
    n_rows, width = columns.shape
    rows, starts = np.arange(n_rows), first_rows(n_rows, seams)
    result = np.empty((n_rows, lookback * width), dtype=columns.dtype)
    for back in range(lookback):
        result[:, back * width : (back + 1) * width] = columns[np.maximum(rows - back, starts)]
    return result
