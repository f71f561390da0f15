"""`TradingEvalCallback`: SB3's `EvalCallback` judged by trading measures of the true account."""

import logging
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import gymnasium as gym
import numpy as np
from stable_baselines3.common.callbacks import BaseCallback, EvalCallback
from stable_baselines3.common.vec_env import VecEnv

from finrl_ray.agent.atomic_file import atomic_path
from finrl_ray.agent.callbacks.callback_state import (
    capture_callback_state,
    restore_callback_state,
)
from finrl_ray.agent.callbacks.evaluation_log import EvaluationLog
from finrl_ray.agent.drl_agent import VECNORMALIZE_FILE, as_vec_env
from finrl_ray.agent.evaluation import Episode, evaluate_episodes, shares_accounts
from finrl_ray.errors import ConfigError
from finrl_ray.metrics.performance import performance_summary, undefined_reason
from finrl_ray.metrics.returns import simple_returns

if TYPE_CHECKING:
    from finrl_ray.env.history import AccountHistory

logger = logging.getLogger(__name__)

MODES: Mapping[str, str] = MappingProxyType(
    {
        "sharpe_ratio": "max",
        "sortino_ratio": "max",
        "calmar_ratio": "max",
        "max_drawdown": "max",  # it is <= 0
        "total_return": "max",
        "annual_return": "max",
        "annual_volatility": "min",
    }
)
"""Metrics that an agent can be judged by, and whether more or less of each is better."""

UNDEFINED_OBJECTIVE: Mapping[str, float] = MappingProxyType(
    {
        "sharpe_ratio": -10.0,
        "sortino_ratio": -10.0,
        "calmar_ratio": -10.0,
        "max_drawdown": -1.0,
        "total_return": -1.0,
        "annual_return": -1.0,
        "annual_volatility": -10.0,
    }
)
"""What a scheduler is told where the metric is NaN: finite, worse than agents get in practice."""

EVALUATION_SEED = 0
BEST_MODEL_FILE = "best_model.zip"


class TradingEvalCallback(EvalCallback):
    """Evaluates on another window during training, by a trading measure, without disturbing it.

    The measures come from the env's own account history, so they hold under Monitor, DummyVecEnv,
    SubprocVecEnv, StockTradingVecEnv and VecNormalize. Evaluation falls on the first step at or
    past each multiple of `eval_freq`, and training goes on bit for bit as without it. Logged under
    `eval/`: every measure, `objective`, `mean_reward` and `mean_ep_length`.

    Parameters
    ----------
    eval_env : env or vec env of the evaluation window, other than the training env
    callback_on_new_best : triggered by a new best metric; may stop training
    callback_after_eval : triggered by every evaluation; may stop training. SB3's
        `StopTrainingOnNoModelImprovement` follows the metric here.
    n_eval_episodes : episodes per evaluation; one is run where a second would repeat the first
    eval_freq : timesteps, summed over the training accounts, between evaluations
    log_path : folder for `evaluations.npz` (see `EvaluationLog.save`)
    best_model_save_path : folder for `best_model.zip` and, under VecNormalize, `vecnormalize.pkl`
    deterministic : take the policy's mean action instead of a random one
    render, warn : accepted as EvalCallback's; nothing is rendered
    verbose : 1 logs each evaluation at INFO level
    metric : one of `MODES`
    periods_per_year : periods/year
    risk_free_rate : 1/year

    Attributes
    ----------
    metric, mode : what is judged, and whether its larger (`max`) or smaller values are better
    best_mean_reward : best `objective` so far (the name is SB3's), -inf before the first
    log : EvaluationLog
    account_histories : of the latest evaluation

    Raises
    ------
    ConfigError
        If `metric` is not known, a rate is not finite, or an interval or number of episodes is less
        than 1; at the start of training, if `eval_env` is the training env.
    """

    def __init__(
        self,
        eval_env: "gym.Env[Any, Any] | VecEnv",
        callback_on_new_best: BaseCallback | None = None,
        callback_after_eval: BaseCallback | None = None,
        n_eval_episodes: int = 5,
        eval_freq: int = 10000,
        log_path: str | None = None,
        best_model_save_path: str | None = None,
        deterministic: bool = True,
        render: bool = False,
        verbose: int = 1,
        warn: bool = True,
        *,
        metric: str = "sharpe_ratio",
        periods_per_year: float = 252.0,
        risk_free_rate: float = 0.0,
    ) -> None:
        if metric not in MODES:
            raise ConfigError(f"metric must be one of {', '.join(MODES)}, got {metric!r}")
        for name, number in (("eval_freq", eval_freq), ("n_eval_episodes", n_eval_episodes)):
            if number < 1:
                raise ConfigError(f"{name} must be >= 1, got {number}")
        if not 0 < periods_per_year < np.inf:
            raise ConfigError(f"periods_per_year must be > 0, got {periods_per_year}")
        if not np.isfinite(risk_free_rate):
            raise ConfigError(f"risk_free_rate must be finite, got {risk_free_rate}")
        super().__init__(
            as_vec_env(eval_env),
            callback_on_new_best,
            callback_after_eval,
            n_eval_episodes,
            eval_freq,
            log_path,
            best_model_save_path,
            deterministic,
            render,
            verbose,
            warn,
        )
        self.metric = metric
        self.mode = MODES[metric]
        self.periods_per_year = periods_per_year
        self.risk_free_rate = risk_free_rate
        self.log = EvaluationLog()
        self.account_histories: list[AccountHistory] = []
        self.continue_training = True
        self._evaluated_at: tuple[int, int] | None = None
        self._next_eval = eval_freq
        self._restored = False

    @property
    def evaluation_timesteps(self) -> list[int]:
        """Timesteps of training at each evaluation."""
        return self.log.timesteps

    @property
    def sharpe_history(self) -> list[float]:
        """Sharpe ratio of each evaluation."""
        return self.log.history("sharpe_ratio")

    @property
    def max_drawdown_history(self) -> list[float]:
        """Maximum drawdown (<= 0) of each evaluation."""
        return self.log.history("max_drawdown")

    def is_due(self) -> bool:
        """Return whether the next multiple of `eval_freq` has been reached."""
        return self.model.num_timesteps >= self._next_eval

    def evaluate_now(self) -> dict[str, float]:
        """Evaluate, log, keep the best model and trigger the callbacks inside this one.

        May be called at a safe point of `learn_from` as well as from `_on_step`. At a point that
        has been evaluated already (same timesteps, same number of updates) nothing happens and the
        earlier result is returned.

        Returns
        -------
        dict
            The measures of `performance_summary` with `turnover`, means over the episodes; further
            `n_trades`, `mean_reward`, `mean_ep_length` and `objective`: the metric, negated where
            less is better, or the finite `UNDEFINED_OBJECTIVE` where it is NaN. Whether a callback
            inside this one asks to stop is in `continue_training`.

        Raises
        ------
        DataError
            If the evaluation env gives no account history.
        """
        point = (self.model.num_timesteps, self.model._n_updates)
        if point == self._evaluated_at:
            return dict(self.log.measures[-1])
        self.num_timesteps = self.model.num_timesteps
        episodes = self._run_episodes()
        measures, reason = self._measure(episodes)
        self.account_histories = [episode.history for episode in episodes]
        self.last_mean_reward = measures["mean_reward"]
        self.log.append(self.num_timesteps, measures, reason, episodes)
        self._evaluated_at = point
        self._next_eval = (self.num_timesteps // self.eval_freq + 1) * self.eval_freq
        if self.log_path is not None:
            self.save_evaluations(f"{self.log_path}.npz")
        self._record(measures, reason)
        self.continue_training = self._trigger_children(measures, reason)
        return dict(measures)

    def save_evaluations(self, path: str | Path) -> None:
        """Write every evaluation so far; see `EvaluationLog.save`."""
        self.log.save(path)

    def get_state(self) -> dict[str, Any]:
        """Return everything that a resumed run needs, as plain values."""
        children = (self.callback_on_new_best, self.callback)
        return {
            "log": self.log.get_state(),
            "best": self.best_mean_reward,
            "last_mean_reward": self.last_mean_reward,
            "n_calls": self.n_calls,
            "n_eval_episodes": self.n_eval_episodes,
            "evaluated_at": self._evaluated_at,
            "next_eval": self._next_eval,
            "continue_training": self.continue_training,
            "children": [None if c is None else capture_callback_state(c) for c in children],
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """Undo `get_state` on a callback built with the same arguments."""
        self.log = EvaluationLog.from_state(state["log"])
        self.best_mean_reward = state["best"]
        self.last_mean_reward = state["last_mean_reward"]
        self.n_calls = state["n_calls"]
        self.n_eval_episodes = state["n_eval_episodes"]
        self._evaluated_at = state["evaluated_at"]
        self._next_eval = state["next_eval"]
        self._restored = True
        self.continue_training = state["continue_training"]
        children = (self.callback_on_new_best, self.callback)
        for child, child_state in zip(children, state["children"], strict=True):
            if child is not None and child_state is not None:
                restore_callback_state(child, child_state)

    def _init_callback(self) -> None:
        if shares_accounts(self.training_env, self.eval_env):
            raise ConfigError(
                "eval_env must not be the training env: evaluating resets it; build a second one"
            )
        if self.callback_on_new_best is not None:
            self.callback_on_new_best.init_callback(self.model)

    def _on_training_start(self) -> None:
        super()._on_training_start()
        if not self._restored:
            # one callback may serve several calls of learn, each counting from another number
            self._next_eval = (self.model.num_timesteps // self.eval_freq + 1) * self.eval_freq
        self._restored = False

    def _on_step(self) -> bool:
        if not self.is_due():
            return True
        self.evaluate_now()
        return self.continue_training

    def _run_episodes(self) -> list[Episode]:
        if self.deterministic and self.n_eval_episodes > 1 and not self.log.timesteps:
            first, second = self._evaluate(2)
            if np.array_equal(first.history.account_value, second.history.account_value):
                logger.info(
                    "the policy is deterministic and every evaluation episode is the same: running "
                    "1 instead of %d",
                    self.n_eval_episodes,
                )
                self.n_eval_episodes = 1
                return [first]
        return self._evaluate(self.n_eval_episodes)

    def _evaluate(self, n_episodes: int) -> list[Episode]:
        return evaluate_episodes(
            self.model, self.eval_env, n_episodes, self.deterministic, seed=EVALUATION_SEED
        )

    def _measure(self, episodes: list[Episode]) -> tuple[dict[str, float], str]:
        summaries = [self._summary(episode.history) for episode in episodes]
        measures = {
            name: float(np.mean([summary[name] for summary in summaries])) for name in summaries[0]
        }
        measures["mean_reward"] = float(np.mean([episode.reward for episode in episodes]))
        measures["mean_ep_length"] = float(np.mean([episode.length for episode in episodes]))
        value = measures[self.metric]
        if np.isfinite(value):
            measures["objective"] = value if self.mode == "max" else -value
            return measures, ""
        measures["objective"] = UNDEFINED_OBJECTIVE[self.metric]
        bad = next(i for i, s in enumerate(summaries) if not np.isfinite(s[self.metric]))
        account_value = episodes[bad].history.account_value
        if not np.isfinite(account_value).all():
            return measures, f"{self.metric} is undefined: the account value is infinite"
        reason = undefined_reason(simple_returns(account_value))
        return measures, f"{self.metric} is undefined: {reason}"

    def _summary(self, history: "AccountHistory") -> dict[str, float]:
        summary = performance_summary(
            history.account_value,
            periods_per_year=self.periods_per_year,
            risk_free_rate=self.risk_free_rate,
            traded_amount=history.traded_amount,
        )
        return {**summary, "n_trades": float(history.n_trades)}

    def _record(self, measures: dict[str, float], reason: str) -> None:
        for name, value in measures.items():
            self.logger.record(f"eval/{name}", value)
        self.logger.record("time/total_timesteps", self.num_timesteps, exclude="tensorboard")
        self.logger.dump(self.num_timesteps)
        if self.verbose >= 1:
            logger.info(
                "evaluation at %d timesteps: %s %.4g, max_drawdown %.4g, mean_reward %.4g",
                self.num_timesteps,
                self.metric,
                measures[self.metric],
                measures["max_drawdown"],
                measures["mean_reward"],
            )
        if reason:
            logger.warning(
                "evaluation at %d timesteps: %s; objective %g stands in",
                self.num_timesteps,
                reason,
                measures["objective"],
            )

    def _trigger_children(self, measures: dict[str, float], reason: str) -> bool:
        go_on = True
        # an undefined metric is never the best one, whatever stands in for it
        if not reason and measures["objective"] > self.best_mean_reward:
            self.best_mean_reward = measures["objective"]
            self._save_best_model()
            if self.callback_on_new_best is not None:
                go_on = self.callback_on_new_best.on_step()
        return self._on_event() and go_on

    def _save_best_model(self) -> None:
        if self.best_model_save_path is None:
            return
        folder = Path(self.best_model_save_path)
        with atomic_path(folder / BEST_MODEL_FILE) as temporary:
            self.model.save(temporary)
        normalizer = self.model.get_vec_normalize_env()
        if normalizer is not None:
            with atomic_path(folder / VECNORMALIZE_FILE) as temporary:
                normalizer.save(str(temporary))
