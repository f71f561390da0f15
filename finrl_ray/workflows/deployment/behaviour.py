"""What a new agent does otherwise than the one before, in plain words."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from finrl_ray._typing import FloatArray
from finrl_ray.data.labels import date_label
from finrl_ray.data.market_data import MarketData
from finrl_ray.deployment.agent_folder import AgentFolder
from finrl_ray.env.account_history import AccountHistory
from finrl_ray.search.folder.folder import versions
from finrl_ray.support.text import and_list, counted
from finrl_ray.workflows.deployment.chain import trade_step
from finrl_ray.workflows.deployment.planned import AgentPlan
from finrl_ray.workflows.deployment.steps import Step

_MOST_NAMED = 3
_NAMED_FROM = 0.01
"""Difference of a ticker's mean share of the account from which it is named."""


@dataclass(frozen=True, kw_only=True, eq=False)
class _Traded:
    """What an agent has done on some rows.

    Parameters
    ----------
    total_return : a fraction
    invested : mean share of the account; NaN where the env does not say
    weights : array of shape (N,), mean share of the account in each ticker; None likewise
    """

    total_return: float
    invested: float
    weights: FloatArray | None


def what_changed(
    folder: AgentFolder,
    plan: AgentPlan,
    model: Path,
    market: MarketData,
    rows: tuple[int, int],
    *,
    trust: bool,
) -> tuple[str, ...]:
    """Return what a new agent was trained on and how it trades, beside the one before.

    Both trade the latest rows from cash, as many as the schedule has between two agents.

    Parameters
    ----------
    folder : of the agent before
    plan : of both
    model : of the new one
    market : all rows that are known
    rows : first row, and row after the last, that the new one was trained on
    trust : load the model of the agent before although it needs trust
    """
    before = folder.facts["trained"]
    old = int(np.searchsorted(market.dates, np.datetime64(before["first"], "ns")))
    old_rows = (old, old + int(before["rows"]))
    first, last = (date_label(market.dates[row]) for row in (rows[0], rows[1] - 1))
    said = [
        f"trained on {counted(rows[1] - rows[0], 'bar')}, {first} to {last}; the one before on "
        f"{counted(int(before['rows']), 'bar')}, {before['first']} to {before['last']}"
    ]
    said += _changed_versions(folder)
    since = max(rows[0], rows[1] - folder.config.deploy.retrain.every - 1)
    if rows[1] - since >= 2:
        trade = (since, rows[1] - 1)
        pair = [
            _traded(plan, file, market, Step(number=1, train=trained, trade=trade), trust=trust)
            for file, trained in ((folder.model_path, old_rows), (model, rows))
        ]
        said += _beside(pair[0], pair[1], market, trade, learned=old_rows[1] > since)
    return tuple(said)


def _changed_versions(folder: AgentFolder) -> list[str]:
    known, now = folder.facts.get("versions", {}), versions()
    names = [name for name in now if known.get(name, now[name]) != now[name]]
    return [f"{name} was {known[name]}, is {now[name]}" for name in names]


def _traded(
    plan: AgentPlan, model: Path, market: MarketData, step: Step, *, trust: bool
) -> _Traded:
    history, _ = trade_step(plan, model, market, step, None, trust=trust)
    value = history.account_value
    positions = history.position_value
    return _Traded(
        total_return=float(value[-1] / value[0] - 1.0),
        invested=float("nan") if positions is None else float(np.mean(positions / value)),
        weights=_weights(history, market, step),
    )


def _weights(history: AccountHistory, market: MarketData, step: Step) -> FloatArray | None:
    if history.trades is None:
        return None
    close = market.close[step.trade[0] + 1 : step.trade[1] + 1]
    held = np.cumsum(history.trades, axis=0) * close
    shares: FloatArray = (held / history.account_value[1:, None]).mean(axis=0)
    return shares


def _beside(
    old: _Traded, new: _Traded, market: MarketData, trade: tuple[int, int], *, learned: bool
) -> list[str]:
    first, last = (date_label(market.dates[row]) for row in trade)
    days = f"from {first} to {last}, which the new one has learned from"
    days += " and the one before in part" if learned else " and the one before has not"
    said = [
        f"{days}: from cash the new one would have made {new.total_return:+.1%}{_in(new)}, the one "
        f"before {old.total_return:+.1%}{_in(old)}"
    ]
    if old.weights is None or new.weights is None:
        return said
    change = new.weights - old.weights
    order = np.argsort(-np.abs(change), kind="stable")[:_MOST_NAMED]
    named = [
        f"{market.tickers[k]} {new.weights[k]:.1%} instead of {old.weights[k]:.1%}"
        for k in order.tolist()
        if abs(change[k]) >= _NAMED_FROM
    ]
    if not named:
        return [*said, "no ticker's mean share of the account differs by 1 % or more"]
    return [*said, f"mean share of the account, where it differs most: {and_list(named)}"]


def _in(traded: _Traded) -> str:
    return "" if np.isnan(traded.invested) else f" with {traded.invested:.0%} invested on average"
