"""`complete_training_pipeline`: from two tables to a trained, evaluated and saved agent."""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import VecEnv

from finrl_ray.agent.algorithms import find_algorithm, resolve_model_kwargs
from finrl_ray.agent.callbacks.setup import setup_callbacks
from finrl_ray.agent.drl_agent import DRLAgent
from finrl_ray.data.spacing import periods_per_year as spacing_of
from finrl_ray.errors import ConfigError
from finrl_ray.pipeline.experiment_folder import (
    FACTS_FILE,
    METRICS_FILE,
    TENSORBOARD_FOLDER,
    make_subfolders,
    new_experiment_folder,
    write_facts,
    write_json,
)
from finrl_ray.pipeline.judgement import Judge, judge_models
from finrl_ray.pipeline.loop import train_in_folder
from finrl_ray.pipeline.run_windows import Table, Windows
from finrl_ray.pipeline.training_run import TrainingRun, load_best_model, save_final_model

logger = logging.getLogger(__name__)

DECAYING_LEARNING_RATE = 3e-4
"""Where the decay of ppo and a2c starts if `model_kwargs` names no learning rate."""
KEEP_CHECKPOINTS = 5
"""Newest checkpoints kept; with a replay buffer each can take hundreds of megabytes."""


def complete_training_pipeline(
    train_data: Table,
    val_data: Table,
    algorithm: str = "ppo",
    total_timesteps: int = 100000,
    experiment_name: str = "trading_experiment",
    *,
    test_data: Table | None = None,
    env_kwargs: Mapping[str, Any] | None = None,
    callbacks: Sequence[BaseCallback] = (),
    experiments_dir: str | Path = "./experiments",
    resume_from: str | Path | None = None,
    **settings: Any,
) -> TrainingRun:
    """Train one agent with logging, checkpoints, evaluation and early stopping, in one folder.

    The folder `<experiments_dir>/<experiment_name>_<time>_<digits>` gets `tensorboard/`,
    `checkpoints/`, `best_model/`, `eval_logs/`, `plots/`, `final_model.zip`, `config.json` (what
    was run, on which data and versions), `metrics.json` and the account curves of the evaluations.

    Parameters
    ----------
    train_data, val_data : frames in FinRL's long format, or MarketData; see `create_env`
    algorithm : one of `a2c`, `ppo`, `ddpg`, `td3`, `sac`
    total_timesteps : env steps, summed over the accounts
    experiment_name : names the folder
    test_data : read once, after training, by the best model alone; None: no test
    env_kwargs : arguments of `StockTradingEnv`, the same for every window
    callbacks : run after those of `setup_callbacks`
    experiments_dir : parent of the folder
    resume_from : folder of an interrupted run to go on in; the other arguments must be the same
    settings : `seed`, `n_envs`, `normalize`, `model_kwargs`, `policy_kwargs`, `metric`,
        `periods_per_year`, `risk_free_rate`, `verbose`; see `PipelineSettings`

    Returns
    -------
    TrainingRun
        Unpacks as `model, experiment_dir`; the best model and all metrics are attributes.

    Raises
    ------
    ConfigError, DataError
        Before training, if an argument or a table does not fit; windows that overlap among them.
    TypeError
        For a setting that does not exist.
    TrialDivergedError
        When the networks' parameters are no longer finite.
    """
    plan = PipelineSettings(
        algorithm=algorithm,
        total_timesteps=total_timesteps,
        experiment_name=experiment_name,
        env_kwargs=dict(env_kwargs or {}),
        **settings,
    )
    windows = Windows(train_data, val_data, test_data, plan.env_kwargs)
    if resume_from is None:
        folder = new_experiment_folder(experiments_dir, experiment_name)
        write_facts(folder, asdict(plan), windows.describe())
    else:
        folder = _folder_to_resume(Path(resume_from), plan, windows)
    return _run(plan, windows, folder, callbacks, resume=resume_from is not None)


@dataclass(frozen=True, kw_only=True)
class PipelineSettings:
    """What one training run is made with.

    Parameters
    ----------
    algorithm : one of `a2c`, `ppo`, `ddpg`, `td3`, `sac`
    total_timesteps : env steps, summed over the accounts
    experiment_name : names the folder
    env_kwargs : arguments of `StockTradingEnv`
    seed : of the model, the env and the global random streams
    n_envs : accounts stepped together
    normalize : wrap the env in VecNormalize; its statistics are saved with each model
    model_kwargs, policy_kwargs : as `DRLAgent.get_model`. A learning rate in `model_kwargs` is
        kept; without one, ppo and a2c start at 3e-4 and decay.
    metric : which evaluation is the best, and what early stopping follows
    periods_per_year : periods/year; None: from the spacing of the dates
    risk_free_rate : 1/year
    verbose : 0 silent, 1 messages, 2 debugging

    Raises
    ------
    ConfigError
        If the algorithm or one of its keywords is not known.
    """

    algorithm: str
    total_timesteps: int
    experiment_name: str
    env_kwargs: dict[str, Any]
    seed: int = 0
    n_envs: int = 1
    normalize: bool = False
    model_kwargs: Mapping[str, Any] | None = None
    policy_kwargs: Mapping[str, Any] | None = None
    metric: str = "sharpe_ratio"
    periods_per_year: float | None = None
    risk_free_rate: float = 0.0
    verbose: int = 1

    def __post_init__(self) -> None:
        find_algorithm(self.algorithm)
        resolve_model_kwargs(self.algorithm, self.model_kwargs, n_actions=1)
        if self.total_timesteps < 1:
            raise ConfigError(f"total_timesteps must be >= 1, got {self.total_timesteps}")

    @property
    def initial_learning_rate(self) -> float | None:
        """Start of the decay, or None where the caller has chosen a learning rate."""
        chosen = "learning_rate" in (self.model_kwargs or {})
        return None if chosen else DECAYING_LEARNING_RATE

    def judge(self, windows: Windows) -> Judge:
        """Return what measures accounts, with the data's own spacing unless one is given."""
        periods = self.periods_per_year
        if periods is None:
            periods = spacing_of(windows.dates("train"))
        return Judge(periods_per_year=periods, risk_free_rate=self.risk_free_rate)


def _folder_to_resume(path: Path, plan: PipelineSettings, windows: Windows) -> Path:
    """Return the folder of an interrupted run after comparing what it was started with.

    Raises
    ------
    ConfigError
        If it is no such folder, or an argument or the data differ.
    """
    folder = path.expanduser().absolute()
    try:
        facts = json.loads((folder / FACTS_FILE).read_text(encoding="utf-8"))
        began, data = facts["arguments"], facts["data"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"resume_from must be the folder of an interrupted training run, but {folder} has no "
            f"readable {FACTS_FILE} ({error!r})"
        ) from error
    today = json.loads(json.dumps(asdict(plan), default=str))
    for name, value in {**today, "data": windows.describe()}.items():
        before = data if name == "data" else began.get(name)
        if before != value:
            raise ConfigError(
                f"{name} must be the same as when the run in {folder} was started, {before!r}, "
                f"got {value!r}"
            )
    make_subfolders(folder)
    return folder


def _run(
    plan: PipelineSettings,
    windows: Windows,
    folder: Path,
    callbacks: Sequence[BaseCallback],
    *,
    resume: bool,
) -> TrainingRun:
    judge = plan.judge(windows)
    gamma = (plan.model_kwargs or {}).get("gamma", 0.99)
    env, eval_env = windows.training_envs(plan.n_envs, plan.normalize, gamma)
    try:
        model = DRLAgent(env).get_model(
            plan.algorithm,
            model_kwargs=plan.model_kwargs,
            policy_kwargs=plan.policy_kwargs,
            verbose=max(0, plan.verbose - 1),
            seed=plan.seed,
            tensorboard_log=str(folder / TENSORBOARD_FOLDER),
        )
        listeners = [*_suite(plan, judge, folder, eval_env), *callbacks]
        algorithm, steps = plan.algorithm, plan.total_timesteps
        logger.info("training %s for %d timesteps in %s", algorithm, steps, folder)
        end = train_in_folder(
            model,
            folder,
            plan.total_timesteps,
            listeners,
            tb_log_name=f"{plan.algorithm}_{plan.experiment_name}",
            resume=resume,
        )
        logger.info("trained in %s", timedelta(seconds=round(end.duration_s)))
        save_final_model(model, folder)
        best = load_best_model(plan.algorithm, folder, model)
        metrics = {**asdict(end), **judge_models(windows, judge, folder, model, best)}
        write_json(folder / METRICS_FILE, metrics)
    finally:
        env.close()
        eval_env.close()
    return TrainingRun(model, str(folder), best_model=best, metrics=metrics)


def _suite(
    plan: PipelineSettings, judge: Judge, folder: Path, eval_env: VecEnv
) -> list[BaseCallback]:
    return setup_callbacks(
        str(folder),
        eval_env,
        plan.algorithm,
        total_timesteps=plan.total_timesteps,
        metric=plan.metric,
        periods_per_year=judge.periods_per_year,
        risk_free_rate=judge.risk_free_rate,
        initial_lr=plan.initial_learning_rate,
        keep_last=KEEP_CHECKPOINTS,
        verbose=plan.verbose,
    )
