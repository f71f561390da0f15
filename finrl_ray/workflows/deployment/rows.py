"""Which rows a deployed agent is trained on: from the search's first one up to a date."""

from dataclasses import dataclass
from datetime import date

import numpy as np

from finrl_ray.data.labels import date_label
from finrl_ray.data.market_data import MarketData
from finrl_ray.errors import DataError
from finrl_ray.search.folder.folder import SearchFolder
from finrl_ray.search.folder.test_openings import count_openings
from finrl_ray.support.text import counted

MIN_ROWS = 63
"""So many rows, a quarter of a year of days, an agent is trained on at least, or as many as the
train window of its search has."""


@dataclass(frozen=True, kw_only=True)
class TrainedRows:
    """The rows `first_row` <= t < `stop_row` of a search's data, which are `[first, until)`.

    Parameters
    ----------
    first_row, stop_row : rows
    first, until : date of the first row, and the first date that is not trained on, ISO
    notes : what a reader should know of the choice, in sentences
    """

    first_row: int
    stop_row: int
    first: str
    until: str
    notes: tuple[str, ...] = ()

    @property
    def n_rows(self) -> int:
        """Rows that are trained on."""
        return self.stop_row - self.first_row

    def cut(self, market_data: MarketData) -> MarketData:
        """Return the rows that are trained on, as views."""
        return market_data.rows(self.first_row, self.stop_row)


def trained_rows(folder: SearchFolder, until: str | date | None = None) -> TrainedRows:
    """Return the rows that an agent of a search may be trained on before it is deployed.

    Without a date these are all before the test window while it is sealed, and the test window too
    once `backtest` has opened it: an agent of tomorrow has no reason to leave out what has been
    looked at. No row on or after `until` is read.

    Parameters
    ----------
    folder : of the search
    until : first date that is not trained on, as `YYYY-MM-DD`: like the end of every window of
        `split` it is exclusive

    Raises
    ------
    DataError
        If it is no date, lies outside the data, or leaves too few rows.
    """
    market, split = folder.market_data, folder.split
    first, sealed = split.train.first_row, split.test.first_row
    if until is None:
        stop = split.test.stop_row if count_openings(folder.path) else sealed
        stop = min(max(stop, first), market.n_periods)
        return _described(market, first, stop, _edge(market, stop), ())
    day = _day(until)
    last = _edge(market, market.n_periods)
    if not market.dates[0] < day <= last:
        raise DataError(
            f"until must be after {date_label(market.dates[0])} and at most {date_label(last)}, "
            f"the day after the last date of the data of {folder.path}, got {date_label(day)}; "
            "rows of later dates are given to the deployed agent as prices, or to a new search"
        )
    stop = int(np.searchsorted(market.dates.astype("datetime64[s]"), day.astype("datetime64[s]")))
    enough = min(MIN_ROWS, split.train.n_rows)
    if stop - first < enough:
        begins = date_label(market.dates[first])
        raise DataError(
            f"until {date_label(day)} leaves {counted(max(0, stop - first), 'row')} to train on, "
            f"as training begins at {begins}; at least {enough} are needed: give "
            f"{date_label(_edge(market, min(first + enough, market.n_periods)))} or later"
        )
    notes = []
    if stop - first < split.train.n_rows:
        notes.append(
            f"it is trained on {counted(stop - first, 'row')}, and each trial of the search was on "
            f"{counted(split.train.n_rows, 'row')} or more"
        )
    if stop > sealed and not count_openings(folder.path):
        notes.append(
            f"the sealed test window begins at {date_label(split.test.start)}: what this agent "
            "does there is no test of it, as it has learned from it. `finrl-ray backtest` judges "
            "the search's own model, which has not"
        )
    return _described(market, first, stop, day, tuple(notes))


def first_row_of(folder: SearchFolder, start: str | date) -> int:
    """Return the first row of a search's data on or after a date.

    Parameters
    ----------
    folder : of the search
    start : as `YYYY-MM-DD`

    Raises
    ------
    DataError
        If it is no date, or lies outside the data.
    """
    dates, day = folder.market_data.dates, _day(start, "start")
    if not dates[0] <= day <= dates[-1]:
        raise DataError(
            f"start must be within {date_label(dates[0])} to {date_label(dates[-1])}, the dates of "
            f"the data of {folder.path}, got {date_label(day)}"
        )
    return int(np.searchsorted(dates.astype("datetime64[s]"), day.astype("datetime64[s]")))


def _described(
    market: MarketData, first: int, stop: int, until: np.datetime64, notes: tuple[str, ...]
) -> TrainedRows:
    return TrainedRows(
        first_row=first,
        stop_row=stop,
        first=date_label(market.dates[first]),
        until=date_label(until),
        notes=notes,
    )


def _edge(market: MarketData, row: int) -> np.datetime64:
    """Return the date of a row, or the day after the last date."""
    if row < market.n_periods:
        edge: np.datetime64 = market.dates[row]
        return edge
    day: np.datetime64 = market.dates[-1].astype("datetime64[D]") + np.timedelta64(1, "D")
    return day


def _day(until: str | date, name: str = "until") -> np.datetime64:
    try:
        day = until if type(until) is date else date.fromisoformat(str(until))
    except ValueError as error:
        raise DataError(
            f"{name} must be a date written YYYY-MM-DD, such as 2020-01-31, got {str(until)!r}"
        ) from error
    return np.datetime64(day, "D")
