from datetime import date

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finrl_ray.config.data import SplitConfig
from finrl_ray.data.features import add_features
from finrl_ray.data.market_data import market_data_from_long
from finrl_ray.data.windows.split import Split, Window, make_split
from finrl_ray.errors import DataError


@pytest.fixture
def data(bundled_frame):
    return add_features(market_data_from_long(bundled_frame)[0], ["close_60_sma"])


def day(text):
    return date.fromisoformat(text)


def config(*texts):
    days = [day(text) if text else None for text in texts]
    return SplitConfig(train=tuple(days[:2]), validation=tuple(days[2:4]), test=tuple(days[4:]))


def dates_of(window, data):
    return [str(d)[:10] for d in data.dates[window.first_row : window.stop_row]]


def test_by_dates(data):
    split = make_split(
        data,
        config("2005-01-01", "2009-01-01", "2009-01-01", "2011-01-03", "2011-02-01", "2013-01-01"),
    )
    assert dates_of(split.train, data)[0] == "2005-01-03"
    assert dates_of(split.train, data)[-1] == "2008-12-31"
    assert dates_of(split.validation, data)[0] == "2009-01-02"
    assert dates_of(split.validation, data)[-1] == "2010-12-31"  # the end is not included
    assert dates_of(split.test, data)[0] == "2011-02-01"
    assert dates_of(split.test, data)[-1] == "2012-12-31"
    assert split.notes == ()
    assert split.describe()[0] == (
        f"train: {split.train.n_rows:,} rows, 2005-01-01 to 2009-01-01 (not included)"
    )


def test_open_ends(data):
    split = make_split(
        data, config(None, "2009-01-01", "2009-01-01", "2011-01-01", "2011-01-01", None)
    )
    assert split.train.first_row == data.warmup == 60
    assert split.test.stop_row == data.n_periods
    assert "2013-03-02 (not included)" in split.describe()[2]


def test_shares(data):
    split = make_split(data, SplitConfig())
    rows = data.n_periods - 60
    assert split.train.first_row == 60
    assert split.train.n_rows == int(rows * 0.6)
    assert split.validation.first_row == split.train.stop_row
    assert split.test.first_row == split.validation.stop_row == 60 + int(rows * 0.8)
    assert split.test.stop_row == data.n_periods
    assert split.train.end == split.validation.start == data.dates[split.train.stop_row]


def test_first_row_of_each_window_has_complete_features(data):
    for window in make_split(data, SplitConfig()).windows:
        part = window.cut(data)
        assert np.isfinite(part.features).all()
        assert part.warmup == 0
        expected = data.close[window.first_row - 59 : window.first_row + 1, 0].mean()
        assert part.features[0, 0, 0] == pytest.approx(expected, rel=1e-12)


def test_train_start_in_the_warmup(data):
    message = r"train window must not start before 2004-11-12.* got 2004-09-01"
    with pytest.raises(DataError, match=message):
        make_split(
            data, config("2004-09-01", "2009-01-01", "2009-01-01", "2010-01-01", "2010-01-01", None)
        )
    with pytest.raises(DataError, match="must not start before 2004-11-12"):
        make_split(
            data, config("1990-01-01", "2009-01-01", "2009-01-01", "2010-01-01", "2010-01-01", None)
        )


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (("2005-01-01", "2009-01-01", "2009-01-03", "2009-01-04", "2010-01-01", None),
         r"validation window must hold at least 2 rows, but \[2009-01-03, 2009-01-04\) holds 0; "
         "the data covers 2004-08-19 to 2013-03-01"),
        (("2005-01-01", "2009-01-01", "2009-01-02", "2009-01-03", "2010-01-01", None),
         "validation window .* holds 1;"),
        ((None, "2004-09-01", "2009-01-01", "2010-01-01", "2011-01-01", None),
         "train window .* holds 0;.*complete features from 2004-11-12"),
        (("2000-01-01", "2001-01-01", "2009-01-01", "2010-01-01", "2011-01-01", None),
         "train window .* holds 0;"),
    ],
)  # fmt: skip
def test_windows_too_short(data, texts, message):
    with pytest.raises(DataError, match=message):
        make_split(data, config(*texts))


def test_beyond_the_data_is_noted(bundled_frame):
    data, _ = market_data_from_long(bundled_frame)
    split = make_split(
        data,
        config("0001-01-01", "2009-01-01", "2009-01-01", "2010-01-01", "2012-01-01", "9999-12-31"),
    )
    assert split.train.first_row == 0
    assert split.test.stop_row == data.n_periods
    assert split.notes == (
        "The train window starts before the data, whose first date is 2004-08-19.",
        "The test window ends after the data, whose last date is 2013-03-01.",
    )
    assert split.describe()[3:] == list(split.notes)


def test_intraday():
    stamps = pd.date_range("2020-01-01 09:30", periods=60, freq="2h")
    df = pd.DataFrame({"date": stamps, "tic": "A", "close": np.arange(1.0, 61.0)})
    data, _ = market_data_from_long(df)
    split = make_split(
        data, config(None, "2020-01-02", "2020-01-02", "2020-01-04", "2020-01-04", None)
    )
    assert split.train.n_rows == 8  # 09:30 to 23:30
    assert split.validation.n_rows == 24
    assert "2020-01-01 09:30:00 to 2020-01-02 " in split.describe()[0]


def test_no_complete_row(bundled_frame):
    data, _ = market_data_from_long(bundled_frame)
    rows = add_features(data.rows(0, 61), ["close_60_sma"])
    with pytest.raises(DataError, match="window must hold at least 2 rows"):
        make_split(rows, SplitConfig())


def test_overlap_cannot_be_made():
    def window(name, first, stop):
        start, end = np.datetime64("2020-01-01"), np.datetime64("2020-02-01")
        return Window(name=name, start=start, end=end, first_row=first, stop_row=stop)

    with pytest.raises(DataError, match="validation ends at row 9 and test starts at row 8"):
        Split(
            train=window("train", 0, 5),
            validation=window("validation", 5, 9),
            test=window("test", 8, 12),
        )


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(-20, 420), min_size=6, max_size=6), st.integers(0, 100), st.data())
def test_any_split_is_ordered_and_long_enough(offsets, warmup, draw):
    dates = pd.bdate_range("2020-01-01", periods=280)
    df = pd.DataFrame({"date": dates, "tic": "A", "close": 1.0, "x": 1.0})
    df.loc[: warmup - 1, "x"] = np.nan
    data, _ = market_data_from_long(df, features=["x"])
    assert data.warmup == warmup
    days = [(dates[0] + pd.Timedelta(days=offset)).date() for offset in sorted(offsets)]
    if draw.draw(st.booleans()):
        days[0] = None
    if draw.draw(st.booleans()):
        days[5] = None
    try:
        windows = SplitConfig(
            train=tuple(days[:2]), validation=tuple(days[2:4]), test=tuple(days[4:])
        )
        split = make_split(data, windows)
    except ValueError:
        return
    seen = [row for w in split.windows for row in range(w.first_row, w.stop_row)]
    assert seen == sorted(set(seen))
    assert all(warmup <= row < data.n_periods for row in seen)
    for window in split.windows:
        assert window.n_rows >= (0 if window.name == "test" else 2)
        assert (data.dates[window.first_row : window.stop_row] >= window.start).all()
        assert (data.dates[window.first_row : window.stop_row] < window.end).all()


@pytest.mark.parametrize(("first", "rows"), [("2014-01-01", 0), ("2013-03-01", 1)])
def test_a_test_window_without_rows_is_noted(data, first, rows) -> None:
    texts = ("2005-01-01", "2009-01-01", "2009-01-01", "2010-01-01", first, None)
    split = make_split(data, config(*texts))
    assert split.test.n_rows == rows
    assert not split.test.is_usable
    assert split.notes[0].startswith(f"The test window holds {rows} row{'s' * (rows != 1)}:")
