"""`StockTradingEnv`: one account as a Gymnasium env with FinRL's constructor."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from finrl_ray._typing import AnyArray, Float32Array
from finrl_ray.data.market_data import MarketData
from finrl_ray.env.account_view import AccountView
from finrl_ray.env.constructor import (
    DEFAULTS,
    build_accounts,
    build_table,
    check_sizes,
    mention_reports,
)
from finrl_ray.env.rules import TradingRules
from finrl_ray.env.scaling import ObservationScaling

if TYPE_CHECKING:
    import pandas as pd
    from stable_baselines3.common.vec_env import DummyVecEnv


class StockTradingEnv(AccountView):
    """Trade N stocks with one account; the agent sees prices, holdings and indicators daily.

    The arguments up to `iteration` are FinRL's, in FinRL's order. With a MarketData the sizes and
    the indicator list may be left out. An action of 1.0 orders `hmax` shares, -1.0 sells as many,
    unless `action="target_weights"` makes it the ticker's share of the account; the observation is
    [cash, close (N), shares (N), indicator after indicator (N each)], or what docs/environment.md
    says of `observation="stationary"`; the reward is the change of the account value times
    `reward_scaling`, unless the rule `reward` names another. The last info of an episode holds
    `account_history` (an `AccountHistory`); every other info is empty.

    Parameters
    ----------
    df : frame in FinRL's long format (`date`, `tic`, `close`, indicators), or MarketData
    stock_dim : N
    hmax : shares per order at most, one number, one per ticker, or a mapping by ticker; or currency
        or a share of the account, as the option `hmax_unit` says
    initial_amount : currency
    num_stock_shares : N shares held at the start, free of cost
    buy_cost_pct, sell_cost_pct : fractions of the amount, one number or one per ticker
    reward_scaling : what the reward is multiplied by; None: 1e-4, or what `rules` say by the kind
    state_space, action_space : entries of an observation (1 + 2N + F*N of FinRL's), and N
    tech_indicator_list : F columns, in observation order
    turbulence_threshold : at or above it everything is sold and nothing bought; None for never
    risk_indicator_col : the column compared with it
    make_plots, print_verbosity, model_name, mode, iteration
        Accepted; the env writes and prints nothing.
    day : row on which episodes start
    initial : start from `initial_amount`, or (False) from `previous_state`
    previous_state : [cash, close (N), shares (N), ...] as `render()` returns it
    parity : reproduce FinRL with its quirks, which are: whole orders with a dead zone below
        1/hmax; a last step that trades nothing, repeats the last reward and terminates; a first
        indicator of 1.0 that halts the ticker; no turbulence on the first day; buys counted that
        buy nothing; `day` ignored by resets; `num_stock_shares` valued but not held with one
        ticker; ties among orders left to numpy.argsort; prices of 0 at which shares are free.
    observation_scaling : fitted on the train window, see `fit_observation_scaling`
    record_trades : keep executed shares per step; False saves memory
    rules : single rules of `TradingRules`, over those that `parity` selects

    Raises
    ------
    ConfigError
        If an argument does not fit the data or another argument.
    DataError
        If the data cannot be traded; the message names ticker, date and column.
    """

    def __init__(
        self,
        df: "pd.DataFrame | MarketData",
        stock_dim: int | None = None,
        hmax: Any = None,
        initial_amount: float | None = None,
        num_stock_shares: Sequence[float] | None = None,
        buy_cost_pct: float | Sequence[float] | None = None,
        sell_cost_pct: float | Sequence[float] | None = None,
        reward_scaling: float | None = None,
        state_space: int | None = None,
        action_space: int | None = None,
        tech_indicator_list: Sequence[str] | None = None,
        turbulence_threshold: float | None = None,
        risk_indicator_col: str = DEFAULTS.risk_indicator_col,
        make_plots: bool = False,
        print_verbosity: int = 10,
        day: int = 0,
        initial: bool = True,
        previous_state: Sequence[Any] = (),
        model_name: str = "",
        mode: str = "",
        iteration: Any = "",
        *,
        parity: bool = DEFAULTS.parity,
        observation_scaling: ObservationScaling | None = None,
        record_trades: bool = True,
        **rules: Any,
    ) -> None:
        chosen = TradingRules.from_options(rules, parity=parity)
        scaling, risk_name = observation_scaling, risk_indicator_col
        table = build_table(df, tech_indicator_list, chosen, scaling=scaling, risk_name=risk_name)
        check_sizes(table, chosen, stock_dim, state_space, action_space)
        accounts = build_accounts(
            table,
            chosen,
            n_envs=1,
            reward_scaling=reward_scaling,
            record_trades=record_trades,
            values={
                "initial_amount": initial_amount,
                "num_stock_shares": num_stock_shares,
                "hmax": hmax,
                "buy_cost_pct": buy_cost_pct,
                "sell_cost_pct": sell_cost_pct,
                "turbulence_threshold": turbulence_threshold,
                "day": day,
                "initial": initial,
                "previous_state": previous_state,
            },
        )
        super().__init__(accounts, 0)
        self.stepped: Float32Array | None = None
        """Observations of a step that compiled code has taken, for the next `step` to give."""
        self._df = None if isinstance(df, MarketData) else df
        self._dummy_step = chosen.time_limit == "dummy_step"
        self.make_plots, self.print_verbosity = make_plots, print_verbosity
        self.model_name, self.mode, self.iteration = model_name, mode, iteration
        mention_reports(make_plots, model_name, mode)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Float32Array, dict[str, Any]]:
        """Start an episode; see `AccountView.reset`."""
        self.stepped = None  # a step of an interrupted rollout
        return super().reset(seed=seed, options=options)

    def step(self, action: AnyArray) -> tuple[Float32Array, float, bool, bool, dict[str, Any]]:
        """Trade one day.

        Raises
        ------
        ValueError
            If an action is NaN or infinite, or has the wrong shape.
        RuntimeError
            If the episode has ended (FinRL's dummy step can be repeated).
        """
        accounts = self.accounts
        books = accounts.books
        observations, self.stepped = self.stepped, None
        if observations is None:
            observations = self._taken(action)
        finished = bool(books.records["finished"][0])
        info = {"account_history": accounts.history(0)} if finished else {}
        terminated = finished and (self._dummy_step or accounts.is_lost(0))
        return (
            observations[0],
            float(books.records["reward"][0]),
            terminated,
            finished and not terminated,
            info,
        )

    def _taken(self, action: AnyArray) -> Float32Array:
        if self.accounts.books.records["finished"][0] and not self._dummy_step:
            raise RuntimeError("the episode has ended; call reset() before step()")
        actions = np.asarray(action)[np.newaxis]
        if self.choices is not None:
            actions = self.choices.actions_of(actions)
        return self.accounts.step(actions)

    @property
    def df(self) -> "pd.DataFrame":
        """The frame that was given, or the MarketData in FinRL's long format."""
        return super().df if self._df is None else self._df

    def get_sb_env(self) -> "tuple[DummyVecEnv, AnyArray]":
        """Return this env in a DummyVecEnv, and its first observation."""
        from stable_baselines3.common.vec_env import DummyVecEnv

        env = DummyVecEnv([lambda: self])
        observation = env.reset()
        assert isinstance(observation, np.ndarray)
        return env, observation
