"""Keyword options of `DRLEnsembleAgent` beyond FinRL's arguments."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

import numpy as np

from finrl_ray.config.env_options.reward import Reward
from finrl_ray.config.env_options.trading import (
    ActionKind,
    Fill,
    Observation,
    TradingOptions,
    ZeroAction,
)
from finrl_ray.config.trial.order_size import HmaxUnit
from finrl_ray.errors import ConfigError
from finrl_ray.own_code.reference import reference_of
from finrl_ray.support.text import did_you_mean
from finrl_ray.workflows.ensemble.turbulence import check_turbulence_rule


@dataclass(frozen=True, kw_only=True, slots=True)
class EnsembleOptions:
    """The options, each with its default.

    Raises
    ------
    ConfigError
        If a value is out of its range.
    """

    seed: int = 0
    """Every training's seed is a hash of it, the window's number and the algorithm."""
    n_envs: int = 1
    """Accounts that each training steps at once."""
    risk_indicator_col: str = "turbulence"
    """Column of the turbulence rule; without it in the data there is no such rule."""
    turbulence_quantile: float = 0.90
    """See `turbulence_threshold`."""
    turbulence_lookback: int | None = None
    """Days; `rebalance_window` of them where None."""
    periods_per_year: float | None = None
    """Of the Sharpe ratios; None: read from the spacing of the training dates (252 for days)."""
    retrain: bool = False
    """Train the chosen algorithm again, on train and validation days, before it trades."""
    action: ActionKind = "orders"
    """Rule of `StockTradingEnv`; `hmax` bounds orders only. Without a model nothing is traded."""
    hmax_unit: HmaxUnit = "shares"
    """Rule of `StockTradingEnv`."""
    zero_action: ZeroAction = "cash"
    """Rule of `StockTradingEnv`."""
    max_weight: float = 1.0
    """Rule of `StockTradingEnv`."""
    no_trade_band: float | None = None
    """Rule of `StockTradingEnv`."""
    trade_rate: float = 1.0
    """Rule of `StockTradingEnv`."""
    fill: Fill = "close"
    """Rule of `StockTradingEnv`."""
    fractional_shares: bool = False
    """Rule of `StockTradingEnv`."""
    short: bool = False
    """Rule of `StockTradingEnv`: shares may be owed."""
    borrow_rate: float = TradingOptions.borrow_rate
    """Rule of `StockTradingEnv`."""
    maintenance_margin: float = TradingOptions.maintenance_margin
    """Rule of `StockTradingEnv`."""
    volume_slippage: float = 0.0
    """Rule of `StockTradingEnv`."""
    random_start: bool = False
    """Training episodes start on a random day of the first half of the training days."""
    reward: Reward | str = "account_change"
    """Rule of `StockTradingEnv`: what a step pays in training; your own function is named by its
    import path, or given if it can be imported."""
    reward_kwargs: Mapping[str, Any] = field(default_factory=dict)
    """Keywords of your own reward."""
    differential_sharpe_rate: float = TradingOptions.differential_sharpe_rate
    """Rule of `StockTradingEnv`."""
    observation_scaling: Literal["none", "train"] = "none"
    """`train`: observations are scaled by statistics of the days that the model is trained on."""
    observation: Observation = "finrl"
    """Rule of `StockTradingEnv`; `stationary` is always scaled so."""
    lookback: int = 1
    """Rule of `StockTradingEnv`."""
    return_horizons: Sequence[int] = TradingOptions.return_horizons
    """Rule of `StockTradingEnv`."""
    nearest_spread: bool = False
    """Rule of `StockTradingEnv`."""
    results_dir: str | Path | None = None
    """Folder for FinRL's result files; None writes nothing."""
    use_ray: bool = True
    """False: train one after the other in this process, with the same result."""
    address: str | None = None
    """Ray cluster to join; None: the one that this process is connected to, or RAY_ADDRESS, or a
    Ray of its own on this machine."""
    num_cpus: int | None = None
    """CPUs of a Ray of its own; None: those of the machine."""
    max_concurrent: int | None = None
    """Trainings at once; None: one per CPU."""
    time_budget_s: float | None = None
    """Trainings that have not ended after so many seconds count as failed."""

    def __post_init__(self) -> None:
        for name in ("n_envs", "num_cpus", "max_concurrent"):
            count = getattr(self, name)
            if not (count is None and name != "n_envs") and not (_is_whole(count) and count >= 1):
                raise ConfigError(f"{name} must be a whole number >= 1, got {count!r}")
        for name in ("periods_per_year", "time_budget_s"):
            rate = getattr(self, name)
            if rate is not None and not rate > 0:
                raise ConfigError(f"{name} must be > 0, got {rate}")
        if not (_is_whole(self.seed) and 0 <= self.seed < 2**32):
            raise ConfigError(f"seed must be a whole number within 0..2**32-1, got {self.seed!r}")
        if self.observation_scaling not in ("none", "train"):
            raise ConfigError(
                f"observation_scaling must be 'none' or 'train', got {self.observation_scaling!r}"
            )
        if callable(self.reward):
            object.__setattr__(self, "reward", reference_of(self.reward, "reward"))
        lookback = 1 if self.turbulence_lookback is None else self.turbulence_lookback
        check_turbulence_rule(lookback=lookback, quantile=self.turbulence_quantile)

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> "EnsembleOptions":
        """Return the options of keyword arguments.

        Raises
        ------
        TypeError
            If one is not an option.
        """
        names = [item.name for item in fields(cls)]
        for name in options:
            if name not in names:
                raise TypeError(
                    f"unexpected option {name!r}; beside FinRL's arguments the options are {names}."
                    f"{did_you_mean(name, names)}"
                )
        return cls(**options)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)
