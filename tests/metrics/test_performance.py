"""Measures against values worked out by hand or by Python's own statistics module."""

import math
import statistics
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from finrl_ray.errors import DataError
from finrl_ray.metrics.performance import (
    annual_return,
    annual_volatility,
    calmar_ratio,
    exposure,
    max_drawdown,
    sharpe_ratio,
    sortino_ratio,
    total_return,
    turnover,
    undefined_reason,
)
from finrl_ray.metrics.registry import MEASURES, performance_summary
from finrl_ray.metrics.returns import account_values, simple_returns

# mean 0.005; squared deviations 25, 625, 625, 25 (x 1e-6), so variance (ddof=1) 0.0013 / 3;
# downside: one return of -0.02 in four; wealth 1, 1.01, 0.9898, 1.019494, 1.019494
RETURNS = np.array([0.01, -0.02, 0.03, 0.0])
RATIOS = (sharpe_ratio, sortino_ratio, calmar_ratio)


def test_sharpe_ratio_by_hand() -> None:
    # mean over deviation, times the root of 252 periods
    assert sharpe_ratio(RETURNS) == pytest.approx(3.812933455, abs=1e-9)


def test_sharpe_ratio_of_other_periods_and_with_a_risk_free_rate() -> None:
    # 12 periods a year, 6 % a year: excess mean 0
    assert sharpe_ratio(RETURNS, periods_per_year=12, risk_free_rate=0.06) == pytest.approx(0.0)
    # 3 % a year: excess mean 0.0025, half of 0.005 / sqrt(0.0013 / 3) * sqrt(12)
    assert sharpe_ratio(RETURNS, periods_per_year=12, risk_free_rate=0.03) == pytest.approx(
        0.416025147, abs=1e-9
    )


@given(st.lists(st.floats(-0.5, 0.5), min_size=3, max_size=50))
def test_sharpe_ratio_is_that_of_the_statistics_module(values: list[float]) -> None:
    deviation = statistics.stdev(values)
    if deviation < 1e-6:
        return
    expected = statistics.mean(values) / deviation * math.sqrt(252)
    assert sharpe_ratio(np.array(values)) == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_sortino_ratio_by_hand() -> None:
    # downside deviation sqrt(0.02 ** 2 / 4) = 0.01; 0.005 / 0.01 * sqrt(252)
    assert sortino_ratio(RETURNS) == pytest.approx(7.937253933, abs=1e-9)


def test_sortino_ratio_with_a_risk_free_rate() -> None:
    # target 0.01 a period: excess 0, -0.03, 0.02, -0.01; downside sqrt((9 + 1) * 1e-4 / 4)
    expected = -0.005 / math.sqrt(2.5e-4) * math.sqrt(12)
    value = sortino_ratio(RETURNS, periods_per_year=12, risk_free_rate=0.12)
    assert value == pytest.approx(expected)


def test_max_drawdown_by_hand() -> None:
    assert max_drawdown(RETURNS) == pytest.approx(-0.02)
    # 1, 1.1, 0.88, 0.968, 0.7744: from 1.1 to 0.7744
    assert max_drawdown(np.array([0.1, -0.2, 0.1, -0.2])) == pytest.approx(-0.296)


def test_a_loss_in_the_first_period_is_a_drawdown() -> None:
    assert max_drawdown(np.array([-0.1, 0.5])) == pytest.approx(-0.1)


def test_a_curve_that_never_falls_has_no_drawdown() -> None:
    drawdown = max_drawdown(np.array([0.0, 0.1, 0.0]))
    assert drawdown == 0.0
    assert math.copysign(1.0, drawdown) == 1.0
    assert max_drawdown(np.array([])) == 0.0


def test_total_and_annual_return_by_hand() -> None:
    assert total_return(RETURNS) == pytest.approx(0.019494)
    assert annual_return(RETURNS, periods_per_year=2) == pytest.approx(1.019494**0.5 - 1)
    assert math.isnan(annual_return(np.array([])))


def test_annual_volatility_by_hand() -> None:
    assert annual_volatility(RETURNS) == pytest.approx(math.sqrt(252 * 0.0013 / 3))
    assert math.isnan(annual_volatility(np.array([0.1])))


def test_calmar_ratio_by_hand() -> None:
    assert calmar_ratio(RETURNS, periods_per_year=4) == pytest.approx(0.019494 / 0.02)


def test_turnover_by_hand() -> None:
    # 50 of 100, then 0, then 110 of 110: mean of 0.5, 0 and 1, four periods a year
    value = turnover(
        np.array([50.0, 0.0, 110.0]), np.array([100.0, 105.0, 110.0, 90.0]), periods_per_year=4
    )
    assert value == pytest.approx(2.0)


@pytest.mark.parametrize("ratio", RATIOS)
def test_an_agent_that_never_trades_has_ratio_zero(ratio) -> None:
    assert ratio(np.zeros(10)) == 0.0


@pytest.mark.parametrize("ratio", RATIOS)
@pytest.mark.parametrize("growth", [1.1, 1.0001, 1.0 + 1e-7])
def test_constant_growth_has_no_ratio(ratio, growth: float) -> None:
    curve = 1e6 * growth ** np.arange(300)
    assert math.isnan(ratio(simple_returns(curve)))


def test_constant_loss_has_no_sharpe_ratio_but_a_calmar_ratio() -> None:
    returns = np.full(10, -0.01)
    assert math.isnan(sharpe_ratio(returns))
    assert calmar_ratio(returns) < 0


@pytest.mark.parametrize("ratio", RATIOS)
@pytest.mark.parametrize("returns", [[], [0.1], [0.1, -0.1], [0.1, np.inf, -0.1, 0.2]])
def test_too_few_or_infinite_returns_have_no_ratio(ratio, returns: list[float]) -> None:
    assert math.isnan(ratio(np.array(returns)))


@pytest.mark.parametrize("measure", [*RATIOS, max_drawdown, total_return, annual_volatility])
def test_nan_and_tables_are_refused(measure) -> None:
    with pytest.raises(DataError, match="no NaN"):
        measure(np.array([0.1, np.nan, 0.2]))
    with pytest.raises(DataError, match="1-D"):
        measure(np.zeros((3, 2)))


@pytest.mark.parametrize(
    ("amounts", "message"),
    [([1.0], "one entry per period"), ([1.0, -1.0], "must be >= 0"), ([1.0, np.nan], "not NaN")],
)
def test_bad_amounts_are_refused(amounts: list[float], message: str) -> None:
    with pytest.raises(DataError, match=message):
        turnover(np.array(amounts), np.array([1.0, 1.0, 1.0]))


def test_the_summary_holds_what_the_functions_say() -> None:
    curve = account_values(RETURNS, 1e6)
    summary = performance_summary(curve, periods_per_year=252.0, risk_free_rate=0.02)
    assert tuple(summary) == tuple(MEASURES)
    recomputed = simple_returns(curve)
    assert summary["sharpe_ratio"] == sharpe_ratio(recomputed, risk_free_rate=0.02)
    assert summary["max_drawdown"] == pytest.approx(-0.02, abs=1e-12)
    assert summary["total_return"] == pytest.approx(0.019494, abs=1e-12)


def test_the_summary_adds_turnover_where_amounts_are_given() -> None:
    summary = performance_summary(account_values(RETURNS), traded_amount=np.zeros(4))
    assert list(summary) == [*MEASURES, "turnover"]
    assert summary["turnover"] == 0.0


def test_exposure_by_hand() -> None:
    # the start does not count: 55 of 110, then nothing of 100, then 150 of 100 with short sales
    value = exposure(np.array([0.0, 55.0, 0.0, 150.0]), np.array([100.0, 110.0, 100.0, 100.0]))
    assert value == pytest.approx(2.0 / 3.0)


def test_an_account_that_ends_at_nothing_counts_as_cash_there() -> None:
    assert exposure(np.array([0.0, 90.0, 0.0]), np.array([100.0, 90.0, 0.0])) == 0.5


@pytest.mark.parametrize(
    ("positions", "message"),
    [([1.0], "the shape of account_value"), ([0, -1.0], ">= 0"), ([0, np.nan], "not NaN")],
)
def test_bad_positions_are_refused(positions: list[float], message: str) -> None:
    with pytest.raises(DataError, match=message):
        exposure(np.array(positions), np.array([1.0, 1.0]))


def test_the_summary_adds_exposure_where_positions_are_given() -> None:
    summary = performance_summary(account_values(RETURNS), position_value=np.zeros(5))
    assert list(summary) == [*MEASURES, "exposure"]
    assert summary["exposure"] == 0.0
    assert math.isnan(performance_summary(np.ones(1), position_value=np.zeros(1))["exposure"])


@pytest.mark.parametrize("curve", [[1e6], [1e6, np.inf, np.inf, 1e6, 1e6]])
def test_the_summary_of_a_hopeless_curve_is_nan_and_not_an_error(curve: list[float]) -> None:
    summary = performance_summary(np.array(curve))
    assert math.isnan(summary["sharpe_ratio"])
    assert math.isnan(summary["annual_return"])


@pytest.mark.parametrize(
    ("returns", "reason"),
    [
        ([0.1], "1 return, at least 3"),
        ([0.1, np.inf, 0.2], "infinite"),
        ([0.01, 0.01, 0.01], "all 3 returns equal 0.01"),
        ([0.01, 0.02, 0.03], "no downside"),
    ],
)
def test_the_reason_of_a_nan_is_told(returns: list[float], reason: str) -> None:
    assert reason in undefined_reason(np.array(returns))


def test_the_import_needs_numpy_alone() -> None:
    code = (
        "import sys, finrl_ray.metrics.performance; "
        "print([m for m in ('pandas', 'scipy', 'torch', 'ray', 'gymnasium') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
