import itertools

import numpy as np
import pandas as pd
import pytest
from stockstats import StockDataFrame

from finrl_ray.data.features import (
    add_features,
    add_turbulence,
    available_indicators,
    turbulence,
)
from finrl_ray.data.indicators import FINRL_INDICATORS, lookback, required_columns
from finrl_ray.data.market_data import market_data_from_long
from finrl_ray.errors import DataError

PLAIN = ("close", "macd", "rsi_14", "close_-1_s", "atr", "obv", "close_10_sma_5_ema")


def frame_of(closes, tic="A"):
    dates = pd.date_range("2020-01-01", periods=len(closes)).strftime("%Y-%m-%d")
    return pd.DataFrame({"date": dates, "tic": tic, "close": closes})


def literal_turbulence(frame):
    """FinRL's steps, one date at a time, in pandas."""
    returns = frame.pivot_table(index="date", columns="tic", values="close").pct_change()
    result = []
    positives = 0
    for row in range(len(returns)):
        value = 0.0
        if row >= 252:
            past = returns.iloc[row - 252 : row].dropna()
            today = returns.iloc[[row]] - past.mean()
            value = (today.values @ np.linalg.pinv(past.cov().values) @ today.values.T).item()
            positives += value > 0
            if value <= 0 or positives <= 2:
                value = 0.0
        result.append(value)
    return np.array(result)


class TestIndicators:
    @pytest.mark.parametrize("names", [FINRL_INDICATORS, PLAIN])
    @pytest.mark.parametrize("tic", ["AAPL", "IBM"])
    def test_equal_to_stockstats_called_plainly(self, bundled_frame, tic, names):
        own = bundled_frame[bundled_frame["tic"] == tic]
        stock = StockDataFrame.retype(own.copy())
        data, _ = market_data_from_long(bundled_frame)
        data = add_features(data, names)
        asset = data.tickers.index(tic)
        for index, name in enumerate(names):
            expected = stock[name].to_numpy(dtype=float)
            np.testing.assert_allclose(data.features[:, asset, index], expected, rtol=1e-12)

    def test_worked_numbers(self):
        closes = [10.0, 11, 15, 12, 20, 16]
        data, _ = market_data_from_long(frame_of(closes))
        data = add_features(data, ["close_3_sma", "boll_3"])
        sma = [10, 10.5, 12, 38 / 3, 47 / 3, 16]
        np.testing.assert_allclose(data.features[:, 0, 0], sma, rtol=1e-15)
        np.testing.assert_allclose(data.features[:, 0, 1], sma, rtol=1e-15)
        assert data.warmup == 3

    def test_worked_bollinger_bands(self):
        closes = 50 + np.array([1.0, -1.0] * 15)
        data = add_features(market_data_from_long(frame_of(closes))[0], ["boll_ub", "boll_lb"])
        # 20 alternating values of +-1 about 50: mean 50, variance 20 / 19
        width = 2 * np.sqrt(20 / 19)
        np.testing.assert_allclose(data.features[19:, 0, 0], 50 + width, rtol=1e-12)
        np.testing.assert_allclose(data.features[19:, 0, 1], 50 - width, rtol=1e-12)

    def test_close_to_the_columns_of_finrl(self, dow_frame):
        data, _ = market_data_from_long(dow_frame, features=FINRL_INDICATORS)
        computed = add_features(market_data_from_long(dow_frame)[0], FINRL_INDICATORS)
        for name in ("boll_ub", "boll_lb", "cci_30", "close_30_sma", "close_60_sma"):
            index = FINRL_INDICATORS.index(name)  # those with a finite window
            np.testing.assert_allclose(
                computed.features[60:, :, index], data.features[60:, :, index], rtol=1e-9
            )

    @pytest.mark.parametrize(
        ("name", "rows"),
        [("macd", 35), ("macds", 35), ("macd_5,10,4", 14), ("boll_ub", 20), ("boll", 20),
         ("rsi_30", 30), ("rsi", 14), ("close_60_sma", 60), ("close_10_sma_5_ema", 15),
         ("close", 1), ("close_-2_d", 2), ("adxr", 26), ("close_delta", 2), ("kdjk", 9)],
    )  # fmt: skip
    def test_lookback(self, name, rows):
        assert lookback(name) == rows

    def test_warmup_is_the_longest_lookback(self, bundled_frame):
        data, _ = market_data_from_long(bundled_frame)
        assert add_features(data, FINRL_INDICATORS).warmup == 60
        assert add_features(data, ["macd"]).warmup == 35
        assert add_features(data, []).warmup == 0

    def test_computed_on_own_quoted_rows_and_carried(self, bundled_frame):
        df = bundled_frame.copy()
        dates = df["date"].unique()
        gap = (df["tic"] == "IBM") & df["date"].isin(dates[100:110])
        df.loc[gap, "close"] = np.nan
        df.loc[(df["tic"] == "IBM") & (df["date"] == dates[120]), "high"] = 0.0
        data = add_features(market_data_from_long(df)[0], FINRL_INDICATORS)
        own = bundled_frame[(bundled_frame["tic"] == "IBM") & ~gap]
        stock = StockDataFrame.retype(own.copy())
        asset = data.tickers.index("IBM")
        kept = np.r_[0:100, 110 : len(dates)]
        for name in ("macd", "close_60_sma"):
            values = data.features[:, asset, FINRL_INDICATORS.index(name)]
            np.testing.assert_allclose(values[kept], stock[name].to_numpy(), rtol=1e-12)
            assert (values[100:110] == values[99]).all()
        cci = data.features[:, asset, FINRL_INDICATORS.index("cci_30")]
        assert cci[120] == cci[119]  # no high that day
        assert cci[121] != cci[120]

    def test_a_neighbour_has_no_influence(self, bundled_frame):
        data = add_features(market_data_from_long(bundled_frame)[0], FINRL_INDICATORS)
        alone = add_features(
            market_data_from_long(bundled_frame, tickers=["IBM"])[0], FINRL_INDICATORS
        )
        np.testing.assert_array_equal(data.features[:, 2], alone.features[:, 0])

    def test_features_are_appended(self, bundled_frame):
        data, _ = market_data_from_long(bundled_frame, features=["volume"])
        data = add_features(data, ["rsi_30"])
        assert data.feature_names == ("volume", "rsi_30")
        assert data.features.shape[2] == 2

    def test_required_columns(self):
        assert required_columns("macd") == {"close"}
        assert required_columns("cci_30") == {"high", "low", "close"}
        assert required_columns("obv") == {"close", "volume"}
        assert required_columns("open") == {"open"}


class TestRefusals:
    @pytest.fixture
    def data(self, bundled_frame):
        return market_data_from_long(bundled_frame)[0]

    @pytest.mark.parametrize(
        "name",
        ["close_1_s", "close_5_fc", "high_2_p", "close_1_r", "volume_3_d", "close_gt_close_1_s",
         "close_10_sma_xd_close_3_s", "close_20_s", "close_gt_open_1_s", "change_-3~1_p",
         "close_1_s_10_sma"],
    )  # fmt: skip
    def test_names_that_look_ahead(self, data, name):
        with pytest.raises(DataError, match="uses rows from the future"):
            add_features(data, [name])

    @pytest.mark.parametrize("name", ["close_-1_s", "close_-3_r", "close_-2_d", "macdh", "wr_10"])
    def test_names_that_look_back(self, data, name):
        assert add_features(data, [name]).feature_names == (name,)

    @pytest.mark.parametrize(
        ("name", "nearest"), [("clsoe_30_sma", "close_30_sma"), ("macdd", "macd"), ("MACD", "macd")]
    )
    def test_unknown(self, data, name, nearest):
        with pytest.raises(
            DataError, match=f"unknown indicator '{name}'.*Did you mean '{nearest}'"
        ):
            add_features(data, [name])

    @pytest.mark.parametrize(
        "name", ["", " ", "_", "a_1_axis", "index", "date", "rsi_-3", "x_1,2,3_y", "eri", "_delta"]
    )
    def test_odd_names(self, data, name):
        with pytest.raises(DataError, match="unknown indicator"):
            add_features(data, [name])

    def test_close_only(self, bundled_frame):
        data, _ = market_data_from_long(bundled_frame[["date", "tic", "close"]])
        with pytest.raises(DataError, match=r"'cci_30' needs \['high', 'low'\].*'macd', 'boll_ub'"):
            add_features(data, ["cci_30"])
        with pytest.raises(DataError, match="the data has no 'volume'"):
            add_features(data, ["obv"])
        works = available_indicators(data)
        assert set(FINRL_INDICATORS) - set(works) == {"cci_30", "dx_30"}
        assert add_features(data, works).warmup == 60

    def test_one_ticker_without_highs(self, bundled_frame):
        df = bundled_frame.copy()
        df.loc[df["tic"] == "IBM", "high"] = np.nan
        with pytest.raises(DataError, match=r"\['IBM'\] have no 'high'"):
            add_features(market_data_from_long(df)[0], ["dx_30"])

    def test_too_few_rows(self, tiny):
        with pytest.raises(DataError, match=r"needs 60 rows .* has only 9 dates"):
            add_features(market_data_from_long(tiny(9))[0], ["close_60_sma"])
        with pytest.raises(DataError, match="needs 99999 rows"):
            add_features(market_data_from_long(tiny(9))[0], ["close_99999_sma"])
        with pytest.raises(DataError, match="looks back on 99,999,999,999 rows"):
            add_features(market_data_from_long(tiny(9))[0], ["close_99999999999_sma"])

    def test_twice(self, data):
        with pytest.raises(DataError, match="'macd' comes twice"):
            add_features(data, ["macd", "macd"])
        with pytest.raises(DataError, match="'macd' comes twice"):
            add_features(add_features(data, ["macd"]), ["macd"])


class TestTurbulence:
    def test_equal_to_finrl_step_by_step(self, bundled_frame):
        frame = bundled_frame[bundled_frame["date"] < "2006-01-01"]
        data, _ = market_data_from_long(frame)
        expected = literal_turbulence(frame)
        assert (expected[:254] == 0).all()
        assert (expected[254:] > 0).all()
        np.testing.assert_allclose(turbulence(data.close), expected, rtol=1e-9)

    def test_equal_to_the_column_of_finrl(self, dow_frame):
        # the column was made from a longer history: its row 252 has one row more in the window,
        # and the two positive values that are set to 0 lie further back
        data, _ = market_data_from_long(dow_frame, market_columns=["turbulence"])
        found, expected = turbulence(data.close), data.market_series("turbulence")
        np.testing.assert_allclose(found[254:], expected[254:], rtol=1e-9)

    def test_one_ticker_is_the_squared_z_score(self, bundled_frame):
        data, _ = market_data_from_long(bundled_frame, tickers=["IBM"])
        close = data.close[:, 0]
        returns = close[1:] / close[:-1] - 1
        past = returns[300 - 1 - 252 : 300 - 1]
        z = (returns[299] - past.mean()) / past.std(ddof=1)
        np.testing.assert_allclose(turbulence(data.close)[300], z**2, rtol=1e-9)

    def test_chunks_do_not_matter(self, bundled_frame, monkeypatch):
        close = market_data_from_long(bundled_frame)[0].close
        whole = turbulence(close)
        monkeypatch.setattr("finrl_ray.data.features._CHUNK_VALUES", 7 * 4 * 252)
        np.testing.assert_array_equal(turbulence(close), whole)

    def test_flat_prices(self):
        assert (turbulence(np.full((300, 3), 5.0)) == 0).all()

    @pytest.mark.parametrize("rows", [1, 2, 252, 253, 254, 255])
    def test_short(self, rows):
        close = 100 + np.random.default_rng(0).normal(size=(rows, 3))
        found = turbulence(close)
        assert found.shape == (rows,)
        assert (found[:254] == 0).all()
        assert (found[254:] > 0).all()

    def test_add(self, bundled_frame):
        data = add_turbulence(market_data_from_long(bundled_frame)[0])
        assert data.warmup == 252
        np.testing.assert_array_equal(data.market_series("turbulence"), turbulence(data.close))
        with pytest.raises(DataError, match="already has a market series 'turbulence'"):
            add_turbulence(data)

    def test_add_to_short_data(self, tiny):
        with pytest.raises(DataError, match=r"needs 252 rows .* has only 9 dates"):
            add_turbulence(market_data_from_long(tiny(9))[0])


def build(frame):
    wanted = {name for name in ("score", "vix") if name in frame}
    data, _ = market_data_from_long(
        frame,
        features=["score"] if "score" in wanted else [],
        market_columns=["vix"] if "vix" in wanted else [],
    )
    return add_turbulence(add_features(data, (*FINRL_INDICATORS, "atr", "close_-1_s")))


def wild(frame, after, kind):
    """Cut off, or change beyond recognition, every row later than a date."""
    late = frame["date"] > after
    if kind == "cut":
        return frame[~late]
    df = frame.copy()
    rng = np.random.default_rng(3)
    numbers = [c for c in df.columns if c not in ("date", "tic", "note", "vix")]
    if kind == "other prices":
        factors = rng.lognormal(0, 1, (int(late.sum()), len(numbers)))
        df.loc[late, numbers] = df.loc[late, numbers].to_numpy() * factors
        df = df.drop_duplicates(["date", "tic"], keep="first")
    else:
        df.loc[late, numbers] = {"nan": np.nan, "zero": 0.0}[kind]
    return df


class TestCausality:
    @pytest.mark.parametrize("kind", ["cut", "other prices", "nan", "zero"])
    @pytest.mark.parametrize("source", ["bundled_frame", "messy_frame"])
    def test_later_rows_change_nothing_before_them(self, request, source, kind):
        frame = request.getfixturevalue(source)
        frame = frame[frame["date"] < "2006-08-01"]
        dates = sorted(frame["date"].unique())
        full = build(frame)
        for row in (290, 333, len(dates) - 2):
            other = build(wild(frame, dates[row], kind))
            rows = int(np.searchsorted(full.dates, np.datetime64(dates[row]), side="right"))
            assert other.tickers == full.tickers
            for name in ("dates", "close", "open", "high", "low", "volume", "tradable",
                         "features", "market_features"):  # fmt: skip
                np.testing.assert_array_equal(
                    getattr(other, name)[:rows], getattr(full, name)[:rows], err_msg=name
                )

    def test_every_prefix_of_a_short_gappy_frame(self, tiny):
        df = tiny(40, tickers=("A", "B"))
        df.loc[df.index[::7], "close"] = 0.0
        df.loc[df.index[::11], "high"] = np.nan
        dates = df["date"].unique()
        names = ["close_5_sma", "cci_10", "rsi_6"]
        full = add_features(market_data_from_long(df)[0], names)
        for rows, last in itertools.islice(enumerate(dates, start=1), 12, None):
            part = add_features(market_data_from_long(df[df["date"] <= last])[0], names)
            cut = part.n_periods
            np.testing.assert_array_equal(part.features, full.features[:cut], err_msg=str(rows))


@pytest.mark.slow
def test_speed():
    import time

    rng = np.random.default_rng(0)
    t, n = 3000, 30
    close = 100 * np.exp(np.cumsum(rng.normal(0, 0.02, (t, n)), axis=0))
    dates = np.repeat(pd.bdate_range("2005-01-03", periods=t).strftime("%Y-%m-%d"), n)
    df = pd.DataFrame({"date": dates, "tic": np.tile([f"T{i}" for i in range(n)], t)})
    df["close"] = close.ravel()
    for name, factor in (("open", 1.0), ("high", 1.01), ("low", 0.99)):
        df[name] = df["close"] * factor
    start = time.perf_counter()
    add_turbulence(add_features(market_data_from_long(df)[0], FINRL_INDICATORS))
    assert time.perf_counter() - start < 10
