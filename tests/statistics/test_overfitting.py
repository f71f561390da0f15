"""The best of many: published values, exact integrals, and the limits."""

import math
from statistics import NormalDist

import numpy as np
import pytest

from finrl_ray.errors import DataError
from finrl_ray.statistics.overfitting import (
    deflated_sharpe_ratio,
    effective_number_of_trials,
    effective_rank,
    expected_maximum,
    expected_maximum_exact,
    luck_alone,
    maximum_moments,
    mean_correlation,
    minimum_backtest_length,
    sidak_p_value,
)
from finrl_ray.statistics.sharpe_inference import probabilistic_sharpe_ratio

# the example of Bailey and Lopez de Prado (2014)
EXAMPLE = {"sharpe": 2.5 / math.sqrt(250), "n_periods": 1250, "variance": 0.5 / 250}
SKEWED = {"skew": -3.0, "kurtosis": 10.0}


def test_expected_maximum() -> None:
    for n, value in (
        (10, 1.574598301),
        (20, 1.900707951),
        (45, 2.235640178),
        (100, 2.530602893202),
        (1000, 3.255121514),
        (2, 0.519755),
    ):
        assert expected_maximum(n) == pytest.approx(value, abs=6e-7 if n == 2 else 6e-10)


def test_expected_maximum_exact() -> None:
    for n, value in ((2, 0.564190), (10, 1.538753), (45, 2.207720), (100, 2.507594)):
        assert expected_maximum_exact(n) == pytest.approx(value, abs=6e-7)
    assert expected_maximum_exact(1000) == pytest.approx(3.241436, abs=6e-7)
    # of two: 1 / sqrt(pi)
    assert expected_maximum_exact(2) == pytest.approx(1 / math.sqrt(math.pi), abs=1e-12)
    assert expected_maximum_exact(1) == pytest.approx(0.0, abs=1e-12)
    assert maximum_moments(100)[1] == pytest.approx(0.184405, abs=6e-7)
    assert maximum_moments(1)[1] == pytest.approx(1.0, abs=1e-12)


def test_expected_maximum_is_never_negative_and_exact_for_few() -> None:
    assert expected_maximum(1.2) == 0.0
    assert expected_maximum(1) == 0.0
    assert luck_alone(9) == expected_maximum_exact(9)
    assert luck_alone(10) == expected_maximum(10)
    with pytest.raises(DataError, match="n_trials must be >= 1, got 0"):
        expected_maximum(0)


def test_deflated_sharpe_ratio_of_the_papers_example() -> None:
    found = deflated_sharpe_ratio(**EXAMPLE, n_trials=100, **SKEWED)
    assert found.sr0 == pytest.approx(0.113172001865, abs=5e-13)
    assert found.dsr == pytest.approx(0.900396834449, abs=5e-13)
    assert found.label == ""
    for n, value in ((46, 0.950501706876), (47, 0.949404)):
        dsr = deflated_sharpe_ratio(**EXAMPLE, n_trials=n, **SKEWED).dsr
        assert dsr == pytest.approx(value, abs=6e-7 if n == 47 else 6e-13)
    for n, value in ((88, 0.950490816676), (89, 0.949839)):
        dsr = deflated_sharpe_ratio(**EXAMPLE, n_trials=n).dsr
        assert dsr == pytest.approx(value, abs=6e-7 if n == 89 else 6e-13)


def test_luck_of_trials_without_skill() -> None:
    """Reference values of the expected maximum, times the error of one Sharpe ratio."""
    for n, value in ((20, 1.900708), (100, 2.530603)):
        found = deflated_sharpe_ratio(0.1, 400, n_trials=n)
        assert found.sr0 == pytest.approx(value / 20.0, abs=5e-8)
        twice = deflated_sharpe_ratio(0.1, 400, n_trials=n, dependence=4.0)
        assert twice.sr0 == pytest.approx(2.0 * found.sr0)
        error = math.sqrt((1.0 + 0.1**2 / 2.0) / 399.0)
        assert found.dsr == pytest.approx(NormalDist().cdf((0.1 - found.sr0) / error))
        assert twice.dsr == pytest.approx(NormalDist().cdf((0.1 - twice.sr0) / (2.0 * error)))


@pytest.mark.parametrize(("n", "variance"), [(1, 0.002), (100, 0.0)])
def test_without_trials_that_differ_nothing_is_deflated(n, variance) -> None:
    found = deflated_sharpe_ratio(0.1, 500, n_trials=n, variance=variance)
    assert found.sr0 == 0.0
    assert found.dsr == probabilistic_sharpe_ratio(0.1, 500)
    assert found.label == "no deflation possible"


def test_the_calibrated_variant_is_right_five_times_in_a_hundred() -> None:
    """On noise its 95 % is a 5 % test, where the plain one hardly ever passes."""
    rng = np.random.default_rng(1)
    plain, calibrated = 0, 0
    for _ in range(600):
        ratios = rng.standard_normal((252, 100))
        sharpes = ratios.mean(axis=0) / ratios.std(axis=0, ddof=1)
        found = deflated_sharpe_ratio(
            float(sharpes.max()), 252, n_trials=100, variance=float(sharpes.var(ddof=1))
        )
        plain += found.dsr > 0.95
        calibrated += found.dsr_calibrated > 0.95
    assert plain <= 3
    assert 10 <= calibrated <= 60


def test_sidak_and_backtest_length() -> None:
    assert sidak_p_value(0.99, 100) == pytest.approx(0.633968, abs=5e-7)
    assert sidak_p_value(1.0, 100) == 0.0
    assert sidak_p_value(0.0, 100) == 1.0
    assert math.isnan(sidak_p_value(math.nan, 100))
    # small ones are not lost to rounding
    assert sidak_p_value(1 - 1e-12, 10) == pytest.approx(1e-11, rel=1e-3)
    assert minimum_backtest_length(1.0, 45) == pytest.approx(4.998087004443, abs=5e-13)
    assert minimum_backtest_length(1.0, 7) == pytest.approx(1.923143, abs=5e-7)
    assert minimum_backtest_length(1.0, 100) == pytest.approx(6.403951, abs=5e-7)
    assert minimum_backtest_length(0.0, 100) == math.inf
    for n in (7, 45, 1000):
        assert minimum_backtest_length(1.0, n) < 2 * math.log(n)


def test_effective_numbers() -> None:
    assert effective_number_of_trials(0.5, 10_000) == pytest.approx(5000.5)
    assert effective_number_of_trials(0.9, 10_000) == pytest.approx(1000.9)
    matrix = np.array([[1, 0.1, 0.7], [0.1, 1, 0.8], [0.7, 0.8, 1]])
    assert effective_rank(matrix) == pytest.approx(1.840200, abs=5e-7)
    assert effective_rank(np.eye(7)) == pytest.approx(7.0)
    assert effective_rank(np.ones((7, 7))) == pytest.approx(1.0)
    with pytest.raises(DataError, match="must be square"):
        effective_rank(np.ones((2, 3)))


def test_mean_correlation_is_that_of_all_pairs() -> None:
    returns = np.random.default_rng(0).normal(size=(200, 6))
    returns[:, 3] += returns[:, 2]
    matrix = np.corrcoef(returns.T)
    expected = matrix[np.triu_indices(6, 1)].mean()
    assert mean_correlation(returns) == pytest.approx(expected, rel=1e-10)
    still = np.column_stack([returns, np.zeros(200)])
    assert mean_correlation(still) == pytest.approx(expected, rel=1e-10)
    assert mean_correlation(np.zeros((10, 3))) == 0.0


def test_dsr_is_skfolios() -> None:
    measures = pytest.importorskip("skfolio.measures")
    if not hasattr(measures, "expected_max_sharpe_ratio"):
        pytest.skip("this skfolio has no expected maximum Sharpe ratio")
    for n in (2, 10, 100):
        other = measures.expected_max_sharpe_ratio(n, math.sqrt(0.0016))
        assert math.sqrt(0.0016) * expected_maximum(n) == pytest.approx(float(other), rel=1e-10)
