"""A committer and a journal for tests that start no Ray."""

from pathlib import Path
from typing import Any

from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from finrl_ray.config.experiment import ExperimentConfig
from finrl_ray.search.folder.checkpoints import CheckpointStorage
from finrl_ray.search.journal.records import TrialRecords
from finrl_ray.search.tune.commit import StateCommitter
from finrl_ray.search.tune.journal_callback import JournalCallback


class CountingSearcher(Searcher):
    """Suggests 0, 1, 2, ... and remembers what it is told."""

    def __init__(self) -> None:
        super().__init__(metric="objective", mode="max")
        self.suggested = 0
        self.told: list[tuple[str, Any, bool]] = []

    def suggest(self, trial_id: str) -> dict[str, Any]:
        self.suggested += 1
        return {"x": self.suggested - 1}

    def on_trial_complete(self, trial_id: str, result: Any = None, error: bool = False) -> None:
        self.told.append((trial_id, result and result["objective"], error))

    def save(self, checkpoint_path: str) -> None:
        raise AssertionError("the committer pickles the whole searcher")

    restore = save


def small_committer(folder: Path, scheduler: TrialScheduler | None = None) -> StateCommitter:
    return StateCommitter(folder, TrialRecords(), CountingSearcher(), scheduler or FIFOScheduler())


def small_journal(folder: Path) -> JournalCallback:
    return JournalCallback(small_committer(folder), ExperimentConfig(), CheckpointStorage(folder))
