"""The prices of four US stocks that ship with the package: `data.source: bundled`."""

import hashlib
from importlib.resources import files

import numpy as np
import pandas as pd

from finrl_ray.data.sources.files import parse_csv
from finrl_ray.data.sources.source import Source
from finrl_ray.errors import DataError

_BUNDLED_FILE = "us_stocks_2004_2013.csv.gz"
_BUNDLED_SHA256 = "44c412c7032db6e3e2ea774490245ed14b489497f2be414217c95a28cdc3785b"


def read_bundled() -> pd.DataFrame:
    """Return AAPL, GOOG, IBM, MSFT of 2004-08-19..2013-03-01, adjusted for splits and dividends.

    `close` is the source's adjusted close; open, high and low are multiplied by the same factor;
    volume is the source's, in shares of the day.

    Raises
    ------
    DataError
        If the file is not the one that was shipped.
    """
    folder = files("finrl_ray.data").joinpath("bundled")
    try:
        content = folder.joinpath(_BUNDLED_FILE).read_bytes()
    except OSError as error:
        raise DataError(
            f"the bundled prices cannot be read ({error}); install finrl-ray again"
        ) from error
    found = hashlib.sha256(content).hexdigest()
    if found != _BUNDLED_SHA256:
        raise DataError(
            f"the bundled prices must have the SHA-256 {_BUNDLED_SHA256}, got {found}; the file "
            "was changed or damaged: install finrl-ray again"
        )
    df = parse_csv(content, compressed=True)
    factor = df["adj_close"] / df["close"]
    for name in ("open", "high", "low"):
        df[name] = df[name] * factor
    df["close"] = df["adj_close"]
    df["volume"] = df["volume"].astype(np.float64)
    return df.drop(columns="adj_close")


BUNDLED = Source(
    name="bundled",
    description="Bundled daily prices of four US stocks (Quandl WIKI, public domain)",
    read=lambda config, progress: read_bundled(),
)
