"""The S&P 500 index with its volumes, and the VIX beside it: `data.source: sp500_vix`."""

import pandas as pd

from finrl_ray.data.sources.package_file import PackageFile
from finrl_ray.data.sources.source import Source

_LICENCE = "NCSA"
_ORIGIN = "not named; arch has it for its examples"
INDEX_FILE = PackageFile(
    source="sp500_vix",
    package="arch",
    path="data/sp500/sp500.csv.gz",
    sha256="1e028cbb9c400cc018c816ccc439b33c919387e726c3ed5ca2c05c82746059de",
    licence=_LICENCE,
    origin=_ORIGIN,
    extra="arch",
)
VIX_FILE = PackageFile(
    source="sp500_vix",
    package="arch",
    path="data/vix/vix.csv.gz",
    sha256="410bd07360dc798f7206d681b8347c6150e7fbd8b05fb1ae29bbe2c9985d66ef",
    licence=_LICENCE,
    origin=_ORIGIN,
    extra="arch",
)


def read_sp500_vix() -> pd.DataFrame:
    """Return the ticker SP500 of 1999-01-04..2018-12-31 with a column `vix`, from arch's package.

    `vix` is the close of the VIX on the same date, in percent a year; it is missing before
    2014-01-03, and on days for which arch has none.

    Raises
    ------
    ConfigError
        If arch is not installed.
    DataError
        If a file is not where this version of arch keeps it.
    """
    index, vix = INDEX_FILE.read("Date"), VIX_FILE.read("Date")
    known = pd.Series(
        pd.to_numeric(vix["vix"], errors="coerce").to_numpy(), index=_iso(vix["Date"])
    )
    dates = _iso(index["Date"])
    return pd.DataFrame(
        {
            "date": dates,
            "tic": "SP500",
            "open": index["Open"],
            "high": index["High"],
            "low": index["Low"],
            "close": index["Adj Close"],
            "volume": index["Volume"].astype("float64"),
            "vix": known.reindex(dates).to_numpy(),
        }
    )


def _iso(dates: "pd.Series[str]") -> "pd.Series[str]":
    """Return dates such as 1/4/1999, month first, as 1999-01-04."""
    return pd.to_datetime(dates, format="%m/%d/%Y").dt.strftime("%Y-%m-%d")


SP500_VIX = Source(
    name="sp500_vix",
    description="Daily prices of the S&P 500 index and the VIX from arch",
    read=lambda config, progress: read_sp500_vix(),
    notes=lambda config: [*INDEX_FILE.notes(), *VIX_FILE.notes()],
)
