"""Equal-weight buy & hold: a backtest's baseline, and what the `active` reward is measured by."""

import numpy as np

from finrl_ray._typing import BoolArray, FloatArray
from finrl_ray.env.kernel.arrays import Limits, Market
from finrl_ray.env.rules import TradingRules


def equal_weight_purchase(
    price: FloatArray,
    buy_rate: FloatArray | float,
    tradable: BoolArray,
    amount: float,
    whole: bool,
    impact: FloatArray | None = None,
) -> tuple[FloatArray, float]:
    """Return the shares that equal parts of an amount of cash buy, and the cash that is left.

    Parameters
    ----------
    price : array of shape (N,), currency per share
    buy_rate : cost as a fraction of the amount, one or one per ticker
    tradable : array of shape (N,); the others get nothing, and these share all the cash
    amount : currency
    whole : whether only whole shares are bought
    impact : array of shape (N,), the fraction by which one share moves its price; None: 0

    Returns
    -------
    (array of shape (N,), float)
        Shares, and currency.
    """
    unit_cost = price * (1.0 + buy_rate)
    budget = amount / max(1, int(tradable.sum()))
    cost_of_one = np.where(tradable, unit_cost, np.inf)
    shares = budget / cost_of_one
    slippage = np.zeros(len(price)) if impact is None else np.where(tradable, price * impact, 0.0)
    if impact is not None:
        # the root of cost_of_one * shares + slippage * shares^2 = budget, without cancellation
        shares *= 2.0 / (1.0 + np.sqrt(1.0 + 4.0 * slippage / cost_of_one * shares))
    if whole:
        shares = np.floor(shares)
    spent = float((shares[tradable] * cost_of_one[tradable]).sum())
    spent += float((slippage * shares * shares).sum())
    return shares, amount - spent


def drifting_curve(close: FloatArray, amount: float, shares: FloatArray, cash: float) -> FloatArray:
    """Return the value of a portfolio on T days that nothing is traded in, shape (T,), in currency.

    Parameters
    ----------
    close : array of shape (T, N), currency per share
    amount : value on the first day: like an agent's account, the curve starts before the first
        order is filled
    shares : array of shape (N,)
    cash : currency
    """
    values: FloatArray = cash + close @ shares
    values[0] = amount
    return values


class EpisodeBenchmarks:
    """Buy & hold of the latest episode of each account, computed once where episodes repeat.

    It is bought as the account's own orders fill: at its costs, prices and lag.

    Parameters
    ----------
    market : all rows
    rules : how orders are treated
    buy_rate : array of shape (E, N)
    impact : array of shape (T, N), the fraction by which one share moves its price, or empty
    """

    def __init__(
        self, market: Market, rules: TradingRules, buy_rate: FloatArray, impact: FloatArray
    ) -> None:
        self.market, self.rules, self.buy_rate, self.impact = market, rules, buy_rate, impact
        self._kept: dict[int, tuple[tuple[int, int, float], FloatArray | None]] = {}

    def of_episode(self, index: int, start: int, end: int, amount: float) -> FloatArray | None:
        """Return what buy & hold of an episode's rows is worth, shape (D,), in currency.

        Parameters
        ----------
        index : of the account
        start, end : first and last row of the episode, which has D of them
        amount : what the account is worth at the start; shares that it holds count as cash

        Returns
        -------
        array or None
            Not to be written to. None where prices are such that buy & hold has no positive finite
            value on each day.
        """
        start, end, amount = int(start), int(end), float(amount)
        key, kept = (start, end, amount), self._kept.get(index)
        if kept is None or kept[0] != key:
            kept = self._kept[index] = (key, self._held(index, start, end, amount))
        return kept[1]

    def _held(self, index: int, start: int, end: int, amount: float) -> FloatArray | None:
        row = start + int(self.rules.fill == "next_open")
        price, whole = self.market.price[row], not self.rules.fractional_shares
        quoted = self.market.tradable[row] & (price > 0)
        impact = self.impact[row] if self.impact.size else None
        rate = self.buy_rate[index]
        bought = equal_weight_purchase(price, rate, quoted, amount, whole, impact)
        values = drifting_curve(self.market.close[start : end + 1], amount, *bought)
        values.setflags(write=False)
        return values if bool(np.isfinite(values).all() and (values > 0).all()) else None


def start_benchmark(
    limits: Limits,
    index: int,
    market: Market,
    row: int,
    buy_rate: FloatArray,
    amount: float,
    *,
    whole: bool,
) -> None:
    """Buy the benchmark of an episode of account `index`, if its reward is measured by one.

    Parameters
    ----------
    row : on which the orders of the episode's first step fill
    buy_rate : array of shape (N,)
    amount : what the account is worth at the start; shares that it holds count as cash
    """
    if not limits.benchmark.shape[1]:
        return
    shares, cash = equal_weight_purchase(
        market.price[row],
        buy_rate,
        market.tradable[row],
        amount,
        whole,
        limits.impact[row] if limits.impact.size else None,
    )
    limits.benchmark_shares[index] = shares
    # valued at what it cost until the first order is filled, like the account itself
    limits.benchmark[index] = cash, amount
