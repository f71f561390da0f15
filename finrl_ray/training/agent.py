"""One agent from a config: its envs, its model, its evaluations, its checkpoints; no Ray.

A trial is a pure function of (config, data, sample): its seed is derived from the experiment's seed
and the sample, and a checkpoint holds everything that its future depends on. The file is long
because it follows one trial from its envs to its checkpoints.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback, CallbackList
from stable_baselines3.common.vec_env import VecEnv

from finrl_ray.agents.callbacks.early_stopping import StopTrainingOnNoModelImprovement
from finrl_ray.agents.callbacks.evaluation import TradingEvalCallback
from finrl_ray.agents.frame_stack import normalizing, stacked
from finrl_ray.agents.hyperparameters import TrialSettings, resolve_sample, trial_seed
from finrl_ray.agents.model_files import MODEL_FILE
from finrl_ray.agents.models import save_model
from finrl_ray.agents.normalization import VECNORMALIZE_FILE
from finrl_ray.agents.state.training_state import (
    capture_state,
    learn_from,
    load_state,
    restore_state,
    save_state,
)
from finrl_ray.config.evaluation import EvaluationConfig
from finrl_ray.config.experiment import ExperimentConfig
from finrl_ray.config.search import SearchConfig
from finrl_ray.config.trial.config_of_sample import config_of_sample
from finrl_ray.data.chosen_features import market_of_sample
from finrl_ray.data.market_data import MarketData
from finrl_ray.data.periods_per_year import config_periods_per_year
from finrl_ray.env.make import make_vec_env
from finrl_ray.env.scaling import ObservationScaling, fitted_scaling
from finrl_ray.files.manifest import write_folder_manifest
from finrl_ray.own_code.metric import OwnMetric
from finrl_ray.support.text import counted
from finrl_ray.training.build_model import build_model, device_of
from finrl_ray.training.divergence import check_finite
from finrl_ray.training.own_agent import OwnCallbacks
from finrl_ray.training.own_metrics import metrics_of
from finrl_ray.training.restart_note import with_restart_note

STATE_FILE = "state.pt"
EVALUATIONS_FILE = "evaluations.npz"

Report: TypeAlias = Callable[[dict[str, Any], Callable[[Path], None]], None]


@dataclass(frozen=True, kw_only=True)
class StartPoint:
    """Where a training starts.

    Parameters
    ----------
    checkpoint : folder of an earlier checkpoint of the same run, to go on from; None: from scratch
    must_report : whether the evaluation that the checkpoint was made at has not been reported yet
    notes : what the reader of the results should know of the start; reported once
    """

    checkpoint: Path | None = None
    must_report: bool = False
    notes: str = ""


FRESH_START = StartPoint()


def train_agent(
    sample: Mapping[str, Any],
    config: ExperimentConfig,
    train_data: MarketData,
    validation_data: MarketData,
    report: Report,
    start: StartPoint = FRESH_START,
) -> BaseAlgorithm:
    """Train one configuration to its end, reporting after each evaluation.

    Parameters
    ----------
    sample : hyperparameters laid over `config.agent`, and options over `config` (see
        `config_of_sample`); empty for the agent as configured
    config : the experiment
    train_data, validation_data : the rows of the two windows, with every feature that a sample may
        choose; no other rows are read
    report : see `SafePointCallback`
    start : where training starts

    Returns
    -------
    BaseAlgorithm
        The model as training left it; its envs are closed.

    Raises
    ------
    TrialDivergedError
        When a parameter of the networks is NaN or infinite.
    """
    periods = config_periods_per_year(config, train_data.dates)
    config = config_of_sample(config, sample)
    train_data = market_of_sample(train_data, sample)
    validation_data = market_of_sample(validation_data, sample)
    seed = trial_seed(config.seed, sample)
    settings = resolve_sample(sample, config.agent)
    env, eval_env = make_trial_envs(config, settings, seed, train_data, validation_data)
    model = build_model(config, settings, env, seed, device=device_of(config))
    try:
        own = OwnCallbacks(config.agent)
        callback = SafePointCallback(
            config, eval_env, seed, report, periods_per_year=periods, notes=start.notes, own=own
        )
        if start.checkpoint is not None:
            callback.restore(model, start.checkpoint)
            callback.notes = with_restart_note(callback.notes, env, model.num_timesteps)
            if start.must_report:
                callback.report_latest(model)
        learn_from(
            model,
            config.agent.total_timesteps,
            CallbackList([callback, own]) if own.callbacks else callback,
            callback.at_safe_point,
            resumed=start.checkpoint is not None,
        )
        return model
    except ValueError as error:
        # what SB3 and the env say of NaN is a page of numbers; say which parameter it is instead
        check_finite(model, error)
        raise
    finally:
        env.close()
        eval_env.close()


def make_trial_envs(
    config: ExperimentConfig,
    settings: TrialSettings,
    seed: int,
    train_data: MarketData,
    validation_data: MarketData,
) -> tuple[VecEnv, VecEnv]:
    """Return the training env and that of the validation window, normalised and stacked alike."""
    scaling = fitted_scaling(config.env, train_data)
    eval_env: VecEnv = make_vec_env(
        validation_data, config.env, seed=seed, scaling=scaling, training=False
    )
    n_stack = config.agent.n_stack
    if config.agent.normalize:
        gamma = settings.model_kwargs.get("gamma", 0.99)
        norm_obs = config.agent.normalize != "rewards"
        eval_env = normalizing(
            eval_env, n_stack, gamma=gamma, training=False, norm_obs=norm_obs, norm_reward=False
        )
    eval_env = stacked(eval_env, n_stack)
    return make_training_env(config, settings, seed, train_data, scaling), eval_env


def make_training_env(
    config: ExperimentConfig,
    settings: TrialSettings,
    seed: int,
    train_data: MarketData,
    scaling: ObservationScaling | None,
) -> VecEnv:
    """Return the env of the rows that are trained on, normalised and stacked by the config."""
    env: VecEnv = make_vec_env(
        train_data, config.env, n_envs=settings.n_envs, seed=seed, scaling=scaling
    )
    if config.agent.normalize:
        env = normalizing(
            env,
            config.agent.n_stack,
            gamma=settings.model_kwargs.get("gamma", 0.99),
            norm_obs=config.agent.normalize != "rewards",
            norm_reward=config.agent.normalize != "observations",
        )
    return stacked(env, config.agent.n_stack)


class SafePointCallback(BaseCallback):
    """SB3 callback that evaluates at safe points and reports what it finds with a checkpoint.

    A safe point is the top of SB3's learning loop, after an update and before the next rollout:
    the only place where a checkpoint holds all of a run (see docs/agent.md).

    Parameters
    ----------
    config : the experiment
    eval_env : the env of the validation window
    seed : of the trial, reported with each result
    report : called after each evaluation with the metrics, flat and of Python numbers, and a
        function that writes a checkpoint into a folder
    periods_per_year : periods/year, of the measures
    notes : goes into the first report
    own : callbacks of the user's, whose state is kept with the trial's
    """

    def __init__(
        self,
        config: ExperimentConfig,
        eval_env: VecEnv,
        seed: int,
        report: Report,
        *,
        periods_per_year: float,
        notes: str = "",
        own: OwnCallbacks | None = None,
    ) -> None:
        super().__init__()
        self.own = OwnCallbacks(config.agent) if own is None else own
        self.metrics: dict[str, Any] = {}
        self.notes = notes
        self.report = report
        self.config = config
        self.seed = seed
        self.evaluation = make_evaluation(
            config.evaluation,
            eval_env,
            periods_per_year=periods_per_year,
            own_metrics=metrics_of(config),
        )
        self.objectives: list[float] = []

    def _init_callback(self) -> None:
        self.evaluation.init_callback(self.model)

    def next_needed_timestep(self, num_timesteps: int) -> None:
        """Say that no step is needed: evaluations are made between rollouts."""

    def _on_step(self) -> bool:
        return True

    def at_safe_point(self, model: BaseAlgorithm) -> bool:
        """Evaluate and report when an evaluation is due; return whether to train on."""
        if self.metrics.get("stop_reason"):
            return False  # restored from a checkpoint at which the trial had ended itself
        done = model.num_timesteps >= self.config.agent.total_timesteps
        if not self.evaluation.is_due() and not done and not self.own.stopped_by:
            return True
        if model.num_timesteps in self.evaluation.evaluation_timesteps[-1:]:
            return False  # restored from the checkpoint of its last evaluation
        check_finite(model)
        measures = self.evaluation.evaluate_now()
        self.objectives.append(measures["objective"])
        stop_reason = self._stop_reason(measures)
        self._report(model, measures, stop_reason)
        return not stop_reason and not done

    def _stop_reason(self, measures: Mapping[str, float]) -> str:
        breach = drawdown_breach(measures, self.config.search)
        if breach:
            return breach
        if not self.evaluation.continue_training:
            since_best = len(self.objectives) - 1 - int(np.argmax(self.objectives))
            return f"no improvement in {counted(since_best, 'evaluation')}"
        return f"stopped by callback {self.own.stopped_by}" if self.own.stopped_by else ""

    def _report(
        self, model: BaseAlgorithm, measures: Mapping[str, float], stop_reason: str
    ) -> None:
        metrics = trial_metrics(measures, self.objectives, self.config.search)
        metrics |= {
            "timesteps": int(model.num_timesteps),
            "seed": self.seed,
            "stop_reason": stop_reason,
        }
        self.metrics = metrics
        self.report_latest(model)

    def report_latest(self, model: BaseAlgorithm) -> None:
        """Report the latest evaluation with a checkpoint, maybe again after a crash."""
        notes, self.notes = self.notes, ""
        metrics = {**self.metrics, "notes": notes} if notes else self.metrics
        self.report(metrics, partial(self.save, model))

    def save(self, model: BaseAlgorithm, folder: Path) -> None:
        """Write an ordinary SB3 model, its normalisation, the exact state and all evaluations.

        A manifest, written last, tells a whole checkpoint from a damaged one.
        """
        save_model(model, folder / MODEL_FILE)
        normalizer = model.get_vec_normalize_env()
        if normalizer is not None:
            normalizer.save(str(folder / VECNORMALIZE_FILE))
        own = {
            "objectives": self.objectives,
            "evaluation": self.evaluation.get_state(),
            "metrics": self.metrics,
            "seed": self.seed,
            "own": self.own.get_state(),
        }
        save_state({"model": capture_state(model), "callback": own}, folder / STATE_FILE)
        self.evaluation.save_evaluations(folder / EVALUATIONS_FILE)
        write_folder_manifest(folder, timesteps=int(model.num_timesteps))

    def restore(self, model: BaseAlgorithm, folder: Path) -> None:
        """Put a fresh model, its env and this callback back to where a checkpoint was made."""
        state = load_state(folder / STATE_FILE)
        self.evaluation.set_state(state["callback"]["evaluation"])
        self.objectives = list(state["callback"]["objectives"])
        self.metrics = dict(state["callback"]["metrics"])
        # of the run that began here, also where its hyperparameters have changed since
        self.seed = state["callback"]["seed"]
        if "own" in state["callback"]:
            self.own.set_state(state["callback"]["own"])
        self.notes = "; ".join(filter(None, (self.notes, self.own.forgotten())))
        restore_state(model, state["model"])


def make_evaluation(
    evaluation: EvaluationConfig,
    eval_env: VecEnv,
    *,
    periods_per_year: float,
    log_path: str | None = None,
    best_model_save_path: str | None = None,
    own_metrics: Sequence[OwnMetric] = (),
) -> TradingEvalCallback:
    """Return the evaluation that a config asks for, early stopping included."""
    patience = evaluation.max_no_improvement_evals
    return TradingEvalCallback(
        eval_env,
        callback_after_eval=None
        if patience is None
        else StopTrainingOnNoModelImprovement(patience, evaluation.min_evals),
        eval_freq=evaluation.eval_freq,
        n_eval_episodes=1,
        log_path=log_path,
        best_model_save_path=best_model_save_path,
        metric=evaluation.metric,
        periods_per_year=periods_per_year,
        risk_free_rate=evaluation.risk_free_rate,
        own_metrics=own_metrics,
        verbose=0,
    )


def trial_metrics(
    measures: Mapping[str, float], objectives: Sequence[float], search: SearchConfig
) -> dict[str, Any]:
    """Return what one evaluation is reported as: `eval/...`, `objective`, `eval_objective`.

    Parameters
    ----------
    measures : of the evaluation
    objectives : of all evaluations so far, this one included
    search : says whether the last or the best of them stands for the trial
    """
    current = float(measures["objective"])
    metrics = {
        f"eval/{name}": float(value) for name, value in measures.items() if name != "objective"
    }
    objective = float(max(objectives)) if search.select == "best" else current
    return {**metrics, "objective": objective, "eval_objective": current}


def drawdown_breach(measures: Mapping[str, float], search: SearchConfig) -> str:
    """Return in words that a drawdown is beyond the config's limit, or an empty text."""
    limit, drawdown = search.max_drawdown_limit, measures["max_drawdown"]
    if limit is None or not drawdown < limit:
        return ""
    return f"drawdown {drawdown:.1%} is beyond the limit of {limit:.1%}"
