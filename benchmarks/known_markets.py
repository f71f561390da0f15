"""Generated markets of which it is known what a rule can earn, and what that rule earns.

Every market has six tickers whose prices begin at the same levels, so that an agent meets on a
fresh market of the same law what it has been trained on. The rule, the oracle, follows what the
law has planted: once a day it holds the tickers whose score is above a threshold, at the config's
fill and costs. What is attainable is the oracle's information ratio beyond buy & hold on the fresh
markets, the best of its few forms.

    law        what moves the next day                                 what shows it
    strong     .008 times a signal                                     the column `signal`
    medium     .003 times a signal                                     the column `signal`
    weak       .0015 times a signal                                    the column `signal`
    spells     .005 times a signal, on and off for 250 days or so      the column `signal`
    momentum   .0015 times the last 20 days' standardised return        the prices alone
    pairs      each pair of tickers returns by 4 % of its distance     the prices alone
    none       nothing                                                 a column `signal`
"""

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd

from finrl_ray.data.sources.generated import (
    TICKERS,
    autoregressive,
    log_returns,
    price_frame,
)

STARTS = np.array([60.0, 75.0, 90.0, 105.0, 120.0, 135.0])
LAWS = ("strong", "medium", "weak", "spells", "momentum", "pairs", "none")
SIGNALLED = ("strong", "medium", "weak", "spells", "none")
"""Laws whose frame has the column `signal`."""
EDGES = {"strong": 0.008, "medium": 0.003, "weak": 0.0015, "spells": 0.005}
MOMENTUM, MOMENTUM_DAYS = 0.0015, 20
PAIR_PULL = 0.04
SPELL_DAYS = 250
_PULL = 0.02
_OVERNIGHT = 0.3
PERIODS_PER_YEAR = 252


@dataclass(frozen=True, kw_only=True)
class KnownMarket:
    """Prices, and what the law says of the next day.

    Parameters
    ----------
    frame : FinRL's long format
    open, close : arrays of shape (T, N)
    score : array of shape (T, N), known at the close; the oracle holds what is high
    """

    frame: pd.DataFrame
    open: np.ndarray
    close: np.ndarray
    score: np.ndarray


def known_market(law: str, seed: int, n_days: int) -> KnownMarket:
    """Return a market of one of LAWS."""
    rng = np.random.default_rng(seed)
    n = len(TICKERS)
    volatility = np.exp(0.3 * autoregressive(rng, n_days, 1, 0.98) - 0.045)
    night, day = (log_returns(rng, n_days, n, s, volatility) for s in (_OVERNIGHT, 1 - _OVERNIGHT))
    signal = autoregressive(rng, n_days, n, 0.9)
    on = np.ones(n_days)
    if law == "spells":
        on = (np.cumsum(rng.random(n_days) < 1 / SPELL_DAYS) + rng.integers(2)) % 2
    level = np.zeros(n)
    open_, close, score = (np.zeros((n_days, n)) for _ in range(3))
    levels = np.zeros((n_days, n))
    for row in range(n_days):
        drift = np.zeros(n)
        if row:
            drift, score[row - 1] = _drift(law, row - 1, levels, signal, on)
        opened = level + night[row]
        level = opened + day[row] + drift
        levels[row] = level
        open_[row], close[row] = STARTS * np.exp(opened), STARTS * np.exp(level)
    score[-1] = _drift(law, n_days - 1, levels, signal, on)[1]
    return KnownMarket(
        frame=price_frame(rng, open_, close, volatility, signal if law in SIGNALLED else None),
        open=open_.round(2),
        close=close.round(2),
        score=score,
    )


def _drift(
    law: str, row: int, levels: np.ndarray, signal: np.ndarray, on: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the expected log returns of the day after `row`, and the score known at its close."""
    now = levels[row]
    if law in EDGES:
        return EDGES[law] * signal[row] * on[row] - _PULL * now, signal[row]
    if law == "momentum":
        past = now - levels[max(0, row - MOMENTUM_DAYS)]
        score = np.clip(past / (0.0108 * math.sqrt(MOMENTUM_DAYS)), -2, 2)
        return MOMENTUM * score - _PULL / 4 * now, score
    if law == "pairs":
        distance = now[0::2] - now[1::2]
        score = np.empty(len(now))
        score[0::2], score[1::2] = -distance, distance
        return PAIR_PULL / 2 * score, score / 0.04
    # without an edge the signal says nothing, and prices go where they go
    return np.zeros(len(now)), signal[row]


def information_ratio(returns: np.ndarray, benchmark: np.ndarray) -> float:
    """Return the annual mean over deviation of the returns beyond a benchmark's."""
    beyond = returns - benchmark
    spread = float(beyond.std(ddof=1))
    return float(beyond.mean()) / spread * math.sqrt(PERIODS_PER_YEAR) if spread > 0 else 0.0


def oracle_returns(
    market: KnownMarket, first: int, *, threshold: float, equal: bool, lag: int, cost: float
) -> np.ndarray:
    """Return the daily returns (T - first - 1,) of following the score from row `first` on.

    Parameters
    ----------
    threshold : a ticker is bought when its score is above it and sold when below its negative
    equal : each ticker held gets one N-th of the account once; else the held ones share all of it,
        brought back every day
    lag : 0 fills at the close that was seen, 1 at the next open
    cost : fraction of what is traded
    """
    n = len(TICKERS)
    cash, shares, held = 1.0, np.zeros(n), np.zeros(n, dtype=bool)
    values = [1.0]
    for row in range(first, len(market.close) - 1):
        score = market.score[row]
        held = np.where(score > threshold, True, np.where(score < -threshold, False, held))
        price = market.open[row + 1] if lag else market.close[row]
        account = cash + float(shares @ price)
        weights = np.where(held, 1 / n if equal else 1 / max(1, int(held.sum())), 0.0)
        wanted = weights * account * (1 - 2 * cost) / price
        if equal:
            wanted = np.where(held & (shares > 0), shares, wanted)
        orders = wanted - shares
        cash -= float(orders @ price) + cost * float(np.abs(orders) @ price)
        shares = wanted
        values.append(cash + float(shares @ market.close[row + 1]))
    account_values = np.array(values)
    return np.asarray(account_values[1:] / account_values[:-1] - 1.0)


def attainable(
    markets: list[KnownMarket], first: int, benchmarks: list[np.ndarray], *, lag: int, cost: float
) -> float:
    """Return the mean information ratio over markets of the oracle's best form."""
    forms = [(t, equal) for t in (0.0, 0.3, 0.6, 1.0) for equal in (True, False)]
    return max(
        float(
            np.mean(
                [
                    information_ratio(
                        oracle_returns(
                            market, first, threshold=threshold, equal=equal, lag=lag, cost=cost
                        ),
                        benchmark,
                    )
                    for market, benchmark in zip(markets, benchmarks, strict=True)
                ]
            )
        )
        for threshold, equal in forms
    )
