import contextlib
import re
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from finrl_ray.data.market_data import MarketData, market_data_from_long
from finrl_ray.errors import DataError

PRICES = ("open", "high", "low", "close", "volume")


def put(df, tic, day, column, value):
    """Return the frame with one cell changed."""
    df = df.copy()
    if not isinstance(value, (int, float)):
        df[column] = df[column].astype(object)
    dates = sorted(df["date"].unique())
    df.loc[(df["tic"] == tic) & (df["date"] == dates[day]), column] = value
    return df


def drop(df, tic, day):
    dates = sorted(df["date"].unique())
    return df[~((df["tic"] == tic) & (df["date"] == dates[day]))]


class TestPlainFrame:
    def test_arrays(self, tiny):
        data, report = market_data_from_long(tiny())
        assert data.tickers == ("A", "B")
        assert data.dates.dtype == np.dtype("datetime64[ns]")
        np.testing.assert_array_equal(data.close, [[10, 20], [11, 21], [12, 22], [13, 23]])
        np.testing.assert_array_equal(data.open, data.close - 0.5)
        np.testing.assert_array_equal(data.high, data.close + 1)
        np.testing.assert_array_equal(data.low, data.close - 1)
        np.testing.assert_array_equal(data.volume[:, 1], [100, 101, 102, 103])
        assert data.tradable.all()
        assert data.has_open
        assert data.features.shape == (4, 2, 0)
        assert data.market_features.shape == (4, 0)
        assert (report.n_periods, report.n_assets) == (4, 2)
        assert (report.first_date, report.last_date) == ("2020-01-01", "2020-01-04")
        assert report.notes == ()

    def test_from_finrl_is_the_same(self, tiny):
        df = tiny()
        data = MarketData.from_finrl(df, ["volume"], tickers=["B"])
        same, _ = market_data_from_long(df, features=["volume"], tickers=["B"])
        assert data.content_hash == same.content_hash

    def test_order_of_rows_does_not_matter(self, tiny):
        shuffled = tiny().sample(frac=1.0, random_state=0)
        expected = market_data_from_long(tiny())[0].content_hash
        assert market_data_from_long(shuffled)[0].content_hash == expected

    def test_finrl_habits(self, tiny):
        df = tiny()
        df["day"] = 3
        df.index = pd.factorize(df["date"])[0]
        df.insert(0, "Unnamed: 0", range(len(df)))
        df.insert(0, 7, "x")
        expected = market_data_from_long(tiny())[0].content_hash
        assert market_data_from_long(df)[0].content_hash == expected

    @pytest.mark.parametrize(
        "convert",
        [
            pd.to_datetime,
            lambda s: pd.to_datetime(s).dt.date,
            lambda s: s.astype(object),
            lambda s: s.astype("category"),
            lambda s: s.str.replace("-", "/"),
            lambda s: s.str.replace("-", ""),
            lambda s: s + " 00:00:00",
            lambda s: s + "T00:00:00.000000000",
            lambda s: pd.to_datetime(s).astype("datetime64[s]"),
            lambda s: pd.Series([np.datetime64(v) for v in s], dtype=object),
        ],
    )
    def test_kinds_of_dates(self, tiny, convert):
        df = tiny()
        df["date"] = convert(df["date"])
        expected = market_data_from_long(tiny())[0].content_hash
        assert market_data_from_long(df)[0].content_hash == expected

    @pytest.mark.parametrize("dtype", ["Float64", "float32", "object", "Int64", "int64"])
    def test_kinds_of_numbers(self, tiny, dtype):
        df = tiny()
        df["close"] = df["close"].astype(dtype)
        data, _ = market_data_from_long(df)
        assert data.close.dtype == np.float64
        np.testing.assert_array_equal(data.close[:, 0], [10, 11, 12, 13])

    def test_decimal_and_none(self, tiny):
        df = put(tiny(), "A", 1, "close", Decimal("11.25"))
        df = put(df, "A", 2, "close", None)
        np.testing.assert_array_equal(
            market_data_from_long(df)[0].close[:, 0], [10, 11.25] * 1 + [11.25, 13]
        )

    def test_close_only(self, tiny):
        data, _ = market_data_from_long(tiny()[["date", "tic", "close"]])
        for name in ("open", "high", "low", "volume"):
            assert np.isnan(getattr(data, name)).all()
        assert not data.has_open

    def test_one_ticker(self, tiny):
        assert market_data_from_long(tiny(tickers=("A",)))[0].n_assets == 1

    def test_tickers_keep_the_given_order(self, tiny):
        data, _ = market_data_from_long(tiny(tickers=("A", "B", "C")), tickers=["C", "A"])
        assert data.tickers == ("C", "A")
        np.testing.assert_array_equal(data.close[0], [30, 10])

    def test_start_is_inclusive_and_end_is_not(self, tiny):
        data, _ = market_data_from_long(tiny(9), start="2020-01-03", end=date(2020, 1, 6))
        assert [str(d)[:10] for d in data.dates] == ["2020-01-03", "2020-01-04", "2020-01-05"]

    def test_input_is_not_changed(self, messy_frame):
        before = messy_frame.copy(deep=True)
        market_data_from_long(messy_frame, features=["score"], market_columns=["vix"])
        pd.testing.assert_frame_equal(messy_frame, before)

    def test_text_columns_are_listed(self, tiny):
        df = tiny()
        df["sector"] = "tech"
        assert "'sector'" in market_data_from_long(df)[1].notes[0]


class TestDates:
    def test_intraday(self, tiny):
        df = tiny()
        stamps = pd.date_range("2020-01-02 09:30", periods=4, freq="min").astype(str)
        df["date"] = df["date"].map(dict(zip(df["date"].unique(), stamps, strict=True)))
        data, report = market_data_from_long(df, start="2020-01-02 09:31")
        assert data.n_periods == 3
        assert report.first_date == "2020-01-02 09:31:00"

    def test_mixed_zones(self, tiny):
        df = put(tiny(), "B", 2, "date", datetime(2020, 1, 3, tzinfo=timezone.utc))
        with pytest.raises(DataError, match=r"either all dates have a time zone or none.*of B"):
            market_data_from_long(df)
        df = put(tiny(), "B", 2, "date", "2020-01-03 00:00+00:00")
        with pytest.raises(DataError, match="either all dates have a time zone or none"):
            market_data_from_long(df)

    @pytest.mark.parametrize(
        "value",
        ["garbage", "2020-02-30", "01/02/2020", "", "now", "2020-13-01", 20200101, 1.5, True, [1],
         {}, b"2020-01-01", timedelta(1), pd.Period("2020-01"), "2020-01-01 25:00", 1 + 2j,
         "\u0662020-01-01"],
    )  # fmt: skip
    def test_unreadable(self, tiny, value):
        df = tiny()
        dates = df["date"].astype(object).tolist()
        dates[5] = value
        df["date"] = pd.Series(dates, dtype=object)
        pattern = re.escape(repr(value)) + ".*of B .*cannot be read as a date"
        with pytest.raises(DataError, match=pattern):
            market_data_from_long(df)

    def test_numbers_are_not_dates(self, tiny):
        df = tiny()
        df["date"] = df["date"].str.replace("-", "").astype(int)
        with pytest.raises(DataError, match=r"20200101 of A .*pd.to_datetime"):
            market_data_from_long(df)

    @pytest.mark.parametrize("value", [None, np.nan, pd.NaT, pd.NA])
    def test_missing(self, tiny, value):
        df = tiny()
        with pytest.raises(DataError, match="'date' must be filled in every row, but row 3"):
            market_data_from_long(
                df.assign(date=[*df["date"][:3], value, *df["date"][4:]]).astype({"date": object})
            )
        stamps = pd.to_datetime(df["date"])
        stamps[3] = pd.NaT
        with pytest.raises(DataError, match="'date' must be filled in every row, but row 3"):
            market_data_from_long(df.assign(date=stamps))

    def test_out_of_range(self, tiny):
        df = tiny()
        with pytest.raises(DataError, match="1677-09-22 and 2262-04-11"):
            market_data_from_long(df.assign(date=df["date"].str.replace("2020", "3020")))

    def test_bounds(self, tiny):
        with pytest.raises(DataError, match="covers 2020-01-01 to 2020-01-04"):
            market_data_from_long(tiny(), start="2021-01-01")
        with pytest.raises(DataError, match=r"start must be a date such as .* got 'soon'"):
            market_data_from_long(tiny(), start="soon")
        data, _ = market_data_from_long(tiny(), start=date(1, 1, 1), end=date(9999, 12, 31))
        assert data.n_periods == 4


class TestHoles:
    @pytest.mark.parametrize("value", [np.nan, 0.0, -0.0])
    def test_close_without_a_value(self, tiny, value):
        data, report = market_data_from_long(put(tiny(), "A", 2, "close", value))
        np.testing.assert_array_equal(data.close[:, 0], [10, 11, 11, 13])
        np.testing.assert_array_equal(data.tradable[:, 0], [True, True, False, True])
        assert data.tradable[:, 1].all()
        for name in ("open", "high", "low", "volume"):
            assert np.isnan(getattr(data, name)[2, 0])
        assert report.untradable["A"].count == 1
        assert report.untradable["A"].first_date == "2020-01-03"

    def test_missing_row(self, tiny):
        data, _ = market_data_from_long(drop(tiny(), "B", 1))
        np.testing.assert_array_equal(data.close[:, 1], [20, 20, 22, 23])
        np.testing.assert_array_equal(data.tradable[:, 1], [True, False, True, True])
        assert data.has_open

    @pytest.mark.parametrize("value", [np.nan, 0.0])
    @pytest.mark.parametrize("column", ["open", "high", "low"])
    def test_hole_beside_a_good_close(self, tiny, column, value):
        data, report = market_data_from_long(put(tiny(), "A", 2, column, value))
        assert data.tradable.all()
        assert np.isnan(getattr(data, column)[2, 0])
        assert f"{column} is zero or missing in 1 rows" in report.notes[0]
        assert "A on 2020-01-03" in report.notes[0]
        assert data.has_open == (column != "open")

    def test_zero_volume_stays(self, tiny):
        data, report = market_data_from_long(put(tiny(), "A", 2, "volume", 0.0))
        assert data.volume[2, 0] == 0
        assert report.notes == ()

    def test_no_ticker_quoted_on_a_date(self, tiny):
        df = put(tiny(), "A", 2, "close", np.nan)
        data, _ = market_data_from_long(put(df, "B", 2, "close", np.nan))
        assert data.n_periods == 4
        assert not data.tradable[2].any()

    def test_after_the_last_quote(self, tiny):
        df = tiny(6)
        data, report = market_data_from_long(df[(df["tic"] == "B") | (df["date"] < "2020-01-04")])
        np.testing.assert_array_equal(data.close[:, 0], [10, 11, 12, 12, 12, 12])
        assert report.untradable["A"].count == 3


class TestLateTickers:
    def test_rows_before_the_first_quote_are_dropped(self, tiny):
        df = put(drop(tiny(6), "B", 0), "B", 0, "close", 0.0)  # B has no row 0; its row 1 is hollow
        data, report = market_data_from_long(df, max_late_rows=2)
        assert data.tickers == ("A", "B")
        assert str(data.dates[0])[:10] == "2020-01-02"
        data, report = market_data_from_long(put(df, "B", 1, "close", 0.0), max_late_rows=2)
        assert str(data.dates[0])[:10] == "2020-01-03"
        assert report.dropped_rows[0].count == 2
        assert "'B'" in report.dropped_rows[0].reason
        assert any("first 2 dates were dropped" in line for line in report.lines())

    def test_too_late_is_dropped(self, tiny):
        df = tiny(6)
        df = df[(df["tic"] == "A") | (df["date"] >= "2020-01-04")]
        data, report = market_data_from_long(df, max_late_rows=2)
        assert data.tickers == ("A",)
        assert data.n_periods == 6
        assert "2020-01-04, 3 rows after the first date" in report.dropped_tickers["B"]
        data, report = market_data_from_long(df, max_late_rows=3)
        assert data.tickers == ("A", "B")
        assert data.n_periods == 3
        assert report.dropped_tickers == {}

    def test_never_quoted(self, tiny):
        df = tiny()
        df.loc[df["tic"] == "B", "close"] = np.nan
        data, report = market_data_from_long(df)
        assert data.tickers == ("A",)
        assert report.dropped_tickers == {"B": "no row has a close above 0"}

    def test_no_ticker_left(self, tiny):
        with pytest.raises(DataError, match="no ticker is left"):
            market_data_from_long(tiny().assign(close=0.0))

    def test_first_quotes_of_a_ticker_before_the_cut_are_carried(self, tiny):
        df = tiny(5)
        df = df[(df["tic"] == "A") | (df["date"] >= "2020-01-03")]
        data, _ = market_data_from_long(drop(df, "A", 2))
        np.testing.assert_array_equal(data.close[:, 0], [11, 13, 14])
        assert not data.tradable[0, 0]


class TestDuplicates:
    def test_exact(self, tiny):
        df = tiny()
        df["id"] = range(len(df))
        data, report = market_data_from_long(pd.concat([df, df.iloc[[3]].assign(id=99)]))
        assert data.n_periods == 4
        assert "1 rows repeated" in report.notes[0]
        assert "B on 2020-01-02" in report.notes[0]

    def test_exact_with_nan(self, tiny):
        df = put(tiny(), "B", 1, "open", np.nan)
        assert market_data_from_long(pd.concat([df, df.iloc[[3]]]))[0].n_periods == 4

    def test_contradictory(self, tiny):
        df = tiny()
        df = pd.concat([df, df.iloc[[3]].assign(open=1.0)])
        with pytest.raises(DataError, match=r"B on 2020-01-02 .* open is 20.5 and 1.0; keep one"):
            market_data_from_long(df)


class TestWrongValues:
    @pytest.mark.parametrize("column", PRICES)
    def test_negative(self, tiny, column):
        with pytest.raises(DataError, match=rf"{column} of A on 2020-01-03 must not be negative"):
            market_data_from_long(put(tiny(), "A", 2, column, -1.0))

    @pytest.mark.parametrize("value", [np.inf, -np.inf])
    @pytest.mark.parametrize("column", [*PRICES, "x"])
    def test_infinite(self, tiny, column, value):
        df = put(tiny().assign(x=1.0), "A", 2, column, value)
        with pytest.raises(DataError, match=rf"{column} of A on 2020-01-03 must be finite"):
            market_data_from_long(df, features=["x"])

    @pytest.mark.parametrize("value", ["12.5", "1,200", "n/a", [1], 1j, object(), 10**400])
    def test_not_a_number(self, tiny, value):
        df = tiny()
        cells = df["close"].astype(object).tolist()
        cells[4] = value
        df["close"] = pd.Series(cells, dtype=object)
        with pytest.raises(DataError, match="close of A on 2020-01-03 must be a number, got"):
            market_data_from_long(df)

    @pytest.mark.parametrize("column", ["close", "volume"])
    def test_the_bad_cell_among_digits_is_named(self, tiny, column):
        # reading a CSV file makes texts of the whole column
        frame = tiny()
        frame[column] = frame[column].astype(str)
        frame.iloc[3, frame.columns.get_loc(column)] = "1,000"
        row = frame.iloc[3]
        message = f"{column} of {row.tic} on {str(row.date)[:10]} must be a number, got '1,000'"
        with pytest.raises(DataError, match=message):
            market_data_from_long(frame)

    def test_advice_for_text(self, tiny):
        with pytest.raises(DataError, match=r"'10.0' .*pd.to_numeric\(df\['close'\]\)"):
            market_data_from_long(tiny().astype({"close": str}))

    def test_infinite_in_a_column_not_used(self, tiny):
        assert market_data_from_long(tiny().assign(x=np.inf))[0].n_periods == 4

    def test_high_below_low_is_a_warning(self, tiny):
        df = put(tiny(), "A", 2, "high", 5.0)
        _, report = market_data_from_long(df)
        assert report.notes[0].startswith("Warning: in 1 rows the close lies outside low..high")
        assert "A on 2020-01-03" in report.notes[0]

    def test_rounding_is_not_a_warning(self, tiny):
        df = tiny()
        df["high"] = df["close"] * (1 - 1e-9)
        assert market_data_from_long(df)[1].notes == ()


class TestWrongFrames:
    def test_empty(self, tiny):
        with pytest.raises(DataError, match="the frame has no rows"):
            market_data_from_long(tiny().iloc[:0])
        with pytest.raises(DataError, match="must have a column 'date'"):
            market_data_from_long(pd.DataFrame())

    @pytest.mark.parametrize(
        ("name", "other"),
        [("tic", "ticker"), ("tic", "Symbol"), ("date", "Date"), ("date", "timestamp"),
         ("close", "Close"), ("close", "Adj Close"), ("close", "clse")],
    )  # fmt: skip
    def test_missing_column(self, tiny, name, other):
        df = tiny().rename(columns={name: other})
        with pytest.raises(DataError, match=f"must have a column '{name}'.*Did you mean '{other}'"):
            market_data_from_long(df)

    def test_wide_table(self, tiny):
        wide = tiny().pivot_table(index="date", columns="tic", values="close").reset_index()
        with pytest.raises(DataError, match=r"one row per date and ticker; .*df.melt"):
            market_data_from_long(wide)

    def test_date_in_the_index(self, tiny):
        with pytest.raises(DataError, match="reset_index"):
            market_data_from_long(tiny().set_index("date"))

    def test_two_levels_of_columns(self):
        df = pd.DataFrame([[1.0]], columns=pd.MultiIndex.from_tuples([("Close", "A")]))
        with pytest.raises(DataError, match="columns have 2 levels"):
            market_data_from_long(df)

    def test_repeated_column(self, tiny):
        df = tiny()
        df = pd.concat([df, df[["close"]]], axis=1)
        with pytest.raises(DataError, match=r"\['close'\] occur more than once"):
            market_data_from_long(df)

    @pytest.mark.parametrize("value", [None, np.nan, pd.NA, "", "  "])
    def test_missing_ticker(self, tiny, value):
        df = tiny()
        df["tic"] = pd.Series([*df["tic"][:3], value, *df["tic"][4:]], dtype=object)
        with pytest.raises(DataError, match="'tic' must be filled in every row, but row 3"):
            market_data_from_long(df)

    def test_ticker_that_is_a_number(self, tiny):
        with pytest.raises(DataError, match=r"'tic' must hold names.*astype\(str\)"):
            market_data_from_long(tiny().assign(tic=600000))

    def test_unknown_ticker(self, tiny):
        with pytest.raises(DataError, match=r"no ticker 'AAPLE'; it has .*Did you mean 'AAPL'"):
            market_data_from_long(tiny(tickers=("AAPL", "MSFT")), tickers=["AAPLE"])

    @pytest.mark.parametrize("days", [1])
    def test_one_date(self, tiny, days):
        with pytest.raises(DataError, match="at least 2 dates"):
            market_data_from_long(tiny(days))

    def test_one_date_after_a_late_ticker(self, tiny):
        df = tiny()
        with pytest.raises(DataError, match="'B' is first quoted on 2020-01-04"):
            market_data_from_long(df[(df["tic"] == "A") | (df["date"] == "2020-01-04")])

    def test_wrong_arguments(self, tiny):
        with pytest.raises(DataError, match="features must be a list of names"):
            market_data_from_long(tiny(), features="macd")
        with pytest.raises(DataError, match="features must be a list of names, got None"):
            market_data_from_long(tiny(), features=None)
        with pytest.raises(TypeError, match=r"df must be a pandas DataFrame .* got a list"):
            market_data_from_long([tiny()])
        with pytest.raises(DataError, match="'volume' comes twice"):
            market_data_from_long(tiny(), features=["volume", "volume"])
        with pytest.raises(DataError, match="max_late_rows must be >= 0"):
            market_data_from_long(tiny(), max_late_rows=-1)
        with pytest.raises(DataError, match="at least one ticker"):
            market_data_from_long(tiny(), tickers=[])


class TestFeatureColumns:
    def test_leading_gap_is_warmup_and_later_ones_are_carried(self, tiny):
        df = tiny(6).assign(x=np.arange(12.0))
        for day in (0, 1, 3):
            df = put(df, "A", day, "x", np.nan)
        data, report = market_data_from_long(df, features=["x", "volume"])
        assert data.feature_names == ("x", "volume")
        assert data.warmup == 2
        np.testing.assert_array_equal(data.features[:, 0, 0], [np.nan, np.nan, 4, 4, 8, 10])
        np.testing.assert_array_equal(data.features[:, 1, 0], [1, 3, 5, 7, 9, 11])
        assert "1 missing values of the feature 'x'" in report.notes[0]
        assert "A on 2020-01-04" in report.notes[0]

    def test_carried_on_untradable_rows(self, tiny):
        df = put(tiny().assign(x=np.arange(8.0)), "A", 2, "close", 0.0)
        data, _ = market_data_from_long(df, features=["x"])
        np.testing.assert_array_equal(data.features[:, 0, 0], [0, 2, 2, 6])

    def test_all_missing(self, tiny):
        df = tiny().assign(x=1.0)
        df.loc[df["tic"] == "B", "x"] = np.nan
        with pytest.raises(DataError, match="the feature 'x' has no value at all for B"):
            market_data_from_long(df, features=["x"])

    def test_unknown(self, tiny):
        with pytest.raises(DataError, match=r"no column 'volum'; .*Did you mean 'volume'"):
            market_data_from_long(tiny(), features=["volum"])

    def test_text(self, tiny):
        with pytest.raises(DataError, match="sector of A on 2020-01-01 must be a number"):
            market_data_from_long(tiny().assign(sector="tech"), features=["sector"])

    def test_market_column(self, tiny):
        df = tiny(5).assign(vix=np.repeat([np.nan, 1.0, 2.0, np.nan, 4.0], 2))
        df = put(df, "A", 2, "vix", np.nan)
        data, report = market_data_from_long(df, market_columns=["vix"])
        np.testing.assert_array_equal(data.market_series("vix"), [np.nan, 1, 2, 2, 4])
        assert data.warmup == 1
        assert "no value on 1 dates (the first: 2020-01-04)" in report.notes[0]

    def test_market_column_that_differs(self, tiny):
        df = put(tiny().assign(vix=1.0), "B", 2, "vix", 3.0)
        with pytest.raises(DataError, match=r"on 2020-01-03 it is 1.0 for A and 3.0 for B"):
            market_data_from_long(df, market_columns=["vix"])

    def test_market_column_without_values(self, tiny):
        with pytest.raises(DataError, match="market column 'vix' has no value at all"):
            market_data_from_long(tiny().assign(vix=np.nan), market_columns=["vix"])


def test_messy_frame_report(messy_frame):
    data, report = market_data_from_long(messy_frame, features=["score"], market_columns=["vix"])
    assert data.tickers == ("AAPL", "GOOG", "IBM", "MSFT")
    assert report.dropped_rows[0].count >= 20
    assert report.untradable["IBM"].count > 90
    cells = {name: cells.count for name, cells in report.untradable.items()}
    assert sum(cells.values()) == (~data.tradable).sum()
    text = "\n".join(report.lines())
    for words in ("repeated", "'note'", "open is zero", "'score'", "'vix'", "carried forward"):
        assert words in text
    assert report.to_dict()["untradable"]["IBM"]["count"] == cells["IBM"]


_CELLS = st.one_of(
    st.sampled_from([0.0, -0.0, 1.0, 10.0, 11.0, 1e300, 5e-324, np.nan, None, 3]),
    st.sampled_from([-1.0, np.inf, "12", "", True, 2**70, Decimal("NaN"), pd.NA, pd.NaT, 1j, []]),
)
_GOOD_CELLS = st.sampled_from([0.0, 1.0, 10.0, 11.0, 1e300, 5e-324, np.nan, None])
_DATES = st.one_of(
    st.sampled_from(["2020-01-01", "2020-01-02", "2020-01-03", "2020-01-06"]),
    st.sampled_from(
        ["x", None, 5, pd.Timestamp("2020-01-02"), date(2020, 1, 3), "2020-01-01 10:00-05:00",
         pd.NaT, "1500-01-01", date(1, 1, 1), ["2020-01-01"], pd.Timestamp("2020-01-01", tz="UTC")]
    ),
)  # fmt: skip
_TICS = st.sampled_from(["A", "B", "C"]) | st.sampled_from(["", None, 7, "A\x00", "é", ("A",)])


def _frame(dates, tics, cells, columns):
    row = st.tuples(dates, tics, *([cells] * len(columns)))
    return st.lists(row, max_size=14).map(
        lambda rows: pd.DataFrame(rows, columns=["date", "tic", *columns], dtype=object)
    )


_COLUMNS = st.sampled_from(
    [("close",), ("open", "close", "x"), ("open", "high", "low", "close", "volume", "x"), ("x",)]
)


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_only_data_errors_escape(data):
    columns = data.draw(_COLUMNS)
    wild = data.draw(st.booleans())
    easy_dates = st.sampled_from(["2020-01-01", "2020-01-02", "2020-01-03", "2020-01-06"])
    dates = _DATES if wild else easy_dates
    tics = _TICS if wild else st.sampled_from(["A", "B", "C"])
    df = data.draw(_frame(dates, tics, _CELLS if wild else _GOOD_CELLS, columns))
    if data.draw(st.booleans()):
        df = df.drop_duplicates(["date", "tic"]) if not wild else df
    features = data.draw(st.sampled_from([(), ("x",), ("close",), ("nope",)]))
    market = data.draw(st.sampled_from([(), ("x",)]))
    before = df.copy(deep=True)
    with contextlib.suppress(DataError):
        result, report = market_data_from_long(
            df,
            features=features,
            market_columns=market,
            max_late_rows=data.draw(st.sampled_from([0, 1, 252])),
            tickers=data.draw(st.sampled_from([None, ("A",), ("B", "A")])),
            start=data.draw(st.sampled_from([None, "2020-01-02", "x"])),
        )
        assert np.isfinite(result.close).all()
        assert len(report.lines()) >= 1
        closes = {float(v) for v in before["close"] if v is not None and v is not pd.NA}
        assert set(result.close.ravel()) <= closes
    pd.testing.assert_frame_equal(df, before)
