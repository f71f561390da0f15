"""FinRL's preparation under FinRL's names: its numbers where they are right, causal elsewhere."""

import contextlib
import datetime
import io
import itertools
import logging

import numpy as np
import pandas as pd
import pytest
from finrl_source import finrl_preprocessors

from finrl_ray.compat.preprocessing import FeatureEngineer, data_split
from finrl_ray.data.sources.bundled import read_bundled
from finrl_ray.env.stock_trading import StockTradingEnv
from finrl_ray.errors import ConfigError, DataError


@pytest.fixture(scope="module")
def prices() -> pd.DataFrame:
    df = read_bundled()
    return df[df["date"] < "2006-06-01"].reset_index(drop=True)


def without(df: pd.DataFrame, tic: str, dates) -> pd.DataFrame:
    return df[~((df["tic"] == tic) & df["date"].isin(list(dates)))]


def vix_frame(prices: pd.DataFrame) -> pd.DataFrame:
    dates = prices["date"].unique()
    return pd.DataFrame({"date": dates, "close": 10.0 + np.arange(len(dates)) % 7})


# -- data_split -----------------------------------------------------------------------------------


def test_data_split_is_half_open_and_numbers_the_days(prices: pd.DataFrame) -> None:
    shuffled = prices.sample(frac=1.0, random_state=0)
    part = data_split(shuffled, "2005-01-03", "2005-01-06")
    assert part["date"].unique().tolist() == ["2005-01-03", "2005-01-04", "2005-01-05"]
    assert part.index.tolist() == [0] * 4 + [1] * 4 + [2] * 4
    assert part["tic"].tolist() == ["AAPL", "GOOG", "IBM", "MSFT"] * 3
    assert list(shuffled.index) != list(prices.index)  # the argument keeps its rows


def test_data_split_takes_date_objects_and_other_columns(prices: pd.DataFrame) -> None:
    expected = data_split(prices, "2005-01-03", "2005-02-01")
    bounds = (datetime.date(2005, 1, 3), datetime.date(2005, 2, 1))
    pd.testing.assert_frame_equal(data_split(prices, *bounds), expected)
    stamps = prices.assign(date=pd.to_datetime(prices["date"]))
    assert len(data_split(stamps, "2005-01-03", "2005-02-01")) == len(expected)
    renamed = prices.rename(columns={"date": "day_of"})
    assert len(data_split(renamed, "2005-01-03", "2005-02-01", "day_of")) == len(expected)
    with pytest.raises(DataError, match=r"data_split needs the columns \['date'\]"):
        data_split(renamed, "2005-01-03", "2005-02-01")


def test_bounds_that_are_numbers_are_refused_where_dates_are_text(prices: pd.DataFrame) -> None:
    with pytest.raises(DataError, match=r"dates as the column 'date' has them.*number 20050103"):
        data_split(prices, 20050103, 20050201)


def test_an_empty_split_is_mentioned(prices: pd.DataFrame, caplog) -> None:
    assert data_split(prices, "2030-01-01", "2031-01-01").empty
    assert "found no row with 2030-01-01 <= date < 2031-01-01" in caplog.text


# -- FinRL's own numbers --------------------------------------------------------------------------


def test_data_split_equals_finrl(prices: pd.DataFrame, monkeypatch) -> None:
    theirs = finrl_preprocessors(monkeypatch)
    shuffled = prices.sample(frac=1.0, random_state=0)
    arguments = (shuffled, "2005-01-03", "2006-01-03")
    pd.testing.assert_frame_equal(data_split(*arguments), theirs.data_split(*arguments))


def test_features_equal_finrl_where_finrl_looks_neither_ahead_nor_aside(
    prices: pd.DataFrame, monkeypatch
) -> None:
    module = finrl_preprocessors(monkeypatch)
    with contextlib.redirect_stdout(io.StringIO()):
        theirs = module.FeatureEngineer(
            use_turbulence=True, user_defined_feature=True
        ).preprocess_data(prices)
    ours = FeatureEngineer(use_turbulence=True, user_defined_feature=True).preprocess_data(prices)
    assert list(ours.columns) == list(theirs.columns)
    first = theirs[theirs["date"] == theirs["date"].min()]
    # every ticker shows AAPL's band of the second day: filled from below, and from a neighbour
    assert first["boll_ub"].nunique() == 1
    rest = theirs[theirs["date"] > theirs["date"].min()].reset_index(drop=True)
    assert (ours["date"] == rest["date"]).all()
    assert (ours["tic"] == rest["tic"]).all()
    same = [n for n in ours.columns if n not in ("date", "tic", "daily_return")]
    np.testing.assert_allclose(ours[same], rest[same], rtol=0, atol=1e-9)
    # FinRL's daily return compares GOOG's price with AAPL's
    assert theirs["daily_return"].abs().max() > 5
    returns = prices.set_index(["date", "tic"])["close"].unstack().pct_change().stack()
    np.testing.assert_allclose(
        ours["daily_return"], returns.reindex(pd.MultiIndex.from_frame(ours[["date", "tic"]]))
    )


# -- gaps -----------------------------------------------------------------------------------------


def test_a_ticker_with_missing_days_stays_and_is_carried(prices: pd.DataFrame, caplog) -> None:
    caplog.set_level(logging.INFO)
    dates = prices["date"].unique()
    gap = dates[100:103]
    holed = without(prices, "IBM", gap)
    prepared = FeatureEngineer(tech_indicator_list=["macd"]).preprocess_data(holed)
    assert "IBM has no quote on 3 of" in caplog.text
    assert prepared.groupby("date")["tic"].count().eq(4).all()
    ibm = prepared[prepared["tic"] == "IBM"].set_index("date")
    for name in ("close", "open", "macd"):
        assert (ibm.loc[gap, name] == ibm.loc[dates[99], name]).all()
    assert (ibm.loc[gap, "volume"] == 0).all()
    # the indicator saw the quotes alone, not the repeated prices
    whole = FeatureEngineer(tech_indicator_list=["macd"]).preprocess_data(
        holed[holed["tic"] == "IBM"]
    )
    assert ibm.loc[dates[103:], "macd"].tolist() == whole["macd"].tolist()[100:]


def test_one_date_written_in_two_ways_is_one_date(prices: pd.DataFrame) -> None:
    mixed = prices.copy()
    second = mixed["tic"] == mixed["tic"].iloc[-1]
    mixed.loc[second, "date"] = mixed.loc[second, "date"].str.replace("-", "/")
    plain = FeatureEngineer(tech_indicator_list=["macd"]).preprocess_data(prices)
    pd.testing.assert_frame_equal(
        FeatureEngineer(tech_indicator_list=["macd"]).preprocess_data(mixed), plain
    )
    half = prices["date"].iloc[len(prices) // 2]
    assert len(data_split(mixed, half, "2100-01-01")) == len(data_split(prices, half, "2100-01-01"))


def test_bars_of_two_zones_are_prepared_as_instants() -> None:
    hours = pd.date_range("2023-01-09 12:00", periods=120, freq="h", tz="UTC")
    frame = pd.concat(
        pd.DataFrame({
            "date": [hour.isoformat() for hour in hours.tz_convert(zone)],
            "tic": tic,
            "close": np.arange(120.0) + 1.0,
        })
        for tic, zone in (("LON", "Europe/London"), ("NYC", "America/New_York"))
    )  # fmt: skip
    prepared = FeatureEngineer(tech_indicator_list=["close_3_sma"]).preprocess_data(frame)
    assert prepared["date"].iloc[0] == "2023-01-09 12:00:00"
    assert (prepared.groupby("date")["close"].nunique() == 1).all()
    zoned = pd.Timestamp("2023-01-09 19:00", tz="America/New_York")
    for rows, start in ((prepared, "2023-01-10"), (frame, "2023-01-10"), (frame, zoned)):
        part = data_split(rows, start, "2023-01-12")
        assert len(part) == 2 * 48
        assert part.index.max() == 47
        assert (part["close"].groupby(part.index).nunique() == 1).all()
    with pytest.raises(DataError, match="start must have no time zone, as the dates have none"):
        data_split(prepared, zoned, "2023-01-12")


def test_gaps_can_stay_open(prices: pd.DataFrame) -> None:
    holed = without(prices, "IBM", prices["date"].unique()[100:103])
    engineer = FeatureEngineer(tech_indicator_list=["macd"], fill_gaps=False)
    assert len(engineer.preprocess_data(holed)) == len(holed)


def test_nothing_comes_from_a_later_day_or_a_neighbour(prices: pd.DataFrame) -> None:
    dates = prices["date"].unique()
    holed = without(without(prices, "IBM", dates[300:305]), "GOOG", dates[:7])
    engineer = FeatureEngineer(use_turbulence=True, use_vix=True, vix=vix_frame(prices))
    full = engineer.preprocess_data(holed)
    cut = engineer.preprocess_data(holed[holed["date"] <= dates[303]])
    assert cut["date"].max() == dates[303]
    early = full[full["date"] <= dates[303]].reset_index(drop=True)
    numbers = [n for n in cut.columns if n not in ("date", "tic")]
    np.testing.assert_allclose(cut[numbers], early[numbers], rtol=1e-12, atol=1e-12)
    wild = holed.copy()
    wild.loc[wild["tic"] == "AAPL", "close"] *= 3.0
    other = engineer.preprocess_data(wild)
    assert other.loc[other["tic"] == "MSFT", "macd"].equals(full.loc[full["tic"] == "MSFT", "macd"])


def test_a_late_ticker_costs_early_dates_or_is_dropped_and_both_are_said(
    prices: pd.DataFrame, caplog
) -> None:
    dates = prices["date"].unique()
    engineer = FeatureEngineer(tech_indicator_list=["rsi_30"])
    later = engineer.preprocess_data(without(prices, "GOOG", dates[:10]))
    assert (later["date"].min(), later["tic"].nunique()) == (dates[10], 4)
    assert "the first 10 dates were dropped" in caplog.text
    fewer = engineer.preprocess_data(without(prices, "GOOG", dates[:300]))
    assert (fewer["date"].min(), sorted(fewer["tic"].unique())) == (
        dates[0],
        ["AAPL", "IBM", "MSFT"],
    )
    assert "GOOG was dropped: its first quote is on" in caplog.text


def test_a_gap_on_the_day_when_the_last_ticker_arrives(prices: pd.DataFrame) -> None:
    dates = prices["date"].unique()
    holed = without(without(prices, "GOOG", dates[:10]), "IBM", dates[8:12])
    prepared = FeatureEngineer(tech_indicator_list=["rsi_30"]).preprocess_data(holed)
    assert prepared["date"].min() == dates[12]
    assert prepared.groupby("date")["tic"].count().eq(4).all()


def test_zeros_of_a_product_are_no_quotes(prices: pd.DataFrame) -> None:
    zeroed = prices.copy()
    rows = (zeroed["tic"] == "IBM") & (zeroed["date"] == prices["date"].unique()[50])
    zeroed.loc[rows, ["open", "high", "low", "close", "volume"]] = 0.0
    prepared = FeatureEngineer(tech_indicator_list=["macd"]).preprocess_data(zeroed)
    assert (prepared["close"] > 0).all()
    assert len(prepared) == len(prices)


# -- columns --------------------------------------------------------------------------------------


def test_a_vix_frame_without_values_is_refused(prices: pd.DataFrame) -> None:
    vix = vix_frame(prices).rename(columns={"close": "VIX"})
    engineer = FeatureEngineer(use_technical_indicator=False, use_vix=True, vix=vix)
    with pytest.raises(
        DataError, match=r"columns date and vix \(or close\), got \['date', 'VIX'\]"
    ):
        engineer.preprocess_data(prices)


def test_vix_is_the_last_value_known_and_the_last_day_stays(prices: pd.DataFrame) -> None:
    dates = prices["date"].unique()
    vix = vix_frame(prices).drop(index=[5, 200])
    engineer = FeatureEngineer(tech_indicator_list=[], use_vix=True, vix=vix)
    prepared = engineer.preprocess_data(prices)
    by_date = prepared.drop_duplicates("date").set_index("date")["vix"]
    assert list(by_date.index) == list(dates)
    assert by_date[dates[5]] == 14.0
    assert by_date[dates[-1]] == 10.0 + (len(dates) - 1) % 7
    assert prepared.groupby("date")["vix"].nunique().eq(1).all()
    late = FeatureEngineer(tech_indicator_list=[], use_vix=True, vix=vix_frame(prices).iloc[3:])
    assert late.preprocess_data(prices)["date"].min() == dates[3]
    never = FeatureEngineer(
        tech_indicator_list=[], use_vix=True, vix=pd.DataFrame({"date": ["2030-01-01"], "vix": 1.0})
    )
    with pytest.raises(DataError, match="the VIX has no value on or before any date"):
        never.preprocess_data(prices)


def test_extra_columns_and_the_index_of_a_csv_survive(prices: pd.DataFrame) -> None:
    frame = prices.assign(day=pd.to_datetime(prices["date"]).dt.day_of_week, score=1.5)
    frame.insert(0, "Unnamed: 0", range(len(frame)))
    holed = without(frame, "IBM", frame["date"].unique()[20:21])
    prepared = FeatureEngineer(tech_indicator_list=["macd"]).preprocess_data(holed)
    assert list(prepared.columns) == [*frame.columns, "macd", "tradable"]
    weekdays = pd.to_datetime(prepared["date"]).dt.day_of_week
    assert (prepared["day"] == weekdays).all()
    assert (prepared["score"] == 1.5).all()


def test_what_cannot_be_computed_is_refused(prices: pd.DataFrame) -> None:
    with pytest.raises(DataError, match=r"unknown indicator 'macdd'.* Did you mean"):
        FeatureEngineer(tech_indicator_list=["macdd"]).preprocess_data(prices)
    with pytest.raises(DataError, match="'close_1_s' uses rows from the future"):
        FeatureEngineer(tech_indicator_list=["close_1_s"]).preprocess_data(prices)
    with pytest.raises(DataError, match=r"'cci_30' needs the columns \['high', 'low'\]"):
        FeatureEngineer(tech_indicator_list=["cci_30"]).preprocess_data(
            prices[["date", "tic", "close"]]
        )
    with pytest.raises(DataError, match=r"already has the columns \['macd'\]"):
        FeatureEngineer(tech_indicator_list=["macd"]).preprocess_data(prices.assign(macd=0.0))
    with pytest.raises(ConfigError, match="tech_indicator_list must be a list"):
        FeatureEngineer(tech_indicator_list="macd")
    short = prices[prices["date"] < "2005-01-01"]
    with pytest.raises(DataError, match="turbulence needs more than 252 dates, got"):
        FeatureEngineer(tech_indicator_list=[], use_turbulence=True).preprocess_data(short)
    missing = without(prices, "IBM", prices["date"].unique()[:1])
    with pytest.raises(DataError, match=r"a close above 0 of every ticker.*IBM has none"):
        FeatureEngineer().calculate_turbulence(missing)


# -- the product of dates and tickers -------------------------------------------------------------


def test_holes_of_the_tutorials_product_are_neither_free_nor_traded(prices: pd.DataFrame) -> None:
    engineer = FeatureEngineer(tech_indicator_list=["macd"], use_vix=True, vix=vix_frame(prices))
    processed = engineer.preprocess_data(prices)
    hole = processed["date"].unique()[[30, 31]]
    processed = without(processed, "AAPL", hole)
    combination = itertools.product(
        pd.date_range(processed["date"].min(), processed["date"].max()).strftime("%Y-%m-%d"),
        processed["tic"].unique(),
    )
    full = pd.DataFrame(combination, columns=["date", "tic"]).merge(
        processed, on=["date", "tic"], how="left"
    )
    full = full[full["date"].isin(processed["date"])].sort_values(["date", "tic"]).fillna(0)
    assert (full.loc[full["date"].isin(hole), "close"] == 0).sum() == 2
    text = io.StringIO(data_split(full, "2004-08-19", "2005-06-01").to_csv())
    train = pd.read_csv(text).set_index("Unnamed: 0")
    env = StockTradingEnv(
        train,
        stock_dim=4,
        tech_indicator_list=["macd"],
        state_space=13,
        action_space=4,
        risk_indicator_col="vix",
        turbulence_threshold=70,
    )
    env.reset(seed=0)
    done = False
    while not done:
        *_, done, info = env.step(np.ones(4, dtype=np.float32))
    history = info["account_history"]
    days = [list(history.dates.astype("datetime64[D]").astype(str)).index(day) for day in hole]
    assert (history.trades[days, 0] == 0).all()
    assert history.trades[29, 0] > 0
    assert (np.abs(np.diff(history.account_value)) / history.account_value[:-1]).max() < 0.15
