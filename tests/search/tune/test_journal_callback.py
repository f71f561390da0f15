"""What the journal says of a trial whose process has died: a failure, or an interruption."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from committer_parts import small_journal

from finrl_ray.cluster.tune_worker import AGE_S
from finrl_ray.search.journal.events import read_events
from finrl_ray.search.tune import journal_callback
from finrl_ray.search.tune.journal_callback import JournalCallback

DIED = "RayActorError: The actor died unexpectedly before finishing this task."


def a_started_trial(folder: Path, text: str) -> tuple[JournalCallback, Any]:
    journal = small_journal(folder)
    journal.committer.write("created", trial_id="t0", index=0, sample={})
    journal.committer.write("start", trial_id="t0")
    file = folder / "error.txt"
    file.write_text(f"Failure # 1\n{text}\n", encoding="utf-8")
    return journal, SimpleNamespace(trial_id="t0", error_file=str(file))


@pytest.mark.parametrize("text", [DIED, "ValueError: something else that goes with it"])
def test_a_trial_that_dies_with_a_search_that_was_told_to_end_has_not_failed(
    tmp_path, monkeypatch, text
) -> None:
    journal, trial = a_started_trial(tmp_path, text)
    monkeypatch.setattr(journal_callback, "lost_process", lambda: "")
    monkeypatch.setattr(journal_callback, "interrupted", lambda within_s=0.0: True)
    journal.on_trial_recover(0, [], trial)
    journal.on_trial_error(0, [], trial)
    record = journal.records.trials["t0"]
    assert record.state == "interrupted"
    assert record.failures == 0
    assert record.reason == "interrupted after 0 timesteps"


@pytest.mark.parametrize(("text", "waited"), [(DIED, True), ("ValueError: its own", False)])
def test_only_a_process_that_died_is_asked_whether_a_signal_is_under_way(
    tmp_path, monkeypatch, text, waited
) -> None:
    journal, trial = a_started_trial(tmp_path, text)
    asked: list[float] = []
    monkeypatch.setattr(journal_callback, "lost_process", lambda: "")
    monkeypatch.setattr(
        journal_callback, "interrupted", lambda within_s=0.0: asked.append(within_s)
    )
    journal.on_trial_error(0, [], trial)
    assert journal.records.trials["t0"].state == "failed"
    assert [seconds > 0 for seconds in asked] == [waited]


def test_a_result_that_has_waited_has_the_time_at_which_it_was_reported(
    tmp_path, monkeypatch
) -> None:
    journal, trial = a_started_trial(tmp_path, "")
    monkeypatch.setattr(journal_callback.time, "time", lambda: 1_000.0)
    for steps, waited in ((10, {AGE_S: 0.75}), (20, {})):
        result = {"timesteps": steps, "objective": 1.0, "training_iteration": steps // 10, **waited}
        journal.on_trial_result(0, [], trial, result)
        assert AGE_S not in result
    times = [e["time"] for e in read_events(tmp_path) if e["event"] == "result"]
    assert times == [999.25, 1_000.0]
