"""One training of one algorithm in one window, and its validation: what a Ray task runs."""

import logging
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

import torch as th
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.logger import Logger

from finrl_ray.agents.algorithms import find_algorithm, resolve_model_kwargs
from finrl_ray.agents.drl_agent import DRLAgent
from finrl_ray.agents.models import load_model_bytes, model_bytes
from finrl_ray.agents.state.random import preserved_random_state
from finrl_ray.config.env_options.reward import Reward
from finrl_ray.config.env_options.trading import (
    ActionKind,
    Fill,
    Observation,
    TradingOptions,
    ZeroAction,
)
from finrl_ray.config.trial.order_size import HmaxUnit
from finrl_ray.data.market_data import MarketData
from finrl_ray.env.account_history import AccountHistory
from finrl_ray.env.rules import TradingRules
from finrl_ray.env.scaling import ObservationScaling, fit_observation_scaling
from finrl_ray.env.stock_trading import StockTradingEnv
from finrl_ray.env.vec_env import StockTradingVecEnv
from finrl_ray.metrics.performance import sharpe_ratio, undefined_reason
from finrl_ray.metrics.returns import simple_returns
from finrl_ray.training.divergence import check_finite
from finrl_ray.workflows.ensemble.account_run import run_account

logger = logging.getLogger(__name__)

# what SB3, torch, the env and the user's own policy raise when a training goes wrong
TRAINING_ERRORS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
)


@dataclass(frozen=True, kw_only=True)
class AccountOptions:
    """What every env of the strategy trades under: arguments of `StockTradingEnv`.

    Parameters
    ----------
    hmax, initial_amount, buy_cost_pct, sell_cost_pct, reward_scaling, risk_indicator_col
        As in `StockTradingEnv`.
    action, zero_action, hmax_unit, max_weight, no_trade_band, trade_rate, fill, fractional_shares,
    volume_slippage, reward, reward_kwargs, differential_sharpe_rate
        Rules of `StockTradingEnv`.
    short, borrow_rate, maintenance_margin
        Rules of `StockTradingEnv`.
    random_start : training episodes start on a random day of the first half
    observation, lookback, return_horizons, nearest_spread : rules of `StockTradingEnv`
    scale_observations : fit an `ObservationScaling` on the rows that a model is trained on, which
        stationary observations need in any case
    """

    hmax: Any
    initial_amount: float
    buy_cost_pct: Any
    sell_cost_pct: Any
    reward_scaling: float | None
    risk_indicator_col: str
    action: ActionKind = "orders"
    hmax_unit: HmaxUnit = "shares"
    zero_action: ZeroAction = "cash"
    max_weight: float = 1.0
    no_trade_band: float | None = None
    trade_rate: float = 1.0
    fill: Fill = "close"
    fractional_shares: bool = False
    short: bool = False
    borrow_rate: float = TradingOptions.borrow_rate
    maintenance_margin: float = TradingOptions.maintenance_margin
    volume_slippage: float = 0.0
    random_start: bool = False
    scale_observations: bool = False
    observation: Observation = "finrl"
    lookback: int = 1
    return_horizons: Sequence[int] = TradingOptions.return_horizons
    nearest_spread: bool = False
    reward: Reward | str = "account_change"
    reward_kwargs: Mapping[str, Any] = field(default_factory=dict)
    differential_sharpe_rate: float = TradingOptions.differential_sharpe_rate

    def env_options(self) -> dict[str, Any]:
        """Return the arguments of an env of either shape."""
        return {
            "hmax": self.hmax,
            "initial_amount": self.initial_amount,
            "buy_cost_pct": self.buy_cost_pct,
            "sell_cost_pct": self.sell_cost_pct,
            "reward_scaling": self.reward_scaling,
            "risk_indicator_col": self.risk_indicator_col,
            "action": self.action,
            "hmax_unit": self.hmax_unit,
            "zero_action": self.zero_action,
            "max_weight": self.max_weight,
            "no_trade_band": self.no_trade_band,
            "trade_rate": self.trade_rate,
            "fill": self.fill,
            "fractional_shares": self.fractional_shares,
            "short": self.short,
            "borrow_rate": self.borrow_rate,
            "maintenance_margin": self.maintenance_margin,
            "volume_slippage": self.volume_slippage,
            **self._observed(),
            "reward": self.reward,
            "reward_kwargs": dict(self.reward_kwargs),
            "differential_sharpe_rate": self.differential_sharpe_rate,
        }

    def _observed(self) -> dict[str, Any]:
        return {
            "observation": self.observation,
            "lookback": self.lookback,
            "return_horizons": tuple(self.return_horizons),
            "nearest_spread": self.nearest_spread,
        }

    def scaling(self, train_rows: MarketData) -> ObservationScaling | None:
        """Return the scaling of observations, fitted on the rows that a model is trained on."""
        if not self.scale_observations and self.observation == "finrl":
            return None
        observed = TradingRules(**self._observed())
        return fit_observation_scaling(train_rows, self.initial_amount, observed)


@dataclass(frozen=True, kw_only=True)
class TrainingTask:
    """One training, complete: with the market data it is all that its result depends on.

    Parameters
    ----------
    window : number of the window
    iteration : FinRL's label of it
    stage : `validate`: train on [first_row, train_stop), validate on [train_stop, stop_row);
        `retrain`: train on [first_row, stop_row)
    algorithm : `a2c`, `ppo`, ...
    threshold : turbulence threshold of the validation, None for none
    model_kwargs : keywords of the SB3 class, over FinRL's defaults
    total_timesteps, n_envs, seed : of the training
    periods_per_year : of the Sharpe ratio
    """

    window: int
    iteration: int
    stage: Literal["validate", "retrain"]
    algorithm: str
    first_row: int
    train_stop: int
    stop_row: int
    threshold: float | None
    model_kwargs: Mapping[str, Any]
    total_timesteps: int
    n_envs: int
    seed: int
    periods_per_year: float
    account: AccountOptions

    @property
    def label(self) -> str:
        """A short name for log messages."""
        what = "" if self.stage == "validate" else ", trained again for trading"
        return f"window {self.iteration}, {self.algorithm}{what}"


@dataclass(frozen=True, eq=False, kw_only=True)
class TrainingOutcome:
    """What became of a `TrainingTask`.

    Parameters
    ----------
    sharpe : annualized Sharpe ratio of the validation, NaN if there is none
    failure : why there is no Sharpe ratio, or no model; empty if there is one
    model : the SB3 model as `model.save` writes it; None if the training failed
    scaling : what its observations were scaled by
    validation : the account over the validation window
    wall_s : seconds
    """

    sharpe: float = math.nan
    failure: str = ""
    model: bytes | None = None
    scaling: ObservationScaling | None = None
    validation: AccountHistory | None = None
    wall_s: float = 0.0


def run_task(market_data: MarketData, task: TrainingTask) -> TrainingOutcome:
    """Train, and validate if the task says so; an error of the training becomes its outcome.

    Rows after `task.stop_row` are not looked at. The global random streams and torch's number of
    threads are left as they were found.
    """
    known = market_data.rows(task.first_row, task.stop_row)
    started = time.monotonic()
    with preserved_random_state(), _one_torch_thread():
        try:
            outcome = _trained(known, task)
        except TRAINING_ERRORS as error:
            logger.warning("%s: the training failed", task.label, exc_info=True)
            # what torch says goes on with a page of numbers
            first_line = (str(error).strip().splitlines() or [""])[0]
            outcome = {"failure": f"{type(error).__name__}: {first_line}"}
    return TrainingOutcome(**outcome, wall_s=time.monotonic() - started)


def _trained(known: MarketData, task: TrainingTask) -> dict[str, Any]:
    n_train = task.train_stop - task.first_row
    train_rows = known if task.stage == "retrain" else known.rows(0, n_train)
    scaling = task.account.scaling(train_rows)
    model = train_model(train_rows, task, scaling)
    result: dict[str, Any] = {"model": model_bytes(model), "scaling": scaling}
    if task.stage == "retrain":
        return result
    env = evaluation_env(
        known.rows(n_train, known.n_periods),
        task.account,
        scaling=scaling,
        threshold=task.threshold,
    )
    history, _ = run_account(model, env)
    returns = simple_returns(history.account_value)
    sharpe = sharpe_ratio(returns, periods_per_year=task.periods_per_year)
    if math.isnan(sharpe):
        result["failure"] = f"no Sharpe ratio: {undefined_reason(returns)}"
    return {**result, "sharpe": sharpe, "validation": history}


def train_model(
    train_rows: MarketData, task: TrainingTask, scaling: ObservationScaling | None
) -> BaseAlgorithm:
    """Return a model trained on `train_rows`.

    Raises
    ------
    TrialDivergedError
        If a parameter of its networks is NaN or infinite.
    """
    env = StockTradingVecEnv(
        train_rows,
        task.n_envs,
        **task.account.env_options(),
        random_start=task.account.random_start,
        observation_scaling=scaling,
        record_trades=False,
    )
    model = build_model(env, task)
    try:
        model = DRLAgent.train_model(
            model, f"{task.algorithm}_{task.iteration}", task.total_timesteps
        )
    except ValueError as error:
        # what SB3 and the env say of NaN is a page of numbers; say which parameter it is instead
        check_finite(model, error)
        raise
    check_finite(model)
    return model


def build_model(env: StockTradingVecEnv, task: TrainingTask) -> BaseAlgorithm:
    """Return a fresh model on the CPU that logs nowhere, unless its keywords say otherwise."""
    kwargs = {"device": "cpu", **task.model_kwargs}
    resolved = resolve_model_kwargs(task.algorithm, kwargs, n_actions=1)
    if isinstance(resolved.get("buffer_size"), int):
        # a place in the buffer that training never reaches is memory for nothing
        reached = task.total_timesteps + task.n_envs * (task.stop_row - task.first_row)
        kwargs["buffer_size"] = min(resolved["buffer_size"], reached)
    model = DRLAgent(env).get_model(task.algorithm, model_kwargs=kwargs, verbose=0, seed=task.seed)
    if model.tensorboard_log is None and model.verbose == 0:
        model.set_logger(Logger(folder=None, output_formats=[]))
    return model


def evaluation_env(
    rows: MarketData,
    account: AccountOptions,
    *,
    scaling: ObservationScaling | None,
    threshold: float | None,
    previous_state: list[float] | None = None,
) -> StockTradingEnv:
    """Return one account over `rows`, from the start or going on from `previous_state`."""
    return StockTradingEnv(
        rows,
        **account.env_options(),
        turbulence_threshold=threshold,
        observation_scaling=scaling,
        initial=previous_state is None,
        previous_state=previous_state or (),
    )


def model_from_bytes(algorithm: str, content: bytes) -> BaseAlgorithm:
    """Return the model of `model_bytes`, on the CPU, without an env."""
    with preserved_random_state():  # loading seeds the global streams
        return load_model_bytes(find_algorithm(algorithm).model_class, content)


@contextmanager
def _one_torch_thread() -> Iterator[None]:
    # sums over several threads differ in the last bit
    before = th.get_num_threads()
    th.set_num_threads(1)
    try:
        yield
    finally:
        th.set_num_threads(before)
