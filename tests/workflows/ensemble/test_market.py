"""Frames and periods: what is used, what is refused."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from ensemble_cases import FEATURES, small_agent, small_frame

from finrl_ray.data.market_data import MarketData
from finrl_ray.errors import ConfigError, DataError
from finrl_ray.workflows.ensemble.market import read_market


def read(df: Any = None, **changes: Any) -> Any:
    df = small_frame() if df is None else df
    arguments: dict[str, Any] = {
        "features": FEATURES,
        "risk_name": "turbulence",
        "train_period": ("2020-01-01", "2020-02-25"),
        "val_test_period": ("2020-02-25", "2020-04-01"),
    }
    return read_market(df, **{**arguments, **changes})


def test_periods_are_finrls_start_excluded_and_end_included() -> None:
    df = small_frame()
    market = read(df)
    written = [label for label in df["date"].unique() if "2020-02-25" < label <= "2020-04-01"]
    assert list(market.labels[market.first_row : market.stop_row]) == written
    assert market.train_start == 0
    assert market.market_data.n_periods == market.stop_row


def test_days_off_at_the_edges_are_no_error() -> None:
    df = small_frame(80)
    last = df["date"].max()
    weekend = (pd.Timestamp(last) + pd.Timedelta(days=3)).strftime("%Y-%m-%d")
    market = read(
        df, train_period=("2019-12-25", "2020-02-25"), val_test_period=("2020-02-25", weekend)
    )
    assert market.labels[market.stop_row - 1] == last


def test_rows_after_the_test_period_are_not_read() -> None:
    df = small_frame()
    broken = df.copy()
    broken.loc[broken["date"] > "2020-04-01", "close"] = np.inf
    assert read(broken).market_data.content_hash == read(df).market_data.content_hash


def test_unsorted_rows_give_the_same_market() -> None:
    df = small_frame()
    shuffled = df.sample(frac=1.0, random_state=0)
    one, two = read(df), read(shuffled)
    assert one.market_data.tickers == two.market_data.tickers == ("AAA", "BBB", "CCC")
    assert one.market_data.content_hash == two.market_data.content_hash
    assert one.labels == two.labels


def test_market_data_is_taken_too() -> None:
    df = small_frame()
    data = MarketData.from_finrl(df, features=FEATURES, market_columns=["turbulence"])
    market = read(data)
    np.testing.assert_array_equal(market.market_data.close, read(df).market_data.close)
    with pytest.raises(ConfigError, match="tech_indicator_list must be this market's features"):
        read(data, features=["macd"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"features": ["macd", "cci_30"]}, r"\['cci_30'\] missing"),
        ({"train_period": ("2020-01-01", "2020-03-02")}, "the periods overlap"),
        ({"train_period": ("2015-01-01", "2020-02-25")}, "train_period must lie within the data"),
        ({"val_test_period": ("2020-02-25", "2021-02-25")}, "val_test_period must lie within"),
        ({"val_test_period": ("2020-02-25", "2020-02-20")}, "must start before it ends"),
        ({"train_period": ("2020-01-01", "soon")}, "must be two dates"),
        ({"train_period": "2020-01-01"}, "must be two dates"),
        ({"train_period": (20200101, 20200225)}, "must be two dates such as .* got the numbers"),
        ({"train_period": None}, "must be two dates"),
    ],
)
def test_periods_and_columns_that_do_not_fit_are_refused(
    changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        read(**changes)


def test_a_warm_up_inside_training_names_the_first_complete_date() -> None:
    df = small_frame()
    df.loc[df.index < 5, "macd"] = np.nan
    with pytest.raises(ConfigError, match=r"train_period must not start before 2020-01-08"):
        read(df)


def test_tickers_that_are_lost_are_an_error() -> None:
    df = small_frame(400)
    df = df[(df["tic"] != "CCC") | (df.index > 300)]
    with pytest.raises(DataError, match="stock_dim is 3, but only 2 tickers"):
        small_agent(df)


def test_sizes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ConfigError, match="state_space must be 13"):
        small_agent(state_space=10)
    with pytest.raises(ConfigError, match="sell_cost_pct is a fraction"):
        small_agent(sell_cost_pct=1.5)
