"""When bars are due, and when they are completed."""

from datetime import datetime, time, timezone

import numpy as np
import pandas as pd
import pytest

from finrl_ray.deployment.bar_checks.calendar import BarCalendar, Closing
from finrl_ray.errors import ConfigError, DataError


def dates(index: pd.DatetimeIndex) -> "np.ndarray[tuple[int], np.dtype[np.datetime64]]":
    return index.to_numpy().astype("datetime64[ns]")


def stamp(text: str) -> np.datetime64:
    return np.datetime64(text, "ns")


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=timezone.utc)  # type: ignore[arg-type, misc]  # year to minute


DAILY = BarCalendar.of(dates(pd.bdate_range("2020-01-01", "2020-06-30")))
COINS = BarCalendar.of(dates(pd.date_range("2020-01-01", "2020-06-30")))
WEEKLY = BarCalendar.of(dates(pd.date_range("2020-01-01", "2020-06-30", freq="W-FRI")))
MONDAYS = BarCalendar.of(dates(pd.date_range("2020-01-01", "2020-06-30", freq="W-MON")))
MONTHLY = BarCalendar.of(dates(pd.date_range("2018-01-01", "2020-06-30", freq="MS")))
HOURLY = BarCalendar.of(
    dates(
        pd.DatetimeIndex(
            [
                day + pd.Timedelta(hours=hour)
                for day in pd.bdate_range("2020-01-01", "2020-03-31")
                for hour in range(14, 21)
            ]
        )
    )
)
SUNDAY_TO_THURSDAY = BarCalendar.of(
    dates(pd.bdate_range("2020-01-01", "2020-06-30", freq="C", weekmask="Sun Mon Tue Wed Thu"))
)


@pytest.mark.parametrize(
    ("calendar", "first", "last", "due"),
    [
        (DAILY, "2020-07-03", "2020-07-07", ["2020-07-06"]),
        (DAILY, "2020-07-06", "2020-07-07", []),
        (DAILY, "2020-07-07", "2020-07-06", []),
        (COINS, "2020-07-03", "2020-07-06", ["2020-07-04", "2020-07-05"]),
        (SUNDAY_TO_THURSDAY, "2020-07-02", "2020-07-06", ["2020-07-05"]),
        (WEEKLY, "2020-07-03", "2020-07-17", ["2020-07-10"]),
        (WEEKLY, "2020-07-03", "2020-07-09", []),
        (MONTHLY, "2020-06-01", "2020-07-01", []),
        (
            HOURLY,
            "2020-04-03T18:00",
            "2020-04-06T15:00",
            ["2020-04-03T19:00", "2020-04-03T20:00", "2020-04-06T14:00"],
        ),
    ],
)
def test_which_bars_are_due(calendar: BarCalendar, first: str, last: str, due: list[str]) -> None:
    found = calendar.due_between(stamp(first), stamp(last))
    assert found.tolist() == [stamp(one).astype("int64") for one in due]


@pytest.mark.parametrize(
    ("calendar", "bar", "complete"),
    [
        (DAILY, "2020-07-06", utc(2020, 7, 6, 20, 0)),
        (DAILY, "2020-12-07", utc(2020, 12, 7, 21, 0)),
        (COINS, "2020-07-06", utc(2020, 7, 7, 0, 0)),
        (WEEKLY, "2020-07-10", utc(2020, 7, 10, 20, 0)),
        (MONDAYS, "2020-07-06", utc(2020, 7, 12, 20, 0)),
        (HOURLY, "2020-07-06T15:00", utc(2020, 7, 6, 16, 0)),
    ],
)
def test_when_a_bar_is_completed(calendar: BarCalendar, bar: str, complete: datetime) -> None:
    assert calendar.completed_at(stamp(bar), None, "UTC") == complete


def test_an_exchange_that_closes_at_another_hour() -> None:
    tokyo = Closing(at=time(15, 30), zone="Asia/Tokyo")
    assert DAILY.completed_at(stamp("2020-07-06"), tokyo, None) == utc(2020, 7, 6, 6, 30)
    assert tokyo.name == "15:30 Asia/Tokyo"
    with pytest.raises(ConfigError, match="Did you mean 'Asia/Tokyo'"):
        Closing(at=time(15, 30), zone="Asia/Tokio")


def test_bars_within_the_day_without_a_clock_may_be_completed_or_not() -> None:
    assert HOURLY.completed_at(stamp("2020-07-06T15:00"), None, None) is None


def test_as_many_bars_may_be_missing_as_ever_were_in_a_row() -> None:
    days = dates(pd.bdate_range("2020-01-01", "2020-06-30"))
    assert DAILY.longest_hole == 0
    assert DAILY.may_be_missing == 2
    assert BarCalendar.of(np.delete(days, [40, 41, 42, 43])).may_be_missing == 4
    assert BarCalendar.of(np.delete(days, [40, 50, 60])).longest_hole == 1
    assert BarCalendar.of(np.delete(days, range(40, 60))).may_be_missing == 5


def test_two_bars_are_needed() -> None:
    with pytest.raises(DataError, match="must know 2 bars or more"):
        BarCalendar.of(dates(pd.bdate_range("2020-01-01", periods=1)))
