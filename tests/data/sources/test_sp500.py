import importlib.util
import subprocess
import sys

import pytest

from finrl_ray.data.market_data import market_data_from_long
from finrl_ray.data.sources.sp500 import read_sp500
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
    def test_skfolio_is_not_imported(self):
        code = (
            "import sys; from finrl_ray.data.sources.sp500 import read_sp500; read_sp500();"
            "bad = {'skfolio', 'sklearn', 'torch', 'ray', 'yfinance'} & set(sys.modules);"
            "sys.exit(repr(bad) if bad else 0)"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr

    def test_missing_extra(self, monkeypatch):
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
        with pytest.raises(ConfigError, match=r'pip install "finrl-ray\[sp500\]"'):
            read_sp500()

    def test_other_layout(self, monkeypatch, tmp_path):
        spec = importlib.util.spec_from_file_location("skfolio", tmp_path / "__init__.py")
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec)
        with pytest.raises(DataError, match=r"skfolio's price file .* cannot be read"):
            read_sp500()
