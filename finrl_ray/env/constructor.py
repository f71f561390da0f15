"""Constructor arguments shared by both envs, turned into `Accounts`."""

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from finrl_ray.config.env import EnvConfig
from finrl_ray.config.env_options.reward import settled_reward_scaling
from finrl_ray.config.trial.order_size import by_ticker
from finrl_ray.data.market_data import MarketData
from finrl_ray.env.accounts import Accounts
from finrl_ray.env.finrl_frame import table_from_frame
from finrl_ray.env.market_table import MarketTable, market_table
from finrl_ray.env.observed_columns import size_in_words
from finrl_ray.env.own_reward.check import own_reward
from finrl_ray.env.rules import TradingRules
from finrl_ray.env.scaling import ObservationScaling
from finrl_ray.env.settings import build_settings
from finrl_ray.errors import ConfigError

if TYPE_CHECKING:
    import pandas as pd

logger = logging.getLogger(__name__)

DEFAULTS = EnvConfig()
"""The one place of defaults for FinRL's arguments."""


def build_table(
    market: "pd.DataFrame | MarketData",
    tech_indicator_list: Sequence[str] | None,
    rules: TradingRules,
    *,
    scaling: ObservationScaling | None,
    risk_name: str,
) -> MarketTable:
    """Return the market of a frame or of a MarketData.

    Raises
    ------
    ConfigError
        If the indicators are not those of the data, or a frame comes without a list of them.
    """
    if scaling is not None and not isinstance(scaling, ObservationScaling):
        raise ConfigError(
            "observation_scaling must be what fit_observation_scaling returned, or None, got "
            f"{scaling!r}"
        )
    if isinstance(tech_indicator_list, str):
        raise ConfigError(
            f"tech_indicator_list must be a list of names, got the string {tech_indicator_list!r}"
        )
    if isinstance(market, MarketData):
        names = list(market.feature_names)
        if tech_indicator_list is not None and list(tech_indicator_list) != names:
            raise ConfigError(
                f"tech_indicator_list must be this market's features {names} or be left out, got "
                f"{list(tech_indicator_list)}"
            )
        return market_table(market, rules, scaling=scaling, risk_name=risk_name)
    if not hasattr(market, "columns"):
        raise TypeError(f"df must be a pandas DataFrame or a MarketData, got {type(market)}")
    if tech_indicator_list is None:
        raise ConfigError(
            "tech_indicator_list must name the indicator columns of df, in observation order ([] "
            "for none)"
        )
    return table_from_frame(
        market, tech_indicator_list, rules, scaling=scaling, risk_name=risk_name
    )


def check_sizes(
    table: MarketTable,
    rules: TradingRules,
    stock_dim: int | None,
    state_space: int | None,
    action_space: int | None,
) -> None:
    """Raise ConfigError if FinRL's size arguments do not fit the data."""
    n, f = table.n_assets, len(table.feature_names)
    size = table.observation_size
    expected = (
        ("stock_dim", stock_dim, n, "the number of tickers in the data"),
        ("action_space", action_space, n, "the number of tickers in the data"),
        ("state_space", state_space, size, size_in_words(rules, n, f)),
    )
    for name, came, must, meaning in expected:
        if came is not None and came != must:
            raise ConfigError(f"{name} must be {must} ({meaning}), got {came}")


def build_accounts(
    table: MarketTable,
    rules: TradingRules,
    *,
    n_envs: int,
    reward_scaling: float | None,
    record_trades: bool,
    values: Mapping[str, Any],
) -> Accounts:
    """Return E accounts; `values` are FinRL's account arguments, None meaning the default."""
    defaults = {
        "hmax": DEFAULTS.hmax,
        "initial_amount": DEFAULTS.initial_amount,
        "buy_cost_pct": DEFAULTS.buy_cost_pct,
        "sell_cost_pct": DEFAULTS.sell_cost_pct,
    }
    filled: dict[str, Any] = {
        name: defaults.get(name) if value is None else value for name, value in values.items()
    }
    filled["hmax"] = by_ticker("hmax", filled["hmax"], table.tickers)
    settings = build_settings(
        n_envs=n_envs, n_assets=table.n_assets, random_start=rules.random_start, **filled
    )
    scaling = settled_reward_scaling(rules.reward, reward_scaling)
    return Accounts(
        table,
        rules,
        settings,
        reward_scaling=scaling,
        record_trades=record_trades,
        own_reward=own_reward(rules, table.n_assets, scaling),
    )


def mention_reports(make_plots: bool, model_name: str, mode: str) -> None:
    """Log that files which FinRL's env writes come from elsewhere here."""
    if make_plots or (model_name != "" and mode != ""):
        logger.info(
            "the env writes no plots and no CSV files; use save_asset_memory(), "
            "save_action_memory(), info['account_history'] or the report instead"
        )
