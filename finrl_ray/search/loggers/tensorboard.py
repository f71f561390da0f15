"""A search for TensorBoard: one run per trial, with its scalars, hyperparameters and how it ended.

Everything comes from the journal, so the files can be written again at any time, also for a search
that is resumed or lies in a store. The folder holds nothing else.
"""

import itertools
import logging
import math
import os
import shutil
import socket
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ray import tune
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.hparams import api_pb2, metadata, plugin_data_pb2
from tensorboard.summary.writer.record_writer import RecordWriter
from torch.utils.tensorboard.summary import hparams

from finrl_ray.agents.hyperparameters import settings_of_sample
from finrl_ray.config.experiment import ExperimentConfig
from finrl_ray.files.disk_full import disk_full_error, is_disk_full
from finrl_ray.metrics.registry import HEADLINES, measure_name
from finrl_ray.search.folder.names import TENSORBOARD_FOLDER
from finrl_ray.search.journal.records import ENDED, TrialRecord
from finrl_ray.search.loggers.ray_dashboard import HasRecords, trial_name

logger = logging.getLogger(__name__)

_FILES = itertools.count()
_EVERY_S = 1.0
# looking at thousands of trials takes longer; it takes at most this share of the time
_SHARE = 0.05
METRICS = ("objective", *(f"eval/{measure.name}" for measure in HEADLINES))
"""What the table of hyperparameters shows of each trial."""
_STATUS = {
    "completed": api_pb2.STATUS_SUCCESS,
    "stopped": api_pb2.STATUS_SUCCESS,
    "rejected": api_pb2.STATUS_SUCCESS,
    "failed": api_pb2.STATUS_FAILURE,
}


class TensorBoardLog(tune.Callback):
    """Ray Tune callback that keeps TensorBoard's files.

    Only a full disk ends the search.

    A file that is written to is open; one trial has one while it runs.

    Parameters
    ----------
    folder : of the search
    config : of the search
    journal : read at most once a second
    """

    def __init__(self, folder: Path, config: ExperimentConfig, journal: HasRecords) -> None:
        self.folder = folder / TENSORBOARD_FOLDER
        self.config = config
        self.journal = journal
        self.writers: dict[int, _EventFile] = {}
        self.written: dict[int, int] = {}
        self.begun = False
        self.closed: set[int] = set()
        self.next = -math.inf
        self.broken = False

    def __getstate__(self) -> dict[str, Any]:
        # Ray pickles callbacks when a search starts; open files cannot travel
        return {**self.__dict__, "writers": {}}

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """Write what is new, once a second at most."""
        now = time.monotonic()
        if now >= self.next:
            self._guarded(self.update, running=True)
            self.next = now + max(_EVERY_S, (time.monotonic() - now) / _SHARE)

    def on_experiment_end(self, trials: list[Any], **info: Any) -> None:
        """Write what is left, and close the files."""
        self._guarded(self.update)
        # a writer hands over what it still has when it is closed, and can fail at that
        self._guarded(self.close)
        self.writers.clear()

    def close(self) -> None:
        """Close the files.

        Raises
        ------
        OSError
            If what is left cannot be written.
        """
        for writer in self.writers.values():
            writer.close()
        self.writers.clear()

    def _guarded(self, work: Callable[[], None], *, running: bool = False) -> None:
        if self.broken:
            return
        try:
            work()
        except (OSError, ValueError, RuntimeError) as error:
            self.broken = True
            if running and is_disk_full(error):
                # the next checkpoint would not have room either
                remedy = "Make room"
                raise disk_full_error(
                    "TensorBoard's files", error, [self.folder], remedy
                ) from error
            logger.warning("TensorBoard's files are written no longer: %s", error)

    def update(self) -> None:
        """Write what the journal has and the files have not.

        Raises
        ------
        OSError
            If a file cannot be written.
        """
        if not self.begun:
            # what a killed driver has left may end in half an event
            shutil.rmtree(self.folder, ignore_errors=True)
            self.folder.mkdir(parents=True)
            self.begun = True
        for record in self.journal.records.in_order():
            if record.index not in self.closed or record.state not in ENDED:
                self._follow(record)

    def _follow(self, record: TrialRecord) -> None:
        new = record.results[self.written.get(record.index, 0) :]
        ended = record.state in ENDED
        # under population based training a trial can fall back behind what it has reported
        self.written[record.index] = len(record.results)
        if record.index in self.closed:
            self.closed.discard(record.index)
        writer = self.writers.get(record.index)
        if writer is None and (new or ended):
            writer = self._begin(record)
        if writer is None:
            return
        for result in new:
            _add(writer, _scalars(result), step=int(result["timesteps"]))
        writer.flush()
        if ended:
            _add(writer, _end(record), step=0)
            writer.close()
            self.writers.pop(record.index, None)
            self.closed.add(record.index)

    def _begin(self, record: TrialRecord) -> "_EventFile":
        name = trial_name(record)
        writer = _EventFile(self.folder / name)
        self.writers[record.index] = writer
        settings = settings_of_sample(self.config, record.sample).flat()
        plain = {key: _as_hparam(value) for key, value in settings.items() if value is not None}
        own = [f"eval/{measure_name(metric)}" for metric in self.config.own_metrics]
        shown = dict.fromkeys((*METRICS, *own), 0.0)
        experiment, start, _ = hparams(plain, shown)  # type: ignore[no-untyped-call]  # torch
        _add(writer, experiment, step=0)
        _add(writer, start, step=0)
        return writer


def _as_hparam(value: Any) -> bool | float | str:
    if isinstance(value, bool | str):
        return value
    return float(value) if isinstance(value, int | float) else str(value)


def _end(record: TrialRecord) -> Summary:
    """Return how a trial has ended; torch's own says of every one that it succeeded."""
    info = plugin_data_pb2.SessionEndInfo(status=_STATUS[record.state], end_time_secs=time.time())
    content = plugin_data_pb2.HParamsPluginData(session_end_info=info)
    value = Summary.Value(
        tag=metadata.SESSION_END_INFO_TAG, metadata=metadata.create_summary_metadata(content)
    )
    return Summary(value=[value])


def _scalars(result: Mapping[str, Any]) -> Summary:
    values = [
        Summary.Value(tag=name, simple_value=float(value))
        for name, value in result.items()
        if (name == "objective" or name.startswith("eval/"))
        and isinstance(value, int | float)
        and math.isfinite(value)
    ]
    return Summary(value=values)


def _add(writer: "_EventFile", content: Summary, step: int) -> None:
    writer.add_event(Event(wall_time=time.time(), step=step, summary=content))


class _EventFile:
    """A run's file of events, written in the thread that asks for it.

    TensorBoard's own writer has a thread, which prints a traceback where a disk is full.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        now = time.time()
        name = f"events.out.tfevents.{int(now):010d}.{socket.gethostname()}.{os.getpid()}"
        # without a buffer, which would be written once more when the file is closed
        self._file = (folder / f"{name}.{next(_FILES)}").open("wb", buffering=0)
        self._records = RecordWriter(self)
        self.add_event(Event(wall_time=now, file_version="brain.Event:2"))

    def add_event(self, event: Event) -> None:
        """Write one event.

        Raises
        ------
        OSError
            If it cannot be written.
        """
        self._records.write(event.SerializeToString())

    def write(self, content: bytes) -> None:
        """Write all of `content`, for TensorBoard's writer of records."""
        left = memoryview(content)
        while left:
            left = left[self._file.write(left) :]

    def flush(self) -> None:
        """Do nothing: nothing is held back."""

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class _ReadOnlyJournal:
    """A journal that is read and not written."""

    def __init__(self, records: Any) -> None:
        self.records = records


def write_tensorboard_log(folder: Path, config: ExperimentConfig, records: Any) -> Path:
    """Write TensorBoard's files of a search from its journal, and return their folder.

    Parameters
    ----------
    folder : of the search
    config : of the search
    records : what its journal says
    """
    log = TensorBoardLog(folder, config, _ReadOnlyJournal(records))
    log.update()
    log.close()
    return log.folder
