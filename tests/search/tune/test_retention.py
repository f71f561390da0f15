"""Checkpoints that stay: the last and the best, and superseded ones for a while."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from committer_parts import small_journal

from finrl_ray.config.agent import AgentConfig
from finrl_ray.config.experiment import ExperimentConfig
from finrl_ray.config.search import SearchConfig
from finrl_ray.search.folder.checkpoints import CheckpointStorage
from finrl_ray.search.journal.records import TrialRecord
from finrl_ray.search.tune import retention
from finrl_ray.search.tune.retention import CheckpointRetention, delete_at_once, prune, superseded
from finrl_ray.search.tune.stopper import BudgetStopper
from finrl_ray.search.worker.trainable import CHECKPOINT_BYTES


def keeping(keep_best: int) -> ExperimentConfig:
    return ExperimentConfig(search=SearchConfig(keep_checkpoints=keep_best))


def record(*objectives: float) -> TrialRecord:
    steps = [100 * (i + 1) for i in range(len(objectives))]
    results = [
        {"timesteps": s, "eval/appraisal_ratio": o} for s, o in zip(steps, objectives, strict=True)
    ]
    paths = {s: f"ray/t/checkpoint_{s:06d}" for s in steps}
    return TrialRecord(trial_id="a", index=0, sample={}, results=results, checkpoints=paths)


@pytest.mark.parametrize(
    ("objectives", "keep_best", "gone"),
    [
        ((1.0, 3.0, 2.0, 0.0), 1, [100]),
        ((1.0, 3.0, 2.0, 0.0), 2, [100]),
        ((1.0, 3.0, 2.0, 0.0), 3, []),
        ((3.0, 2.0, 1.0, 0.0), 1, [200]),
        ((1.0, 1.0, 1.0, 1.0), 1, [200]),
        ((1.0, 3.0), 1, []),
        ((1.0,), 1, []),
        ((), 1, []),
    ],
)
def test_the_newest_two_and_the_best_stay(objectives, keep_best, gone) -> None:
    assert superseded(record(*objectives), keeping(keep_best)) == gone


def made(folder: Path, found: TrialRecord) -> TrialRecord:
    for path in found.checkpoints.values():
        (folder / path).mkdir(parents=True)
    return found


def left(folder: Path) -> list[int]:
    return sorted(int(path.name[-6:]) for path in (folder / "ray/t").iterdir())


def test_a_finished_search_is_pruned(tmp_path: Path) -> None:
    storage = CheckpointStorage(tmp_path)
    found = made(tmp_path, record(1.0, 3.0, 2.0, 1.0))
    # of a worker that died before it could report it
    (tmp_path / "ray/t/checkpoint_000250").mkdir()
    prune(storage, [found], keeping(1), delete_at_once(storage))
    assert left(tmp_path) == [200, 300, 400]


def test_a_running_search_deletes_after_the_grace_what_no_trial_needs(
    tmp_path, monkeypatch
) -> None:
    journal = small_journal(tmp_path)
    journal.records.trials["a"] = made(tmp_path, record(1.0, 3.0, 2.0, 1.0))
    config = ExperimentConfig(search=SearchConfig(keep_checkpoints=1))
    delete = delete_at_once(journal.storage)
    retention_callback = CheckpointRetention(journal, config, delete)
    now = [0.0]
    monkeypatch.setattr(retention.time, "monotonic", lambda: now[0])
    trial = SimpleNamespace(trial_id="a", is_finished=lambda: False, checkpoint=None)
    retention_callback.on_trial_result(0, [trial], trial, result={})
    retention_callback.on_step_end(0, [trial])
    assert left(tmp_path) == [100, 200, 300, 400]
    # a loser of population based training waits to be restored from it
    waiting = SimpleNamespace(path=str(tmp_path / "ray/t/checkpoint_000100"))
    loser = SimpleNamespace(trial_id="b", is_finished=lambda: False, checkpoint=waiting)
    now[0] = retention.GRACE_S
    retention_callback.on_step_end(0, [trial, loser])
    assert left(tmp_path) == [100, 200, 300, 400]
    # and one that is not chosen yet may be, while the scheduler holds its donor's
    monkeypatch.setattr(retention, "donor_checkpoints", lambda scheduler: [waiting.path])
    now[0] = 2 * retention.GRACE_S
    retention_callback.on_step_end(0, [trial])
    assert left(tmp_path) == [100, 200, 300, 400]
    monkeypatch.setattr(retention, "donor_checkpoints", lambda scheduler: [])
    now[0] = 3 * retention.GRACE_S
    retention_callback.on_step_end(0, [trial])
    assert left(tmp_path) == [200, 300, 400]


def test_a_folder_that_is_taken_again_is_not_deleted_for_what_it_was(tmp_path, monkeypatch) -> None:
    journal = small_journal(tmp_path)
    found = journal.records.trials["a"] = made(tmp_path, record(1.0, 3.0, 2.0, 1.0))
    config = ExperimentConfig(search=SearchConfig(keep_checkpoints=1))
    callback = CheckpointRetention(journal, config, delete_at_once(journal.storage))
    now = [0.0]
    monkeypatch.setattr(retention.time, "monotonic", lambda: now[0])
    trial = SimpleNamespace(trial_id="a", is_finished=lambda: True, checkpoint=None)
    callback.on_trial_result(0, [trial], trial, result={})  # that of 100 is superseded, and waits
    found.results.append({**found.results[-1], "timesteps": 500})
    path = found.checkpoints.pop(100)
    found.checkpoints[500] = found.latest_checkpoint = path
    callback.on_trial_result(1, [trial], trial, result={})
    now[0] = retention.GRACE_S
    callback.on_step_end(1, [trial])
    # 300, superseded since, is gone; the folder that 100 had is the newest checkpoint
    assert left(tmp_path) == [100, 200, 400]


class Disk:
    """Trials of a search with a bound of 1 GB, whose checkpoints have 100 MB each."""

    def __init__(self, folder: Path, **search: Any) -> None:
        self.journal = small_journal(folder)
        self.folder = folder
        config = ExperimentConfig(
            agent=AgentConfig(total_timesteps=10_000),
            search=SearchConfig(keep_checkpoints=1, max_disk_gb=1.0, **search),
        )
        self.gone: list[str] = []
        self.retention = CheckpointRetention(self.journal, config, self.gone.append)
        self.trials: dict[str, Any] = {}

    def report(self, trial_id: str, *objectives: float) -> None:
        records = self.journal.records
        if trial_id not in self.trials:
            start = {"event": "start", "index": len(self.trials), "sample": {}, "time": 0.0}
            records.apply({**start, "trial_id": trial_id})
            self.trials[trial_id] = SimpleNamespace(
                trial_id=trial_id, is_finished=lambda: False, checkpoint=None
            )
        trial, record = self.trials[trial_id], records.trials[trial_id]
        for objective in objectives:
            steps = record.last.get("timesteps", 0) + 100
            metrics = {"timesteps": steps, "objective": objective, "eval_objective": objective}
            metrics["eval/appraisal_ratio"] = objective
            path = f"ray/{trial_id}/checkpoint_{steps:06d}"
            own = {"trial_id": trial_id, "time": 0.0}
            records.apply({"event": "result", "metrics": metrics, **own})
            records.apply({"event": "checkpoint", "timesteps": steps, "path": path, **own})
            trial.checkpoint = SimpleNamespace(path=str(self.folder / path))
            result = {CHECKPOINT_BYTES: 100_000_000}
            self.retention.on_trial_result(0, list(self.trials.values()), trial, result)

    def end(self, trial_id: str) -> None:
        own = {"trial_id": trial_id, "time": 0.0}
        event = {"event": "end", "state": "stopped", "reason": "", **own}
        self.journal.records.apply(event)
        self.trials[trial_id].is_finished = lambda: True


def test_below_the_bound_nothing_goes_before_its_time(tmp_path: Path) -> None:
    disk = Disk(tmp_path)
    disk.report("a", *range(10))
    assert disk.gone == []


def test_above_the_bound_superseded_checkpoints_go_at_once(tmp_path: Path) -> None:
    disk = Disk(tmp_path)
    disk.report("a", 9.0, *range(10))
    # the best, which is the first, and the newest two stay
    assert disk.gone == [f"ray/a/checkpoint_{steps:06d}" for steps in range(200, 1000, 100)]
    assert disk.retention.reason == ""


def test_then_those_of_beaten_trials_but_their_last(tmp_path: Path) -> None:
    disk = Disk(tmp_path)
    for trial_id, best in (("a", 1.0), ("b", 3.0), ("c", 2.0)):
        disk.report(trial_id, best, 0.0, best)
        disk.end(trial_id)
    disk.report("d", 0.0)
    assert disk.gone == []
    disk.report("d", 0.0)
    # of `a` as much as is needed; `b` leads
    assert disk.gone == ["ray/a/checkpoint_000100"]
    disk.report("d", 0.0)
    assert disk.gone[1:] == ["ray/a/checkpoint_000200"]
    assert disk.retention.reason == ""


def test_without_room_the_search_ends_and_says_why(tmp_path: Path) -> None:
    disk = Disk(tmp_path)
    for i in range(10):
        disk.report(f"t{i}", float(i))
        disk.end(f"t{i}")
    stop = BudgetStopper(disk.journal.records, disk.retention.config, lambda: disk.retention.reason)
    assert not stop.stop_all()
    disk.report("t10", 0.0)
    assert disk.gone == []
    assert stop.stop_all()
    assert stop.reason == (
        "the search's checkpoints take 1.1 GB, more than search.max_disk_gb (1), with all deleted "
        "that can be spared"
    )


def test_a_later_life_counts_what_is_there_and_deletes_what_no_trial_knows(tmp_path: Path) -> None:
    lost = tmp_path / "ray/a/checkpoint_000777"
    lost.mkdir(parents=True)
    with (lost / "model.zip").open("wb") as file:
        file.truncate(900_000_000)  # a hole: it takes no room
    disk = Disk(tmp_path)
    disk.report("a", 1.0)
    disk.end("a")
    assert disk.gone == []
    disk.report("b", 1.0)
    assert disk.gone == ["ray/a/checkpoint_000777"]
    assert disk.retention.reason == ""
