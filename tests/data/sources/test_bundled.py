import gzip
import hashlib
from importlib.resources import files

import pytest

from finrl_ray.data.market_data import market_data_from_long
from finrl_ray.data.sources import bundled
from finrl_ray.data.sources.bundled import read_bundled
from finrl_ray.errors import DataError


class TestBundled:
    def test_contents(self, bundled_frame):
        assert bundled_frame.shape == (8592, 7)
        assert sorted(bundled_frame["tic"].unique()) == ["AAPL", "GOOG", "IBM", "MSFT"]
        assert bundled_frame["date"].nunique() == 2148
        assert bundled_frame["date"].min() == "2004-08-19"
        assert bundled_frame["date"].max() == "2013-03-01"
        assert not bundled_frame.isna().any().any()

    def test_prices_are_adjusted_by_one_factor(self, bundled_frame):
        first = bundled_frame.iloc[0]  # AAPL on 2004-08-19: open 31.51, close 30.71 as traded
        assert first["close"] == 1.9733315126243
        assert first["open"] == pytest.approx(31.51 * 1.9733315126243 / 30.71, rel=1e-14)
        assert first["high"] == pytest.approx(31.86 * 1.9733315126243 / 30.71, rel=1e-14)
        assert first["low"] == pytest.approx(30.36 * 1.9733315126243 / 30.71, rel=1e-14)
        assert first["volume"] == 6945000

    def test_nothing_to_report(self, bundled_frame):
        data, report = market_data_from_long(bundled_frame)
        assert report.notes == ()
        assert data.tradable.all()
        assert data.has_open

    def test_readme_has_the_hash(self):
        folder = files("finrl_ray.data").joinpath("bundled")
        readme = folder.joinpath("README.md").read_text(encoding="utf-8")
        content = folder.joinpath("us_stocks_2004_2013.csv.gz").read_bytes()
        assert hashlib.sha256(content).hexdigest() in readme
        assert hashlib.sha256(gzip.decompress(content)).hexdigest() in readme
        assert content[4:8] == b"\0\0\0\0"  # no time stamp in the gzip header

    def test_damaged(self, monkeypatch):
        monkeypatch.setattr(bundled, "_BUNDLED_SHA256", "0" * 64)
        with pytest.raises(DataError, match="must have the SHA-256 000"):
            read_bundled()

    def test_missing(self, monkeypatch):
        monkeypatch.setattr(bundled, "_BUNDLED_FILE", "gone.csv.gz")
        with pytest.raises(DataError, match=r"cannot be read .*install finrl-ray again"):
            read_bundled()
