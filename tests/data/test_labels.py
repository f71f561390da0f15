"""Dates in messages: the day alone where there is no time of day."""

import numpy as np
import pandas as pd
import pytest

from finrl_ray.data.labels import date_label


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.datetime64("2020-01-02", "ns"), "2020-01-02"),
        (np.datetime64("2020-01-02T00:00", "m"), "2020-01-02"),
        (np.datetime64("2020-01-02T09:30", "m"), "2020-01-02 09:30:00"),
        (np.datetime64("2020-01-02T09:30:00.5", "ns"), "2020-01-02 09:30:00.500000"),
        (np.datetime64("2020-01-02T09:30:00.000000007", "ns"), "2020-01-02 09:30:00.000000007"),
        (np.datetime64("1969-12-31T23:59:59.999999", "us"), "1969-12-31 23:59:59.999999"),
        (np.datetime64("9999-12-31", "s"), "9999-12-31"),
    ],
)
def test_a_date_is_named_as_pandas_names_it(value: np.datetime64, expected: str) -> None:
    assert date_label(value) == expected
    stamp = pd.Timestamp(value)
    assert expected == (f"{stamp:%Y-%m-%d}" if stamp == stamp.normalize() else str(stamp))


def test_a_missing_date_is_named() -> None:
    assert date_label(np.datetime64("NaT", "ns")) == "NaT"
