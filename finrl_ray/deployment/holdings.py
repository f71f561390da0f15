"""`Holdings`: what an account has before it trades."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from finrl_ray._typing import FloatArray
from finrl_ray.errors import DataError
from finrl_ray.support.text import did_you_mean, listed


@dataclass(frozen=True, kw_only=True)
class Holdings:
    """Cash and shares of an account.

    Parameters
    ----------
    cash : currency
    shares : by ticker; tickers that are left out are not held. Below 0 are shares that are owed,
        which `env.short` must allow.
    bought_at : average price paid by ticker, in currency per share, for stop loss and take profit;
        of a ticker that is left out it is what the agent's own paper account has paid, or else the
        last close

    Raises
    ------
    DataError
        If a number is not finite, or a price is not positive.
    """

    cash: float
    shares: Mapping[str, float]
    bought_at: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        named = {"cash": self.cash} | {f"shares of {k}": v for k, v in self.shares.items()}
        for name, value in named.items():
            if not _is_number(value):
                raise DataError(f"holdings: {name} must be a finite number, got {value!r}")
        for ticker, price in self.bought_at.items():
            if not _is_number(price) or not price > 0:
                raise DataError(
                    f"holdings: bought_at of {ticker} must be a price > 0, got {price!r}"
                )

    def shares_of(self, tickers: Sequence[str], *, short: bool) -> FloatArray:
        """Return the shares of some tickers, of shape (N,).

        Parameters
        ----------
        tickers : N names that the agent trades
        short : whether shares may be owed

        Raises
        ------
        DataError
            If another ticker is held, or shares are owed that may not be.
        """
        unknown = [name for name, held in self.shares.items() if name not in tickers and held != 0]
        if unknown:
            raise DataError(
                f"holdings: the agent does not trade {listed(unknown)}; it trades "
                f"{listed(tickers)}.{did_you_mean(unknown[0], tickers)} Leave other positions out, "
                "and their value with them"
            )
        owed = [name for name, held in self.shares.items() if held < 0]
        if owed and not short:
            raise DataError(
                f"holdings: shares of {listed(owed)} are below 0, and the agent was trained "
                "without short sales (env.short false); give shares >= 0"
            )
        return np.array([float(self.shares.get(name, 0.0)) for name in tickers])


def _is_number(value: object) -> bool:
    number = isinstance(value, int | float | np.number) and not isinstance(value, bool)
    return number and math.isfinite(float(value))  # type: ignore[arg-type]  # a number
