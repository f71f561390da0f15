"""`AccountHistory`: what one finished episode did, from which every metric is computed."""

from dataclasses import dataclass

from finrl_ray._typing import DateArray, FloatArray


@dataclass(frozen=True, eq=False, kw_only=True)
class AccountHistory:
    """One episode of one account over D days, that is D - 1 steps.

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
        Paid in each step.
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
