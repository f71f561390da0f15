"""Which checkpoints stay.

Ray deletes a superseded checkpoint at once, also one that another trial is about to be restored
from. Here a checkpoint goes only when no trial that lives can ask for it any more: the one before
the newest stays too, in case the newest is damaged.

With a bound on the disk more goes, and sooner: superseded checkpoints at once, then those of ended
trials that no trial knows of, then all but the last of every ended trial that another ended one
beats. Each trial's last stays, for its account curve is in it. Where that does not suffice the
search ends.
"""

import logging
import math
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from ray import tune

from finrl_ray.config.experiment import ExperimentConfig
from finrl_ray.search.folder.checkpoints import CheckpointStorage
from finrl_ray.search.journal.records import ENDED, TrialRecord
from finrl_ray.search.results.ensemble_members import choose_members
from finrl_ray.search.results.ranking import scores_by_timesteps
from finrl_ray.search.results.table import in_order_of_rank
from finrl_ray.search.schedulers.make import donor_checkpoints
from finrl_ray.search.tune.journal_callback import JournalCallback
from finrl_ray.search.worker.trainable import CHECKPOINT_BYTES

if TYPE_CHECKING:
    from ray.tune.experiment import Trial

logger = logging.getLogger(__name__)

GRACE_S = 30.0
"""A worker may be reading a checkpoint that has just been superseded."""
SWEEP_EVERY_S = 1.0
"""Seconds between two searches for unneeded checkpoints; each goes through every trial."""
NEWEST = 2
GB = 10**9

Delete = Callable[[str], None]


def superseded(record: TrialRecord, config: ExperimentConfig) -> list[int]:
    """Return the timesteps of checkpoints that are neither among the newest nor the best."""
    scores = scores_by_timesteps(record, config)
    ranked = sorted(record.checkpoints, key=lambda steps: (-scores.get(steps, -math.inf), steps))
    keep = {*ranked[: config.search.keep_checkpoints], *sorted(record.checkpoints)[-NEWEST:]}
    return [steps for steps in record.checkpoints if steps not in keep]


def beaten(records: Iterable[TrialRecord], config: ExperimentConfig) -> list[TrialRecord]:
    """Return the trials that have ended and cannot win, because others that ended are better.

    Without one that can win, no trial is beaten. With `search.ensemble` several trials win.
    """
    ended = [record for record in records if record.started and record.state in ENDED]
    ranked = in_order_of_rank(ended, config)
    leading = ranked[:1]
    if config.search.has_ensemble:
        leading += choose_members(ranked, config).records
    if not leading:
        return []
    kept = {record.index for record in leading}
    return [record for record in ended if record.index not in kept]


def delete_at_once(storage: CheckpointStorage) -> Delete:
    """Return a function that deletes a checkpoint and logs where it cannot."""

    def delete(path: str) -> None:
        try:
            storage.delete(path)
        except OSError as error:  # the next life of the search tries again
            logger.warning("%s could not be deleted: %s", path, error)

    return delete


def prune(
    storage: CheckpointStorage, records: list[TrialRecord], config: ExperimentConfig, delete: Delete
) -> None:
    """Delete the checkpoints of a search that has ended but for the best and the newest.

    What no trial knows of goes too: written by workers that died, or before the search went back.
    """
    try:
        for record in records:
            old = {record.checkpoints[steps] for steps in superseded(record, config)}
            kept = set(record.checkpoints.values()) - old
            for folder in {path.rpartition("/")[0] for path in kept}:
                there = [f"{folder}/{name}" for name in storage.checkpoints(folder)]
                for path in sorted(set(there) - kept):
                    delete(path)
    except OSError as error:  # an object store that does not answer
        logger.warning("superseded checkpoints could not be deleted: %s", error)


class CheckpointRetention(tune.Callback):
    """Ray Tune callback that deletes checkpoints: superseded ones after a while, or for room.

    Parameters
    ----------
    journal : of the search
    config : the experiment
    delete : deletes a checkpoint, by its path in the search's folder, without delay for the caller

    Attributes
    ----------
    reason : why the search has to end, in words; empty while there is room
    """

    def __init__(self, journal: JournalCallback, config: ExperimentConfig, delete: Delete) -> None:
        self.journal = journal
        self.config = config
        self.delete = delete
        self.waiting: deque[tuple[float, str]] = deque()
        self.next_sweep = 0.0
        self.seen: set[str] = set()
        self.reason = ""
        limit = config.search.max_disk_gb
        self.limit_bytes = None if limit is None else limit * GB
        # also what no trial knows of: written by workers that died before they could report it
        self.sizes: dict[str, int] = {} if limit is None else journal.storage.sizes()

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
        if record.latest_checkpoint in self.seen:  # its folder was taken again, for this one
            self.seen.discard(record.latest_checkpoint)
            self.waiting = deque(w for w in self.waiting if w[1] != record.latest_checkpoint)
        for steps in superseded(record, self.config):
            path = record.checkpoints[steps]
            if path not in self.seen:
                self.seen.add(path)
                self.waiting.append((time.monotonic() + GRACE_S, path))
        if self.limit_bytes is not None and record.latest_checkpoint:
            self.sizes[record.latest_checkpoint] = result.get(CHECKPOINT_BYTES, 0)
            self._make_room(trials)

    def _make_room(self, trials: list["Trial"]) -> None:
        assert self.limit_bytes is not None
        if sum(self.sizes.values()) <= self.limit_bytes:
            return
        # what is deleted now a search that goes on from the journal must not look for
        self.journal.committer.flush()
        needed = self._needed(trials)
        for path in self._superseded():
            if path not in needed:
                self._delete(path)
        for path in self._spared():
            if sum(self.sizes.values()) <= self.limit_bytes:
                return
            if path not in needed:
                self._delete(path)
        taken = sum(self.sizes.values())
        if taken > self.limit_bytes:
            self.reason = (
                f"the search's checkpoints take {_gb(taken)} GB, more than search.max_disk_gb "
                f"({self.config.search.max_disk_gb:g}), with all deleted that can be spared"
            )

    def _superseded(self) -> list[str]:
        records = self.journal.records.in_order()
        paths = [r.checkpoints[steps] for r in records for steps in superseded(r, self.config)]
        return [path for path in paths if path in self.sizes]

    def _spared(self) -> list[str]:
        """Return what ended trials can do without: all but the last of each that is beaten."""
        records = self.journal.records.in_order()
        paths = []
        for record in records:
            if record.state in ENDED:
                known = set(record.checkpoints.values())
                folders = {path.rpartition("/")[0] for path in known}
                there = [path for path in self.sizes if path.rpartition("/")[0] in folders]
                paths += [path for path in there if path not in known]
        for record in beaten(records, self.config):
            last = max(record.checkpoints, default=0)
            paths += [path for steps, path in record.checkpoints.items() if steps != last]
        return [path for path in paths if path in self.sizes]

    def _needed(self, trials: list["Trial"]) -> set[str]:
        """Return the checkpoints that living trials may be restored from."""
        latest = [t.checkpoint for t in trials if not t.is_finished() and t.checkpoint is not None]
        donors = donor_checkpoints(self.journal.committer.scheduler)
        paths = [*(checkpoint.path for checkpoint in latest), *donors]
        return {self.journal.storage.relative(path) for path in paths}

    def _delete(self, path: str) -> None:
        self.sizes.pop(path, None)
        self.delete(path)

    def on_step_end(self, iteration: int, trials: list["Trial"], **info: Any) -> None:
        """Delete what has waited long enough, unless a trial is to be restored from it."""
        now = time.monotonic()
        if not self.waiting or self.waiting[0][0] > now or self.next_sweep > now:
            return
        self.next_sweep = now + SWEEP_EVERY_S
        needed = self._needed(trials)
        while self.waiting and self.waiting[0][0] <= now:
            _, path = self.waiting.popleft()
            if self.limit_bytes is not None and path not in self.sizes:
                continue  # it has gone already, to make room
            if path in needed:
                self.waiting.append((now + GRACE_S, path))
            else:
                self._delete(path)


def _gb(count: float) -> str:
    return f"{count / GB:.3g}"
