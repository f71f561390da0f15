import importlib.util

import pytest

from finrl_ray.config.data import DataConfig
from finrl_ray.data.load import load_market_data
from finrl_ray.data.market_data import market_data_from_long
from finrl_ray.data.sources.sp500 import read_factors, read_sp500, read_sp500_index
from finrl_ray.errors import ConfigError, DataError

needs_skfolio = pytest.mark.skipif(
    importlib.util.find_spec("skfolio") is None, reason="the extra sp500 is not installed"
)


class TestSp500:
    @needs_skfolio
    def test_contents(self):
        df = read_sp500()
        assert list(df.columns) == ["date", "tic", "close"]
        assert df["date"].min() == "2005-01-03"
        assert df["tic"].nunique() == 20
        data, report = market_data_from_long(df)
        assert data.tradable.all()
        assert report.notes == ()
        apple = data.close[-1, data.tickers.index("AAPL")]
        assert apple == 125.674  # the last row of the file

    @needs_skfolio
    def test_the_report_says_where_prices_come_from(self):
        _, report = load_market_data(DataConfig(source="sp500", features=()))
        assert "datasets/data/sp500_dataset.csv.gz, SHA-256 ee21cac28bef" in report.notes[0]
        assert "licence of the package: BSD-3-Clause" in report.notes[0]
        assert len(report.notes) == 1  # the file is the one that is known

    def test_missing_extra(self, monkeypatch):
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
        with pytest.raises(ConfigError, match=r'pip install "finrl-ray\[sp500\]"'):
            read_sp500()

    def test_other_layout(self, monkeypatch, tmp_path):
        spec = importlib.util.spec_from_file_location("skfolio", tmp_path / "__init__.py")
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec)
        with pytest.raises(DataError, match=r"skfolio's price file .* cannot be read"):
            read_sp500()


@needs_skfolio
def test_the_index():
    df = read_sp500_index()
    assert df.shape == (8313, 3)
    assert df.iloc[0].tolist() == ["1990-01-02", "SP500", 359.69]
    assert df.iloc[-1].tolist() == ["2022-12-28", "SP500", 3783.22]


@needs_skfolio
def test_the_factor_funds():
    df = read_factors()
    assert df.shape == (5 * 2264, 3)
    assert df["tic"].unique().tolist() == ["MTUM", "QUAL", "SIZE", "USMV", "VLUE"]
    assert df.iloc[:2].to_numpy().tolist() == [
        ["2014-01-02", "MTUM", 52.704],
        ["2014-01-02", "QUAL", 48.351],
    ]
