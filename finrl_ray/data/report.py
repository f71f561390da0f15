"""`DataReport`: what was done to a source on its way to `MarketData`."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from finrl_ray.support.text import counted


@dataclass(frozen=True, kw_only=True, slots=True)
class UntradableCells:
    """Dates on which one ticker has no quote of its own."""

    count: int
    """Number of dates, after the leading rows were dropped."""
    first_date: str


@dataclass(frozen=True, kw_only=True, slots=True)
class DroppedRows:
    """Leading dates that were dropped for all tickers."""

    count: int
    """Number of dates."""
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class DataReport:
    """Everything that was dropped, carried forward or left out, for the log and the report page."""

    source: str
    """Where the rows came from, in words."""
    n_periods: int
    n_assets: int
    first_date: str
    last_date: str
    dropped_tickers: Mapping[str, str] = field(default_factory=dict)
    """Ticker to the reason why it was dropped."""
    dropped_rows: tuple[DroppedRows, ...] = ()
    untradable: Mapping[str, UntradableCells] = field(default_factory=dict)
    """Only the tickers that have such cells."""
    notes: tuple[str, ...] = ()
    """Everything else, one sentence each."""

    def with_notes(self, *notes: str) -> "DataReport":
        """Return this report with sentences added."""
        return replace(self, notes=(*self.notes, *notes))

    def to_dict(self) -> dict[str, Any]:
        """Return plain dicts, lists, strings and ints, ready for JSON."""
        result = asdict(replace(self, dropped_tickers={}, untradable={}))
        result["dropped_tickers"] = dict(self.dropped_tickers)
        result["untradable"] = {name: asdict(cells) for name, cells in self.untradable.items()}
        result["dropped_rows"] = list(result["dropped_rows"])
        result["notes"] = list(self.notes)
        return result

    def lines(self) -> list[str]:
        """Return the report as sentences for a person."""
        tickers = "ticker" if self.n_assets == 1 else "tickers"
        lines = [
            f"{self.source}: {self.n_assets} {tickers} over {counted(self.n_periods, 'date')}, "
            f"{self.first_date} to {self.last_date}."
        ]
        lines += [f"{name} was dropped: {why}." for name, why in self.dropped_tickers.items()]
        lines += [
            f"The first {rows.count} dates were dropped: {rows.reason}."
            for rows in self.dropped_rows
        ]
        lines += [
            f"{name} cannot be traded on {cells.count} of the dates (the first is "
            f"{cells.first_date}); its last price is carried."
            for name, cells in self.untradable.items()
        ]
        return [*lines, *self.notes]
