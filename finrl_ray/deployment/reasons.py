"""Why the orders of a step are not what the action said: codes for each ticker."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from finrl_ray._typing import AnyArray, BoolArray, FloatArray
from finrl_ray.deployment.signal import REASONS
from finrl_ray.env.accounts import Accounts
from finrl_ray.env.kernel.order_rules import whole_lots
from finrl_ray.env.target_weights import settled_band, weights_of_actions

_ROUNDING = 1e-9
_RESOLUTION = 1e-6
"""Of an order, relative to it: float32 actions have no more."""


@dataclass(frozen=True, eq=False, kw_only=True)
class _Step:
    """One step of one account, for N tickers."""

    accounts: Accounts
    state: Any
    action: AnyArray
    planned: FloatArray
    orders: FloatArray

    @property
    def day(self) -> int:
        return int(self.state["books"]["day"])

    @property
    def close(self) -> FloatArray:
        close: FloatArray = self.accounts.table.market.close[self.day]
        return close

    @property
    def row(self) -> int:
        """On which the orders fill."""
        return self.day + int(self.accounts.rules.fill == "next_open")

    @property
    def shares(self) -> FloatArray:
        shares: FloatArray = self.state["shares"]
        return shares

    @property
    def risk(self) -> tuple[float, float]:
        """The turbulence of the day, and its threshold, NaN without a rule."""
        threshold = self.state["settings"]["threshold"]
        return float(self.state["books"]["turbulence"]), float(threshold)

    @property
    def value(self) -> float:
        return float(self.state["books"]["value"])


def reasons_of(
    accounts: Accounts, state: Any, action: AnyArray, planned: FloatArray, orders: FloatArray
) -> tuple[tuple[str, ...], ...]:
    """Return N tuples of codes of `REASONS`, empty where the order is what the action said.

    Parameters
    ----------
    accounts : of one account
    state : of the account before the step, as `AccountView.get_state` has it
    action : array of shape (N,), numbers
    planned : array of shape (N,), signed shares that the action orders
    orders : array of shape (N,), signed shares that were traded
    """
    step = _Step(accounts=accounts, state=state, action=action, planned=planned, orders=orders)
    found = _forced(step)
    if not found:
        found = _stopped(step) | _waiting(step)
        explained = np.zeros(len(planned), dtype=bool)
        for mask in found.values():
            explained |= mask
        for name, mask in _reduced(step, ~explained & _changed(step)).items():
            found[name] = found[name] | mask if name in found else mask
    codes = [name for name in REASONS if name in found]
    return tuple(tuple(name for name in codes if found[name][i]) for i in range(len(planned)))


def _forced(step: _Step) -> dict[str, BoolArray]:
    """Return what the turbulence rule or a margin call does to the orders; empty for neither."""
    rules, (turbulence, threshold) = step.accounts.rules, step.risk
    changed = _changed(step)
    if turbulence >= threshold:
        held = step.shares != 0
        return {"turbulence": changed | held, "not_tradable": held & ~_tradable(step)}
    owed = float((np.minimum(step.shares, 0.0) * -step.close).sum())
    if rules.short and owed > 0 and step.value < rules.maintenance_margin * owed:
        return {"margin_call": changed | (step.shares < 0)}
    return {}


def _changed(step: _Step) -> BoolArray:
    """Return which orders are others than planned, by more than an action's rounding."""
    size = np.maximum(np.abs(step.planned), 1.0)
    changed: BoolArray = np.abs(step.planned - step.orders) > _RESOLUTION * size
    return changed


def _stopped(step: _Step) -> dict[str, BoolArray]:
    """Return which positions were closed for their loss or their gain."""
    limits, shares, close = step.accounts.limits, step.shares, step.close
    if not limits.stop:
        return {}
    paid = step.state["limits"]["buy_price"]
    open_now, owed = _tradable(step), step.shares < 0
    held = (shares != 0) & open_now
    lost = np.where(owed, close > (2 - limits.stop) * paid, close < limits.stop * paid)
    with np.errstate(invalid="ignore"):  # an infinite profit of what is not held
        gained = np.where(owed, close <= (2 - limits.profit) * paid, close >= limits.profit * paid)
    return {"stop_loss": lost & held, "take_profit": gained & held & ~lost}


def _waiting(step: _Step) -> dict[str, BoolArray]:
    """Return which tickers must not, need not or cannot be traded."""
    wants, band = _wanted(step)
    cools = np.zeros(len(wants), dtype=bool)
    if "free_from" in step.state["limits"]:
        cools = wants & (step.day < step.state["limits"]["free_from"])
    closed = wants & ~_tradable(step)
    found = {"band": band, "cool_down": cools, "not_tradable": closed}
    if step.accounts.rules.action == "target_weights":
        # a weight that no whole share or lot comes nearer to
        rounded = wants & ~cools & ~closed & (step.planned == 0)
        lots = bool(step.accounts.limits.lots.size)
        found["lot" if lots else "whole_shares"] = rounded & _comes_in_units(step)
    return found


def _comes_in_units(step: _Step) -> bool:
    return bool(step.accounts.limits.lots.size) or not step.accounts.rules.fractional_shares


def _wanted(step: _Step) -> tuple[BoolArray, BoolArray]:
    """Return which tickers the action wants to trade, and which the band leaves alone."""
    rules, n = step.accounts.rules, len(step.planned)
    if rules.action == "orders":
        return step.planned != 0, np.zeros(n, dtype=bool)
    weights = weights_of_actions(
        step.action, zero_action=rules.zero_action, max_weight=rules.max_weight, short=rules.short
    )
    gap = np.abs(weights * step.value - step.shares * step.close)
    allowed = settled_band(rules.no_trade_band, n) * step.value
    closes = (weights == 0) & (step.shares != 0)
    apart = (gap > allowed) | closes
    return apart, ~apart & (gap > _ROUNDING * step.value) & (step.planned == 0)


def _tradable(step: _Step) -> BoolArray:
    tradable = step.accounts.table.market.tradable
    both: BoolArray = tradable[step.row].copy()
    if step.accounts.rules.action == "target_weights":
        both &= tradable[step.day]
    return both


def _reduced(step: _Step, open_to: BoolArray) -> dict[str, BoolArray]:
    """Return why the other orders are smaller than planned.

    Parameters
    ----------
    step : the step
    open_to : array of shape (N,), which orders are not explained yet
    """
    rules, lots = step.accounts.rules, step.accounts.limits.lots
    turbulence, threshold = step.risk
    size = np.abs(step.planned)
    whole = size if rules.fractional_shares else np.trunc(size)
    rounded = whole
    if lots.size:
        rounded = np.array([whole_lots(q, lot) for q, lot in zip(whole, lots, strict=True)])
    buys = step.planned > 0
    # a turbulence that is not known lets nothing be bought
    ruled = not np.isnan(threshold) and not turbulence < threshold
    sells_more = ~buys & (rounded > np.maximum(step.shares, 0.0)) & (not rules.short)
    left = rounded - np.abs(step.orders) > 0
    found = {
        "turbulence": buys & ruled,
        "lot": rounded != whole,
        "whole_shares": (whole != size) & (rounded == whole),
        "not_held": sells_more,
        "no_cash": left & ~sells_more & (buys | rules.short),
    }
    found = {name: mask & open_to for name, mask in found.items()}
    found["limited"] = open_to.copy()
    for name, mask in found.items():
        if name != "limited":
            found["limited"] = found["limited"] & ~mask
    return found
