"""`setup_callbacks`: the usual callbacks of a training run, over one folder."""

from pathlib import Path
from typing import Any

import gymnasium as gym
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import VecEnv

from finrl_ray.agents.algorithms import find_algorithm
from finrl_ray.agents.callbacks.action_analysis import ActionAnalysisCallback
from finrl_ray.agents.callbacks.checkpoint import CheckpointCallback
from finrl_ray.agents.callbacks.early_stopping import StopTrainingOnNoModelImprovement
from finrl_ray.agents.callbacks.evaluation import TradingEvalCallback
from finrl_ray.agents.callbacks.learning_rate import LearningRateSchedulerCallback
from finrl_ray.agents.callbacks.performance_monitor import PerformanceMonitorCallback
from finrl_ray.errors import ConfigError

CHECKPOINT_FREQ = 10_000
CHECK_FREQ = 5_000
"""Timesteps between evaluations, figures and looks at the actions."""


def setup_callbacks(
    experiment_dir: str | Path,
    val_env: "gym.Env[Any, Any] | VecEnv",
    algorithm: str = "ppo",
    *,
    total_timesteps: int | None = None,
    metric: str = "sharpe_ratio",
    periods_per_year: float | None = None,
    risk_free_rate: float = 0.0,
    initial_lr: float | None = 3e-4,
    keep_last: int | None = None,
    verbose: int = 1,
) -> list[BaseCallback]:
    """Return new callbacks for one training run, in the order in which they act.

    1. a checkpoint every 10 000 timesteps in `checkpoints/`, with replay buffer and normalisation;
    2. an evaluation every 5 000 in `eval_logs/`, with the best model in `best_model/` and early
       stopping after more than 15 evaluations without improvement, the first 5 not counted;
    3. figures of the training episodes every 5 000 in `plots/`;
    4. statistics of the actions every 5 000;
    5. for `ppo`, `a2c` and `recurrent_ppo`, a learning rate that is multiplied by 0.98 every
       25 000.

    Parameters
    ----------
    experiment_dir : folder of the run; made absolute at once
    val_env : env of the validation window; several accounts are several windows
    algorithm : name of the algorithm, as in `DRLAgent.get_model`
    total_timesteps : of the run; intervals 1 to 4 are cut down to it, so that a short run has one
        evaluation and one checkpoint at its end; None: as they are
    metric : what the best model and early stopping follow, one of `measures.MODES`
    periods_per_year : periods/year; None: read from the dates of the env
    risk_free_rate : 1/year
    initial_lr : learning rate at timestep 0; None: callback 5 is left out, the model keeps its own
    keep_last : checkpoints to keep; None: all
    verbose : of every callback

    Raises
    ------
    ConfigError
        If a name is not known or a number is out of range.
    """
    decays = find_algorithm(algorithm).decaying_rate
    if total_timesteps is not None and total_timesteps < 1:
        raise ConfigError(f"total_timesteps must be None or >= 1, got {total_timesteps}")
    folder = Path(experiment_dir).expanduser().absolute()
    longest = CHECKPOINT_FREQ if total_timesteps is None else total_timesteps
    save_freq, check_freq = min(CHECKPOINT_FREQ, longest), min(CHECK_FREQ, longest)
    evaluation = TradingEvalCallback(
        val_env,
        callback_after_eval=StopTrainingOnNoModelImprovement(15, 5, verbose),
        n_eval_episodes=10,
        eval_freq=check_freq,
        log_path=str(folder / "eval_logs"),
        best_model_save_path=str(folder / "best_model"),
        deterministic=True,
        verbose=verbose,
        metric=metric,
        periods_per_year=periods_per_year,
        risk_free_rate=risk_free_rate,
    )
    callbacks: list[BaseCallback] = [
        CheckpointCallback(
            save_freq,
            folder / "checkpoints",
            name_prefix=f"{algorithm}_model",
            save_replay_buffer=True,
            save_vecnormalize=True,
            verbose=verbose,
            keep_last=keep_last,
            evaluation=evaluation,
        ),
        evaluation,
        PerformanceMonitorCallback(check_freq, verbose, plot_dir=folder / "plots"),
        ActionAnalysisCallback(check_freq, verbose),
    ]
    if initial_lr is not None and decays:
        callbacks.append(LearningRateSchedulerCallback(initial_lr, 0.98, 25_000, verbose))
    return callbacks
