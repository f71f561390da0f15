"""The turbulence rule as worked numbers."""

import numpy as np
import pytest

from finrl_ray.errors import ConfigError, DataError
from finrl_ray.workflows.ensemble.turbulence import turbulence_threshold

# 0, 1, ..., 100: the 0.9 quantile is 90, the highest day 100
CALM_THEN_WILD = np.arange(101.0)


def test_turmoil_lowers_the_threshold_to_the_quantile() -> None:
    # the last 5 days are 96..100, mean 98 > 90
    assert turbulence_threshold(CALM_THEN_WILD, lookback=5) == pytest.approx(90.0)


def test_in_a_calm_market_the_highest_training_day_is_the_threshold() -> None:
    assert turbulence_threshold(CALM_THEN_WILD[::-1], lookback=5) == 100.0


def test_the_lookback_counts_days() -> None:
    # mean of the last 21 days is 90, not above the quantile; of the last 20 it is 90.5
    assert turbulence_threshold(CALM_THEN_WILD, lookback=21) == 100.0
    assert turbulence_threshold(CALM_THEN_WILD, lookback=20) == pytest.approx(90.0)


def test_the_threshold_is_never_the_99_percent_quantile() -> None:
    found = {turbulence_threshold(CALM_THEN_WILD, lookback=n) for n in range(1, 102)}
    assert found == {90.0, 100.0}


def test_a_lookback_longer_than_the_data_takes_all_of_it() -> None:
    assert turbulence_threshold(np.array([1.0, 2.0, 9.0]), lookback=63) == 9.0


def test_another_quantile() -> None:
    assert turbulence_threshold(CALM_THEN_WILD, lookback=5, quantile=0.5) == pytest.approx(50.0)


@pytest.mark.parametrize("values", [[], [1.0, np.nan]])
def test_values_that_cannot_be_used_are_refused(values: list[float]) -> None:
    with pytest.raises(DataError, match="one finite value for each training day"):
        turbulence_threshold(np.array(values), lookback=2)


def test_numbers_out_of_range_are_refused() -> None:
    with pytest.raises(ConfigError, match="turbulence_lookback must be >= 1 day, got 0"):
        turbulence_threshold(CALM_THEN_WILD, lookback=0)
    with pytest.raises(ConfigError, match=r"turbulence_quantile must be within \(0, 1\), got 90"):
        turbulence_threshold(CALM_THEN_WILD, lookback=5, quantile=90)
