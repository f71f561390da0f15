"""New bars for an agent: read, and refused with the reason unless they go on from what it knows.

Orders on wrong prices cost money, so that whatever is doubtful is an error here: bars that are
stale, incomplete or not yet completed, other tickers, another calendar, another history. What
nobody can see in a table, such as that a ticker was halted, is said by `BarRules`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pandas as pd

from finrl_ray._typing import DateArray
from finrl_ray.config.data import FILE_ENDINGS, DataConfig
from finrl_ray.data.chosen_features import FINRL
from finrl_ray.data.columns import PRICE_COLUMNS, TRADABLE_COLUMN
from finrl_ray.data.frames.dates import DateLike
from finrl_ray.data.indicators import FINRL_INDICATORS
from finrl_ray.data.labels import date_label
from finrl_ray.data.sources.registry import SOURCES, is_own_source, read_source
from finrl_ray.deployment.bar_checks.calendar import BarCalendar, Closing
from finrl_ray.deployment.bar_checks.dates import (
    check_completed,
    check_kind,
    check_order,
    check_pattern,
    check_recent,
    is_named,
    named_instant,
)
from finrl_ray.deployment.bar_checks.grid import BarGrid, Stamps
from finrl_ray.deployment.bar_checks.history import (
    REBASED,
    SAME,
    check_jumps,
    check_overlap,
    large_moves,
    rebase_factors,
)
from finrl_ray.deployment.bar_checks.table import long_bars, read_bar_file
from finrl_ray.deployment.bar_checks.tickers import check_cells, check_tickers
from finrl_ray.deployment.bar_checks.volume import VOLUME, revised_volumes
from finrl_ray.errors import DataError
from finrl_ray.files.shown_path import shown_path
from finrl_ray.own_code.code_files import collect_code
from finrl_ray.own_code.finder import activate, active_code, named_code
from finrl_ray.own_code.reference import names_a_place
from finrl_ray.support.progress import Progress, no_progress
from finrl_ray.support.text import did_you_mean, listed

_OVERLAP = 20
"""Known bars that are asked of a source again, so that a changed history is seen."""


@dataclass(frozen=True, kw_only=True)
class BarRules:
    """What a user says about new bars.

    Parameters
    ----------
    date : of the bar to act on; later ones are not looked at. None: the last one, which has to be
        recent.
    answered : date of the last bar that orders were given for; a later one is wanted
    now : the time, with a time zone; the clock's when None
    closing : when the sessions of the exchange end; see `BarCalendar.completed_at`
    max_missing : bars that are due and may be missing in a row, and after the last; None: as many
        as in the known bars, within 2 to 5
    not_traded : tickers without a bar of their own, such as halted ones
    really_moved : tickers whose price jumped without a split
    ignore_others : rows of other tickers do not matter
    rebase : prices that were adjusted for dividends since are brought back onto the known ones
    """

    date: DateLike | None = None
    answered: np.datetime64 | None = None
    now: datetime | None = None
    closing: Closing | None = None
    max_missing: int | None = None
    not_traded: tuple[str, ...] = ()
    really_moved: tuple[str, ...] = ()
    ignore_others: bool = False
    rebase: bool = False


@dataclass(frozen=True, kw_only=True, eq=False)
class NewBars:
    """Bars that go on from the known ones.

    Parameters
    ----------
    rows : those after the last known bar, up to the one to act on, in FinRL's long format: the
        columns of the known ones, dates without a time zone, in order of date and ticker; empty
        where the bar to act on is known
    last : date of the bar to act on
    place : where they came from
    notes : sentences for the user: what was compared, and what is to be looked at
    """

    rows: pd.DataFrame
    last: np.datetime64
    place: str
    notes: tuple[str, ...]


def read_new_bars(
    source: str | Path | pd.DataFrame,
    known: pd.DataFrame,
    config: DataConfig,
    tickers: Sequence[str],
    rules: BarRules | None = None,
    *,
    volume_matters: bool = True,
    progress: Progress = no_progress,
) -> NewBars:
    """Return the bars of a source that an agent does not know yet, all checks passed.

    Parameters
    ----------
    source : a .csv, .csv.gz or .parquet file (long, as yfinance writes it, or closes by ticker), a
        name or function as in `data.source`, or such a table
    known : the agent's bars, and those that it has seen since, in FinRL's long format
    config : its `data` section
    tickers : that it trades
    rules : what the user says about the bars
    volume_matters : whether the agent sees volume or pays by it, as `needs_volume` says. Where it
        does not, a volume that was revised since is told, and neither refused nor taken.
    progress : told of a download

    Raises
    ------
    DataError
        With the reason for which they are refused: what must hold, what came, where (file, ticker,
        date), and what to do.
    ConfigError
        If the source needs a package that is not installed, or is code that cannot be used.
    """
    rules = rules or BarRules()
    # the agent's bars may end where its section says, but new ones come later
    config = replace(config, start=None, end=None)
    frame, place = _read(source, known, config, tickers, rules, progress)
    try:
        return _checked(frame, known, config, tickers, rules, place, volume_matters)
    except DataError as error:
        raise DataError(f"{place}: {error}") from error


def _read(
    source: str | Path | pd.DataFrame,
    known: pd.DataFrame,
    config: DataConfig,
    tickers: Sequence[str],
    rules: BarRules,
    progress: Progress,
) -> tuple[pd.DataFrame, str]:
    if isinstance(source, pd.DataFrame):
        return long_bars(source, tickers), "the table of prices"
    named = replace(
        config,
        source=str(source),
        source_kwargs=config.source_kwargs if str(source) == config.source else {},
        tickers=tuple(tickers),
    )
    is_file = isinstance(source, Path) or str(source).lower().endswith(FILE_ENDINGS)
    if not is_file and (str(source) in SOURCES or is_own_source(named)):
        dates = BarGrid.of(known, (), tickers, config.timezone).dates
        until = _now(rules).date()
        if rules.date is not None:
            until = named_instant(rules.date).astype("datetime64[D]").item()
        first = dates[-_OVERLAP:][0].astype("datetime64[D]").item()
        window = replace(named, start=first, end=until + timedelta(days=1))
        read = _own_rows if is_own_source(window) else _named_rows
        frame = long_bars(read(window, progress), tickers)
        kept = frame["tic"].isin(list(tickers)) if str(source) in SOURCES else slice(None)
        return frame.loc[kept], f"{source}"
    path = Path(source).expanduser()
    if not is_file and not path.exists():
        raise DataError(
            f"prices must come from a {', '.join(FILE_ENDINGS)} file or one of "
            f"{listed(SOURCES)}, got {str(source)!r}.{did_you_mean(str(source), SOURCES)}"
        )
    return read_bar_file(path, tickers), shown_path(path)


def _named_rows(config: DataConfig, progress: Progress) -> pd.DataFrame:
    return read_source(config, Path(), progress)


def _own_rows(config: DataConfig, progress: Progress) -> pd.DataFrame:
    """Return what a function of the user's in this folder gives, the agent's own code put aside."""
    former, named = active_code(), named_code()
    places = {"--prices": config.source} if names_a_place(config.source) else {}
    activate(collect_code(places, Path()), [(config.source, "source")])
    try:
        return read_source(config, Path(), progress)
    finally:
        activate(former, named)


def _now(rules: BarRules) -> datetime:
    return datetime.now(timezone.utc) if rules.now is None else rules.now.astimezone(timezone.utc)


def _checked(
    frame: pd.DataFrame,
    known: pd.DataFrame,
    config: DataConfig,
    tickers: Sequence[str],
    rules: BarRules,
    place: str,
    volume_matters: bool,
) -> NewBars:
    needed = _needed(known, config)
    old = BarGrid.of(known, needed, tickers, config.timezone)
    calendar = BarCalendar.of(old.dates)
    stamps = Stamps.of(frame, config.timezone)
    check_kind(old.dates, stamps)
    last = _bar_to_act_on(np.unique(stamps.dates), old.dates, calendar, rules)
    # nothing below looks at a later row
    kept = stamps.dates <= last
    frame = frame.loc[kept].assign(date=stamps.dates[kept])
    stamps = replace(
        stamps,
        dates=stamps.dates[kept],
        tickers=tuple(np.array(stamps.tickers, dtype=object)[kept]),
    )
    check_tickers(
        frame,
        old,
        others=known["tic"].unique().tolist(),
        not_traded=rules.not_traded,
        ignore_others=rules.ignore_others,
        timezone=None,
    )
    check_order(stamps)
    clock = (config.timezone or "UTC") if stamps.kind == "instants" else config.timezone
    if clock is None and rules.closing is not None:
        clock = rules.closing.zone
    notes = _check_time(np.unique(stamps.dates), old, calendar, rules, clock)
    return _whole(frame, old, known, needed, rules, place, notes, volume_matters)


def _needed(known: pd.DataFrame, config: DataConfig) -> tuple[str, ...]:
    """Return the columns beside prices that features are made of."""
    features = (config.features,) if isinstance(config.features, str) else config.features
    wanted = [*features, *(FINRL_INDICATORS if FINRL in features else ()), *config.market_columns]
    return tuple(dict.fromkeys(n for n in wanted if n in known.columns and n not in PRICE_COLUMNS))


def _bar_to_act_on(
    dates: DateArray, known: DateArray, calendar: BarCalendar, rules: BarRules
) -> np.datetime64:
    """Return the bar that is asked for, or the last one; refuse one that is not new."""
    if rules.date is not None:
        return _named_bar(dates, known, calendar, rules.date)
    last: np.datetime64 = dates[-1]
    if last < known[-1]:
        raise DataError(
            f"stale prices: there must be a bar after {date_label(known[-1])}, the last one that "
            f"the agent knows, but the last one here is of {date_label(last)}; give newer prices, "
            f"or, to ask about the past, name the bar (--date {date_label(last)})"
        )
    if rules.answered is not None and last <= rules.answered:
        raise DataError(
            f"stale prices: there must be a bar after {date_label(rules.answered)}, for which the "
            f"agent has given its orders, but the last one here is of {date_label(last)}; give "
            f"newer prices, or, to see those orders again, name the bar (--date {date_label(last)})"
        )
    return last


def _named_bar(
    dates: DateArray, known: DateArray, calendar: BarCalendar, date: DateLike
) -> np.datetime64:
    wanted = named_instant(date)
    same = is_named(dates, wanted)
    if same.any():
        found: np.datetime64 = dates[same][-1]
        return found
    before = dates[dates < wanted]
    if not before.size:
        raise DataError(
            f"stale prices: there must be a bar of --date {date_label(wanted)}, but the first one "
            f"here is of {date_label(dates[0])}; give the prices up to that date"
        )
    due = calendar.due_between(before[-1], wanted).size + 1
    hint = "give newer prices" if len(before) == len(dates) else "name a bar that is there"
    raise DataError(
        f"stale prices: there must be a bar of --date {date_label(wanted)}, but the last one "
        f"before it is of {date_label(before[-1])}, {due} due earlier; {hint}"
    )


def _check_time(
    dates: DateArray,
    old: BarGrid,
    calendar: BarCalendar,
    rules: BarRules,
    clock: str | None,
) -> tuple[str, ...]:
    named = rules.date is not None
    allowed = calendar.may_be_missing if rules.max_missing is None else rules.max_missing
    now = _now(rules)
    last = dates[-1]
    check_completed(last, calendar, now=now, closing=rules.closing, clock=clock)
    notes = check_pattern(old.dates, dates, calendar, max_missing=allowed, named=named)
    if named:
        return notes
    late = check_recent(
        last, calendar, now=now, closing=rules.closing, clock=clock, max_missing=allowed
    )
    return (*notes, *late)


def _whole(
    frame: pd.DataFrame,
    old: BarGrid,
    known: pd.DataFrame,
    needed: Sequence[str],
    rules: BarRules,
    place: str,
    notes: Sequence[str],
    volume_matters: bool,
) -> NewBars:
    """Return the new rows, with their cells and what goes before them compared."""
    wanted = [name for name in needed if name in frame.columns]
    there = set(frame["tic"])
    quoted = [name for name in old.tickers if name in there]
    new = BarGrid.of(frame, wanted, quoted, None).with_tickers(old.tickers)
    if rules.rebase:
        frame, said = _rebased(frame, old, new)
        notes = (*notes, *said)
        new = BarGrid.of(frame, wanted, quoted, None).with_tickers(old.tickers)
    gaps = check_cells(old, new, needed=needed, not_traded=rules.not_traded)
    compared = [name for name in ("close", *PRICE_COLUMNS, *wanted) if name in new.columns]
    compared = [name for name in dict.fromkeys(compared) if old.usual(name).any()]
    if not volume_matters:
        compared = [name for name in compared if name != VOLUME]
        notes = (*notes, *revised_volumes(old, new, not_traded=rules.not_traded))
    same = check_overlap(
        old,
        new,
        compared,
        not_traded=rules.not_traded,
        same=REBASED if rules.rebase else SAME,
    )
    check_jumps(old, new, rules.really_moved)
    rows = frame[(frame["date"] > old.dates[-1]).to_numpy() & frame["tic"].isin(quoted).to_numpy()]
    rows = rows.sort_values(["date", "tic"], kind="stable", ignore_index=True)
    columns = [str(name) for name in known.columns]
    if TRADABLE_COLUMN in rows.columns and TRADABLE_COLUMN not in columns:
        columns.append(TRADABLE_COLUMN)
    return NewBars(
        rows=rows.reindex(columns=columns),
        last=new.dates[-1],
        place=place,
        notes=(same, *notes, *gaps, *large_moves(old, new)),
    )


def _rebased(
    frame: pd.DataFrame, old: BarGrid, new: BarGrid
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Return prices that go on from the known ones, and a sentence on each ticker's."""
    factors = rebase_factors(old, new)
    moved = {t: float(f) for t, f in zip(old.tickers, factors, strict=True) if f != 1.0}
    if not moved:
        return frame, ()
    divided = frame["tic"].map(lambda ticker: moved.get(ticker, 1.0)).to_numpy(dtype=float)
    prices = [name for name in PRICE_COLUMNS if name in frame.columns and name != "volume"]
    rows = frame.assign(**{name: frame[name].to_numpy(dtype=float) / divided for name in prices})
    return rows, tuple(
        f"The prices of {ticker} were divided by {factor:.6g}, so that they go on from the known "
        f"ones: its price in the market is {factor:.6g} times "
        "the one here."
        for ticker, factor in moved.items()
    )
