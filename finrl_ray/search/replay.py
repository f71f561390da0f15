"""Training again what a trial of a search has trained, from its journal alone."""

import contextlib
import dataclasses
import json
import math
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch as th

from finrl_ray.errors import SearchError
from finrl_ray.fold_training import train_folds
from finrl_ray.search.copied_folder import copy_tree
from finrl_ray.search.folder import SearchFolder, open_folder
from finrl_ray.search.journal import TrialRecord
from finrl_ray.search.lineage import Segment, segments
from finrl_ray.search.results import winner
from finrl_ray.training import FROM_SCRATCH, Report, Start, train_agent

REPLAY_FOLDER = "replay"
SCHEDULE_FILE = "schedule.json"
# of the process that reported, not of what was computed
_NOT_COMPARED = ("notes",)


@dataclass(frozen=True, kw_only=True)
class Replay:
    """What `replay` returns.

    Parameters
    ----------
    trial : the trial's number
    path : folder of the trained model and of `schedule.json`
    schedule : the stretches that were trained
    recorded, replayed : the trial's last evaluation, then and again
    """

    trial: int
    path: Path
    schedule: list[Segment]
    recorded: dict[str, Any]
    replayed: dict[str, Any]

    @property
    def differences(self) -> list[str]:
        """Names of measures that came out differently; empty when the replay is exact."""
        names = [name for name in self.recorded if name not in _NOT_COMPARED]
        return [n for n in names if not _same(self.recorded[n], self.replayed.get(n))]


class _Reached(Exception):  # noqa: N818  # no error: training has come as far as it should
    """Raised inside training to leave it at a safe point."""


def replay(path: str | Path, trial: int | None = None) -> Replay:
    """Train a trial's whole schedule again and compare its last evaluation with the journal's.

    A trial of random search has one stretch. Under population based training the first ancestor's
    sample is trained to the first exchange, the next to the second, and so on. The model is written
    to `replay/trial_N/` in the search's folder.

    Parameters
    ----------
    path : the search's folder
    trial : its number; None: the winner

    Raises
    ------
    SearchError
        If there is no such trial, or it has reported nothing.
    """
    folder = open_folder(path)
    records = folder.records().in_order()
    record = _find(folder, records, trial)
    if not record.last:
        raise SearchError(f"trial {record.index} has reported no evaluation that could be repeated")
    schedule = segments(record, records)
    target = folder.path / REPLAY_FOLDER / f"trial_{record.index}"
    with tempfile.TemporaryDirectory() as scratch:
        last, checkpoint = train_schedule(folder, schedule, record.last["timesteps"], Path(scratch))
        target.parent.mkdir(exist_ok=True)
        copy_tree(checkpoint, target)
    plain = [dataclasses.asdict(segment) for segment in schedule]
    (target / SCHEDULE_FILE).write_text(json.dumps(plain, indent=2) + "\n", encoding="utf-8")
    return Replay(
        trial=record.index, path=target, schedule=schedule, recorded=record.last, replayed=last
    )


def _find(folder: SearchFolder, records: Sequence[TrialRecord], trial: int | None) -> TrialRecord:
    if trial is None:
        return winner(records, folder.config)
    for record in records:
        if record.index == trial:
            return record
    known = f"0 to {records[-1].index}" if records else "none"
    raise SearchError(f"the search in {folder.path} has no trial {trial}; it has {known}")


def train_schedule(
    folder: SearchFolder, schedule: Sequence[Segment], until: int, scratch: Path
) -> tuple[dict[str, Any], Path]:
    """Train one stretch after the other, each from the checkpoint of the one before.

    Parameters
    ----------
    folder : of the search
    schedule : of one trial
    until : timesteps of the last evaluation
    scratch : where the checkpoints between stretches are written

    Returns
    -------
    metrics : as reported at `until`
    checkpoint : folder of the checkpoint made there
    """
    th.set_num_threads(max(1, int(folder.config.search.cpus_per_trial)))
    start, metrics, place = FROM_SCRATCH, {}, scratch
    for number, segment in enumerate(schedule):
        place = scratch / f"stretch_{number}"
        end = until if segment.end is None else segment.end
        metrics = _train(folder, segment, start, end, place)
        start = Start(checkpoint=place)
    return metrics, place


def _train(
    folder: SearchFolder, segment: Segment, start: Start, end: int, place: Path
) -> dict[str, Any]:
    reached: dict[str, Any] = {}

    def report(metrics: dict[str, Any], save: Callable[[Path], None]) -> None:
        if metrics["timesteps"] == end:
            place.mkdir()
            save(place)
            reached.update(metrics)
        if metrics["timesteps"] >= end:
            raise _Reached

    with contextlib.suppress(_Reached):
        train_as_searched(folder, segment.sample, report, start)
    if not reached:
        raise SearchError(
            f"trial {segment.trial} should be evaluated at {end:,} timesteps, as the journal says, "
            "but was not: it was recorded with other data or another version of this package"
        )
    return reached


def train_as_searched(
    folder: SearchFolder, sample: dict[str, Any], report: Report, start: Start
) -> None:
    """Train a configuration as a trial of the search does, but in this process."""
    config, plan = folder.config, folder.plan
    if plan is not None:
        train_folds(sample, config, folder.development, plan, report, start)
    else:
        data = (folder.train_data, folder.validation_data)
        train_agent(sample, config, *data, report, start)


def _same(one: Any, other: Any) -> bool:
    both_nan = all(isinstance(x, float) and math.isnan(x) for x in (one, other))
    return both_nan or bool(one == other)
