import dataclasses

import numpy as np
import pandas as pd
import pytest

from finrl_ray.config.evaluation import EvaluationConfig, settled_periods_per_year
from finrl_ray.config.experiment import ExperimentConfig
from finrl_ray.data.market_data import MarketData
from finrl_ray.data.periods_per_year import (
    config_periods_per_year,
    periods_per_year,
    with_periods_per_year,
)
from finrl_ray.data.sources.bundled import read_bundled
from finrl_ray.errors import ConfigError, DataError


def every(freq, periods, start="2020-01-01"):
    return pd.date_range(start, periods=periods, freq=freq, unit="ns").to_numpy()


def sessions(freq, first, last, days=30):
    """Bars from `first` to `last` on each business day, New York wall-clock time."""
    parts = [
        pd.date_range(f"{day:%Y-%m-%d} {first}", f"{day:%Y-%m-%d} {last}", freq=freq, unit="ns")
        for day in pd.bdate_range("2020-03-02", periods=days)
    ]
    return np.concatenate([part.to_numpy() for part in parts])


def in_utc(dates, zone):
    local = pd.DatetimeIndex(dates).tz_localize(zone)
    return local.tz_convert("UTC").tz_localize(None).to_numpy()


@pytest.mark.parametrize(
    ("dates", "expected"),
    [
        (every("B", 500), 252.0),
        (every("B", 4), 252.0),
        (every("D", 500), 365.0),
        (every("D", 3, "2020-01-06"), 252.0),
        (every("W-FRI", 60), 52.0),
        (every("ME", 36), 12.0),
        (every("BME", 36), 12.0),
        (every("QE", 12), 4.0),
        (every("YE", 8), 1.0),
        (every("h", 24 * 20), 365.0 * 24),
        (every("4h", 6 * 20), 365.0 * 6),
        (every("12h", 2 * 20), 365.0 * 2),
        (every("min", 1440 * 9), 365.0 * 1440),
        (every("15min", 96 * 9), 365.0 * 96),
        (sessions("h", "09:30", "15:30"), 252.0 * 7),
        (sessions("min", "09:30", "15:59"), 252.0 * 390),
        (sessions("5min", "09:30", "15:55", days=3), 252.0 * 78),
        # in UTC Sydney's Monday begins on Sunday, and summer time moves its sessions over midnight
        (in_utc(sessions("h", "10:00", "15:00", days=60), "Australia/Sydney"), 252.0 * 6),
        (in_utc(sessions("h", "09:30", "15:30", days=60), "America/New_York"), 252.0 * 7),
        (in_utc(sessions("30min", "09:30", "15:30"), "Pacific/Auckland"), 252.0 * 13),
    ],
)
def test_regular_dates(dates, expected):
    assert periods_per_year(dates) == expected


def test_the_bundled_prices_have_252():
    assert periods_per_year(MarketData.from_finrl(read_bundled()).dates) == 252.0


def test_holidays_and_holes_do_not_matter():
    rng = np.random.default_rng(0)
    business = every("B", 1_000)
    assert periods_per_year(np.delete(business, rng.choice(1_000, 40, replace=False))) == 252.0
    assert periods_per_year(np.delete(business, slice(300, 420))) == 252.0
    hourly = every("h", 2_000)
    assert periods_per_year(np.delete(hourly, rng.choice(2_000, 60, replace=False))) == 365 * 24
    # a half day
    assert periods_per_year(np.delete(sessions("h", "09:30", "15:30"), [10, 11, 12])) == 252 * 7


def test_the_window_of_a_search_says_the_same_as_all_dates():
    dates = every("h", 24 * 400)
    assert {periods_per_year(dates[k : k + 24 * 10]) for k in range(0, 2_000, 37)} == {8_760.0}


@pytest.mark.parametrize(
    ("dates", "found"),
    [
        (every("2D", 50), "the middle gap is 2 days"),
        (every("D", 1), "two dates or more are needed"),
        (np.sort(every("h", 500)[np.random.default_rng(0).choice(500, 90, replace=False)]), " s b"),
        # Sundays only, as in currency markets
        (np.concatenate([every("W-SUN", 60), every("B", 300)]), "of the days on weekends"),
        (every("h", 48, "2020-01-06"), "whether weekends are traded"),
    ],
)
def test_irregular_dates_ask_for_the_number(dates, found):
    with pytest.raises(DataError, match=found) as caught:
        periods_per_year(np.sort(dates))
    assert "set evaluation.periods_per_year" in str(caught.value)


def test_the_configs_own_number_wins():
    config = ExperimentConfig(evaluation=EvaluationConfig(periods_per_year=100.0))
    assert with_periods_per_year(config, every("2D", 9)) is config
    assert config_periods_per_year(config, every("2D", 9)) == 100.0
    assert config_periods_per_year(ExperimentConfig(), every("D", 100)) == 365.0
    settled = with_periods_per_year(ExperimentConfig(), every("D", 100))
    assert settled.evaluation.periods_per_year == 365.0
    assert dataclasses.replace(settled, evaluation=EvaluationConfig()) == ExperimentConfig()


def test_an_unsettled_config_is_refused():
    assert settled_periods_per_year(EvaluationConfig(periods_per_year=12.0)) == 12.0
    with pytest.raises(ConfigError, match="still null"):
        settled_periods_per_year(EvaluationConfig())
