"""`ObservationScaling`: brings observations to order 1 by statistics of the train window alone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from finrl_ray._typing import FloatArray, IntArray
from finrl_ray.config.env import EnvConfig
from finrl_ray.config.env_options.trading import TradingOptions
from finrl_ray.data.market_data import MarketData
from finrl_ray.env.observed_columns import (
    FINRL,
    check_look_back,
    describe_columns,
    nearest_tickers,
    observed_columns,
)
from finrl_ray.errors import ConfigError

STANDARD_LIMIT = 10.0
"""Standardised entries of stationary observations are cut off at this many deviations."""
_FINRL_OPTIONS = TradingOptions()


@dataclass(frozen=True, eq=False, kw_only=True)
class ObservationScaling:
    """What observations are shifted and multiplied by.

    Parameters
    ----------
    offset, scale : arrays of shape (K,)
        One per column of `observed_columns`: close (N), then indicator after indicator (N each);
        or return horizon after return horizon, then the indicators. Observed is
        (value - offset) / scale.
    cash_factor : 1/currency
        Observed cash is cash * cash_factor; without a meaning in stationary observations.
    shares_factor : array of shape (N,), 1/share
        Observed shares are shares * shares_factor; likewise.
    columns : which columns these are, as `describe_columns` has it
    nearest : array of shape (N,), or None
        Of each ticker the one nearest to it over the train window, for `nearest_spread`.

    Raises
    ------
    ConfigError
        If shapes disagree, a value is not finite, or a scale or factor is not positive.
    """

    offset: FloatArray
    scale: FloatArray
    cash_factor: float
    shares_factor: FloatArray
    columns: str = FINRL
    nearest: IntArray | None = None

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
                "observation scaling: offset and scale must have shape (K,), K a multiple of N, "
                f"and shares_factor (N,), got {shapes[0]}, {shapes[1]} and {shapes[2]}"
            )
        positive = np.concatenate([self.scale, self.shares_factor, [self.cash_factor]])
        if not (np.isfinite(self.offset).all() and np.isfinite(positive).all()):
            raise ConfigError("observation scaling: every value must be finite")
        if not (positive > 0).all():
            raise ConfigError("observation scaling: scales and factors must be positive")
        self._settle_nearest(n_assets)

    def _settle_nearest(self, n_assets: int) -> None:
        if self.nearest is None:
            return
        nearest = np.array(self.nearest)
        whole = nearest.shape == (n_assets,) and np.issubdtype(nearest.dtype, np.integer)
        if not whole or not ((nearest >= 0) & (nearest < n_assets)).all():
            raise ConfigError(
                f"observation scaling: nearest must be {n_assets} indices of tickers, each within "
                f"0..{n_assets - 1}, got {nearest.tolist()}"
            )
        nearest = nearest.astype(np.int64)
        nearest.setflags(write=False)
        object.__setattr__(self, "nearest", nearest)

    def to_dict(self) -> dict[str, Any]:
        """Return the values under their names, as plain arrays, a float and a text."""
        return {
            "offset": self.offset.copy(),
            "scale": self.scale.copy(),
            "cash_factor": self.cash_factor,
            "shares_factor": self.shares_factor.copy(),
            "columns": self.columns,
            "nearest": None if self.nearest is None else self.nearest.copy(),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "ObservationScaling":
        """Return the scaling that `to_dict` described (lists serve as arrays)."""
        return cls(**values)

    def key(self) -> bytes:
        """Return bytes that are equal for equal scalings of the market part."""
        nearest = b"" if self.nearest is None else self.nearest.tobytes()
        return self.columns.encode() + self.offset.tobytes() + self.scale.tobytes() + nearest


def fit_observation_scaling(
    market_data: MarketData, initial_amount: float, options: TradingOptions = _FINRL_OPTIONS
) -> ObservationScaling:
    """Return the scaling fitted on one window, which must be the train window.

    Means and deviations are per column (per ticker and indicator, or return horizon) over all its
    rows, so rows of any other window would leak into what the agent sees. A constant column is only
    shifted. In FinRL's observation, cash and positions (at the ticker's mean close) become
    fractions of `initial_amount`; in the stationary one they are shares of the account already.

    Parameters
    ----------
    market_data : the train window, without warm-up rows
    initial_amount : currency
    options : say what is observed: the `EnvConfig` of a config, or `TradingOptions(observation=...,
        return_horizons=...)`; FinRL's observation if left out. `lookback` does not matter: a value
        is the same number today and as part of the past.

    Raises
    ------
    ConfigError
        If the window has warm-up rows, `initial_amount` is not positive, or observations look back
        over the whole window.
    """
    if market_data.warmup:
        raise ConfigError(
            f"the first {market_data.warmup} rows have incomplete features; fit the scaling on "
            "market_data.rows(market_data.warmup, ...)"
        )
    if not initial_amount > 0:
        raise ConfigError(f"initial_amount must be > 0, got {initial_amount}")
    data = market_data
    if options.observation == "stationary":
        return standardising(options, data.close, data.features, data.seams)
    offset, scale = _moments(observed_columns(options, data.close, data.features, data.seams))
    return ObservationScaling(
        offset=offset,
        scale=scale,
        cash_factor=1.0 / initial_amount,
        shares_factor=data.close.mean(axis=0) / initial_amount,
    )


def standardising(
    options: TradingOptions, close: FloatArray, features: FloatArray, seams: Sequence[int]
) -> ObservationScaling:
    """Return the scaling of stationary observations fitted on a window.

    Parameters
    ----------
    close : array of shape (T, N)
    features : array of shape (T, N, F)
    seams : rows before which rows are missing

    Raises
    ------
    ConfigError
        If observations look back over all of these rows.
    """
    check_look_back(options, len(close))
    nearest = nearest_tickers(close) if options.nearest_spread else None
    offset, scale = _moments(observed_columns(options, close, features, seams, nearest))
    return ObservationScaling(
        offset=offset,
        scale=scale,
        cash_factor=1.0,
        shares_factor=np.ones(close.shape[1]),
        columns=describe_columns(options),
        nearest=nearest,
    )


def _moments(columns: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the mean of each column, and its deviation, 1 where it is constant."""
    spread = columns.std(axis=0)
    # rounding leaves the deviation of a constant column slightly above 0
    constant = columns.max(axis=0) == columns.min(axis=0)
    return columns.mean(axis=0), np.where(constant | (spread == 0), 1.0, spread)


def fitted_scaling(config: EnvConfig, train_data: MarketData) -> ObservationScaling | None:
    """Return the scaling that envs of a config need, fitted on the train window; None for none."""
    if not config.scales_observations:
        return None
    return fit_observation_scaling(train_data, config.initial_amount, config)
