"""`replay`: train one trial of a search again, as its journal says, and compare the results."""

import dataclasses
import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from finrl_ray.errors import SearchError
from finrl_ray.files.copy import copy_tree
from finrl_ray.machine.processor import differences_of, processor_facts
from finrl_ray.search.folder.folder import SearchFolder, open_folder, recorded_processor
from finrl_ray.search.journal.lineage import Segment, segments
from finrl_ray.search.journal.records import TrialRecord
from finrl_ray.search.reproduce.agreement import Agreement, agreement_of, different_names, distance
from finrl_ray.search.reproduce.rerun import inputs_of, train_schedule
from finrl_ray.search.results.table import winner
from finrl_ray.training.threads import threads_per_trial

REPLAY_FOLDER = "replay"
SCHEDULE_FILE = "schedule.json"


@dataclass(frozen=True, kw_only=True)
class Replay:
    """What `replay` returns.

    Parameters
    ----------
    trial : the trial's number
    path : folder of the trained model and of `schedule.json`
    schedule : the stretches that were trained
    recorded, replayed : the trial's last evaluation, then and again
    elsewhere : of the processor and its libraries, what differs: name to (recorded, here)
    processor_known : whether the search has recorded its processor
    """

    trial: int
    path: Path
    schedule: list[Segment]
    recorded: dict[str, Any]
    replayed: dict[str, Any]
    elsewhere: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    processor_known: bool = True

    @property
    def differences(self) -> list[str]:
        """Names of measures that came out differently; empty when the replay is exact."""
        return different_names(self.recorded, self.replayed)

    @property
    def largest_difference(self) -> float:
        """The largest difference of a measure, by `max(1, |recorded|)`."""
        return distance(self.recorded, self.replayed)

    @property
    def agreement(self) -> Agreement:
        """What the comparison means: on another processor it is one up to a tolerance."""
        return agreement_of(
            equal=not self.differences,
            largest=self.largest_difference,
            elsewhere=bool(self.elsewhere) or not self.processor_known,
        )


def replay(path: str | Path, trial: int | None = None, *, trust: bool = False) -> Replay:
    """Train a trial's whole schedule again and compare its last evaluation with the journal's.

    A trial of random search has one stretch. Under population based training the first ancestor's
    sample is trained to the first exchange, the next to the second, and so on. The model is written
    to `replay/trial_N/` in the search's folder.

    Parameters
    ----------
    path : the search's folder
    trial : its number; None: the winner
    trust : run own code that somebody else has put into the folder; see docs/trust.md

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
    folder.run_code(trust=trust)
    schedule = segments(record, records)
    target = folder.path / REPLAY_FOLDER / f"trial_{record.index}"
    with tempfile.TemporaryDirectory() as scratch:
        last, checkpoint = train_schedule(
            inputs_of(folder), schedule, record.last["timesteps"], Path(scratch)
        )
        target.parent.mkdir(exist_ok=True)
        copy_tree(checkpoint, target)
    plain = [dataclasses.asdict(segment) for segment in schedule]
    (target / SCHEDULE_FILE).write_text(json.dumps(plain, indent=2) + "\n", encoding="utf-8")
    processor = recorded_processor(folder.path)
    here = processor_facts(threads_per_trial(folder.config))
    return Replay(
        trial=record.index,
        path=target,
        schedule=schedule,
        recorded=record.last,
        replayed=last,
        elsewhere=differences_of(processor, here),
        processor_known=bool(processor),
    )


def _find(folder: SearchFolder, records: Sequence[TrialRecord], trial: int | None) -> TrialRecord:
    if trial is None:
        return winner(records, folder.config)
    for record in records:
        if record.index == trial:
            return record
    known = f"0 to {records[-1].index}" if records else "none"
    raise SearchError(f"the search in {folder.path} has no trial {trial}; it has {known}")
