"""`ObservationScaling`: brings observations to order 1 by statistics of the train window alone."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from finrl_ray._typing import AnyArray, FloatArray
from finrl_ray.data.market_data import MarketData
from finrl_ray.errors import ConfigError


@dataclass(frozen=True, eq=False, kw_only=True)
class ObservationScaling:
    """What observations are shifted and multiplied by.

    Parameters
    ----------
    offset, scale : arrays of shape (N + F*N,)
        Close (N), then indicator after indicator (N each); observed is (value - offset) / scale.
    cash_factor : 1/currency
        Observed cash is cash * cash_factor.
    shares_factor : array of shape (N,), 1/share
        Observed shares are shares * shares_factor.

    Raises
    ------
    ConfigError
        If shapes disagree, a value is not finite, or a scale or factor is not positive.
    """

    offset: FloatArray
    scale: FloatArray
    cash_factor: float
    shares_factor: FloatArray

    def __post_init__(self) -> None:
        for name in ("offset", "scale", "shares_factor"):
            array = np.array(getattr(self, name), dtype=np.float64)
            array.setflags(write=False)
            object.__setattr__(self, name, array)
        object.__setattr__(self, "cash_factor", float(self.cash_factor))
        shapes = (self.offset.shape, self.scale.shape, self.shares_factor.shape)
        n_assets = self.shares_factor.size
        if shapes[0] != shapes[1] or n_assets == 0 or self.offset.size % n_assets:
            raise ConfigError(
                "observation scaling: offset and scale must have shape (N + F*N,) and "
                f"shares_factor (N,), got {shapes[0]}, {shapes[1]} and {shapes[2]}"
            )
        positive = np.concatenate([self.scale, self.shares_factor, [self.cash_factor]])
        if not (np.isfinite(self.offset).all() and np.isfinite(positive).all()):
            raise ConfigError("observation scaling: every value must be finite")
        if not (positive > 0).all():
            raise ConfigError("observation scaling: scales and factors must be positive")

    def to_dict(self) -> dict[str, Any]:
        """Return the four values under their names, as plain arrays and a float."""
        return {
            "offset": self.offset.copy(),
            "scale": self.scale.copy(),
            "cash_factor": self.cash_factor,
            "shares_factor": self.shares_factor.copy(),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "ObservationScaling":
        """Return the scaling that `to_dict` described (lists serve as arrays)."""
        return cls(**values)

    def key(self) -> bytes:
        """Return bytes that are equal for equal scalings of the market part."""
        return self.offset.tobytes() + self.scale.tobytes()


def market_columns(close: FloatArray, features: FloatArray) -> FloatArray:
    """Return close and features in observation order.

    Parameters
    ----------
    close : array of shape (T, N)
    features : array of shape (T, N, F)

    Returns
    -------
    array of shape (T, N + F*N)
        Close of every ticker, then the first feature of every ticker, and so on.
    """
    by_feature: AnyArray = features.transpose(0, 2, 1).reshape(len(close), -1)
    return np.concatenate([close, by_feature], axis=1)


def fit_observation_scaling(market_data: MarketData, initial_amount: float) -> ObservationScaling:
    """Return the scaling fitted on one window, which must be the train window.

    Means and deviations are per column (per ticker and indicator) over all its rows, so rows of
    any other window would leak into what the agent sees. A constant column is only shifted. Cash
    and positions (at the ticker's mean close) become fractions of `initial_amount`.

    Parameters
    ----------
    market_data : the train window, without warm-up rows
    initial_amount : currency

    Raises
    ------
    ConfigError
        If the window has warm-up rows or `initial_amount` is not positive.
    """
    if market_data.warmup:
        raise ConfigError(
            f"the first {market_data.warmup} rows have incomplete features; fit the scaling on "
            "market_data.rows(market_data.warmup, ...)"
        )
    if not initial_amount > 0:
        raise ConfigError(f"initial_amount must be > 0, got {initial_amount}")
    columns = market_columns(market_data.close, market_data.features)
    spread = columns.std(axis=0)
    # rounding leaves the deviation of a constant column slightly above 0
    constant = columns.max(axis=0) == columns.min(axis=0)
    return ObservationScaling(
        offset=columns.mean(axis=0),
        scale=np.where(constant | (spread == 0), 1.0, spread),
        cash_factor=1.0 / initial_amount,
        shares_factor=market_data.close.mean(axis=0) / initial_amount,
    )
