"""Which checkpoints stay on disk.

Ray deletes a superseded checkpoint at once, also one that another trial is about to be restored
from. Here a checkpoint goes only when no trial that lives can ask for it any more: the one before
the newest stays too, in case the newest is damaged.
"""

import logging
import time
from collections import deque
from typing import TYPE_CHECKING, Any

from ray import tune

from finrl_ray.search.journal import TrialRecord
from finrl_ray.search.recorder import SearchJournal
from finrl_ray.search.storage import CheckpointStorage

if TYPE_CHECKING:
    from ray.tune.experiment import Trial

logger = logging.getLogger(__name__)

GRACE_S = 30.0
"""A worker may be reading a checkpoint that has just been superseded."""
NEWEST = 2


def superseded(record: TrialRecord, keep_best: int) -> list[int]:
    """Return the timesteps of checkpoints that are neither among the newest nor the best."""
    scores = {result["timesteps"]: result["eval_objective"] for result in record.results}
    ranked = sorted(record.checkpoints, key=lambda steps: (-scores.get(steps, -1e308), steps))
    keep = {*ranked[:keep_best], *sorted(record.checkpoints)[-NEWEST:]}
    return [steps for steps in record.checkpoints if steps not in keep]


def prune(storage: CheckpointStorage, records: list[TrialRecord], keep_best: int) -> None:
    """Delete every superseded checkpoint of a search that has ended."""
    for record in records:
        for steps in superseded(record, keep_best):
            _delete(storage, record.checkpoints[steps])


def _delete(storage: CheckpointStorage, path: str) -> None:
    try:
        storage.delete(path)
    except OSError as error:  # an object store that does not answer: the next search life tries
        logger.warning("%s could not be deleted: %s", path, error)


class CheckpointRetention(tune.Callback):
    """Ray Tune callback that deletes superseded checkpoints some time after their successors."""

    def __init__(self, journal: SearchJournal, keep_best: int) -> None:
        self.journal = journal
        self.keep_best = keep_best
        self.waiting: deque[tuple[float, str]] = deque()
        self.seen: set[str] = set()

    def on_trial_result(
        self,
        iteration: int,
        trials: list["Trial"],
        trial: "Trial",
        result: dict[str, Any],
        **info: Any,
    ) -> None:
        """Put what the new checkpoint supersedes on the waiting list."""
        record = self.journal.records.trials[trial.trial_id]
        for steps in superseded(record, self.keep_best):
            path = record.checkpoints[steps]
            if path not in self.seen:
                self.seen.add(path)
                self.waiting.append((time.monotonic() + GRACE_S, path))

    def on_step_end(self, iteration: int, trials: list["Trial"], **info: Any) -> None:
        """Delete what has waited long enough, unless a trial is to be restored from it."""
        if not self.waiting or self.waiting[0][0] > time.monotonic():
            return
        storage = self.journal.storage
        needed = {
            storage.relative(trial.checkpoint.path)
            for trial in trials
            if not trial.is_finished() and trial.checkpoint is not None
        }
        _, path = self.waiting.popleft()
        if path in needed:
            self.waiting.append((time.monotonic() + GRACE_S, path))
        else:
            _delete(storage, path)
