"""From prices and holdings to the orders after one bar: what `finrl-ray signal` does."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from finrl_ray.deployment.agent import DeployedAgent
from finrl_ray.deployment.bar_checks.calendar import Closing
from finrl_ray.deployment.broker_files.holdings_file import HeldPositions
from finrl_ray.deployment.holdings import Holdings
from finrl_ray.deployment.new_bars import BarRules, NewBars, read_new_bars
from finrl_ray.deployment.order_table import Order, orders_json, orders_of
from finrl_ray.deployment.seen_bars import add_seen_bars, seen_until
from finrl_ray.deployment.signal import Signal
from finrl_ray.errors import ConfigError
from finrl_ray.support.progress import Progress, no_progress

PAPER = "the agent's own paper account"


@dataclass(frozen=True, kw_only=True, eq=False)
class NextOrders:
    """The orders after one bar, and what they rest on.

    Parameters
    ----------
    signal : of the agent
    orders : one per ticker
    bars : what was new, and what was found in the prices
    account : whose cash and shares they are for, in words
    notes : sentences for the user: of the prices, then of the holdings
    agent : the folder
    verdict : what the search found, in a sentence; empty if it said nothing
    """

    signal: Signal
    orders: tuple[Order, ...]
    bars: NewBars
    account: str
    notes: tuple[str, ...]
    agent: Path
    verdict: str

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
    """
    given = rules or BarRules()
    seen = seen_until(agent.path)
    known = agent.known_bars
    bars = read_new_bars(
        prices,
        known,
        agent.config.data,
        agent.tickers,
        _answered(given, seen),
        progress=progress,
    )
    market = agent.market_of(None if bars.rows.empty else bars.rows)
    market = market.rows(0, int(np.searchsorted(market.dates, bars.last)) + 1)
    account = None if holdings is None else _account(holdings)
    signal = agent.act(market, account)
    env = agent.config.env
    verdict: Mapping[str, Any] = agent.verdict or {}
    return NextOrders(
        signal=signal,
        orders=orders_of(signal, env.buy_cost_pct, env.sell_cost_pct),
        bars=bars,
        account=PAPER if holdings is None else "the holdings that were given",
        notes=(*bars.notes, *(() if holdings is None else holdings.notes)),
        agent=agent.path,
        verdict=str(verdict.get("sentence", "")),
    )


def keep_bars(agent: DeployedAgent, found: NextOrders) -> None:
    """Keep the bars of some orders in the agent's folder: later prices may hold newer ones alone.

    Called when the orders are where the user wanted them: without it they can be asked for again.

    Parameters
    ----------
    agent : whose they are
    found : from `next_orders`

    Raises
    ------
    DataError
        If the file cannot be written, or another program has added bars meanwhile.
    """
    add_seen_bars(agent.path, found.bars.rows, agent.config.data)


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


def _answered(rules: BarRules, seen: np.datetime64 | None) -> BarRules:
    return replace(rules, answered=seen) if rules.answered is None else rules


def _account(held: HeldPositions) -> Holdings:
    return Holdings(cash=held.cash, shares=held.shares, bought_at=held.bought_at)
