"""`DRLEnsembleAgent`: FinRL's rolling ensemble strategy, its windows trained in parallel."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import gymnasium as gym
import numpy as np
import pandas as pd
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.vec_env import VecEnv

from finrl_ray._typing import AnyArray
from finrl_ray.agents.drl_agent import DRLAgent, account_frame, actions_frame
from finrl_ray.agents.models import as_vec_env
from finrl_ray.agents.rollout import evaluate_account
from finrl_ray.data.market_data import MarketData
from finrl_ray.data.periods_per_year import periods_per_year
from finrl_ray.env.account_history import AccountHistory
from finrl_ray.env.stock_trading import StockTradingEnv
from finrl_ray.errors import ConfigError, DataError
from finrl_ray.workflows.ensemble.account_run import join_histories
from finrl_ray.workflows.ensemble.arguments import training_arguments
from finrl_ray.workflows.ensemble.market import Period, check_tickers, read_market
from finrl_ray.workflows.ensemble.options import EnsembleOptions
from finrl_ray.workflows.ensemble.results import summary_frame, write_results
from finrl_ray.workflows.ensemble.strategy import TrainingPlan, check_plan, choose_models
from finrl_ray.workflows.ensemble.trading import (
    WindowRecord,
    trade_window,
    trade_windows,
    window_thresholds,
)
from finrl_ray.workflows.ensemble.window_training import AccountOptions
from finrl_ray.workflows.ensemble.windows import EnsembleWindow, rolling_windows
from finrl_ray.workflows.ensemble.workers import Deadline, LocalWorkers, Workers

logger = logging.getLogger(__name__)


class DRLEnsembleAgent:
    """Trains several algorithms per window; the best on validation trades the next window.

    The arguments up to `print_verbosity` are FinRL's, in FinRL's order. docs/ensemble.md describes
    the strategy and where it differs from FinRL's code.

    Parameters
    ----------
    df : frame in FinRL's long format (`date`, `tic`, `close`, the indicators, `turbulence`), or
        MarketData
    train_period : (start, end); every training starts at `start` and ends where its window's
        validation starts. `end` must not lie after the start of `val_test_period`.
    val_test_period : (start, end), the dates after `start` and up to `end`
    rebalance_window, validation_window : days (dates of the data)
    stock_dim : N
    hmax : shares per order at most
    initial_amount : currency
    buy_cost_pct, sell_cost_pct : fractions of the amount
    reward_scaling : what the reward is multiplied by; None: 1e-4, or that of the `reward` option
    state_space, action_space : entries of an observation (1 + 2N + F*N of FinRL's), and N
    tech_indicator_list : F columns, in observation order
    print_verbosity : accepted; nothing is printed, progress is logged
    options : fields of `EnsembleOptions`, by keyword

    Attributes
    ----------
    account_history : AccountHistory
        The one account over the whole traded period.
    account_value : frame with the columns `date`, `account_value`
    actions : frame of the shares traded on each day, like `DRLAgent.DRL_prediction`'s
    records : list of WindowRecord
    summary : what `run_ensemble_strategy` returned

    Raises
    ------
    ConfigError
        If a column is missing, a period is not in the data, periods overlap, a window is too long
        for the data, or an argument does not fit the data.
    DataError
        If the data cannot be traded.
    """

    def __init__(
        self,
        df: "pd.DataFrame | MarketData",
        train_period: Period,
        val_test_period: Period,
        rebalance_window: int,
        validation_window: int,
        stock_dim: int,
        hmax: Any,
        initial_amount: float,
        buy_cost_pct: Any,
        sell_cost_pct: Any,
        reward_scaling: float | None,
        state_space: int,
        action_space: int,
        tech_indicator_list: Sequence[str],
        print_verbosity: int = 10,
        **options: Any,
    ) -> None:
        self.options = EnsembleOptions.of(options)
        self.df = df
        self.train_period, self.val_test_period = train_period, val_test_period
        self.rebalance_window, self.validation_window = rebalance_window, validation_window
        self.stock_dim, self.hmax, self.initial_amount = stock_dim, hmax, initial_amount
        self.buy_cost_pct, self.sell_cost_pct = buy_cost_pct, sell_cost_pct
        self.reward_scaling = reward_scaling
        self.state_space, self.action_space = state_space, action_space
        self.tech_indicator_list = list(tech_indicator_list)
        self.print_verbosity = print_verbosity
        self._account = AccountOptions(
            hmax=hmax,
            initial_amount=initial_amount,
            buy_cost_pct=buy_cost_pct,
            sell_cost_pct=sell_cost_pct,
            reward_scaling=reward_scaling,
            risk_indicator_col=self.options.risk_indicator_col,
            action=self.options.action,
            hmax_unit=self.options.hmax_unit,
            zero_action=self.options.zero_action,
            max_weight=self.options.max_weight,
            no_trade_band=self.options.no_trade_band,
            trade_rate=self.options.trade_rate,
            fill=self.options.fill,
            fractional_shares=self.options.fractional_shares,
            short=self.options.short,
            borrow_rate=self.options.borrow_rate,
            maintenance_margin=self.options.maintenance_margin,
            volume_slippage=self.options.volume_slippage,
            random_start=self.options.random_start,
            scale_observations=self.options.observation_scaling == "train",
            observation=self.options.observation,
            lookback=self.options.lookback,
            return_horizons=self.options.return_horizons,
            nearest_spread=self.options.nearest_spread,
            reward=self.options.reward,
            reward_kwargs=self.options.reward_kwargs,
            differential_sharpe_rate=self.options.differential_sharpe_rate,
        )
        self._read_data()
        self.records: list[WindowRecord] = []

    def _read_data(self) -> None:
        self._market = read_market(
            self.df,
            features=self.tech_indicator_list,
            risk_name=self.options.risk_indicator_col,
            train_period=self.train_period,
            val_test_period=self.val_test_period,
        )
        market = self._market
        check_tickers(market.market_data, self.stock_dim)
        self.windows: tuple[EnsembleWindow, ...] = rolling_windows(
            train_start=market.train_start,
            first_row=market.first_row,
            stop_row=market.stop_row,
            rebalance_window=self.rebalance_window,
            validation_window=self.validation_window,
        )
        self.unique_trade_date: AnyArray = np.array(
            market.labels[market.first_row : market.stop_row], dtype=object
        )
        self.periods_per_year = self._find_periods_per_year()
        # refuses sizes and account arguments that do not fit the data
        StockTradingEnv(
            market.market_data.rows(market.train_start, market.stop_row),
            stock_dim=self.stock_dim,
            state_space=self.state_space,
            action_space=self.action_space,
            **self._account.env_options(),
        )

    def _find_periods_per_year(self) -> float:
        if self.options.periods_per_year is not None:
            return self.options.periods_per_year
        market = self._market
        try:
            return periods_per_year(market.market_data.dates[market.train_start : market.first_row])
        except DataError as error:
            raise ConfigError(f"periods_per_year must be given for these data ({error})") from error

    # -- the strategy -----------------------------------------------------------------------------

    def run_ensemble_strategy(
        self,
        A2C_model_kwargs: Mapping[str, Any] | None = None,  # noqa: N803  # FinRL's names
        PPO_model_kwargs: Mapping[str, Any] | None = None,  # noqa: N803
        DDPG_model_kwargs: Mapping[str, Any] | None = None,  # noqa: N803
        SAC_model_kwargs: Mapping[str, Any] | None = None,  # noqa: N803
        TD3_model_kwargs: Mapping[str, Any] | None = None,  # noqa: N803
        timesteps_dict: Mapping[str, int] | None = None,
    ) -> pd.DataFrame:
        """Train and validate every window, trade them with one account, and return the summary.

        Parameters
        ----------
        A2C_model_kwargs, PPO_model_kwargs, DDPG_model_kwargs, SAC_model_kwargs, TD3_model_kwargs
            Keywords of the SB3 class over FinRL's defaults ({} for the defaults alone); None
            leaves the algorithm out. Models live on the CPU unless `device` is among them.
        timesteps_dict : per algorithm, steps of each training. FinRL's older call
            (A2C, PPO, DDPG, timesteps) by position is understood.

        Returns
        -------
        DataFrame
            See `summary_frame`. The account is in `account_value`, `actions`, `account_history`,
            the windows are in `records`.

        Raises
        ------
        ConfigError
            If no algorithm is left, a number of steps is missing, or a keyword does not fit.
        SearchError
            If Ray cannot be started or reached.
        """
        model_kwargs, timesteps = training_arguments(
            {
                "a2c": A2C_model_kwargs,
                "ppo": PPO_model_kwargs,
                "ddpg": DDPG_model_kwargs,
                "sac": SAC_model_kwargs,
                "td3": TD3_model_kwargs,
            },
            timesteps_dict,
        )
        plan, data = self._plan(model_kwargs, timesteps), self._market.market_data
        check_plan(data, self.windows[0], plan)
        thresholds = self._thresholds()
        logger.info("%d windows x %s", len(self.windows), list(model_kwargs))
        with self._workers(data) as workers:
            choices = choose_models(self.windows, thresholds, plan, workers)
        self.records = trade_windows(self._market, choices, self._account)
        self._keep_account()
        if self.options.results_dir is not None:
            write_results(self.options.results_dir, self.records, self._labels)
        self.summary = summary_frame(self.records)
        return self.summary

    def _plan(
        self, model_kwargs: Mapping[str, Mapping[str, Any]], timesteps: Mapping[str, int]
    ) -> TrainingPlan:
        return TrainingPlan(
            model_kwargs=model_kwargs,
            total_timesteps=timesteps,
            account=self._account,
            seed=self.options.seed,
            n_envs=self.options.n_envs,
            periods_per_year=self.periods_per_year,
            retrain=self.options.retrain,
        )

    def _thresholds(self) -> list[float | None]:
        lookback = self.options.turbulence_lookback
        return window_thresholds(
            self._market,
            self.windows,
            risk_name=self.options.risk_indicator_col,
            lookback=self.rebalance_window if lookback is None else lookback,
            quantile=self.options.turbulence_quantile,
        )

    @contextmanager
    def _workers(self, market_data: MarketData) -> Iterator[Workers]:
        options = self.options
        deadline = Deadline(options.time_budget_s)
        if not options.use_ray:
            yield LocalWorkers(market_data, deadline)
            return
        from finrl_ray.workflows.ensemble.ray_workers import ray_workers

        with ray_workers(
            market_data,
            deadline,
            address=options.address,
            num_cpus=options.num_cpus,
            max_concurrent=options.max_concurrent,
        ) as workers:
            yield workers

    @property
    def _labels(self) -> dict[Any, Any]:
        return dict(zip(self._market.market_data.dates, self._market.labels, strict=True))

    def _keep_account(self) -> None:
        history = join_histories([record.history for record in self.records])
        labels = self._labels
        dates = [labels[date] for date in history.dates]
        self.account_history: AccountHistory = history
        self.account_value: pd.DataFrame = account_frame(history, dates)
        self.actions: pd.DataFrame = actions_frame(history, dates)

    # -- FinRL's single steps ---------------------------------------------------------------------

    @staticmethod
    def get_model(
        model_name: str,
        env: "gym.Env[Any, Any] | VecEnv",
        policy: str = "MlpPolicy",
        policy_kwargs: Mapping[str, Any] | None = None,
        model_kwargs: Mapping[str, Any] | None = None,
        seed: int | None = None,
        verbose: int = 1,
    ) -> BaseAlgorithm:
        """Return a new model; see `DRLAgent.get_model`."""
        return DRLAgent(env).get_model(
            model_name,
            policy=policy,
            policy_kwargs=policy_kwargs,
            model_kwargs=model_kwargs,
            verbose=verbose,
            seed=seed,
        )

    @staticmethod
    def train_model(
        model: BaseAlgorithm,
        model_name: str,
        tb_log_name: str,
        iter_num: int,
        total_timesteps: int = 5000,
    ) -> BaseAlgorithm:
        """Train a model and return it; unlike FinRL's, writes no file."""
        logger.info("training %s for iteration %s", model_name, iter_num)
        return DRLAgent.train_model(model, tb_log_name, total_timesteps)

    def get_validation_sharpe(self, iteration: int, model_name: str) -> float:
        """Return the validation Sharpe ratio of a window of the last run.

        Raises
        ------
        ConfigError
            If there is no such window, or the algorithm took no part.
        """
        sharpe = {record.iteration: record.sharpe for record in self.records}
        if iteration not in sharpe or model_name not in sharpe[iteration]:
            known = {label: list(values) for label, values in sharpe.items()}
            raise ConfigError(
                f"there must be a validation of {model_name!r} in iteration {iteration}; run "
                f"run_ensemble_strategy first, which has {known}"
            )
        return sharpe[iteration][model_name]

    @staticmethod
    def DRL_validation(  # noqa: N802  # FinRL's name
        model: BaseAlgorithm,
        test_data: Any,
        test_env: "gym.Env[Any, Any] | VecEnv",
        test_obs: Any = None,
    ) -> AccountHistory:
        """Run a model's mean actions over one episode of `test_env` and return the account.

        `test_data` and `test_obs` are accepted; the env has its data, and is reset.
        """
        return evaluate_account(model, as_vec_env(test_env))[0]

    def DRL_prediction(  # noqa: N802  # FinRL's name
        self,
        model: Any,
        name: str,
        last_state: Sequence[float],
        iter_num: int,
        turbulence_threshold: float | None,
        initial: bool,
    ) -> list[float]:
        """Trade the window labelled `iter_num` and return the account's last state.

        Parameters
        ----------
        model : an SB3 model; its observations are scaled as in the last run's window
        name : accepted; no file is written
        last_state : where the window before left the account, unless `initial`
        iter_num : `Iter` of the summary
        turbulence_threshold : None for none
        initial : start from cash

        Raises
        ------
        ConfigError
            If there is no such window.
        """
        by_label = {window.iteration: window for window in self.windows}
        if iter_num not in by_label:
            raise ConfigError(f"iter_num must be one of {list(by_label)}, got {iter_num}")
        scalings = {record.iteration: record.scaling for record in self.records}
        _, state = trade_window(
            self._market.market_data,
            by_label[iter_num],
            model,
            self._account,
            scaling=scalings.get(iter_num),
            threshold=turbulence_threshold,
            previous_state=None if initial else list(last_state),
        )
        return state
