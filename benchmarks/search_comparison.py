"""What setups of a search and readings of it bring, against the defaults, seed by seed."""

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from search_readings import RANKED

DEFAULTS = "defaults"
ALL_LAWS = "all"


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """One setup and reading against the defaults' winner, on the searches that both have.

    Parameters
    ----------
    setup, reading, law : what is compared; the law `all` takes the searches of every law together
    searches : how many pairs of the same law and seed
    share : mean share of the attainable
    difference : mean of the share less that of the defaults' winner
    error : standard error of the difference; NaN for fewer than 2 pairs
    won, lost : pairs in which the share is higher, and in which it is lower; the rest chose the
        same
    cpu_s : mean CPU seconds of one search; NaN where no row has them
    timesteps : mean timesteps of one search, over all trials
    """

    setup: str
    reading: str
    law: str
    searches: int
    share: float
    difference: float
    error: float
    won: int
    lost: int
    cpu_s: float
    timesteps: float


def compared(rows: Iterable[Mapping[str, Any]]) -> list[Comparison]:
    """Return each setup and reading on each law, and on all laws, against the defaults' winner.

    Parameters
    ----------
    rows : of `learning.py`; those without a share or without readings are left out
    """
    rows = [row for row in rows if row.get("readings") and row["share"] is not None]
    base = {_pair(row): row["readings"][RANKED] for row in rows if row["setup"] == DEFAULTS}
    paired = [row for row in rows if _pair(row) in base]
    laws = [*dict.fromkeys(row["law"] for row in paired), ALL_LAWS]
    found = []
    for setup in dict.fromkeys(row["setup"] for row in paired):
        own = [row for row in paired if row["setup"] == setup]
        for reading in dict.fromkeys(name for row in own for name in row["readings"]):
            with_it = [row for row in own if reading in row["readings"]]
            for law in laws:
                among = [row for row in with_it if law in (row["law"], ALL_LAWS)]
                if among:
                    found.append(_compared(setup, reading, law, among, base))
    return found


def _pair(row: Mapping[str, Any]) -> tuple[str, int]:
    return row["law"], row["seed"]


def _compared(
    setup: str,
    reading: str,
    law: str,
    rows: Sequence[Mapping[str, Any]],
    base: Mapping[tuple[str, int], float],
) -> Comparison:
    shares = [row["readings"][reading] for row in rows]
    differences = [share - base[_pair(row)] for share, row in zip(shares, rows, strict=True)]
    seconds = [row["cpu_s"] for row in rows if "cpu_s" in row]
    count = len(rows)
    spread = statistics.stdev(differences) if count > 1 else math.nan
    return Comparison(
        setup=setup,
        reading=reading,
        law=law,
        searches=count,
        share=statistics.fmean(shares),
        difference=statistics.fmean(differences),
        error=spread / math.sqrt(count),
        won=sum(difference > 0 for difference in differences),
        lost=sum(difference < 0 for difference in differences),
        cpu_s=statistics.fmean(seconds) if seconds else math.nan,
        timesteps=statistics.fmean(row["timesteps"] for row in rows),
    )


def as_markdown(comparisons: Iterable[Comparison]) -> str:
    """Return comparisons as a table of one row per setup and reading and one column per market.

    A cell has the mean share in percent of the attainable, the mean difference with its standard
    error, and in how many searches it won and lost. Costs are the mean of one search.
    """
    comparisons = list(comparisons)
    laws = list(dict.fromkeys(one.law for one in comparisons if one.law != ALL_LAWS))
    cells = {(one.setup, one.reading, one.law): one for one in comparisons}
    head = ["setup", "who trades", *laws, "all", "CPU seconds", "timesteps"]
    lines = [_table_row(head), "|---" * len(head) + "|"]
    for setup, reading in dict.fromkeys((one.setup, one.reading) for one in comparisons):
        every = cells[setup, reading, ALL_LAWS]
        shown = [_cell(cells.get((setup, reading, law))) for law in [*laws, ALL_LAWS]]
        cost = [f"{every.cpu_s:.0f}", f"{every.timesteps:,.0f}"]
        lines.append(_table_row([f"`{setup}`", f"`{reading}`", *shown, *cost]))
    return "\n".join(lines)


def _table_row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(one: Comparison | None) -> str:
    if one is None:
        return ""
    share = f"{100 * one.share:.0f} %"
    if (one.setup, one.reading) == (DEFAULTS, RANKED):
        return f"{share} ({one.searches})"
    gain = f"{100 * one.difference:+.0f} ± {100 * one.error:.0f}"
    return f"{share}, {gain} ({one.won} won, {one.lost} lost)"
