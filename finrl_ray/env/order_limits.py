"""Stop loss, lots, cool-down, cash penalty, reward, margin: the arrays they need, their state."""

from typing import Any

import numpy as np

from finrl_ray._typing import DateArray, FloatArray
from finrl_ray.config.trial.order_size import HmaxUnit
from finrl_ray.env.kernel.arrays import Limits, Margin, as_read_only
from finrl_ray.env.kernel.forced_covers import value_owed
from finrl_ray.env.kernel.rewards import ACTIVE, DIFFERENTIAL_SHARPE
from finrl_ray.env.rules import TradingRules
from finrl_ray.env.settings import per_ticker
from finrl_ray.errors import ConfigError

_DAY_S, _YEAR_DAYS = 86_400.0, 365.0
_STATE_ARRAYS = (
    "buy_price",
    "free_from",
    "penalty",
    "benchmark",
    "benchmark_shares",
    "averages",
)


def new_limits(
    rules: TradingRules,
    n_envs: int,
    n_assets: int,
    n_periods: int,
    impact: FloatArray,
    reward: int,
) -> Limits:
    """Return the kernel's form of the options, with arrays for E accounts.

    Parameters
    ----------
    impact : what `volume_impact` gives, of shape (T, N) or (0, N)
    reward : one of `rewards.REWARDS`

    Raises
    ------
    ConfigError
        If `lot_size` has another length than the tickers.
    """
    stop = 0.0 if rules.stop_loss is None else float(rules.stop_loss)
    ratio = rules.profit_loss_ratio
    lots = np.zeros(0)
    if rules.lot_size is not None:
        lots = per_ticker("lot_size", rules.lot_size, 1, n_assets)[0]
    penalised = rules.cash_penalty_proportion > 0
    return Limits(
        stop=stop,
        profit=np.inf if ratio is None else 1.0 + float(ratio) * (1.0 - stop),
        cooldown=int(rules.cooldown),
        cash_share=float(rules.cash_penalty_proportion),
        reward=reward,
        rate=float(rules.differential_sharpe_rate),
        impact=impact,
        lots=lots,
        buy_price=np.zeros((n_envs, n_assets if stop else 0)),
        free_from=np.zeros((n_envs, n_assets if rules.cooldown else 0), dtype=np.int64),
        penalty=np.zeros((n_envs, n_periods - 1 if penalised else 0)),
        benchmark=np.zeros((n_envs, 2 if reward == ACTIVE else 0)),
        benchmark_shares=np.zeros((n_envs, n_assets if reward == ACTIVE else 0)),
        averages=np.zeros((n_envs, 2 if reward == DIFFERENTIAL_SHARPE else 0)),
    )


def in_kernel(limits: Limits, *, short: bool) -> tuple[Any, ...] | None:
    """Return what the kernel is given: None if every option is off, and no shares may be owed."""
    needed = limits.lots.size or limits.impact.size or limits.reward or _in_use(limits)
    return tuple(limits) if needed or short else None


def margin_in_kernel(rules: TradingRules, dates: DateArray) -> tuple[Any, ...] | None:
    """Return what the kernel is given of short sales; None without them.

    Parameters
    ----------
    dates : array of shape (T,), between which `borrow_rate` is charged by the time that has passed
    """
    if not rules.short:
        return None
    days = np.diff(dates.astype("datetime64[s]")).astype(np.float64) / _DAY_S
    fees = np.concatenate([[0.0], float(rules.borrow_rate) * days / _YEAR_DAYS])
    return tuple(Margin(maintenance=float(rules.maintenance_margin), fees=as_read_only(fees)))


def borrow_fee(
    rules: TradingRules, dates: DateArray, row: int, shares: FloatArray, close: FloatArray
) -> float:
    """Return what the close of a row charges for the shares owed, in currency; 0 without any.

    Parameters
    ----------
    dates : array of shape (T,)
    row : of the close, 0 to T - 1; the time since the row before it is paid for
    shares : array of shape (N,), below 0 where they are owed
    close : array of shape (N,), of that row
    """
    margin = margin_in_kernel(rules, dates)
    return 0.0 if margin is None else float(Margin(*margin).fees[row] * value_owed(shares, close))


def in_planning(limits: Limits) -> tuple[Any, ...] | None:
    """Return what planned weights are given: None without lots, cool-down and slippage."""
    needed = limits.lots.size or limits.impact.size or limits.free_from.shape[1]
    return tuple(limits) if needed else None


def check_lots(limits: Limits, hmax: FloatArray, unit: HmaxUnit) -> None:
    """Raise ConfigError if an order of `hmax` shares, of shape (E, N), is less than a lot."""
    if unit == "shares" and limits.lots.size and (hmax < limits.lots).any():
        index, asset = (int(i) for i in np.argwhere(hmax < limits.lots)[0])
        raise ConfigError(
            f"hmax must be at least lot_size, got {hmax[index, asset]:g} and "
            f"{limits.lots[asset]:g} for ticker number {asset}: no order could ever be filled"
        )


def start_limits(limits: Limits, index: int, shares: FloatArray, close: FloatArray) -> None:
    """Begin an episode of account `index`: what it holds counts as bought at `close`."""
    if limits.buy_price.shape[1]:
        limits.buy_price[index] = np.where(shares != 0, close, 0.0)
    limits.free_from[index] = 0
    limits.averages[index] = 0.0


def penalties(limits: Limits, index: int, n_steps: int) -> FloatArray | None:
    """Return what the cash penalty took off each step's reward; None without one."""
    return limits.penalty[index, :n_steps] if limits.penalty.shape[1] else None


def limits_state(limits: Limits, index: int, n_steps: int) -> dict[str, Any]:
    """Return the arrays of account `index` that are in use, as copies."""
    state = {name: getattr(limits, name)[index] for name in _STATE_ARRAYS}
    state["penalty"] = state["penalty"][:n_steps]
    return {name: state[name].copy() for name in _in_use(limits)}


def restore_limits(limits: Limits, index: int, state: dict[str, Any]) -> None:
    """Put back what `limits_state` returned.

    Raises
    ------
    ConfigError
        If the state was saved under other options.
    """
    wanted = _in_use(limits)
    if set(state) != set(wanted):
        raise ConfigError(
            f"this state was saved with memories for {sorted(state)} and the env needs "
            f"{sorted(wanted)}; build the env with the same stop_loss, cooldown, "
            "cash_penalty_proportion and reward"
        )
    for name in wanted:
        values = state[name]
        getattr(limits, name)[index, : len(values)] = values


def _in_use(limits: Limits) -> list[str]:
    return [name for name in _STATE_ARRAYS if getattr(limits, name).shape[1]]
