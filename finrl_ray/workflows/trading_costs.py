"""The winner at other costs, what it trades beside the volume, and how long it holds.

The model acts again on the same rows, in envs that differ in their costs alone. It is the same
look at the test window as the backtest: what it is asked is whether the result would have lasted.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np

from finrl_ray._typing import BoolArray, FloatArray
from finrl_ray.baselines.buy_and_hold import buy_and_hold
from finrl_ray.config.env import EnvConfig
from finrl_ray.config.experiment import ExperimentConfig
from finrl_ray.data.market_data import MarketData
from finrl_ray.env.account_history import AccountHistory, trading_of
from finrl_ray.env.orders.volume import check_volume
from finrl_ray.env.own.construct import load_env
from finrl_ray.errors import ConfigError, DataError, FinRLRayError
from finrl_ray.metrics.capacity import Capacity, capacity
from finrl_ray.metrics.earnings import earnings_of
from finrl_ray.metrics.holding_periods import HoldingPeriods, holding_periods
from finrl_ray.metrics.registry import performance_summary
from finrl_ray.metrics.returns import simple_returns
from finrl_ray.workflows.costs_table import CostRow, TradingCosts

MULTIPLES = (2.0, 3.0)
"""Of the search's own cost rates, beside 1."""
SLIPPAGE = 0.1
"""`volume_slippage` of the row with slippage, where the search has none: a trade of a tenth of the
volume moves its price by 1 %."""

Changes: TypeAlias = Mapping[str, Any]
"""Options of `env` that are laid over the search's."""


def trading_costs(
    config: ExperimentConfig,
    market_data: MarketData,
    history: AccountHistory,
    act: Callable[[Changes], AccountHistory],
    *,
    periods_per_year: float,
) -> TradingCosts:
    """Return what an account's costs, orders and positions are, and what other costs would do.

    Parameters
    ----------
    config : of the search; its `env` has the costs, which no trial can choose
    market_data : the window, T rows
    history : of the agent over all of it, at the search's own costs
    act : runs the agent again, in an env with these options, and returns its account
    periods_per_year : periods/year
    """
    env, notes = config.env, list[str]()
    trading = trading_of(history, periods_per_year)
    rows = [_row(1.0, env, market_data, history, config, periods_per_year)]
    for multiple, changes in _other_costs(env, market_data, notes):
        changed = replace(env, **changes)
        try:
            other = act(changes)
            rows.append(_row(multiple, changed, market_data, other, config, periods_per_year))
        except FinRLRayError as error:  # the backtest itself stands
            given = ", ".join(f"{name} {value:g}" for name, value in changes.items())
            notes.append(f"the account with {given} cannot be told: {error}")
    if _charges_nothing(env, rows):
        notes.append(
            f"the account is the same at {MULTIPLES[-1]:g} times the costs: env.class {env.class_} "
            "trades and does not charge them"
        )
    holding, filled = _positions(env, market_data, history, notes)
    if "turnover" not in trading:
        notes.append("turnover cannot be told: the env's account has no traded_amount")
    return TradingCosts(
        rows=tuple(rows),
        turnover=trading.get("turnover", math.nan),
        holding=holding,
        capacity=filled,
        notes=tuple(notes),
    )


def _other_costs(
    env: EnvConfig, market_data: MarketData, notes: list[str]
) -> list[tuple[float, Changes]]:
    """Return what costs the agent can be asked about; add to the notes why others are missing."""
    reason = _cannot_change(env)
    if reason:
        notes.append(f"other costs cannot be told: {reason}")
        return []
    found: list[tuple[float, Changes]] = []
    if env.buy_cost_pct == env.sell_cost_pct == 0.0:
        notes.append(
            "2 and 3 times the costs cannot be told: env.buy_cost_pct and env.sell_cost_pct are 0"
        )
    else:
        for multiple in MULTIPLES:
            rates = {
                name: multiple * getattr(env, name) for name in ("buy_cost_pct", "sell_cost_pct")
            }
            if max(rates.values()) < 1.0:
                found.append((multiple, rates))
            else:
                notes.append(
                    f"{multiple:g} times the costs cannot be told: a trade would cost its whole "
                    "amount"
                )
    if env.volume_slippage:
        return [*found, (1.0, {"volume_slippage": 0.0})]
    reason = _without_slippage(env, market_data)
    if reason:
        notes.append(f"the costs with slippage cannot be told: {reason}")
        return found
    return [*found, (1.0, {"volume_slippage": SLIPPAGE})]


def _cannot_change(env: EnvConfig) -> str:
    """Return why the agent's env cannot be given other costs; empty where it can."""
    if env.class_ is None or load_env(env).takes_costs:
        return ""
    return (
        f"env.class {env.class_} has no parameters buy_cost_pct and sell_cost_pct, so that only "
        "its own code knows what a trade costs in it"
    )


def _without_slippage(env: EnvConfig, market_data: MarketData) -> str:
    """Return why the agent's env has no slippage for these rows; empty where it has."""
    if env.class_ is not None:
        return f"env.class {env.class_} has no volume_slippage, which is an option of this package"
    if env.type == "portfolio":
        return "env.type portfolio trades weights at the close and has no volume_slippage"
    if env.parity:
        return "env.parity reproduces FinRL, which has no slippage"
    try:
        check_volume(market_data.volume, market_data.tickers)
    except (ConfigError, DataError):
        return f"the data has no volume of {_and_which(market_data)}"
    return ""


def _and_which(market_data: MarketData) -> str:
    """Return the tickers without a volume in any row, in words."""
    known: BoolArray = np.asarray(np.isfinite(market_data.volume).any(axis=0))
    without = [name for name, has in zip(market_data.tickers, known, strict=True) if not has]
    return "any ticker" if not known.any() else ", ".join(without)


def _row(
    multiple: float,
    env: EnvConfig,
    market_data: MarketData,
    history: AccountHistory,
    config: ExperimentConfig,
    periods_per_year: float,
) -> CostRow:
    held = buy_and_hold(market_data, env)
    rate = config.evaluation.risk_free_rate
    agent = performance_summary(
        history.account_value,
        periods_per_year=periods_per_year,
        risk_free_rate=rate,
        benchmark_value=held,
    )
    agent |= trading_of(history, periods_per_year)
    beside = performance_summary(
        held, periods_per_year=periods_per_year, risk_free_rate=rate, benchmark_value=held
    )
    own, market = simple_returns(history.account_value), simple_returns(held)
    paid = math.nan if history.cost is None else float(np.sum(history.cost))
    return CostRow(
        multiple=multiple,
        buy_cost_pct=env.buy_cost_pct,
        sell_cost_pct=env.sell_cost_pct,
        volume_slippage=env.volume_slippage,
        agent=agent,
        held=beside,
        earnings=earnings_of(own, market, agent.get("exposure", math.nan)),
        cost_paid=paid / history.initial_amount,
    )


def _charges_nothing(env: EnvConfig, rows: list[CostRow]) -> bool:
    """Return whether an env of the user's trades and ends where it did at 1 x costs."""
    highest = max(rows, key=lambda row: row.multiple)
    trades = rows[0].agent.get("turnover", 0.0) > 0.0
    same = highest.agent["total_return"] == rows[0].agent["total_return"]
    return env.class_ is not None and highest.multiple > 1.0 and trades and same


def _positions(
    env: EnvConfig, market_data: MarketData, history: AccountHistory, notes: list[str]
) -> tuple[HoldingPeriods | None, Capacity | None]:
    """Return holding periods and capacity; add to the notes why they are missing."""
    trades = history.trades
    if trades is None or not np.isfinite(trades).all():
        what = "no trades" if trades is None else "trades that are not finite"
        notes.append(f"holding periods and capacity cannot be told: the env's account has {what}")
        return None, None
    first = int(env.fill == "next_open")
    rows = slice(first, first + len(trades))
    holding = holding_periods(trades, market_data.close[rows])
    volume: FloatArray = market_data.volume[rows]
    if not (np.isfinite(volume) & (volume > 0.0)).any():
        notes.append("capacity cannot be told: the data has no volume in this window")
        return holding, None
    filled = capacity(
        trades, volume, history.initial_amount, market_data.dates[rows], market_data.tickers
    )
    return holding, filled
