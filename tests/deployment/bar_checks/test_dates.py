"""`--date`: one reading of it, for a day and for an instant."""

import numpy as np
import pandas as pd
import pytest

from finrl_ray.deployment.bar_checks.dates import is_named, is_until, named_instant
from finrl_ray.errors import DataError

HOURS = np.arange("2020-01-30T22", "2020-02-01T02", dtype="datetime64[h]").astype("datetime64[ns]")


def test_a_day_means_all_its_bars() -> None:
    day = named_instant("2020-01-31")
    assert is_named(HOURS, day).sum() == 24
    assert HOURS[is_until(HOURS, day)][-1] == np.datetime64("2020-01-31T23")


def test_a_time_means_one_bar() -> None:
    instant = named_instant("2020-01-31 10:00")
    assert HOURS[is_named(HOURS, instant)].tolist() == HOURS[12:13].tolist()
    assert HOURS[is_until(HOURS, instant)][-1] == np.datetime64("2020-01-31T10")


def test_a_zone_is_left_out() -> None:
    zoned = pd.Timestamp("2020-01-31 10:00", tz="America/New_York")
    assert named_instant(zoned) == named_instant(str(zoned)) == np.datetime64("2020-01-31T10")


@pytest.mark.parametrize("date", ["foo", "", "NaT", "9999-01-01", float("nan")])
def test_what_is_no_date_is_refused(date) -> None:
    with pytest.raises(DataError, match="--date must be a date such as 2020-01-31, got "):
        named_instant(date)
