"""What is audited: the source's rows, and how they become market data."""

import warnings
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from finrl_ray._typing import AnyArray, DateArray, FloatArray
from finrl_ray.config.experiment import ExperimentConfig
from finrl_ray.data.columns import PRICE_COLUMNS
from finrl_ray.data.frames.dates import read_dates
from finrl_ray.data.load import market_data_of
from finrl_ray.data.market_data import MarketData
from finrl_ray.data.windows.split import Split

SEED = 0
"""Of every random number of the audit."""


@dataclass(frozen=True, kw_only=True)
class Sample:
    """The rows of a source with what is made of them.

    Parameters
    ----------
    source : the rows as they were given
    rows : the source in FinRL's long format, with real dates, in order of dates
    config : the experiment
    market_data : what `load_market_data` makes of the rows
    split : the windows
    """

    source: pd.DataFrame
    rows: pd.DataFrame
    config: ExperimentConfig
    market_data: MarketData
    split: Split

    @property
    def brought(self) -> tuple[str, ...]:
        """Features and market series that the source has as columns, used as they are."""
        names = (*self.market_data.feature_names, *self.market_data.market_feature_names)
        return tuple(name for name in names if name in self.rows and name not in PRICE_COLUMNS)

    @cached_property
    def next_returns(self) -> FloatArray:
        """Simple return from each close to the next, of shape (T - 1, N)."""
        close = self.market_data.close
        returns: FloatArray = close[1:] / close[:-1] - 1.0
        return returns

    def values(self, name: str) -> FloatArray:
        """Return a feature as (T, N), a market series as (T, 1)."""
        data = self.market_data
        if name in data.feature_names:
            return data.features[:, :, data.feature_names.index(name)]
        return data.market_features[:, [data.market_feature_names.index(name)]]

    def as_brought(self, name: str) -> dict[str, FloatArray]:
        """Return a column of the source by ticker, all of its rows, NaN left out."""
        numbers = pd.to_numeric(self.rows[name], errors="coerce")
        groups = numbers.groupby(self.rows["tic"].astype(str), sort=True)
        return {str(tic): part.dropna().to_numpy(dtype=np.float64) for tic, part in groups}

    def load(self, rows: pd.DataFrame) -> MarketData:
        """Return what becomes of other rows by the same rules.

        Raises
        ------
        DataError
            If they cannot be used.
        """
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            data = self.config.data
            return market_data_of(rows, data, check_own_features=False)[0]

    def probe_dates(self, count: int) -> DateArray:
        """Return dates spread over all rows with complete features, the ends left out."""
        first, stop = self.market_data.warmup, self.market_data.n_periods
        places = np.linspace(first, stop - 1, count + 2)[1:-1].round().astype(np.int64)
        dates: DateArray = self.market_data.dates[np.unique(places)]
        return dates

    def later_than(self, date: np.datetime64) -> AnyArray:
        """Return which of the source's rows come after a date."""
        later: AnyArray = self.rows["date"].to_numpy() > date
        return later


def dated(rows: pd.DataFrame, timezone: str | None = None) -> pd.DataFrame:
    """Return rows with real dates in their order, read as the loader does."""
    result = rows.copy()
    result["date"] = read_dates(rows["date"], rows["tic"].to_numpy(dtype=object), timezone).dates
    return result.sort_values(["date", "tic"], kind="stable").reset_index(drop=True)
