"""The function that Ray Tune runs for each trial: the one place where training meets Ray."""

import contextlib
import faulthandler
import gc
import itertools
import os
import shutil
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pyarrow.fs as pafs
import torch as th
from ray import tune

from finrl_ray.cluster.tune_internals import StorageContext
from finrl_ray.config.experiment import ExperimentConfig
from finrl_ray.data.market_data import MarketData
from finrl_ray.data.windows.folds import ValidationPlan
from finrl_ray.files.disk_full import WRITE_ERRORS, disk_full_error, explain_disk_full, is_disk_full
from finrl_ray.machine.resources import ResourceMonitor
from finrl_ray.own_code.code_files import CodeFiles
from finrl_ray.own_code.failures import naming_own_code
from finrl_ray.search.folder.own_code import run_code
from finrl_ray.search.worker.restart import CheckpointFlusher, trial_start
from finrl_ray.training.agent import Report, StartPoint, train_agent
from finrl_ray.training.folds import train_folds

CHECKPOINT_BYTES = "sys/checkpoint_bytes"
"""Key of the size of a result's checkpoint."""
SCRATCH = "finrl_ray_"
"""Temporary folders are named so, and by the process that they belong to."""
_REMEDY = f"Make room on {socket.gethostname()}, then go on with `finrl-ray resume` of the search"
# of this process, which many trials take over one after the other
_TRIALS = itertools.count()
_FLUSHER = CheckpointFlusher()
NO_CODE = CodeFiles()


def train_trial(
    sample: dict[str, Any],
    *,
    config: ExperimentConfig,
    train_data: MarketData,
    validation_data: MarketData,
    code: CodeFiles = NO_CODE,
) -> None:
    """Train one sampled configuration, reporting to Ray Tune after each evaluation.

    Parameters
    ----------
    sample : one draw from the search space
    config : the experiment
    train_data, validation_data : the rows of the two windows; no other rows reach a trial
    code : the user's own code that the config names
    """
    with trial_session(config, code) as (report, start):
        train_agent(sample, config, train_data, validation_data, report, start)


def train_path_trial(
    sample: dict[str, Any],
    *,
    config: ExperimentConfig,
    development: MarketData,
    plan: ValidationPlan,
    code: CodeFiles = NO_CODE,
) -> None:
    """Train one sampled configuration fold after fold, reporting to Ray Tune after each.

    Parameters
    ----------
    sample : one draw from the search space
    config : the experiment
    development : the rows of train and validation; no other rows reach a trial
    plan : the folds, as rows of `development`
    code : the user's own code that the config names
    """
    with trial_session(config, code) as (report, start):
        train_folds(sample, config, development, plan, report, start)


@contextlib.contextmanager
def trial_session(
    config: ExperimentConfig, code: CodeFiles = NO_CODE
) -> Iterator[tuple[Report, StartPoint]]:
    """Give what a trial reports by and where it starts; the watchdog counts while it runs."""
    run_code(config, code)
    th.set_num_threads(config.search.threads)
    collect_garbage()
    remove_leftovers()
    watchdog = Watchdog(config.search.trial_timeout_s)
    storage = tune.get_context().get_storage()
    # the actor has no child processes, and looking for some takes milliseconds
    monitor = ResourceMonitor(None, include_children=False)
    report = partial(report_evaluation, monitor, watchdog, _FLUSHER, storage)
    found = trial_start(tune.get_checkpoint(), storage.trial_fs_path, storage.storage_filesystem)
    # a store that is away while the checkpoint is read is not the trial's fault
    full_disk = explain_disk_full("a file of the trial", _places(storage), _REMEDY)
    with full_disk, found as start, watchdog.watching(), naming_own_code("in training"):
        yield report, start


def _places(storage: StorageContext) -> list[str | Path]:
    """Return the folders that a trial writes to, as far as they are of this machine."""
    local = isinstance(storage.storage_filesystem, pafs.LocalFileSystem)
    return [*([storage.trial_fs_path] if local else []), tempfile.gettempdir()]


def collect_garbage() -> None:
    """Free what the process's last trial has left, and exempt the loaded modules from collection.

    At its end a trial cannot: Ray stops it by an exception, which holds its model. The modules that
    the first two trials find loaded are half a million objects; to look through them takes a
    quarter of a second each time, as it does when Python itself collects in the middle of training.
    """
    trial = next(_TRIALS)
    if trial > 0:
        gc.collect()
    if trial < 2:
        gc.freeze()


def remove_leftovers() -> None:
    """Delete the temporary checkpoints of processes that were killed while they wrote them."""
    for path in Path(tempfile.gettempdir()).glob(f"{SCRATCH}*"):
        process = path.name.removeprefix(SCRATCH).partition("_")[0]
        if process.isdecimal() and not psutil.pid_exists(int(process)):
            shutil.rmtree(path, ignore_errors=True)


class Watchdog:
    """Ends this process when a trial has reported nothing for too long.

    The timer is a thread of C code, which also a hang that holds Python's interpreter lock cannot
    stop; it writes where every thread is to stderr first. Ray then starts the trial again from its
    checkpoint, or the search counts it as failed.

    Parameters
    ----------
    timeout_s : seconds without a report; None: for ever
    """

    def __init__(self, timeout_s: float | None) -> None:
        self.timeout_s = timeout_s

    def start(self) -> None:
        """Count from this moment."""
        if self.timeout_s is not None:
            # Ray's own stderr may be a wrapper without a file
            stderr: Any = sys.__stderr__
            faulthandler.dump_traceback_later(self.timeout_s, exit=True, file=stderr)

    def stop(self) -> None:
        """Do not count."""
        if self.timeout_s is not None:
            faulthandler.cancel_dump_traceback_later()

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Count while the block runs, from each `start` in it."""
        self.start()
        try:
            yield
        finally:
            self.stop()


def report_evaluation(
    monitor: ResourceMonitor,
    watchdog: Watchdog,
    flusher: CheckpointFlusher,
    storage: StorageContext,
    metrics: dict[str, Any],
    save: Callable[[Path], None],
) -> None:
    """Report one evaluation with its checkpoint and what the process uses (`sys/...`).

    The `sys/` values are in Ray's results alone: the journal takes over what the trial computed,
    which does not depend on the machine.

    When the scheduler stops the trial, `tune.report` does not return: Ray raises SystemExit in it.

    Raises
    ------
    DiskFullError
        If there is no room for the checkpoint.
    """
    try:
        with tempfile.TemporaryDirectory(prefix=f"{SCRATCH}{os.getpid()}_") as folder:
            save(Path(folder))
            metrics = metrics | monitor.measure().metrics()
            metrics[CHECKPOINT_BYTES] = sum(p.stat().st_size for p in Path(folder).iterdir())
            watchdog.stop()  # how long the driver takes to answer is not the trial's time
            tune.report(metrics, checkpoint=tune.Checkpoint.from_directory(folder))
    except WRITE_ERRORS as error:
        if not is_disk_full(error):
            raise
        with contextlib.suppress(OSError):  # the part that was written takes room that others need
            storage.storage_filesystem.delete_dir(storage.checkpoint_fs_path)
        what = f"the checkpoint of {metrics['timesteps']:,} timesteps"
        raise disk_full_error(what, error, _places(storage), _REMEDY) from error
    finally:
        flusher.flush(storage.checkpoint_fs_path, storage.storage_filesystem)
    watchdog.start()
