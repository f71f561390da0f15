"""`complete_training_pipeline`: from two tables to a trained, evaluated and saved agent."""

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback, CallbackList
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv

from finrl_ray.agents.algorithms import find_algorithm, resolve_model_kwargs
from finrl_ray.agents.callbacks.callback_state import find_callbacks
from finrl_ray.agents.callbacks.evaluation import TradingEvalCallback
from finrl_ray.agents.callbacks.measures import judge_of
from finrl_ray.agents.callbacks.setup import setup_callbacks
from finrl_ray.agents.callbacks.tensorboard import TensorboardCallback
from finrl_ray.agents.drl_agent import DRLAgent
from finrl_ray.agents.models import load_model
from finrl_ray.agents.normalization import VECNORMALIZE_FILE, read_statistics, under_statistics
from finrl_ray.data.periods_per_year import periods_per_year as spacing_of
from finrl_ray.errors import ConfigError
from finrl_ray.files.bounded_reading import read_json
from finrl_ray.search.folder.names import FINAL_MODEL_FILE
from finrl_ray.support.text import did_you_mean
from finrl_ray.workflows.pipeline.evaluate import AccountMeasures, evaluate_models
from finrl_ray.workflows.pipeline.experiment_folder import (
    FACTS_FILE,
    METRICS_FILE,
    TENSORBOARD_FOLDER,
    json_text,
    make_subfolders,
    new_experiment_folder,
    sole_trainer,
    write_facts,
    write_json,
)
from finrl_ray.workflows.pipeline.loop import train_in_folder
from finrl_ray.workflows.pipeline.training_run import TrainingRun, load_best_model, save_final_model
from finrl_ray.workflows.pipeline.windows import Table, Windows

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
    callbacks: BaseCallback | Sequence[BaseCallback] | None = (),
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
    algorithm : name of the algorithm, as in `DRLAgent.get_model`
    total_timesteps : env steps, summed over the accounts
    experiment_name : names the folder
    test_data : read once, after training, by the best model alone; None: no test
    env_kwargs : arguments of `StockTradingEnv`, the same for every window
    callbacks : one or several, run after those of `setup_callbacks` and `TensorboardCallback`
    experiments_dir : parent of the folder
    resume_from : folder of an interrupted run to go on in; the other arguments must be the same.
        Of a run that has ended the result is read; nothing is trained or evaluated again
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
    SearchError
        If the folder cannot be made, or another process is training in it.
    TypeError
        For a setting that does not exist, or a callback that is none.
    TrialDivergedError
        When the networks' parameters are no longer finite.
    """
    _require_known(settings)
    plan = PipelineSettings(
        algorithm=algorithm,
        total_timesteps=_without_fraction(total_timesteps),
        experiment_name=experiment_name,
        env_kwargs=dict(env_kwargs or {}),
        **settings,
    )
    listeners = _listed(callbacks)
    windows = Windows(train_data, val_data, test_data, plan.env_kwargs)
    # whatever cannot be built fails here, before there is a folder
    with _built(plan, windows) as (model, eval_env):
        if resume_from is None:
            folder = new_experiment_folder(experiments_dir, experiment_name)
            write_facts(folder, asdict(plan), windows.describe())
        else:
            folder = _folder_to_resume(Path(resume_from), plan, windows)
        with sole_trainer(folder):
            if (folder / METRICS_FILE).is_file():
                return _ended_run(plan, windows, folder)
            model.tensorboard_log = str(folder / TENSORBOARD_FOLDER)
            suite = _suite(plan, plan.account_measures(windows), folder, eval_env)
            listeners = _with_rewards([*suite, *listeners])
            return _run(plan, windows, folder, model, listeners, resume=resume_from is not None)


def _require_known(settings: Mapping[str, Any]) -> None:
    names = [item.name for item in fields(PipelineSettings)]
    for name in settings:
        if name not in names:
            raise TypeError(
                f"complete_training_pipeline() has no setting {name!r}.{did_you_mean(name, names)} "
                "Arguments of the model go into model_kwargs, those of the env into env_kwargs"
            )


def _without_fraction(number: float) -> int:
    """Return 1e5 as 100000, and anything that is no such number as it is, to be refused."""
    whole = isinstance(number, float) and number.is_integer()
    return int(number) if whole else number  # type: ignore[return-value]


def _listed(callbacks: BaseCallback | Sequence[BaseCallback] | None) -> list[BaseCallback]:
    given = [callbacks] if isinstance(callbacks, BaseCallback) else list(callbacks or ())
    for callback in given:
        if not isinstance(callback, BaseCallback):
            raise TypeError(
                "callbacks must be SB3 callbacks, one or a list of them, got a "
                f"{type(callback).__name__}"
            )
    return given


@dataclass(frozen=True, kw_only=True)
class PipelineSettings:
    """The settings of one training run.

    Parameters
    ----------
    algorithm : name of the algorithm, as in `DRLAgent.get_model`
    total_timesteps : env steps, summed over the accounts
    experiment_name : names the folder
    env_kwargs : arguments of `StockTradingEnv`
    seed : of the model, the env and the global random streams, 0..2**32-1; None: drawn by chance
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
        If the algorithm, one of its keywords or the metric is not known, or a number is out of
        range.
    """

    algorithm: str
    total_timesteps: int
    experiment_name: str
    env_kwargs: dict[str, Any]
    seed: int | None = 0
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
        _require_whole("total_timesteps", self.total_timesteps, 1)
        _require_whole("n_envs", self.n_envs, 1)
        _require_whole("verbose", self.verbose, 0)
        if self.seed is not None:
            _require_whole("seed", self.seed, 0, 2**32 - 1)
        # refuses what it cannot measure
        judge_of(
            self.metric,
            periods_per_year=self.periods_per_year,
            risk_free_rate=self.risk_free_rate,
        )

    @property
    def initial_learning_rate(self) -> float | None:
        """Start of the decay, or None where the caller has chosen a learning rate."""
        chosen = "learning_rate" in (self.model_kwargs or {})
        return None if chosen else DECAYING_LEARNING_RATE

    def account_measures(self, windows: Windows) -> AccountMeasures:
        """Return what measures accounts, with the data's own spacing unless one is given."""
        periods = self.periods_per_year
        if periods is None:
            periods = spacing_of(windows.dates("train"))
        return AccountMeasures(periods_per_year=periods, risk_free_rate=self.risk_free_rate)


def _require_whole(name: str, value: Any, low: int, high: float = np.inf) -> None:
    whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    if not whole or not low <= value <= high:
        bounds = f">= {low}" if high == np.inf else f"within {low}..{high}"
        raise ConfigError(f"{name} must be a whole number {bounds}, got {value!r}")


def _folder_to_resume(path: Path, plan: PipelineSettings, windows: Windows) -> Path:
    """Return the folder of an interrupted run after comparing what it was started with.

    Raises
    ------
    ConfigError
        If it is no such folder, or an argument or the data differ.
    """
    folder = path.expanduser().absolute()
    try:
        facts = read_json(folder / FACTS_FILE)
        began, data = facts["arguments"], facts["data"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"resume_from must be the folder of an interrupted training run, but {folder} has no "
            f"readable {FACTS_FILE} ({error!r})"
        ) from error
    today = json.loads(json_text(asdict(plan)))
    for name, value in {**today, "data": windows.describe()}.items():
        before = data if name == "data" else began.get(name)
        if before != value:
            raise ConfigError(
                f"{name} must be the same as when the run in {folder} was started, {before!r}, "
                f"got {value!r}"
            )
    make_subfolders(folder)
    return folder


@contextmanager
def _built(plan: PipelineSettings, windows: Windows) -> Iterator[tuple[BaseAlgorithm, VecEnv]]:
    """Yield the new model, with its training env, and the validation env; both are closed after.

    Raises
    ------
    ConfigError
        If SB3 cannot build a model from the keywords.
    """
    gamma = (plan.model_kwargs or {}).get("gamma", 0.99)
    env, eval_env = windows.training_envs(plan.n_envs, plan.normalize, gamma)
    try:
        try:
            model = DRLAgent(env).get_model(
                plan.algorithm,
                model_kwargs=plan.model_kwargs,
                policy_kwargs=plan.policy_kwargs,
                verbose=max(0, plan.verbose - 1),
                seed=plan.seed,
            )
        except (TypeError, AssertionError) as error:
            raise ConfigError(
                f"{plan.algorithm} cannot be built with model_kwargs {plan.model_kwargs} and "
                f"policy_kwargs {plan.policy_kwargs}: {error}"
            ) from error
        yield model, eval_env
    finally:
        env.close()
        eval_env.close()


def _run(
    plan: PipelineSettings,
    windows: Windows,
    folder: Path,
    model: BaseAlgorithm,
    listeners: Sequence[BaseCallback],
    *,
    resume: bool,
) -> TrainingRun:
    """Train, save and evaluate."""
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
    _evaluate_end(model, listeners)
    save_final_model(model, folder)
    best = load_best_model(plan.algorithm, folder, model)
    evaluated = evaluate_models(windows, plan.account_measures(windows), folder, model, best)
    metrics = {**asdict(end), **evaluated}
    write_json(folder / METRICS_FILE, metrics)
    return TrainingRun(model, str(folder), best_model=best, metrics=metrics)


def _evaluate_end(model: BaseAlgorithm, listeners: Sequence[BaseCallback]) -> None:
    """Let the model that training ended with stand for the best, after its last update."""
    evaluation = next(find_callbacks(CallbackList(list(listeners)), TradingEvalCallback))
    evaluated = evaluation.evaluation_timesteps
    # one gradient step after an evaluation is not worth another
    if isinstance(model, OnPolicyAlgorithm) or evaluated[-1:] != [model.num_timesteps]:
        evaluation.evaluate_now()


def _ended_run(plan: PipelineSettings, windows: Windows, folder: Path) -> TrainingRun:
    """Return what a run that has ended has left; the test window is not opened again."""
    logger.info("the run in %s has ended; its models and metrics are read", folder)
    metrics = read_json(folder / METRICS_FILE)
    model = load_model(plan.algorithm, folder / FINAL_MODEL_FILE)
    env: VecEnv = DummyVecEnv([lambda: windows.env("train")] * plan.n_envs)
    if plan.normalize:
        statistics = read_statistics(folder / FINAL_MODEL_FILE)
        if statistics is None:
            raise ConfigError(
                f"{folder / VECNORMALIZE_FILE} is missing, and the model in {folder} was trained "
                "under it"
            )
        env = under_statistics(env, statistics)
    model.set_env(env)
    env.close()
    best = load_best_model(plan.algorithm, folder, model)
    return TrainingRun(model, str(folder), best_model=best, metrics=metrics)


def _with_rewards(listeners: list[BaseCallback]) -> list[BaseCallback]:
    """Add FinRL's `train/reward`, as `DRLAgent.train_model` does, unless the caller has."""
    if any(find_callbacks(CallbackList(listeners), TensorboardCallback)):
        return listeners
    return [*listeners, TensorboardCallback()]


def _suite(
    plan: PipelineSettings, measures: AccountMeasures, folder: Path, eval_env: VecEnv
) -> list[BaseCallback]:
    return setup_callbacks(
        str(folder),
        eval_env,
        plan.algorithm,
        total_timesteps=plan.total_timesteps,
        metric=plan.metric,
        periods_per_year=measures.periods_per_year,
        risk_free_rate=measures.risk_free_rate,
        initial_lr=plan.initial_learning_rate,
        keep_last=KEEP_CHECKPOINTS,
        verbose=plan.verbose,
    )
