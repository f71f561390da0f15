"""FinRL's memories of an episode (account values, actions, states) as frames."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from finrl_ray._typing import AnyArray, FloatArray
from finrl_ray.env.accounts import Accounts
from finrl_ray.env.observed_columns import market_columns
from finrl_ray.errors import ConfigError


def recorded(accounts: Accounts, index: int) -> FloatArray:
    """Return the executed shares of an account, of shape (steps, N).

    Raises
    ------
    ConfigError
        If they are not recorded.
    """
    executed = accounts.executed_shares(index)
    if executed is None:
        raise ConfigError("trades were not recorded; build the env with record_trades=True")
    return executed


def states(accounts: Accounts, index: int) -> FloatArray:
    """Return [cash, close, shares, indicators] after each step, of shape (steps, S)."""
    executed, table = recorded(accounts, index), accounts.table
    shares, n = accounts.books.shares[index], table.n_assets
    # what is held now, less what was traded afterwards
    later = executed[::-1].cumsum(axis=0)[::-1]
    held = np.concatenate([shares - later[1:], shares[np.newaxis]])[: len(executed)]
    start = int(accounts.books.records["start"][index])
    days = slice(start + 1, start + 1 + len(executed))
    columns = market_columns(table.market.close[days], table.features[days])
    cash = accounts.column(index, "cash")[1:, np.newaxis]
    return np.concatenate([cash, columns[:, :n], held, columns[:, n:]], axis=1)


def asset_frame(dates: Sequence[Any], values: Sequence[float]) -> pd.DataFrame:
    """Return the columns `date` and `account_value`."""
    return pd.DataFrame({"date": dates, "account_value": values})


def action_frame(
    dates: Sequence[Any], actions: Sequence[AnyArray], tickers: Sequence[str]
) -> pd.DataFrame:
    """Return index `date` x tickers, or for one ticker the columns `date` and `actions`."""
    if len(tickers) == 1:
        return pd.DataFrame({"date": dates, "actions": actions})
    table = np.array(actions).reshape(len(dates), len(tickers))
    return pd.DataFrame(table, index=pd.Index(dates, name="date"), columns=list(tickers))


def state_frame(
    dates: Sequence[Any],
    rows: Sequence[Sequence[float]],
    tickers: Sequence[str],
    names: Sequence[str],
) -> pd.DataFrame:
    """Return index `date` x entries, or for one ticker the columns `date` and `states`."""
    if len(tickers) == 1:
        return pd.DataFrame({"date": dates, "states": rows})
    columns = ["cash", *(f"{name}_{ticker}" for name in names for ticker in tickers)]
    table = np.array(rows).reshape(len(dates), len(columns))
    return pd.DataFrame(table, index=pd.Index(dates, name="date"), columns=columns)
