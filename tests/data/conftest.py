from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from repository import SHARED

from finrl_ray.data.sources.bundled import read_bundled

SHARED_DATA = SHARED / "data"


@pytest.fixture(scope="session")
def bundled_frame() -> pd.DataFrame:
    return read_bundled()


@pytest.fixture(scope="session")
def dow_frame() -> pd.DataFrame:
    path = SHARED_DATA / "dow30_2020_2021_indicators.parquet"
    if not path.is_file():
        pytest.skip("the Dow prices beside the repository are not there")
    return pd.read_parquet(path)


@pytest.fixture(scope="session")
def messy_frame(bundled_frame: pd.DataFrame) -> pd.DataFrame:
    """Real prices, 500 dates, with every irregularity that has a rule."""
    rng = np.random.default_rng(7)
    dates = bundled_frame["date"].unique()[:500]
    df = bundled_frame[bundled_frame["date"].isin(dates)].copy().reset_index(drop=True)
    df["score"] = rng.normal(size=len(df))
    df["vix"] = df.groupby("date")["close"].transform("first")
    df["note"] = "text"

    def hole(column: str, share: float, value: float) -> None:
        df.loc[rng.random(len(df)) < share, column] = value

    hole("close", 0.03, np.nan)
    hole("close", 0.02, 0.0)
    hole("open", 0.02, 0.0)
    hole("high", 0.02, np.nan)
    hole("volume", 0.02, np.nan)
    hole("score", 0.1, np.nan)
    df.loc[df["date"].isin(dates[[40, 41, 300]]), "vix"] = np.nan
    df = df[rng.random(len(df)) > 0.03]
    df = df[~((df["tic"] == "GOOG") & (df["date"] < dates[20]))]
    df = df[~((df["tic"] == "IBM") & (df["date"] > dates[400]))]
    df = pd.concat([df, df.iloc[[5, 50]]])
    return df.sample(frac=1.0, random_state=1)


@pytest.fixture
def tiny() -> Callable[..., pd.DataFrame]:
    """Make a frame of made-up prices: A costs 10, 11, 12, ...; B 20, 21, 22, ..."""

    def make(n_dates: int = 4, tickers: tuple[str, ...] = ("A", "B")) -> pd.DataFrame:
        dates = pd.date_range("2020-01-01", periods=n_dates).strftime("%Y-%m-%d")
        rows = []
        for day, date in enumerate(dates):
            for number, tic in enumerate(tickers):
                close = 10.0 * (number + 1) + day
                rows.append((date, tic, close - 0.5, close + 1, close - 1, close, 100.0 + day))
        columns = ["date", "tic", "open", "high", "low", "close", "volume"]
        return pd.DataFrame(rows, columns=columns)

    return make
