import importlib.util
import json
from datetime import date

import numpy as np
import pandas as pd
import pytest

from finrl_ray.config.data import DataConfig
from finrl_ray.data.features import add_features
from finrl_ray.data.indicators import FINRL_INDICATORS
from finrl_ray.data.load import load_market_data, market_data_of
from finrl_ray.data.market_data import market_data_from_long
from finrl_ray.errors import DataError


def save(df, tmp_path, **options):
    df.to_parquet(tmp_path / "p.parquet")
    return load_market_data(DataConfig(source="p.parquet", **options), tmp_path)


def test_defaults():
    data, report = load_market_data(DataConfig())
    assert data.tickers == ("AAPL", "GOOG", "IBM", "MSFT")
    assert data.feature_names == FINRL_INDICATORS
    assert data.features.shape == (2148, 4, 8)
    assert data.warmup == 60
    assert report.notes == ("The first 60 rows are warm-up; the first complete row is 2004-11-12.",)
    assert "public domain" in report.lines()[0]
    json.dumps(report.to_dict())


def test_selection_and_turbulence():
    config = DataConfig(
        tickers=("MSFT", "IBM"),
        start=date(2006, 1, 1),
        end=date(2009, 1, 1),
        features=("rsi_30", "macd"),
        turbulence=True,
    )
    data, _ = load_market_data(config)
    assert data.tickers == ("MSFT", "IBM")
    assert data.feature_names == ("rsi_30", "macd")
    assert str(data.dates[0])[:10] == "2006-01-03"
    assert str(data.dates[-1])[:10] == "2008-12-31"
    assert data.market_feature_names == ("turbulence",)
    assert data.warmup == 252


def test_features_keep_the_order_of_the_config(bundled_frame, tmp_path):
    df = bundled_frame.assign(score=1.5, rsi_14=50.0)
    names = ("close_30_sma", "score", "volume", "rsi_14", "macd")
    data, report = save(df, tmp_path, features=names)
    assert data.feature_names == names
    plain = add_features(market_data_from_long(bundled_frame)[0], ["close_30_sma", "macd"])
    np.testing.assert_array_equal(data.features[:, :, [0, 4]], plain.features)
    assert (data.features[:, :, 1] == 1.5).all()
    assert (data.features[:, :, 3] == 50.0).all()  # the source's column wins
    np.testing.assert_array_equal(data.features[:, :, 2], data.volume)
    assert "columns ['rsi_14']; they are used as they are" in report.notes[0]


def test_finrl_list_on_a_close_only_source(bundled_frame, tmp_path):
    data, report = save(bundled_frame[["date", "tic", "close"]], tmp_path)
    assert data.feature_names == tuple(n for n in FINRL_INDICATORS if n not in ("cci_30", "dx_30"))
    assert "['cci_30', 'dx_30'] were left out" in report.notes[0]
    with pytest.raises(DataError, match=r"'dx_30' needs .* these work here"):
        save(bundled_frame[["date", "tic", "close"]], tmp_path, features=("dx_30",))


@pytest.mark.skipif(importlib.util.find_spec("skfolio") is None, reason="extra sp500 missing")
def test_sp500():
    data, report = load_market_data(DataConfig(source="sp500", start=date(1999, 1, 1)))
    assert (data.n_periods, data.n_assets, len(data.feature_names)) == (4529, 20, 6)
    assert any("Rows before 2005-01-01" in note for note in report.notes)


def test_finrl_file_with_market_columns(dow_frame, tmp_path):
    data, report = save(dow_frame, tmp_path, market_columns=("vix", "turbulence"))
    assert data.feature_names == FINRL_INDICATORS
    assert data.market_feature_names == ("vix", "turbulence")
    assert (data.n_periods, data.n_assets, data.warmup) == (335, 29, 0)
    assert any("used as they are" in note for note in report.notes)
    assert any("all prices adjusted in the same way" in note for note in report.notes)
    with pytest.raises(DataError, match="already has a market series 'turbulence'"):
        save(dow_frame, tmp_path, market_columns=("turbulence",), turbulence=True)


def test_no_features():
    data, _ = load_market_data(DataConfig(features=()))
    assert data.features.shape == (2148, 4, 0)
    assert data.warmup == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"features": ("macd", "rsi30")}, "unknown indicator 'rsi30'.*Did you mean 'rsi_30'"),
        ({"features": ("macd", "macd")}, r"each feature once; twice: \['macd'\]"),
        ({"features": ("close_1_s",)}, "from the future"),
        ({"features": ("tic",)}, "tic of AAPL on 2004-08-19 must be a number"),
        ({"tickers": ("APPL",)}, "no ticker 'APPL'.*Did you mean 'AAPL'"),
        ({"start": date(2020, 1, 1)}, "the data covers 2004-08-19 to 2013-03-01"),
        ({"end": date(2004, 9, 1)}, "needs 35 rows .* only 9 dates"),
        ({"market_columns": ("vix",)}, "no column 'vix'"),
        ({"market_columns": ("volume",)}, "'volume' must have one value per date"),
        ({"tickers": ("X1",)}, r"data.source 'bundled': the data has no ticker 'X1'"),
        ({"source": "bundeld"}, "Did you mean 'bundled'"),
    ],
)
def test_refusals(options, message):
    with pytest.raises(DataError, match=message):
        load_market_data(DataConfig(**options))


def test_gap_in_the_warmup_is_noted(bundled_frame, tmp_path):
    dates = bundled_frame["date"].unique()
    gap = (bundled_frame["tic"] == "IBM") & bundled_frame["date"].isin(dates[10:15])
    _, report = save(bundled_frame[~gap], tmp_path)
    assert any(note.startswith("['IBM'] have gaps in the warm-up") for note in report.notes)


def test_column_with_a_long_leading_gap(bundled_frame, tmp_path):
    dates = bundled_frame["date"].unique()
    late = bundled_frame["date"] >= dates[700]
    df = bundled_frame.assign(x=np.where(late, 1.0, np.nan))
    data, report = save(df, tmp_path, features=("x", "macd"))
    assert data.warmup == 700
    assert np.isfinite(data.features[700:]).all()
    assert pd.Timestamp(data.dates[700]).strftime("%Y-%m-%d") in report.notes[-1]


def moving_from(first_move: int, days: int = 200) -> pd.DataFrame:
    """A moves each day; B costs 10 until `first_move`."""
    dates = pd.bdate_range("2018-01-01", periods=days).strftime("%Y-%m-%d")
    moving = 100.0 * np.exp(0.01 * np.cumsum(np.where(np.arange(days) % 3, 1.0, -1.5)))
    still = np.where(np.arange(days) < first_move, 10.0, moving)
    return pd.concat(
        pd.DataFrame({"date": dates, "tic": tic, "close": close, "high": close, "low": close})
        for tic, close in (("A", moving), ("B", still))
    )


@pytest.mark.parametrize("features", ["finrl", ("dx_30",)])
def test_a_price_that_never_moves_is_refused_as_such(features):
    config = DataConfig(source="prices.csv", features=features)
    with pytest.raises(DataError, match=r"of B .*never moves, it is 10 in all its 200 quotes"):
        market_data_of(moving_from(200), config)


def test_a_price_that_moves_late_costs_all_rows_before_and_is_named():
    config = DataConfig(source="prices.csv", features=("dx_30",))
    market, report = market_data_of(moving_from(150), config)
    assert market.warmup == 150
    day = str(market.dates[150])[:10]
    assert any(f"price of B does not move before {day}" in note for note in report.notes)
    market, report = market_data_of(moving_from(10), config)
    assert market.warmup < 100
    assert not any("does not move" in note for note in report.notes)


def test_own_code_is_found_in_the_folder_of_the_config(tmp_path) -> None:
    for number, name in enumerate(("one", "two"), start=1):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "my_code.py").write_text(
            "import pandas as pd\n"
            "def read():\n"
            "    dates = ['2020-01-01', '2020-01-02']\n"
            f"    return pd.DataFrame({{'date': dates, 'tic': 'A', 'close': [{number}, 4.0]}})\n"
            "def twice(prices): return 2 * prices['close']\n"
        )
    config = DataConfig(source="my_code:read", features=("my_code:twice",))
    for number, name in enumerate(("one", "two"), start=1):
        data, _ = load_market_data(config, tmp_path / name)
        assert data.features[:, 0, 0].tolist() == [2.0 * number, 8.0]
