"""Running a policy over one account, and joining accounts that continue one another."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Protocol

import numpy as np

from finrl_ray._typing import AnyArray, FloatArray
from finrl_ray.env.account_history import AccountHistory
from finrl_ray.env.stock_trading import StockTradingEnv


class Policy(Protocol):
    """What SB3 models have in common with any object that decides."""

    def predict(self, observation: Any, *, deterministic: bool) -> tuple[AnyArray, Any]:
        """Return the action, and a state that is not used."""


class HoldPolicy:
    """Places no orders.

    Parameters
    ----------
    n_assets : N
    """

    def __init__(self, n_assets: int) -> None:
        self.action = np.zeros(n_assets, dtype=np.float32)

    def predict(self, observation: Any, *, deterministic: bool) -> tuple[AnyArray, Any]:
        """Return zeros."""
        return self.action, None


def run_account(policy: Any, env: StockTradingEnv) -> tuple[AccountHistory, list[float]]:
    """Run a policy's mean actions over one episode.

    Parameters
    ----------
    policy : an SB3 model, or a `Policy`
    env : not wrapped

    Returns
    -------
    (AccountHistory, list of float)
        The account, and where it stands at the end, from which another env continues as its
        `previous_state`.
    """
    observation, _ = env.reset()
    done = False
    while not done:
        action, _ = policy.predict(observation, deterministic=True)
        observation, _, terminated, truncated, _ = env.step(action)
        done = terminated or truncated
    return env.account_history, [float(value) for value in env.state]


def join_histories(histories: Sequence[AccountHistory]) -> AccountHistory:
    """Return one account from several, each starting on the day on which the one before ended.

    The shared day is kept once; both hold the same value for it.

    Raises
    ------
    ValueError
        If one does not start where the one before ended.
    """
    for earlier, later in pairwise(histories):
        if earlier.dates[-1] != later.dates[0]:
            raise ValueError(
                f"each history must start on the day the one before ended, got {later.dates[0]} "
                f"after {earlier.dates[-1]}"
            )
    first = histories[0]
    trades = [history.trades for history in histories]
    return AccountHistory(
        dates=np.concatenate([first.dates, *(later.dates[1:] for later in histories[1:])]),
        tickers=first.tickers,
        account_value=_days(histories, "account_value"),
        cash=_days(histories, "cash"),
        rewards=_steps(histories, "rewards"),
        trades=None if any(part is None for part in trades) else _steps(histories, "trades"),
        cost=_steps(histories, "cost"),
        traded_amount=_steps(histories, "traded_amount"),
        n_trades=sum(history.n_trades or 0 for history in histories),
        initial_amount=first.initial_amount,
        benchmark_value=_joined_benchmark(histories),
    )


def _joined_benchmark(histories: Sequence[AccountHistory]) -> FloatArray | None:
    """Return buy & hold that is begun anew with each history, from what the one before came to."""
    joined: FloatArray | None = None
    for history in histories:
        values = history.benchmark_value
        if values is None:
            return None
        if joined is None:
            joined = values
        else:
            joined = np.concatenate([joined, values[1:] * (joined[-1] / values[0])])
    return joined


def _days(histories: Sequence[AccountHistory], name: str) -> FloatArray:
    values = [getattr(history, name) for history in histories]
    return np.concatenate([values[0], *(later[1:] for later in values[1:])])


def _steps(histories: Sequence[AccountHistory], name: str) -> FloatArray:
    return np.concatenate([getattr(history, name) for history in histories])
