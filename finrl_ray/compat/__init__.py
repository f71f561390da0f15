"""The names that users of FinRL bring: `from finrl_ray.compat import FeatureEngineer, ...`."""

from importlib import import_module
from typing import Any

_HOMES = {
    "agent.callbacks.tensorboard": ("TensorboardCallback",),
    "agent.drl_agent": ("DRLAgent",),
    "compat.model_parameters": (
        "A2C_PARAMS",
        "DDPG_PARAMS",
        "PPO_PARAMS",
        "SAC_PARAMS",
        "TD3_PARAMS",
    ),
    "compat.config_tickers": (
        "DOW_30_TICKER",
        "NAS_100_TICKER",
        "SINGLE_TICKER",
        "SP_500_TICKER",
    ),
    "compat.names": (
        "DATA_SAVE_DIR",
        "INDICATORS",
        "RESULTS_DIR",
        "TENSORBOARD_LOG_DIR",
        "TEST_END_DATE",
        "TEST_START_DATE",
        "TRADE_END_DATE",
        "TRADE_START_DATE",
        "TRAINED_MODEL_DIR",
        "TRAIN_END_DATE",
        "TRAIN_START_DATE",
        "check_and_make_directories",
    ),
    "compat.preprocessing": ("FeatureEngineer", "data_split"),
    "compat.rllib_style": ("DRLlibv2",),
    "compat.statistics": ("backtest_stats", "get_daily_return"),
    "compat.tuning": ("TuneSB3Optuna",),
    "compat.yahoo_downloader": ("YahooDownloader", "get_baseline"),
    "ensemble.agent": ("DRLEnsembleAgent",),
    "env.portfolio": ("StockPortfolioEnv",),
    "env.stock_trading": ("StockTradingEnv",),
}
_HOME = {name: f"finrl_ray.{module}" for module, names in _HOMES.items() for name in names}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    # lazy, so that preparing data loads neither torch nor ray
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])
