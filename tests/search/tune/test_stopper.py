"""When a whole search ends early, in its own words."""

from typing import Any

import pytest

from finrl_ray.config.experiment import ExperimentConfig
from finrl_ray.config.search import SearchConfig
from finrl_ray.search.journal.records import TrialRecords
from finrl_ray.search.tune import stopper as stopper_module
from finrl_ray.search.tune.stopper import BudgetStopper


def stopper(records: TrialRecords, **search: Any) -> BudgetStopper:
    return BudgetStopper(records, ExperimentConfig(search=SearchConfig(**search)))


def ended(records: TrialRecords, objective: float | None, state: str = "completed") -> None:
    trial_id = f"t{len(records.trials)}"
    own = {"time": 0.0, "trial_id": trial_id}
    records.apply({"event": "start", "index": len(records.trials), "sample": {}, **own})
    if objective is not None:
        metrics = {"timesteps": 500, "objective": objective}
        records.apply({"event": "result", "metrics": metrics, **own})
    records.apply({"event": "end", "state": state, "reason": "", **own})


def test_without_a_budget_a_search_goes_on() -> None:
    records = TrialRecords()
    for _ in range(50):
        ended(records, 0.0)
    assert not stopper(records).stop_all()


def test_time_counts_over_all_lives_of_a_search(monkeypatch) -> None:
    records = TrialRecords()
    records.apply({"event": "search", "state": "started", "time": 100.0})
    records.apply({"event": "search", "state": "interrupted", "time": 130.0})
    now = [0.0]
    monkeypatch.setattr(stopper_module.time, "monotonic", lambda: now[0])
    stop = stopper(records, time_budget_s=50.0)
    now[0] = 19.0
    assert not stop.stop_all()
    now[0] = 20.0
    assert stop.stop_all()
    assert stop.reason == "the search's time budget of 50 s is spent"


def test_timesteps_count_over_all_trials() -> None:
    records = TrialRecords()
    stop = stopper(records, timesteps_budget=1500)
    ended(records, 0.0)
    ended(records, 0.0)
    assert not stop.stop_all()
    ended(records, 0.0)
    assert stop.stop_all()
    assert stop.reason == "the search's budget of 1,500 timesteps is spent"


@pytest.mark.parametrize(
    ("objectives", "ends"),
    [
        ([0.0, 1.0, 2.0, 3.0, 4.0], False),
        ([4.0, 1.0, 2.0], False),
        ([4.0, 1.0, 2.0, 3.0], True),
        ([4.0, 1.0, 2.0, 5.0, 1.0, 1.0], False),
        ([4.0, None, None, None], True),
    ],
)
def test_a_plateau_is_a_number_of_ended_trials_without_a_new_best(objectives, ends) -> None:
    records = TrialRecords()
    for objective in objectives:
        ended(records, objective, "completed" if objective is not None else "failed")
    stop = stopper(records, stop_after_no_improvement=3)
    assert stop.stop_all() is ends
    assert stop.reason == ("no new best objective in 3 trials" if ends else "")


def test_a_search_that_has_ended_early_stays_ended() -> None:
    records = TrialRecords()
    ended(records, 0.0)
    event = {"event": "search", "state": "finished", "ended_by": "spent", "time": 0.0}
    records.apply(event)
    assert stopper(records).stop_all()
