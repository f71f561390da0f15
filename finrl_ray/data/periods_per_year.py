"""`periods_per_year`: how many bars make a year, read from the spacing of the dates."""

import dataclasses

import numpy as np

from finrl_ray._typing import BoolArray, DateArray, FloatArray
from finrl_ray.config.experiment import ExperimentConfig
from finrl_ray.data.labels import date_label
from finrl_ray.errors import DataError

CONFIG_KEY = "evaluation.periods_per_year"
DAYS_OF_EXCHANGES = 252.0
DAYS_AROUND_THE_CLOCK = 365.0
_DAY_S = 86_400.0
_SATURDAY = 5
# calendar days between two bars, and how many such bars make a year
_RARER_THAN_DAILY = (
    (5.0, 9.0, 52.0),
    (26.0, 35.0, 12.0),
    (84.0, 98.0, 4.0),
    (350.0, 380.0, 1.0),
)
# a long weekend with a holiday on either side
_LONGEST_WEEKEND_DAYS = 5.0
# share of the gaps that must be like the others: holidays and holes in the data are the rest
_REGULAR = 0.9
# share of Saturdays and Sundays with a bar: below the first the market is closed on weekends, above
# the second it is open
_FEW_WEEKENDS, _MOST_WEEKENDS = 0.1, 0.75
# bars of a day that cover this share of it leave no night
_AROUND_THE_CLOCK = 0.9
_EQUAL_S = 1.0
# between UTC and the clock of an exchange
_LARGEST_OFFSET_H = 14


def periods_per_year(dates: DateArray, option: str = CONFIG_KEY) -> float:
    """Return the number of bars in a year, from the spacing of `dates` alone.

    Daily bars make 252 a year, or 365 if there are bars on weekends; weekly 52, monthly 12,
    quarterly 4, yearly 1. Bars within the day make 365 days of equally spaced bars if there are
    bars on weekends, and otherwise 252 times the bars of a usual session, by whatever clock the
    sessions lie within weekdays. Holes (holidays, missing
    bars) do not matter as long as nine in ten gaps are alike.

    Parameters
    ----------
    dates : array of shape (T,), datetime64, strictly increasing
    option : what an error asks for

    Returns
    -------
    float
        Periods per year.

    Raises
    ------
    DataError
        If there are fewer than 2 dates or they follow no such pattern; the message asks for
        `option`.
    """
    try:
        return _periods(dates)
    except _NoSpacingError as error:
        raise DataError(f"{error}; set {option}") from None


class _NoSpacingError(Exception):
    """The dates follow no pattern."""


def _periods(dates: DateArray) -> float:
    stamps = np.asarray(dates).astype("datetime64[s]")
    if stamps.size < 2:
        raise _no_spacing(stamps, "two dates or more are needed")
    gaps_s = np.diff(stamps).astype(np.float64)
    same_day = np.diff(stamps.astype("datetime64[D]")) == np.timedelta64(0, "D")
    if same_day.any():
        return _within_the_day(stamps)
    gaps_days = np.round(gaps_s / _DAY_S)
    typical_days = float(np.median(gaps_days))
    if typical_days <= 1.0:
        return _daily(stamps, gaps_days)
    for shortest, longest, periods in _RARER_THAN_DAILY:
        if shortest <= typical_days <= longest:
            regular = (gaps_days >= shortest) & (gaps_days <= longest)
            if regular.mean() >= _REGULAR:
                return periods
    raise _no_spacing(stamps, f"the middle gap is {typical_days:g} days")


def config_periods_per_year(config: ExperimentConfig, dates: DateArray) -> float:
    """Return `evaluation.periods_per_year`, or what the spacing of `dates` says where it is null.

    With `env.type: crypto` equal gaps are bars around the clock, on every day of the week.

    Raises
    ------
    DataError
        If the config has none and the dates follow no pattern.
    """
    given = config.evaluation.periods_per_year
    if given is not None:
        return given
    coins = _around_the_clock(dates) if config.env.type == "crypto" else None
    return periods_per_year(dates) if coins is None else coins


def _around_the_clock(dates: DateArray) -> float | None:
    """Return bars in a year of 365 days without nights, or None where gaps are not alike.

    Of coins that is known without having seen a weekend.
    """
    gaps_s = np.diff(np.asarray(dates).astype("datetime64[s]")).astype(np.float64)
    if not gaps_s.size:
        return None
    typical_s = float(np.median(gaps_s))
    alike = (np.abs(gaps_s - typical_s) <= _EQUAL_S).mean()
    return DAYS_AROUND_THE_CLOCK * _DAY_S / typical_s if alike >= _REGULAR else None


def with_periods_per_year(config: ExperimentConfig, dates: DateArray) -> ExperimentConfig:
    """Return `config` with a number for `evaluation.periods_per_year`, its own or that of `dates`.

    Raises
    ------
    DataError
        If the config has none and the dates follow no pattern.
    """
    if config.evaluation.periods_per_year is not None:
        return config
    periods = config_periods_per_year(config, dates)
    evaluation = dataclasses.replace(config.evaluation, periods_per_year=periods)
    return dataclasses.replace(config, evaluation=evaluation)


def _daily(stamps: DateArray, gaps_days: FloatArray) -> float:
    if (gaps_days <= _LONGEST_WEEKEND_DAYS).mean() < _REGULAR:
        raise _no_spacing(stamps, f"gaps of 1 to {gaps_days.max():g} days")
    share = _weekend_share(stamps)
    if share is None or share <= _FEW_WEEKENDS:
        return DAYS_OF_EXCHANGES
    if share >= _MOST_WEEKENDS:
        return DAYS_AROUND_THE_CLOCK
    raise _no_spacing(stamps, f"{share:.0%} of the days on weekends have a bar")


def _within_the_day(given: DateArray) -> float:
    """Return bars a year from all dates and the gaps between bars of one day, nights left out."""
    stamps = _on_a_clock_with_free_weekends(given)
    same_day = np.diff(stamps.astype("datetime64[D]")) == np.timedelta64(0, "D")
    gaps_s = np.diff(stamps).astype(np.float64)[same_day]
    days, bars = np.unique(stamps.astype("datetime64[D]"), return_counts=True)
    # the first and the last day may have been cut
    usual_bars = float(np.median(bars[1:-1] if len(bars) > 2 else bars))
    typical_s = float(np.median(gaps_s))
    if (np.abs(gaps_s - typical_s) <= _EQUAL_S).mean() < _REGULAR:
        raise _no_spacing(given, f"{gaps_s.min():g} to {gaps_s.max():g} s between bars of a day")
    share = _weekend_share(days)
    if share is not None and share >= _MOST_WEEKENDS:
        return DAYS_AROUND_THE_CLOCK * _DAY_S / typical_s
    no_night = usual_bars * typical_s >= _AROUND_THE_CLOCK * _DAY_S
    if (share is None and no_night) or (share is not None and share > _FEW_WEEKENDS):
        raise _no_spacing(given, "whether weekends are traded cannot be seen")
    return DAYS_OF_EXCHANGES * usual_bars


def _on_a_clock_with_free_weekends(stamps: DateArray) -> DateArray:
    """Return the stamps by a clock on which no weekend has bars, if there is one.

    Sydney's Monday begins on Sunday in UTC, and its sessions lie across midnight.
    """
    by_hour: DateArray = np.unique(stamps.astype("datetime64[h]"))
    for hours in sorted(range(-_LARGEST_OFFSET_H, _LARGEST_OFFSET_H + 1), key=abs):
        offset = np.timedelta64(hours, "h")
        moved: DateArray = by_hour + offset
        share = _weekend_share(moved)
        if share is not None and share <= _FEW_WEEKENDS:
            return stamps + offset
    return stamps


def _weekend_share(stamps: DateArray) -> float | None:
    """Return the share of the span's Saturdays and Sundays with a bar; None if it has no such."""
    present = np.unique(stamps.astype("datetime64[D]"))
    span = np.arange(present[0], present[-1] + np.timedelta64(1, "D"))
    n_weekend = int(_is_weekend(span).sum())
    return None if n_weekend == 0 else float(_is_weekend(present).sum() / n_weekend)


def _is_weekend(days: DateArray) -> BoolArray:
    # day 0 of datetime64 is a Thursday
    return np.asarray((days.astype(np.int64) + 3) % 7 >= _SATURDAY)


def _no_spacing(stamps: DateArray, found: str) -> _NoSpacingError:
    seen = ", ".join(date_label(stamp) for stamp in stamps[:3])
    return _NoSpacingError(
        "the number of periods per year cannot be read from the dates, which must be daily, weekly,"
        f" monthly or equally spaced within the day ({found}; the first are {seen})"
    )
