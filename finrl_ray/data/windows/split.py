"""Three windows of rows: train, validation, test; half-open, in order, never overlapping."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from finrl_ray._typing import DateArray
from finrl_ray.config.data import SplitConfig
from finrl_ray.config.data import Window as ConfigWindow
from finrl_ray.data.labels import date_label
from finrl_ray.data.market_data import MarketData
from finrl_ray.errors import DataError
from finrl_ray.support.text import counted

WINDOW_NAMES = ("train", "validation", "test")
_MIN_ROWS = 2
_TRAIN_SHARE, _VALIDATION_STOP_SHARE = 0.6, 0.8


@dataclass(frozen=True, kw_only=True, slots=True)
class Window:
    """A half-open range of dates, `[start, end)`, and the rows `first_row` <= t < `stop_row`."""

    name: str
    start: np.datetime64
    end: np.datetime64
    first_row: int
    stop_row: int

    @property
    def is_usable(self) -> bool:
        """Whether an account could take a step in it."""
        return self.n_rows >= _MIN_ROWS

    @property
    def n_rows(self) -> int:
        """Number of dates in the window."""
        return self.stop_row - self.first_row

    def cut(self, market_data: MarketData) -> MarketData:
        """Return the window's rows as views."""
        return market_data.rows(self.first_row, self.stop_row)


@dataclass(frozen=True, kw_only=True, slots=True)
class Split:
    """The windows of an experiment.

    Features were computed on the whole history before the windows were cut, so the first row of
    each has complete indicators (from rows that lie before it, never after).

    Raises
    ------
    DataError
        If windows overlap or are out of order.
    """

    train: Window
    validation: Window
    test: Window
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for earlier, later in pairwise(self.windows):
            if earlier.stop_row > later.first_row:
                raise DataError(
                    f"windows must not overlap, but {earlier.name} ends at row {earlier.stop_row} "
                    f"and {later.name} starts at row {later.first_row}"
                )

    @property
    def windows(self) -> tuple[Window, Window, Window]:
        """The three windows in order."""
        return (self.train, self.validation, self.test)

    def describe(self) -> list[str]:
        """Return the windows as sentences for a person."""
        lines = [
            f"{window.name}: {counted(window.n_rows, 'row')}, {date_label(window.start)} to "
            f"{date_label(window.end)} (not included)"
            for window in self.windows
        ]
        return [*lines, *self.notes]


def make_split(market_data: MarketData, config: SplitConfig) -> Split:
    """Return the windows of a configuration as rows of the data.

    A null train start means row `warmup`, the first with complete features; a null test end the
    end of the data. Without windows, the rows from `warmup` on are split 60/20/20.

    Raises
    ------
    DataError
        If train or validation holds fewer than 2 rows, or train starts before the features are
        complete. A test window without rows is noted.
    """
    if market_data.warmup >= market_data.n_periods:
        raise DataError(
            f"no row has complete features: the warm-up is {market_data.warmup} rows and the data "
            f"has {market_data.n_periods}; use more data or shorter indicators"
        )
    if config.train is None or config.validation is None or config.test is None:
        windows = _by_shares(market_data)
        notes: tuple[str, ...] = ()
    else:
        given = (config.train, config.validation, config.test)
        windows = tuple(
            _by_dates(market_data, name, window)
            for name, window in zip(WINDOW_NAMES, given, strict=True)
        )
        notes = _boundary_notes(market_data, windows)
    _check_windows(market_data, windows)
    train, validation, test = windows
    return Split(train=train, validation=validation, test=test, notes=notes)


def _by_shares(market_data: MarketData) -> tuple[Window, ...]:
    first = market_data.warmup
    n_rows = market_data.n_periods - first
    bounds = [
        first,
        first + int(n_rows * _TRAIN_SHARE),
        first + int(n_rows * _VALIDATION_STOP_SHARE),
        market_data.n_periods,
    ]
    edges = [_edge(market_data.dates, row) for row in bounds]
    return tuple(
        Window(
            name=name,
            start=edges[i],
            end=edges[i + 1],
            first_row=bounds[i],
            stop_row=bounds[i + 1],
        )
        for i, name in enumerate(WINDOW_NAMES)
    )


def _edge(dates: DateArray, row: int) -> np.datetime64:
    """Return the date of a row, or the day after the last date."""
    if row < len(dates):
        edge: np.datetime64 = dates[row]
        return edge
    day: np.datetime64 = dates[-1].astype("datetime64[D]") + np.timedelta64(1, "D")
    return day


def _by_dates(market_data: MarketData, name: str, window: ConfigWindow) -> Window:
    dates = market_data.dates
    # in seconds, because a date such as 9999-12-31 does not fit into nanoseconds
    seconds = dates.astype("datetime64[s]")
    first_row, stop_row = market_data.warmup, market_data.n_periods
    start, end = _edge(dates, first_row), _edge(dates, stop_row)
    if window[0] is not None:
        start = np.datetime64(window[0], "s")
        first_row = int(np.searchsorted(seconds, start))
    if window[1] is not None:
        end = np.datetime64(window[1], "s")
        stop_row = int(np.searchsorted(seconds, end))
    stop_row = max(first_row, stop_row) if name == "test" else stop_row
    return Window(name=name, start=start, end=end, first_row=first_row, stop_row=stop_row)


def _check_windows(market_data: MarketData, windows: tuple[Window, ...]) -> None:
    dates, warmup = market_data.dates, market_data.warmup
    for window in windows:
        # a search reads no row of the test window, so it can do without one
        if window.n_rows < _MIN_ROWS and window.name != "test":
            raise DataError(
                f"the {window.name} window must hold at least {_MIN_ROWS} rows, but "
                f"[{date_label(window.start)}, {date_label(window.end)}) holds "
                f"{max(0, window.n_rows)}; the data covers {date_label(dates[0])} to "
                f"{date_label(dates[-1])}, with complete features from {date_label(dates[warmup])}"
            )
        if window.first_row < warmup and window.n_rows > 0:
            raise DataError(
                f"the {window.name} window must not start before {date_label(dates[warmup])}, the "
                f"first date with complete features (the first {warmup} rows are warm-up), got "
                f"{date_label(window.start)}"
            )


def _boundary_notes(market_data: MarketData, windows: tuple[Window, ...]) -> tuple[str, ...]:
    first, last = market_data.dates[0], market_data.dates[-1]
    after = _edge(market_data.dates, market_data.n_periods)
    notes = []
    test = windows[-1]
    if test.n_rows < _MIN_ROWS:
        notes.append(
            f"The test window holds {counted(test.n_rows, 'row')}: there is nothing that a "
            "backtest could "
            "open."
        )
    for window in windows:
        if window.start < first:
            notes.append(
                f"The {window.name} window starts before the data, whose first date is "
                f"{date_label(first)}."
            )
        if window.end > after and window.n_rows >= _MIN_ROWS:
            notes.append(
                f"The {window.name} window ends after the data, whose last date is "
                f"{date_label(last)}."
            )
    return tuple(notes)
