"""How long an account holds what it buys, from its trades."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from finrl_ray._typing import FloatArray
from finrl_ray.errors import DataError
from finrl_ray.support.text import counted
from finrl_ray.support.values import to_json

FLAT = 1e-9
"""Position, relative to a ticker's largest one, up to which it counts as closed: sums of fractions
of shares seldom come to exactly 0."""


@dataclass(frozen=True, kw_only=True, slots=True)
class HoldingPeriods:
    """How long positions were held, in days: closes at which they were there.

    A position of a ticker begins when the first share is bought, or owed, and ends when none is
    left, or when it turns from long to short. One that is open at the end counts up to there, so
    that it is longer than it says.

    Parameters
    ----------
    n_positions : that were opened
    n_open : of these, still open at the end
    mean_days, median_days : over the positions; NaN where there was none
    mean_days_of_money : over what was put into positions, however many trades opened and closed
        them; NaN where nothing was
    """

    n_positions: int
    n_open: int
    mean_days: float
    median_days: float
    mean_days_of_money: float

    def sentence(self) -> str:
        """Return it in words."""
        if not self.n_positions:
            return "no position was opened"
        still = f", {self.n_open} of them to the end" if self.n_open else ""
        return (
            f"{counted(self.n_positions, 'position')} {'was' if self.n_positions == 1 else 'were'} "
            f"held for {self.mean_days:,.1f} days on average (median {self.median_days:,.1f}"
            f"{still}); money that was put into one stayed {self.mean_days_of_money:,.1f} days "
            "on average"
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON: NaN as None."""
        return {name: to_json(value) for name, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> "HoldingPeriods":
        """Undo `to_dict`."""
        values: dict[str, Any] = {
            name: math.nan if value is None else value for name, value in content.items()
        }
        return cls(**values)


def holding_periods(trades: FloatArray, price: FloatArray) -> HoldingPeriods:
    """Return how long positions were held by an account that began with none.

    Parameters
    ----------
    trades : array of shape (S, N), shares
        Bought in each of S steps, sells negative. What a step trades is held at the S + 1 - k
        closes that follow step k = 1..S.
    price : array of shape (S, N), currency
        Of a share in the same steps; only their means per ticker count, by which tickers are
        weighed in `mean_days_of_money`.

    Returns
    -------
    HoldingPeriods
        `mean_days_of_money` is the sum of all |shares| at the closes over the sum of all shares
        that opened or enlarged a position, each times the ticker's mean price: the mean time that
        a share stays, whichever of them is said to be sold first (Little 1961, "A Proof for the
        Queuing Formula L = lambda W", Operations Research 9(3)).

    Raises
    ------
    DataError
        If the shapes differ, or a number is not finite.
    """
    bought, unit = np.asarray(trades, dtype=np.float64), np.asarray(price, dtype=np.float64)
    if bought.ndim != 2 or bought.shape != unit.shape:
        raise DataError(
            "trades and price must both be of shape (steps, tickers), got "
            f"{bought.shape} and {unit.shape}"
        )
    if not (np.isfinite(bought).all() and np.isfinite(unit).all()):
        raise DataError("trades and price must hold finite numbers alone")
    held = np.cumsum(bought, axis=0)
    largest = np.abs(held).max(axis=0, initial=0.0)
    held = np.where(np.abs(held) <= FLAT * largest, 0.0, held)
    lengths, n_open = _positions(np.sign(held))
    return HoldingPeriods(
        n_positions=lengths.size,
        n_open=n_open,
        mean_days=float(np.mean(lengths)) if lengths.size else math.nan,
        median_days=float(np.median(lengths)) if lengths.size else math.nan,
        mean_days_of_money=_of_money(held, unit),
    )


def _positions(side: FloatArray) -> tuple[FloatArray, int]:
    """Return the lengths of all stretches on one side, ticker after ticker, and how many end open.

    Parameters
    ----------
    side : array of shape (S, N), -1, 0 or 1
    """
    n_steps, n_assets = side.shape
    edge = np.zeros((1, n_assets))
    # one long line of all tickers, with a flat row between them
    line = np.vstack([side, edge]).T.reshape(-1)
    starts = np.flatnonzero(np.diff(line, prepend=0.0))
    ends = np.append(starts[1:], line.size)
    lengths = (ends - starts)[line[starts] != 0.0]
    n_open = int(np.count_nonzero(side[-1])) if n_steps else 0
    return lengths.astype(np.float64), n_open


def _of_money(held: FloatArray, price: FloatArray) -> float:
    if not held.size:
        return math.nan
    before = np.vstack([np.zeros((1, held.shape[1])), held[:-1]])
    # what a turn from long to short opens is all that is held after it
    same_side = held * before > 0.0
    opened = np.where(same_side, np.abs(held) - np.abs(before), np.abs(held))
    weight = price.mean(axis=0)
    put_in = float(np.maximum(opened, 0.0).sum(axis=0) @ weight)
    return float(np.abs(held).sum(axis=0) @ weight) / put_in if put_in > 0.0 else math.nan
