"""`StocksEnv` and `ForexEnv` of gym-anytrading (2.0.0): one ticker, sell or buy."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from finrl_ray.config.env import EnvConfig
from finrl_ray.data.market_data import MarketData
from finrl_ray.env.adapters.adapter import EnvAdapter
from finrl_ray.env.own.frames import require_one_ticker
from finrl_ray.errors import ConfigError

WINDOW_SIZE = 10
"""Rows that are observed, of `window_size`, which has no default in gym-anytrading."""
_FEES = {"trade_fee_ask_percent": 0.005, "trade_fee_bid_percent": 0.01}


class GymAnytradingAdapter(EnvAdapter):
    """With the window as its frame, and an account value for every day.

    gym-anytrading counts what a position has earned when it is closed. Here an open one is worth
    each day what its env's own `_update_profit` would make of closing it, so that the account ends
    at `total_profit` times `env.initial_amount`. StocksEnv charges `env.buy_cost_pct` and
    `env.sell_cost_pct`, as the baselines beside it do, unless a subclass has fees of its own.
    """

    bases = ("gym_anytrading.envs.trading_env:TradingEnv",)
    options = ("initial_amount", "buy_cost_pct", "sell_cost_pct")

    def arguments(
        self, market: MarketData, config: EnvConfig, given: Mapping[str, Any], *, training: bool
    ) -> dict[str, Any]:
        """Return the frame under gym-anytrading's names, and the whole of it as its bounds."""
        require_one_ticker(market, "gym-anytrading's envs")
        size, rows = int(given.get("window_size", WINDOW_SIZE)), market.n_periods
        if "frame_bound" in given:
            raise ConfigError(
                "env.class_kwargs.frame_bound: the window of a search is the frame, so leave it "
                "out and set the split's dates instead"
            )
        if rows < size + 3:
            raise ConfigError(
                f"env.class_kwargs.window_size {size} leaves no steps in a window of {rows} rows: "
                "it must be at least 3 less; lower it or take a longer window"
            )
        return {
            "df": price_frame(market),
            "window_size": size,
            "frame_bound": (size, rows),
        }

    def prepare(self, env: Any, config: EnvConfig) -> None:
        """Take the config's costs where the env has gym-anytrading's own."""
        if all(getattr(env, name, None) == fee for name, fee in _FEES.items()):
            env.trade_fee_ask_percent = config.buy_cost_pct
            env.trade_fee_bid_percent = config.sell_cost_pct

    def note(self, env: Any, rows: list[tuple[float, ...]]) -> None:
        """Note the value of the account, 1 at the start, and whether it holds a position."""
        long = env._position.value == 1
        rows.append((closed_profit(env) if rows else 1.0, float(long)))

    def history(
        self, env: Any, rows: list[tuple[float, ...]], market: MarketData, config: EnvConfig
    ) -> Mapping[str, Any]:
        """Return the noted values in currency, from the first tick on."""
        profit, long = np.asarray(rows, dtype=np.float64).T
        value = profit * config.initial_amount
        first = env._start_tick
        stocks = hasattr(env, "trade_fee_ask_percent")
        return {
            "dates": market.dates[first : first + len(value)],
            "account_value": value,
            # of a currency pair it depends on the unit which position is the invested one
            "gross_value": value * long if stocks else None,
            "n_trades": int(np.count_nonzero(np.diff(long))),
        }


def closed_profit(env: Any) -> float:
    """Return `total_profit` as it would be if the position were closed at the current tick."""
    profit = float(env._total_profit)
    if env._truncated or env._last_trade_tick is None:
        return profit
    env._truncated = True
    try:
        env._update_profit(env._position.value)  # the action that keeps the position
        return float(env._total_profit)
    finally:
        env._total_profit, env._truncated = profit, False


def price_frame(market: MarketData) -> pd.DataFrame:
    """Return Open, High, Low, Close and Volume, indexed by date."""
    columns = {
        name.capitalize(): getattr(market, name)[:, 0]
        for name in ("open", "high", "low", "close", "volume")
    }
    return pd.DataFrame(columns, index=pd.DatetimeIndex(market.dates))
