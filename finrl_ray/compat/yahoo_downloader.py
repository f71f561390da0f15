"""FinRL's `YahooDownloader` and `get_baseline`."""

from collections.abc import Sequence
from datetime import date

import pandas as pd

from finrl_ray.compat.filling import by_date_and_ticker, row_dates
from finrl_ray.config.data import DataConfig
from finrl_ray.data.sources.yahoo import read_yahoo
from finrl_ray.errors import ConfigError

_COLUMNS = ["date", "open", "high", "low", "close", "volume", "tic", "day"]


class YahooDownloader:
    """Daily prices from Yahoo under FinRL's names.

    All prices are adjusted for splits and dividends; FinRL adjusts the close alone. Windows that
    end in the past are kept on disk.

    Parameters
    ----------
    start_date : first day read, YYYY-MM-DD
    end_date : first day not read, YYYY-MM-DD
    ticker_list : Yahoo's names, such as `AAPL` or `^DJI`
    """

    def __init__(self, start_date: str, end_date: str, ticker_list: Sequence[str]) -> None:
        if isinstance(ticker_list, str):
            raise ConfigError(f"ticker_list must be a list of names, got {ticker_list!r}")
        self.start_date = start_date
        self.end_date = end_date
        self.ticker_list = list(ticker_list)

    def fetch_data(self, proxy: str | None = None) -> pd.DataFrame:
        """Return the columns date, open, high, low, close, volume, tic and day (Monday is 0).

        Parameters
        ----------
        proxy : refused; yfinance reads the environment variable HTTPS_PROXY

        Raises
        ------
        ConfigError
            If yfinance is not installed, a date cannot be read, or `proxy` is given.
        DataError
            If the download fails or a ticker came back empty.
        """
        if proxy is not None:
            raise ConfigError("set the environment variable HTTPS_PROXY instead of proxy=")
        config = DataConfig(
            source="yahoo",
            tickers=tuple(self.ticker_list),
            start=_day("start_date", self.start_date),
            end=_day("end_date", self.end_date),
        )
        df = read_yahoo(config)
        stamps = pd.DatetimeIndex(row_dates(df))
        df = df.assign(date=stamps.strftime("%Y-%m-%d"), day=stamps.day_of_week)
        return by_date_and_ticker(df.dropna())[_COLUMNS]


def get_baseline(ticker: str, start: str, end: str) -> pd.DataFrame:
    """Return the daily prices of one index or ticker, such as `^DJI`, from Yahoo."""
    return YahooDownloader(start_date=start, end_date=end, ticker_list=[ticker]).fetch_data()


def _day(name: str, value: object) -> date:
    try:
        return date.fromisoformat(str(value)[:10])
    except ValueError:
        raise ConfigError(f"{name} must be a date such as '2020-01-31', got {value!r}") from None
