import numpy as np
import pytest
from env_markets import finrl_frame, hand_market, random_market

from finrl_ray.env.portfolio.market import portfolio_market, rolling_covariance
from finrl_ray.errors import ConfigError, DataError

MARKET = random_market(30, 3)


def build(data, features=None, lookback=5):
    return portfolio_market(data, features, lookback=lookback, risk_name="turbulence")


def test_the_covariance_of_each_day_ends_with_that_day():
    returns = MARKET.close[1:] / MARKET.close[:-1] - 1
    covariance = rolling_covariance(MARKET.close, 5)
    assert covariance.shape == (25, 3, 3)
    # day 5 has returns of days 1..5, which are rows 0..4
    assert covariance[0] == pytest.approx(np.cov(returns[:5].T))
    assert covariance[-1] == pytest.approx(np.cov(returns[-5:].T))


def test_the_covariance_looks_at_nothing_later():
    later = MARKET.close.copy()
    later[20:] *= 3
    before, after = rolling_covariance(MARKET.close, 5), rolling_covariance(later, 5)
    assert np.array_equal(before[: 20 - 5], after[: 20 - 5])
    assert not np.array_equal(before[20 - 5], after[20 - 5])


def test_the_first_days_fill_the_covariance():
    market = build(MARKET)
    assert market.dates[0] == MARKET.dates[5]
    assert len(market.dates) == len(market.close) == len(market.covariance) == 25
    assert market.features[0, 1].tolist() == MARKET.features[5, :, 1].tolist()
    assert market.risk[0] == MARKET.market_features[5, 0]


def test_a_frame_gives_the_same_market_and_keeps_its_dates():
    ours = build(MARKET)
    theirs = build(finrl_frame(MARKET), list(MARKET.feature_names))
    for name in ("close", "features", "covariance", "risk", "tradable"):
        assert np.array_equal(getattr(ours, name), getattr(theirs, name))
    assert theirs.labels[0] == "2020-01-06"


def test_finrls_own_covariances_are_used():
    frame = finrl_frame(MARKET)
    brought = [np.eye(3) * (day + 1) for day in range(30)]
    frame["cov_list"] = [brought[day] for day in frame.index]
    market = build(frame, [])
    assert len(market.dates) == 30
    assert market.covariance[29].tolist() == brought[29].tolist()
    frame["cov_list"] = [np.eye(2)] * len(frame)
    with pytest.raises(DataError, match=r"2020-01-01 must be a matrix of shape \(3, 3\)"):
        build(frame, [])


def test_one_ticker_has_a_variance():
    market = build(hand_market([[10.0], [11.0], [9.9], [10.0]]), lookback=2)
    assert market.covariance.shape == (2, 1, 1)
    assert market.covariance[0, 0, 0] == pytest.approx(np.var([0.1, -0.1], ddof=1))


def test_what_cannot_be_used_is_refused():
    with pytest.raises(DataError, match="at least 2 days after the first 29"):
        build(MARKET, lookback=29)
    with pytest.raises(ConfigError, match="lookback must be >= 2 days, got 1"):
        build(MARKET, lookback=1)
    with pytest.raises(ConfigError, match="must be this market's features"):
        build(MARKET, ["macd"])
    with pytest.raises(ConfigError, match="tech_indicator_list must name"):
        build(finrl_frame(MARKET))
