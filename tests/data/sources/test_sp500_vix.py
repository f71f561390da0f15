import importlib.util
from datetime import date

import numpy as np
import pytest

from finrl_ray.config.data import DataConfig
from finrl_ray.data.load import load_market_data
from finrl_ray.data.sources.sp500_vix import read_sp500_vix
from finrl_ray.errors import ConfigError

needs_arch = pytest.mark.skipif(
    importlib.util.find_spec("arch") is None, reason="the extra arch is not installed"
)


@needs_arch
def test_contents():
    df = read_sp500_vix()
    assert df.shape == (5031, 8)
    assert df.iloc[0, :7].tolist() == [
        *("1999-01-04", "SP500", 1229.22998, 1248.810059, 1219.099976, 1228.099976, 877000000.0),
    ]
    by_date = df.set_index("date")
    assert np.isnan(by_date.loc["2014-01-02", "vix"])
    assert by_date.loc["2014-01-03", "vix"] == 13.76
    assert by_date.loc["2014-01-06", "vix"] == 13.55


@needs_arch
def test_the_vix_as_a_market_column():
    config = DataConfig(
        source="sp500_vix", features=(), market_columns=("vix",), start=date(2014, 1, 3)
    )
    data, report = load_market_data(config)
    assert data.warmup == 0
    assert data.market_series("vix")[:2].tolist() == [13.76, 13.55]
    assert "data/sp500/sp500.csv.gz, SHA-256 1e028cbb9c40" in report.notes[0]
    assert "data/vix/vix.csv.gz, SHA-256 410bd07360dc" in report.notes[1]
    assert all("licence of the package: NCSA" in note for note in report.notes[:2])
    assert not any("Warning" in note for note in report.notes)


def test_missing_package(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r'pip install "finrl-ray\[arch\]"'):
        read_sp500_vix()
