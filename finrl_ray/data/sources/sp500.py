"""Adjusted closes from skfolio's package: `data.source` `sp500`, `sp500_index` and `factors`."""

from datetime import date

import numpy as np
import pandas as pd

from finrl_ray.config.data import DataConfig
from finrl_ray.data.sources.package_file import PackageFile
from finrl_ray.data.sources.source import Source

SP500_FIRST_DATE = "2005-01-01"
"""Earlier prices of this set are rounded so coarsely that daily returns are wrong by percents."""
_ORIGIN = (
    "not named; skfolio says that its sets are adjusted closes for tests and examples, stale, and "
    "not for investment, trading or commercial use"
)


def _file(source: str, name: str, sha256: str) -> PackageFile:
    return PackageFile(
        source=source,
        package="skfolio",
        path=f"datasets/data/{name}.csv.gz",
        sha256=sha256,
        licence="BSD-3-Clause",
        origin=_ORIGIN,
        extra="sp500",
    )


SP500_FILE = _file(
    "sp500",
    "sp500_dataset",
    "ee21cac28befb1d0a739a9ceb22184f995394726aa0cfde9a21941d1ac04ac0d",
)
INDEX_FILE = _file(
    "sp500_index",
    "sp500_index",
    "894c34431c284f86aa64a467e176e2a3c9b697c857eb9ab35006c2dd55d3fdf2",
)
FACTORS_FILE = _file(
    "factors",
    "factors_dataset",
    "6eb089953db90c9a38d3283582751701a90db6f59965847fd64b0578de497161",
)


def read_sp500() -> pd.DataFrame:
    """Return the adjusted closes of 20 large US stocks from 2005 on, from skfolio's package.

    Raises
    ------
    ConfigError
        If skfolio is not installed.
    DataError
        If its file is not where this version of skfolio keeps it.
    """
    wide = SP500_FILE.read("Date")
    return _long(wide.loc[wide["Date"] >= SP500_FIRST_DATE])


def read_sp500_index() -> pd.DataFrame:
    """Return the closes of the S&P 500 index as the ticker SP500, from skfolio's package.

    The errors are those of `read_sp500`.
    """
    return _long(INDEX_FILE.read("Date"))


def read_factors() -> pd.DataFrame:
    """Return the adjusted closes of five US factor funds, from skfolio's package.

    The errors are those of `read_sp500`.
    """
    return _long(FACTORS_FILE.read("Date"))


def _long(wide: pd.DataFrame) -> pd.DataFrame:
    """Return a table of one column per ticker in FinRL's long format."""
    closes = wide.drop(columns="Date")
    t, n = closes.shape
    return pd.DataFrame(
        {
            "date": np.repeat(wide["Date"].to_numpy(), n),
            "tic": np.tile(closes.columns.to_numpy(), t),
            "close": closes.to_numpy(dtype=np.float64).reshape(-1),
        }
    )


def _notes(config: DataConfig) -> list[str]:
    first = date.fromisoformat(SP500_FIRST_DATE)
    said = SP500_FILE.notes()
    if config.start is None or config.start >= first:
        return said
    return [*said, f"Rows before {first} are never read: their prices are rounded too coarsely."]


SP500 = Source(
    name="sp500",
    description="Adjusted daily closes of 20 large US stocks from skfolio",
    read=lambda config, progress: read_sp500(),
    notes=_notes,
)
SP500_INDEX = Source(
    name="sp500_index",
    description="Daily closes of the S&P 500 index from skfolio",
    read=lambda config, progress: read_sp500_index(),
    notes=lambda config: INDEX_FILE.notes(),
)
FACTORS = Source(
    name="factors",
    description="Adjusted daily closes of five US factor funds from skfolio",
    read=lambda config, progress: read_factors(),
    notes=lambda config: FACTORS_FILE.notes(),
)
