"""`Windows`: the tables of one training run, checked against each other, and the envs over them."""

import hashlib
import logging
from collections.abc import Mapping
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv

from finrl_ray._typing import DateArray, FloatArray
from finrl_ray.baselines.buy_and_hold import buy_and_hold_of
from finrl_ray.data.labels import date_label
from finrl_ray.data.market_data import MarketData
from finrl_ray.env.make import create_env, with_fitted_scaling
from finrl_ray.env.market_table import MarketTable
from finrl_ray.env.observed_columns import FINRL
from finrl_ray.env.stock_trading import StockTradingEnv
from finrl_ray.errors import ConfigError, FinRLRayError
from finrl_ray.learners.vec_normalize import LeanVecNormalize

logger = logging.getLogger(__name__)

Table: TypeAlias = pd.DataFrame | MarketData


class Windows:
    """The train, validation and (optional) test table of one run.

    Parameters
    ----------
    train, validation, test : frames in FinRL's long format, or MarketData
    env_kwargs : arguments of `StockTradingEnv`, the same for every window; stationary observations
        are standardised by the train window, unless an `observation_scaling` is among them

    Raises
    ------
    ConfigError, DataError
        If a table cannot be traded, windows overlap or are out of order, or their tickers or
        indicators differ; the message names the window.
    """

    def __init__(
        self, train: Table, validation: Table, test: Table | None, env_kwargs: Mapping[str, Any]
    ) -> None:
        self.tables = {"train": train, "validation": validation}
        if test is not None:
            self.tables["test"] = test
        self.env_kwargs = dict(env_kwargs)
        self.markets: dict[str, MarketTable] = {}
        for name in self.tables:
            self.markets[name] = self._market(name)
            if name == "train" and self.markets[name].observed != FINRL:
                self.env_kwargs = with_fitted_scaling(train, env_kwargs)
                self.markets[name] = self._market(name)
            self._take_order_of_tickers(name)
        self._check_order()
        self._check_alike()
        logger.info("the indicators are %s", list(self.markets["train"].feature_names))

    def env(self, name: str) -> StockTradingEnv:
        """Return one account over a window; only one in training may start at random days."""
        options = dict(self.env_kwargs)
        if name != "train" and "random_start" in options:
            options["random_start"] = False
        return create_env(self.tables[name], **options)

    def vec_env(self, name: str) -> VecEnv:
        """Return one account over a window, as a vec env."""
        return DummyVecEnv([lambda: self.env(name)])

    def training_envs(self, n_envs: int, normalize: bool, gamma: float) -> tuple[VecEnv, VecEnv]:
        """Return the training env with `n_envs` accounts and the validation env."""
        if n_envs < 1:
            raise ConfigError(f"n_envs must be >= 1, got {n_envs}")
        train_env: VecEnv = DummyVecEnv([lambda: self.env("train")] * n_envs)
        eval_env = self.vec_env("validation")
        if normalize:
            train_env = LeanVecNormalize(train_env, gamma=gamma)
            eval_env = LeanVecNormalize(eval_env, gamma=gamma, training=False, norm_reward=False)
        return train_env, eval_env

    def dates(self, name: str) -> DateArray:
        """Return the dates of a window, shape (T,)."""
        return self.markets[name].dates

    def buy_and_hold(self, name: str) -> FloatArray:
        """Return the account values of buy & hold over a window, shape (T,)."""
        return buy_and_hold_of(self.env(name).accounts)

    def describe(self) -> dict[str, Any]:
        """Return what each window holds, for the run's facts; equal data give equal values."""
        return {
            name: {
                "first": date_label(market.dates[0]),
                "last": date_label(market.dates[-1]),
                "rows": market.n_periods,
                "tickers": list(market.tickers),
                "indicators": list(market.feature_names),
                "hash": _content_hash(market),
            }
            for name, market in self.markets.items()
        }

    def _market(self, name: str) -> MarketTable:
        try:
            return self.env(name).accounts.table
        except FinRLRayError as error:
            raise type(error)(f"the {name} data: {error}") from error

    def _take_order_of_tickers(self, name: str) -> None:
        """Sort a frame whose tickers come in another order than those of the train data.

        An env has its tickers in the order in which a frame names them first, and a frame that is
        not sorted names them by chance.
        """
        table, expected = self.tables[name], list(self.markets["train"].tickers)
        came = list(self.markets[name].tickers)
        shuffled = came != expected and sorted(came) == sorted(expected)
        if shuffled and isinstance(table, pd.DataFrame):
            place = {ticker: index for index, ticker in enumerate(expected)}
            order = np.argsort([place[str(name)] for name in table["tic"]], kind="stable")
            self.tables[name] = table.iloc[order]
            self.markets[name] = self._market(name)

    def _check_order(self) -> None:
        names = list(self.markets)
        for earlier, later in pairwise(names):
            end, start = self.markets[earlier].dates[-1], self.markets[later].dates[0]
            if end >= start:
                raise ConfigError(
                    f"the windows must follow each other without overlap, but the {earlier} data "
                    f"end on {date_label(end)} and the {later} data begin on {date_label(start)}; "
                    "cut them with data_split or MarketData.rows"
                )

    def _check_alike(self) -> None:
        first = self.markets["train"]
        for name, market in self.markets.items():
            for what in ("tickers", "feature_names"):
                expected, came = list(getattr(first, what)), list(getattr(market, what))
                if expected != came:
                    word = "tickers" if what == "tickers" else "indicators"
                    raise ConfigError(
                        f"the {word} of every window must be those of the train data, {expected}, "
                        f"but the {name} data have {came}"
                    )


def _content_hash(market: MarketTable) -> str:
    """Return the SHA-256 of names, dates, prices and indicators, as 64 hex digits."""
    digest = hashlib.sha256(repr((market.tickers, market.feature_names)).encode())
    for array in (market.dates, *market.market):
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
