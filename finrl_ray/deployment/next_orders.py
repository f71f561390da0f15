"""From prices and holdings to the orders after one bar: what `finrl-ray signal` does."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from finrl_ray.data.labels import date_label
from finrl_ray.deployment.agent import DeployedAgent
from finrl_ray.deployment.agent_folder import RECORD_FILE
from finrl_ray.deployment.bar_checks.calendar import Closing
from finrl_ray.deployment.bar_checks.volume import agent_needs_volume
from finrl_ray.deployment.broker_files.holdings_file import HeldPositions
from finrl_ray.deployment.forward_entry import GIVEN, PAPER, Account, record_signal
from finrl_ray.deployment.forward_record import date_of, read, sole_writer
from finrl_ray.deployment.holdings import Holdings
from finrl_ray.deployment.new_bars import BarRules, NewBars, read_new_bars
from finrl_ray.deployment.order_table import Order, orders_json, orders_of
from finrl_ray.deployment.seen_bars import add_seen_bars
from finrl_ray.deployment.signal import Signal
from finrl_ray.errors import ConfigError, DataError
from finrl_ray.support.progress import Progress, no_progress

_IN_WORDS: Mapping[Account, str] = {
    PAPER: "the agent's own paper account",
    GIVEN: "the holdings that were given",
}


@dataclass(frozen=True, kw_only=True, eq=False)
class NextOrders:
    """The orders after one bar, and what they rest on.

    Parameters
    ----------
    signal : of the agent
    orders : one per ticker
    bars : what was new, and what was found in the prices
    account : whose cash and shares they are for, in words
    kind : the same as the forward record has it
    notes : sentences for the user: of the prices, then of the holdings
    agent : the folder
    verdict : what the search found, in a sentence; empty if it said nothing
    bought_at : average prices paid, of holdings that were given with them
    """

    signal: Signal
    orders: tuple[Order, ...]
    bars: NewBars
    account: str
    kind: Account
    notes: tuple[str, ...]
    agent: Path
    verdict: str
    bought_at: Mapping[str, float]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON; see docs/after_the_search.md."""
        facts = {
            "agent": str(self.agent),
            "prices": self.bars.place,
            "account": self.account,
            "verdict": self.verdict,
            "notes": list(self.notes),
        }
        return orders_json(self.signal, self.orders, facts)


def next_orders(
    agent: DeployedAgent,
    prices: str | Path | pd.DataFrame,
    holdings: HeldPositions | None = None,
    rules: BarRules | None = None,
    *,
    progress: Progress = no_progress,
) -> NextOrders:
    """Return what to trade after the last completed bar of some prices.

    No row after that bar is looked at.

    Parameters
    ----------
    agent : from `load_agent`
    prices : as `read_new_bars` takes them
    holdings : cash and shares of an account; None: the agent's own paper account
    rules : what the user says about the bars; `answered` is the agent's own matter
    progress : told of a download

    Raises
    ------
    DataError
        If the prices are refused, with the reason, or do not fit the agent.
    ConfigError
        If the source of prices needs a package that is not installed.
    SearchError
        If the agent's forward record was changed.
    """
    given = rules or BarRules()
    entries = read(agent.path)
    if entries and given.answered is None:
        given = replace(given, answered=date_of(entries[-1]))
    known = agent.known_bars
    bars = read_new_bars(
        prices,
        known,
        agent.config.data,
        agent.tickers,
        given,
        volume_matters=agent_needs_volume(agent.folder),
        progress=progress,
    )
    market = agent.market_of(None if bars.rows.empty else bars.rows)
    market = market.rows(0, int(np.searchsorted(market.dates, bars.last)) + 1)
    account = None if holdings is None else _account(holdings)
    signal = agent.act(market, account)
    env = agent.config.env
    kind = PAPER if holdings is None else GIVEN
    return NextOrders(
        signal=signal,
        orders=orders_of(signal, env.buy_cost_pct, env.sell_cost_pct),
        bars=bars,
        account=_IN_WORDS[kind],
        kind=kind,
        notes=(*bars.notes, *(() if holdings is None else holdings.notes)),
        agent=agent.path,
        verdict=verdict_in_words(agent.verdict or {}),
        bought_at={} if account is None else account.bought_at,
    )


def verdict_in_words(verdict: Mapping[str, Any]) -> str:
    """Return what a search's verdict says first, and what it says of this agent; empty without one.

    Parameters
    ----------
    verdict : of `agent.json`, as `deploy` writes it
    """
    sentences = verdict.get("sentences") or [""]
    said = (str(sentences[0]), str(verdict.get("of_this_agent", "")))
    return " ".join(f"{one[:1].upper()}{one[1:]}".rstrip(".") + "." for one in said if one)


def record_orders(agent: DeployedAgent, found: NextOrders) -> str:
    """Keep what was said in the forward record, and the bars that it rests on; say so.

    Called when the orders are where the user wanted them: without it they can be asked for again.
    What was said of a bar stays: other orders for it, or those of an older bar, are not added.

    Parameters
    ----------
    agent : whose they are
    found : from `next_orders`

    Returns
    -------
    str
        A sentence: which line was written, with its hash, or why none was.

    Raises
    ------
    DataError, SearchError
        If a file cannot be written, the record was changed, or another agent has taken the place
        of this one since it was loaded.
    """
    with sole_writer(agent.path, agent.folder.sha256):
        return _record(agent, found)


def _record(agent: DeployedAgent, found: NextOrders) -> str:
    add_seen_bars(agent.path, found.bars.rows, agent.config.data)
    entries = read(agent.path)
    last = date_of(entries[-1]) if entries else None
    if last is not None and found.bars.last < last:
        return (
            f"not recorded: the forward record goes up to {date_label(last)}, and what was said of "
            "a bar is never said again"
        )
    trained = agent.bars["date"].to_numpy().astype("datetime64[ns]").max()
    try:
        entry = record_signal(
            agent.path,
            found.signal,
            account=found.kind,
            bars=agent.known_bars,
            trained=trained,
            bought_at=found.bought_at,
        )
    except DataError:
        if found.bars.last != last:
            raise
        return (
            f"not recorded: line {entries[-1]['n']} of {RECORD_FILE} has other orders for this "
            "bar, and what was said of a bar is never said again"
        )
    return f"recorded as line {entry['n']} of {RECORD_FILE}, SHA-256 {entry['sha256']}"


def closing_of(closes: str | None, zone: str | None) -> Closing | None:
    """Return when sessions end, from texts such as `16:00` and `America/New_York`.

    Raises
    ------
    ConfigError
        If one of both is missing, the time is none, or there is no such zone.
    """
    if closes is None and zone is None:
        return None
    if closes is None or zone is None:
        raise ConfigError(
            "when an exchange closes is a time and a zone, such as --closes 16:00 --zone "
            f"America/New_York, got --closes {closes} --zone {zone}; give both"
        )
    try:
        at = pd.Timestamp(f"2000-01-01 {closes}").time()
    except ValueError:
        raise ConfigError(f"--closes must be a time such as 16:00, got {closes!r}") from None
    return Closing(at=at, zone=zone)


def _account(held: HeldPositions) -> Holdings:
    return Holdings(cash=held.cash, shares=held.shares, bought_at=held.bought_at)
