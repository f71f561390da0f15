"""Schedules and their text forms."""

import pickle

import pytest

from finrl_ray.agents.schedules import ConstantSchedule, LinearSchedule, parse_schedule
from finrl_ray.errors import ConfigError


def test_a_linear_schedule_falls_to_zero() -> None:
    schedule = LinearSchedule(0.5)
    assert [schedule(p) for p in (1.0, 0.5, 0.0, -0.1)] == [0.5, 0.25, 0.0, 0.0]


def test_a_constant_schedule_stays() -> None:
    assert {ConstantSchedule(0.5)(p) for p in (1.0, 0.0)} == {0.5}


@pytest.mark.parametrize("schedule", [LinearSchedule(0.5), ConstantSchedule(0.5)])
def test_schedules_can_be_pickled(schedule) -> None:
    assert pickle.loads(pickle.dumps(schedule)) == schedule


@pytest.mark.parametrize(
    ("text", "expected"),
    [("lin_3e-4", LinearSchedule(3e-4)), ("3e-4", 3e-4), (0.1, 0.1), (1, 1.0)],
)
def test_text_becomes_a_schedule(text, expected) -> None:
    assert parse_schedule(text) == expected


def test_a_callable_stays_as_it_is() -> None:
    schedule = LinearSchedule(1.0)
    assert parse_schedule(schedule) is schedule


@pytest.mark.parametrize("text", ["linear_3e-4", "lin_", "lin_x", "-1", "nan", "lin_inf", "1e-3 x"])
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"must be a number >= 0, such as 3e-4, or 'lin_'"):
        parse_schedule(text)
