"""`make_env` and `make_vec_env`: envs from an `EnvConfig`, for training or for evaluation."""

from typing import Any

from finrl_ray.config.env import NOT_IN_FINRL, EnvConfig
from finrl_ray.data.market_data import MarketData
from finrl_ray.env.scaling import ObservationScaling
from finrl_ray.env.stock_trading import StockTradingEnv
from finrl_ray.env.vec_env import StockTradingVecEnv
from finrl_ray.errors import ConfigError


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
    scaling : fitted on the train window; needed if `config.observation_scaling` is `train`
    training : False switches `random_start` off
    record_trades : None records them outside training

    Raises
    ------
    ConfigError
        If `scaling` and `config.observation_scaling` contradict each other, or the data lacks what
        the config needs.
    """
    options = _options(config, scaling, training, record_trades)
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
) -> StockTradingVecEnv:
    """Return `n_envs` accounts over a window; account i has seed `seed + i`.

    The other parameters and the errors are those of `make_env`.
    """
    options = _options(config, scaling, training, record_trades)
    env = StockTradingVecEnv(market_data, n_envs, **options)
    if seed is not None:
        env.seed(seed)
    return env


def _options(
    config: EnvConfig,
    scaling: ObservationScaling | None,
    training: bool,
    record_trades: bool | None,
) -> dict[str, Any]:
    wanted = config.observation_scaling == "train"
    if wanted != (scaling is not None):
        raise ConfigError(
            f"env.observation_scaling is {config.observation_scaling!r}, so scaling must "
            + ("be fit_observation_scaling(train window, initial_amount)" if wanted else "be None")
            + f", got {scaling!r}"
        )
    options: dict[str, Any] = {
        "hmax": config.hmax,
        "initial_amount": config.initial_amount,
        "buy_cost_pct": config.buy_cost_pct,
        "sell_cost_pct": config.sell_cost_pct,
        "reward_scaling": config.reward_scaling,
        "turbulence_threshold": config.turbulence_threshold,
        "risk_indicator_col": config.risk_indicator_col,
        "parity": config.parity,
        "observation_scaling": scaling,
        "record_trades": not training if record_trades is None else record_trades,
    }
    if not config.parity:
        options |= {name: getattr(config, name) for name in NOT_IN_FINRL}
        options["random_start"] = config.random_start and training
    return options
