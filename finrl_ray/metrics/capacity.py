"""How large an account can become before its own orders are a large part of the traded volume."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from finrl_ray._typing import DateArray, FloatArray
from finrl_ray.errors import DataError
from finrl_ray.support.text import counted
from finrl_ray.support.values import to_json

LIMITS = (0.01, 0.05)
"""Shares of the traded volume of which it is said at which size of the account they are passed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Capacity:
    """Orders beside the volume of the row and ticker that they were filled in.

    A day counts by its largest order: the one with the largest share of its ticker's volume.

    Parameters
    ----------
    initial_amount : currency that the account began with
    n_days : with an order whose volume is known
    n_unknown : orders in rows without a volume, which are left out
    median_share : of the days, a fraction; NaN where there was no order
    worst_share : of the day with the largest one
    worst_date : that day, ISO
    worst_ticker : whose order it was
    """

    initial_amount: float
    n_days: int
    n_unknown: int
    median_share: float
    worst_share: float
    worst_date: str
    worst_ticker: str

    def account_size(self, limit: float, *, worst: bool = False) -> float:
        """Return with how much an account begins whose largest order is this share of the volume.

        An account that is k times as large is taken to hold the same weights, and so to trade k
        times the shares.

        Parameters
        ----------
        limit : share of the volume, a fraction
        worst : on the day with the largest order; else on the median day with an order

        Returns
        -------
        float
            Currency: `initial_amount` * limit / share; NaN where there was no order.
        """
        share = self.worst_share if worst else self.median_share
        return self.initial_amount * limit / share if share > 0.0 else math.nan

    def lines(self) -> list[str]:
        """Return it in words, one sentence each."""
        if not self.n_days:
            return ["capacity is not known: no order was filled in a row with a volume"]
        found = [
            f"the largest order of a day was {_percent(self.median_share)} of its ticker's traded "
            f"volume on the median day with orders, and {_percent(self.worst_share)} on the worst "
            f"({self.worst_ticker}, {self.worst_date})"
        ]
        for limit in LIMITS:
            median, worst = (self.account_size(limit, worst=w) for w in (False, True))
            found.append(
                f"it passes {limit:.0%} on the median day for an account that begins with more "
                f"than {median:,.0f}, and on the worst with more than {worst:,.0f}"
            )
        if self.n_unknown:
            found.append(
                f"{counted(self.n_unknown, 'order')} in rows without a volume "
                f"{'is' if self.n_unknown == 1 else 'are'} left out of that"
            )
        return found

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON, with the account sizes: NaN as None."""
        sizes = {
            f"{limit:g}": {
                name: to_json(self.account_size(limit, worst=name == "worst_day"))
                for name in ("median_day", "worst_day")
            }
            for limit in LIMITS
        }
        own = {name: to_json(value) for name, value in asdict(self).items()}
        return {**own, "account_sizes": sizes}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> "Capacity":
        """Undo `to_dict`."""
        values: dict[str, Any] = {
            name: math.nan if value is None else value
            for name, value in content.items()
            if name != "account_sizes"
        }
        return cls(**values)


def volume_shares(trades: FloatArray, volume: FloatArray) -> FloatArray:
    """Return which share of the traded volume each order was, shape (S, N).

    Parameters
    ----------
    trades : array of shape (S, N), shares bought or sold (negative) in each step
    volume : array of shape (S, N), shares traded in the rows that the orders were filled in

    Returns
    -------
    array of shape (S, N)
        Fractions: ``|trades| / volume``, 0 without an order, and NaN for an order where the volume
        is 0 or missing.

    Raises
    ------
    DataError
        If the shapes differ, or a trade is not finite.
    """
    orders, traded = np.abs(np.asarray(trades, np.float64)), np.asarray(volume, np.float64)
    if orders.ndim != 2 or orders.shape != traded.shape:
        raise DataError(
            "trades and volume must both be of shape (steps, tickers), got "
            f"{orders.shape} and {traded.shape}"
        )
    if not np.isfinite(orders).all():
        raise DataError("trades must hold finite numbers alone")
    known = np.isfinite(traded) & (traded > 0.0)
    shares = np.full(orders.shape, np.nan)
    np.divide(orders, traded, out=shares, where=known)
    shares[orders == 0.0] = 0.0
    return shares


def capacity(
    trades: FloatArray,
    volume: FloatArray,
    initial_amount: float,
    dates: DateArray,
    tickers: Sequence[str],
) -> Capacity:
    """Return how large the orders of an account were beside the traded volume.

    Parameters
    ----------
    trades, volume : arrays of shape (S, N); see `volume_shares`
    initial_amount : currency that the account began with
    dates : array of shape (S,), of the rows that the orders were filled in
    tickers : N names

    Raises
    ------
    DataError
        As `volume_shares`.
    """
    shares = volume_shares(trades, volume)
    unknown = np.isnan(shares)
    known = np.where(unknown, 0.0, shares)
    largest = known.max(axis=1, initial=0.0)
    days = np.flatnonzero(largest > 0.0)
    worst = int(np.argmax(largest)) if days.size else -1
    return Capacity(
        initial_amount=float(initial_amount),
        n_days=days.size,
        n_unknown=int(unknown.sum()),
        median_share=float(np.median(largest[days])) if days.size else math.nan,
        worst_share=float(largest[worst]) if days.size else math.nan,
        worst_date=_day(dates[worst]) if days.size else "",
        worst_ticker=tickers[int(np.argmax(known[worst]))] if days.size else "",
    )


def _day(date: Any) -> str:
    """Return a date, with its time of day where that is not midnight."""
    text = str(np.datetime64(date, "s"))
    return text.removesuffix("T00:00:00")


def _percent(share: float) -> str:
    """Return a share as percent, with two digits that say something."""
    percent = 100.0 * share
    return f"{percent:.2f} %" if percent >= 0.1 else f"{percent:.2g} %"
