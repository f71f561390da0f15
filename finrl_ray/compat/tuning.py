"""FinRL's `TuneSB3Optuna`: its arguments, on a search that never scores a trial on `env_trade`."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pandas as pd
from stable_baselines3.common.vec_env import VecEnv, VecNormalize

from finrl_ray.agents.drl_agent import DRLAgent
from finrl_ray.agents.models import as_vec_env, under_saved_statistics
from finrl_ray.compat.statistics import backtest_stats
from finrl_ray.compat.study import PATH_KEY, EndedStudy, study_of
from finrl_ray.compat.unpacked_env import (
    UnpackedEnv,
    accounts_of,
    experiment_of,
    market_of,
    observe_as_trained,
    unpack_env,
)
from finrl_ray.data.labels import date_label
from finrl_ray.data.market_data import MarketData
from finrl_ray.errors import ConfigError, SearchError
from finrl_ray.search.folder.folder import open_folder
from finrl_ray.search.folder.test_openings import count_openings, record_opening
from finrl_ray.search.results.winner import load_single_winner
from finrl_ray.search.run.runner import run_search
from finrl_ray.support.text import times

logger = logging.getLogger(__name__)

STATISTICS_FILE = "perf_stats_all_tuned.csv"

Callback = Callable[[optuna.Study, optuna.trial.FrozenTrial], Any]


class TuneSB3Optuna:
    """Search the hyperparameters of one algorithm; the arguments are FinRL's, then our own.

    Trials train on the first part of `env_train`'s days and are compared on the rest; `env_trade`
    is run once, by `backtest`, with the best of them. Costs, data and training budget are not
    searched over.

    Parameters
    ----------
    env_train : StockTradingEnv, a vec env of it (`get_sb_env()`), or StockTradingVecEnv; its number
        of accounts and its VecNormalize are used in trials too
    model_name : name of the algorithm, as in `DRLAgent.get_model`
    env_trade : such an env over later days
    logging_callback : called with the study and each trial when the search has ended, in order
    total_timesteps : per trial
    n_trials : trials
    validation_fraction : share of `env_train`'s days, the last ones, on which trials are compared
    space : laid over the algorithm's default space, as `search.space` of a config
    metric : by what trials are compared on the validation days, the best one too; None: they are
        stopped by the Sharpe ratio, and the best is first by the appraisal ratio, as in a search
    eval_freq : timesteps between evaluations; None: a tenth of `total_timesteps`
    scheduler : `asha` stops the weaker trials early, `fifo` none
    max_concurrent_trials : None: as many as there are CPUs
    seed : of the search, from which each trial's is derived
    storage_path : folder under which the search gets a folder of its own

    Raises
    ------
    ConfigError
        If the envs share days, are not this package's, or do not match; if an argument is wrong.
    """

    def __init__(
        self,
        env_train: Any,
        model_name: str,
        env_trade: Any,
        logging_callback: Callback | None = None,
        total_timesteps: int = 50_000,
        n_trials: int = 30,
        *,
        validation_fraction: float = 0.2,
        space: Mapping[str, Any] | None = None,
        metric: str | None = None,
        eval_freq: int | None = None,
        scheduler: str = "asha",
        max_concurrent_trials: int | None = None,
        seed: int = 42,
        storage_path: str | Path = "runs",
    ) -> None:
        self.env_train, self.env_trade = env_train, env_trade
        self.model_name = model_name
        self.logging_callback = logging_callback
        self.total_timesteps, self.n_trials = total_timesteps, n_trials
        self.path: Path | None = None
        self._tested: tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame] | None = None
        unpacked = unpack_env(env_train, "env_train")
        self.market_data, split = _with_windows(unpacked, env_trade, validation_fraction)
        if eval_freq is None:
            eval_freq = max(1, int(total_timesteps) // 10)
        compared = {} if metric is None else {"metric": metric}
        ranked = {} if metric is None else {"rank_by": metric}
        sections: dict[str, Mapping[str, Any]] = {
            "split": split,
            "agent": {"algorithm": model_name, "total_timesteps": total_timesteps},
            "evaluation": {"eval_freq": eval_freq, **compared},
            "search": {
                "num_samples": n_trials,
                "searcher": "optuna",
                "scheduler": {"type": scheduler},
                "space": dict(space or {}),
                "max_concurrent_trials": max_concurrent_trials,
                "storage_path": str(storage_path),
                **ranked,
            },
        }
        self.config = experiment_of(unpacked, f"{model_name}_study", seed, sections, type(self))

    def run_optuna(self) -> EndedStudy:
        """Run the search and return its trials as an Optuna study.

        Interrupted by Ctrl-C it returns what has ended; `resume_search(tuner.path)` goes on.

        Raises
        ------
        ConfigError, DataError
            Before anything is started or written.
        SearchError
            If the search's folder cannot be written or Ray fails.
        """
        result = run_search(self.config, market_data=self.market_data)
        self.path = result.path
        if not result.finished:
            logger.warning("the search is not finished; resume_search(%r) goes on", str(self.path))
        study = study_of(result.path)
        for trial in study.trials if self.logging_callback else ():
            assert self.logging_callback is not None
            self.logging_callback(study, trial)
        return study

    def backtest(
        self, final_study: optuna.Study
    ) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
        """Run the best model on `env_trade`, once, and record in the search's folder that it was.

        The model is the one that the best trial has trained, without the validation days. Called
        again for the same search, it returns the first result.

        Parameters
        ----------
        final_study : what `run_optuna` returned

        Returns
        -------
        account_value, actions : as `DRLAgent.DRL_prediction`
        statistics : `backtest_stats` as a frame of one column; also in the search's folder

        Raises
        ------
        ConfigError
            If the study is not from a search.
        SearchError
            If no trial can win, or its model cannot be read.
        """
        path = Path(str(final_study.user_attrs.get(PATH_KEY, "")))
        if PATH_KEY not in final_study.user_attrs:
            raise ConfigError("backtest needs the study that run_optuna() returned, got another")
        if self._tested is not None and path == self.path:
            logger.info("the trade window was already used; this is the first result again")
            return self._tested
        folder = open_folder(path)
        record, model, file = load_single_winner(folder)
        env = as_vec_env(self.env_trade)
        observe_as_trained(env, "env_trade", folder)
        if folder.config.agent.normalize:
            env = _with_statistics(env, file)
        dates = market_of(accounts_of(self.env_trade, "env_trade"), with_risk=False).dates
        after = dates[-1].astype("datetime64[D]") + np.timedelta64(1, "D")
        window = (date_label(dates[0])[:10], str(after))
        record_opening(folder, record, file, window, by="TuneSB3Optuna")
        account_value, actions = DRLAgent.DRL_prediction(model, env)
        statistics = backtest_stats(account_value).to_frame("tuned")
        statistics.to_csv(folder.path / STATISTICS_FILE)
        logger.info(
            "trial %d on the trade window, opened %s:\n%s",
            record.index,
            times(count_openings(folder.path)),
            statistics,
        )
        self.path, self._tested = path, (account_value, actions, statistics)
        return self._tested


def _with_statistics(env: VecEnv, file: Path) -> VecEnv:
    """Return the env under the statistics that the winner was trained with."""
    while isinstance(env, VecNormalize):
        env = env.venv
    missing = SearchError(
        f"the VecNormalize statistics of {file} are missing, and it was trained under them"
    )
    return under_saved_statistics(env, file, missing=missing)


def _with_windows(
    unpacked: UnpackedEnv, env_trade: Any, fraction: float
) -> tuple[MarketData, dict[str, list[str | None]]]:
    """Return the days of both envs, and the `split` section that keeps them apart."""
    if not 0 < fraction < 1:
        raise ConfigError(
            f"validation_fraction must be within (0, 1), got {fraction}; 0.2 compares trials on "
            "the last fifth of env_train's days"
        )
    train = unpacked.market_data
    with_risk = unpacked.env.turbulence_threshold is not None
    trade = market_of(accounts_of(env_trade, "env_trade"), with_risk=with_risk)
    joined = _joined(train, trade)
    first_rows = (train.dates[int(train.n_periods * (1 - fraction))], trade.dates[0])
    validation, test = (date_label(date)[:10] for date in first_rows)
    return joined, {
        "train": [None, validation],
        "validation": [validation, test],
        "test": [test, None],
    }


def _joined(train: MarketData, trade: MarketData) -> MarketData:
    """Return the days of both envs after one another, for a search with a sealed test window."""
    common = np.intersect1d(train.dates, trade.dates)
    if common.size:
        raise ConfigError(
            f"env_train and env_trade share {common.size} dates, {date_label(common[0])} to "
            f"{date_label(common[-1])}: a backtest on days that the agent was trained on says "
            "nothing. End env_train before env_trade starts; trials are compared on a validation "
            "window at the end of env_train, so env_trade is not needed for tuning"
        )
    if trade.dates[0] < train.dates[-1]:
        raise ConfigError(
            f"env_trade must start after env_train's last date {date_label(train.dates[-1])}, got "
            f"{date_label(trade.dates[0])}"
        )
    for what in ("tickers", "feature_names", "market_feature_names"):
        if getattr(train, what) != getattr(trade, what):
            raise ConfigError(
                f"env_train and env_trade must have the same {what}, got {getattr(train, what)} "
                f"and {getattr(trade, what)}"
            )
    arrays = ("dates", "open", "high", "low", "close", "volume", "features", "tradable")
    joined: dict[str, Any] = {
        name: np.concatenate([getattr(train, name), getattr(trade, name)])
        for name in (*arrays, "market_features")
    }
    return replace(train, **joined)
