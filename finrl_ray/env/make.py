"""`make_env` and `make_vec_env`: envs from an `EnvConfig`; `create_env`: one from a frame.

All of them make an env the same way for train, validation and test window.
"""

import logging
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import pandas as pd
from stable_baselines3.common.vec_env import VecEnv

from finrl_ray.config.env import EnvConfig
from finrl_ray.config.env_options.account import AccountOptions
from finrl_ray.config.env_options.trading import TradingOptions
from finrl_ray.data.columns import TRADABLE_COLUMN
from finrl_ray.data.market_data import MarketData
from finrl_ray.env.orders.sizes import settled_hmax
from finrl_ray.env.own.make import make_own_vec_env
from finrl_ray.env.portfolio.make import make_portfolio_vec_env
from finrl_ray.env.scaling import ObservationScaling, standardising
from finrl_ray.env.stock_trading import StockTradingEnv
from finrl_ray.env.vec_env import StockTradingVecEnv
from finrl_ray.errors import ConfigError, DataError

logger = logging.getLogger(__name__)

NOT_INDICATORS = frozenset(
    {"date", "time", "timestamp", "tic", "day", "open", "high", "low", "close", "adjcp", "volume"}
    | {"vix", "turbulence", TRADABLE_COLUMN}
)
"""Columns of FinRL's long format that describe the day or the whole market, not one ticker."""


def make_env(
    market_data: MarketData,
    config: EnvConfig,
    *,
    seed: int | None = None,
    scaling: ObservationScaling | None = None,
    training: bool = True,
    record_trades: bool | None = None,
) -> StockTradingEnv:
    """Return one account over a window.

    Parameters
    ----------
    market_data : the window, cut by the caller with `market_data.rows(start, stop)`
    seed : of the start days; applied before the first reset
    scaling : fitted on the train window, see `fitted_scaling`; needed if
        `config.observation_scaling` is `train` or `config.observation` is `stationary`
    training : False switches `random_start` off
    record_trades : None records them outside training

    Raises
    ------
    ConfigError
        If `scaling` and what the config says of observations contradict each other, the data lacks
        what the config needs, or `hmax` has not one number for each ticker; if the config has an
        own class or a portfolio, of which `make_vec_env` makes accounts.
    """
    if config.class_ is not None or config.type == "portfolio":
        kind = f"class is {config.class_}" if config.class_ else "type is portfolio"
        raise ConfigError(
            f"make_env makes a StockTradingEnv, and env.{kind}; make_vec_env makes accounts of it"
        )
    options = _options(market_data, config, scaling, training, record_trades)
    env = StockTradingEnv(market_data, **options)
    if seed is not None:
        env.seed_next_reset(seed)
    return env


def make_vec_env(
    market_data: MarketData,
    config: EnvConfig,
    *,
    n_envs: int = 1,
    seed: int | None = None,
    scaling: ObservationScaling | None = None,
    training: bool = True,
    record_trades: bool | None = None,
) -> VecEnv:
    """Return `n_envs` accounts over a window; account i has seed `seed + i`.

    They are of `config.class_` where the user has an env of their own, of `type: portfolio` a
    DummyVecEnv of `StockPortfolioEnv`, both of which take no `scaling` and no `record_trades`, and
    else a `StockTradingVecEnv`. The other parameters and the errors are those of `make_env` and of
    `make_own_vec_env`.
    """
    if config.class_ is not None:
        return make_own_vec_env(market_data, config, n_envs=n_envs, seed=seed, training=training)
    if config.type == "portfolio":
        return make_portfolio_vec_env(
            market_data, config, n_envs=n_envs, seed=seed, training=training
        )
    return make_trading_vec_env(
        market_data,
        config,
        n_envs=n_envs,
        seed=seed,
        scaling=scaling,
        training=training,
        record_trades=record_trades,
    )


def make_trading_vec_env(
    market_data: MarketData,
    config: EnvConfig,
    *,
    n_envs: int = 1,
    seed: int | None = None,
    scaling: ObservationScaling | None = None,
    training: bool = True,
    record_trades: bool | None = None,
) -> StockTradingVecEnv:
    """Return what `make_vec_env` does without an own class and without a portfolio."""
    options = _options(market_data, config, scaling, training, record_trades)
    env = StockTradingVecEnv(market_data, n_envs, **options)
    if seed is not None:
        env.seed(seed)
    return env


def _options(
    market_data: MarketData,
    config: EnvConfig,
    scaling: ObservationScaling | None,
    training: bool,
    record_trades: bool | None,
) -> dict[str, Any]:
    wanted = config.scales_observations
    if wanted != (scaling is not None):
        stationary = config.observation == "stationary"
        name = "observation" if stationary else "observation_scaling"
        call = f"fit_observation_scaling(train window, initial_amount{', env' * stationary})"
        raise ConfigError(
            f"env.{name} is {getattr(config, name)!r}, so scaling must be "
            f"{call if wanted else None}, got {scaling!r}"
        )
    options: dict[str, Any] = {
        **{item.name: getattr(config, item.name) for item in fields(AccountOptions)},
        "hmax": settled_hmax(config, market_data),
        "parity": config.parity,
        "observation_scaling": scaling,
        "record_trades": not training if record_trades is None else record_trades,
    }
    if not config.parity:
        options |= {item.name: getattr(config, item.name) for item in fields(TradingOptions)}
        options["random_start"] = config.random_start and training
    return options


def create_env(data: pd.DataFrame | MarketData, **env_kwargs: Any) -> StockTradingEnv:
    """Return one account over all of `data`.

    Parameters
    ----------
    data : frame in FinRL's long format, one row per date and ticker, or MarketData. Of a frame,
        the indicators are the numeric columns beyond FinRL's own (prices, volume, `day`, `vix`,
        `turbulence`, `tradable` and an unnamed index), in their order, unless
        `tech_indicator_list` is given.
    env_kwargs : arguments of `StockTradingEnv`

    Raises
    ------
    ConfigError
        If an argument does not fit the data or another argument.
    DataError
        If the data cannot be traded, or is neither a frame nor MarketData.
    """
    if isinstance(data, MarketData):
        return StockTradingEnv(data, **env_kwargs)
    if not hasattr(data, "columns"):
        raise DataError(
            "create_env needs a pandas DataFrame in FinRL's long format (date, tic, close, "
            f"indicators) or a MarketData, got a {type(data).__name__}"
        )
    if env_kwargs.get("tech_indicator_list") is None:
        risk = env_kwargs.get("risk_indicator_col")
        names = [name for name in indicator_columns(data) if name != risk]
        logger.debug("the indicators are %s", names)
        env_kwargs = {**env_kwargs, "tech_indicator_list": names}
    return StockTradingEnv(data, **env_kwargs)


def with_fitted_scaling(
    train_data: pd.DataFrame | MarketData, env_kwargs: Mapping[str, Any]
) -> dict[str, Any]:
    """Return arguments of `create_env` under which stationary observations are standardised.

    Parameters
    ----------
    train_data : the train window, by which they are
    env_kwargs : of `create_env`; an `observation_scaling` that is there is kept, and FinRL's
        observations are left as they are
    """
    options = dict(env_kwargs)
    finrl = options.get("observation", "finrl") == "finrl"
    if finrl or options.get("observation_scaling") is not None:
        return options
    accounts = create_env(train_data, **options).accounts
    table, rules = accounts.table, accounts.rules
    options["observation_scaling"] = standardising(
        rules, table.market.close, table.features, table.seams
    )
    return options


def indicator_columns(df: pd.DataFrame) -> list[str]:
    """Return the columns of a frame in FinRL's long format that hold indicators, in order."""
    return [
        str(name)
        for name in df.columns
        if str(name).lower() not in NOT_INDICATORS
        and not str(name).startswith("Unnamed")
        and pd.api.types.is_numeric_dtype(df[name].dtype)
    ]
