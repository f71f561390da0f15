"""The ancestors of a trial under population based training, and the hyperparameters of each.

A trial that was exchanged goes on from another trial's checkpoint, so it was trained by several.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from finrl_ray.search.journal.records import TrialRecord


@dataclass(frozen=True, kw_only=True)
class Segment:
    """A stretch of training with one set of hyperparameters.

    Parameters
    ----------
    trial : number of the trial that trained it
    sample : its hyperparameters
    start, end : timesteps; `end` is None for the last stretch, which goes on as far as the trial
    """

    trial: int
    sample: dict[str, Any]
    start: int
    end: int | None = None


def segments(record: TrialRecord, records: Sequence[TrialRecord]) -> list[Segment]:
    """Return how to train what a trial has become, from the first ancestor's start.

    A trial that was exchanged is, up to its donor's checkpoint, what its donor was at that moment;
    so the way back goes from each exchange to the donor's exchanges before it.
    """
    by_id: dict[str, TrialRecord] = {}
    found: list[Segment] = []
    before, end = None, None
    while True:
        exchange = _latest(record, before)
        start = exchange["timesteps"] if exchange else 0
        sample = exchange["sample"] if exchange else record.first_sample
        if end is None or start < end:  # a copy may be copied before it has trained
            found.append(Segment(trial=record.index, sample=sample, start=start, end=end))
        if exchange is None:
            return found[::-1]
        # only now: most trials have no exchange, and each would index all others
        by_id = by_id or {other.trial_id: other for other in records}
        record, before, end = by_id[exchange["donor"]], exchange["order"], start


def _latest(record: TrialRecord, before: int | None) -> Mapping[str, Any] | None:
    """Return the latest exchange of a trial, of those that came before another one."""
    earlier = [e for e in record.exploits if before is None or e["order"] < before]
    return max(earlier, key=lambda e: e["order"], default=None)


def lineage(record: TrialRecord, records: Sequence[TrialRecord]) -> str:
    """Return a trial's ancestors in words, such as `trial 2 to 4,096, trial 5 to 8,192`."""
    before = segments(record, records)[:-1]
    return ", ".join(f"trial {part.trial} to {part.end:,}" for part in before)
