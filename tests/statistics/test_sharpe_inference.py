"""Published and recomputed values; what series without a Sharpe ratio give."""

import math
import warnings

import numpy as np
import pytest

from finrl_ray.errors import DataError
from finrl_ray.statistics.sharpe_inference import (
    annualization_factor,
    estimate_sharpe,
    minimum_track_record_length,
    minimum_track_record_length_h0,
    probabilistic_sharpe_ratio,
    probabilistic_sharpe_ratio_h0,
    sharpe_standard_error,
)

# the hedge fund of Bailey and Lopez de Prado (2012): 24 months
FUND = {"skew": -2.448, "kurtosis": 10.164}
FUND_SHARPE = 0.036 / 0.079


def test_standard_errors_of_lo() -> None:
    # Lo (2002), Table 1, T = 60
    assert sharpe_standard_error(1.5, 60) == pytest.approx(0.188193, abs=5e-7)
    assert sharpe_standard_error(3.0, 60) == pytest.approx(0.302765, abs=5e-7)
    found = [sharpe_standard_error(0.5, t) for t in (12, 24, 250, 500)]
    np.testing.assert_allclose(found, [0.306, 0.217, 0.067, 0.047], atol=5e-4)


def test_standard_errors_of_skewed_returns() -> None:
    assert sharpe_standard_error(FUND_SHARPE, 24, **FUND) == pytest.approx(0.328589, abs=5e-7)
    assert sharpe_standard_error(FUND_SHARPE, 24) == pytest.approx(0.214460, abs=5e-7)


def test_annualisation_of_autocorrelated_returns() -> None:
    assert annualization_factor(0.2, 12) == pytest.approx(2.878849, abs=5e-7)
    assert annualization_factor(0.1, 252) == pytest.approx(14.364792, abs=5e-7)
    assert annualization_factor(0.0, 252) == pytest.approx(math.sqrt(252), rel=1e-12)


def test_probabilistic_sharpe_ratio_of_the_fund() -> None:
    monthly = 1.585 / math.sqrt(12)
    psr = probabilistic_sharpe_ratio(monthly, 24, **FUND)
    assert psr == pytest.approx(0.913234306885, abs=5e-13)
    assert probabilistic_sharpe_ratio(monthly, 24) == pytest.approx(0.981591, abs=5e-7)
    assert probabilistic_sharpe_ratio(FUND_SHARPE, 24, **FUND) == pytest.approx(0.912709, abs=5e-7)


def test_probabilistic_sharpe_ratio_of_2025() -> None:
    found = [
        probabilistic_sharpe_ratio_h0(FUND_SHARPE, 24, **FUND),
        probabilistic_sharpe_ratio_h0(FUND_SHARPE, 24, benchmark=0.1, **FUND),
        probabilistic_sharpe_ratio_h0(FUND_SHARPE, 24, autocorrelation=0.2, **FUND),
    ]
    np.testing.assert_allclose(found, [0.987207, 0.939148, 0.965832], atol=5e-7)


@pytest.mark.parametrize(
    ("per_year", "years"), [(250, 2.731187802), (52, 2.828833587), (12, 3.239800696)]
)
def test_minimum_track_record_of_two_against_one(per_year: int, years: float) -> None:
    root = math.sqrt(per_year)
    found = minimum_track_record_length(2 / root, benchmark=1 / root) / per_year
    assert found == pytest.approx(years, abs=5e-10)


def test_minimum_track_record_of_skewed_returns() -> None:
    root, moments = math.sqrt(12), {"skew": -0.72, "kurtosis": 5.78}
    first = minimum_track_record_length(2 / root, benchmark=1 / root, **moments) / 12
    second = minimum_track_record_length(3 / root, benchmark=2.5 / root, **moments) / 12
    assert first == pytest.approx(4.991258224, abs=5e-10)
    assert second == pytest.approx(27.352920196, abs=5e-10)
    found = minimum_track_record_length_h0(FUND_SHARPE, **FUND)
    assert found == pytest.approx(13.028778, abs=5e-7)


def test_no_record_is_long_enough_for_a_ratio_below_the_benchmark() -> None:
    assert minimum_track_record_length(0.1, benchmark=0.1) == math.inf
    assert minimum_track_record_length(-0.2) == math.inf
    assert probabilistic_sharpe_ratio(0.05, 100, benchmark=0.1) < 0.5


def test_moments_of_a_series_worked_by_hand() -> None:
    # deviations -1, -1, 2 around 1: m2 = 2, m3 = 2, m4 = 6
    found = estimate_sharpe(np.array([0.0, 0.0, 3.0]))
    assert found.sharpe == pytest.approx(1 / math.sqrt(3), rel=1e-12)
    assert found.skew == pytest.approx(2 / 2**1.5, rel=1e-12)
    assert found.kurtosis == pytest.approx(6 / 4, rel=1e-12)


def test_series_without_a_ratio() -> None:
    still = estimate_sharpe(np.zeros(50))
    assert (still.sharpe, still.flag) == (0.0, "no_trades")
    psr = probabilistic_sharpe_ratio(math.nan, 50)
    assert math.isnan(psr)
    for returns, flag in (
        (np.full(50, 0.001), "constant"),
        (np.full(50, 0.1) + 1e-16, "constant"),
        (np.array([0.1, 0.2]), "too_short"),
        (np.empty(0), "too_short"),
        (np.array([0.1, np.inf, 0.2, 0.3]), "infinite"),
    ):
        found = estimate_sharpe(returns)
        assert math.isnan(found.sharpe)
        assert found.flag == flag
        assert found.reason


def test_missing_returns_are_left_out_and_counted() -> None:
    values = np.array([0.01, np.nan, -0.02, 0.03, np.nan])
    found = estimate_sharpe(values)
    assert (found.n_periods, found.n_dropped) == (3, 2)
    assert found.sharpe == estimate_sharpe(values[[0, 2, 3]]).sharpe
    with pytest.raises(DataError, match="must be 1-D"):
        estimate_sharpe(values.reshape(1, -1))


def test_impossible_moments_are_refused() -> None:
    with pytest.raises(DataError, match=r"excess kurtosis passed\?"):
        probabilistic_sharpe_ratio(0.1, 100, kurtosis=0.3)
    with pytest.raises(DataError, match=r"kurtosis must be >= 1 \+ skew\*\*2 = 5"):
        sharpe_standard_error(0.1, 100, skew=2.0, kurtosis=4.0)
    with pytest.raises(DataError, match="n_periods must be >= 2"):
        probabilistic_sharpe_ratio(0.1, 1)
    with pytest.raises(DataError, match="autocorrelation must be within"):
        sharpe_standard_error(0.1, 100, autocorrelation=1.0)


def test_an_annual_ratio_is_noticed() -> None:
    with pytest.warns(UserWarning, match=r"annualised SR passed\?"):
        probabilistic_sharpe_ratio(1.587, 252)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        probabilistic_sharpe_ratio(0.1, 252)
        probabilistic_sharpe_ratio(1.5, 60)


def test_valid_moments_never_give_a_negative_variance() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        returns = rng.choice([-1.0, 0.5, 3.0], size=30, p=[0.2, 0.75, 0.05])
        found = estimate_sharpe(returns)
        if not found.flag:
            assert (
                0
                <= probabilistic_sharpe_ratio(
                    found.sharpe, 30, skew=found.skew, kurtosis=found.kurtosis
                )
                <= 1
            )


def test_psr_and_dsr_are_skfolios() -> None:
    measures = pytest.importorskip("skfolio.measures")
    if not hasattr(measures, "probabilistic_sharpe_ratio"):
        pytest.skip("this skfolio has no probabilistic Sharpe ratio")
    returns = np.random.default_rng(3).standard_t(5, 300) * 0.01 + 0.0005
    found = estimate_sharpe(returns)
    own = probabilistic_sharpe_ratio(
        found.sharpe, 300, benchmark=0.02, skew=found.skew, kurtosis=found.kurtosis
    )
    other = measures.probabilistic_sharpe_ratio(returns, 0.02)
    assert own == pytest.approx(float(other), rel=1e-12)
