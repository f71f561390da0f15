"""FinRL's statistics of an account curve, against numbers worked out by hand."""

import numpy as np
import pandas as pd
import pytest

from finrl_ray.compat.statistics import STATISTICS, backtest_stats, get_daily_return
from finrl_ray.errors import DataError

CURVE = pd.DataFrame({"date": pd.bdate_range("2020-01-01", periods=5).strftime("%Y-%m-%d")}).assign(
    account_value=[100.0, 110.0, 99.0, 99.0, 108.9]
)


def test_daily_returns() -> None:
    returns = get_daily_return(CURVE)
    assert np.isnan(returns.iloc[0])
    assert returns.iloc[1:].tolist() == pytest.approx([0.1, -0.1, 0.0, 0.1])
    assert str(returns.index.tz) == "UTC"
    assert returns.name == "daily_return"
    aware = CURVE.assign(date=pd.to_datetime(CURVE["date"]).dt.tz_localize("America/New_York"))
    assert str(get_daily_return(aware).index.tz) == "UTC"


def test_statistics_by_hand() -> None:
    stats = backtest_stats(CURVE)
    assert list(stats.index) == list(STATISTICS)
    returns = np.array([0.1, -0.1, 0.0, 0.1])
    assert stats["Cumulative returns"] == pytest.approx(0.089)
    assert stats["Max drawdown"] == pytest.approx(-0.1)
    assert stats["Sharpe ratio"] == pytest.approx(252**0.5 * returns.mean() / returns.std(ddof=1))
    assert stats["Annual return"] == pytest.approx(1.089 ** (252 / 4) - 1)
    assert backtest_stats(CURVE, periods_per_year=365)["Sharpe ratio"] > stats["Sharpe ratio"]


def bars(zone: str | None = None, days: int = 40) -> pd.DataFrame:
    """Seven bars a day on business days, and an account that goes up and down."""
    times = pd.DatetimeIndex(
        [f"{day:%Y-%m-%d} {hour}:30" for day in pd.bdate_range("2022-01-03", periods=days)
         for hour in range(9, 16)]
    )  # fmt: skip
    steps = np.where(np.arange(len(times)) % 3 == 0, -0.004, 0.003)
    dates = times if zone is None else times.tz_localize(zone)
    return pd.DataFrame({"date": dates, "account_value": 1e5 * np.cumprod(1.0 + steps)})


@pytest.mark.parametrize(
    "frame",
    [
        bars(),
        bars("America/New_York"),
        bars("Australia/Sydney"),
        bars().assign(date=lambda df: df["date"].astype(str)),
        bars("America/New_York", days=80).assign(date=lambda df: df["date"].map(str)),
        bars().iloc[::-1].assign(account_value=bars()["account_value"].to_numpy()),
    ],
    ids=["stamps", "zone", "across midnight in UTC", "text", "summer time", "backwards"],
)
def test_the_year_is_read_from_the_dates(frame: pd.DataFrame) -> None:
    value = frame["account_value"].to_numpy()
    returns = value[1:] / value[:-1] - 1
    # 7 bars on each of 252 days
    expected = returns.mean() / returns.std(ddof=1) * np.sqrt(1764)
    assert backtest_stats(frame)["Sharpe ratio"] == pytest.approx(expected)
    assert backtest_stats(frame, periods_per_year=252)["Sharpe ratio"] == pytest.approx(
        expected / np.sqrt(7)
    )


def test_dates_without_a_pattern_ask_for_the_year() -> None:
    uneven = CURVE.assign(
        date=["2020-01-01", "2020-01-20", "2020-03-01", "2020-03-02", "2021-01-01"]
    )
    with pytest.raises(DataError, match=r"set periods_per_year$"):
        backtest_stats(uneven)
    assert np.isfinite(backtest_stats(uneven, periods_per_year=12)["Sharpe ratio"])


def test_a_baselines_closes() -> None:
    closes = CURVE.rename(columns={"account_value": "close"})
    pd.testing.assert_series_equal(backtest_stats(closes, "close"), backtest_stats(CURVE))
    with pytest.raises(DataError, match=r"must have the columns \['account_value'\]"):
        backtest_stats(closes)
