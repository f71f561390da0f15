"""Small envs over real prices, as a user of FinRL builds them."""

from typing import Any

import pandas as pd

from finrl_ray.compat.preprocessing import FeatureEngineer, data_split
from finrl_ray.data.sources.bundled import read_bundled
from finrl_ray.env.stock_trading import StockTradingEnv

INDICATORS = ["macd", "rsi_30"]
TINY = {
    "n_steps": {"choice": [64, 128]},
    "batch_size": 64,
    "n_epochs": {"choice": [1, 2]},
    "net_arch": "tiny",
    "learning_rate": {"loguniform": [1e-4, 1e-3]},
}


def processed() -> pd.DataFrame:
    df = read_bundled()
    return FeatureEngineer(tech_indicator_list=INDICATORS).preprocess_data(
        df[df["date"] < "2006-06-01"]
    )


def env_over(start: str, end: str, df: pd.DataFrame | None = None, **changed: Any) -> Any:
    frame = data_split(processed() if df is None else df, start, end)
    n = frame["tic"].nunique()
    arguments = {
        "stock_dim": n,
        "hmax": 100,
        "initial_amount": 1_000_000,
        "num_stock_shares": [0] * n,
        "buy_cost_pct": [0.001] * n,
        "sell_cost_pct": [0.001] * n,
        "reward_scaling": 1e-4,
        "state_space": 1 + 2 * n + len(INDICATORS) * n,
        "action_space": n,
        "tech_indicator_list": INDICATORS,
    }
    return StockTradingEnv(df=frame, **{**arguments, **changed})
