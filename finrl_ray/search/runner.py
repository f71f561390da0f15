"""Starting, resuming and finishing a search."""

import contextlib
import dataclasses
import json
import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import ray
from ray import tune

from finrl_ray.agent.hyperparameters import resolve_sample
from finrl_ray.config import ExperimentConfig
from finrl_ray.data.loading import load_market_data
from finrl_ray.data.market_data import MarketData
from finrl_ray.data.splits import Split, make_split
from finrl_ray.errors import ConfigError, FinRLRayError, SearchError
from finrl_ray.search.folder import SearchFolder, create_folder, open_folder
from finrl_ray.search.journal import (
    ENDED,
    Records,
    SearchJournal,
    interruption,
    unfinished,
)
from finrl_ray.search.outputs import write_outputs
from finrl_ray.search.results import trial_table
from finrl_ray.search.retention import CheckpointRetention, prune
from finrl_ray.search.schedulers import (
    METRIC,
    SchedulerMemory,
    make_scheduler,
    make_searcher,
    trial_label,
)
from finrl_ray.search.spaces import (
    Domain,
    build_space,
    corner_samples,
    count_trials,
    to_param_space,
)
from finrl_ray.trainable import train_trial
from finrl_ray.training import build_model, make_trial_envs

logger = logging.getLogger(__name__)

# ray.md of the design: reuse needs time for a trial's clean-up; one malloc arena keeps the memory
# of a reused actor flat; the rest only silences Ray's own screens
WORKER_ENV = {"TUNE_FUNCTION_THREAD_TIMEOUT_S": "60", "MALLOC_ARENA_MAX": "1"}
DRIVER_ENV = {
    "RAY_AIR_NEW_OUTPUT": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "2",
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}

ViewFactory = Callable[[SearchFolder, SearchJournal, int], tune.Callback]


@dataclass(frozen=True, kw_only=True)
class SearchResult:
    """What `run_search` and `resume_search` return.

    Parameters
    ----------
    path : the search's folder
    table : one row per started trial, best first (see `finrl_ray.search.results.trial_table`)
    finished : whether every planned trial has ended; if not, `resume_search(path)` goes on
    planned : number of trials that the search was to start
    """

    path: Path
    table: pd.DataFrame
    finished: bool
    planned: int


@dataclass(frozen=True, kw_only=True)
class PreparedSearch:
    """A search that has passed every check and has not yet left a trace.

    Parameters
    ----------
    config : with the data source's path made absolute
    market_data, data_report, split : what it will run on
    planned : number of trials
    """

    config: ExperimentConfig
    market_data: MarketData
    data_report: dict[str, Any]
    split: Split
    planned: int

    def describe(self) -> str:
        """Return what is about to run, in a few lines."""
        data, config = self.market_data, self.config
        first, last = (str(data.dates[i])[:10] for i in (0, -1))
        windows = [self.split.train, self.split.validation, self.split.test]
        spans = ", ".join(
            f"{w.name} {str(data.dates[w.first_row])[:10]}..{str(data.dates[w.stop_row - 1])[:10]}"
            for w in windows
        )
        scheduler = config.search.scheduler.type
        return (
            f"{data.n_assets} tickers, {data.n_periods} dates {first}..{last}, "
            f"{len(data.feature_names)} features\n{spans}\n"
            f"{self.planned} trials of {config.agent.algorithm}, "
            f"{config.agent.total_timesteps:,} timesteps each at most, "
            f"{config.search.searcher} search, {scheduler}"
        )


def prepare_search(
    config: ExperimentConfig,
    *,
    base_dir: Path = Path(),
    market_data: MarketData | None = None,
) -> PreparedSearch:
    """Load the data and check everything that can be checked before a trial starts.

    Parameters
    ----------
    config : the experiment
    base_dir : folder that a relative `data.source` is looked up from
    market_data : prices already in memory; `config.data` is then not read

    Raises
    ------
    ConfigError, DataError
        For anything that would fail later.
    """
    space = build_space(config)
    report: dict[str, Any] = {"source": "given in memory"}
    if market_data is None:
        market_data, loaded = load_market_data(config.data, base_dir)
        report = loaded.to_dict()
        if (base_dir / config.data.source).is_file():
            source = str((base_dir / config.data.source).absolute())
            config = dataclasses.replace(
                config, data=dataclasses.replace(config.data, source=source)
            )
    split = make_split(market_data, config.split)
    _check_models(config, space, market_data, split)
    planned = count_trials(space, config.search.num_samples)
    return PreparedSearch(
        config=config, market_data=market_data, data_report=report, split=split, planned=planned
    )


def _check_models(
    config: ExperimentConfig, space: Mapping[str, Domain], market_data: MarketData, split: Split
) -> None:
    """Build the envs once and a model per option of the space, so that no trial fails on these."""
    train_data, validation_data = split.train.cut(market_data), split.validation.cut(market_data)
    for sample in corner_samples(space):
        settings = resolve_sample(sample, config.agent)
        try:
            env, eval_env = make_trial_envs(config, settings, 0, train_data, validation_data)
            build_model(config, settings, env, 0)
        except (TypeError, AssertionError, ValueError) as error:
            if isinstance(error, FinRLRayError):
                raise
            raise ConfigError(
                f"agent or search.space: {config.agent.algorithm} cannot be built with "
                f"{settings.flat()}: {error}"
            ) from error
        env.close()
        eval_env.close()


def run_search(
    config: ExperimentConfig | PreparedSearch,
    *,
    base_dir: Path = Path(),
    market_data: MarketData | None = None,
    make_view: ViewFactory | None = None,
) -> SearchResult:
    """Run a whole search and write its folder.

    Parameters
    ----------
    config : the experiment, or what `prepare_search` returned for it
    base_dir : folder that relative paths of the config are looked up from
    market_data : prices already in memory
    make_view : makes a Ray Tune callback that shows progress

    Raises
    ------
    ConfigError, DataError
        Before anything is started or written.
    SearchError
        If the search's folder cannot be written or Ray fails.
    """
    prepared = (
        config
        if isinstance(config, PreparedSearch)
        else prepare_search(config, base_dir=base_dir, market_data=market_data)
    )
    config = prepared.config
    storage = Path(config.search.storage_path).expanduser()
    folder = create_folder(
        config, prepared.market_data, prepared.split, prepared.data_report, storage
    )
    return _fit(folder, prepared.planned, Records(), make_view)


def resume_search(path: str | Path, *, make_view: ViewFactory | None = None) -> SearchResult:
    """Go on with an interrupted search: ended trials stay, others continue from checkpoints.

    Raises
    ------
    SearchError
        If the folder is no search's, or Ray fails.
    """
    folder = open_folder(path)
    planned = count_trials(build_space(folder.config), folder.config.search.num_samples)
    records = folder.records()
    if _is_finished(records, planned):
        return _finish(folder, records, planned)
    return _fit(folder, planned, records, make_view)


def _fit(
    folder: SearchFolder, planned: int, records: Records, make_view: ViewFactory | None
) -> SearchResult:
    with _driver_environment(), _ray_session(), _sigterm_as_interrupt():
        tuner, journal = _make_tuner(folder, planned, records, make_view)
        journal.write("search", state="resumed" if records.trials else "started")
        try:
            tuner.fit()
        except ray.exceptions.RayError as error:
            raise SearchError(
                f"Ray failed: {error}. What was reported is kept; go on with "
                f"`finrl-ray resume {folder.path}`"
            ) from error
    # fit() returns normally after Ctrl-C and after lost workers alike: the journal decides
    for record in unfinished(journal.records.in_order()):
        journal.write(
            "end",
            trial_id=record.trial_id,
            state="interrupted",
            reason=interruption(record),
        )
    finished = _is_finished(journal.records, planned)
    journal.write("search", state="finished" if finished else "interrupted")
    return _finish(folder, journal.records, planned)


def _finish(folder: SearchFolder, records: Records, planned: int) -> SearchResult:
    prune(folder.path, records.in_order(), folder.config.search.keep_checkpoints)
    write_outputs(folder, records.in_order())
    return SearchResult(
        path=folder.path,
        table=trial_table(records.in_order(), folder.config),
        finished=_is_finished(records, planned),
        planned=planned,
    )


def _is_finished(records: Records, planned: int) -> bool:
    ended = [record for record in records.trials.values() if record.state in ENDED]
    return len(ended) >= planned and len(ended) == len(records.trials)


def _make_tuner(
    folder: SearchFolder, planned: int, records: Records, make_view: ViewFactory | None
) -> tuple[tune.Tuner, SearchJournal]:
    config = folder.config
    trainable = tune.with_resources(
        tune.with_parameters(
            train_trial,
            config=config,
            train_data=folder.train_data,
            validation_data=folder.validation_data,
        ),
        {"cpu": config.search.cpus_per_trial},
    )
    total = config.agent.total_timesteps
    if _usable_snapshot(folder.ray_path):
        tuner = tune.Tuner.restore(
            str(folder.ray_path), trainable, resume_errored=_lost_by_ray(records)
        )
        # Ray has no public way to change the callbacks of a restored search
        run_config = getattr(tuner, "_local_tuner")._run_config  # noqa: B009  # optional in Ray's types
        memory = next(c for c in run_config.callbacks if isinstance(c, SchedulerMemory))
        journal = SearchJournal(folder.path, total, memory.scheduler, records)
        run_config.callbacks = _callbacks(memory, journal, folder, planned, make_view)
        return tuner, journal
    scheduler = make_scheduler(config)
    journal = SearchJournal(folder.path, total, scheduler, records)
    memory = SchedulerMemory(scheduler)
    tuner = tune.Tuner(
        trainable,
        param_space=to_param_space(build_space(config)),
        tune_config=tune.TuneConfig(
            metric=METRIC,
            mode="max",
            search_alg=make_searcher(config),
            scheduler=scheduler,
            num_samples=config.search.num_samples,
            max_concurrent_trials=_concurrency(config),
            reuse_actors=True,
            trial_name_creator=trial_label,
            trial_dirname_creator=trial_label,
        ),
        run_config=tune.RunConfig(
            name=folder.ray_path.name,
            storage_path=str(folder.path),
            callbacks=_callbacks(memory, journal, folder, planned, make_view),
            failure_config=tune.FailureConfig(max_failures=config.search.max_failures),
            verbose=0,
        ),
    )
    return tuner, journal


def _callbacks(
    memory: SchedulerMemory,
    journal: SearchJournal,
    folder: SearchFolder,
    planned: int,
    make_view: ViewFactory | None,
) -> list[tune.Callback]:
    retention = CheckpointRetention(journal, folder.config.search.keep_checkpoints)
    view = [make_view(folder, journal, planned)] if make_view else []
    return [memory, journal, retention, *view]


def _concurrency(config: ExperimentConfig) -> int:
    if config.search.max_concurrent_trials is not None:
        return config.search.max_concurrent_trials
    resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]  # Ray's
    cpus = resources.get("CPU", 1.0)
    return max(1, int(cpus // config.search.cpus_per_trial))


def _usable_snapshot(path: Path) -> bool:
    """Return whether Ray can restore; unreadable snapshots are moved aside so an older one serves.

    Ray itself takes an unreadable snapshot for a new experiment of one empty trial.
    """
    if not (path / "tuner.pkl").is_file():
        return False
    for state in sorted(path.glob("experiment_state-*.json"), reverse=True):
        try:
            if json.loads(state.read_text(encoding="utf-8")):
                return True
        except ValueError:
            logger.warning("%s is damaged; an older snapshot is used", state.name)
        state.rename(state.with_suffix(".damaged"))
    return False


def _lost_by_ray(records: Records) -> bool:
    """Return whether a trial failed because its worker or node was lost, not by its own error."""
    return any(
        "RayActorError" in r.error or "ray.exceptions" in r.error.rsplit("\n", 3)[-1]
        for r in records.trials.values()
    )


@contextlib.contextmanager
def _driver_environment() -> Iterator[None]:
    before = {name: os.environ.get(name) for name in DRIVER_ENV}
    os.environ.update({k: v for k, v in DRIVER_ENV.items() if before[k] is None})
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)


@contextlib.contextmanager
def _ray_session() -> Iterator[None]:
    """Use the running Ray, or start one on this machine for the time of the search."""
    if ray.is_initialized():
        yield
        return
    # failed trials are in the table; Ray would print each traceback as well
    for name in ("ray", "ray.tune"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    ray.init(
        logging_level=logging.ERROR,
        log_to_driver=False,
        include_dashboard=False,
        runtime_env={"env_vars": WORKER_ENV},
    )
    try:
        yield
    finally:
        ray.shutdown()


@contextlib.contextmanager
def _sigterm_as_interrupt() -> Iterator[None]:
    """Let SIGTERM end a search as Ctrl-C does, with a snapshot (Ray alone would take none)."""
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "SIGUSR1"):
        yield
        return
    before = signal.signal(signal.SIGTERM, lambda *_: os.kill(os.getpid(), signal.SIGUSR1))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
