"""`make_portfolio_vec_env`: portfolios from an `EnvConfig` (`env.type: portfolio`)."""

from collections.abc import Callable
from functools import partial

from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv

from finrl_ray.config.env import EnvConfig
from finrl_ray.config.env_options.reward import settled_reward_scaling
from finrl_ray.data.market_data import MarketData
from finrl_ray.env.portfolio.env import StockPortfolioEnv
from finrl_ray.env.portfolio.market import PortfolioMarket, portfolio_market
from finrl_ray.errors import ConfigError


def make_portfolio_vec_env(
    market_data: MarketData,
    config: EnvConfig,
    *,
    n_envs: int = 1,
    seed: int | None = None,
    training: bool = True,
) -> DummyVecEnv:
    """Return `n_envs` portfolios over a window, each on every day of it.

    Parameters
    ----------
    market_data : the window; no row before it is looked at
    config : with `type` `portfolio`
    n_envs : E
    seed : of the start days; portfolio i has `seed + i`
    training : False switches `random_start` off

    Raises
    ------
    ConfigError, DataError
        As `StockPortfolioEnv`.
    """
    if n_envs < 1:
        raise ConfigError(f"n_envs must be >= 1 and a whole number, got {n_envs!r}")
    market = portfolio_market(
        market_data,
        None,
        lookback=config.covariance_lookback,
        risk_name=config.risk_indicator_col,
        every_day=True,
    )
    makers: list[Callable[[], Monitor[object, object]]] = [
        partial(_portfolio, market, config, number, training) for number in range(n_envs)
    ]
    env = DummyVecEnv(makers)  # type: ignore[arg-type]  # SB3 declares functions without arguments
    if seed is not None:
        env.seed(seed)
    return env


def _portfolio(
    market: PortfolioMarket, config: EnvConfig, number: int, training: bool
) -> "Monitor[object, object]":
    env = StockPortfolioEnv(
        market,
        initial_amount=config.initial_amount,
        transaction_cost_pct=config.buy_cost_pct,
        reward_scaling=settled_reward_scaling(config.paid, config.reward_scaling),
        turbulence_threshold=config.turbulence_threshold,
        lookback=config.covariance_lookback,
        cash_weight=config.cash_weight,
        action_scale=config.action_scale,
        risk_indicator_col=config.risk_indicator_col,
        random_start=config.random_start and training,
        first_segment=number,
    )
    return Monitor(env)
