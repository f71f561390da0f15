"""Which checkpoints stay on disk.

Ray deletes a superseded checkpoint at once, also one that its latest snapshot still points to; a
search killed at that moment could not resume the trial. Here a checkpoint goes only when the
snapshot that knew it as the latest is long past.
"""

import shutil
import time
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ray import tune

from finrl_ray.search.journal import SearchJournal, TrialRecord

if TYPE_CHECKING:
    from ray.tune.experiment import Trial

# many times the interval between snapshots (runner.DRIVER_ENV), for drivers that are held up
GRACE_S = 30.0


def superseded(record: TrialRecord, keep_best: int) -> list[int]:
    """Return the timesteps of checkpoints that are neither the last nor among the best."""
    scores = {result["timesteps"]: result["eval_objective"] for result in record.results}
    ranked = sorted(record.checkpoints, key=lambda steps: (-scores.get(steps, -1e308), steps))
    keep = {*ranked[:keep_best], max(record.checkpoints, default=-1)}
    return [steps for steps in record.checkpoints if steps not in keep]


def prune(folder: Path, records: list[TrialRecord], keep_best: int) -> None:
    """Delete every superseded checkpoint; for where no snapshot of a running Ray names one."""
    for record in records:
        for steps in superseded(record, keep_best):
            shutil.rmtree(folder / record.checkpoints[steps], ignore_errors=True)


class CheckpointRetention(tune.Callback):
    """Ray Tune callback that deletes superseded checkpoints some time after their successors."""

    def __init__(self, journal: SearchJournal, keep_best: int) -> None:
        self.journal = journal
        self.keep_best = keep_best
        self.waiting: deque[tuple[float, Path]] = deque()
        self.seen: set[Path] = set()

    def on_checkpoint(
        self,
        iteration: int,
        trials: list["Trial"],
        trial: "Trial",
        checkpoint: Any,
        **info: Any,
    ) -> None:
        """Put what the new checkpoint supersedes on the waiting list."""
        record = self.journal.records.trials[trial.trial_id]
        for steps in superseded(record, self.keep_best):
            path = self.journal.folder / record.checkpoints[steps]
            if path not in self.seen:
                self.seen.add(path)
                self.waiting.append((time.monotonic() + GRACE_S, path))

    def on_step_end(self, iteration: int, trials: list["Trial"], **info: Any) -> None:
        """Delete what has waited long enough."""
        while self.waiting and self.waiting[0][0] <= time.monotonic():
            shutil.rmtree(self.waiting.popleft()[1], ignore_errors=True)
