"""Small frames in FinRL's format, agents over them, and policies that need no training."""

from typing import Any

import numpy as np
import pandas as pd

from finrl_ray.workflows.ensemble.agent import DRLEnsembleAgent

FEATURES = ["macd", "rsi_30"]
SMALL_PPO = {"n_steps": 64, "batch_size": 64, "n_epochs": 1, "policy_kwargs": {"net_arch": [8]}}
SMALL_A2C = {"policy_kwargs": {"net_arch": [8]}}


def small_frame(n_dates: int = 80, *, seed: int = 0, turbulence: bool = True) -> pd.DataFrame:
    """Three tickers on random walks, two made-up indicators, business days from 2020-01-01."""
    rng = np.random.default_rng(seed)
    n = 3
    close = 50 * np.exp(rng.normal(0, 0.02, (n_dates, n)).cumsum(axis=0))
    dates = pd.bdate_range("2020-01-01", periods=n_dates).strftime("%Y-%m-%d").to_numpy()
    df = pd.DataFrame(
        {
            "date": np.repeat(dates, n),
            "tic": np.tile(np.array(["AAA", "BBB", "CCC"]), n_dates),
            "close": close.ravel(),
            "open": (close * np.exp(rng.normal(0, 0.005, close.shape))).ravel(),
            "macd": rng.normal(0, 1, n_dates * n),
            "rsi_30": rng.uniform(20, 80, n_dates * n),
        },
        index=np.repeat(np.arange(n_dates), n),
    )
    if turbulence:
        df["turbulence"] = np.repeat(rng.uniform(0, 100, n_dates), n)
    return df


def small_agent(df: pd.DataFrame | None = None, **changes: Any) -> DRLEnsembleAgent:
    """An agent of 10-day windows: trained on 40 dates at first, 40 dates to validate and trade."""
    df = small_frame() if df is None else df
    dates = df["date"].unique()
    arguments: dict[str, Any] = {
        "df": df,
        "train_period": (dates[0], dates[39]),
        "val_test_period": (dates[39], dates[-1]),
        "rebalance_window": 10,
        "validation_window": 10,
        "stock_dim": 3,
        "hmax": 100,
        "initial_amount": 100_000,
        "buy_cost_pct": 0.001,
        "sell_cost_pct": 0.001,
        "reward_scaling": 1e-4,
        "state_space": 1 + 2 * 3 + 2 * 3,
        "action_space": 3,
        "tech_indicator_list": FEATURES,
        "print_verbosity": 10,
        "use_ray": False,
    }
    return DRLEnsembleAgent(**{**arguments, **changes})


class MacdPolicy:
    """Orders in proportion to the first indicator: the same decision from the same observation."""

    def __init__(self, n_assets: int = 3, *, factor: float = 1.0) -> None:
        self.n, self.factor = n_assets, factor

    def predict(self, observation: Any, *, deterministic: bool) -> tuple[np.ndarray, None]:
        assert deterministic
        macd = observation[1 + 2 * self.n : 1 + 3 * self.n]
        return np.clip(self.factor * macd, -1, 1).astype(np.float32), None
