"""`MarketData`: prices and features of N tickers over T dates, which envs and reports read."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from finrl_ray._typing import AnyArray, BoolArray, DateArray, FloatArray
from finrl_ray.data.columns import PRICE_COLUMNS
from finrl_ray.data.report import DataReport
from finrl_ray.errors import DataError

if TYPE_CHECKING:
    import pandas as pd
    from typing_extensions import Unpack

    from finrl_ray.data.frames.long_format import LongOptions

_DTYPES = {"dates": "datetime64[ns]", "tradable": "bool"}


@dataclass(frozen=True, eq=False, kw_only=True)
class MarketData:
    """Prices and features of N tickers over T dates, checked once and never written to.

    Rows are dates in increasing order; row t holds only what was known at the close of date t.

    Parameters
    ----------
    dates : array of shape (T,), datetime64[ns], strictly increasing
    tickers : N names, unique
    open, high, low, close, volume : arrays of shape (T, N), float64
        Adjusted prices in the account's currency; volume in shares. A column that the source does
        not have is all NaN, except `close`, which is finite and positive everywhere: on a date
        without a quote it carries the ticker's own last price, and `tradable` is False.
    features : array of shape (T, N, F), float64
        Finite from row `warmup` on.
    feature_names : F names
    tradable : array of shape (T, N), bool
        False where the ticker has no quote of its own that date.
    market_features : array of shape (T, M), float64
        Series that belong to the date and not to a ticker (turbulence, vix).
    market_feature_names : M names
    warmup : rows
        Leading rows whose features are still incomplete; no window may start before row `warmup`.
    seams : rows
        Rows before which rows of the source were taken out (see `take`); an episode never crosses
        one, since the prices there jump.

    Raises
    ------
    DataError
        If shapes disagree, dates are not increasing, or a close is not finite and positive.
    """

    dates: DateArray
    tickers: tuple[str, ...]
    open: FloatArray
    high: FloatArray
    low: FloatArray
    close: FloatArray
    volume: FloatArray
    features: FloatArray
    feature_names: tuple[str, ...]
    tradable: BoolArray
    market_features: FloatArray
    market_feature_names: tuple[str, ...]
    warmup: int = 0
    seams: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        self._set_dtypes()
        self._check_shapes()
        self._check_values()
        self._lock()

    def _lock(self) -> None:
        for name, array in self._arrays().items():
            view = array.view()  # the caller's own array keeps its flags
            view.setflags(write=False)
            object.__setattr__(self, name, view)

    def _set_dtypes(self) -> None:
        for name, array in self._arrays().items():
            dtype = _DTYPES.get(name, "float64")
            try:
                object.__setattr__(
                    self, name, np.asarray(array).astype(dtype, casting="same_kind", copy=False)
                )
            except (TypeError, ValueError):
                found = getattr(array, "dtype", type(array).__name__)
                raise DataError(
                    f"market data: {name} must be an array of {dtype}, got {found}"
                ) from None

    def _arrays(self) -> dict[str, AnyArray]:
        names = ("dates", *PRICE_COLUMNS, "features", "tradable", "market_features")
        return {name: getattr(self, name) for name in names}

    def _check_shapes(self) -> None:
        t, n = len(self.dates), len(self.tickers)
        if t < 1 or n < 1:
            raise DataError(f"market data must have at least 1 date and 1 ticker, got {t} and {n}")
        expected: dict[str, tuple[int, ...]] = {
            name: (t, n) for name in (*PRICE_COLUMNS, "tradable")
        }
        expected["features"] = (t, n, len(self.feature_names))
        expected["market_features"] = (t, len(self.market_feature_names))
        for name, shape in expected.items():
            found = getattr(self, name).shape
            if found != shape:
                raise DataError(f"market data: {name} must have shape {shape}, got {found}")
        if len(set(self.tickers)) != n:
            raise DataError(f"market data: tickers must be unique, got {list(self.tickers)}")
        if not 0 <= self.warmup <= t:
            raise DataError(f"market data: warmup must be within 0..{t} rows, got {self.warmup}")
        edges = (0, *self.seams, t)
        if any(b <= a for a, b in pairwise(edges)) and self.seams:
            raise DataError(
                f"market data: seams must be increasing and within 1..{t - 1}, got {self.seams}"
            )

    def _check_values(self) -> None:
        late = np.flatnonzero(np.diff(self.dates) <= np.timedelta64(0, "ns"))
        if late.size:
            raise DataError(
                f"market data: dates must be strictly increasing, but {self.dates[late[0] + 1]} "
                f"follows {self.dates[late[0]]}"
            )
        self._raise_first(~(np.isfinite(self.close) & (self.close > 0)), "close", "positive")
        for index, name in enumerate(self.feature_names):
            bad = ~np.isfinite(self.features[:, :, index])
            bad[: self.warmup] = False
            self._raise_first(bad, name, "finite after the warm-up rows")

    def _raise_first(self, bad: BoolArray, column: str, rule: str) -> None:
        if not bad.any():
            return
        row, asset = (int(i) for i in np.argwhere(bad)[0])
        values = self.close if column == "close" else None
        came = f", got {values[row, asset]}" if values is not None else ""
        raise DataError(
            f"market data: {column} of {self.tickers[asset]} on {self.dates[row]} must be {rule}"
            f"{came} ({int(bad.sum())} such values)"
        )

    @property
    def n_periods(self) -> int:
        """T, the number of dates."""
        return len(self.dates)

    @property
    def n_assets(self) -> int:
        """N, the number of tickers."""
        return len(self.tickers)

    @property
    def has_open(self) -> bool:
        """Whether every tradable cell has an open price (needed by fills at the next open)."""
        return bool(np.isfinite(self.open[self.tradable]).all())

    @cached_property
    def content_hash(self) -> str:
        """SHA-256 over names, dates and every array, as 64 hex digits."""
        digest = hashlib.sha256()
        names: tuple[Any, ...] = (
            self.tickers,
            self.feature_names,
            self.market_feature_names,
            self.warmup,
        )
        if self.seams:
            names = (*names, self.seams)
        digest.update(repr(names).encode())
        for name, array in self._arrays().items():
            digest.update(f"{name}{array.dtype.str}{array.shape}".encode())
            digest.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
        return digest.hexdigest()

    def rows(self, start: int, stop: int) -> "MarketData":
        """Return the rows `start` <= t < `stop` as views; nothing is copied.

        Raises
        ------
        DataError
            If the range is empty or outside 0..T.
        """
        if not 0 <= start < stop <= self.n_periods:
            raise DataError(
                f"rows must satisfy 0 <= start < stop <= {self.n_periods}, got {start}..{stop}"
            )
        sliced: dict[str, Any] = {k: array[start:stop] for k, array in self._arrays().items()}
        seams = tuple(row - start for row in self.seams if start < row < stop)
        return replace(self, **sliced, warmup=max(0, min(stop, self.warmup) - start), seams=seams)

    def take(self, segments: Sequence[tuple[int, int]]) -> "MarketData":
        """Return the rows of several segments, copied one after the other, with seams between.

        Parameters
        ----------
        segments : first row and row after the last of each, in order, not overlapping; two that
            touch are one

        Raises
        ------
        DataError
            If there is none, one is empty, they overlap, or begin within the warm-up.
        """
        flat = [row for segment in segments for row in segment]
        ordered = all(a < b for a, b in segments) and all(a <= b for a, b in pairwise(flat))
        if not segments or not ordered or not self.warmup <= flat[0] <= flat[-1] <= self.n_periods:
            raise DataError(
                f"segments must be in order, not empty, not overlapping and within rows "
                f"{self.warmup}..{self.n_periods}, got {list(segments)}"
            )
        rows = np.concatenate([np.arange(a, b) for a, b in segments])
        jumps = np.flatnonzero(np.diff(rows) > 1) + 1
        own = [int(np.searchsorted(rows, row)) for row in self.seams if flat[0] < row < flat[-1]]
        seams = tuple(sorted({int(row) for row in jumps} | set(own)))
        taken: dict[str, Any] = {name: array[rows] for name, array in self._arrays().items()}
        return replace(self, **taken, warmup=0, seams=seams)

    def with_features(self, names: Sequence[str]) -> "MarketData":
        """Return the market with these features alone, in this order.

        Rows, warm-up and everything else stay, so that agents with different features are compared
        on the same days. The same names give the same object again, and with it what envs have made
        of it.

        Parameters
        ----------
        names : of the features of this market, each once

        Raises
        ------
        DataError
            If a name is not among them, or is given twice.
        """
        wanted = tuple(names)
        if wanted == self.feature_names:
            return self
        if wanted not in self._with_features:
            unknown = [name for name in wanted if name not in self.feature_names]
            if unknown or len(set(wanted)) < len(wanted):
                raise DataError(
                    f"features must be named once each, of those of the market "
                    f"{list(self.feature_names)}, got {list(wanted)}"
                )
            positions = [self.feature_names.index(name) for name in wanted]
            self._with_features[wanted] = replace(
                self,
                features=np.ascontiguousarray(self.features[:, :, positions]),
                feature_names=wanted,
            )
        return self._with_features[wanted]

    @cached_property
    def _with_features(self) -> "dict[tuple[str, ...], MarketData]":
        return {}

    def market_series(self, name: str) -> FloatArray:
        """Return one date-wise series of shape (T,): a market feature, or ticker 0's feature.

        Raises
        ------
        DataError
            If there is no series of that name.
        """
        if name in self.market_feature_names:
            return self.market_features[:, self.market_feature_names.index(name)]
        if name in self.feature_names:
            return self.features[:, 0, self.feature_names.index(name)]
        known = [*self.market_feature_names, *self.feature_names]
        raise DataError(f"market data has no series {name!r}; it has {known}")

    @classmethod
    def from_finrl(
        cls, df: "pd.DataFrame", features: Sequence[str] = (), **options: "Unpack[LongOptions]"
    ) -> "MarketData":
        """Return market data from a frame in FinRL's long format.

        Parameters
        ----------
        df : frame with `date`, `tic`, `close`, and optionally `open`, `high`, `low`, `volume`
            and any numeric columns
        features : names of columns of `df` to use as features, in observation order
        options : those of `market_data_from_long`
        """
        return market_data_from_long(df, features=features, **options)[0]

    def __getstate__(self) -> dict[str, Any]:
        # cached values are rebuilt on demand; they must not travel to every worker
        return {name: self.__dict__[name] for name in self.__dataclass_fields__}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._lock()  # pickle makes arrays writeable


def market_data_from_long(
    df: "pd.DataFrame", *, features: Sequence[str] = (), **options: "Unpack[LongOptions]"
) -> tuple[MarketData, DataReport]:
    """Return market data, and a report of what was done, from a frame in FinRL's long format.

    Parameters
    ----------
    df : frame with `date`, `tic`, `close`, and optionally `open`, `high`, `low`, `volume` and
        further numeric columns; never changed. The index is ignored. Rows in which a column
        `tradable` is False or 0 only repeat a ticker's last prices.
    features : names of numeric columns, in observation order
    tickers : names to keep, in this order; all in alphabetical order when None
    start : first date kept
    end : first date not kept
    market_columns : columns with one value per date, the same for all tickers
    max_late_rows : a ticker first quoted later than this many rows after the first date is
        dropped; for an earlier one the rows before its first quote are dropped; 252 if left out
    timezone : name of the zone that dates with a zone and a time of day are converted to, so that
        a row is one instant; UTC when None. Days keep their local date.

    Returns
    -------
    (MarketData, DataReport)
        docs/data.md has the rule for each irregularity.

    Raises
    ------
    DataError
        Naming ticker, date and column, for everything that has no rule that could repair it.
    ConfigError
        If `timezone` is no time zone.
    """
    # commands that only read a search do without pandas, which takes half a second to load
    from finrl_ray.data.frames.long_format import arrays_from_long

    fields, report = arrays_from_long(df, features=features, **options)
    return MarketData(**fields), report
