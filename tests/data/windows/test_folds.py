"""Folds: no row that is trained on shares anything with a row that is judged."""

import dataclasses
from datetime import date
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finrl_ray.config.data import SplitConfig
from finrl_ray.config.env import EnvConfig
from finrl_ray.config.experiment import ExperimentConfig
from finrl_ray.config.load import parse_config
from finrl_ray.data.market_data import MarketData
from finrl_ray.data.sources.bundled import read_bundled
from finrl_ray.data.windows.folds import (
    Fold,
    Segment,
    cpcv_paths,
    plan_validation,
    purged,
    walk_forward_folds,
)
from finrl_ray.data.windows.split import make_split
from finrl_ray.errors import ConfigError

GROUPS = [(4, 2), (6, 2), (6, 3), (9, 3), (8, 2), (5, 1)]


def rows(segments: "tuple[Segment, ...]") -> list[int]:
    return [row for first, stop in segments for row in range(first, stop)]


def overlaps(fold: Fold, ahead: int, back: int) -> list[tuple[int, int]]:
    """Return pairs of trained and judged rows that share something, by looking at every pair.

    A row's reward uses the rows up to `ahead` after it, its features those up to `back` before it.
    A judged row's features may reach into rows that are trained on: they lie in its past.
    """
    judged = set(rows(fold.judged))
    found = []
    for row in rows(fold.train):
        used = set(range(row, row + ahead + 1))
        later = {other for other in judged if other < row}
        if later:  # trained after it was judged: what is looked back at must not be judged either
            used |= set(range(row - back, row))
        known = {other + k for other in later for k in range(ahead + 1)}
        found += [(row, other) for other in used & (judged | known)]
    return found


@settings(max_examples=60, deadline=None)
@given(
    n_rows=st.integers(60, 260),
    groups=st.sampled_from(GROUPS),
    purge=st.integers(0, 6),
    embargo=st.integers(0, 25),
)
def test_no_trained_row_shares_anything_with_a_judged_row(
    n_rows: int, groups: tuple[int, int], purge: int, embargo: int
) -> None:
    try:
        paths = cpcv_paths(n_rows, *groups, purge, embargo)
    except ConfigError as error:
        assert "nothing is left" in str(error)  # noqa: PT017  # refused for the one good reason
        return
    for path in paths:
        assert sorted(row for fold in path for row in rows(fold.judged)) == list(range(n_rows))
        for fold in path:
            # rewards may reach as far ahead as the purge, features look as far back as the embargo
            assert overlaps(fold, purge, embargo) == []
            assert all(b - a >= 2 for a, b in fold.train)


def test_the_check_of_overlaps_sees_one() -> None:
    assert overlaps(Fold(train=((0, 10),), judged=((10, 20),)), 1, 0) == [(9, 10)]
    assert overlaps(Fold(train=((20, 30),), judged=((10, 20),)), 0, 1) == [(20, 19)]


def test_nothing_more_is_left_out_than_must_be() -> None:
    # judged 40..59 of 100: 3 rows before, 3 + 10 after
    assert purged(100, ((40, 60),), 3, 10) == ((0, 37), (73, 100))
    assert purged(100, ((0, 20), (80, 100)), 3, 10) == ((33, 77),)
    assert purged(100, ((0, 40), (41, 100)), 0, 0) == ()


def test_purge_and_embargo_are_those_of_skfolio() -> None:
    selection = pytest.importorskip("skfolio.model_selection")
    other = selection.CombinatorialPurgedCV(
        n_folds=6, n_test_folds=2, purged_size=4, embargo_size=9
    )
    data = np.arange(120.0)[:, None]
    ours = {
        tuple(rows(fold.judged)): rows(fold.train)
        for path in cpcv_paths(120, 6, 2, 4, 9)
        for fold in path
    }
    assert len(ours) == 15
    for train, tests in other.split(data):
        judged = tuple(sorted(int(row) for part in tests for row in part))
        assert ours[judged] == sorted(int(row) for row in train)


@settings(max_examples=60, deadline=None)
@given(
    begin=st.integers(10, 100),
    length=st.integers(20, 200),
    n_windows=st.integers(1, 5),
    purge=st.integers(0, 6),
    rolling=st.booleans(),
)
def test_walk_forward_trains_on_the_past_alone(begin, length, n_windows, purge, rolling) -> None:
    folds = walk_forward_folds(begin, begin + length, n_windows, purge, rolling=rolling)
    judged = [fold.judged[0] for fold in folds]
    assert (judged[0][0], judged[-1][1]) == (begin, begin + length)
    assert all(one[1] == other[0] for one, other in pairwise(judged))
    sizes = [stop - first for first, stop in judged]
    assert max(sizes) - min(sizes) <= 1
    for fold in folds:
        ((first, stop),) = fold.train
        assert stop == fold.judged[0][0] - purge
        assert stop - first == begin - purge if rolling else first == 0


def test_what_leaves_nothing_to_train_or_judge_on_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"at least 2 rows to train on, but only 0 come before"):
        walk_forward_folds(5, 60, 2, 5, rolling=False)
    with pytest.raises(ConfigError, match=r"validation\.n_windows must leave at least 4 rows"):
        walk_forward_folds(50, 60, 3, 1, rolling=False)
    with pytest.raises(ConfigError, match=r"validation\.n_groups must leave at least 4 rows"):
        cpcv_paths(20, 6, 2, 1, 0)
    with pytest.raises(ConfigError, match="nothing is left of 60 rows to train on when groups"):
        cpcv_paths(60, 4, 2, 1, 60)


@pytest.fixture(scope="module")
def market_data() -> MarketData:
    return MarketData.from_finrl(read_bundled(), features=["volume"]).rows(0, 600)


def config(fill: str = "close", **validation: object) -> ExperimentConfig:
    return ExperimentConfig(
        split=SplitConfig(
            train=(None, date(2005, 10, 1)),
            validation=(date(2005, 10, 1), date(2006, 6, 1)),
            test=(date(2006, 6, 1), None),
        ),
        env=EnvConfig(fill=fill),  # type: ignore[arg-type]  # checked where a file is read
        validation=parse_config({"validation": validation}).validation,
    )


def test_no_plan_reads_the_test_window(market_data) -> None:
    for options in (
        {"scheme": "cpcv"},
        {"scheme": "walk_forward"},
        {"scheme": "walk_forward", "start": date(2005, 3, 1), "train_window": "rolling"},
        {"seeds": 3},
    ):
        settings_ = config(**options)
        split = make_split(market_data, settings_.split)
        plan = plan_validation(market_data, split, settings_)
        development = plan.development(market_data)
        assert development.dates[-1] < np.datetime64("2006-06-01")
        assert len(plan.folds) == settings_.validation.n_trainings
        for fold in plan.folds:
            assert max(rows(fold.train + fold.judged)) < development.n_periods
            development.take(fold.train)


def test_one_window_with_seeds_is_the_split(market_data) -> None:
    settings_ = config(seeds=2)
    split = make_split(market_data, settings_.split)
    plan = plan_validation(market_data, split, settings_)
    first, second = plan.paths
    assert first == second
    (fold,) = first
    begin = split.validation.first_row - split.train.first_row
    assert fold.train == ((0, split.train.n_rows),)
    assert fold.judged == ((begin, begin + split.validation.n_rows),)


def test_purge_follows_the_fill_and_embargo_the_look_back(market_data) -> None:
    data = dataclasses.replace(market_data, warmup=30)
    for fill, purge in (("close", 1), ("next_open", 2)):
        settings_ = config(fill, scheme="cpcv", n_groups=4)
        plan = plan_validation(data, make_split(data, settings_.split), settings_)
        assert (plan.purge, plan.embargo) == (purge, 30)


def test_a_start_outside_the_rows_is_refused(market_data) -> None:
    settings_ = config(scheme="walk_forward", start=date(2010, 1, 1))
    split = make_split(market_data, settings_.split)
    with pytest.raises(ConfigError, match=r"validation\.start must lie between 2004-08-19 and"):
        plan_validation(market_data, split, settings_)
