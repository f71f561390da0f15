"""Whether the dates of new bars are those that are due: in order, on one clock, none missing.

Each function raises `DataError` with what must hold, what came, where, and what to do.
"""

from datetime import datetime, timedelta, timezone

import numpy as np
import pandas as pd

from finrl_ray._typing import BoolArray, DateArray, IntArray
from finrl_ray.data.frames.dates import DateLike
from finrl_ray.data.labels import date_label
from finrl_ray.deployment.bar_checks.calendar import BarCalendar, Closing
from finrl_ray.deployment.bar_checks.grid import Stamps
from finrl_ray.errors import DataError
from finrl_ray.support.text import counted, listed

_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_HOUR_NS = 3_600_000_000_000
_FINER, _COARSER = 0.6, 3.0
_OFF_CLOCK = 0.5
_HOLES_TOLD = 2
# clocks of the world differ by no more
_ANY_CLOCK = timedelta(hours=26)


def named_instant(date: DateLike) -> np.datetime64:
    """Return the instant that `--date` names, on the clock of the bars; a time zone is left out.

    Raises
    ------
    DataError
        If it is no date, or one that nanoseconds since 1970 cannot hold.
    """
    try:
        stamp = pd.Timestamp(date)
        if not pd.isna(stamp):
            instant: np.datetime64 = stamp.tz_localize(None).as_unit("ns").to_datetime64()
            return instant
    except (ValueError, TypeError, OverflowError):
        pass
    raise DataError(f"--date must be a date such as 2020-01-31, got {date!r}")


def is_named(dates: DateArray, wanted: np.datetime64) -> BoolArray:
    """Return which dates `--date` names: those of a whole day, unless it has a time of day."""
    named: BoolArray = _as_named(dates, wanted) == wanted
    return named


def is_until(dates: DateArray, wanted: np.datetime64) -> BoolArray:
    """Return which dates are not after those that `--date` names."""
    until: BoolArray = _as_named(dates, wanted) <= wanted
    return until


def _as_named(dates: DateArray, wanted: np.datetime64) -> DateArray:
    is_day = bool(wanted == wanted.astype("datetime64[D]"))
    return dates.astype("datetime64[D]") if is_day else dates


def check_order(stamps: Stamps) -> None:
    """Refuse dates of a ticker that do not increase from row to row."""
    last: dict[str, tuple[int, np.datetime64]] = {}
    for row, (ticker, stamp) in enumerate(zip(stamps.tickers, stamps.dates, strict=True)):
        before = last.get(ticker)
        last[ticker] = (row, stamp)
        if before is None or stamp > before[1]:
            continue
        if stamp == before[1]:
            raise DataError(
                f"duplicate dates: each date must come once for each ticker, but {ticker} on "
                f"{date_label(stamp)} is in rows {before[0]} and {row}; keep the one that is right"
            )
        raise DataError(
            f"unsorted dates: those of {ticker} must increase, but row {row} "
            f"({date_label(stamp)}) comes after row {before[0]} ({date_label(before[1])}); sort "
            "the table: df.sort_values(['date', 'tic'])"
        )


def check_kind(known: DateArray, stamps: Stamps) -> None:
    """Refuse days where bars within the day are known, and the other way round."""
    are_days = bool((known == known.astype("datetime64[D]")).all())
    if are_days == stamps.are_days:
        return
    timed = stamps.dates[stamps.dates != stamps.dates.astype("datetime64[D]")]
    came = date_label(timed[0]) if timed.size else date_label(stamps.dates[0])
    must = "days without a time" if are_days else "times of day"
    zone = ", by the clock of UTC unless data.timezone says otherwise"
    raise DataError(
        f"another frequency or time zone: dates must be {must}, such as the last known bar "
        f"{date_label(known[-1])}, but {came} came"
        f"{zone if stamps.kind == 'instants' else ''}; give bars of the frequency that the agent "
        "was trained on, with local dates (df['date'].dt.date for daily bars)"
    )


def check_pattern(
    known: DateArray,
    new: DateArray,
    calendar: BarCalendar,
    *,
    max_missing: int,
    named: bool,
) -> tuple[str, ...]:
    """Refuse another frequency, another clock, and missing bars; return what is to be looked at.

    Parameters
    ----------
    known : dates of the agent's bars
    new : dates of the new table, strictly increasing
    calendar : of the known bars
    max_missing : how many bars that are due may be missing in a row
    named : whether the user has named the last bar by its date
    """
    later = new[new > known[-1]]
    _check_frequency(np.concatenate([known[-1:], later]), new, calendar)
    if not later.size:
        return ()
    notes = [] if calendar.rarer else _check_clock(later, calendar, named=named)
    holes = []
    for before, stamp in zip(np.concatenate([known[-1:], later[:-1]]), later, strict=True):
        absent = calendar.due_between(before, stamp)
        if not absent.size:
            continue
        said = (
            f"{counted(absent.size, 'bar')} due between {date_label(before)} and "
            f"{date_label(stamp)} (the first: {date_label(absent[0])})"
        )
        if absent.size > max_missing:
            raise DataError(
                f"incomplete prices: every bar after the last known one must be there, but there "
                f"is none of the {said}, and {max_missing} may be missing in a row; add them, or "
                f"say that there were none (--max-missing {absent.size})"
            )
        holes.append(f"There is none of the {said}: a holiday, or a row that is missing?")
    if len(holes) > _HOLES_TOLD:
        rest = len(holes) - _HOLES_TOLD
        notes.append(f"{counted(rest, 'hole')} before the last {_HOLES_TOLD} look the same.")
    return (*notes, *holes[-_HOLES_TOLD:])


def _check_frequency(seen: DateArray, new: DateArray, calendar: BarCalendar) -> None:
    gaps = np.concatenate([np.diff(seen), np.diff(new)])
    if not gaps.size:
        return
    finer = gaps.min() < _FINER * calendar.shortest
    coarser = len(new) > 2 and np.diff(new).min() >= _COARSER * calendar.gap
    if not finer and not coarser:
        return
    gap = gaps.min() if finer else np.diff(new).min()
    raise DataError(
        f"another frequency: bars must be about {_time(calendar.gap)} apart, as those that the "
        f"agent knows, but they are {_time(gap)} apart; give bars of the frequency that it was "
        "trained on"
    )


def _check_clock(later: DateArray, calendar: BarCalendar, *, named: bool) -> list[str]:
    """Refuse weekdays and times of day that no known bar has; return a note on a single one."""
    days = later.astype("datetime64[D]")
    weekday = (days.astype(np.int64) + 3) % 7
    undue = np.flatnonzero(~calendar.weekdays[weekday])
    if undue.size:
        first = int(undue[0])
        said = f"{date_label(later[first])} is a {_DAYS[weekday[first]]}"
        if undue.size > 1 or (undue[-1] == len(later) - 1 and not named):
            raise DataError(
                f"another calendar or time zone: bars must fall on {_weekdays(calendar)}, as those "
                f"that the agent knows, but {said}; write local dates of the exchange, or, of a "
                f"session out of turn, name the bar (--date {date_label(later[-1])})"
            )
        return [f"{said}, on which no bar was due."]
    times = (later - days).astype("timedelta64[ns]").astype(np.int64)
    off = ~_near(times, calendar.times)
    if off.mean() > _OFF_CLOCK:
        first = int(np.flatnonzero(off)[0])
        usual = np.datetime64(0, "ns") + calendar.times.astype("timedelta64[ns]")
        raise DataError(
            "another time zone: bars must have times of day such as "
            f"{listed((date_label(t)[11:] or '00:00:00' for t in usual), 5)}, as those that the "
            f"agent knows, but {date_label(later[first])} came; write times by the agent's clock"
        )
    return []


def _near(times: IntArray, known: IntArray) -> BoolArray:
    """Return which times are known; summer time moves those of UTC by an hour."""
    moved = np.concatenate([known, known + _HOUR_NS, known - _HOUR_NS])
    return np.isin(times, moved)


def _weekdays(calendar: BarCalendar) -> str:
    return listed(name for name, due in zip(_DAYS, calendar.weekdays, strict=True) if due)


def _time(gap: np.timedelta64) -> str:
    days = gap / np.timedelta64(1, "D")
    if days >= 1.0:
        return counted(float(f"{days:.3g}"), "day")
    return counted(float(f"{gap / np.timedelta64(1, 'm'):.3g}"), "minute")


def check_completed(
    last: np.datetime64,
    calendar: BarCalendar,
    *,
    now: datetime,
    closing: Closing | None,
    clock: str | None,
) -> None:
    """Refuse a last bar that may still change.

    Parameters
    ----------
    last : its date
    calendar : of the known bars
    now : with a time zone
    closing : of the exchange, if the user has said it
    clock : zone by whose clock bars within the day are stamped; None where it is not known
    """
    complete = calendar.completed_at(last, closing, clock)
    day = date_label(last)
    if complete is None:
        if _instant(last) > now - _ANY_CLOCK:
            raise DataError(
                f"incomplete prices: whether the bar of {day} is completed must be known, but its "
                "time has no time zone; say by whose clock it is written (--closes 16:00 --zone "
                "America/New_York)"
            )
        return
    if complete <= now:
        return
    hours = ""
    if closing is None and not calendar.every_day and not calendar.within_the_day:
        hours = "; where the exchange closes at another hour than New York's, say when it does "
        hours += "(--closes 15:30 --zone Asia/Tokyo)"
    raise DataError(
        f"incomplete prices: the last bar must be completed, but that of {day} may change until "
        f"{complete:%Y-%m-%d %H:%M} UTC, and it is {now:%Y-%m-%d %H:%M} UTC; ask again then, or "
        f"leave its rows out{hours}"
    )


def check_recent(
    last: np.datetime64,
    calendar: BarCalendar,
    *,
    now: datetime,
    closing: Closing | None,
    clock: str | None,
    max_missing: int,
) -> tuple[str, ...]:
    """Refuse a last bar after which more bars than usual are due; return a note if any is.

    The parameters are those of `check_completed`, and how many may be missing.
    """
    until = np.datetime64(now.replace(tzinfo=None), "ns")
    due = calendar.due_between(last, until + np.timedelta64(1, "D"))
    surely = due < until - np.timedelta64(3, "D")
    behind = int(surely.sum())
    for stamp in due[~surely]:
        complete = calendar.completed_at(stamp, closing, clock)
        behind += int((complete or _instant(stamp)) <= now)
    if behind == 0:
        return ()
    day = date_label(last)
    if behind > max_missing:
        raise DataError(
            f"stale prices: the last bar must be the last completed one, but it is of {day}, and "
            f"{counted(behind, 'bar')} {'is' if behind == 1 else 'are'} due since (it is "
            f"{now:%Y-%m-%d %H:%M} UTC, and {max_missing} may be missing); give newer prices, or, "
            f"to ask about the past, name the bar (--date {day})"
        )
    return (
        f"{counted(behind, 'bar')} {'is' if behind == 1 else 'are'} due after the last one, of "
        f"{day}: a holiday, or prices that are late?",
    )


def _instant(stamp: np.datetime64) -> datetime:
    naive: datetime = stamp.astype("datetime64[us]").item()
    return naive.replace(tzinfo=timezone.utc)
