"""`EvalCallback`: SB3's, counted in timesteps and judged by any measure, leaving no trace."""

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import gymnasium as gym
import numpy as np
from stable_baselines3.common import callbacks as sb3_callbacks
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import VecEnv

from finrl_ray.agents.callbacks.callback_state import (
    capture_callback_state,
    restore_callback_state,
)
from finrl_ray.agents.callbacks.evaluation_log import EvaluationLog
from finrl_ray.agents.callbacks.interval import TimestepInterval
from finrl_ray.agents.callbacks.measures import REWARD_METRIC, judge_of
from finrl_ray.agents.checkpoints.disk_errors import surviving_disk_errors
from finrl_ray.agents.frame_stack import shown_as_in_training
from finrl_ray.agents.model_files import BEST_MODEL_FILE
from finrl_ray.agents.models import as_vec_env, save_model
from finrl_ray.agents.normalization import VECNORMALIZE_FILE
from finrl_ray.agents.rollout import Episode, evaluate_episodes, shares_accounts
from finrl_ray.agents.sb3_internals import n_updates
from finrl_ray.agents.state.env import base_vec_env
from finrl_ray.errors import ConfigError
from finrl_ray.files.atomic import atomic_path
from finrl_ray.own_code.metric import OwnMetric

if TYPE_CHECKING:
    from finrl_ray.env.account_history import AccountHistory

logger = logging.getLogger(__name__)

EVALUATION_SEED = 0


class EvalCallback(sb3_callbacks.EvalCallback):
    """Evaluates on another window during training, without disturbing it.

    Evaluation falls on the first step at or past each multiple of `eval_freq`, and training goes on
    bit for bit as without it. An `eval_env` of several accounts, each on its own window, is
    evaluated on all of them; measures are means over the episodes. Logged under `eval/`:
    `mean_reward`, `mean_ep_length`, `objective` and, where the env gives accounts, every trading
    measure. They hold under Monitor, DummyVecEnv, SubprocVecEnv, StockTradingVecEnv and
    VecNormalize.

    Parameters
    ----------
    eval_env : env or vec env of the evaluation window, other than the training env
    callback_on_new_best : triggered by a new best metric; may stop training
    callback_after_eval : triggered by every evaluation; may stop training. SB3's
        `StopTrainingOnNoModelImprovement` follows the metric here.
    n_eval_episodes : episodes per evaluation, at least one per account; one per account is run
        where a second would repeat the first
    eval_freq : timesteps, summed over the training accounts, between evaluations
    log_path : folder for `evaluations.npz` (see `EvaluationLog.save`); made absolute at once
    best_model_save_path : folder for `best_model.zip` and, under VecNormalize, `vecnormalize.pkl`;
        made absolute at once
    deterministic : take the policy's mean action instead of a random one
    render, warn : accepted as SB3's; nothing is rendered
    verbose : 1 logs each evaluation at INFO level
    metric : one of `measures.MODES`, or your own, a function or its import path (see
        docs/bring/metric.md); all but `mean_reward` need an env that gives accounts; None:
        `mean_reward`, of `TradingEvalCallback` `sharpe_ratio`
    periods_per_year : periods/year; None: read from the dates of the env
    risk_free_rate : 1/year
    metric_kwargs : keywords of your own metric
    own_metrics : your own, loaded already, that are measured beside the others

    Attributes
    ----------
    metric, mode : what is judged, and whether its larger (`max`) or smaller values are better
    best_mean_reward : best `objective` so far (the name is SB3's), -inf before the first
    log : EvaluationLog
    evaluations_timesteps, evaluations_results, evaluations_length : SB3's, always filled
    account_histories : of the latest evaluation
    continue_training : False after a callback inside this one has asked to stop

    Raises
    ------
    ConfigError
        If `metric` is not known, a rate is not finite, or an interval or `n_eval_episodes` is not a
        whole number >= 1; at the start of training, if `eval_env` is the training
        env or has other shapes of observation or action.
    DataError
        If `periods_per_year` is None, needed for the metric and cannot be read from the dates.
    """

    default_metric: ClassVar[str] = REWARD_METRIC
    """What is judged where no metric is named."""
    _requires_account = False

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
        metric: str | Callable[..., float] | None = None,
        periods_per_year: float | None = None,
        risk_free_rate: float = 0.0,
        metric_kwargs: Mapping[str, Any] | None = None,
        own_metrics: Sequence[OwnMetric] = (),
    ) -> None:
        self._judge = judge_of(
            self.default_metric if metric is None else metric,
            metric_kwargs=metric_kwargs,
            own_metrics=own_metrics,
            periods_per_year=periods_per_year,
            risk_free_rate=risk_free_rate,
        )
        self._interval = TimestepInterval("eval_freq", eval_freq)
        if not isinstance(n_eval_episodes, int | np.integer) or n_eval_episodes < 1:
            raise ConfigError(
                f"n_eval_episodes must be a whole number >= 1, got {n_eval_episodes!r}"
            )
        super().__init__(
            as_vec_env(eval_env),
            callback_on_new_best,
            callback_after_eval,
            n_eval_episodes,
            eval_freq,
            _absolute(log_path),
            _absolute(best_model_save_path),
            deterministic,
            render,
            verbose,
            warn,
        )
        self.metric = self._judge.metric
        self.mode = self._judge.mode
        self.account_histories: list[AccountHistory] = []
        self.continue_training = True
        self._n_episodes = max(n_eval_episodes, self.eval_env.num_envs)
        self._evaluated_at: tuple[int, int] | None = None
        self._use_log(EvaluationLog())

    @property
    def evaluation_timesteps(self) -> list[int]:
        """Timesteps of training at each evaluation."""
        return self.log.timesteps

    @property
    def last_measures(self) -> dict[str, float]:
        """What the latest evaluation measured, as `evaluate_now` returns it; empty before it."""
        return dict(self.log.measures[-1]) if self.log.measures else {}

    def is_due(self) -> bool:
        """Return whether the next multiple of `eval_freq` has been reached."""
        return self._interval.is_due(self.model.num_timesteps)

    def evaluate_now(self) -> dict[str, float]:
        """Evaluate, log, keep the best model and trigger the callbacks inside this one.

        May be called at a safe point of `learn_from` as well as from `_on_step`. At a point that
        has been evaluated already (same timesteps, same number of updates) nothing happens and the
        earlier result is returned.

        Returns
        -------
        dict
            The measures of `performance_summary` with `turnover` and `n_trades`, means over the
            episodes; further `mean_reward`, `mean_ep_length` and `objective`: the metric, negated
            where less is better, or the finite `UNDEFINED_OBJECTIVE` where it is NaN. Whether a
            callback inside this one asks to stop is in `continue_training`.

        Raises
        ------
        DataError
            If the metric needs an account and the evaluation env gives none.
        """
        point = (self.model.num_timesteps, n_updates(self.model))
        if point == self._evaluated_at:
            return self.last_measures
        self.num_timesteps = self.model.num_timesteps
        episodes = self._run_episodes()
        self._judge = self._judge.settled_by(episodes)
        measures, reason = self._judge.measure(episodes)
        self.account_histories = [e.history for e in episodes if e.history is not None]
        self.last_mean_reward = measures[REWARD_METRIC]
        self.log.append(self.num_timesteps, measures, reason, episodes)
        self._evaluated_at = point
        self._interval.advance(self.num_timesteps)
        if self.log_path is not None:
            with surviving_disk_errors(f"the evaluations of {self.num_timesteps} timesteps"):
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
            "n_eval_episodes": self._n_episodes,
            "evaluated_at": self._evaluated_at,
            "next_eval": self._interval.get_state()["next"],
            "continue_training": self.continue_training,
            "children": [None if c is None else capture_callback_state(c) for c in children],
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """Undo `get_state` on a callback built with the same arguments."""
        self._use_log(EvaluationLog.from_state(state["log"]))
        self.best_mean_reward = state["best"]
        self.last_mean_reward = state["last_mean_reward"]
        self.n_calls = state["n_calls"]
        self._n_episodes = state["n_eval_episodes"]
        self._evaluated_at = state["evaluated_at"]
        self._interval.set_state({"next": state["next_eval"]})
        self.continue_training = state["continue_training"]
        children = (self.callback_on_new_best, self.callback)
        for child, child_state in zip(children, state["children"], strict=True):
            if child is not None and child_state is not None:
                restore_callback_state(child, child_state)

    def next_needed_timestep(self, num_timesteps: int) -> int:
        """Return the timesteps at which this callback must be called next (docs/callbacks.md)."""
        return self._interval.next_due if self.continue_training else num_timesteps + 1

    def on_step(self) -> bool:
        """Act on a step of training, and return whether to go on."""
        # also where a subclass does not return what the `_on_step` of this class does
        return super().on_step() and self.continue_training

    def update_child_locals(self, locals_: dict[str, Any]) -> None:
        """Pass the variables of `learn` to the callbacks inside this one."""
        for child in self._children():
            child.update_locals(locals_)

    def _children(self) -> list[BaseCallback]:
        children = (self.callback_on_new_best, self.callback)
        return [child for child in children if child is not None]

    def _use_log(self, log: EvaluationLog) -> None:
        self.log = log
        # the same lists under SB3's names
        self.evaluations_timesteps = log.timesteps
        self.evaluations_results = log.rewards
        self.evaluations_length = log.lengths

    def _init_callback(self) -> None:
        if shares_accounts(self.training_env, self.eval_env):
            raise ConfigError(
                "eval_env must not be the training env: evaluating resets it; build a second one"
            )
        self.eval_env = shown_as_in_training(self.model, self.eval_env)
        self._check_spaces()
        self._settle_periods_per_year()
        if self._evaluated_at != (self.model.num_timesteps, n_updates(self.model)):
            self._evaluated_at = None  # that was another model, or a training that was reset
        if self.best_model_save_path is not None:
            Path(self.best_model_save_path).mkdir(parents=True, exist_ok=True)
        if self.log_path is not None:
            Path(self.log_path).parent.mkdir(parents=True, exist_ok=True)
        if self.callback_on_new_best is not None:
            self.callback_on_new_best.init_callback(self.model)

    def _settle_periods_per_year(self) -> None:
        """Read `periods_per_year` from the env's dates, if it has some and is in this process."""
        base = base_vec_env(self.eval_env)
        inside = getattr(base, "envs", None)
        holder = inside[0].unwrapped if inside else base
        table = getattr(getattr(holder, "accounts", None), "table", None)
        if table is not None:
            self._judge = self._judge.settled(table.dates)

    def _check_spaces(self) -> None:
        for name in ("observation_space", "action_space"):
            trained, given = getattr(self.model, name).shape, getattr(self.eval_env, name).shape
            if trained != given:
                raise ConfigError(
                    f"eval_env must have the training env's {name} of shape {trained}, got "
                    f"{given}; build both with the same tickers, features and options"
                )

    def _on_training_start(self) -> None:
        for child in self._children():
            child.on_training_start(self.locals, self.globals)
        self.continue_training = True
        self._interval.start(self.model.num_timesteps)

    def _on_training_end(self) -> None:
        for child in self._children():
            child.on_training_end()

    def _on_step(self) -> bool:
        if not self.is_due():
            return True
        self.evaluate_now()
        return self.continue_training

    def _run_episodes(self) -> list[Episode]:
        n_accounts = self.eval_env.num_envs
        if not self.deterministic or self._n_episodes == n_accounts or self.log.timesteps:
            return self._evaluate(self._n_episodes)
        twice = self._evaluate(2 * n_accounts)
        first = {episode.env_index: episode for episode in reversed(twice)}
        if all(_repeats(episode, first[episode.env_index]) for episode in twice):
            logger.info(
                "the policy is deterministic and every evaluation episode is the same: running "
                "%d instead of %d",
                n_accounts,
                self._n_episodes,
            )
            self._n_episodes = n_accounts
            return list(first.values())[::-1]
        return self._evaluate(self._n_episodes)

    def _evaluate(self, n_episodes: int) -> list[Episode]:
        return evaluate_episodes(
            self.model,
            self.eval_env,
            n_episodes,
            self.deterministic,
            seed=EVALUATION_SEED,
            require_account=self._requires_account or self.metric != REWARD_METRIC,
        )

    def _record(self, measures: dict[str, float], reason: str) -> None:
        for name, value in measures.items():
            self.logger.record(f"eval/{name}", value)
        self.logger.record("time/total_timesteps", self.num_timesteps, exclude="tensorboard")
        self.logger.dump(self.num_timesteps)
        if self.verbose >= 1:
            shown = dict.fromkeys([self.metric, "max_drawdown", REWARD_METRIC])
            text = ", ".join(f"{name} {measures[name]:.4g}" for name in shown if name in measures)
            logger.info("evaluation at %d timesteps: %s", self.num_timesteps, text)
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
            with surviving_disk_errors(f"the best model, of {self.num_timesteps} timesteps,"):
                self._save_best_model()
            if self.callback_on_new_best is not None:
                go_on = self.callback_on_new_best.on_step()
        return self._on_event() and go_on

    def _save_best_model(self) -> None:
        if self.best_model_save_path is None:
            return
        model_path = Path(self.best_model_save_path) / BEST_MODEL_FILE
        statistics_path = model_path.with_name(VECNORMALIZE_FILE)
        normalizer = self.model.get_vec_normalize_env()
        # both are written before either is renamed: each is of use with the other one only
        with ExitStack() as stack:
            save_model(self.model, stack.enter_context(atomic_path(model_path)))
            if normalizer is not None:
                normalizer.save(str(stack.enter_context(atomic_path(statistics_path))))
            elif model_path.exists():
                statistics_path.unlink(missing_ok=True)  # of the model that is replaced


class TradingEvalCallback(EvalCallback):
    """`EvalCallback` whose best model is that of the best Sharpe ratio, or of another `metric`.

    Takes the arguments of `EvalCallback`, and refuses an `eval_env` that gives no accounts
    (`DataError` at the first evaluation). Measures come from the env's own account history.
    """

    default_metric = "sharpe_ratio"
    _requires_account = True

    @property
    def sharpe_history(self) -> list[float]:
        """Sharpe ratio of each evaluation."""
        return self.log.history("sharpe_ratio")

    @property
    def max_drawdown_history(self) -> list[float]:
        """Maximum drawdown (<= 0) of each evaluation."""
        return self.log.history("max_drawdown")


def _absolute(folder: str | Path | None) -> str | None:
    return None if folder is None else str(Path(folder).absolute())


def _repeats(episode: Episode, first: Episode) -> bool:
    return (episode.checksum, episode.reward, episode.length) == (
        first.checksum,
        first.reward,
        first.length,
    )
