"""The training guide's route and the command line give one account, also where tickers end."""

import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from finrl_ray.compat.preprocessing import FeatureEngineer, data_split
from finrl_ray.config.data import DataConfig, SplitConfig
from finrl_ray.data.load import load_market_data
from finrl_ray.data.market_data import MarketData
from finrl_ray.data.sources.bundled import read_bundled
from finrl_ray.data.sources.files import EXACT_FLOATS
from finrl_ray.data.windows.split import make_split
from finrl_ray.env.account_history import AccountHistory
from finrl_ray.env.make import create_env
from finrl_ray.env.stock_trading import StockTradingEnv
from finrl_ray.errors import ConfigError, DataError

FEATURES = ("macd", "rsi_30", "close_30_sma")
START, DELISTED, END = "2006-01-03", "2006-06-01", "2006-12-29"
BEFORE, AFTER = "2006-07-03", "2006-07-10"


def prices() -> pd.DataFrame:
    """GOOG ends within the window, IBM before it, MSFT misses a week."""
    df = read_bundled()
    df = df[df["date"] < "2007-02-01"]
    df = df[~((df["tic"] == "GOOG") & (df["date"] >= DELISTED))]
    df = df[~((df["tic"] == "IBM") & (df["date"] >= "2005-12-01"))]
    hole = (df["date"] >= BEFORE) & (df["date"] < AFTER)
    return df[~((df["tic"] == "MSFT") & hole)].reset_index(drop=True)


def by_command_line(folder: Path) -> MarketData:
    prices().to_csv(folder / "prices.csv", index=False)
    market, _ = load_market_data(DataConfig(source="prices.csv", features=FEATURES), folder)
    split = SplitConfig(
        train=(None, pd.Timestamp("2005-06-01").date()),
        validation=(pd.Timestamp("2005-06-01").date(), pd.Timestamp(START).date()),
        test=(pd.Timestamp(START).date(), pd.Timestamp(END).date()),
    )
    return make_split(market, split).test.cut(market)


def by_guide(**options: Any) -> pd.DataFrame:
    engineer = FeatureEngineer(tech_indicator_list=FEATURES, **options)
    return data_split(engineer.preprocess_data(prices()), START, END)


def through_csv(df: pd.DataFrame) -> pd.DataFrame:
    text = io.StringIO(df.to_csv())
    return pd.read_csv(text, **EXACT_FLOATS)


def run(env: StockTradingEnv) -> AccountHistory:
    rng = np.random.default_rng(5)
    env.reset(seed=0)
    done, info = False, {}
    while not done:
        *_, ended, truncated, info = env.step(rng.uniform(-1, 1, 4).astype(np.float32))
        done = ended or truncated
    history: AccountHistory = info["account_history"]
    return history


ROUTES = {
    "as it is": lambda df: df,
    "pickled": lambda df: pickle.loads(pickle.dumps(df)),
    "csv": through_csv,
    "bools": lambda df: df.assign(tradable=df["tradable"].astype(bool)),
    "words": lambda df: df.assign(tradable=df["tradable"].astype(bool).astype(str)),
    "shuffled": lambda df: df.sample(frac=1.0, random_state=3),
}


@pytest.mark.parametrize("fill", ["close", "next_open"])
@pytest.mark.parametrize("through", ROUTES.values(), ids=ROUTES.keys())
def test_both_routes_give_one_account(tmp_path: Path, through: Any, fill: Any) -> None:
    market = by_command_line(tmp_path)
    frame = through(by_guide())
    env = create_env(frame, hmax=100, fill=fill)
    # the frame lists tickers in its own order, which a shuffle changes
    assert set(env.accounts.table.tickers) == set(market.tickers)
    if env.accounts.table.tickers != market.tickers:
        env = create_env(frame.sort_values(["date", "tic"]), hmax=100, fill=fill)
    assert env.accounts.table.feature_names == FEATURES
    np.testing.assert_array_equal(env.accounts.table.market.tradable, market.tradable)
    np.testing.assert_array_equal(env.accounts.table.features, market.features)
    line, guide = run(create_env(market, hmax=100, fill=fill)), run(env)
    np.testing.assert_array_equal(line.account_value, guide.account_value)
    np.testing.assert_array_equal(line.trades, guide.trades)
    # what is not quoted is not traded
    gone = guide.dates[:-1] >= np.datetime64(DELISTED)
    assert guide.trades is not None
    assert (guide.trades[gone, env.accounts.table.tickers.index("GOOG")][1:] == 0).all()
    assert (guide.trades[:, env.accounts.table.tickers.index("IBM")] == 0).all()
    days = guide.dates[:-1]
    hole = (days > np.datetime64(BEFORE)) & (days < np.datetime64("2006-07-07"))
    assert (guide.trades[hole, env.accounts.table.tickers.index("MSFT")] == 0).all()


def test_filled_rows_make_a_column_only_where_there_are_some() -> None:
    whole = FeatureEngineer(tech_indicator_list=["macd"]).preprocess_data(read_bundled())
    assert "tradable" not in whole
    filled = by_guide()
    assert filled.columns[-1] == "tradable"
    repeated = filled[filled["tradable"] == 0]
    assert set(repeated["tic"]) == {"GOOG", "IBM", "MSFT"}
    assert (repeated["volume"] == 0).all()


def test_preparing_twice_does_not_make_quotes_of_repeated_prices() -> None:
    once = FeatureEngineer(tech_indicator_list=["macd"]).preprocess_data(prices())
    again = FeatureEngineer(tech_indicator_list=["macd"]).preprocess_data(once.drop(columns="macd"))
    pd.testing.assert_frame_equal(once, again[once.columns])


def test_the_frame_of_an_env_keeps_the_mask(tmp_path: Path) -> None:
    market = by_command_line(tmp_path)
    first, second = create_env(market, hmax=100), None
    second = create_env(first.df, hmax=100)
    np.testing.assert_array_equal(run(first).account_value, run(second).account_value)


def test_another_meaning_of_the_column_is_refused() -> None:
    frame = by_guide().assign(tradable=0.5)
    with pytest.raises(DataError, match=r"tradable of AAPL on 2006-01-03 must be True or False"):
        create_env(frame, hmax=100)


def test_an_open_of_another_day_is_not_traded(tmp_path: Path) -> None:
    df = prices()
    df.loc[(df["tic"] == "AAPL") & (df["date"] == "2006-03-01"), "open"] = np.nan
    prepared = FeatureEngineer(tech_indicator_list=FEATURES).preprocess_data(df)
    window = data_split(prepared, START, END)
    with pytest.raises((DataError, ConfigError), match="open of AAPL on 2006-03-01"):
        create_env(window, hmax=100, fill="next_open")
    create_env(window, hmax=100)
