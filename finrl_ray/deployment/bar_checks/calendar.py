"""When bars are due: the weekdays, times of day and gaps of the bars that an agent knows.

No list of holidays is needed: what was missing in a row before may be missing again.
"""

from dataclasses import dataclass, replace
from datetime import datetime, time, timezone
from zoneinfo import ZoneInfo

import numpy as np

from finrl_ray._typing import BoolArray, DateArray, IntArray
from finrl_ray.errors import DataError
from finrl_ray.support.time_zones import require_timezone

_DAY = np.timedelta64(1, "D")
_DAY_NS = 86_400_000_000_000
_RARER_DAYS = 4.0
"""A typical gap of more days than this is one of weekly, monthly or rarer bars."""
_RECENT_BARS = 2_000
_RECENT_DAYS = 60
_WEEKDAY_SHARE, _TIME_SHARE = 0.3, 0.5
_FEWEST_MISSING, _MOST_MISSING = 2, 5
_SATURDAY, _SUNDAY, _MONDAY = 5, 6, 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Closing:
    """When the sessions of an exchange end.

    Parameters
    ----------
    at : local time
    zone : name of a time zone

    Raises
    ------
    ConfigError
        If there is no such zone.
    """

    at: time
    zone: str

    def __post_init__(self) -> None:
        require_timezone(self.zone)

    @property
    def name(self) -> str:
        """As a message says it: `16:00 America/New_York`."""
        return f"{self.at:%H:%M} {self.zone}"


NEW_YORK = Closing(at=time(16), zone="America/New_York")
"""What is assumed of daily bars without weekends: of the large exchanges the last to close."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BarCalendar:
    """The pattern of known bars.

    Parameters
    ----------
    gap : median time between neighbouring bars
    shortest : least time between them
    weekdays : array of shape (7,), bool: whether bars are due on Mondays, ..., Sundays
    times : times of day at which bars are due, nanoseconds since midnight, increasing
    rarer : bars are weekly, monthly or rarer; then `weekdays` and `times` say nothing
    starts : bars that are rarer than daily bear the date on which they begin
    longest_hole : how many bars that were due have been missing in a row
    """

    gap: np.timedelta64
    shortest: np.timedelta64
    weekdays: BoolArray
    times: IntArray
    rarer: bool
    starts: bool
    longest_hole: int

    @classmethod
    def of(cls, dates: DateArray) -> "BarCalendar":
        """Return the pattern of bars.

        Parameters
        ----------
        dates : array of shape (T,), datetime64[ns], strictly increasing

        Raises
        ------
        DataError
            If there are fewer than 2.
        """
        if len(dates) < 2:
            raise DataError(
                f"the agent must know 2 bars or more to tell when the next is due, got {len(dates)}"
            )
        recent = dates[-_RECENT_BARS:]
        gaps = np.diff(recent)
        gap = np.sort(gaps)[len(gaps) // 2]
        rarer = bool(gap > _RARER_DAYS * _DAY)
        found = cls(
            gap=gap,
            shortest=gaps.min(),
            weekdays=_due_weekdays(recent),
            times=_due_times(recent),
            rarer=rarer,
            starts=rarer and _begins_its_period(recent, gap),
            longest_hole=0,
        )
        due = found.due_between(recent[0], recent[-1])
        absent = due[~np.isin(due, recent)]
        holes = np.bincount(np.searchsorted(recent, absent)) if absent.size else np.zeros(1, int)
        return replace(found, longest_hole=int(holes.max()))

    @property
    def may_be_missing(self) -> int:
        """How many bars that are due may be missing in a row: as many as before, within 2 to 5."""
        return min(_MOST_MISSING, max(_FEWEST_MISSING, self.longest_hole))

    @property
    def within_the_day(self) -> bool:
        """Whether a day has several bars."""
        return not self.rarer and len(self.times) > 1

    @property
    def every_day(self) -> bool:
        """Whether weekends have bars, as those of coins have."""
        return bool(self.weekdays.all())

    def due_between(self, first: np.datetime64, last: np.datetime64) -> DateArray:
        """Return the bars that are due after `first` and before `last`, without either."""
        if last <= first:
            return np.zeros(0, dtype="datetime64[ns]")
        if self.rarer:
            count = int(np.rint((last - first) / self.gap)) - 1
            steps = np.arange(1, max(0, count) + 1)
            rare: DateArray = (first + steps * self.gap).astype("datetime64[ns]")
            return rare
        days = np.arange(first.astype("datetime64[D]"), last.astype("datetime64[D]") + _DAY)
        days = days[self.weekdays[_weekday(days)]].astype("datetime64[ns]")
        stamps = (days[:, None] + self.times.astype("timedelta64[ns]")).ravel()
        due: DateArray = stamps[(stamps > first) & (stamps < last)]
        return due

    def completed_at(
        self, stamp: np.datetime64, closing: Closing | None, clock: str | None
    ) -> datetime | None:
        """Return when a bar does not change any more; None where nobody knows its clock.

        Parameters
        ----------
        stamp : of the bar
        closing : of the exchange; New York's when None, and midnight in UTC of what is quoted on
            every day of the week
        clock : zone by whose clock bars within the day are stamped with their beginning
        """
        if self.within_the_day:
            return None if clock is None else _instant(stamp + self.shortest, clock)
        day = stamp.astype("datetime64[D]")
        if self.rarer and self.starts:
            day = (stamp + self.gap).astype("datetime64[D]") - _DAY
        if closing is None and self.every_day:
            return _instant(day + _DAY, "UTC")
        ends = NEW_YORK if closing is None else closing
        at = np.timedelta64(ends.at.hour * 60 + ends.at.minute, "m")
        return _instant(day.astype("datetime64[m]") + at, ends.zone)


def _instant(local: np.datetime64, zone: str) -> datetime:
    naive: datetime = local.astype("datetime64[us]").item()
    return naive.replace(tzinfo=ZoneInfo(zone)).astimezone(timezone.utc)


def _weekday(days: DateArray) -> IntArray:
    # day 0 of datetime64 is a Thursday
    return np.asarray((days.astype("datetime64[D]").astype(np.int64) + 3) % 7)


def _due_weekdays(dates: DateArray) -> BoolArray:
    present = np.unique(dates.astype("datetime64[D]"))
    span = np.arange(present[0], present[-1] + _DAY)
    there = np.bincount(_weekday(present), minlength=7)
    possible = np.bincount(_weekday(span), minlength=7)
    due = there >= _WEEKDAY_SHARE * np.maximum(possible, 1)
    # of a weekday that the known bars do not reach: what is usual
    due[possible == 0] = np.arange(7)[possible == 0] < _SATURDAY
    return np.asarray(due, dtype=np.bool_)


def _due_times(dates: DateArray) -> IntArray:
    days = dates.astype("datetime64[D]")
    recent = days > np.unique(days)[-_RECENT_DAYS:][0] - _DAY
    times = (dates - days)[recent].astype("timedelta64[ns]").astype(np.int64)
    found, counts = np.unique(times, return_counts=True)
    usual = found[counts >= _TIME_SHARE * len(np.unique(days[recent]))]
    return np.asarray(usual if usual.size else found[np.argmax(counts)][None], dtype=np.int64)


def _begins_its_period(dates: DateArray, gap: np.timedelta64) -> bool:
    """Return whether rare bars bear the first date of a week or month, rather than the last."""
    days = dates.astype("datetime64[D]")
    if gap < 10 * _DAY:
        return bool(np.isin(_weekday(days), (_MONDAY, _SUNDAY)).mean() > _TIME_SHARE)
    of_month = (days - days.astype("datetime64[M]").astype("datetime64[D]")).astype(np.int64)
    return bool((of_month < 10).mean() > _TIME_SHARE)
