"""Starting, resuming and finishing a search."""

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import ray
from ray import tune
from ray.tune.error import TuneError
from ray.tune.search import ConcurrencyLimiter

from finrl_ray.config import ExperimentConfig
from finrl_ray.data.market_data import MarketData
from finrl_ray.errors import SearchError
from finrl_ray.ray_session import ray_session
from finrl_ray.search.folder import SearchFolder, create_folder, open_folder, sole_driver
from finrl_ray.search.journal import (
    Records,
    SearchJournal,
    append_event,
    interruption,
    unfinished,
)
from finrl_ray.search.outputs import TRIALS_FILE, write_outputs
from finrl_ray.search.preparation import PreparedSearch, prepare_search
from finrl_ray.search.results import trial_table
from finrl_ray.search.retention import CheckpointRetention, prune
from finrl_ray.search.schedulers import (
    METRIC,
    make_scheduler,
    trial_label,
)
from finrl_ray.search.searchers import make_searcher
from finrl_ray.search.snapshot import check_journal, usable_snapshot
from finrl_ray.search.spaces import build_space, planned_trials
from finrl_ray.trainable import train_trial

# a reused actor needs time for the clean-up of its last trial, and with one malloc arena its memory
# stays flat over many trials
WORKER_ENV = {"TUNE_FUNCTION_THREAD_TIMEOUT_S": "60", "MALLOC_ARENA_MAX": "1"}
# snapshots every 2 s; no screens and no log files that nobody reads
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
    storage = Path(config.search.storage_path)
    with _driver_environment(), ray_session(WORKER_ENV):
        # only once Ray answers is there something to keep in a folder
        folder = create_folder(
            config, prepared.market_data, prepared.split, prepared.data_report, storage
        )
        with sole_driver(folder):
            return _fit(folder, prepared.planned, Records(), make_view)


def resume_search(path: str | Path, *, make_view: ViewFactory | None = None) -> SearchResult:
    """Go on with an interrupted search: ended trials stay, others continue from checkpoints.

    Raises
    ------
    SearchError
        If the folder is no search's, or Ray fails.
    """
    folder = open_folder(path)
    if folder.kind != "search":
        raise SearchError(
            f"{folder.path} was made by `finrl-ray train`, which trains in one go; run it again"
        )
    planned = planned_trials(folder.config)
    with sole_driver(folder):
        records = folder.records()
        check_journal(folder.path, usable_snapshot(folder.ray_path), records)
        if not _is_finished(records, planned):
            _require_original_place(folder)
            return _fit(folder, planned, records, make_view)
        if not (folder.path / f"{TRIALS_FILE}.csv").is_file():
            write_outputs(folder, records.in_order())
        return _result(folder, records, planned)


def _require_original_place(folder: SearchFolder) -> None:
    # Ray's own files name the place; trials that have not started yet would be sent there
    if folder.path != folder.origin:
        raise SearchError(
            f"the unfinished search in {folder.path} was started in {folder.origin}, and Ray's "
            "files name that place; move it back, or link it there and resume the link: "
            f"ln -s {folder.path} {folder.origin}"
        )


def _fit(
    folder: SearchFolder, planned: int, records: Records, make_view: ViewFactory | None
) -> SearchResult:
    append_event(folder.path, records, "search", state="resumed" if records.trials else "started")
    try:
        with _driver_environment(), ray_session(WORKER_ENV), _sigterm_as_interrupt():
            _make_tuner(folder, planned, records, make_view).fit()
    except KeyboardInterrupt:
        pass  # before Ray's own handler was in place, or a second time; the journal decides below
    except (ray.exceptions.RayError, TuneError, OSError) as error:
        raise SearchError(
            f"Ray failed: {error}. What was reported is kept; go on with "
            f"`finrl-ray resume {folder.path}`"
        ) from error
    # fit() returns normally after Ctrl-C and after lost workers alike: the journal decides
    for record in unfinished(records.in_order()):
        content = {"trial_id": record.trial_id, "reason": interruption(record)}
        append_event(folder.path, records, "end", state="interrupted", **content)
    finished = _is_finished(records, planned)
    append_event(folder.path, records, "search", state="finished" if finished else "interrupted")
    if finished:  # until then Ray's snapshot may name a checkpoint that the journal has superseded
        prune(folder.path, records.in_order(), folder.config.search.keep_checkpoints)
    write_outputs(folder, records.in_order())
    return _result(folder, records, planned)


def _result(folder: SearchFolder, records: Records, planned: int) -> SearchResult:
    return SearchResult(
        path=folder.path,
        table=trial_table(records.in_order(), folder.config),
        finished=_is_finished(records, planned),
        planned=planned,
    )


def _is_finished(records: Records, planned: int) -> bool:
    return len(records.trials) >= planned and not unfinished(records.in_order())


def _make_tuner(
    folder: SearchFolder, planned: int, records: Records, make_view: ViewFactory | None
) -> tune.Tuner:
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
    if usable_snapshot(folder.ray_path) is not None:
        tuner = tune.Tuner.restore(
            str(folder.ray_path), trainable, resume_errored=_lost_by_ray(records)
        )
        # Ray has no public way to change the callbacks of a restored search
        run_config = getattr(tuner, "_local_tuner")._run_config  # noqa: B009  # optional in Ray's types
        scheduler = getattr(tuner, "_local_tuner")._tune_config.scheduler  # noqa: B009
        journal = SearchJournal(folder.path, total, scheduler, records)
        run_config.callbacks = _callbacks(journal, folder, planned, make_view)
        return tuner
    space = build_space(config)
    scheduler = make_scheduler(config, space)
    journal = SearchJournal(folder.path, total, scheduler, records)
    return tune.Tuner(
        trainable,
        param_space={},
        tune_config=tune.TuneConfig(
            metric=METRIC,
            mode="max",
            search_alg=ConcurrencyLimiter(make_searcher(config, space), _concurrency(config)),
            scheduler=scheduler,
            num_samples=planned,
            reuse_actors=True,
            trial_name_creator=trial_label,
            trial_dirname_creator=trial_label,
        ),
        run_config=tune.RunConfig(
            name=folder.ray_path.name,
            storage_path=str(folder.path),
            callbacks=_callbacks(journal, folder, planned, make_view),
            failure_config=tune.FailureConfig(max_failures=config.search.max_failures),
            verbose=0,
        ),
    )


def _callbacks(
    journal: SearchJournal,
    folder: SearchFolder,
    planned: int,
    make_view: ViewFactory | None,
) -> list[tune.Callback]:
    retention = CheckpointRetention(journal, folder.config.search.keep_checkpoints)
    view = [make_view(folder, journal, planned)] if make_view else []
    return [journal, retention, *view]


def _concurrency(config: ExperimentConfig) -> int:
    if config.search.max_concurrent_trials is not None:
        return config.search.max_concurrent_trials
    resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]  # Ray's
    cpus = resources.get("CPU", 1.0)
    return max(1, int(cpus // config.search.cpus_per_trial))


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
