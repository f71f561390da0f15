"""Starting, resuming and finishing a search."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import ray
from ray import tune
from ray.tune.error import TuneError

from finrl_ray.cluster.nodes import current_dashboard, require_shared
from finrl_ray.cluster.tune_worker import reporting_together
from finrl_ray.cluster.watchdog import watching
from finrl_ray.config.experiment import ExperimentConfig
from finrl_ray.data.market_data import MarketData
from finrl_ray.errors import FinRLRayError, SearchError
from finrl_ray.files.disk_full import WRITE_ERRORS, is_disk_full
from finrl_ray.files.writable_folder import require_writable
from finrl_ray.own_code.code_files import CodeFiles
from finrl_ray.search.folder.checkpoints import CheckpointStorage
from finrl_ray.search.folder.folder import (
    FolderKind,
    SearchFolder,
    create_folder,
    open_folder,
    sole_driver,
)
from finrl_ray.search.folder.mirror import FolderMirror, require_newest
from finrl_ray.search.folder.names import TRIALS_FILE
from finrl_ray.search.journal.events import append_event, error_line
from finrl_ray.search.journal.records import TrialRecords
from finrl_ray.search.journal.state_files import StateFiles, StoredState
from finrl_ray.search.loggers.ray_dashboard import RayDashboardCallback
from finrl_ray.search.loggers.tensorboard import TensorBoardLog
from finrl_ray.search.loggers.trackers import make_trackers
from finrl_ray.search.results.ranking import rank_name
from finrl_ray.search.results.table import leader, trial_table
from finrl_ray.search.results.verdict import SearchVerdict, read_verdict
from finrl_ray.search.run.compiled_rules import compile_rules
from finrl_ray.search.run.concurrency import concurrency_limit, warn_of_crowding
from finrl_ray.search.run.config_changes import take_changes
from finrl_ray.search.run.driver import (
    driver_environment,
    search_session,
    sigterm_as_interrupt,
)
from finrl_ray.search.run.interruption import end_trials, interrupted_by_full_disk
from finrl_ray.search.run.outputs import write_outputs
from finrl_ray.search.run.prepare import PreparedSearch, prepare_search, require_place
from finrl_ray.search.run.trial_resources import (
    of_one_trial,
    require_capacity,
)
from finrl_ray.search.sampling.domains import Domain, build_space
from finrl_ray.search.sampling.searchers import make_searcher
from finrl_ray.search.schedulers.make import METRIC, make_scheduler, trial_label
from finrl_ray.search.tune.commit import StateCommitter, read_for_resume, require_trusted
from finrl_ray.search.tune.journal_callback import JournalCallback
from finrl_ray.search.tune.resumable_scheduler import ResumableScheduler
from finrl_ray.search.tune.retention import CheckpointRetention, delete_at_once, prune
from finrl_ray.search.tune.stopper import BudgetStopper, looks_at_each_result
from finrl_ray.search.tune.trial_source import TrialSource
from finrl_ray.search.worker.trainable import remove_leftovers, train_path_trial, train_trial
from finrl_ray.storage.url import is_url
from finrl_ray.support.interruptions import ONE_SIGNAL_S, interrupted

ViewFactory = Callable[[SearchFolder, JournalCallback, int], tune.Callback]


@dataclass(frozen=True, kw_only=True)
class SearchResult:
    """What `run_search` and `resume_search` return.

    Parameters
    ----------
    path : the search's folder
    table : one row per started trial, best first (see `finrl_ray.search.results.table.trial_table`)
    finished : whether every planned trial has ended; if not, `resume_search(path)` goes on
    planned : number of trials that the search was to start
    ended_by : why it has ended before that, such as a budget that is spent; empty if it has not
    remote : URL of its checkpoints and of a copy of its folder; empty if all is in `path`
    judged : whether the winner is more than luck; None before any trial has started
    ranked_by : by what trials are ranked, in words
    """

    path: Path
    table: pd.DataFrame
    finished: bool
    planned: int
    ended_by: str = ""
    remote: str = ""
    judged: SearchVerdict | None = None
    ranked_by: str = ""


def run_search(
    config: ExperimentConfig | PreparedSearch,
    *,
    base_dir: Path = Path(),
    market_data: MarketData | None = None,
    make_view: ViewFactory | None = None,
    address: str | None = None,
    dashboard: bool = False,
    kind: FolderKind = "search",
    code: CodeFiles | None = None,
) -> SearchResult:
    """Run a whole search and write its folder.

    Parameters
    ----------
    config : the experiment, or what `prepare_search` returned for it
    base_dir : folder that relative paths of the config are looked up from
    market_data : prices already in memory
    make_view : makes a Ray Tune callback that shows progress
    address : a cluster to join (see `finrl_ray.cluster.session`); None: what RAY_ADDRESS names, or
        a Ray of our own
    dashboard : start the dashboard of a Ray of our own
    kind : what its folder says that it is
    code : own code that the config names, where it was read before; None: from `base_dir`

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
        else prepare_search(
            config, base_dir=base_dir, market_data=market_data, address=address, code=code
        )
    )
    config = prepared.config
    require_place(config)
    search = config.search
    place = Path(search.local_path if is_url(search.storage_path) else search.storage_path)
    session = search_session(config, prepared.planned, address, dashboard)
    with driver_environment(), session:
        require_capacity(of_one_trial(config), "a trial")
        # only once Ray answers is there something to keep in a folder
        folder = create_folder(
            config,
            prepared.market_data,
            prepared.split,
            prepared.data_report,
            place,
            kind,
            code=prepared.code,
        )
        _require_seen(folder)
        with sole_driver(folder):
            return _run(folder, prepared.space, make_view)


def resume_search(
    path: str | Path,
    *,
    add_trials: int | None = None,
    overrides: Sequence[str] = (),
    make_view: ViewFactory | None = None,
    address: str | None = None,
    dashboard: bool = False,
    trust: bool = False,
) -> SearchResult:
    """Go on with an interrupted search: ended trials stay, others continue from checkpoints.

    Parameters
    ----------
    path : the search's folder, or the URL of one
    add_trials : trials more than the search has; one that has ended is open again, and its verdict
        counts them all. After an interruption it goes on without this
    overrides : `key=value` strings, of keys that may change in a search (docs/search.md)
    make_view, address, dashboard : as for `run_search`
    trust : run code that is in the state of somebody else's search; see docs/trust.md

    Raises
    ------
    ConfigError
        If a key may not change, or so many trials cannot be added.
    SearchError
        If the folder is no search's, what it needs is damaged beyond its copies or needs `trust`,
        its config was edited in what may not change, or Ray fails.
    """
    folder = open_folder(path)
    if folder.kind == "train":
        raise SearchError(
            f"{folder.path} was made by `finrl-ray train`, which trains in one go; run it again"
        )
    folder.run_code(trust=trust)
    require_writable("the folder of a search that goes on", folder.path)
    with sole_driver(folder):
        records = folder.records()
        if folder.remote:
            require_newest(folder.path, folder.remote)
        if add_trials is not None or not folder.is_finished(records):
            # before anything is noted: the same command is given again with `trust`
            require_trusted(folder.path, trust=trust)
        folder = take_changes(folder, records, add_trials=add_trials, overrides=overrides)
        if not folder.is_finished(records):
            require_trusted(folder.path, trust=trust)
            session = search_session(folder.config, folder.planned, address, dashboard)
            with driver_environment(), session:
                require_capacity(of_one_trial(folder.config), "a trial")
                _require_seen(folder)
                space = build_space(folder.config)
                return _run(folder, space, make_view, trust=trust)
        with FolderMirror(folder.path, folder.remote):
            if not _is_written(folder, records):
                write_outputs(folder, records.in_order())
        return _result(folder, records)


def _is_written(folder: SearchFolder, records: TrialRecords) -> bool:
    """Return whether a finished search's outputs are there, and are those of all its trials."""
    if not (folder.path / f"{TRIALS_FILE}.csv").is_file():
        return False
    if folder.kind != "search":
        return True
    judged = read_verdict(folder.path)
    return judged is not None and sum(judged.states.values()) == len(records.in_order())


def _require_seen(folder: SearchFolder) -> None:
    if not folder.remote:
        require_shared(folder.path)


def _run(
    folder: SearchFolder,
    space: Mapping[str, Domain],
    make_view: ViewFactory | None,
    *,
    trust: bool = False,
) -> SearchResult:
    """Run the search, or the rest of it, and write what comes out; Ray is up.

    Raises
    ------
    DiskFullError
        If a disk has no room: the search is then interrupted, as by Ctrl-C.
    """
    with FolderMirror(folder.path, folder.remote) as mirror:
        try:
            return _run_mirrored(folder, space, make_view, mirror, trust=trust)
        except WRITE_ERRORS as error:
            if not is_disk_full(error):
                raise
            raise interrupted_by_full_disk(folder, error) from error


def _run_mirrored(
    folder: SearchFolder,
    space: Mapping[str, Domain],
    make_view: ViewFactory | None,
    mirror: FolderMirror,
    *,
    trust: bool,
) -> SearchResult:
    planned = folder.planned
    warn_of_crowding(folder.config, planned)
    storage = CheckpointStorage(folder.path, folder.remote)
    records, state, files = read_for_resume(folder.path, trust=trust)
    append_event(folder.path, records, "search", state="resumed" if records.trials else "started")
    committer = _make_committer(folder, space, records, state, files)
    journal = JournalCallback(committer, folder.config, storage)
    delete = mirror.delete if folder.remote else delete_at_once(storage)
    retention = CheckpointRetention(journal, folder.config, delete)
    stopper = BudgetStopper(records, folder.config, lambda: retention.reason)
    pausing = folder.config.search.scheduler.pauses_trials
    source = TrialSource(
        committer, state, planned, concurrency_limit(folder.config), storage, pausing=pausing
    )
    callbacks = [journal, retention, *_views(folder, journal, planned, make_view)]
    kept = f"What was reported is kept; go on with `finrl-ray resume {folder.path}`"
    try:
        compile_rules(folder, space)
        with sigterm_as_interrupt(), watching(kept):
            if interrupted():  # while Ray was started, which may have swallowed it
                raise KeyboardInterrupt
            _make_tuner(folder, source, committer, stopper, callbacks).fit()
    except KeyboardInterrupt:
        pass  # before Ray's own handler was in place, or a second time; the journal decides below
    except (ray.exceptions.RayError, TuneError, OSError) as error:
        # at its end Ray writes files that are not needed: a store that is away then does no harm.
        # On a full disk the records may be ahead of the journal
        lost = not folder.is_finished(records) and not interrupted(ONE_SIGNAL_S)
        if lost or is_disk_full(error):
            raise _in_words(error, kept) from error
    remove_leftovers()
    # fit() returns normally after Ctrl-C and after lost workers alike: the journal decides
    end_trials(folder.path, records, stopper.reason)
    finished = folder.is_finished(records)
    append_event(
        folder.path,
        records,
        "search",
        state="finished" if finished else "interrupted",
        ended_by=stopper.reason,
    )
    if finished:
        prune(storage, records.in_order(), folder.config, delete)
    write_outputs(folder, records.in_order())
    return _result(folder, records)


def _in_words(error: BaseException, kept: str) -> SearchError:
    """Return what Ray raised as one message; an error of our own in it speaks for itself."""
    cause: BaseException = error
    while cause.__cause__ is not None:
        cause = cause.__cause__
    if isinstance(cause, FinRLRayError):
        return SearchError(str(cause))
    return SearchError(f"Ray failed: {error_line(str(cause))}. {kept}")


def _make_committer(
    folder: SearchFolder,
    space: Mapping[str, Domain],
    records: TrialRecords,
    state: StoredState | None,
    files: StateFiles,
) -> StateCommitter:
    searcher, scheduler = make_searcher(folder.config, space), make_scheduler(folder.config, space)
    return StateCommitter(folder.path, records, searcher, scheduler, files)


def _result(folder: SearchFolder, records: TrialRecords) -> SearchResult:
    return SearchResult(
        path=folder.path,
        table=trial_table(records.in_order(), folder.config),
        finished=folder.is_finished(records),
        planned=folder.planned,
        ended_by=records.ended_by,
        remote=folder.remote,
        judged=read_verdict(folder.path),
        ranked_by=rank_name(folder.config),
    )


def _make_tuner(
    folder: SearchFolder,
    source: TrialSource,
    committer: StateCommitter,
    stopper: BudgetStopper,
    callbacks: list[tune.Callback],
) -> tune.Tuner:
    config = folder.config
    trainable = tune.with_resources(
        reporting_together(_trainable(folder)),
        {"cpu": config.search.cpus_per_trial, "gpu": config.search.gpus_per_trial},
    )
    return tune.Tuner(
        trainable,
        param_space={},
        tune_config=tune.TuneConfig(
            metric=METRIC,
            mode="max",
            search_alg=source,
            scheduler=ResumableScheduler(
                committer, source.storage, each=looks_at_each_result(config)
            ),
            num_samples=source.planned,
            reuse_actors=True,
            trial_name_creator=trial_label,
            trial_dirname_creator=trial_label,
        ),
        run_config=tune.RunConfig(
            name=folder.ray_path.name,
            storage_path=source.storage.root,
            storage_filesystem=None if source.storage.is_local else source.storage.filesystem,
            stop=stopper,
            callbacks=callbacks,
            failure_config=tune.FailureConfig(max_failures=config.search.max_failures),
            verbose=0,
        ),
    )


def _trainable(folder: SearchFolder) -> Any:
    """Return the function that Ray runs, with the rows that its trials may read."""
    config, plan = folder.config, folder.plan
    if plan is not None:
        return tune.with_parameters(
            train_path_trial,
            config=config,
            development=folder.development,
            plan=plan,
            code=folder.code,
        )
    return tune.with_parameters(
        train_trial,
        config=config,
        train_data=folder.train_data,
        validation_data=folder.validation_data,
        code=folder.code,
    )


def _views(
    folder: SearchFolder, journal: JournalCallback, planned: int, make_view: ViewFactory | None
) -> list[tune.Callback]:
    view = [make_view(folder, journal, planned)] if make_view else []
    dashboard = (
        [
            RayDashboardCallback(
                folder.config.name, journal, planned, partial(leader, config=folder.config)
            )
        ]
        if current_dashboard()
        else []
    )
    written = TensorBoardLog(folder.path, folder.config, journal)
    return [*view, *dashboard, written, *make_trackers(folder)]
