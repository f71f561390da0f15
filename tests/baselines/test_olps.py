"""Final wealth that the literature has for the price relatives of the OLPS toolbox.

References
----------
.. [1] Li, Sahoo and Hoi (2016), "OLPS: A Toolbox for On-Line Portfolio Selection", Journal of
   Machine Learning Research 17, 1-5.
"""

import csv
import importlib.util
from pathlib import Path

import numpy as np
import pytest

from finrl_ray._typing import FloatArray
from finrl_ray.baselines.buy_and_hold import buy_and_hold
from finrl_ray.baselines.portfolios import rebalanced_curve
from finrl_ray.config.env import EnvConfig
from finrl_ray.data.market_data import MarketData

AMOUNT = 1_000_000.0
FREE = EnvConfig(initial_amount=AMOUNT, buy_cost_pct=0.0, sell_cost_pct=0.0, fractional_shares=True)
KNOWN = {
    "nyse_o": ((5651, 36), 14.4973, 27.0752),
    "nyse_n": ((6431, 23), 18.0565, 31.5517),
    "tse": ((1259, 88), 1.6129, 1.5952),
    "sp500": ((1276, 25), 1.3416, 1.6487),
    "msci": ((1043, 24), 0.9064, 0.9268),
    "djia": ((507, 30), 0.7644, 0.8127),
}
"""Periods and assets; final wealth of uniform buy & hold and of uniform constant rebalancing."""


def market_of_relatives(relatives: FloatArray) -> MarketData:
    """Return prices that begin at 1 and are multiplied by the relatives, shape (T, N), in turn."""
    close = np.concatenate([np.ones((1, relatives.shape[1])), np.cumprod(relatives, axis=0)])
    t, n = close.shape
    return MarketData(
        dates=np.datetime64("2000-01-01", "ns") + np.arange(t) * np.timedelta64(1, "D"),
        tickers=tuple(f"A{number:02}" for number in range(n)),
        open=close,
        high=close,
        low=close,
        close=close,
        volume=np.ones((t, n)),
        features=np.zeros((t, n, 0)),
        feature_names=(),
        tradable=np.ones((t, n), dtype=bool),
        market_features=np.zeros((t, 0)),
        market_feature_names=(),
    )


def wealth(relatives: FloatArray) -> tuple[float, float]:
    """Return the final wealth of 1 in uniform buy & hold and in uniform constant rebalancing."""
    market, n = market_of_relatives(relatives), relatives.shape[1]
    held = buy_and_hold(market, FREE)
    rebalanced = rebalanced_curve(market, np.full(n, 1.0 / n), FREE)
    return float(held[-1] / AMOUNT), float(rebalanced[-1] / AMOUNT)


def test_by_hand() -> None:
    # held, half of 1 and half of 3; rebalanced, a mean of 1.5 and then one of 1.75
    assert wealth(np.array([[2.0, 1.0], [0.5, 3.0]])) == pytest.approx((2.0, 2.625), rel=1e-12)


def test_covers_example() -> None:
    # cash and an asset that doubles and halves: held ends where it began, rebalanced earns
    # 3/2 * 3/4 = 9/8 every two periods
    relatives = np.array([[1.0, 2.0], [1.0, 0.5]] * 5)
    assert wealth(relatives) == pytest.approx((1.0, (9 / 8) ** 5), rel=1e-12)


def relatives_of(name: str) -> FloatArray:
    """Return a set of price relatives, read from the files of universal-portfolios.

    They hold products of the relatives from the first period on, without the 1 before it.
    """
    spec = importlib.util.find_spec("universal")
    assert spec is not None
    assert spec.origin is not None
    text = (Path(spec.origin).parent / "data" / f"{name}.csv").read_text(encoding="utf-8")
    # the names of assets go on through the characters after Z, some of which end a line to Python
    rows = list(csv.reader(text.split("\n")[1:]))
    products = np.array([row for row in rows if row], dtype=np.float64)
    first = np.ones((1, products.shape[1]))
    return products / np.concatenate([first, products[:-1]])


@pytest.mark.skipif(
    importlib.util.find_spec("universal") is None,
    reason="universal-portfolios, which has the OLPS data, is not installed",
)
@pytest.mark.parametrize("name", KNOWN)
def test_final_wealth_is_that_of_the_literature(name: str) -> None:
    shape, held, rebalanced = KNOWN[name]
    relatives = relatives_of(name)
    assert relatives.shape == shape
    assert tuple(round(value, 4) for value in wealth(relatives)) == (held, rebalanced)
