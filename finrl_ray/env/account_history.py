"""`AccountHistory`: what one finished episode did, from which every metric is computed."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from finrl_ray._typing import DateArray, FloatArray
from finrl_ray.env.kernel.arrays import LEDGER_COLUMNS
from finrl_ray.metrics.performance import exposure, turnover


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
    cash : array of shape (D,), currency, or None where the env does not say
    rewards : array of shape (D - 1,)
        What each step was worth by the env's `reward`, before the cash penalty and
        `reward_scaling`: the change of the account value, in currency, unless it says otherwise.
    trades : array of shape (D - 1, N), shares, or None
        Executed per step, sells negative; None if they were not recorded.
    cost : array of shape (D - 1,), currency, or None where the env does not say
        Paid in each step, for trades and for borrowed shares.
    traded_amount : array of shape (D - 1,), currency, or None where the env does not say
        Bought plus sold in each step, at the prices paid, without costs.
    n_trades : trades counted as the env's rules say; None where it does not count them
    initial_amount : currency
        Cash that the account was set up with.
    benchmark_value : array of shape (D,), currency, or None
        What equal-weight buy & hold of the same tickers is worth at the same costs, begun on the
        first of these days with the same amount; None where it is not known.
    gross_value : array of shape (D,), currency, or None
        Sum of the positions' absolute values where some were short and trades were recorded, or
        where an env of the user's says it.
    """

    dates: DateArray
    tickers: tuple[str, ...]
    account_value: FloatArray
    cash: FloatArray | None
    rewards: FloatArray
    trades: FloatArray | None
    cost: FloatArray | None
    traded_amount: FloatArray | None
    n_trades: int | None
    initial_amount: float
    benchmark_value: FloatArray | None = None
    gross_value: FloatArray | None = None

    @property
    def position_value(self) -> FloatArray | None:
        """What the positions are worth at the close, >= 0, of shape (D,), in currency.

        Shares that are owed count as what covering them costs. None where the env says nothing of
        its positions.
        """
        if self.gross_value is not None:
            return self.gross_value
        if self.cash is None:
            return None
        # rounding can leave an account in cash at less than its cash
        return np.abs(self.account_value - self.cash)


def trading_of(history: AccountHistory, periods_per_year: float) -> dict[str, float]:
    """Return `exposure` and `turnover` of an account, as far as it says what they take.

    Parameters
    ----------
    history : the account
    periods_per_year : periods/year

    Raises
    ------
    DataError
        As the functions of the same names.
    """
    found, value, position = {}, history.account_value, history.position_value
    if position is not None:
        found["exposure"] = exposure(position, value)
    if history.traded_amount is not None:
        found["turnover"] = turnover(
            history.traded_amount, value, periods_per_year=periods_per_year
        )
    return found


def history_of(
    record: Any,
    ledger: FloatArray,
    trades: FloatArray | None,
    market: Any,
    initial_amount: float,
    benchmark_value: FloatArray | None,
    shares: FloatArray,
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
    benchmark_value : array of shape (D,), currency, or None
    shares : array of shape (N,), held at the end
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
        benchmark_value=benchmark_value,
        gross_value=_gross_value(trades, shares, market.market.close[start : end + 1], left),
    )


def _gross_value(
    trades: FloatArray | None, shares: FloatArray, close: FloatArray, left: int
) -> FloatArray | None:
    """Return the sum of the positions' absolute values per day; None where none was short."""
    if trades is None:
        return None
    after = np.cumsum(trades[::-1], axis=0)[::-1]
    held = np.vstack([shares - after, shares])  # what was traded later is not held yet
    if not (held < -1e-9 * np.abs(held).max(initial=0.0)).any():
        return None
    return np.pad((np.abs(held) * close).sum(axis=1), (0, left), "edge")
