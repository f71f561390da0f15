"""The `data` and `split` sections of the YAML: prices, features, and three windows of dates."""

from dataclasses import dataclass, field
from datetime import date
from itertools import pairwise
from typing import Any, ClassVar, Literal

from finrl_ray.config.checks import (
    FORBID_UNKNOWN,
    formulation,
    may_change,
    not_searched,
    require,
    require_numbers,
)
from finrl_ray.own_code.reference import reference_of
from finrl_ray.support.time_zones import require_timezone

Window = tuple[date | None, date | None]
FILE_ENDINGS = (".csv", ".csv.gz", ".parquet")
"""A `data.source` that ends so is a file, whatever its name."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DataConfig:
    """Where prices come from and which features are computed on them."""

    __pydantic_config__: ClassVar[dict[str, Any]] = FORBID_UNKNOWN

    source: str = "bundled"
    """A source by its name; a function of your own by its import path, such as `my_source:read`
    (see docs/bring/source.md), or the name that an installed package publishes it under
    (`finrl_ray.sources`); or the path of a .csv, .csv.gz or .parquet file in FinRL's long format;
    a relative path is looked up from the folder of the config file. docs/data.md has a table of the
    sources, such as `bundled`, `sp500`, `big_tech`, `yahoo`, and the generated markets `noise`
    (nothing to find) and `planted` (a known edge)."""
    source_kwargs: dict[str, Any] = field(
        default_factory=dict,
        metadata=not_searched("all trials of a search are compared on the prices that they give"),
    )
    """Keywords of a function of your own that is the source."""
    tickers: tuple[str, ...] | None = None
    """Names to keep, in this order; all of the source's in alphabetical order when null."""
    start: date | None = None
    """First date read, inclusive."""
    end: date | None = None
    """First date not read."""
    timezone: str | None = None
    """Zone (`Europe/London`) that dates with a time zone and a time of day are converted to; null:
    UTC. A row is one instant, so bars of exchanges in several zones need one clock. Dates without a
    time zone are left as they are, and days (midnight where they were written) keep their date."""
    features: tuple[str, ...] | Literal["finrl"] = field(default="finrl", metadata=formulation())
    """Indicators by FinRL's (stockstats') names, numeric columns of the source, or functions of
    your own by their import path, such as `my_features:compute` (see docs/bring/features.md), in
    observation order. `finrl`, also as one of them, is FinRL's list of eight, less those that a
    close-only source cannot have."""
    feature_kwargs: dict[str, Any] = field(
        default_factory=dict, metadata=formulation(keywords=True)
    )
    """Keywords of the functions of your own under `features`; each gets those that it takes. A
    search may choose each by itself: `data.feature_kwargs.window: {choice: [5, 20]}`."""
    turbulence: bool = False
    """Compute FinRL's turbulence index as the market series `turbulence` (252 rows of warm-up)."""
    market_columns: tuple[str, ...] = ()
    """Columns of the source that have one value per date (such as `vix`)."""
    max_late_rows: int = 252
    """A ticker first quoted later than this many rows after the first date is dropped; for an
    earlier one the rows before its first quote are dropped. Both are reported."""
    cache_dir: str = field(
        default="~/.cache/finrl_ray", metadata=may_change("a path; the folder has the data")
    )
    """Where downloads are kept."""

    def __post_init__(self) -> None:
        self._name_own_code()
        require_numbers(self)
        require(self.tickers is None or len(self.tickers) > 0, "tickers must not be an empty list")
        require(
            self.start is None or self.end is None or self.start < self.end,
            f"start must be before end, got {self.start} and {self.end}",
        )
        require(self.max_late_rows >= 0, f"max_late_rows must be >= 0, got {self.max_late_rows}")
        if self.timezone is not None:
            require_timezone(self.timezone)

    def _name_own_code(self) -> None:
        """Put import paths in the place of functions that were given in Python."""
        object.__setattr__(self, "source", reference_of(self.source, "source"))
        if not isinstance(self.features, str):
            features = tuple(reference_of(name, "features") for name in self.features)
            object.__setattr__(self, "features", features)


@dataclass(frozen=True, kw_only=True, slots=True)
class SplitConfig:
    """Three windows of dates, each half-open: `[first, end)`. They may touch, never overlap."""

    __pydantic_config__: ClassVar[dict[str, Any]] = FORBID_UNKNOWN

    train: Window | None = None
    """What agents learn on. A null start means the first row with complete features."""
    validation: Window | None = None
    """What trials are compared on."""
    test: Window | None = None
    """Sealed: read by `backtest` alone. A null end means the end of the data. When all three
    windows are null, the rows are split 60/20/20."""

    def __post_init__(self) -> None:
        require_numbers(self)
        given = [w for w in (self.train, self.validation, self.test) if w is not None]
        require(
            len(given) in (0, 3),
            "train, validation and test must be given together, or all left out for 60/20/20",
        )
        if given:
            self._check_order()

    def _check_order(self) -> None:
        assert self.train is not None
        assert self.validation is not None
        assert self.test is not None
        ends = (self.train[1], *self.validation, self.test[0])
        require(
            all(value is not None for value in ends),
            "only the start of train and the end of test may be null",
        )
        flat = [*self.train, *self.validation, *self.test]
        known = [value for value in flat if value is not None]
        names = "train, validation, test"
        for first, second in pairwise(known):
            require(
                first <= second,
                f"the windows must be in the order {names} and must not overlap, "
                f"but {first} comes before {second} in the file",
            )
        for name, window in zip(
            ("train", "validation", "test"), (self.train, self.validation, self.test), strict=True
        ):
            require(
                None in window or window[0] != window[1],
                f"the {name} window must hold at least one date, got [{window[0]}, {window[1]})",
            )
