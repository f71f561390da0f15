"""Account values, returns, and rates per year."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from finrl_ray.errors import DataError
from finrl_ray.metrics.returns import (
    account_values,
    annualized_deviation,
    annualized_growth,
    annualized_mean,
    log_returns,
    simple_returns,
)


def test_simple_returns_by_hand() -> None:
    np.testing.assert_allclose(simple_returns(np.array([100.0, 110.0, 99.0])), [0.1, -0.1])


def test_log_returns_by_hand() -> None:
    expected = [math.log(1.1), math.log(0.9)]
    np.testing.assert_allclose(log_returns(np.array([100.0, 110.0, 99.0])), expected)


def test_account_values_by_hand() -> None:
    np.testing.assert_allclose(account_values(np.array([0.5, -0.5]), 200.0), [200.0, 300.0, 150.0])


@given(st.lists(st.floats(1e5, 1e6), min_size=1, max_size=30))
def test_account_values_undo_simple_returns(values: list[float]) -> None:
    curve = np.array(values)
    back = account_values(simple_returns(curve), values[0])
    np.testing.assert_allclose(back, curve, rtol=1e-11)


def test_an_account_may_end_at_zero() -> None:
    curve = np.array([100.0, 0.0])
    np.testing.assert_array_equal(simple_returns(curve), [-1.0])
    np.testing.assert_array_equal(log_returns(curve), [-np.inf])


def test_annualization_by_hand() -> None:
    assert annualized_mean(0.001, 252) == pytest.approx(0.252)
    assert annualized_deviation(0.01, 256) == pytest.approx(0.16)
    assert annualized_growth(1.21, 504, 252) == pytest.approx(0.1)
    assert math.isnan(annualized_growth(1.0, 0, 252))
    assert annualized_growth(1e10, 1, 252) == math.inf


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([1.0, np.nan], "no NaN, got 1 of 2, the first at entry 1"),
        ([], "at least 1 entry"),
        ([1.0, 0.0, 1.0], r"must be positive \(it may end at 0\), got 0.0 at entry 1 of 3"),
        ([1.0, -2.0], "got -2.0 at entry 1"),
        ([[1.0, 2.0]], r"1-D, got shape \(1, 2\)"),
    ],
)
def test_bad_account_values_are_refused(values: list[float], message: str) -> None:
    with pytest.raises(DataError, match=message):
        simple_returns(np.array(values))


def test_returns_below_minus_one_are_refused() -> None:
    with pytest.raises(DataError, match=r"must be >= -1, got -1.5 in period 1"):
        account_values(np.array([0.1, -1.5]))
