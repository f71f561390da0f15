"""Yahoo's prices under FinRL's names; nothing is downloaded."""

from datetime import date
from typing import Any

import numpy as np
import pandas as pd
import pytest

from finrl_ray.compat import yahoo_downloader
from finrl_ray.compat.preprocessing import FeatureEngineer
from finrl_ray.compat.yahoo_downloader import YahooDownloader, get_baseline
from finrl_ray.config.data import DataConfig
from finrl_ray.data.sources.yahoo import read_yahoo
from finrl_ray.errors import ConfigError


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[DataConfig]:
    """Answer downloads with 4 weekdays of made-up prices, and keep what was asked for."""
    seen: list[DataConfig] = []

    def answer(config: DataConfig) -> pd.DataFrame:
        seen.append(config)
        frames = []
        for number, tic in enumerate(config.tickers or ()):
            dates = pd.date_range("2020-01-02", periods=4, freq="B", tz="America/New_York")
            prices = 10.0 * (number + 1) + np.arange(4.0)
            frame = pd.DataFrame({"date": dates, "tic": tic, "open": prices, "close": prices})
            frames.append(frame.assign(high=prices, low=prices, volume=1.0))
        return pd.concat(frames, ignore_index=True)

    monkeypatch.setattr(yahoo_downloader, "read_yahoo", answer)
    return seen


def test_the_columns_are_finrls(asked: list[DataConfig]) -> None:
    df = YahooDownloader("2020-01-02", "2020-01-08", ["MSFT", "AAPL"]).fetch_data()
    assert list(df.columns) == [
        *("date", "open", "high", "low", "close", "volume", "tic", "day"),
    ]
    assert df["date"].iloc[[0, -1]].tolist() == ["2020-01-02", "2020-01-07"]
    assert df["tic"].tolist() == ["AAPL", "MSFT"] * 4
    assert df["day"].tolist() == [3, 3, 4, 4, 0, 0, 1, 1]
    assert (asked[0].start, asked[0].end) == (date(2020, 1, 2), date(2020, 1, 8))


def test_a_baseline_is_one_ticker(asked: list[DataConfig]) -> None:
    df = get_baseline("^DJI", "2020-01-02", "2020-01-08")
    assert df["close"].tolist() == [10.0, 11.0, 12.0, 13.0]
    assert asked[0].tickers == ("^DJI",)


def test_the_vix_is_asked_for_up_to_the_last_day(asked: list[DataConfig]) -> None:
    df = YahooDownloader("2020-01-02", "2020-01-08", ["MSFT", "AAPL"]).fetch_data()
    prepared = FeatureEngineer(tech_indicator_list=[], use_vix=True).preprocess_data(df)
    assert asked[1].tickers == ("^VIX",)
    # Yahoo leaves the end out, so it is the day after
    assert (asked[1].start, asked[1].end) == (date(2020, 1, 2), date(2020, 1, 8))
    assert prepared["vix"].tolist() == [10.0, 10.0, 11.0, 11.0, 12.0, 12.0, 13.0, 13.0]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("2020", "2020-01-08", ["A"]), "start_date must be a date such as"),
        (("2020-01-02", "soon", ["A"]), "end_date must be a date such as"),
        (("2020-01-02", "2020-01-08", "AAPL"), "ticker_list must be a list"),
    ],
)
def test_wrong_arguments(arguments: Any, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        YahooDownloader(*arguments).fetch_data()


def test_a_proxy_is_set_elsewhere(asked: list[DataConfig]) -> None:
    with pytest.raises(ConfigError, match="HTTPS_PROXY instead"):
        YahooDownloader("2020-01-02", "2020-01-08", ["A"]).fetch_data(proxy="http://x")
    assert not asked


def test_without_yfinance_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    monkeypatch.setitem(__import__("sys").modules, "yfinance", None)
    monkeypatch.setattr(
        yahoo_downloader,
        "read_yahoo",
        lambda config: read_yahoo(
            DataConfig(
                source="yahoo",
                tickers=config.tickers,
                start=config.start,
                end=config.end,
                cache_dir=str(tmp_path),
            )
        ),
    )
    with pytest.raises(ConfigError, match=r'pip install "finrl-ray\[yahoo\]"'):
        YahooDownloader("2020-01-02", "2020-01-08", ["A"]).fetch_data()
