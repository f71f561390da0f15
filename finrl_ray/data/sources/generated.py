"""Generated markets: `noise`, in which there is nothing to find, and `planted`, with an edge.

Both have six tickers over 5,040 weekdays from 2000-01-03. Their random numbers come from NumPy's
PCG64 with a fixed seed, and prices are rounded to cents, so that they are the same everywhere.

A day's log return is that of a common factor plus the ticker's own, both normal with a volatility
that follows its own slow path. Overnight and in the day it moves by independent parts.

`noise` : every conditional expectation of a simple return is 0. No rule has an edge, no holding a
    premium; what a search finds there is luck, and what it pays is costs.
`planted` : the same, and a column `signal` per ticker, known at the close. The next day's log
    return is expected to be `EDGE` times the signal, which wanders around 0 with a memory of about
    ten days and a deviation of 1. It falls between the open and the close, so that an order at the
    next open still earns it. Who holds a ticker while its signal is positive and nothing while it
    is negative earns, after costs, several times the risk; buy & hold earns nothing by it. Prices
    are drawn back to their first level by 2 % of the distance a day, which is an edge too, though
    a weak one: without it an agent would meet prices in the validation window that it has never
    trained on, and would not show what it has learned.
"""

from typing import Literal

import numpy as np
import pandas as pd

from finrl_ray._typing import FloatArray
from finrl_ray.data.sources.source import Source

GeneratedMarket = Literal["noise", "planted"]
TICKERS = ("AAA", "BBB", "CCC", "DDD", "EEE", "FFF")
FIRST_DATE = "2000-01-03"
N_DAYS = 5_040
EDGE = 0.008
"""Expected log return of the day after a signal of 1."""
_SEEDS = {"noise": 20_100_104, "planted": 20_100_105}
_PULL = 0.02
_MEMORY = 0.9
"""Share of a signal that is left a day later."""
_FACTOR_VOLATILITY, _OWN_VOLATILITY = 0.006, 0.009
_OVERNIGHT = 0.3
"""Share of a day's variance that falls between the close and the open."""


def read_generated(kind: GeneratedMarket) -> pd.DataFrame:
    """Return a generated market in FinRL's long format: open, high, low, close, volume."""
    return generated_market(kind, seed=_SEEDS[kind])


def generated_market(
    kind: GeneratedMarket, *, seed: int, n_days: int = N_DAYS, tickers: tuple[str, ...] = TICKERS
) -> pd.DataFrame:
    """Return a market of `kind` from another seed, of another length, or with other tickers.

    Parameters
    ----------
    kind : `noise` or `planted`
    seed : of everything that is random in it
    n_days : T, weekdays
    tickers : N names

    Returns
    -------
    frame of T * N rows
        `date`, `tic`, `open`, `high`, `low`, `close` (currency, whole cents), `volume` (shares),
        and `signal` where it is planted.
    """
    rng = np.random.default_rng(seed)
    n = len(tickers)
    # around 1, wandering over months
    volatility = np.exp(0.3 * autoregressive(rng, n_days, 1, 0.98) - 0.045)
    # the same for both kinds, so that they differ by the edge alone
    night, day = (
        log_returns(rng, n_days, n, share, volatility) for share in (_OVERNIGHT, 1 - _OVERNIGHT)
    )
    signal = autoregressive(rng, n_days, n, _MEMORY)
    drift = np.zeros((n_days, n))
    if kind == "planted":
        drift[1:] = EDGE * signal[:-1]
    start = rng.uniform(40.0, 160.0, n)
    open_, close = np.empty((n_days, n)), np.empty((n_days, n))
    # prices of the planted market return to their level, so that no agent meets new ones later
    pull = _PULL if kind == "planted" else 0.0
    level = np.zeros(n)
    for row in range(n_days):
        opened = level + night[row]
        level = opened + day[row] + drift[row] - pull * level
        open_[row], close[row] = start * np.exp(opened), start * np.exp(level)
    return price_frame(
        rng, open_, close, volatility, signal if kind == "planted" else None, tickers
    )


def price_frame(
    rng: np.random.Generator,
    open_: FloatArray,
    close: FloatArray,
    volatility: FloatArray,
    signal: FloatArray | None,
    tickers: tuple[str, ...] = TICKERS,
) -> pd.DataFrame:
    """Return prices in FinRL's long format, with drawn highs, lows and volumes.

    Parameters
    ----------
    rng : draws the highs and lows, then the volumes
    open_, close : arrays of shape (T, N), currency
    volatility : array of shape (T, 1), around 1
    signal : array of shape (T, N), a column of the frame; None for none
    tickers : N names
    """
    n_days, n = close.shape
    spread = np.exp(0.5 * volatility * _OWN_VOLATILITY * np.abs(rng.standard_normal((n_days, n))))
    frame = {
        "open": open_,
        "high": np.maximum(open_, close) * spread,
        "low": np.minimum(open_, close) / spread,
        "close": close,
    }
    dates = pd.bdate_range(FIRST_DATE, periods=n_days)
    given = {} if signal is None else {"signal": signal.round(4).ravel()}
    return pd.DataFrame(
        {
            "date": np.repeat(dates.strftime("%Y-%m-%d").to_numpy(), n),
            "tic": np.tile(np.array(tickers, dtype=object), n_days),
            **{name: np.maximum(values, 0.01).round(2).ravel() for name, values in frame.items()},
            "volume": np.exp(rng.normal(14.0, 0.3, n_days * n)).round(),
            **given,
        }
    )


def autoregressive(rng: np.random.Generator, n_days: int, n: int, memory: float) -> FloatArray:
    """Return N series of shape (T,) with mean 0, deviation 1 and the autocorrelation `memory`."""
    shocks = rng.standard_normal((n_days, n)) * np.sqrt(1.0 - memory**2)
    values = np.empty((n_days, n))
    before = rng.standard_normal(n)
    for day in range(n_days):
        before = memory * before + shocks[day]
        values[day] = before
    return values


def log_returns(
    rng: np.random.Generator, n_days: int, n: int, share: float, volatility: FloatArray
) -> FloatArray:
    """Return log returns of shape (T, N) whose simple returns have the expectation 0."""
    factor = volatility * _FACTOR_VOLATILITY * np.sqrt(share)
    own = volatility * _OWN_VOLATILITY * np.sqrt(share)
    noise = factor * rng.standard_normal((n_days, 1)) + own * rng.standard_normal((n_days, n))
    moves: FloatArray = noise - (factor**2 + own**2) / 2.0
    return moves


NOISE = Source(
    name="noise",
    description="Generated prices without anything to find (no real market)",
    read=lambda config, progress: read_generated("noise"),
)
PLANTED = Source(
    name="planted",
    description="Generated prices with a planted edge (no real market)",
    read=lambda config, progress: read_generated("planted"),
)
