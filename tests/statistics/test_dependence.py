"""How much dependence inflates the variance of a mean: worked numbers, known processes, edges."""

import numpy as np
import pytest

from finrl_ray.errors import DataError
from finrl_ray.statistics.dependence import dependence_factor, lags_considered


def test_lags() -> None:
    assert [lags_considered(t) for t in (1, 2, 8, 100, 252, 504, 1260)] == [0, 1, 2, 4, 4, 5, 7]


def test_a_trend_by_hand() -> None:
    # 1..10: sums of products at lags 0, 1, 2 are 82.5, 57.75 and 34; L = 2, so weights 2/3 and 1/3
    expected = (82.5 + 2.0 * (2.0 / 3.0 * 57.75 + 1.0 / 3.0 * 34.0)) / 82.5
    assert dependence_factor(np.arange(1.0, 11.0)) == pytest.approx(expected)
    assert expected == pytest.approx(2.2080808, abs=1e-7)


def test_values_that_make_up_for_each_other_count_as_independent() -> None:
    # sums of products at lags 0, 1, 2: 8, 1, -6: long-run variance 5.33
    assert dependence_factor(np.array([1.0, 1, -1, -1, 1, 1, -1, -1])) == 1.0


def test_an_autoregressive_series() -> None:
    """With coefficient .5 the long-run variance is 3 times the variance; few lags see less."""
    rng = np.random.default_rng(0)
    values = rng.standard_normal(200_000)
    for day in range(1, len(values)):
        values[day] += 0.5 * values[day - 1]
    assert 2.8 < dependence_factor(values) < 3.0
    assert dependence_factor(rng.standard_normal(200_000)) < 1.05


def test_scale_and_shift_do_not_matter() -> None:
    values = np.cumsum(np.random.default_rng(1).standard_normal(300))
    factor = dependence_factor(values)
    assert factor > 2.0
    assert dependence_factor(1e-4 * values + 3.0) == pytest.approx(factor, rel=1e-9)


@pytest.mark.parametrize("values", [np.zeros(10), np.full(3, 0.5), np.ones(1)])
def test_values_that_do_not_vary(values) -> None:
    assert dependence_factor(values) == 1.0


@pytest.mark.parametrize("values", [[], [[1.0]], [1.0, np.nan], [1.0, np.inf]])
def test_what_is_no_series_is_refused(values) -> None:
    with pytest.raises(DataError, match="1-D, finite and not empty"):
        dependence_factor(np.array(values))
