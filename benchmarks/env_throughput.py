"""Account-steps per second of the envs, against FinRL's env where `finrl` can be imported.

    taskset -c 1 python benchmarks/env_throughput.py [--repeats 7] [--data FILE.parquet]

One JSON object per line: what ran, the median over the repeats, and their spread. The cases are
interleaved, so that a busy machine slows all of them alike. Random actions are made beforehand;
one step is `env.step(actions)` with everything it returns. Without `--data`, prices are random
walks of 29 stocks over 335 days with 8 indicators.
"""

import argparse
import json
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from finrl_ray.data.market_data import MarketData
from finrl_ray.env.stock_trading import StockTradingEnv
from finrl_ray.env.vec_env import StockTradingVecEnv

INDICATORS = [
    "macd",
    "boll_ub",
    "boll_lb",
    "rsi_30",
    "cci_30",
    "dx_30",
    "close_30_sma",
    "close_60_sma",
]
SHARED = Path(__file__).parents[2] / "shared" / "data" / "dow30_2020_2021_indicators.parquet"

Case = Callable[[], tuple[int, float]]
"""Runs for a while; returns account-steps and seconds."""


def synthetic_market(n_periods: int, n_assets: int = 29, n_features: int = 8) -> MarketData:
    rng = np.random.default_rng(0)
    shape = (n_periods, n_assets)
    close = 100 * np.exp(rng.normal(0, 0.01, shape).cumsum(axis=0) / np.sqrt(n_periods / 335))
    nothing = np.full(shape, np.nan)
    return MarketData(
        dates=pd.date_range("1900-01-01", periods=n_periods, freq="D", unit="ns").to_numpy(),
        tickers=tuple(f"T{i:02d}" for i in range(n_assets)),
        open=nothing,
        high=nothing.copy(),
        low=nothing.copy(),
        close=close,
        volume=nothing.copy(),
        features=rng.normal(0, 1, (*shape, n_features)),
        feature_names=tuple(f"feature_{k}" for k in range(n_features)),
        tradable=np.ones(shape, dtype=np.bool_),
        market_features=np.zeros((n_periods, 0)),
        market_feature_names=(),
    )


def vec_case(market: MarketData, n_envs: int, n_steps: int, **options: object) -> Case:
    env = StockTradingVecEnv(market, n_envs, **options)
    actions = _actions((64, n_envs, market.n_assets))
    env.reset()

    def run() -> tuple[int, float]:
        begin = time.perf_counter()
        for k in range(n_steps):
            env.step(actions[k % 64])
        return n_steps * n_envs, time.perf_counter() - begin

    run()
    return run


def single_case(market: MarketData, n_steps: int) -> Case:
    env = StockTradingEnv(market)
    actions = _actions((64, market.n_assets))
    env.reset()

    def run() -> tuple[int, float]:
        begin = time.perf_counter()
        for k in range(n_steps):
            if env.step(actions[k % 64])[3]:
                env.reset()
        return n_steps, time.perf_counter() - begin

    run()
    return run


def finrl_case(frame: pd.DataFrame, n_steps: int) -> Case | None:
    try:
        from finrl.meta.env_stock_trading.env_stocktrading import StockTradingEnv as FinRLEnv
    except ImportError:
        return None
    n, k = frame["tic"].nunique(), len(INDICATORS)
    sizes = {"stock_dim": n, "state_space": 1 + 2 * n + k * n, "action_space": n}
    env = FinRLEnv(
        df=frame,
        hmax=100,
        initial_amount=1_000_000,
        num_stock_shares=[0] * n,
        buy_cost_pct=[0.001] * n,
        sell_cost_pct=[0.001] * n,
        reward_scaling=1e-4,
        tech_indicator_list=INDICATORS,
        print_verbosity=10**9,
        **sizes,
    )
    actions = _actions((64, n))
    env.reset()

    def run() -> tuple[int, float]:
        begin = time.perf_counter()
        for step in range(n_steps):
            if env.step(actions[step % 64])[2]:
                env.reset()
        return n_steps, time.perf_counter() - begin

    return run


def _actions(shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(1).uniform(-1, 1, shape).astype(np.float32)


def read_frame(path: Path | None) -> pd.DataFrame | None:
    if path is None or not path.exists():
        return None
    frame = pd.read_parquet(path).sort_values(["date", "tic"])
    return frame.set_index(frame["date"].factorize()[0])


def build_cases(frame: pd.DataFrame | None) -> dict[str, Case]:
    if frame is None:
        market = synthetic_market(335)
    else:
        market = MarketData.from_finrl(frame, features=INDICATORS)
    cases: dict[str, Case] = {}
    for n_envs in (1, 16, 64, 256):
        cases[f"vec_{n_envs}"] = vec_case(market, n_envs, max(200, 20_000 // n_envs))
    cases["vec_64_without_trades"] = vec_case(market, 64, 400, record_trades=False)
    cases["vec_64_parity"] = vec_case(market, 64, 400, parity=True)
    cases["single"] = single_case(market, 5_000)
    for days in (3_000, 30_000):
        cases[f"vec_64_{days}_days"] = vec_case(
            synthetic_market(days), 64, 400, record_trades=False
        )
    finrl = None if frame is None else finrl_case(frame, 300)
    if finrl is not None:
        cases["finrl"] = finrl
    return cases


def main() -> None:
    parser = argparse.ArgumentParser(description="account-steps per second, one JSON per line")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--data", type=Path, default=SHARED)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    frame = read_frame(arguments.data)
    cases = build_cases(frame)
    speeds: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(arguments.repeats):
        for name, run in cases.items():
            steps, seconds = run()
            speeds[name].append(steps / seconds)
    for name, values in speeds.items():
        median = statistics.median(values)
        line = {
            "case": name,
            "market": "synthetic" if frame is None or "days" in name else "file",
            "account_steps_per_s": round(median),
            "us_per_account_step": round(1e6 / median, 3),
            "min": round(min(values)),
            "max": round(max(values)),
        }
        sys.stdout.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    main()
