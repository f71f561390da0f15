"""Checks of what users bring: `check_trading_env` says what an env has and what is missing."""

from finrl_ray.testing.trading_env import EnvReport, check_trading_env

__all__ = ["EnvReport", "check_trading_env"]
