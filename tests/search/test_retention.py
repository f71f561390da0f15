"""Checkpoints that stay: the last and the best, and superseded ones for a while."""

from pathlib import Path
from types import SimpleNamespace

import pytest
from kept_parts import small_journal

from finrl_ray.search import retention
from finrl_ray.search.journal import TrialRecord
from finrl_ray.search.retention import CheckpointRetention, prune, superseded
from finrl_ray.search.storage import CheckpointStorage


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
    assert superseded(record(*objectives), keep_best) == gone


def made(folder: Path, found: TrialRecord) -> TrialRecord:
    for path in found.checkpoints.values():
        (folder / path).mkdir()
    return found


def test_a_finished_search_is_pruned(tmp_path: Path) -> None:
    prune(CheckpointStorage(tmp_path), [made(tmp_path, record(1.0, 3.0, 2.0, 1.0))], 1)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["c200", "c300", "c400"]


def test_a_running_search_deletes_after_the_grace_what_no_trial_needs(
    tmp_path, monkeypatch
) -> None:
    journal = small_journal(tmp_path)
    journal.records.trials["a"] = made(tmp_path, record(1.0, 3.0, 2.0, 1.0))
    retention_callback = CheckpointRetention(journal, 1)
    now = [0.0]
    monkeypatch.setattr(retention.time, "monotonic", lambda: now[0])
    trial = SimpleNamespace(trial_id="a", is_finished=lambda: False, checkpoint=None)
    retention_callback.on_trial_result(0, [trial], trial, result={})
    retention_callback.on_step_end(0, [trial])
    assert (tmp_path / "c100").exists()
    # a loser of population based training waits to be restored from it
    waiting = SimpleNamespace(path=str(tmp_path / "c100"))
    loser = SimpleNamespace(trial_id="b", is_finished=lambda: False, checkpoint=waiting)
    now[0] = retention.GRACE_S
    retention_callback.on_step_end(0, [trial, loser])
    assert (tmp_path / "c100").exists()
    now[0] = 2 * retention.GRACE_S
    retention_callback.on_step_end(0, [trial])
    assert not (tmp_path / "c100").exists()
    assert (tmp_path / "c200").exists()
    assert (tmp_path / "c400").exists()
