"""`TradingEnv` of gym-trading-env (0.3.5): one ticker, positions to choose from."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from finrl_ray.config.env import EnvConfig
from finrl_ray.data.market_data import MarketData
from finrl_ray.env.adapters.adapter import EnvAdapter
from finrl_ray.env.own.frames import require_one_ticker
from finrl_ray.errors import ConfigError


class GymTradingEnvAdapter(EnvAdapter):
    """With its frame of `feature_...` columns, the config's costs, and whole windows to evaluate.

    Features are those of `data.features`, under the names `feature_<name>`; without any, the last
    return of close, and close, open, high and low as this package's tutorial has them. Evaluation
    starts without a position, or with the first one where 0 is none of `positions`; training as
    `initial_position` says, which is at random by default.
    """

    bases = ("gym_trading_env.environments:TradingEnv",)
    options = ("initial_amount", "buy_cost_pct", "sell_cost_pct")

    def arguments(
        self, market: MarketData, config: EnvConfig, given: Mapping[str, Any], *, training: bool
    ) -> dict[str, Any]:
        """Return the frame, fees and initial value, and what evaluation must have."""
        require_one_ticker(market, "gym-trading-env's TradingEnv")
        if "trading_fees" not in given and config.buy_cost_pct != config.sell_cost_pct:
            raise ConfigError(
                "gym-trading-env's TradingEnv has one fee for buying and selling: "
                "env.buy_cost_pct and env.sell_cost_pct must be equal, or "
                "env.class_kwargs.trading_fees say what it charges, got "
                f"{config.buy_cost_pct} and {config.sell_cost_pct}"
            )
        arguments: dict[str, Any] = {
            "df": feature_frame(market),
            "trading_fees": config.buy_cost_pct,
            "portfolio_initial_value": config.initial_amount,
            "verbose": 0,
        }
        if not training:
            positions = list(given.get("positions", [0, 1]))
            arguments["initial_position"] = 0 if 0 in positions else positions[0]
            arguments["max_episode_duration"] = "max"
        return arguments

    def history(
        self, env: Any, rows: list[tuple[float, ...]], market: MarketData, config: EnvConfig
    ) -> Mapping[str, Any]:
        """Return its own history: units of the asset, cash, and what interest and fees took."""
        record = env.historical_info

        def column(name: str) -> Any:
            return np.asarray(record[f"portfolio_{name}"], dtype=np.float64)

        value = column("valuation")
        units = column("distribution_asset") - column("distribution_borrowed_asset")
        close = np.asarray(record["data_close"], dtype=np.float64)
        traded = np.diff(units)
        cost = units[1:] * np.diff(close) - np.diff(value)
        return {
            "dates": record["date"],
            "account_value": value,
            "cash": column("distribution_fiat") - column("distribution_borrowed_fiat"),
            "gross_value": np.abs(units) * close,
            "rewards": np.asarray(record["reward"], dtype=np.float64)[1:],
            "trades": traded[:, np.newaxis],
            # an amount below the rounding of the account's value is none
            "cost": np.where(np.abs(cost) > 1e-9 * value[:-1], cost, 0.0),
            "traded_amount": np.abs(traded) * close[:-1],
            "n_trades": int(np.count_nonzero(traded)),
        }


def feature_frame(market: MarketData) -> pd.DataFrame:
    """Return open, high, low, close, volume and `feature_...` columns, indexed by date."""
    close = market.close[:, 0]
    columns = {"close": close}
    for name in ("open", "high", "low"):
        given = getattr(market, name)[:, 0]
        columns[name] = np.where(np.isfinite(given), given, close)
    volume = market.volume[:, 0]
    columns["volume"] = np.where(np.isfinite(volume), volume, 0.0)
    for position, name in enumerate(market.feature_names):
        columns[f"feature_{name}"] = market.features[:, 0, position]
    if not market.feature_names:
        columns["feature_return"] = np.concatenate([[0.0], close[1:] / close[:-1] - 1.0])
        for name in ("open", "high", "low"):
            columns[f"feature_{name}"] = columns[name] / close
    return pd.DataFrame(columns, index=pd.DatetimeIndex(market.dates))
