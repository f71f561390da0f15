"""Times without pauses, and the best as it would have been judged at each moment."""

import pytest

from finrl_ray.config.experiment import ExperimentConfig
from finrl_ray.config.search import SearchConfig
from finrl_ray.report.timeline import result_times, running_seconds, running_trials


def event(kind: str, time: float, **content: object) -> dict[str, object]:
    return {"event": kind, "time": time, **content}


def result(time: float, trial: str, timesteps: int, objective: float) -> dict[str, object]:
    metrics = {"timesteps": timesteps, "objective": objective, "eval/appraisal_ratio": objective}
    return event("result", time, trial_id=trial, metrics=metrics)


EVENTS = [
    event("search", 10.0, state="started"),
    event("created", 10.0, trial_id="a", index=0),
    event("created", 10.0, trial_id="b", index=1),
    event("start", 11.0, trial_id="a"),
    event("start", 11.5, trial_id="b"),
    result(12.0, "a", 100, 1.0),
    result(13.0, "b", 50, 3.0),
    # killed here, and resumed 1,000 s later
    event("search", 1013.0, state="resumed"),
    event("start", 1014.0, trial_id="a"),
    result(1015.0, "a", 200, float("nan")),
    event("end", 1016.0, trial_id="b", state="failed"),
    result(1017.0, "a", 300, 0.5),
    event("end", 1018.0, trial_id="a", state="completed"),
]


def test_a_pause_between_two_starts_does_not_count() -> None:
    assert running_seconds(EVENTS) == [0, 0, 0, 1, 1.5, 2, 3, 3, 4, 5, 6, 7, 8]


def test_the_best_is_the_one_that_would_have_won() -> None:
    table = result_times(EVENTS, ExperimentConfig())
    assert table["elapsed_s"].tolist() == [2, 3, 5, 7]
    assert table["total_timesteps"].tolist() == [100, 150, 250, 350]
    # trial 1 leads until it has failed; a NaN stands for nothing
    assert table["best_score"].tolist() == [1.0, 3.0, 3.0, 0.5]
    assert table["best_trial"].tolist() == [0, 1, 1, 0]


def test_the_mean_of_the_last_evaluations_as_it_was_at_each_moment() -> None:
    events = [
        event("search", 0.0, state="started"),
        event("created", 0.0, trial_id="a", index=0),
        event("created", 0.0, trial_id="b", index=1),
        result(1.0, "a", 100, 1.0),
        result(2.0, "b", 100, 1.5),
        result(3.0, "a", 200, 3.0),  # mean of 1 and 3
        result(4.0, "a", 300, 5.0),  # of 3 and 5
        # started over from its checkpoint of 200
        result(5.0, "a", 300, 4.0),  # of 3 and 4
        event("exploit", 6.0, trial_id="a", donor="b", timesteps=100),
        result(7.0, "a", 400, 1.0),  # of another agent
        result(8.0, "b", 200, 0.0),  # of 1.5 and 0
    ]
    config = ExperimentConfig(search=SearchConfig(select="mean", select_last=2))
    table = result_times(events, config)
    assert table["best_score"].tolist() == [1.0, 1.5, 2.0, 4.0, 3.5, 1.5, 1.0]
    assert table["best_trial"].tolist() == [0, 1, 0, 0, 0, 1, 0]
    assert table["score"].tolist() == [1.0, 1.5, 3.0, 5.0, 4.0, 1.0, 0.0]


def test_trials_running_at_once() -> None:
    table = running_trials(EVENTS)
    assert list(zip(table["elapsed_s"], table["running"], strict=True)) == [
        (0.0, 0),
        (1.0, 1),
        (1.5, 2),
        (3.0, 0),
        (4.0, 1),
        (8.0, 0),
    ]


@pytest.mark.parametrize("events", [[], EVENTS[:3]])
def test_nothing_yet(events) -> None:
    assert len(result_times(events, ExperimentConfig())) == 0
