import builtins
import logging
import sys
import types
from datetime import date, datetime, timedelta, timezone

import numpy as np
import pandas as pd
import pytest

from finrl_ray.config.data import DataConfig
from finrl_ray.data.market_data import market_data_from_long
from finrl_ray.data.sources.registry import read_source
from finrl_ray.data.sources.yahoo import yahoo_to_long
from finrl_ray.errors import ConfigError, DataError

FIELDS = ("Close", "High", "Low", "Open", "Volume")


def recorded(tickers, n=3, tz=None, levels=("Price", "Ticker")):
    """Make a frame shaped as yfinance.download returns it with auto_adjust."""
    index = pd.DatetimeIndex(pd.date_range("2020-01-01", periods=n, tz=tz), name="Date")
    columns = pd.MultiIndex.from_product([FIELDS, tickers], names=levels)
    values = np.arange(1.0, 1 + n * len(columns)).reshape(n, -1)
    return pd.DataFrame(values, index=index, columns=columns)


def config(tmp_path, **changes):
    kwargs = {
        "source": "yahoo",
        "tickers": ("A", "B"),
        "start": date(2020, 1, 1),
        "end": date(2020, 1, 4),
        "cache_dir": str(tmp_path / "cache"),
    }
    return DataConfig(**{**kwargs, **changes})


class TestConversion:
    def test_two_tickers(self):
        frame = recorded(["A", "B"])
        df = yahoo_to_long(frame, ["A", "B"])
        assert list(df.columns) == ["date", "tic", "open", "high", "low", "close", "volume"]
        row = df[(df["tic"] == "B") & (df["date"] == "2020-01-02")].iloc[0]
        for field in FIELDS:
            assert row[field.lower()] == frame.loc["2020-01-02", (field, "B")]
        assert market_data_from_long(df)[0].n_periods == 3

    def test_ticker_level_first(self):
        frame = recorded(["A", "B"])
        swapped = frame.swaplevel(axis=1).sort_index(axis=1)
        pd.testing.assert_frame_equal(
            yahoo_to_long(swapped, ["A", "B"]), yahoo_to_long(frame, ["A", "B"])
        )

    def test_one_ticker_with_and_without_levels(self):
        frame = recorded(["A"])
        flat = frame.droplevel("Ticker", axis=1)
        pd.testing.assert_frame_equal(yahoo_to_long(flat, ["A"]), yahoo_to_long(frame, ["A"]))
        assert len(yahoo_to_long(flat, ["A"])) == 3

    def test_a_date_without_quotes_is_left_out(self):
        frame = recorded(["A", "B"])
        frame.loc["2020-01-02", pd.IndexSlice[:, "B"]] = np.nan
        df = yahoo_to_long(frame, ["A", "B"])
        assert len(df) == 5
        data, _ = market_data_from_long(df)
        assert not data.tradable[1, 1]

    def test_ticker_without_any_close(self):
        frame = recorded(["A", "B", "C"])
        frame.loc[:, pd.IndexSlice[:, "B"]] = np.nan
        with pytest.raises(DataError, match=r"no closes for \['B', 'D'\]"):
            yahoo_to_long(frame, ["A", "B", "C", "D"])

    def test_time_zone_stays(self):
        df = yahoo_to_long(recorded(["A"], tz="America/New_York"), ["A"])
        data, report = market_data_from_long(df)
        assert str(data.dates[0])[:10] == "2020-01-01"
        assert "time zone" in report.notes[0]

    def test_frame_is_not_changed(self):
        frame = recorded(["A"])
        before = frame.copy(deep=True)
        yahoo_to_long(frame, ["A"])
        pd.testing.assert_frame_equal(frame, before)


class TestDownload:
    @pytest.fixture
    def calls(self, monkeypatch):
        """Replace yfinance; the list collects calls, its `answer` is what a call returns."""

        class Calls(list):
            answer: object = recorded(["A", "B"])

        calls = Calls()

        def download(tickers, **kwargs):
            calls.append((tickers, kwargs))
            if isinstance(calls.answer, Exception):
                raise calls.answer
            return calls.answer

        class DownloadError(Exception):
            pass

        module, errors = types.ModuleType("yfinance"), types.ModuleType("yfinance.exceptions")
        module.download, errors.YFException = download, DownloadError
        calls.error = DownloadError
        monkeypatch.setitem(sys.modules, "yfinance", module)
        monkeypatch.setitem(sys.modules, "yfinance.exceptions", errors)
        return calls

    def test_arguments(self, calls, tmp_path):
        df = read_source(config(tmp_path), tmp_path)
        assert len(df) == 6
        tickers, kwargs = calls[0]
        assert tickers == ["A", "B"]
        assert (kwargs["start"], kwargs["end"]) == ("2020-01-01", "2020-01-04")
        assert kwargs["auto_adjust"] is True

    def test_cache(self, calls, tmp_path):
        first = read_source(config(tmp_path), tmp_path)
        again = read_source(config(tmp_path, tickers=("B", "A")), tmp_path)
        assert len(calls) == 1
        assert (
            market_data_from_long(first)[0].content_hash
            == market_data_from_long(again)[0].content_hash
        )
        assert [p.suffix for p in (tmp_path / "cache").iterdir()] == [".parquet"]
        read_source(config(tmp_path, end=date(2020, 1, 3)), tmp_path)
        assert len(calls) == 2

    def test_damaged_cache_is_downloaded_again(self, calls, tmp_path, caplog):
        read_source(config(tmp_path), tmp_path)
        path = next((tmp_path / "cache").iterdir())
        path.write_bytes(path.read_bytes()[:40])
        with caplog.at_level(logging.WARNING):
            assert len(read_source(config(tmp_path), tmp_path)) == 6
        assert len(calls) == 2
        assert "downloading again" in caplog.text

    def test_an_open_window_is_not_cached(self, calls, tmp_path):
        tomorrow = datetime.now(timezone.utc).date() + timedelta(days=2)
        for _ in range(2):
            read_source(config(tmp_path, end=tomorrow), tmp_path)
        assert len(calls) == 2
        assert not (tmp_path / "cache").exists()

    def test_cache_that_cannot_be_written(self, calls, tmp_path, caplog):
        (tmp_path / "cache").write_text("a file")
        with caplog.at_level(logging.WARNING):
            assert len(read_source(config(tmp_path), tmp_path)) == 6
        assert "could not be kept" in caplog.text

    def test_failures(self, calls, tmp_path):
        for error in (OSError("no route"), calls.error("limit"), ValueError("x"), KeyError("y")):
            calls.answer = error
            with pytest.raises(DataError, match=r"download of \['A', 'B'\] from Yahoo failed"):
                read_source(config(tmp_path), tmp_path)
        for empty in (None, pd.DataFrame()):
            calls.answer = empty
            with pytest.raises(DataError, match="Yahoo returned nothing for"):
                read_source(config(tmp_path), tmp_path)
        assert not (tmp_path / "cache").exists()

    @pytest.mark.parametrize("name", ["tickers", "start", "end"])
    def test_incomplete_config(self, tmp_path, name):
        with pytest.raises(ConfigError, match=rf"'yahoo' needs data.{name} to be set"):
            read_source(config(tmp_path, **{name: None}), tmp_path)

    def test_missing_extra(self, tmp_path, monkeypatch):
        real = builtins.__import__

        def refuse(name, *args, **kwargs):
            if name.startswith("yfinance"):
                raise ImportError(name)
            return real(name, *args, **kwargs)

        monkeypatch.setattr(builtins, "__import__", refuse)
        with pytest.raises(ConfigError, match=r'pip install "finrl-ray\[yahoo\]"'):
            read_source(config(tmp_path), tmp_path)
