"""FinRL 0.3.7 as a peer: its wheel from the Python registry, its env, agent and tuning recipe.

FinRL itself is not installed, because it brings broker SDKs and RLlib: its wheel is unpacked into
`benchmarks/.peers/` and only what is compared is imported, with empty modules in the place of what
that never calls. Nothing of FinRL's code is changed.
"""

import importlib
import subprocess
import sys
import types
import zipfile
from pathlib import Path
from typing import Any

import pandas as pd

VERSION = "0.3.7"
PEERS = Path(__file__).parent / ".peers"
PACKAGES = ("finrl", "finrl.meta", "finrl.agents", "finrl.meta.preprocessor")


class PeerMissingError(RuntimeError):
    """FinRL cannot be had."""


def finrl_folder() -> Path:
    """Return a folder with FinRL's package in it, downloaded once.

    Raises
    ------
    PeerMissingError
        If pip cannot download it.
    """
    folder = PEERS / f"finrl-{VERSION}"
    if not (folder / "finrl").is_dir():
        PEERS.mkdir(exist_ok=True)
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        command += ["--only-binary=:all:", "--dest", str(PEERS), f"finrl=={VERSION}"]
        outcome = subprocess.run(command, capture_output=True, text=True, check=False)
        wheels = sorted(PEERS.glob(f"*-{VERSION}-*.whl"))
        if outcome.returncode or not wheels:
            raise PeerMissingError(
                f"FinRL {VERSION} cannot be downloaded, and without it there is nothing to compare "
                f"with: {outcome.stderr.strip()[-500:]}"
            )
        with zipfile.ZipFile(wheels[-1]) as wheel:
            wheel.extractall(folder)
    return folder


def _stub(name: str, **contents: Any) -> None:
    module = types.ModuleType(name)
    vars(module).update(contents)
    sys.modules.setdefault(name, module)


def _import(name: str) -> Any:
    folder = finrl_folder()
    for package in PACKAGES:
        if package not in sys.modules:
            module = types.ModuleType(package)
            # the packages' own __init__ import brokers' libraries
            module.__path__ = [str(folder.joinpath(*package.split(".")))]
            sys.modules[package] = module
    if not hasattr(sys.modules["finrl"], "config"):
        sys.modules["finrl"].config = importlib.import_module("finrl.config")  # type: ignore[attr-defined]
    _stub("finrl.meta.preprocessor.yahoodownloader", YahooDownloader=None)
    return importlib.import_module(name)


def finrl_env(frame: pd.DataFrame, indicators: list[str], **options: Any) -> Any:
    """Return FinRL's env over a frame in its long format, with its tutorials' settings."""
    module = _import("finrl.meta.env_stock_trading.env_stocktrading")
    n, k = frame["tic"].nunique(), len(indicators)
    settings: dict[str, Any] = {
        "hmax": 100,
        "initial_amount": 1_000_000,
        "num_stock_shares": [0] * n,
        "buy_cost_pct": [0.001] * n,
        "sell_cost_pct": [0.001] * n,
        "reward_scaling": 1e-4,
        "tech_indicator_list": indicators,
        "print_verbosity": 10**9,
        "stock_dim": n,
        "state_space": 1 + 2 * n + k * n,
        "action_space": n,
    }
    return module.StockTradingEnv(df=finrl_index(frame), **{**settings, **options})


def finrl_index(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a frame indexed by day, as FinRL's `data_split` leaves it."""
    ordered = frame.sort_values(["date", "tic"], ignore_index=True)
    return ordered.set_index(ordered["date"].factorize()[0])


def finrl_agent(env: Any) -> Any:
    """Return FinRL's DRLAgent for an env."""
    return _import("finrl.agents.stablebaselines3.models").DRLAgent(env=env)


def finrl_tuner() -> Any:
    """Return FinRL's `tune_sb3` module."""
    _import("finrl.agents.stablebaselines3.models")
    _stub("finrl.agents.stablebaselines3")
    _stub("utils", linear_schedule=None)  # which tune_sb3 imports and does not call
    _stub("finrl.main", check_and_make_directories=_make_folders)
    _stub("finrl.plot", backtest_stats=None)
    return _import("finrl.agents.stablebaselines3.tune_sb3")


def _make_folders(folders: list[str]) -> None:
    for folder in folders:
        Path(folder).mkdir(parents=True, exist_ok=True)
