"""The account that the forward record stands for, priced day by day by the env's rules.

Nothing that was recorded is changed by a later bar: with each bar that becomes known the account is
carried on by the orders that were said before it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from finrl_ray._typing import DateArray, FloatArray
from finrl_ray.baselines.buy_and_hold import buy_and_hold
from finrl_ray.data.market_data import MarketData
from finrl_ray.deployment.agent import DeployedAgent
from finrl_ray.deployment.forward_entry import GIVEN
from finrl_ray.deployment.forward_record import Entry, date_of
from finrl_ray.deployment.holdings import Holdings
from finrl_ray.deployment.signal import Signal
from finrl_ray.env.account_history import AccountHistory
from finrl_ray.errors import DataError
from finrl_ray.support.progress import Progress, no_progress
from finrl_ray.support.text import listed


@dataclass(frozen=True, kw_only=True, eq=False)
class ForwardAccount:
    """An account from the first bar that was recorded to the last one that is known, T days on.

    Parameters
    ----------
    dates : array of shape (T + 1,)
    returns, benchmark_returns : arrays of shape (T,), fractions
        Of the account and of buy & hold of the same tickers, bought on the first day at the same
        costs.
    exposure : array of shape (T,)
        What was invested over each day, as a share of the account; NaN where the env does not say.
    given : entries whose orders were for holdings that were given
    disagreements : entries whose orders are not those that the agent gives, with their lines
    """

    dates: DateArray
    returns: FloatArray
    benchmark_returns: FloatArray
    exposure: FloatArray
    given: int
    disagreements: tuple[str, ...]


def forward_account(
    agent: DeployedAgent,
    entries: Sequence[Entry],
    market: MarketData,
    *,
    progress: Progress = no_progress,
) -> ForwardAccount:
    """Return the account of a forward record.

    Of the agent's own paper account it is what the env makes of it. Where holdings were given, a
    day is theirs: as they were given on its first bar, with the orders filled by the env's rules on
    the next one, whether or not a broker filled them; money that was paid in or out between two
    days does not count. On a bar without an entry they are kept as they were.

    Parameters
    ----------
    agent : whose record it is
    entries : one or more, of bars of the market
    market : of the bars that are known, from the first one on
    progress : told of each entry

    Raises
    ------
    DataError
        If an entry cannot be what this agent has said: it has other tickers, or no holdings.
    """
    said = {int(np.searchsorted(market.dates, date_of(one))): one for one in entries}
    first, last = min(said), market.n_periods - 1
    history = agent.account(market)
    start = int(np.searchsorted(market.dates, history.dates[0]))
    own = _own_days(history, first - start)
    shares: FloatArray | None = None
    cash, found = 0.0, []
    for done, row in enumerate(range(first, last + 1)):
        progress("the forward record", done, last + 1 - first)
        entry = said.get(row)
        if entry is not None:
            holdings = _holdings_of(entry, agent.tickers)
            signal = agent.act(market.rows(0, row + 1), holdings)
            found += _disagreement(entry, signal)
            shares = None
            if holdings is not None and row < last:
                settled = agent.settle(market.rows(0, row + 2), holdings)
                shares, cash = settled.holdings_after, settled.cash_after
                before = settled.account_value
        if shares is not None and row < last:
            now = cash + float(shares @ market.close[row + 1])
            invested = float(shares @ market.close[row])
            own[:, row - first] = now / before - 1.0, invested / before
            before = now
    held = buy_and_hold(market.rows(first, last + 1), agent.config.env) if last > first else None
    return ForwardAccount(
        dates=market.dates[first:],
        returns=own[0],
        benchmark_returns=np.zeros(0) if held is None else held[1:] / held[:-1] - 1.0,
        exposure=own[1],
        given=sum(_kind(one) == GIVEN for one in entries),
        disagreements=tuple(found),
    )


def _own_days(history: AccountHistory, first: int) -> FloatArray:
    """Return what the paper account earned and what was invested, shape (2, T), from a row on."""
    value = history.account_value[first:]
    alive = value[:-1] > 0.0
    by = np.where(alive, value[:-1], 1.0)
    invested = np.full(len(value) - 1, np.nan)
    if history.cash is not None:
        cost = 0.0 if history.cost is None else history.cost[first:]
        invested = np.where(alive, (value[:-1] - cost - history.cash[first + 1 :]) / by, 0.0)
    returns: FloatArray = np.where(alive, value[1:] / by - 1.0, 0.0)
    return np.stack([returns, invested])


def _kind(entry: Entry) -> str:
    account = entry.get("account")
    return str(account.get("kind")) if isinstance(account, Mapping) else ""


def _holdings_of(entry: Entry, tickers: Sequence[str]) -> Holdings | None:
    """Return the holdings that an entry is for; None for the agent's own."""
    if entry.get("tickers") != list(tickers):
        raise DataError(
            f"line {entry['n']} of the forward record must have the agent's tickers "
            f"{listed(tickers)}, got {entry.get('tickers')!r}"
        )
    if _kind(entry) != GIVEN:
        return None
    try:
        account = entry["account"]
        shares = dict(zip(tickers, map(float, account["shares"]), strict=True))
        paid = {name: float(price) for name, price in account.get("bought_at", {}).items()}
        return Holdings(cash=float(account["cash"]), shares=shares, bought_at=paid)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(
            f"line {entry['n']} of the forward record must have cash and one number of shares per "
            f"ticker: {error!r}"
        ) from error


def _disagreement(entry: Entry, signal: Signal) -> list[str]:
    """Return how an entry's orders differ from those that the agent gives on the same bar."""
    for name, now in (("planned", signal.planned), ("orders", signal.orders)):
        try:
            said = np.asarray(entry[name], dtype=np.float64)
        except (KeyError, TypeError, ValueError):
            return [f"line {entry['n']}: it has no {name}"]
        if said.shape != now.shape:
            return [f"line {entry['n']}: its {name} are of shape {said.shape}, not {now.shape}"]
        differ = np.flatnonzero(said != now)
        if differ.size:
            i = int(differ[0])
            return [
                f"line {entry['n']}: the agent gives other {name} on the bar of {entry['date']}, "
                f"such as {now[i]:g} shares of {signal.tickers[i]} where {said[i]:g} are recorded"
            ]
    return []
