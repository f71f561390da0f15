"""An env that a user has built, taken apart into what a search is started from."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import numpy as np
from stable_baselines3.common.vec_env import VecEnv, VecNormalize

from finrl_ray._typing import AnyArray
from finrl_ray.agents.state.env import wrappers
from finrl_ray.config.env import EnvConfig
from finrl_ray.config.env_options.reward import settled_reward_scaling
from finrl_ray.config.experiment import ExperimentConfig
from finrl_ray.config.load import parse_config
from finrl_ray.config.trial.options import options_among
from finrl_ray.config.zoo_keys import NORMALIZE_OF_FLAGS
from finrl_ray.data.market_data import MarketData
from finrl_ray.env.accounts import Accounts
from finrl_ray.env.observed_columns import FINRL
from finrl_ray.env.rules import FINRL_RULES, TradingRules
from finrl_ray.env.scaling import fitted_scaling
from finrl_ray.errors import ConfigError
from finrl_ray.search.folder.folder import SearchFolder
from finrl_ray.support.whole_numbers import as_whole

_SHARED = sorted({f.name for f in fields(EnvConfig)} & {f.name for f in fields(TradingRules)})


@dataclass(frozen=True, kw_only=True)
class UnpackedEnv:
    """What an env trades and how.

    Parameters
    ----------
    market_data : its days, tickers and features; of prices, what the env keeps
    env : account and rules as the `env` section of a config
    n_envs : accounts
    normalize : what a VecNormalize around it normalises, as `agent.normalize`
    """

    market_data: MarketData
    env: EnvConfig
    n_envs: int
    normalize: bool | str


def experiment_of(
    unpacked: UnpackedEnv,
    name: str,
    seed: int,
    sections: Mapping[str, Mapping[str, Any]],
    owner: type,
) -> ExperimentConfig:
    """Return the checked experiment of an env and of what is to be done with it.

    Parameters
    ----------
    unpacked : the env
    name, seed : of the experiment
    sections : the other sections; `agent` gets the env's accounts and normalisation
    owner : the class that asks, named in errors

    Raises
    ------
    ConfigError
        If it cannot be run.
    """
    options = options_among(sections.get("search", {}).get("space", {}))
    if options:
        raise ConfigError(
            f"{owner.__name__} searches in the env that it is given, so {', '.join(options)} "
            "cannot be in its space; `finrl-ray tune` with a config searches over the env too"
        )
    series = list(unpacked.market_data.market_feature_names)
    risk = unpacked.env.risk_indicator_col
    if unpacked.env.turbulence_threshold is not None and risk not in series:
        series.append(risk)  # it is among the features
    agent = {"n_envs": unpacked.n_envs, "normalize": unpacked.normalize, **sections["agent"]}
    raw = {
        **sections,
        "name": name,
        "seed": seed,
        # no source of that name: the prices are those in memory
        "data": {"source": "memory", "market_columns": series},
        "env": asdict(unpacked.env),
        "agent": agent,
    }
    return parse_config(raw, where=owner.__name__)


def unpack_env(env: Any, name: str) -> UnpackedEnv:
    """Return the parts of a StockTradingEnv, a vec env of them, or a StockTradingVecEnv.

    Parameters
    ----------
    env : the env, wrapped or not
    name : of the argument, for messages

    Raises
    ------
    ConfigError
        If it is no such env, or has an option that a config cannot express.
    """
    accounts = accounts_of(env, name)
    config = _env_config(accounts, name)
    is_vec = isinstance(env, VecEnv)
    return UnpackedEnv(
        market_data=market_of(accounts, with_risk=config.turbulence_threshold is not None),
        env=config,
        n_envs=env.num_envs if is_vec else 1,
        normalize=_normalize(env) if is_vec else False,
    )


def _normalize(env: VecEnv) -> bool | str:
    found = [w for w in wrappers(env) if isinstance(w, VecNormalize)]
    return NORMALIZE_OF_FLAGS[found[0].norm_obs, found[0].norm_reward] if found else False


def accounts_of(env: Any, name: str) -> Accounts:
    """Return the accounts behind an env.

    Raises
    ------
    ConfigError
        If it is none of this package's trading envs.
    """
    if isinstance(env, VecEnv):
        found = env.get_attr("accounts", indices=[0])[0] if env.has_attr("accounts") else None
    else:
        found = getattr(getattr(env, "unwrapped", env), "accounts", None)
    if not isinstance(found, Accounts):
        raise ConfigError(
            f"{name} must be finrl_ray's StockTradingEnv, a vec env of it (get_sb_env()) or a "
            f"StockTradingVecEnv, got a {type(env).__name__}"
        )
    return found


def observe_as_trained(env: Any, name: str, folder: SearchFolder) -> None:
    """Let an env standardise its observations as those that a search's models were trained on.

    Only stationary observations are, whose scaling a search fits on its own train window.

    Raises
    ------
    ConfigError
        If the env does not show what the models were trained on.
    """
    scaling = fitted_scaling(folder.config.env, folder.final_train_data)
    if scaling is None or scaling.columns == FINRL:
        return
    first = accounts_of(env, name)
    for accounts in env.get_attr("accounts") if isinstance(env, VecEnv) else [first]:
        accounts.observe_with(scaling)


def market_of(accounts: Accounts, *, with_risk: bool) -> MarketData:
    """Return the market that accounts trade in, as far as the env has kept it."""
    table = accounts.table
    close = table.market.close
    nothing = np.full(close.shape, np.nan)
    by_mask = accounts.rules.halt == "tradable_mask"
    risk = with_risk and table.has_risk and table.risk_name not in table.feature_names
    return MarketData(
        dates=table.dates,
        tickers=table.tickers,
        open=table.market.price if accounts.rules.fill == "next_open" else nothing,
        high=nothing,
        low=nothing,
        close=close,
        volume=nothing if table.volume is None else table.volume,
        features=table.features,
        feature_names=table.feature_names,
        tradable=np.asarray(table.market.tradable if by_mask else close > 0, dtype=np.bool_),
        market_features=table.market.risk[:, None] if risk else np.zeros((len(close), 0)),
        market_feature_names=(table.risk_name,) if risk else (),
    )


def _env_config(accounts: Accounts, name: str) -> EnvConfig:
    settings, table = accounts.settings, accounts.table
    _refuse(np.any(settings.initial_shares != 0), name, "num_stock_shares other than 0")
    _refuse(not all(settings.initial), name, "initial=False")
    _refuse(np.any(settings.start_row != 0), name, "a day other than 0 (cut the data instead)")
    _refuse(
        table.scaling is not None and accounts.rules.observation == "finrl",
        name,
        "an observation_scaling (use VecNormalize instead)",
    )
    threshold = settings.threshold
    hmax = _of_tickers(settings.hmax, name, "hmax")
    usual = accounts.reward_scaling == settled_reward_scaling(accounts.rules.reward, None)
    return EnvConfig(
        hmax=hmax,
        initial_amount=_one(settings.initial_amount, name, "initial_amount"),
        buy_cost_pct=_one(settings.buy_rate, name, "buy_cost_pct"),
        sell_cost_pct=_one(settings.sell_rate, name, "sell_cost_pct"),
        reward_scaling=None if usual else accounts.reward_scaling,
        turbulence_threshold=(
            None if np.isnan(threshold).all() else _one(threshold, name, "turbulence_threshold")
        ),
        risk_indicator_col=table.risk_name,
        **_rules(accounts.rules, name),
    )


def _rules(rules: TradingRules, name: str) -> dict[str, Any]:
    """Return the options of the env section that give these rules."""
    shared = {key: getattr(rules, key) for key in _SHARED}
    for parity in (False, True):
        preset = FINRL_RULES if parity else TradingRules()
        if replace(preset, **shared) == rules:
            return {**shared, "parity": parity}
    mended = TradingRules()
    changed = [
        item.name
        for item in fields(rules)
        if item.name not in _SHARED and getattr(rules, item.name) != getattr(mended, item.name)
    ]
    raise ConfigError(
        f"{name} has the rules {changed}, which a search cannot express one by one; build it with "
        "parity=True, or without them"
    )


def _refuse(wrong: Any, name: str, what: str) -> None:
    if wrong:
        raise ConfigError(f"{name} has {what}, which a search cannot express; build it without")


def _of_tickers(values: AnyArray, name: str, what: str) -> Any:
    """Return the one number of all tickers, or one for each, that all accounts share."""
    if len(np.unique(values, axis=0)) != 1:
        _one(values, name, what)
    numbers = tuple(as_whole(float(value)) for value in values[0])
    return numbers[0] if len(set(numbers)) == 1 else numbers


def _one(values: AnyArray, name: str, what: str) -> float:
    """Return the one number that all accounts and tickers share."""
    numbers = np.unique(np.asarray(values, dtype=np.float64))
    if numbers.size != 1:
        raise ConfigError(
            f"{name} must have one {what} for all tickers and accounts to be searched over, got "
            f"{numbers.tolist()}"
        )
    return float(numbers[0])
