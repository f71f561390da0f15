"""`train_from_config`: the training pipeline over a config file, as `finrl-ray train` runs it.

The agent trained here is the one that a trial with an empty sample trains: same seed, same steps.
It is evaluated where SB3's callbacks evaluate, within rollouts and once at the end; a trial, after
the update that follows. So the evaluations, and with them the best model and the step of an early
stop, are not a trial's.
"""

from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import VecEnv

from finrl_ray.agents.callbacks.action_analysis import ActionAnalysisCallback
from finrl_ray.agents.callbacks.checkpoint import CheckpointCallback
from finrl_ray.agents.callbacks.evaluation import TradingEvalCallback
from finrl_ray.agents.callbacks.performance_monitor import PerformanceMonitorCallback
from finrl_ray.agents.callbacks.tensorboard import TensorboardCallback
from finrl_ray.agents.hyperparameters import resolve_sample, trial_seed
from finrl_ray.baselines.buy_and_hold import buy_and_hold
from finrl_ray.config.experiment import ExperimentConfig
from finrl_ray.errors import ConfigError, FinRLRayError, SearchError
from finrl_ray.files.bounded_reading import read_json
from finrl_ray.files.writable_folder import require_writable
from finrl_ray.metrics.registry import performance_summary
from finrl_ray.search.folder.folder import SearchFolder, create_folder, open_folder, sole_driver
from finrl_ray.search.folder.names import BEST_MODEL_FOLDER
from finrl_ray.search.journal.events import append_event, reported_metrics
from finrl_ray.search.journal.records import ENDED, TrialRecord, TrialRecords, interruption
from finrl_ray.search.run.config_changes import take_changes
from finrl_ray.search.run.prepare import prepare_search
from finrl_ray.storage.url import is_url
from finrl_ray.support.progress import Progress, no_progress
from finrl_ray.training.agent import (
    drawdown_breach,
    make_evaluation,
    make_trial_envs,
    trial_metrics,
)
from finrl_ray.training.build_model import build_model
from finrl_ray.training.own_agent import OwnCallbacks
from finrl_ray.training.own_metrics import metrics_of
from finrl_ray.workflows.pipeline.experiment_folder import (
    CHECKPOINTS_FOLDER,
    EVAL_LOGS_FOLDER,
    METRICS_FILE,
    PLOTS_FOLDER,
    TENSORBOARD_FOLDER,
    make_subfolders,
    write_json,
)
from finrl_ray.workflows.pipeline.loop import TrainingEnd, train_in_folder
from finrl_ray.workflows.pipeline.training_run import save_final_model

CHECKPOINT_FREQ = 10_000
"""Timesteps between checkpoints."""
KEEP_CHECKPOINTS = 3
MONITOR_FREQ = 5_000
"""Timesteps between progress figures, and between looks at the actions."""

CHOICES_FILE = "training.json"

_TRIAL = "train"
Say = Callable[[str], None]


def _nothing(line: str) -> None:
    del line


def train_from_config(
    config: ExperimentConfig,
    *,
    base_dir: Path = Path(),
    say: Say = _nothing,
    open_test: bool = True,
    progress: Progress = no_progress,
) -> tuple[Path, bool]:
    """Train the agent of `config.agent` once, in a new folder under `search.storage_path`.

    Parameters
    ----------
    config : the experiment; its search section is used for `storage_path`, `select` and limits
    base_dir : folder that a relative `data.source` is looked up from
    say : called with one line after each evaluation
    open_test : whether the test window is to be opened at the end, see `wants_test`; this function
        leaves it sealed
    progress : told of downloads and of features

    Returns
    -------
    path : the folder, which reads like that of a search of one trial
    completed : False if training was interrupted; `resume_training(path)` goes on

    Raises
    ------
    ConfigError, DataError
        Before anything is written.
    TrialDivergedError
        When the networks' parameters are no longer finite; the folder keeps what was evaluated.
    """
    if is_url(config.search.storage_path):
        raise ConfigError(
            "search.storage_path must be a folder for `finrl-ray train`, which writes its "
            "checkpoints itself, got a URL; give a folder with --set search.storage_path=runs"
        )
    prepared = prepare_search(config, base_dir=base_dir, on_ray=False, progress=progress)
    if open_test and not prepared.split.test.is_usable:
        raise ConfigError(
            f"split.test must hold at least 2 rows to be opened at the end, got "
            f"{prepared.split.test.n_rows}; train without it: --no-test"
        )
    if prepared.plan is not None:
        raise ConfigError(
            "section validation asks for several trainings, and `finrl-ray train` trains one agent "
            "on split.train; leave the section out, or run a search with `finrl-ray tune`"
        )
    folder = create_folder(
        prepared.config,
        prepared.market_data,
        prepared.split,
        prepared.data_report,
        Path(config.search.storage_path),
        kind="train",
        code=prepared.code,
    )
    write_json(folder.path / CHOICES_FILE, {"open_test": open_test})
    for line in (*prepared.data_report["lines"], *prepared.split.describe()):
        say(line)
    agent = prepared.config.agent
    say(f"training {agent.algorithm} for {agent.total_timesteps:,} timesteps in {folder.path}")
    with sole_driver(folder):
        log = _Log(folder, TrialRecords(), say)
        log.write("start", index=0, sample={})
        return folder.path, _train(folder, log, resume=False)


def resume_training(
    path: str | Path, *, say: Say = _nothing, trust: bool = False
) -> tuple[Path, bool]:
    """Go on with an interrupted `train_from_config`, as if it had not been interrupted.

    Raises
    ------
    SearchError
        If the folder is not one of `finrl-ray train`, its training has failed, or another process
        is training in it.
    """
    folder = open_folder(path)
    if folder.kind != "train":
        raise SearchError(f"{folder.path} is the folder of a search, not of one training run")
    folder.run_code(trust=trust)
    require_writable("the folder of a training that goes on", folder.path)
    with sole_driver(folder):
        records = folder.records()
        folder = take_changes(folder, records)
        log = _Log(folder, records, say)
        record = log.records.trials.get(_TRIAL)
        if record is not None and record.state == "failed":
            raise SearchError(f"the training in {folder.path} has failed: {record.reason}")
        if record is not None and record.state in ENDED:
            return folder.path, True
        log.write("start", index=0, sample={})
        return folder.path, _train(folder, log, resume=True)


def wants_test(path: str | Path) -> bool:
    """Return whether a run was started to open the test window at its end."""
    try:
        choices = read_json(Path(path) / CHOICES_FILE)
        return choices["open_test"] is True
    except (SearchError, OSError, ValueError, KeyError, TypeError):
        return False  # a window that has been opened cannot be sealed again


def _train(folder: SearchFolder, log: "_Log", *, resume: bool) -> bool:
    """Train, note how it ended, and write the models; False if it was interrupted."""
    make_subfolders(folder.path)
    model, env, eval_env = _build(folder)
    try:
        end = train_in_folder(
            model,
            folder.path,
            folder.config.agent.total_timesteps,
            _callbacks(folder, eval_env, log),
            tb_log_name=folder.config.agent.algorithm,
            threads=folder.config.search.threads,
            resume=resume,
        )
        log.evaluate_last()
        end = replace(end, stop_reason=log.stop_reason or end.stop_reason)
        save_final_model(model, folder.path)
        write_json(folder.path / METRICS_FILE, _metrics(end, folder, log.evaluation))
    except FinRLRayError as error:
        log.write("end", state="failed", reason=str(error), error=str(error))
        raise
    except KeyboardInterrupt:
        log.write("end", state="interrupted", reason=interruption(log.record))
        return False
    finally:
        env.close()
        eval_env.close()
    facts = _end_facts(end, folder.config)
    log.write("end", **facts)
    log.say(f"training has ended: {facts['reason']}")
    return True


def _build(folder: SearchFolder) -> tuple[BaseAlgorithm, VecEnv, VecEnv]:
    config = folder.config
    seed = trial_seed(config.seed, {})
    settings = resolve_sample({}, config.agent)
    env, eval_env = make_trial_envs(
        config, settings, seed, folder.train_data, folder.validation_data
    )
    log = str(folder.path / TENSORBOARD_FOLDER)
    model = build_model(config, settings, env, seed, tensorboard_log=log)
    return model, env, eval_env


def _metrics(
    end: TrainingEnd, folder: SearchFolder, evaluation: TradingEvalCallback
) -> dict[str, Any]:
    """Return how training ended and the measures on the validation window, for `metrics.json`."""
    rows, config = evaluation.log.measures, folder.config
    curve = buy_and_hold(folder.validation_data, config.env)
    held = performance_summary(
        curve,
        benchmark_value=curve,
        periods_per_year=folder.periods_per_year,
        risk_free_rate=config.evaluation.risk_free_rate,
    )
    best = max(rows, key=lambda row: row["objective"])
    return {
        **asdict(end),
        "validation": {"final_model": rows[-1], "best_model": best, "buy_and_hold": held},
    }


def _end_facts(end: TrainingEnd, config: ExperimentConfig) -> dict[str, Any]:
    if not end.stop_reason:
        return {"state": "completed", "reason": f"completed {end.timesteps:,} timesteps"}
    limit = config.search.max_drawdown_limit
    rejected = limit is not None and end.stop_reason.startswith("drawdown")
    return {"state": "rejected" if rejected else "stopped", "reason": end.stop_reason}


def _callbacks(folder: SearchFolder, eval_env: VecEnv, log: "_Log") -> list[BaseCallback]:
    """Return the suite of `setup_callbacks` with the config's own numbers.

    The learning rate is the config's alone, so there is no scheduler of it.
    """
    path, own = folder.path, OwnCallbacks(folder.config.agent, at_once=True)
    log.evaluation = make_evaluation(
        folder.config.evaluation,
        eval_env,
        periods_per_year=folder.periods_per_year,
        log_path=str(path / EVAL_LOGS_FOLDER),
        best_model_save_path=str(path / BEST_MODEL_FOLDER),
        own_metrics=metrics_of(folder.config),
    )
    total = folder.config.agent.total_timesteps
    return [
        CheckpointCallback(
            min(CHECKPOINT_FREQ, total),
            str(path / CHECKPOINTS_FOLDER),
            name_prefix=f"{folder.config.agent.algorithm}_model",
            save_replay_buffer=True,
            save_vecnormalize=True,
            keep_last=KEEP_CHECKPOINTS,
            evaluation=log.evaluation,
        ),
        log.evaluation,
        log,
        PerformanceMonitorCallback(
            min(MONITOR_FREQ, total), verbose=0, plot_dir=path / PLOTS_FOLDER
        ),
        ActionAnalysisCallback(min(MONITOR_FREQ, total), verbose=0),
        TensorboardCallback(),
        *([own] if own.callbacks else []),
    ]


class _Log(BaseCallback):
    """Notes each evaluation in the journal, says it, and ends training at the drawdown limit."""

    evaluation: TradingEvalCallback

    def __init__(self, folder: SearchFolder, records: TrialRecords, say: Say) -> None:
        super().__init__()
        self.folder = folder
        self.records = records
        self.say = say
        self.seen = 0
        self.stop_reason = ""

    @property
    def record(self) -> TrialRecord:
        return self.records.trials[_TRIAL]

    def write(self, event: str, **content: Any) -> None:
        append_event(self.folder.path, self.records, event, trial_id=_TRIAL, **content)

    def get_state(self) -> dict[str, Any]:
        return {"seen": self.seen, "stop_reason": self.stop_reason}

    def set_state(self, state: dict[str, Any]) -> None:
        self.seen, self.stop_reason = state["seen"], state["stop_reason"]

    def next_needed_timestep(self, num_timesteps: int) -> int | None:
        unseen = len(self.evaluation.log.timesteps) > self.seen or bool(self.stop_reason)
        return num_timesteps + 1 if unseen else None

    def _on_step(self) -> bool:
        if len(self.evaluation.log.timesteps) > self.seen:
            self._note()
        return not self.stop_reason

    def evaluate_last(self) -> None:
        """Evaluate the model that training has left, unless its last evaluation was this one.

        An evaluation at the last timestep of a rollout was of the model before the last update.
        """
        self.evaluation.evaluate_now()
        if len(self.evaluation.log.timesteps) > self.seen:
            self._note(", after the last update (above: before it)")

    def _note(self, of: str = "") -> None:
        log, config = self.evaluation.log, self.folder.config
        self.seen = len(log.timesteps)
        measures, steps = log.measures[-1], log.timesteps[-1]
        objectives = [row["objective"] for row in log.measures]
        metrics = trial_metrics(measures, objectives, config.search)
        metrics |= {"timesteps": steps, "seed": trial_seed(config.seed, {})}
        self.write("result", metrics=reported_metrics(metrics))
        self.stop_reason = drawdown_breach(measures, config.search) or self.stop_reason
        self.say(
            f"{steps:>9,} timesteps{of}: Sharpe {measures['sharpe_ratio']:.3f}, "
            f"max drawdown {measures['max_drawdown']:.1%}"
        )
