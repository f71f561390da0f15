"""The account of an env, read and set: where it stands, and what a step has traded.

Of this package's envs it is known at any time. Of an env of the user's it is what the account says
at the end of an episode.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv, VecFrameStack, VecNormalize

from finrl_ray._typing import AnyArray, FloatArray
from finrl_ray.agents.ensemble_model.shared_account import SharedAccountVecEnv
from finrl_ray.agents.state.env import base_vec_env
from finrl_ray.deployment.holdings import Holdings
from finrl_ray.env.kernel.values import value_of
from finrl_ray.env.order_limits import borrow_fee
from finrl_ray.env.portfolio.env import StockPortfolioEnv
from finrl_ray.env.vec_env import StockTradingVecEnv


@dataclass(frozen=True, eq=False, kw_only=True)
class Position:
    """Where an account stands.

    Parameters
    ----------
    cash : currency
    shares : array of shape (N,), below 0 where they are owed
    value : currency, at the close
    """

    cash: float
    shares: FloatArray
    value: float


def portfolio_of(env: VecEnv) -> StockPortfolioEnv | None:
    """Return the portfolio inside a vec env, if it is one."""
    base = base_vec_env(env)
    inside = base.envs[0].unwrapped if type(base) is DummyVecEnv else None
    return inside if isinstance(inside, StockPortfolioEnv) else None


def trading_env_of(env: VecEnv) -> StockTradingVecEnv | None:
    """Return the env inside all wrappers, if it trades by this package's rules."""
    base = base_vec_env(env)
    return base if isinstance(base, StockTradingVecEnv) else None


def borrow_fee_of(env: VecEnv, shares: FloatArray) -> float:
    """Return what the last close of an env's rows charges for shares owed, in currency.

    Parameters
    ----------
    env : 0 is returned of one that does not trade by this package's rules
    shares : array of shape (N,), held up to that close
    """
    trading = trading_env_of(env)
    if trading is None:
        return 0.0
    rules, table = trading.accounts.rules, trading.accounts.table
    return borrow_fee(rules, table.dates, table.n_periods - 1, shares, table.market.close[-1])


def position_of(env: VecEnv) -> Position | None:
    """Return where the account of an env stands; None of an env of the user's."""
    trading, portfolio = trading_env_of(env), portfolio_of(env)
    if trading is not None:
        books = trading.accounts.books
        record = books.records[0]
        return Position(
            cash=float(record["cash"]), shares=books.shares[0].copy(), value=float(record["value"])
        )
    if portfolio is None:
        return None
    value, cash = portfolio.portfolio_value, portfolio.account_history.cash
    assert cash is not None
    shares = portfolio.account.weights * value / portfolio.market.close[portfolio.day]
    return Position(cash=float(cash[-1]), shares=shares, value=value)


def set_holdings(env: VecEnv, holdings: Holdings, shares: FloatArray) -> None:
    """Give the account of an env other cash and shares, on the day that it stands on.

    What it remembers of trades stays. Of shares on the same side as before, the average price paid
    stays too, unless the holdings say another; others count as bought at the close.

    Parameters
    ----------
    env : of this package, with its wrappers
    holdings : their cash and prices
    shares : array of shape (N,)
    """
    trading, portfolio = trading_env_of(env), portfolio_of(env)
    if trading is not None:
        view, table = trading.envs[0], trading.accounts.table
        state = view.get_state()
        close = table.market.close[state["books"]["day"]]
        value = float(value_of(float(holdings.cash), shares, close))
        state["books"] |= {"cash": float(holdings.cash), "value": value}
        state["ledger"][-1, :2] = value, holdings.cash
        if "buy_price" in state["limits"]:
            state["limits"]["buy_price"] = _prices_paid(
                state["limits"]["buy_price"],
                state["shares"],
                shares,
                close,
                holdings,
                table.tickers,
            )
        state["shares"] = shares
        view.set_state(state)
        return
    assert portfolio is not None
    close = portfolio.market.close[portfolio.day]
    value = float(holdings.cash) + float((shares * close).sum())
    kept = portfolio.get_state()
    kept["account"]["weights"] = shares * close / value
    kept["account"]["ledger"][-1, :2] = value, holdings.cash
    portfolio.set_state(kept)


def _prices_paid(
    paid: FloatArray,
    before: FloatArray,
    shares: FloatArray,
    close: FloatArray,
    holdings: Holdings,
    tickers: tuple[str, ...],
) -> FloatArray:
    stays = (before * shares > 0) & (paid > 0)
    known = np.where(stays, paid, close)
    given = np.array([holdings.bought_at.get(name, np.nan) for name in tickers], dtype=np.float64)
    result: FloatArray = np.where(np.isnan(given), known, given)
    result[shares == 0] = 0.0
    return result


def seen_anew(env: VecEnv) -> Any:
    """Return what an env shows of its account as it stands now, through all its wrappers.

    Parameters
    ----------
    env : of this package; the newest observation of a stack is replaced
    """
    if isinstance(env, SharedAccountVecEnv):
        return env.seen()
    if isinstance(env, VecFrameStack):
        newest = seen_anew(env.venv)
        stack: Any = env.stacked_obs.stacked_obs
        stack[..., -newest.shape[-1] :] = newest
        return stack.copy()
    if isinstance(env, VecNormalize):
        return env.normalize_obs(seen_anew(env.venv))
    trading, portfolio = trading_env_of(env), portfolio_of(env)
    if trading is not None:
        return trading.accounts.observation(0)[np.newaxis]
    assert portfolio is not None
    row: AnyArray = portfolio.observation_of(portfolio.day, portfolio.account.weights)
    return row[np.newaxis]
