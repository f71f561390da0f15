"""FinRL's `StockTradingEnv` (FinRL 0.3.7), and copies of it that keep its constructor."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from finrl_ray.config.env import EnvConfig
from finrl_ray.data.market_data import MarketData
from finrl_ray.env.adapters.adapter import EnvAdapter
from finrl_ray.errors import ConfigError

_SILENT = 10**9
"""Episodes between two printed summaries."""


class FinRLStockAdapter(EnvAdapter):
    """Quiet, with FinRL's memories as the account; its constructor's words are offered anyway."""

    bases = ("finrl.meta.env_stock_trading.env_stocktrading:StockTradingEnv",)

    def arguments(
        self, market: MarketData, config: EnvConfig, given: Mapping[str, Any], *, training: bool
    ) -> dict[str, Any]:
        """Return what keeps it from printing; FinRL reads an indicator of each ticker."""
        if not market.feature_names:
            raise ConfigError(
                "FinRL's StockTradingEnv reads the first indicator of each ticker, so "
                "data.features must name at least one, got none"
            )
        return {"print_verbosity": _SILENT}

    def started(self, env: Any) -> None:
        """Empty the one memory that FinRL's reset keeps, and that would grow for ever."""
        env.state_memory = []

    def note(self, env: Any, rows: list[tuple[float, ...]]) -> None:
        """Note cash and costs so far of each new day."""
        if len(env.asset_memory) == len(rows) + 1:  # FinRL's last step brings no day
            rows.append((float(env.state[0]), float(env.cost)))

    def history(
        self, env: Any, rows: list[tuple[float, ...]], market: MarketData, config: EnvConfig
    ) -> Mapping[str, Any]:
        """Return FinRL's memories, with the amounts traded at the closes that orders filled at."""
        value = np.asarray(env.asset_memory, dtype=np.float64)
        steps = len(value) - 1
        trades = np.asarray(env.actions_memory, dtype=np.float64).reshape(steps, market.n_assets)
        cash, cost = np.asarray(rows, dtype=np.float64).T
        first = int(np.searchsorted(market.dates, np.datetime64(str(env.date_memory[0]), "ns")))
        close = market.close[first : first + steps]
        return {
            "dates": env.date_memory,
            "account_value": value,
            "cash": cash,
            "rewards": env.rewards_memory,
            "trades": trades,
            "cost": np.diff(cost),
            "traded_amount": (np.abs(trades) * close).sum(axis=1),
            "n_trades": env.trades,
        }
