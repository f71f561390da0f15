"""A `MarketData` as one compressed file, so that a search's folder needs nothing beside it."""

import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from finrl_ray.data.columns import PRICE_COLUMNS
from finrl_ray.data.market_data import MarketData
from finrl_ray.errors import DataError
from finrl_ray.files.bounded_reading import read_arrays

_ARRAYS = ("dates", *PRICE_COLUMNS, "features", "tradable", "market_features")
# what numpy and zipfile raise, depending on where a file is damaged
_DAMAGES = (
    OSError,
    ValueError,
    KeyError,
    TypeError,
    IndexError,
    AttributeError,
    EOFError,
    NotImplementedError,
    zipfile.BadZipFile,
    zlib.error,
)
_NAMES = ("tickers", "feature_names", "market_feature_names")


def save_market_data(market_data: MarketData, path: Path) -> None:
    """Write every array and name to `path` (.npz)."""
    arrays: dict[str, Any] = {name: getattr(market_data, name) for name in _ARRAYS}
    arrays |= {name: np.array(getattr(market_data, name), dtype=np.str_) for name in _NAMES}
    with path.open("wb") as file:
        np.savez_compressed(file, **arrays, warmup=np.array(market_data.warmup))


def read_market_data(path: Path, expected_hash: str | None = None) -> MarketData:
    """Return what `save_market_data` wrote.

    Raises
    ------
    DataError
        If the file is missing, damaged, or not the data of `expected_hash`.
    """
    try:
        arrays = read_arrays(path)
        fields: dict[str, Any] = {name: arrays[name] for name in _ARRAYS}
        fields |= {name: tuple(str(item) for item in arrays[name]) for name in _NAMES}
        market_data = MarketData(**fields, warmup=int(arrays["warmup"]))
    except DataError:
        raise
    except _DAMAGES as error:
        raise DataError(f"{path} cannot be read as market data: {error}") from error
    if expected_hash is not None and market_data.content_hash != expected_hash:
        raise DataError(
            f"{path} holds other data than the search was run on (hash "
            f"{market_data.content_hash[:12]}, expected {expected_hash[:12]}); restore the file"
        )
    return market_data
