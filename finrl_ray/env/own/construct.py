"""Building an env of the user's for one window: what its constructor is called with.

A class, or a function that returns an env, says by the names of its parameters what it wants:

- the window: `market` or `market_data` (MarketData), `df` (a frame in FinRL's long format, see
  `long_frame`), `prices` (closes, array of shape (T, N)); at least one of them. Beside it `dates`
  (array of shape (T,)), `tickers` (list of N names) and `training` (False in evaluation).
- options of the account by the config's names: `initial_amount`, `hmax`, `buy_cost_pct`,
  `sell_cost_pct`, `reward_scaling`, `turbulence_threshold`, `risk_indicator_col`.
- FinRL's sizes: `stock_dim`, `state_space`, `action_space`, `tech_indicator_list`,
  `num_stock_shares`. A class with `stock_dim` gets its cost rates as lists, as FinRL's does.
- `n_envs`: of a VecEnv, how many accounts it must hold.
- anything else: from `env.class_kwargs`, or its own default.
"""

import copy
import inspect
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np

from finrl_ray.config.env import EnvConfig
from finrl_ray.config.env_options.account import AccountOptions
from finrl_ray.config.env_options.reward import settled_reward_scaling
from finrl_ray.config.trial.order_size import by_ticker
from finrl_ray.data.market_data import MarketData
from finrl_ray.env.adapters.adapter import EnvAdapter
from finrl_ray.env.adapters.choose import adapter_of
from finrl_ray.env.own.frames import long_frame
from finrl_ray.env.own.place import place_of
from finrl_ray.errors import ConfigError
from finrl_ray.own_code.failures import calling
from finrl_ray.own_code.load import load_object
from finrl_ray.support.text import did_you_mean

WINDOW_NAMES = ("market", "market_data", "df", "prices")
"""Parameters that get the window's data; a class must name one of them."""
ACCOUNT_NAMES = tuple(item.name for item in fields(AccountOptions))
"""Parameters that get the config's option of the same name."""
BASELINE_NAMES = ("initial_amount", "buy_cost_pct", "sell_cost_pct")
"""Options that mean something whether the class names them or not: the baselines' costs."""
KIND = "env"

EnvMaker: TypeAlias = Callable[..., Any]


@dataclass(frozen=True, eq=False)
class OwnEnv:
    """A class of the user's, or a function that returns an env, and how it is called.

    Parameters
    ----------
    reference : the text of `env.class`, or what stands for the object in messages
    made : the class or function
    """

    reference: str
    made: EnvMaker

    @cached_property
    def place(self) -> str:
        """Name, file and line, for messages."""
        return place_of(self.made)

    @cached_property
    def adapter(self) -> EnvAdapter | None:
        """The adapter of the package that the class comes from."""
        return adapter_of(self.made)

    @cached_property
    def parameters(self) -> tuple[str, ...]:
        """Names that it can be called with."""
        return tuple(name for name, item in self._signature.items() if item.kind in _BY_NAME)

    @cached_property
    def takes_any(self) -> bool:
        """Whether it has `**kwargs`."""
        kinds = (item.kind for item in self._signature.values())
        return inspect.Parameter.VAR_KEYWORD in kinds

    @cached_property
    def takes_costs(self) -> bool:
        """Whether it is told what buying and selling cost, and so can charge it."""
        known = {*self.parameters, *(() if self.adapter is None else self.adapter.options)}
        return {"buy_cost_pct", "sell_cost_pct"} <= known

    @cached_property
    def _signature(self) -> Mapping[str, inspect.Parameter]:
        try:
            return inspect.signature(self.made).parameters
        except (TypeError, ValueError):
            raise ConfigError(
                f"env.class must be an env class or a function that returns an env, got "
                f"{self.made!r}"
            ) from None

    def names(self, name: str) -> bool:
        """Return whether the constructor has a parameter of this name."""
        return name in self.parameters

    def build(self, market: MarketData, config: EnvConfig, *, training: bool, n_envs: int) -> Any:
        """Return one env, or VecEnv, over a window.

        Raises
        ------
        ConfigError
            If the constructor names no data, lacks an argument or does not know one.
        OwnCodeError
            If it raises.
        """
        arguments = self.arguments(market, config, training=training, n_envs=n_envs)
        with calling(self.reference, KIND):
            env = self.made(**arguments)
        if self.adapter is not None:
            self.adapter.prepare(env, config)
        return env

    def arguments(
        self, market: MarketData, config: EnvConfig, *, training: bool, n_envs: int
    ) -> dict[str, Any]:
        """Return the keywords that the constructor is called with."""
        given = copy.deepcopy(dict(config.class_kwargs))
        self._check_given(given)
        self._check_options(config)
        wanted = set(self.parameters)
        window = [name for name in WINDOW_NAMES if name in wanted]
        if not window and self.takes_any:
            wanted.add(WINDOW_NAMES[0])
        elif not window and self.adapter is None:
            raise ConfigError(
                f"env.class: {self.place} must name the window's data among its parameters: "
                f"market (MarketData), df (FinRL's long format) or prices (closes), got "
                f"({', '.join(self.parameters)})"
            )
        offered = offered_arguments(market, config, wanted, training=training, n_envs=n_envs)
        if self.adapter is not None:
            special = self.adapter.arguments(market, config, given, training=training)
            if not training:
                # an evaluation is of whole windows, whatever training episodes are
                given = {name: value for name, value in given.items() if name not in special}
            offered |= {name: special[name] for name in special if name in wanted}
        arguments = {**offered, **given}
        missing = [
            name
            for name, item in self._signature.items()
            if item.kind in _BY_NAME and item.default is item.empty and name not in arguments
        ]
        if missing:
            raise ConfigError(
                f"env.class_kwargs must give {', '.join(missing)}, which {self.place} has no "
                "default for"
            )
        return arguments

    def _check_given(self, given: Mapping[str, Any]) -> None:
        for name in given:
            if name in (*WINDOW_NAMES, "n_envs"):
                raise ConfigError(
                    f"env.class_kwargs.{name}: {self.place} gets it from the search; leave it out"
                )
            if name in ACCOUNT_NAMES:
                raise ConfigError(
                    f"env.class_kwargs.{name}: it is a key of its own, env.{name}, which "
                    f"{self.place} and the baselines beside it get alike; set that instead"
                )
            if name not in self.parameters and not self.takes_any:
                raise ConfigError(
                    f"env.class_kwargs.{name}: {self.place} has no such parameter."
                    f"{did_you_mean(name, self.parameters)}"
                )

    def _check_options(self, config: EnvConfig) -> None:
        """Refuse options of the account that are set and that nothing would read."""
        known = {*BASELINE_NAMES, *self.parameters}
        if self.adapter is not None:
            known |= set(self.adapter.options)
        idle = [
            item.name
            for item in fields(AccountOptions)
            if item.name not in known and getattr(config, item.name) != item.default
        ]
        if idle:
            raise ConfigError(
                f"env.{idle[0]} is set, and {self.place} has no parameter {idle[0]}, so that it "
                "would change nothing; leave it at its default, or give the class what it calls "
                "this in env.class_kwargs"
            )


_BY_NAME = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


def load_env(config: EnvConfig) -> OwnEnv:
    """Return what `env.class` refers to.

    Raises
    ------
    ConfigError
        If it cannot be imported, or is nothing that can be called.
    """
    assert config.class_ is not None
    # gym-trading-env turns every warning of the process into an error when it is imported
    with warnings.catch_warnings():
        made = load_object(config.class_, KIND)
    if not callable(made):
        raise ConfigError(
            f"env.class must be an env class or a function that returns an env, got {made!r} "
            f"({config.class_})"
        )
    return OwnEnv(config.class_, made)


def offered_arguments(
    market: MarketData, config: EnvConfig, wanted: set[str], *, training: bool, n_envs: int
) -> dict[str, Any]:
    """Return the arguments that a search has for parameters of these names."""
    n = market.n_assets
    names = list(market.feature_names)
    finrl = "stock_dim" in wanted

    def rate(value: float) -> Any:
        return [value] * n if finrl else value

    offers: dict[str, Callable[[], Any]] = {
        "market": lambda: market,
        "market_data": lambda: market,
        "df": lambda: long_frame(market),
        "prices": lambda: market.close.copy(),
        "dates": lambda: market.dates.copy(),
        "tickers": lambda: list(market.tickers),
        "training": lambda: training,
        "n_envs": lambda: n_envs,
        "stock_dim": lambda: n,
        "state_space": lambda: 1 + 2 * n + n * len(names),
        "action_space": lambda: n,
        "tech_indicator_list": lambda: names,
        "num_stock_shares": lambda: [0] * n,
        "initial_amount": lambda: config.initial_amount,
        "hmax": lambda: largest_order(config, market),
        "buy_cost_pct": lambda: rate(config.buy_cost_pct),
        "sell_cost_pct": lambda: rate(config.sell_cost_pct),
        "reward_scaling": lambda: settled_reward_scaling(config.reward, config.reward_scaling),
        "turbulence_threshold": lambda: config.turbulence_threshold,
        "risk_indicator_col": lambda: config.risk_indicator_col,
    }
    return {name: offers[name]() for name in offers if name in wanted}


def largest_order(config: EnvConfig, market: MarketData) -> Any:
    """Return `hmax`: a number, or an array of shape (N,) where tickers have different ones."""
    value = by_ticker("hmax", config.hmax, market.tickers)
    return np.asarray(value) if isinstance(value, (tuple, list)) else value
