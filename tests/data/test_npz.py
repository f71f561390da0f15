"""Market data as a file: equal after a round trip, refused when damaged or exchanged."""

from pathlib import Path

import numpy as np
import pytest

from finrl_ray.config.data import DataConfig
from finrl_ray.data.load import load_market_data
from finrl_ray.data.npz import read_market_data, save_market_data
from finrl_ray.errors import DataError


def test_a_round_trip_keeps_every_value(tmp_path: Path) -> None:
    data, _ = load_market_data(DataConfig(turbulence=True))
    path = tmp_path / "data.npz"
    save_market_data(data, path)
    again = read_market_data(path, data.content_hash)
    assert again.content_hash == data.content_hash
    assert (again.tickers, again.feature_names, again.warmup) == (
        data.tickers,
        data.feature_names,
        data.warmup,
    )
    np.testing.assert_array_equal(again.market_features, data.market_features)


def test_other_data_than_expected_are_refused(tmp_path: Path) -> None:
    data, _ = load_market_data(DataConfig())
    path = tmp_path / "data.npz"
    save_market_data(data.rows(0, 100), path)
    with pytest.raises(DataError, match="holds other data"):
        read_market_data(path, data.content_hash)


@pytest.mark.parametrize("content", [b"", b"not a zip", None])
def test_a_damaged_file_is_refused(content, tmp_path: Path) -> None:
    path = tmp_path / "data.npz"
    if content is None:
        data, _ = load_market_data(DataConfig())
        save_market_data(data, path)
        content = path.read_bytes()[:5000]
    path.write_bytes(content)
    with pytest.raises(DataError, match="cannot be read as market data"):
        read_market_data(path)
