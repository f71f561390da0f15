"""What an account has earned, and how much of it the market: in numbers and in one sentence."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from finrl_ray._typing import FloatArray
from finrl_ray.metrics.beside_benchmark import beta
from finrl_ray.metrics.performance import total_return
from finrl_ray.support.text import counted
from finrl_ray.support.values import to_json

IN_CASH = 0.01
"""Invested share of the account below which it is said to have stayed in cash."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Earnings:
    """One account beside buy & hold on the same days; NaN where a number is not known.

    Parameters
    ----------
    n_periods : days
    total_return : of the account, a fraction
    benchmark_return : of buy & hold, a fraction
    beta : of the account
    market_return : what beta times each of buy & hold's returns comes to, compounded
    exposure : mean share of the account that was invested
    """

    n_periods: int
    total_return: float
    benchmark_return: float
    beta: float
    market_return: float
    exposure: float

    def sentence(self, who: str) -> str:
        """Return in one sentence what was earned, by what, and how much was invested.

        Parameters
        ----------
        who : whose account it is, such as `the winner`
        """
        held = earned(self.benchmark_return)
        both = (
            f"in {counted(self.n_periods, 'day')} {who} {earned(self.total_return)} where buy & "
            f"hold {held}"
        )
        return f"{both}; {invested(self.exposure)}; {self._parts(who)}"

    def _parts(self, who: str) -> str:
        if math.isnan(self.beta):
            return "how much of that the market made is not known"
        own = self.total_return - self.market_return
        return (
            f"of the {_signed(self.total_return)} the market made {_signed(self.market_return)} "
            f"(beta {_rounded(self.beta, 2):.2f}) and {who} itself {_signed(own)}"
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON: NaN as None."""
        return {name: to_json(value) for name, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> "Earnings":
        """Undo `to_dict`."""
        values: dict[str, Any] = {
            name: math.nan if value is None else value for name, value in content.items()
        }
        return cls(**values)


def earnings_of(
    returns: FloatArray, benchmark_returns: FloatArray, exposure: float = math.nan
) -> Earnings:
    """Return what an account has earned beside buy & hold.

    Parameters
    ----------
    returns, benchmark_returns : arrays of shape (T,)
        Simple returns on the same days, as fractions.
    exposure : mean share of the account that was invested, if known

    Raises
    ------
    DataError
        As `beta`.
    """
    slope = beta(returns, benchmark_returns)
    return Earnings(
        n_periods=len(returns),
        total_return=total_return(returns),
        benchmark_return=total_return(benchmark_returns),
        beta=slope,
        # a beta above 1 may lose more than everything, which no account does
        market_return=float(np.prod(np.maximum(1.0 + slope * benchmark_returns, 0.0)) - 1.0),
        exposure=exposure,
    )


def invested(exposure: float) -> str:
    """Return in words which share of an account was invested on average."""
    if math.isnan(exposure):
        return "how much of the account was invested over that time is not known"
    if exposure < IN_CASH:
        return (
            f"it stayed in cash ({exposure:.1%} of the account was invested on average over that "
            "time)"
        )
    if exposure > 1.005:
        return (
            f"its positions, short ones too, came to {exposure:.0%} of the account on average over "
            "that time"
        )
    return f"on average {exposure:.0%} of the account was invested over that time"


def earned(value: float) -> str:
    """Return `earned 3.1%` or `lost 0.2%` for a return, a fraction."""
    if math.isnan(value):
        return "earned an unknown part"
    return f"{'lost' if _rounded(value, 3) < 0 else 'earned'} {abs(value):.1%}"


def _signed(value: float) -> str:
    shown = _rounded(value, 3)
    return f"{shown:+.1%}" if shown else "0.0%"


def _rounded(value: float, digits: int) -> float:
    """Return a value as it is shown, without the sign of what is rounded to 0."""
    return round(value, digits) + 0.0
