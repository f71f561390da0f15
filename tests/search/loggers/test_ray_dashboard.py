"""What the board tells Ray's dashboard, against the records that it reads; no Ray is started."""

import asyncio
import logging
import math
import pickle
import subprocess
import sys
from functools import partial
from typing import Any

import pytest

from finrl_ray.config.experiment import ExperimentConfig
from finrl_ray.config.search import SearchConfig
from finrl_ray.search.journal.records import TrialRecord, TrialRecords
from finrl_ray.search.loggers.dashboard_actor import GAUGES, DashboardActor, TrialFailedError
from finrl_ray.search.loggers.ray_dashboard import RayDashboardCallback, trial_name
from finrl_ray.search.results.table import leader


class Journal:
    def __init__(self, *records: TrialRecord) -> None:
        self.records = TrialRecords()
        for record in records:
            if hasattr(record, "started"):
                record.started = True
            self.records.trials[record.trial_id] = record


def record(index: int, state: Any = "running", **last: float) -> TrialRecord:
    results = [{"timesteps": 100.0, **last}] if last else []
    return TrialRecord(
        trial_id=f"t{index}", index=index, sample={}, state=state, results=results, reason="why"
    )


def scored(index: int, objective: float, state: Any = "running", steps: float = 100.0) -> Any:
    measures = {"eval/sharpe_ratio": objective * 2, "eval/max_drawdown": -0.25}
    return record(index, state, objective=objective, timesteps=steps, **measures)


class Call:
    """Stands for an actor's method: notes its calls."""

    def __init__(self, name: str, calls: list[Any], task: str = "") -> None:
        self.name, self.calls, self.task = name, calls, task

    def options(self, *, name: str) -> "Call":
        return Call(self.name, self.calls, name)

    def remote(self, *arguments: Any) -> str:
        self.calls.append((self.name, self.task, *arguments))
        return "ref"


BY_OBJECTIVE = ExperimentConfig(search=SearchConfig(rank_by="objective"))


class Actor:
    def __init__(self) -> None:
        self.calls: list[Any] = []

    def __getattr__(self, name: str) -> Call:
        return Call(name, self.calls)


def board(*records: TrialRecord, planned: int = 4) -> RayDashboardCallback:
    made = RayDashboardCallback(
        "night", Journal(*records), planned, partial(leader, config=BY_OBJECTIVE)
    )
    made.actor = Actor()
    return made


def values(made: RayDashboardCallback, now: float = 0.0) -> dict[tuple[str, str], float]:
    records = made.journal.records.in_order()
    return {
        (name, tags.get("state") or tags.get("trial") or ""): value
        for name, tags, value in made.samples(records, now)
    }


def test_the_gauges_are_those_of_the_records() -> None:
    made = board(scored(0, 1.0, "completed"), scored(1, 3.0), scored(2, 9.0, "failed"))
    shown = values(made)
    assert shown["finrl_ray_trials", "running"] == 1
    assert shown["finrl_ray_trials", "completed"] == 1
    assert shown["finrl_ray_trials", "failed"] == 1
    assert shown["finrl_ray_trials", "waiting"] == 1
    # the failed trial cannot win
    assert shown["finrl_ray_best_objective", ""] == 3.0
    assert shown["finrl_ray_best_sharpe", ""] == 6.0
    assert shown["finrl_ray_best_drawdown", ""] == -0.25
    assert shown["finrl_ray_trial_sharpe", "trial_00001"] == 6.0
    assert {tags["search"] for _, tags, _ in made.samples([], 0.0)} == {"night"}


def test_failures_are_attempts_restarts_included() -> None:
    journal = TrialRecords()
    for event in (
        {"event": "created", "trial_id": "a", "index": 0, "sample": {}},
        {"event": "created", "trial_id": "b", "index": 1, "sample": {}},
        {"event": "start", "trial_id": "a"},
        {"event": "start", "trial_id": "b"},
        {"event": "recover", "trial_id": "a"},
        {"event": "recover", "trial_id": "a", "counted": False},  # its machine was lost
        {"event": "end", "trial_id": "a", "state": "failed", "reason": "x"},
        {"event": "end", "trial_id": "b", "state": "completed", "reason": "x"},
    ):
        journal.apply({"time": 0.0, **event})
    shown = board().samples(journal.in_order(), 0.0)
    assert ("finrl_ray_failures", {"search": "night"}, 2.0) in shown


def test_every_sample_is_a_gauge_with_its_tags() -> None:
    for name, tags, value in board(scored(0, 1.0), record(1)).samples([scored(0, 1.0)], 0.0):
        assert set(tags) == set(GAUGES[name][1])
        assert math.isfinite(value)


def test_a_measure_that_is_no_number_is_left_out() -> None:
    shown = values(board(scored(0, math.nan)))
    assert ("finrl_ray_best_objective", "") not in shown
    assert ("finrl_ray_trial_sharpe", "trial_00000") not in shown
    assert shown["finrl_ray_trial_drawdown", "trial_00000"] == -0.25


def test_the_speed_is_that_of_the_last_half_minute() -> None:
    trial = scored(0, 1.0, steps=0)
    made = board(trial)
    speeds = []
    for second in range(0, 121, 10):
        # 10 steps/s in the first minute, 50 in the second
        trial.results[-1]["timesteps"] = 10 * min(second, 60) + 50 * max(0, second - 60)
        speeds.append(values(made, float(second))["finrl_ray_steps_per_second", ""])
    assert speeds[0] == 0
    assert speeds[3] == pytest.approx(10)
    assert speeds[-1] == pytest.approx(50)


def test_a_trial_has_one_named_call_while_it_runs() -> None:
    first, second = record(0), record(12)
    made = board(first, second)
    made.on_step_end(0, [])
    made.last = -math.inf
    made.on_step_end(1, [])
    first.state = "completed"
    made.last = -math.inf
    made.on_step_end(2, [])
    made.on_experiment_end([])
    calls = [call for call in made.actor.calls if call[0] != "show"]
    assert calls == [
        ("trial", "trial_00000", "trial_00000"),
        ("trial", "trial_00012", "trial_00012"),
        ("end", "", "trial_00000", "completed", "why"),
        ("end", "", "trial_00012", "interrupted", "why"),
    ]


def test_it_is_brought_up_to_date_once_a_second_at_most() -> None:
    made = board(record(0))
    for step in range(100):
        made.on_step_end(step, [])
    assert sum(call[0] == "show" for call in made.actor.calls) == 1


def test_a_fault_of_the_board_does_not_reach_the_search(caplog) -> None:
    made = board(record(0))

    def refuse(*arguments: Any) -> None:
        raise ValueError("no such actor")

    made.actor.show = type("Show", (), {"remote": staticmethod(refuse)})
    with caplog.at_level(logging.WARNING):
        for step in range(3):
            made.last = -math.inf
            made.on_step_end(step, [])
    assert caplog.text.count("shows this search no longer") == 1


def test_it_travels_without_its_actor() -> None:
    made = board(record(0))
    made.actor = lambda: None  # cannot be pickled
    again = pickle.loads(pickle.dumps(made))
    assert again.actor is None
    assert again.search == "night"


def test_the_named_call_ends_as_the_trial_did() -> None:
    async def run() -> None:
        actor = DashboardActor()
        done, failed = (asyncio.create_task(actor.trial(name)) for name in ("a", "b"))
        await asyncio.sleep(0)
        await actor.end("a", "completed", "all steps")
        await actor.end("b", "failed", "NaN")
        assert await done == "completed: all steps"
        with pytest.raises(TrialFailedError, match="NaN"):
            await failed
        # a trial that starts again is a call of its own, and one that has ended before it was begun
        # ends at once
        await actor.end("a", "stopped", "by asha")
        assert await actor.trial("a") == "stopped: by asha"

    asyncio.run(run())
    assert trial_name(record(7)) == "trial_00007"


def test_a_trial_that_ends_between_two_looks_is_shown() -> None:
    made = board(record(0))
    made.on_step_end(0, [])
    made.journal = Journal(record(0), scored(1, 1.0, "completed"))
    made.next = -math.inf
    made.on_step_end(1, [])
    made.next = -math.inf
    made.on_step_end(2, [])
    calls = [call for call in made.actor.calls if call[0] in ("trial", "end")]
    assert calls == [
        ("trial", "trial_00000", "trial_00000"),
        ("trial", "trial_00001", "trial_00001"),
        ("end", "", "trial_00001", "completed", "why"),
    ]


def test_the_process_of_the_actor_loads_only_what_it_needs() -> None:
    heavy = (
        "torch",
        "stable_baselines3",
        "ray.tune",
        "pandas",
        "pyarrow",
        "numba",
        "scipy",
        "numpy",
    )
    code = (
        f"import pickle, sys, ray; pickle.loads({pickle.dumps(DashboardActor)!r})()\n"
        "from ray.util import serialization_addons as addons\n"
        "addons.apply(ray._private.serialization.SerializationContext(None))\n"
        f"print([name for name in {heavy} if sys.modules.get(name)])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_its_process_starts_once_there_is_a_result_or_after_a_while(monkeypatch) -> None:
    clock = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: clock[0])
    asked: list[float] = []
    made = board(record(0))
    made.actor = None
    monkeypatch.setattr(made, "_guarded", lambda now, ending: asked.append(now))
    made.on_step_end(0, [])
    assert asked == []
    made.journal = Journal(scored(0, 1.0))
    made.on_step_end(1, [])
    assert asked == [100.0]
    made.journal, made.next = Journal(record(0)), -math.inf
    clock[0] += 11
    made.on_step_end(2, [])
    assert asked == [100.0, 111.0]
