"""Up to which date a deployed agent is trained: exclusive, and never into a sealed test window."""

from datetime import date

import numpy as np
import pytest
from made_search import made_search

from finrl_ray.errors import DataError
from finrl_ray.search.folder.folder import SearchFolder
from finrl_ray.search.folder.names import OPENINGS_FILE
from finrl_ray.workflows.deployment.rows import MIN_ROWS, trained_rows


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> SearchFolder:
    return made_search(tmp_path_factory.mktemp("made"), n_trials=3)


def test_rows_end_before_the_test_window_while_it_is_sealed(folder) -> None:
    rows = trained_rows(folder)
    assert (rows.first, rows.until) == ("2020-01-01", "2021-02-01")
    assert folder.market_data.dates[rows.stop_row - 1] < np.datetime64("2021-02-01")
    assert rows.stop_row == folder.split.test.first_row
    assert rows.notes == ()


def test_an_opened_test_window_is_trained_on(tmp_path) -> None:
    folder = made_search(tmp_path, n_trials=3)
    (folder.path / OPENINGS_FILE).write_text("{}\n")
    rows = trained_rows(folder)
    assert rows.stop_row == folder.market_data.n_periods
    # 400 weekdays from 2020-01-01, and the day after the last one
    assert rows.until == "2021-07-14"


@pytest.mark.parametrize("until", ["2020-10-05", date(2020, 10, 5)])
def test_the_date_itself_is_left_out(folder, until) -> None:
    rows = trained_rows(folder, until)
    dates = rows.cut(folder.market_data).dates
    assert dates[-1] == np.datetime64("2020-10-02")  # the Friday before that Monday
    assert rows.until == "2020-10-05"
    assert rows.n_rows == len(dates)


def test_what_is_unusual_is_said(folder) -> None:
    (note,) = trained_rows(folder, "2020-05-01").notes
    assert "each trial of the search was on 130 rows or more" in note
    (note,) = trained_rows(folder, "2021-03-01").notes
    assert "the sealed test window begins at 2021-02-01" in note
    assert trained_rows(folder, "2021-07-14").stop_row == folder.market_data.n_periods


@pytest.mark.parametrize(
    ("until", "message"),
    [
        ("2019-12-31", "until must be after 2020-01-01 and at most 2021-07-14"),
        ("2020-01-01", "until must be after 2020-01-01"),
        ("2021-07-15", "until must be after 2020-01-01 and at most 2021-07-14"),
        ("tomorrow", "until must be a date written YYYY-MM-DD, such as 2020-01-31, got 'tomorrow'"),
        ("2020-13-01", "until must be a date written YYYY-MM-DD"),
        ("2020-02-03", f"leaves 23 rows to train on.* at least {MIN_ROWS} are needed"),
    ],
)
def test_other_dates_are_refused(folder, until, message) -> None:
    with pytest.raises(DataError, match=message):
        trained_rows(folder, until)
