"""Adjusted closes of 20 large US stocks from skfolio's package: `data.source: sp500`."""

import importlib.util
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd

from finrl_ray.config.data import DataConfig
from finrl_ray.data.sources.files import EXACT_FLOATS, READ_ERRORS
from finrl_ray.data.sources.source import Source
from finrl_ray.errors import ConfigError, DataError

SP500_FIRST_DATE = "2005-01-01"
"""Earlier prices of this set are rounded so coarsely that daily returns are wrong by percents."""


def read_sp500() -> pd.DataFrame:
    """Return the adjusted closes of 20 large US stocks from 2005 on, from skfolio's package.

    Only the file is read; skfolio is not imported.

    Raises
    ------
    ConfigError
        If skfolio is not installed.
    DataError
        If its file is not where this version of skfolio keeps it.
    """
    spec = importlib.util.find_spec("skfolio")
    if spec is None or spec.origin is None:
        raise ConfigError(
            "data.source 'sp500' needs the prices that ship with skfolio, which is not installed: "
            'pip install "finrl-ray[sp500]"'
        )
    path = Path(spec.origin).parent / "datasets" / "data" / "sp500_dataset.csv.gz"
    try:
        wide = pd.read_csv(path, index_col=0, **EXACT_FLOATS)
    except READ_ERRORS as error:
        raise DataError(
            f"skfolio's price file {path} cannot be read ({error}); install a version that "
            'finrl-ray knows: pip install "finrl-ray[sp500]"'
        ) from error
    wide = wide.loc[wide.index >= SP500_FIRST_DATE]
    t, n = wide.shape
    return pd.DataFrame(
        {
            "date": np.repeat(wide.index.to_numpy(), n),
            "tic": np.tile(wide.columns.to_numpy(), t),
            "close": wide.to_numpy(dtype=np.float64).reshape(-1),
        }
    )


def _notes(config: DataConfig) -> list[str]:
    first = date.fromisoformat(SP500_FIRST_DATE)
    if config.start is None or config.start >= first:
        return []
    return [f"Rows before {first} are never read: their prices are rounded too coarsely."]


SP500 = Source(
    name="sp500",
    description="Adjusted daily closes of 20 large US stocks from skfolio",
    read=lambda config, progress: read_sp500(),
    notes=_notes,
)
