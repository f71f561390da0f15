"""Folds: which rows a training reads and which rows judge it, purged and embargoed.

A fold's judged rows may come in several segments, and so may the rows that it trains on. Between
them rows are left out: `purge` on either side, because the reward of a row reaches so many rows
ahead, and `embargo` more after judged rows, because the features of a row look so many rows back.

References
----------
.. [1] Lopez de Prado (2018), "Advances in Financial Machine Learning", chapters 7 and 12: purging,
   embargo, combinatorial purged cross-validation.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeAlias

import numpy as np

from finrl_ray.config.experiment import ExperimentConfig
from finrl_ray.config.validation import CPCV, WalkForward
from finrl_ray.data.labels import date_label
from finrl_ray.data.market_data import MarketData
from finrl_ray.data.windows.cpcv_paths import disjoint_matchings
from finrl_ray.data.windows.split import Split
from finrl_ray.errors import ConfigError
from finrl_ray.support.text import counted

Segment: TypeAlias = tuple[int, int]
"""First row and row after the last."""

MIN_JUDGED_ROWS = 4
_MIN_EPISODE_ROWS = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class Fold:
    """One training: rows to train on and rows to judge on, as segments in order."""

    train: tuple[Segment, ...]
    judged: tuple[Segment, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class ValidationPlan:
    """What every trial of a search runs, in this order.

    Rows count from `first_row` of the data that the search was given; the test window is in none.

    Parameters
    ----------
    first_row, stop_row : the rows of train and validation, which a worker is sent
    paths : folds by path; the rows that the folds of one path judge are each judged once
    purge, embargo : rows left out
    """

    first_row: int
    stop_row: int
    paths: tuple[tuple[Fold, ...], ...]
    purge: int
    embargo: int

    @property
    def folds(self) -> tuple[Fold, ...]:
        """The folds of all paths in order."""
        return tuple(fold for path in self.paths for fold in path)

    def judged_segments(self) -> tuple[Segment, ...]:
        """Return the segments of the first path, in order of rows."""
        return tuple(sorted(segment for fold in self.paths[0] for segment in fold.judged))

    def development(self, market_data: MarketData) -> MarketData:
        """Return the rows of train and validation, as views."""
        return market_data.rows(self.first_row, self.stop_row)


def plan_validation(
    market_data: MarketData, split: Split, config: ExperimentConfig
) -> ValidationPlan:
    """Return the folds of a search whose trials train more than once.

    Raises
    ------
    ConfigError
        If a window or a group has too few rows, or leaves nothing to train on.
    """
    settings = config.validation
    first, stop = split.train.first_row, split.validation.stop_row
    ahead = 2 if config.env.fill == "next_open" else 1
    purge = embargo = 0
    if isinstance(settings, CPCV):
        purge = ahead if settings.purge is None else settings.purge
        embargo = market_data.warmup if settings.embargo is None else settings.embargo
        paths = cpcv_paths(stop - first, settings.n_groups, settings.n_test_groups, purge, embargo)
    elif isinstance(settings, WalkForward):
        purge = ahead if settings.purge is None else settings.purge
        begin = split.validation.first_row - first
        if settings.start is not None:
            begin = _row_of(market_data, settings.start, split) - first
        rolling = settings.train_window == "rolling"
        folds = walk_forward_folds(begin, stop - first, settings.n_windows, purge, rolling=rolling)
        paths = (folds,)
    else:
        train = (0, split.train.stop_row - first)
        judged = (split.validation.first_row - first, stop - first)
        paths = ((Fold(train=(train,), judged=(judged,)),),)
    return ValidationPlan(
        first_row=first,
        stop_row=stop,
        paths=paths * settings.seeds,
        purge=purge,
        embargo=embargo,
    )


def walk_forward_folds(
    begin: int, stop: int, n_windows: int, purge: int, *, rolling: bool
) -> tuple[Fold, ...]:
    """Return one fold per window of the rows `begin` <= t < `stop`, trained on rows before it.

    Parameters
    ----------
    begin, stop : rows that are judged
    n_windows : equal windows; the first ones are a row longer where it does not come out even
    purge : rows left out between training and window
    rolling : train on as many rows as before the first window, instead of on all

    Raises
    ------
    ConfigError
        If a window is shorter than 4 rows or the first leaves no 2 rows to train on.
    """
    edges = _edges(begin, stop, n_windows, "validation.n_windows")
    length = begin - purge
    if length < _MIN_EPISODE_ROWS:
        raise ConfigError(
            f"validation: the first window must leave at least {_MIN_EPISODE_ROWS} rows to train "
            f"on, but only {max(0, length)} come before it (purge {purge}); begin later"
        )
    folds = []
    for start, end in pairwise(edges):
        last = start - purge
        folds.append(Fold(train=((last - length if rolling else 0, last),), judged=((start, end),)))
    return tuple(folds)


def cpcv_paths(
    n_rows: int, n_groups: int, n_test_groups: int, purge: int, embargo: int
) -> tuple[tuple[Fold, ...], ...]:
    """Return the folds of combinatorial purged cross-validation, sorted into whole paths.

    Parameters
    ----------
    n_rows : rows 0..n_rows-1 are cut into groups
    n_groups, n_test_groups : groups, and how many of them each training is judged on
    purge, embargo : rows left out: `purge` before judged rows, `purge` + `embargo` after them

    Returns
    -------
    tuple of paths
        C(n_groups - 1, n_test_groups - 1) of n_groups / n_test_groups folds, which judge every row
        once.

    Raises
    ------
    ConfigError
        If a group is shorter than 4 rows, or a fold has nothing to train on.
    """
    edges = _edges(0, n_rows, n_groups, "validation.n_groups")
    paths = []
    for matching in disjoint_matchings(n_groups, n_test_groups):
        folds = []
        for groups in matching:
            # groups that touch stay apart, so that every path earns its returns on the same days
            judged = tuple((edges[g], edges[g + 1]) for g in groups)
            train = purged(n_rows, judged, purge, embargo)
            if not train:
                raise ConfigError(
                    f"validation: with purge {purge} and embargo {embargo} nothing is left of "
                    f"{counted(n_rows, 'row')} to train on when groups {list(groups)} of "
                    f"{n_groups} are "
                    "judged; use fewer groups or a shorter embargo"
                )
            folds.append(Fold(train=train, judged=judged))
        paths.append(tuple(folds))
    return tuple(paths)


def purged(n_rows: int, judged: Sequence[Segment], purge: int, embargo: int) -> tuple[Segment, ...]:
    """Return the segments of 0..n_rows-1 that remain for training beside judged ones.

    Segments of fewer than 2 rows, in which no episode can take a step, are left out.
    """
    train, begin = [], 0
    for start, stop in judged:
        train.append((begin, start - purge))
        begin = stop + purge + embargo
    train.append((begin, n_rows))
    return tuple((a, b) for a, b in train if b - a >= _MIN_EPISODE_ROWS)


def _edges(begin: int, stop: int, n_parts: int, name: str) -> list[int]:
    if stop - begin < n_parts * MIN_JUDGED_ROWS:
        raise ConfigError(
            f"{name} must leave at least {MIN_JUDGED_ROWS} rows to each, got {n_parts} for "
            f"{counted(max(0, stop - begin), 'row')}"
        )
    sizes = [(stop - begin) // n_parts + (i < (stop - begin) % n_parts) for i in range(n_parts)]
    return [begin, *(begin + int(total) for total in np.cumsum(sizes))]


def _row_of(market_data: MarketData, day: object, split: Split) -> int:
    row = int(np.searchsorted(market_data.dates, np.datetime64(str(day), "ns")))
    if not split.train.first_row < row < split.validation.stop_row:
        dates = market_data.dates
        raise ConfigError(
            f"validation.start must lie between {date_label(dates[split.train.first_row])} and "
            f"{date_label(dates[split.validation.stop_row - 1])}, the rows of train and "
            f"validation, got {day}"
        )
    return row
