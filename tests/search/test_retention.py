"""Checkpoints that stay: the last and the best, and superseded ones for a while."""

from pathlib import Path
from types import SimpleNamespace

import pytest
from ray.tune.schedulers import FIFOScheduler

from finrl_ray.search import retention
from finrl_ray.search.journal import SearchJournal, TrialRecord
from finrl_ray.search.retention import CheckpointRetention, prune, superseded


def record(*objectives: float) -> TrialRecord:
    steps = [100 * (i + 1) for i in range(len(objectives))]
    results = [
        {"timesteps": s, "eval_objective": o} for s, o in zip(steps, objectives, strict=True)
    ]
    paths = {s: f"c{s}" for s in steps}
    return TrialRecord(trial_id="a", index=0, sample={}, results=results, checkpoints=paths)


@pytest.mark.parametrize(
    ("objectives", "keep_best", "gone"),
    [
        ((1.0, 3.0, 2.0), 1, [100]),
        ((1.0, 3.0, 2.0), 2, [100]),
        ((3.0, 2.0, 1.0), 1, [200]),
        ((1.0, 1.0, 1.0), 1, [200]),
        ((1.0,), 1, []),
        ((), 1, []),
    ],
)
def test_the_last_and_the_best_stay(objectives, keep_best, gone) -> None:
    assert superseded(record(*objectives), keep_best) == gone


def test_a_finished_search_is_pruned(tmp_path: Path) -> None:
    found = record(1.0, 3.0, 2.0)
    for path in found.checkpoints.values():
        (tmp_path / path).mkdir()
    prune(tmp_path, [found], 1)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["c200", "c300"]


def test_a_running_search_deletes_only_after_the_grace(tmp_path, monkeypatch) -> None:
    journal = SearchJournal(tmp_path, 1000, FIFOScheduler())
    journal.records.trials["a"] = record(1.0, 3.0, 2.0)
    for path in journal.records.trials["a"].checkpoints.values():
        (tmp_path / path).mkdir()
    keeper = CheckpointRetention(journal, 1)
    now = [0.0]
    monkeypatch.setattr(retention.time, "monotonic", lambda: now[0])
    keeper.on_checkpoint(0, [], SimpleNamespace(trial_id="a"), checkpoint=None)
    keeper.on_step_end(0, [])
    assert (tmp_path / "c100").exists()
    now[0] = retention.GRACE_S
    keeper.on_step_end(0, [])
    assert not (tmp_path / "c100").exists()
    assert (tmp_path / "c200").exists()
    assert (tmp_path / "c300").exists()
