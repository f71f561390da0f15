"""What real price files get wrong without an error: splits, delistings, renames, late listings.

The rows are looked at as they are in the source, before any ticker or date is dropped.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import pandas as pd

from finrl_ray._typing import DateArray, FloatArray, IntArray
from finrl_ray.config.data import DataConfig
from finrl_ray.data.frames.long_table import LongTable, read_table
from finrl_ray.data.labels import date_label
from finrl_ray.data.market_data import MarketData
from finrl_ray.data.report import DataReport
from finrl_ray.data.split_jumps import SplitJump, find_split_jumps
from finrl_ray.errors import DataError
from finrl_ray.support.text import listed

Kind: TypeAlias = Literal["split", "ended", "renamed", "late", "dropped", "flat"]

FEW_ROWS = 3
"""A ticker that ends this many rows before the others, or fewer, has not ended early."""
LARGEST_GAP = 5
"""Rows between the end of one name and the beginning of the next, at most."""
SIMILAR = 0.15
"""Two closes may be those of one company if the log of their ratio is no larger than this."""
MANY_DATES = 20
LARGE_SHARE = 0.05
"""A late listing is reported if it costs all tickers MANY_DATES or this share of the dates."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PriceFinding:
    """One thing that should be looked at before prices are trusted.

    Parameters
    ----------
    kind : what it is
    ticker : whose prices
    date : of the event, as text
    what : a sentence
    remedy : what to do
    """

    kind: Kind
    ticker: str
    date: str
    what: str
    remedy: str


@dataclass(frozen=True, kw_only=True)
class _Quotes:
    """The quotes of one ticker: which rows of the calendar, and the prices there."""

    ticker: str
    rows: IntArray
    close: FloatArray
    open: FloatArray
    volume: FloatArray

    @property
    def deviation(self) -> float:
        """Robust standard deviation of its log returns."""
        moves = np.abs(np.diff(np.log(self.close)))
        return float(1.4826 * np.median(moves)) if moves.size else 0.0


def price_findings(df: pd.DataFrame, config: DataConfig) -> tuple[PriceFinding, ...]:
    """Return what is doubtful about the rows of a source, before anything of it is dropped.

    Parameters
    ----------
    df : frame in FinRL's long format; not changed
    config : the `data` section, whose tickers and dates are looked at

    Returns
    -------
    tuple of PriceFinding
        By ticker; empty where the rows cannot be read, which loading says.
    """
    try:
        table = read_table(df, (), config.tickers, config.start, config.end, config.timezone)
    except DataError:
        return ()
    dates, quotes = _by_ticker(table)
    if len(dates) < 2 or not quotes:
        return ()
    found = [*_splits(dates, quotes), *_ends(dates, quotes), *_flat(quotes, dates)]
    found += _late(dates, quotes, config.max_late_rows)
    return tuple(sorted(found, key=lambda item: (item.ticker, item.date)))


def market_findings(market_data: MarketData) -> tuple[PriceFinding, ...]:
    """Return what is doubtful about prices in memory, of which nothing more is known."""
    quotes = []
    for asset, ticker in enumerate(market_data.tickers):
        rows = np.flatnonzero(market_data.tradable[:, asset])
        if rows.size:
            names = ("close", "open", "volume")
            columns = {name: getattr(market_data, name)[rows, asset] for name in names}
            quotes.append(_Quotes(ticker=ticker, rows=rows, **columns))
    dates = market_data.dates
    if market_data.seams:
        return ()  # prices jump where rows were taken out
    found = [*_splits(dates, quotes), *_ends(dates, quotes), *_flat(quotes, dates)]
    return tuple(sorted(found, key=lambda item: (item.ticker, item.date)))


def _by_ticker(table: LongTable) -> tuple[DateArray, list[_Quotes]]:
    dates, rows = np.unique(table.dates, return_inverse=True)
    close = table.columns["close"]
    unknown = np.full(close.shape, np.nan)
    own = close > 0 if table.flags is None else (close > 0) & table.flags
    result = []
    for code, ticker in enumerate(table.names):
        at = np.flatnonzero((table.codes == code) & own)
        if at.size:
            result.append(
                _Quotes(
                    ticker=ticker,
                    rows=rows[at],
                    close=close[at],
                    open=table.columns.get("open", unknown)[at],
                    volume=table.columns.get("volume", unknown)[at],
                )
            )
    return dates, result


def _splits(dates: DateArray, quotes: Sequence[_Quotes]) -> Iterator[PriceFinding]:
    for item in quotes:
        for jump in find_split_jumps(item.close, item.open, item.volume):
            yield _split(item, jump, date_label(dates[item.rows[jump.row]]))


def _split(item: _Quotes, jump: SplitJump, day: str) -> PriceFinding:
    change = item.close[jump.row] / item.close[jump.row - 1] - 1.0
    volume = ""
    if jump.volume_ratio is not None:
        volume = f", with {jump.volume_ratio:.2g} times the volume afterwards"
    factor = max(jump.price_ratio, 1.0 / jump.price_ratio)
    how, back = ("divide", "multiply") if change < 0 else ("multiply", "divide")
    return PriceFinding(
        kind="split",
        ticker=item.ticker,
        date=day,
        what=f"{item.ticker} changes by {change:+.1%} on {day}{volume}: this looks like a "
        f"{jump.name} split that the prices were not adjusted for, which an agent takes for a "
        f"{'loss' if change < 0 else 'gain'}",
        remedy=f"use adjusted prices, or {how} the prices of {item.ticker} before {day} by "
        f"{factor:g} and {back} its volume by it; leave it if the price really moved so",
    )


def _ends(dates: DateArray, quotes: Sequence[_Quotes]) -> Iterator[PriceFinding]:
    for item in quotes:
        missing = len(dates) - 1 - int(item.rows[-1])
        if missing < FEW_ROWS:
            continue
        last = date_label(dates[item.rows[-1]])
        successor = _successor(item, quotes)
        if successor is None:
            yield PriceFinding(
                kind="ended",
                ticker=item.ticker,
                date=last,
                what=f"{item.ticker} ends on {last}, {missing} of {len(dates)} dates before the "
                f"data do (delisted, taken over or renamed): from then on it cannot be traded, and "
                f"a position in it stays at its last price of {item.close[-1]:g}",
                remedy="if it was renamed, give its later rows the same name; if it was delisted "
                "at a loss, add rows down to what was paid out; or leave it out of data.tickers",
            )
            continue
        first = date_label(dates[successor.rows[0]])
        yield PriceFinding(
            kind="renamed",
            ticker=item.ticker,
            date=first,
            what=f"{item.ticker} ends on {last} at {item.close[-1]:g} and {successor.ticker} "
            f"begins on {first} at {successor.close[0]:g}: this looks like one ticker under two "
            "names, so that the first is held untraded and the second is late or dropped",
            remedy=f"give the rows of {item.ticker} the name {successor.ticker}, or the other way "
            "round",
        )


def _successor(item: _Quotes, quotes: Sequence[_Quotes]) -> _Quotes | None:
    """Return the ticker that begins where this one ends, at a similar price."""
    best, smallest = None, np.inf
    for other in quotes:
        gap = int(other.rows[0] - item.rows[-1])
        if not 1 <= gap <= LARGEST_GAP:
            continue
        distance = abs(float(np.log(other.close[0] / item.close[-1])))
        deviation = max(item.deviation, other.deviation)
        if distance <= max(SIMILAR, 4.0 * deviation * gap**0.5) and distance < smallest:
            best, smallest = other, distance
    return best


def _late(dates: DateArray, quotes: Sequence[_Quotes], limit: int) -> Iterator[PriceFinding]:
    """Say how many dates all tickers lose to the latest listing that is kept."""
    firsts = sorted((int(item.rows[0]), item.ticker) for item in quotes)
    kept = [(row, ticker) for row, ticker in firsts if row <= limit]
    if not kept or kept[-1][0] < min(MANY_DATES, LARGE_SHARE * len(dates)) or kept[-1][0] == 0:
        return
    lost, ticker = kept[-1]
    together = [name for row, name in kept if row == lost]
    before = max((row for row, _ in kept if row < lost), default=0)
    first = date_label(dates[lost])
    names = ticker if len(together) == 1 else f"each of {listed(together)}"
    yield PriceFinding(
        kind="late",
        ticker=ticker,
        date=first,
        what=f"{lost} of {len(dates)} dates ({date_label(dates[0])} to "
        f"{date_label(dates[lost - 1])}) are lost for all tickers, because {names} is first quoted "
        f"on {first}",
        remedy=f"leave {' and '.join(together)} out of data.tickers, or lower data.max_late_rows "
        f"below {lost}, which drops "
        f"{'it' if len(together) == 1 else 'them'} and keeps {lost - before} dates more; or keep "
        "it so if the shorter history is what you want",
    )


def _flat(quotes: Sequence[_Quotes], dates: DateArray) -> Iterator[PriceFinding]:
    for item in quotes:
        if item.close.size > 1 and np.ptp(item.close) == 0:
            yield PriceFinding(
                kind="flat",
                ticker=item.ticker,
                date=date_label(dates[item.rows[0]]),
                what=f"the price of {item.ticker} never moves: it is {item.close[0]:g} in all its "
                f"{item.close.size} quotes",
                remedy="leave it out of data.tickers, or look for its real prices",
            )


def dropped_tickers(report: DataReport) -> tuple[PriceFinding, ...]:
    """Return the tickers that loading has dropped, each with the reason and what to do."""
    return tuple(
        PriceFinding(
            kind="dropped",
            ticker=name,
            date=report.first_date,
            what=f"{name} is dropped: {why}",
            remedy="raise data.max_late_rows to keep it at the price of the dates before, start "
            "the data later, or leave it out of data.tickers",
        )
        for name, why in report.dropped_tickers.items()
    )
