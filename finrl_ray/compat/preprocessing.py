"""FinRL's `data_split` and `FeatureEngineer`: the same columns, filled without a look ahead."""

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from finrl_ray._typing import FloatArray
from finrl_ray.compat.filling import (
    by_date_and_ticker,
    carry_forward,
    complete,
    row_dates,
    with_quotes,
)
from finrl_ray.compat.yahoo_downloader import YahooDownloader
from finrl_ray.data.columns import PRICE_COLUMNS
from finrl_ray.data.features import TURBULENCE_ROWS, turbulence
from finrl_ray.data.frames.dates import read_dates
from finrl_ray.data.indicators import FINRL_INDICATORS, compute, required_columns
from finrl_ray.errors import ConfigError, DataError
from finrl_ray.support.text import listed

logger = logging.getLogger(__name__)

VIX = "^VIX"


def data_split(
    df: pd.DataFrame, start: Any, end: Any, target_date_col: str = "date"
) -> pd.DataFrame:
    """Return the rows of the dates `start` <= date < `end`, as FinRL's env wants them.

    Parameters
    ----------
    df : frame in FinRL's long format; not changed
    start, end : dates as the column has them, or `date` objects; those with a time zone are
        instants where the column has times with a zone
    target_date_col : the column of dates

    Returns
    -------
    pandas.DataFrame
        Sorted by date and ticker; the index is the number of the date, from 0.

    Raises
    ------
    DataError
        If a column is missing, or a bound is a number where the column holds text.
    """
    missing = [name for name in (target_date_col, "tic") if name not in df.columns]
    if missing:
        raise DataError(f"data_split needs the columns {missing}, but df has {listed(df.columns)}")
    dates, first, last = _comparable(df, target_date_col, (start, end))
    keys = pd.DataFrame({"date": dates, "tic": df["tic"].to_numpy()})
    keys = keys[(keys["date"] >= first) & (keys["date"] < last)]
    if keys.empty:
        logger.warning("data_split found no row with %s <= date < %s", start, end)
    keys = keys.sort_values(["date", "tic"])
    data: pd.DataFrame = df.iloc[keys.index]
    data.index = pd.Index(keys["date"].factorize()[0])
    return data


def _comparable(df: pd.DataFrame, column: str, bounds: tuple[Any, Any]) -> tuple[Any, Any, Any]:
    """Return the dates of the rows and the bounds so that they compare as dates do."""
    written = df[column]
    first, last = (_as_in(written, bound) for bound in bounds)
    try:
        rows = read_dates(written, df["tic"].to_numpy(dtype=object))
    except DataError:  # another order of day and month, or numbers
        return written.to_numpy(), first, last
    return rows.dates, rows.bound(bounds[0], "start"), rows.bound(bounds[1], "end")


def _as_in(dates: "pd.Series[Any]", bound: Any) -> Any:
    """Return a bound as text where the column holds text, which compares as it is written."""
    if isinstance(bound, str) or pd.api.types.is_numeric_dtype(dates.dtype):
        return bound
    if isinstance(bound, int | float | np.number):
        # pandas would count nanoseconds since 1970
        raise DataError(
            f"start and end must be dates as the column {dates.name!r} has them, such as "
            f"'2020-07-01', got the number {bound!r}"
        )
    if not pd.api.types.is_string_dtype(dates.dtype):
        return bound
    return pd.Timestamp(bound).strftime("%Y-%m-%d")


class FeatureEngineer:
    """FinRL's preparation of a long frame, without its leaks (docs/migration.md lists them).

    Parameters
    ----------
    use_technical_indicator : add the columns of `tech_indicator_list`
    tech_indicator_list : stockstats' names
    use_vix : add the column `vix`
    use_turbulence : add the column `turbulence`
    user_defined_feature : add the column `daily_return`
    vix : frame with `date` and `vix` (or `close`), used instead of a download from Yahoo
    fill_gaps : give a ticker a row on the dates on which it has no quote, repeating its last one,
        which the env does not trade; False leaves these rows out, which the env treats alike
    """

    def __init__(
        self,
        use_technical_indicator: bool = True,
        tech_indicator_list: Sequence[str] = FINRL_INDICATORS,
        use_vix: bool = False,
        use_turbulence: bool = False,
        user_defined_feature: bool = False,
        *,
        vix: pd.DataFrame | None = None,
        fill_gaps: bool = True,
    ) -> None:
        if isinstance(tech_indicator_list, str):
            raise ConfigError(
                f"tech_indicator_list must be a list of names, got {tech_indicator_list!r}"
            )
        self.use_technical_indicator = use_technical_indicator
        self.tech_indicator_list = list(tech_indicator_list)
        self.use_vix = use_vix
        self.use_turbulence = use_turbulence
        self.user_defined_feature = user_defined_feature
        self.vix = vix
        self.fill_gaps = fill_gaps

    def preprocess_data(self, df: pd.DataFrame) -> pd.DataFrame:
        """Return the frame with every feature that was asked for, and none of them empty.

        Where a ticker lacks rows a column `tradable` is 0 in those that were filled in, and 1
        elsewhere.

        Raises
        ------
        DataError
            If the frame or a feature cannot be used; the message names ticker, date and column.
        ConfigError
            If the VIX has to be downloaded and yfinance is not installed.
        """
        df = self.clean_data(df)
        if self.use_technical_indicator:
            df = self.add_technical_indicator(df)
        if self.fill_gaps:
            df = carry_forward(df)
        if self.use_vix:
            df = self.add_vix(df)
        if self.use_turbulence:
            df = self.add_turbulence(df)
        if self.user_defined_feature:
            df = self.add_user_defined_feature(df)
        return complete(df)

    def clean_data(self, data: pd.DataFrame) -> pd.DataFrame:
        """Return the rows with quotes, sorted, indexed by the number of the date.

        A ticker with missing days stays; what goes is logged. See `filling.with_quotes`.

        Raises
        ------
        DataError
            For what has no repair.
        """
        df = with_quotes(data)
        df.index = pd.Index(df["date"].factorize()[0])
        return df

    def add_technical_indicator(self, data: pd.DataFrame) -> pd.DataFrame:
        """Return the frame with one column per indicator, each ticker computed on its own rows.

        Raises
        ------
        DataError
            If an indicator is unknown, looks ahead, or needs a column that is not there.
        """
        names = self.tech_indicator_list
        _refuse_existing(data, names)
        df = by_date_and_ticker(data)
        block = np.full((len(df), len(names)), np.nan)
        for rows in df.groupby("tic").indices.values():
            block[rows] = _indicators(df.iloc[rows], names)
        block[~np.isfinite(block)] = np.nan
        return df.assign(**{name: block[:, k] for k, name in enumerate(names)})

    def add_user_defined_feature(self, data: pd.DataFrame) -> pd.DataFrame:
        """Return the frame with `daily_return`, the close's change since the ticker's last row."""
        closes = by_date_and_ticker(data)
        return closes.assign(daily_return=closes.groupby("tic")["close"].pct_change())

    def add_vix(self, data: pd.DataFrame) -> pd.DataFrame:
        """Return the frame with `vix`, on each date the last value known by then.

        Raises
        ------
        DataError
            If there is no value up to the last date.
        """
        _refuse_existing(data, ["vix"])
        df = by_date_and_ticker(data)
        dates = row_dates(df)
        source = self._vix_frame(dates.min(), dates.max())
        column = "vix" if "vix" in source.columns else "close"
        missing = [name for name in ("date", column) if name not in source.columns]
        if missing:
            raise DataError(
                "the frame given as vix must have the columns date and vix (or close), got "
                f"{listed(map(str, source.columns))}"
            )
        series = pd.Series(
            source[column].to_numpy(dtype=np.float64),
            index=read_days(source),
        ).dropna()
        values = series[~series.index.duplicated()].sort_index().reindex(dates, method="ffill")
        if values.isna().all():
            raise DataError("the VIX has no value on or before any date of the data")
        return df.assign(vix=values.to_numpy())

    def _vix_frame(self, first: Any, last: Any) -> pd.DataFrame:
        if self.vix is not None:
            return self.vix
        # Yahoo's end is the first day that is not read
        after = pd.Timestamp(last) + pd.Timedelta(days=1)
        return YahooDownloader(f"{first}"[:10], f"{after}"[:10], [VIX]).fetch_data()

    def add_turbulence(self, data: pd.DataFrame) -> pd.DataFrame:
        """Return the frame with `turbulence`, one value per date."""
        _refuse_existing(data, ["turbulence"])
        index = self.calculate_turbulence(data).set_index("date")["turbulence"]
        df = by_date_and_ticker(data)
        return df.assign(turbulence=index.reindex(df["date"]).to_numpy())

    def calculate_turbulence(self, data: pd.DataFrame) -> pd.DataFrame:
        """Return the columns `date` and `turbulence`; see `finrl_ray.data.features.turbulence`.

        Raises
        ------
        DataError
            If there are 252 dates or fewer, or a ticker has no close on the first of them.
        """
        if data.duplicated(["date", "tic"]).any():
            raise DataError("turbulence needs one row per date and ticker; run clean_data first")
        closes = data.pivot(index="date", columns="tic", values="close").sort_index().ffill()
        if len(closes) <= TURBULENCE_ROWS:
            raise DataError(
                f"turbulence needs more than {TURBULENCE_ROWS} dates, got {len(closes)}; use more "
                "data or use_turbulence=False"
            )
        values = closes.to_numpy(dtype=np.float64)
        if not (values > 0).all():
            ticker = closes.columns[int(np.argwhere(~(values > 0))[0][1])]
            raise DataError(
                f"turbulence needs a close above 0 of every ticker from the first date on, but "
                f"{ticker} has none on {closes.index[int(np.argwhere(~(values > 0))[0][0])]}; run "
                "clean_data first"
            )
        return pd.DataFrame({"date": closes.index, "turbulence": turbulence(values)})


def read_days(df: pd.DataFrame) -> pd.DatetimeIndex:
    """Return the dates of a frame that may have no tickers."""
    named = df if "tic" in df.columns else df.assign(tic="")
    return pd.DatetimeIndex(row_dates(named))


def _refuse_existing(df: pd.DataFrame, names: Sequence[str]) -> None:
    existing = [name for name in names if name in df.columns]
    if existing:
        raise DataError(
            f"the frame already has the columns {listed(existing)}; drop them, or leave them out "
            "of what the FeatureEngineer adds"
        )


def _indicators(rows: pd.DataFrame, names: Sequence[str]) -> FloatArray:
    """Return the indicators of one ticker, shape (rows, names), NaN where they have no input."""
    block = np.full((len(rows), len(names)), np.nan)
    groups: dict[frozenset[str], list[int]] = {}
    for position, name in enumerate(names):
        groups.setdefault(required_columns(name), []).append(position)
    for needed, positions in groups.items():
        missing = sorted(needed - set(rows.columns))
        if missing:
            raise DataError(
                f"the indicator {names[positions[0]]!r} needs the columns {missing}, but the frame "
                f"has {listed(rows.columns)}"
            )
        given = rows[sorted(needed)].to_numpy(dtype=np.float64)
        usable = np.flatnonzero(np.isfinite(given).all(axis=1))
        if not usable.size:
            continue
        columns = {
            # columns that the names do not depend on may hold gaps or not be there
            name: rows[name if name in needed else "close"].to_numpy(dtype=np.float64)[usable]
            for name in PRICE_COLUMNS
        }
        values = compute(columns, [names[position] for position in positions])
        block[usable[:, None], np.array(positions)[None, :]] = np.stack(values, axis=1)
    return block
