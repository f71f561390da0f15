"""The journal: a fold over events that survives repetition, truncation and resumes."""

import json
from pathlib import Path
from typing import Any

import pytest

from finrl_ray.search.journal.events import append_event, error_line, read_journal
from finrl_ray.search.journal.lines import JOURNAL_FILE
from finrl_ray.search.journal.records import TrialRecords, unfinished


def start(records: TrialRecords, folder: Path, trial_id: str, index: int) -> None:
    append_event(folder, records, "start", trial_id=trial_id, index=index, sample={"n_steps": 64})


def result(
    records: TrialRecords, folder: Path, trial_id: str, timesteps: int, **metrics: Any
) -> None:
    content = {"timesteps": timesteps, "objective": 1.0, **metrics}
    append_event(folder, records, "result", trial_id=trial_id, metrics=content)


def end(records: TrialRecords, folder: Path, trial_id: str, state: str) -> None:
    append_event(folder, records, "end", trial_id=trial_id, state=state, reason="because")


def test_what_is_read_equals_what_was_written(tmp_path: Path) -> None:
    records = TrialRecords()
    start(records, tmp_path, "a", 0)
    result(records, tmp_path, "a", 100)
    end(records, tmp_path, "a", "completed")
    start(records, tmp_path, "b", 1)
    assert read_journal(tmp_path).in_order() == records.in_order()
    assert [r.trial_id for r in unfinished(records.in_order())] == ["b"]


def test_a_trial_that_goes_back_to_a_checkpoint_replaces_its_later_rows(tmp_path: Path) -> None:
    records = TrialRecords()
    start(records, tmp_path, "a", 0)
    for steps in (100, 200, 300):
        result(records, tmp_path, "a", steps, objective=float(steps))
        place = {"trial_id": "a", "timesteps": steps, "path": f"c{steps}"}
        append_event(tmp_path, records, "checkpoint", **place)
    start(records, tmp_path, "a", 0)
    result(records, tmp_path, "a", 200, objective=-1.0)
    found = read_journal(tmp_path).trials["a"]
    assert [r["timesteps"] for r in found.results] == [100, 200]
    assert sorted(found.checkpoints) == [100]
    assert found.last["objective"] == -1.0


def test_what_a_search_takes_back_no_longer_counts(tmp_path: Path) -> None:
    records = TrialRecords()
    for index, trial_id in enumerate(("a", "b")):
        start(records, tmp_path, trial_id, index)
    result(records, tmp_path, "a", 100)
    append_event(tmp_path, records, "search", state="interrupted")
    result(records, tmp_path, "a", 200)
    append_event(tmp_path, records, "back", to=2)
    result(records, tmp_path, "b", 100)
    found = read_journal(tmp_path)
    assert [len(r.results) for r in found.in_order()] == [0, 1]
    assert [event["state"] for event in found.searches] == ["interrupted"]
    assert found.number == 7
    numbers = [json.loads(line)["n"] for line in (tmp_path / JOURNAL_FILE).open()]
    assert numbers == [1, 2, 3, 4, 5, 6, 7]


def test_a_trial_that_was_created_and_never_started_is_in_no_table(tmp_path: Path) -> None:
    records = TrialRecords()
    append_event(tmp_path, records, "created", trial_id="a", index=0, sample={"n_steps": 64})
    assert records.in_order() == []
    append_event(tmp_path, records, "start", trial_id="a")
    assert records.in_order()[0].sample == {"n_steps": 64}


def test_a_decision_stands_until_it_is_carried_out(tmp_path: Path) -> None:
    records = TrialRecords()
    start(records, tmp_path, "a", 0)
    content = {"trial_id": "a", "metrics": {"timesteps": 100}}
    append_event(tmp_path, records, "result", decision="PAUSE", iteration=4, **content)
    place = {"trial_id": "a", "timesteps": 100, "path": "ray/a/checkpoint_3"}
    append_event(tmp_path, records, "checkpoint", **place)
    end(records, tmp_path, "a", "interrupted")
    found = read_journal(tmp_path).trials["a"]
    assert (found.decision, found.iterations) == ("PAUSE", 4)
    assert found.latest_checkpoint == found.checkpoints[100] == "ray/a/checkpoint_3"
    append_event(tmp_path, records, "start", trial_id="a")
    assert records.trials["a"].decision == ""


def test_an_exchange_changes_what_a_trial_goes_on_with(tmp_path: Path) -> None:
    records = TrialRecords()
    for index, trial_id in enumerate(("a", "b")):
        start(records, tmp_path, trial_id, index)
    result(records, tmp_path, "a", 100)
    content = {"donor": "b", "timesteps": 100, "sample": {"n_steps": 32}, "checkpoint": "ray/b/c"}
    append_event(tmp_path, records, "exploit", trial_id="a", **content)
    found = read_journal(tmp_path).trials["a"]
    assert (found.first_sample, found.sample) == ({"n_steps": 64}, {"n_steps": 32})
    assert found.latest_checkpoint == "ray/b/c"
    assert found.exploits == [
        {"donor": "b", "timesteps": 100, "sample": {"n_steps": 32}, "order": 4}
    ]


def test_a_folder_that_is_taken_again_is_no_longer_the_earlier_checkpoint(tmp_path: Path) -> None:
    records = TrialRecords()
    start(records, tmp_path, "a", 0)
    for steps, number in ((100, 0), (200, 1), (300, 0)):
        path = f"ray/a/checkpoint_{number}"
        append_event(tmp_path, records, "checkpoint", trial_id="a", timesteps=steps, path=path)
    found = read_journal(tmp_path).trials["a"]
    assert found.checkpoints == {200: "ray/a/checkpoint_1", 300: "ray/a/checkpoint_0"}
    assert found.latest_checkpoint == "ray/a/checkpoint_0"


def test_the_time_of_a_search_is_that_of_its_lives() -> None:
    records = TrialRecords()
    for time, event in [
        (10.0, {"event": "search", "state": "started"}),
        (12.0, {"event": "start", "trial_id": "a", "index": 0, "sample": {}}),
        (19.0, {"event": "result", "trial_id": "a", "metrics": {"timesteps": 1}}),
        (100.0, {"event": "search", "state": "resumed"}),
        (101.0, {"event": "start", "trial_id": "a"}),
    ]:
        records.apply({**event, "time": time})
    assert records.time_s == pytest.approx(10.0)


def test_a_half_written_last_line_is_left_out(tmp_path: Path) -> None:
    records = TrialRecords()
    start(records, tmp_path, "a", 0)
    result(records, tmp_path, "a", 100)
    path = tmp_path / JOURNAL_FILE
    path.write_text(path.read_text(encoding="utf-8") + '{"event": "resu', encoding="utf-8")
    assert read_journal(tmp_path).trials["a"].last["timesteps"] == 100
    # a resumed search appends behind the torn line; what follows it counts again
    result(read_journal(tmp_path), tmp_path, "a", 200)
    assert read_journal(tmp_path).trials["a"].last["timesteps"] == 200


def test_a_folder_without_a_journal_has_no_trials(tmp_path: Path) -> None:
    assert read_journal(tmp_path).in_order() == []


def test_running_time_is_summed_over_starts(tmp_path: Path) -> None:
    records = TrialRecords()
    for time, event in [
        (10.0, {"event": "start", "trial_id": "a", "index": 0, "sample": {}}),
        (14.0, {"event": "result", "trial_id": "a", "metrics": {"timesteps": 1}}),
        (100.0, {"event": "start", "trial_id": "a", "index": 0, "sample": {}}),
        (103.0, {"event": "end", "trial_id": "a", "state": "completed", "reason": ""}),
    ]:
        records.apply(json.loads(json.dumps({**event, "time": time})))
    assert records.trials["a"].time_s == pytest.approx(7.0)


@pytest.mark.parametrize(
    ("traceback", "line"),
    [
        (
            "ray::f() (pid=1)\n  File x\nValueError: bad\ntensor([[nan]],\n   [nan]])",
            "ValueError: bad",
        ),
        ("Traceback\n  File x\nfinrl_ray.errors.DataError: no", "no"),
        ("KeyboardInterrupt", "KeyboardInterrupt"),
        ("", "unknown error"),
    ],
)
def test_the_reason_of_a_failure_is_the_line_that_names_it(traceback: str, line: str) -> None:
    assert error_line(traceback) == line
