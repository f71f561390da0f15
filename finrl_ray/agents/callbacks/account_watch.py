"""`TradeWatch`: what the training accounts did with the latest orders."""

from typing import Any

import numpy as np
from stable_baselines3.common.vec_env import VecEnv

from finrl_ray._typing import AnyArray, BoolArray, FloatArray
from finrl_ray.agents.callbacks.step_ring import StepRing
from finrl_ray.agents.state.env import base_vec_env
from finrl_ray.env.account_history import AccountHistory
from finrl_ray.env.account_view import AccountView

HISTORY_KEY = "account_history"


class TradeWatch:
    """Executed shares, costs and turnover of the last steps of every account in a vec env.

    Two sources. Accounts in this process are read after every step, which costs a microsecond and
    needs no recording. The rest comes from account histories: those in the last info of an episode
    and, when numbers are wanted, those of the episodes under way. So accounts in other processes
    are asked rarely and never within a step. An env without accounts leaves everything empty.

    Parameters
    ----------
    window : steps of each account to keep

    Attributes
    ----------
    tickers : names of the assets; empty while unknown
    """

    def __init__(self, window: int) -> None:
        self.window = window
        self.tickers: tuple[str, ...] = ()
        self._live = StepRing(window)
        self._views: list[AccountView] = []
        self._env: VecEnv | None = None
        self._ledger: list[FloatArray] = []
        self._trades: list[FloatArray | None] = []
        self._taken: list[int] = []
        self._restored = False

    def start(self, env: VecEnv) -> None:
        """Watch an env from its present step on; earlier steps are not counted."""
        self._views = _views_in_process(env)
        self._env = env if env.has_attr(HISTORY_KEY) else None
        if len(self._taken) != env.num_envs:
            self._ledger = [np.empty((0, 3)) for _ in range(env.num_envs)]
            self._trades = [None] * env.num_envs
            self._taken = [0] * env.num_envs
        if not self._restored:
            # everything up to the end of an earlier training has been taken by `collect`
            for index, history in self._under_way():
                self._taken[index] = len(history.rewards)
        self._restored = False

    def after_step(self, dones: BoolArray, infos: list[dict[str, Any]]) -> None:
        """Note one step of the env; histories of ended episodes are read from `infos`."""
        if self._views:
            self._live.push(self._executed(dones))
        if dones.any():
            for index in np.flatnonzero(dones).tolist():
                history = infos[index].get(HISTORY_KEY)
                if isinstance(history, AccountHistory):
                    self._take(index, history)
                self._taken[index] = 0

    def collect(self) -> None:
        """Read what the accounts have done since their episodes began."""
        for index, history in self._under_way():
            self._take(index, history)

    def executed(self) -> list[FloatArray]:
        """Return executed shares per account, (steps, N) each, sells negative; empty if unknown."""
        if self._views:
            rows = self._live.values()
            return [rows[:, index] for index in range(rows.shape[1])] if len(rows) else []
        known = [trades for trades in self._trades if trades is not None]
        return known if len(known) == len(self._trades) else []

    def measures(self) -> dict[str, float]:
        """Return what is known of `zero_percentage`, `turnover` and `cost`.

        Percent of executed quantities that are zero; traded amount per step as a fraction of the
        account value before it; currency paid per step and account.
        """
        found: dict[str, float] = {}
        executed = self.executed()
        if sum(len(rows) for rows in executed):
            found["zero_percentage"] = 100.0 * float(np.mean(np.concatenate(executed) == 0))
        ledger = np.concatenate(self._ledger) if self._ledger else np.empty((0, 3))
        if len(ledger):
            cost, traded, value = ledger.T
            alive = value > 0
            found["turnover"] = float(np.mean(traded[alive] / value[alive])) if any(alive) else 0.0
            found["cost"] = float(np.mean(cost))
        return found

    def get_state(self) -> dict[str, Any]:
        """Return everything that a resumed run needs, as plain values."""
        return {
            "tickers": list(self.tickers),
            "live": self._live.get_state(),
            "ledger": [rows.copy() for rows in self._ledger],
            "trades": [None if rows is None else rows.copy() for rows in self._trades],
            "taken": list(self._taken),
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """Undo `get_state`; the accounts must be put back as well."""
        self.tickers = tuple(state["tickers"])
        self._live.set_state(state["live"])
        self._ledger = [rows.copy() for rows in state["ledger"]]
        self._trades = [None if rows is None else rows.copy() for rows in state["trades"]]
        self._taken = list(state["taken"])
        self._restored = True

    def _under_way(self) -> list[tuple[int, AccountHistory]]:
        if self._env is None:
            return []
        histories = enumerate(self._env.get_attr(HISTORY_KEY))
        return [(index, h) for index, h in histories if isinstance(h, AccountHistory)]

    def _take(self, index: int, history: AccountHistory) -> None:
        """Add the steps of an episode that have not been taken yet."""
        n_steps = len(history.rewards)
        # fewer steps than were taken: the env has been reset in between
        first = self._taken[index] if self._taken[index] <= n_steps else 0
        unknown = np.full(n_steps, np.nan)  # an env of the user's need not say it
        columns = (
            unknown if history.cost is None else history.cost,
            unknown if history.traded_amount is None else history.traded_amount,
            history.account_value[:-1],
        )
        rows = np.stack([column[first:] for column in columns], axis=1)
        self._ledger[index] = np.concatenate([self._ledger[index], rows])[-self.window :]
        if history.trades is not None and not self._views:
            new = history.trades[first:]
            old = self._trades[index]
            joined = new.copy() if old is None else np.concatenate([old, new])
            self._trades[index] = joined[-self.window :]
        self._taken[index] = n_steps
        self.tickers = history.tickers

    def _executed(self, dones: BoolArray) -> AnyArray:
        """Return the shares of the step just taken, of shape (n_envs, N)."""
        accounts = self._views[0].accounts
        if accounts.n_envs == len(self._views):
            executed = accounts.last_executed.copy()
        else:
            executed = np.stack([view.accounts.last_executed[view.index] for view in self._views])
        if accounts.rules.time_limit == "dummy_step":
            executed[dones] = 0.0  # FinRL's last step trades nothing
        return executed


def _views_in_process(env: VecEnv) -> list[AccountView]:
    """Return the accounts of an env that lives in this process; empty if any is of another kind."""
    views = [single.unwrapped for single in getattr(base_vec_env(env), "envs", [])]
    return views if all(isinstance(view, AccountView) for view in views) else []
