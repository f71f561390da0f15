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


def test_a_baselines_closes() -> None:
    closes = CURVE.rename(columns={"account_value": "close"})
    pd.testing.assert_series_equal(backtest_stats(closes, "close"), backtest_stats(CURVE))
    with pytest.raises(DataError, match=r"must have the columns \['account_value'\]"):
        backtest_stats(closes)
