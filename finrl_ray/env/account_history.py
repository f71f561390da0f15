"""`AccountHistory`: what one finished episode did, from which every metric is computed."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from finrl_ray._typing import DateArray, FloatArray
from finrl_ray.env.kernel.arrays import LEDGER_COLUMNS


@dataclass(frozen=True, eq=False, kw_only=True)
class AccountHistory:
    """One episode of one account over D days, that is D - 1 steps.

    An account that has lost all (short sales) ends before its window does. The days that are left
    are part of its history: it stays as it is and trades nothing, so that it can be compared day by
    day with any other account on the same window.

    Parameters
    ----------
    dates : array of shape (D,), datetime64[ns]
    tickers : N names
    account_value : array of shape (D,), currency
        Cash plus positions at the close.
    cash : array of shape (D,), currency
    rewards : array of shape (D - 1,)
        What each step was worth by the env's `reward`, before the cash penalty and
        `reward_scaling`: the change of the account value, in currency, unless it says otherwise.
    trades : array of shape (D - 1, N), shares, or None
        Executed per step, sells negative; None if they were not recorded.
    cost : array of shape (D - 1,), currency
        Paid in each step, for trades and for borrowed shares.
    traded_amount : array of shape (D - 1,), currency
        Bought plus sold in each step, at the prices paid, without costs.
    n_trades : trades counted as the env's rules say
    initial_amount : currency
        Cash that the account was set up with.
    """

    dates: DateArray
    tickers: tuple[str, ...]
    account_value: FloatArray
    cash: FloatArray
    rewards: FloatArray
    trades: FloatArray | None
    cost: FloatArray
    traded_amount: FloatArray
    n_trades: int
    initial_amount: float


def history_of(
    record: Any,
    ledger: FloatArray,
    trades: FloatArray | None,
    market: Any,
    initial_amount: float,
    *,
    lost: bool,
) -> AccountHistory:
    """Return one account's episode so far, as copies.

    Parameters
    ----------
    record : of ACCOUNT
    ledger : array of shape (steps + 1 or more, 5), see LEDGER_COLUMNS
    trades : array of shape (steps, N), or None
    market : the MarketTable, whose dates and tickers are read
    initial_amount : currency
    lost : whether it has lost all, and the days until `record.last` follow
    """
    start, end = int(record["start"]), int(record["day"])
    left = int(record["last"]) - end if lost else 0
    rows = dict(zip(LEDGER_COLUMNS, ledger[: end - start + 1].T, strict=True))
    value, cash = (np.pad(rows[name], (0, left), "edge") for name in ("account_value", "cash"))
    reward, cost, traded = (
        np.pad(rows[name][1:], (0, left)) for name in ("reward", "cost", "traded_amount")
    )
    return AccountHistory(
        dates=market.dates[start : end + left + 1].copy(),
        tickers=market.tickers,
        account_value=value,
        cash=cash,
        rewards=reward,
        trades=None if trades is None else np.pad(trades, ((0, left), (0, 0))),
        cost=cost,
        traded_amount=traded,
        n_trades=int(record["n_trades"]),
        initial_amount=initial_amount,
    )
