"""Account-steps per CPU second of the envs, against FinRL 0.3.7's env and against writing memory.

    OMP_NUM_THREADS=1 taskset -c 1 python benchmarks/env.py [--repeats 7] [--quick]

Prices are random walks of 29 stocks over 335 days with 8 indicators, unless a case says otherwise;
actions are random and made beforehand; one step is `env.step(actions)` with everything it returns,
ends of episodes included where an episode fits into the time. What runs:

    vec_E            StockTradingVecEnv with E accounts
    single           StockTradingEnv
    finrl_D          FinRL's env over D days, its wheel taken from the Python registry
    write_E          writing the observations of E accounts into a new array, and nothing else

The cases are interleaved; `vs_finrl` (how many times FinRL's account-steps on the same days) and
`times_writing` (how many times the time of writing, for as many accounts) are medians over the
rounds of the ratios within a round, and so is `vs_orders` (how many times the account-steps of
orders). Trades are recorded unless a case says otherwise.
"""

import argparse
import contextlib
import io
import sys
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from finrl_peer import VERSION, PeerMissingError, finrl_env
from markets import finrl_frame, synthetic_market
from measuring import (
    Case,
    interleaved,
    paired_ratio,
    per_cpu_second,
    summary,
    versions,
    write_results,
)

from finrl_ray.env.kernel.observation import write_observations
from finrl_ray.env.stock_trading import StockTradingEnv
from finrl_ray.env.vec_env import StockTradingVecEnv

DAYS, STOCKS = 335, 29
EPISODE = DAYS - 1
ACCOUNT_STEPS = 30_000
"""About as many in a round of a case; at least one episode of 335 days where that is less."""


@dataclass(frozen=True)
class Setting:
    """What a case is about; `run` returns its account-steps per second."""

    run: Case
    accounts: int
    days: int
    stocks: int
    options: str = ""
    kind: str = "ours"


def random_actions(shape: tuple[int, ...]) -> Any:
    return np.random.default_rng(1).uniform(-1, 1, shape).astype(np.float32)


def vec_setting(n_envs: int, days: int = DAYS, stocks: int = STOCKS, **options: Any) -> Setting:
    env = StockTradingVecEnv(synthetic_market(days, stocks), n_envs, **options)
    actions = random_actions((64, n_envs, stocks))
    whole_episodes = max(1, round(ACCOUNT_STEPS / n_envs / EPISODE)) * EPISODE
    steps = whole_episodes if n_envs * stocks <= 64 * 100 and days == DAYS else 300
    steps = min(steps, 30) if n_envs > 256 else steps
    env.reset()

    def work() -> int:
        for k in range(steps):
            env.step(actions[k % 64])
        return steps * n_envs

    work()
    said = ", ".join(f"{name}={value}" for name, value in options.items())
    return Setting(per_cpu_second(work), n_envs, days, stocks, said)


def single_setting() -> Setting:
    env = StockTradingEnv(synthetic_market(DAYS))
    return Setting(_stepping(env, 3 * EPISODE, over=3), 1, DAYS, STOCKS)


def finrl_setting(days: int) -> Setting:
    market = synthetic_market(days)
    env = finrl_env(finrl_frame(market), list(market.feature_names))
    steps = 200 if days == DAYS else 50
    return Setting(_stepping(env, steps, over=2), 1, days, STOCKS, kind="finrl")


def _stepping(env: Any, steps: int, over: int) -> Case:
    """Return a case that steps a single env; entry `over` of what it returns ends an episode."""
    actions = random_actions((64, STOCKS))
    env.reset()

    def work() -> int:
        for k in range(steps):
            if env.step(actions[k % 64])[over]:
                env.reset()
        return steps

    with contextlib.redirect_stdout(io.StringIO()):
        work()
    return per_cpu_second(work)


def write_setting(n_envs: int) -> Setting:
    accounts = StockTradingVecEnv(synthetic_market(DAYS), n_envs).accounts
    market, books = accounts.table.market, accounts.books
    shape = (n_envs, accounts.table.observation_size)
    repeats = max(50, 200_000 // n_envs)

    def work() -> int:
        for k in range(repeats):
            books.records["day"] = k % DAYS
            new = np.empty(shape, dtype=np.float32)
            write_observations(0, n_envs, new, market, books)
        return repeats * n_envs

    work()
    return Setting(per_cpu_second(work), n_envs, DAYS, STOCKS, kind="write")


def own_settings(quick: bool) -> dict[str, Callable[[], Setting]]:
    """Return what makes each of our cases, of which a market and its accounts can be large."""
    found: dict[str, Callable[[], Setting]] = {
        "vec_64": lambda: vec_setting(64),
        "vec_64_3000_days": lambda: vec_setting(64, 3_000),
        "vec_64_target_weights": lambda: vec_setting(64, action="target_weights"),
        "write_64": lambda: write_setting(64),
        "single": single_setting,
    }
    if quick:
        return found
    for n_envs in (1, 16, 256):
        found[f"vec_{n_envs}"] = lambda n=n_envs: vec_setting(n)  # type: ignore[misc]
    found["vec_4096"] = lambda: vec_setting(4096, record_trades=False)
    for n_envs in (1, 16, 256, 4096):
        found[f"write_{n_envs}"] = lambda n=n_envs: write_setting(n)  # type: ignore[misc]
    for name, options in (
        ("without_trades", {"record_trades": False}),
        ("parity", {"parity": True}),
        ("fractional", {"fractional_shares": True}),
        (
            "fractional_target_weights",
            {"action": "target_weights", "fractional_shares": True},
        ),
    ):
        found[f"vec_64_{name}"] = lambda o=options: vec_setting(64, **o)  # type: ignore[misc]
    for days in (1_000, 30_000):
        found[f"vec_64_{days}_days"] = lambda d=days: vec_setting(  # type: ignore[misc]
            64, d, record_trades=False
        )
    for stocks in (30, 100, 250, 500):
        found[f"vec_64_{stocks}_stocks"] = lambda n=stocks: vec_setting(  # type: ignore[misc]
            64, stocks=n, record_trades=False
        )
    return found


def finrl_settings() -> tuple[dict[str, Setting], str | None]:
    """Return FinRL's cases, or none and why."""
    try:
        return {f"finrl_{days}": finrl_setting(days) for days in (DAYS, 3_000)}, None
    except (PeerMissingError, ImportError) as error:
        sys.stderr.write(f"FinRL's env does not run, so no row has vs_finrl: {error}\n")
        return {}, str(error)


def row(name: str, setting: Setting, speeds: dict[str, list[float]]) -> dict[str, Any]:
    speed = summary(speeds[name])
    found: dict[str, Any] = {
        "case": name,
        "accounts": setting.accounts,
        "days": setting.days,
        "stocks": setting.stocks,
        "options": setting.options,
        "account_steps_per_s": speed,
        "us_per_account_step": float(f"{1e6 / speed['median']:.4g}"),
    }
    if setting.kind == "ours" and setting.stocks == STOCKS:
        peer = speeds.get(f"finrl_{setting.days}")
        found["vs_finrl"] = None if peer is None else paired_ratio(speeds[name], peer)
        write = speeds.get(f"write_{setting.accounts}")
        if write is not None:
            found["times_writing"] = paired_ratio(write, speeds[name])
        if name.endswith("target_weights"):
            orders = name.removesuffix("_target_weights")
            found["vs_orders"] = paired_ratio(speeds[name], speeds[orders])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description="account-steps per second, one JSON per line")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument(
        "--quick", action="store_true", help="64 accounts, one, and FinRL; keeps no results"
    )
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    settings, missing = finrl_settings()
    settings |= {name: make() for name, make in own_settings(arguments.quick).items()}
    cases = {name: setting.run for name, setting in settings.items()}
    with contextlib.redirect_stdout(io.StringIO()):  # FinRL's env prints
        speeds = interleaved(cases, arguments.repeats)
    rows = [row(name, setting, speeds) for name, setting in settings.items()]
    if missing is not None:
        rows.append({"case": "finrl", "missing": missing})
    known = versions("pandas", "gymnasium", finrl=VERSION if missing is None else "missing")
    write_results("env", rows, known, Path(tempfile.gettempdir()) if arguments.quick else None)


if __name__ == "__main__":
    main()
