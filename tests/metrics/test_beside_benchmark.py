"""Measures beside buy & hold: published definitions, worked numbers, and every edge."""

import math

import numpy as np
import pytest

from finrl_ray.errors import DataError
from finrl_ray.metrics.beside_benchmark import (
    appraisal_ratio,
    beta,
    information_ratio,
    residual_returns,
)
from finrl_ray.metrics.performance import sharpe_ratio
from finrl_ray.metrics.registry import performance_summary
from finrl_ray.metrics.returns import account_values

MARKET = np.array([0.010, -0.005, 0.007, 0.002, -0.012, 0.009, 0.004, -0.003, 0.006, -0.008])
OWN = np.array([0.004, 0.001, 0.003, 0.002, -0.004, 0.005, 0.001, 0.0, 0.004, -0.002])
DAYS = np.arange(252)
WAVE_MARKET = 0.01 * np.sin(1.7 * DAYS) + 0.0004
WAVE_OWN = 0.3 * WAVE_MARKET + 0.002 * np.cos(2.3 * DAYS) + 0.0002
EXACT = {"rel": 0, "abs": 1e-9}


def test_ten_returns_worked_out_elsewhere() -> None:
    assert beta(OWN, MARKET) == pytest.approx(0.3532818533, **EXACT)
    residual = residual_returns(OWN, MARKET)
    assert residual.mean() == pytest.approx(0.0010467181, **EXACT)
    assert residual.std(ddof=1) == pytest.approx(0.0009279261, **EXACT)
    undamped = {"damping": 0.0}
    per_period = appraisal_ratio(OWN, MARKET, periods_per_year=1, **undamped)
    assert per_period == pytest.approx(1.128018922, **EXACT)
    assert appraisal_ratio(OWN, MARKET, **undamped) == pytest.approx(17.9067452504, **EXACT)
    assert appraisal_ratio(OWN, MARKET) == pytest.approx(16.5752809108, **EXACT)


def test_a_year_of_waves_worked_out_elsewhere() -> None:
    assert beta(WAVE_OWN, WAVE_MARKET) == pytest.approx(0.299534136, **EXACT)
    undamped = appraisal_ratio(WAVE_OWN, WAVE_MARKET, damping=0.0)
    assert undamped == pytest.approx(2.3014290193, **EXACT)
    assert appraisal_ratio(WAVE_OWN, WAVE_MARKET) == pytest.approx(2.2331690971, **EXACT)


def test_four_returns_by_hand() -> None:
    # b has mean 0 and squares 4 + 1 + 1 + 4 (x 1e-4); the products with r: 6 + 0 + 1 + 2 = 9
    market = np.array([0.02, -0.01, 0.01, -0.02])
    own = np.array([0.03, 0.0, 0.01, -0.01])
    assert beta(own, market) == pytest.approx(0.9)
    assert residual_returns(own, market) == pytest.approx([0.012, 0.009, 0.001, 0.008])
    # active returns .01, .01, 0, .01: mean .0075, deviation .005
    assert information_ratio(own, market, periods_per_year=4) == pytest.approx(3.0)


def test_residual_returns_are_uncorrelated_with_the_benchmark() -> None:
    residual = residual_returns(WAVE_OWN, WAVE_MARKET)
    assert np.corrcoef(residual, WAVE_MARKET)[0, 1] == pytest.approx(0.0, abs=1e-9)


def test_an_account_in_cash() -> None:
    cash = np.zeros(10)
    assert beta(cash, MARKET) == 0.0
    assert appraisal_ratio(cash, MARKET) == 0.0
    assert not residual_returns(cash, MARKET).any()
    assert information_ratio(cash, MARKET) == pytest.approx(-sharpe_ratio(MARKET))
    # also where nothing can be said of the benchmark
    assert appraisal_ratio(cash, np.full(10, 0.01)) == 0.0


@pytest.mark.parametrize("share", [1.0, 0.5, 0.1, 1 / 3, -0.2, 2.0])
def test_a_multiple_of_the_benchmark_has_earned_nothing_beside_it(share: float) -> None:
    own = share * WAVE_MARKET
    assert beta(own, WAVE_MARKET) == pytest.approx(share)
    assert appraisal_ratio(own, WAVE_MARKET) == 0.0
    assert not residual_returns(own, WAVE_MARKET).any()


def test_the_benchmark_itself_has_no_information_ratio_but_0() -> None:
    assert information_ratio(MARKET, MARKET) == 0.0


def test_what_is_no_multiple_is_not_taken_for_one() -> None:
    own = 0.5 * WAVE_MARKET + 1e-7 * np.cos(2.3 * DAYS)
    assert appraisal_ratio(own, WAVE_MARKET) != 0.0
    # the damping keeps a difference of a ten-thousandth of a percent from any weight
    assert abs(appraisal_ratio(own, WAVE_MARKET)) < 0.01
    assert residual_returns(own, WAVE_MARKET).any()


@pytest.mark.parametrize("constant", [0.001, -0.001, 0.1 / 3])
def test_constant_returns(constant: float) -> None:
    own = np.full(252, constant)
    assert beta(own, WAVE_MARKET) == pytest.approx(0.0, abs=1e-12)
    assert appraisal_ratio(own, WAVE_MARKET) == 0.0
    assert residual_returns(own, WAVE_MARKET) == pytest.approx(own)
    curve = account_values(own)  # as an account gives them, with the rounding of a quotient
    measures = performance_summary(curve, benchmark_value=account_values(WAVE_MARKET))
    assert measures["appraisal_ratio"] == 0.0


@pytest.mark.parametrize("measure", [beta, appraisal_ratio])
@pytest.mark.parametrize("constant", [0.0, 0.001])
def test_a_benchmark_that_does_not_move_explains_nothing(measure, constant: float) -> None:
    assert math.isnan(measure(OWN, np.full(10, constant)))
    assert np.isnan(residual_returns(OWN, np.full(10, constant))).all()


@pytest.mark.parametrize("measure", [beta, appraisal_ratio, information_ratio])
@pytest.mark.parametrize("n_returns", [0, 1, 2])
def test_fewer_than_three_returns(measure, n_returns: int) -> None:
    assert math.isnan(measure(OWN[:n_returns], MARKET[:n_returns]))
    assert math.isnan(measure(np.zeros(n_returns), MARKET[:n_returns]))
    assert not math.isnan(measure(OWN[:3], MARKET[:3]))


@pytest.mark.parametrize("measure", [beta, appraisal_ratio, information_ratio, residual_returns])
def test_what_cannot_be_compared_is_refused(measure) -> None:
    with pytest.raises(DataError, match=r"no NaN, got 1 of 10, the first at entry 3"):
        measure(np.where(np.arange(10) == 3, np.nan, OWN), MARKET)
    with pytest.raises(DataError, match="no NaN"):
        measure(OWN, np.where(np.arange(10) == 3, np.nan, MARKET))
    with pytest.raises(DataError, match="the same periods, got 9 and 10"):
        measure(OWN[1:], MARKET)
    with pytest.raises(DataError, match="1-D"):
        measure(np.zeros((10, 1)), MARKET)


@pytest.mark.parametrize("measure", [beta, appraisal_ratio, information_ratio])
def test_infinite_returns_give_nan(measure) -> None:
    assert math.isnan(measure(np.where(np.arange(10) == 3, np.inf, OWN), MARKET))


def test_a_benchmark_that_is_lost_and_an_account_that_grows() -> None:
    # a difference below -1, which no account's return is
    own, market = np.array([0.0, -1.0, 0.1, 0.2]), np.array([0.5, 0.5, -0.5, 0.1])
    active = own - market
    expected = active.mean() / active.std(ddof=1) * math.sqrt(252)
    assert information_ratio(own, market) == pytest.approx(expected)


def test_the_summary_has_them_where_the_benchmark_is_known() -> None:
    curve, market = account_values(OWN, 1e6), account_values(MARKET, 1e4)
    found = performance_summary(curve, benchmark_value=market)
    assert found["appraisal_ratio"] == pytest.approx(16.5752809108, abs=1e-6)
    assert found["beta"] == pytest.approx(0.3532818533, abs=1e-9)
    assert found["information_ratio"] == pytest.approx(information_ratio(OWN, MARKET))
    alone = performance_summary(curve)
    assert math.isnan(alone["appraisal_ratio"])
    assert math.isnan(alone["information_ratio"])
    assert "beta" not in alone
    with pytest.raises(DataError, match=r"one entry per day of the account, 11, got 10"):
        performance_summary(curve, benchmark_value=market[1:])
