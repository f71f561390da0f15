"""An agent that acts bar after bar in an env of its own, as `agents/rollout.py` runs it.

The memory of the agent (the state of a recurrent policy, the stack of observations) and the account
are kept from the last bar that was acted on, so that the next one takes a single step where the
rows before it are the same. Otherwise everything is stepped again from the first row.
"""

import copy
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.vec_env import VecEnv, VecFrameStack

from finrl_ray._typing import AnyArray, FloatArray
from finrl_ray.agents.ensemble_model.model import EnsembleModel
from finrl_ray.agents.frame_stack import shown_as_in_training
from finrl_ray.agents.state.env import base_vec_env, wrappers
from finrl_ray.agents.state.random import preserved_random_state
from finrl_ray.data.labels import date_label
from finrl_ray.data.market_data import MarketData
from finrl_ray.deployment.accounts import (
    Position,
    borrow_fee_of,
    portfolio_of,
    position_of,
    seen_anew,
    set_holdings,
    trading_env_of,
)
from finrl_ray.deployment.acting_env import make_acting_env, same_rows
from finrl_ray.deployment.agent_folder import AgentFolder
from finrl_ray.deployment.holdings import Holdings
from finrl_ray.deployment.reasons import reasons_of
from finrl_ray.env.account_history import AccountHistory
from finrl_ray.errors import ConfigError, DataError
from finrl_ray.learners.forward.policy import predict

_HISTORY = "account_history"
_MORE_STEPS = 2
"""An env of the user's may end its episode so many steps after the last row."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Decision:
    """What an agent does on one bar, for N tickers.

    Parameters
    ----------
    action : what the policy said
    planned : array of shape (N,), signed shares that the action orders
    orders : array of shape (N,), signed shares that are traded
    before : where the account stood
    cash_after : currency, after the step
    cost : currency, of the step
    borrow_fee : the part of it that is paid for shares owed, not for trades
    reasons : N tuples of codes
    """

    action: AnyArray
    planned: FloatArray
    orders: FloatArray
    before: Position
    cash_after: float
    cost: float
    borrow_fee: float
    reasons: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, eq=False, kw_only=True)
class _Point:
    """Everything as it was before the agent acted on the last of some rows."""

    rows: MarketData
    account: Any
    stacks: list[AnyArray]
    observations: Any
    memory: Any
    starts: AnyArray


class _Run:
    """A model in an env, from a reset on.

    Parameters
    ----------
    model : the agent's
    env : from `make_acting_env`
    """

    def __init__(self, model: BaseAlgorithm | EnsembleModel, env: VecEnv) -> None:
        self.model = model
        self.env = shown_as_in_training(model, env)
        self.observations: Any = self.env.reset()
        self.memory: Any = None
        self.starts: AnyArray = np.ones(self.env.num_envs, dtype=bool)
        self.history: AccountHistory | None = None
        """Of an episode that has ended."""

    def decide(self) -> AnyArray:
        """Return the actions for what is seen."""
        actions, self.memory = predict(
            self.model, self.observations, self.memory, self.starts, deterministic=True
        )
        return np.asarray(actions)

    def step(self, actions: AnyArray) -> None:
        self.observations, _, self.starts, infos = self.env.step(actions)
        if self.starts[0]:
            self.history = infos[0].get(_HISTORY)
            if self.history is None:
                raise ConfigError(
                    "the env must put info['account_history'] at the end of an episode, or nothing "
                    "can be said of what to trade"
                )

    @property
    def history_so_far(self) -> AccountHistory:
        """The episode so far, of an env of this package."""
        if self.history is not None:
            return self.history
        trading, portfolio = trading_env_of(self.env), portfolio_of(self.env)
        if trading is not None:
            return trading.accounts.history(0)
        assert portfolio is not None
        return portfolio.account_history


class PaperAccount:
    """The account that an agent has traded since one row, and its memory.

    Parameters
    ----------
    folder : of the agent
    model : the agent's
    trust : see `finrl_ray.agents.models.load_model`
    """

    def __init__(
        self, folder: AgentFolder, model: BaseAlgorithm | EnsembleModel, *, trust: bool = False
    ) -> None:
        self.folder, self.model, self.trust = folder, model, trust
        self._point: _Point | None = None

    def decide(self, window: MarketData, rows: MarketData, holdings: Holdings | None) -> Decision:
        """Return what the agent does on the last of some rows.

        Parameters
        ----------
        window : rows from that on which the account begins
        rows : `window` and the row after it
        holdings : of another account, in whose place the agent acts; None: its own

        Raises
        ------
        ConfigError
            If the env is the user's and says no trades, or holdings are given for it.
        DataError
            If holdings do not fit the agent.
        """
        with preserved_random_state(cuda=self.model.device.type == "cuda"):
            run = self._run_over(rows)
            if position_of(run.env) is None:
                return self._decided_by_others(run, window, holdings)
            self._go_to_last(run, window)
            if run.history is not None and run.history.dates[-1] == rows.dates[-1]:
                return _nothing_left(run.history)
            self._give(run, holdings)
            return _decided(run)

    def history(self, window: MarketData, rows: MarketData) -> AccountHistory:
        """Return the account day by day over some rows, two or more, that ends with the last.

        Parameters
        ----------
        window : rows from that on which the account begins
        rows : `window` and a row after it, of which nothing is asked
        """
        with preserved_random_state(cuda=self.model.device.type == "cuda"):
            run = self._run_over(rows)
            if position_of(run.env) is not None:
                self._go_to_last(run, window)
                return _until(run.history_so_far, window)
            run = self._run_over(window)
            return self._whole(run, window)[0]

    def _run_over(self, rows: MarketData) -> _Run:
        return _Run(self.model, make_acting_env(self.folder, rows, trust=self.trust))

    # -- up to the last row -----------------------------------------------------------------------

    def _go_to_last(self, run: _Run, window: MarketData) -> None:
        """Step to the last row of a window, from the point that is known or from the first row."""
        done = self._back_at_point(run, window)
        for _ in range(window.n_periods - 1 - done):
            run.step(run.decide())
            if run.history is not None:
                return  # the account has lost everything
        trading = trading_env_of(run.env)
        if trading is not None:
            self._point = _Point(
                rows=window,
                account=trading.get_state(),
                stacks=[one.copy() for one in _stacks(run.env)],
                observations=copy.deepcopy(run.observations),
                memory=copy.deepcopy(run.memory),
                starts=run.starts.copy(),
            )

    def _back_at_point(self, run: _Run, window: MarketData) -> int:
        """Put a run to where the last one acted; return after how many steps that is."""
        point, trading = self._point, trading_env_of(run.env)
        if point is None or trading is None:
            return 0
        n_known = point.rows.n_periods
        if n_known > window.n_periods or not same_rows(point.rows, window.rows(0, n_known)):
            return 0
        state, fresh = copy.deepcopy(point.account), trading.get_state()["accounts"][0]
        # the rows end elsewhere, which a state says
        state["accounts"][0]["market"] = fresh["market"]
        state["accounts"][0]["books"]["last"] = fresh["books"]["last"]
        trading.set_state(state)
        for wrapper, stack in zip(_stacking(run.env), point.stacks, strict=True):
            wrapper.stacked_obs.stacked_obs = stack.copy()
        run.observations = copy.deepcopy(point.observations)
        run.memory, run.starts = copy.deepcopy(point.memory), point.starts.copy()
        return n_known - 1

    # -- on the last row --------------------------------------------------------------------------

    def _give(self, run: _Run, holdings: Holdings | None) -> None:
        if holdings is None:
            return
        own, env = position_of(run.env), self.folder.config.env
        assert own is not None
        shares = holdings.shares_of(tuple(self.folder.facts["tickers"]), short=env.short)
        if (
            float(holdings.cash) == own.cash
            and np.array_equal(shares, own.shares)
            and not holdings.bought_at
        ):
            return
        if float(holdings.cash) < 0 and not env.short:
            raise DataError(f"holdings: cash must be >= 0, got {holdings.cash}")
        set_holdings(run.env, holdings, shares)
        after = position_of(run.env)
        if after is None or not after.value > 0:
            raise DataError(
                "holdings: cash and shares must be worth more than 0 together, got "
                f"{0.0 if after is None else after.value}"
            )
        run.observations = seen_anew(run.env)

    def _decided_by_others(
        self, run: _Run, window: MarketData, holdings: Holdings | None
    ) -> Decision:
        """Return what an agent does in an env of the user's, as the account's trades say it."""
        if holdings is not None:
            raise ConfigError(
                f"env.class {self.folder.config.env.class_} keeps its account to itself, so that "
                "holdings cannot be put into it; leave holdings out to follow the agent's own "
                "paper account"
            )
        history, actions = self._whole(run, window)
        days = window.n_periods
        trades = history.trades
        if trades is None or len(trades) < days or history.dates[days - 1] != window.dates[-1]:
            raise ConfigError(
                f"env.class {self.folder.config.env.class_} does not say what it trades on each "
                "day of its rows, so that no orders follow from it: put trades (days - 1, N) and "
                "dates into info['account_history']"
            )
        held = trades[: days - 1].sum(axis=0)
        value = float(history.account_value[days - 1])
        cash = value - float((held * window.close[-1]).sum())
        if history.cash is not None:
            cash = float(history.cash[days - 1])
        orders = trades[days - 1].copy()
        spent = float((orders * window.close[-1]).sum())
        return Decision(
            action=actions[min(max(0, days - 1 - _first_row(run.env)), len(actions) - 1)],
            planned=orders,
            orders=orders,
            before=Position(cash=cash, shares=held, value=value),
            cash_after=cash - spent if history.cash is None else float(history.cash[days]),
            cost=0.0 if history.cost is None else float(history.cost[days - 1]),
            borrow_fee=0.0,  # only the env of the user's knows
            reasons=((),) * len(orders),
        )

    def _whole(self, run: _Run, window: MarketData) -> tuple[AccountHistory, list[AnyArray]]:
        """Return the account of an episode over all rows of an env, and the actions."""
        taken = []
        for _ in range(window.n_periods + _MORE_STEPS):
            actions = run.decide()
            taken.append(actions[0].copy())
            run.step(actions)
            if run.history is not None:
                return run.history, taken
        raise ConfigError(
            f"env.class {self.folder.config.env.class_} does not end its episode at "
            f"{date_label(window.dates[-1])}, with the rows that it was given"
        )


def _first_row(env: VecEnv) -> int:
    """Return the row on which the latest episode of an env of the user's began."""
    first, _ = getattr(base_vec_env(env), "covered", (0, 0))
    return int(first)


def _decided(run: _Run) -> Decision:
    before = position_of(run.env)
    assert before is not None
    actions, trading = run.decide(), trading_env_of(run.env)
    planned: FloatArray | None = None
    state: Any = None
    if trading is not None:
        numbers = actions if trading.choices is None else trading.choices.actions_of(actions)
        planned = trading.accounts.planned_orders(numbers)[0]
        state = trading.envs[0].get_state()
    run.step(actions)
    history = run.history_so_far
    assert history.trades is not None
    assert history.cash is not None
    assert history.cost is not None
    orders: FloatArray = history.trades[-1] + 0.0  # without -0.0
    if trading is None or planned is None:
        reasons: tuple[tuple[str, ...], ...] = ((),) * len(orders)
    else:
        reasons = reasons_of(trading.accounts, state, numbers[0], planned, orders)
    return Decision(
        action=actions[0].copy(),
        planned=orders if planned is None else planned + 0.0,
        orders=orders,
        before=before,
        cash_after=float(history.cash[-1]),
        cost=float(history.cost[-1]),
        borrow_fee=borrow_fee_of(run.env, before.shares + orders),
        reasons=reasons,
    )


def _nothing_left(history: AccountHistory) -> Decision:
    """Return what an account does that has lost everything."""
    nothing = np.zeros(len(history.tickers))
    value = float(history.account_value[-1])
    return Decision(
        action=nothing,
        planned=nothing,
        orders=nothing,
        before=Position(cash=value, shares=nothing, value=value),
        cash_after=value,
        cost=0.0,
        borrow_fee=0.0,
        reasons=(("account_lost",),) * len(nothing),
    )


def _until(history: AccountHistory, window: MarketData) -> AccountHistory:
    """Return a history without the row after the window, which one that lost everything has."""
    if len(history.dates) == window.n_periods:
        return history
    days = window.n_periods
    cut: dict[str, Any] = {}
    for name in ("dates", "account_value", "cash", "benchmark_value", "gross_value"):
        value = getattr(history, name)
        cut[name] = None if value is None else value[:days]
    for name in ("rewards", "trades", "cost", "traded_amount"):
        value = getattr(history, name)
        cut[name] = None if value is None else value[: days - 1]
    return replace(history, **cut)


def _stacking(env: VecEnv) -> list[VecFrameStack]:
    return [one for one in wrappers(env) if isinstance(one, VecFrameStack)]


def _stacks(env: VecEnv) -> list[Any]:
    return [one.stacked_obs.stacked_obs for one in _stacking(env)]
