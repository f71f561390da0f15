"""The columns of the market that one trial sees."""

import dataclasses

import numpy as np
import pytest

from finrl_ray.config.data import DataConfig
from finrl_ray.data.chosen_features import market_of_sample
from finrl_ray.data.indicators import FINRL_INDICATORS
from finrl_ray.data.load import load_market_data, market_data_of
from finrl_ray.data.market_data import MarketData
from finrl_ray.errors import DataError


@pytest.fixture(scope="module")
def market() -> MarketData:
    return load_market_data(DataConfig(features=("close_5_sma", "finrl", "volume")))[0]


def test_finrl_among_features_is_finrls_list(market: MarketData) -> None:
    assert market.feature_names == ("close_5_sma", *FINRL_INDICATORS, "volume")


def test_a_sample_sees_its_features_in_its_order(market: MarketData) -> None:
    seen = market_of_sample(market, {"data.features": ["volume", "macd"]})
    assert seen.feature_names == ("volume", "macd")
    assert (seen.features[:, :, 0] == market.volume).all()
    own = load_market_data(DataConfig(features=("macd",)))[0]
    rows = slice(market.warmup, None)
    assert (seen.features[rows, :, 1] == own.features[rows, :, 0]).all()
    # all trials are compared on the same days, whatever they see
    assert seen.warmup == market.warmup
    assert (seen.dates == market.dates).all()


def test_finrl_in_a_sample_is_what_the_market_has_of_the_list(market: MarketData) -> None:
    for chosen in ("finrl", ["finrl"]):
        assert market_of_sample(market, {"data.features": chosen}).feature_names == FINRL_INDICATORS
    some = market.with_features(["close_60_sma", "volume", "macd"])
    chosen = {"data.features": ["volume", "finrl"]}
    assert market_of_sample(some, chosen).feature_names == ("volume", "macd", "close_60_sma")


def test_a_sample_without_features_sees_all(market: MarketData) -> None:
    assert market_of_sample(market, {"env.hmax": 3}) is market


def test_the_same_features_are_the_same_object(market: MarketData) -> None:
    one = market_of_sample(market, {"data.features": ["macd"]})
    assert market_of_sample(market, {"data.features": ["macd"]}) is one
    assert one.with_features(["macd"]) is one


def test_a_feature_that_the_market_lacks_is_refused(market: MarketData) -> None:
    with pytest.raises(DataError, match=r"data.features: the market has no \['wr_14'\]"):
        market_of_sample(market, {"data.features": ["macd", "wr_14"]})
    with pytest.raises(DataError, match="named once each"):
        market.with_features(["macd", "macd"])


def test_of_finrls_list_a_source_of_closes_lacks_some_and_of_ones_own_none(bundled_frame) -> None:
    closes = bundled_frame[["date", "tic", "close"]]
    found, report = market_data_of(closes, DataConfig(features=("close_5_sma", "finrl")))
    assert found.feature_names == (
        "close_5_sma", "macd", "boll_ub", "boll_lb", "rsi_30", "close_30_sma", "close_60_sma",
    )  # fmt: skip
    assert any("cci_30" in note for note in report.notes)
    with pytest.raises(DataError, match="cci_30"):
        market_data_of(closes, DataConfig(features=("cci_30", "finrl")))


OWN = "my_features:compute"
OF_OWN = (
    f"{OWN}/low[window=5]",
    f"{OWN}/up[window=5]",
    f"{OWN}/low[window=10]",
    f"{OWN}/up[window=10]",
    "my_features:fixed",
)


@pytest.fixture(scope="module")
def of_own_code(market: MarketData) -> MarketData:
    """A market whose features are named as those of two functions, one of them for two windows."""
    names = ("macd", *OF_OWN)
    return dataclasses.replace(market, features=market.features[:, :, :6], feature_names=names)


def test_a_trial_sees_the_columns_of_its_own_keywords(of_own_code: MarketData) -> None:
    seen = market_of_sample(of_own_code, {"data.feature_kwargs.window": 10})
    assert seen.feature_names == ("macd", *OF_OWN[2:])
    np.testing.assert_array_equal(seen.features, of_own_code.features[:, :, [0, 3, 4, 5]])


def test_a_function_among_features_stands_for_its_columns(of_own_code: MarketData) -> None:
    sample = {"data.features": [OWN, "macd"], "data.feature_kwargs.window": 5}
    assert market_of_sample(of_own_code, sample).feature_names == (*OF_OWN[:2], "macd")
    sample = {"data.features": ["my_features:fixed"], "data.feature_kwargs.window": 5}
    assert market_of_sample(of_own_code, sample).feature_names == ("my_features:fixed",)


def test_keywords_that_nothing_was_computed_for(of_own_code: MarketData) -> None:
    with pytest.raises(DataError, match=r"window: the market has no features for 7, but for 10, 5"):
        market_of_sample(of_own_code, {"data.feature_kwargs.window": 7})
    with pytest.raises(DataError, match=r"the market has no \['my_features:other'\]"):
        market_of_sample(of_own_code, {"data.features": ["my_features:other"]})
