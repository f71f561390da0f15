"""Parallel hyperparameter search for deep-RL trading agents on Ray Tune and Stable-Baselines3."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from finrl_ray.agent.callbacks.trading_eval import TradingEvalCallback
    from finrl_ray.agent.drl_agent import DRLAgent
    from finrl_ray.config import ExperimentConfig
    from finrl_ray.config_file import load_config
    from finrl_ray.data.market_data import MarketData
    from finrl_ray.env.stock_trading import StockTradingEnv
    from finrl_ray.env.vec_env import StockTradingVecEnv
    from finrl_ray.search.runner import resume_search, run_search

__all__ = [
    "DRLAgent",
    "ExperimentConfig",
    "MarketData",
    "StockTradingEnv",
    "StockTradingVecEnv",
    "TradingEvalCallback",
    "load_config",
    "resume_search",
    "run_search",
]

_HOME = {
    "DRLAgent": "finrl_ray.agent.drl_agent",
    "ExperimentConfig": "finrl_ray.config",
    "MarketData": "finrl_ray.data.market_data",
    "StockTradingEnv": "finrl_ray.env.stock_trading",
    "StockTradingVecEnv": "finrl_ray.env.vec_env",
    "TradingEvalCallback": "finrl_ray.agent.callbacks.trading_eval",
    "load_config": "finrl_ray.config_file",
    "resume_search": "finrl_ray.search.runner",
    "run_search": "finrl_ray.search.runner",
}


def __getattr__(name: str) -> Any:
    # lazy, so that importing the package (and `finrl-ray --help`) loads neither torch nor ray
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
