import pickle
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from finrl_ray.config.data import DataConfig
from finrl_ray.data.features import add_features
from finrl_ray.data.load import load_market_data
from finrl_ray.data.market_data import market_data_from_long
from finrl_ray.errors import DataError

ARRAYS = ("dates", "open", "high", "low", "close", "volume", "features", "tradable",
          "market_features")  # fmt: skip


@pytest.fixture
def data(bundled_frame):
    frame = bundled_frame.iloc[:400].assign(vix=15.0)
    data, _ = market_data_from_long(frame, features=["volume"], market_columns=["vix"])
    return add_features(data, ["rsi_6"])


def test_pickle_leaves_cached_values_behind(data):
    size = len(pickle.dumps(data))
    assert len(data.content_hash) == 64
    assert "content_hash" in data.__dict__
    blob = pickle.dumps(data)
    assert len(blob) == size
    assert data.content_hash.encode() not in blob
    again = pickle.loads(blob)
    assert "content_hash" not in again.__dict__
    assert again.content_hash == data.content_hash
    assert again.tickers == data.tickers


def test_arrays_are_read_only_also_after_pickling(data):
    for each in (data, pickle.loads(pickle.dumps(data)), data.rows(3, 9)):
        for name in ARRAYS:
            with pytest.raises(ValueError, match="read-only"):
                getattr(each, name)[0] = 1


def test_the_callers_arrays_stay_writeable(data):
    close = data.close.copy()
    replace(data, close=close)
    close[0] = 1.0


@pytest.mark.parametrize("name", ARRAYS)
def test_hash_changes_with_any_cell(data, name):
    array = getattr(data, name).copy()
    last = tuple(length - 1 for length in array.shape)
    if name == "tradable":
        array[last] = False
    elif name == "dates":
        array[last] += np.timedelta64(1, "ns")
    else:
        array[last] = np.nextafter(array[last], np.inf)
    assert replace(data, **{name: array}).content_hash != data.content_hash


@pytest.mark.parametrize(
    "change",
    [
        {"tickers": ("AAPL", "GOOG", "IBM", "X")},
        {"feature_names": ("a", "rsi_6")},
        {"market_feature_names": ("VIX",)},
        {"warmup": 7},
    ],
)
def test_hash_changes_with_names_and_warmup(data, change):
    assert replace(data, **change).content_hash != data.content_hash


def test_hash_without_features(bundled_frame):
    data, _ = market_data_from_long(bundled_frame[["date", "tic", "close"]])
    assert len(data.content_hash) == 64
    assert pickle.loads(pickle.dumps(data)).content_hash == data.content_hash


def test_hash_is_equal_across_processes():
    code = (
        "from finrl_ray.config.data import DataConfig\n"
        "from finrl_ray.data.load import load_market_data\n"
        "print(load_market_data(DataConfig(turbulence=True))[0].content_hash)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True,
        env={"PYTHONHASHSEED": "77", "PYTHONPATH": ":".join(p for p in sys.path if p) or "."},
    )  # fmt: skip
    expected = load_market_data(DataConfig(turbulence=True))[0].content_hash
    assert done.stdout.strip() == expected


def test_rows_are_views(data):
    part = data.rows(10, 20)
    assert part.n_periods == 10
    assert np.shares_memory(part.close, data.close)
    assert np.shares_memory(part.features, data.features)
    assert part.warmup == 0
    assert data.rows(2, 20).warmup == data.warmup - 2
    assert data.rows(0, 3).warmup == 3
    with pytest.raises(DataError, match=r"0 <= start < stop <= 100, got 5..5"):
        data.rows(5, 5)


def test_market_series(data):
    assert (data.market_series("vix") == 15).all()
    np.testing.assert_array_equal(data.market_series("rsi_6"), data.features[:, 0, 1])
    with pytest.raises(DataError, match=r"no series 'vox'; it has \['vix', 'volume', 'rsi_6'\]"):
        data.market_series("vox")


def test_dtypes_are_converted_or_refused(data):
    days = data.dates.astype("datetime64[D]")
    whole = np.full(data.close.shape, 5)
    other = replace(data, dates=days, volume=whole)
    assert other.dates.dtype == data.dates.dtype
    assert other.volume.dtype == np.float64
    with pytest.raises(DataError, match="close must be an array of float64, got <U"):
        replace(data, close=data.close.astype(str))
    with pytest.raises(DataError, match="tradable must be an array of bool, got float64"):
        replace(data, tradable=data.close)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (lambda d: {"close": d.close[:-1]}, r"close must have shape \(100, 4\), got \(99, 4\)"),
        (lambda d: {"features": d.features[:, :, :1]}, "features must have shape"),
        (lambda d: {"dates": d.dates[::-1]}, "dates must be strictly increasing"),
        (lambda d: {"tickers": ("A", "A", "B", "C")}, "tickers must be unique"),
        (lambda d: {"warmup": 101}, r"warmup must be within 0\.\.100"),
        (lambda d: {"close": np.where(d.close == d.close[7, 2], 0.0, d.close)},
         "close of IBM on 2004-08-30.* must be positive, got 0.0"),
        (lambda d: {"features": np.full((100, 4, 2), np.nan)}, "volume of AAPL on .* finite after"),
    ],
)  # fmt: skip
def test_wrong_values(data, changes, message):
    with pytest.raises(DataError, match=message):
        replace(data, **changes(data))
