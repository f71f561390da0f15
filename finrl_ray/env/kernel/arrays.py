"""The arrays that the kernel reads and writes, grouped and named.

T days, N tickers, F indicators, E accounts.
"""

from typing import Any, NamedTuple

import numpy as np

from finrl_ray._typing import AnyArray, BoolArray, Float32Array, FloatArray, IntArray

LEDGER_COLUMNS = ("account_value", "cash", "reward", "cost", "traded_amount")
"""One ledger row per day; reward (unscaled) and flows belong to the step that led to that day."""


class Market(NamedTuple):
    """What all accounts read and none writes."""

    table: Float32Array
    """(T, M) market entries of observations, N or more: close and indicators as observed, indicator
    by indicator (M = N + F*N), or what the stationary observation shows."""
    close: FloatArray
    """(T, N), at which positions are valued."""
    price: FloatArray
    """(T, N), at which orders fill."""
    tradable: BoolArray
    """(T, N), whether an order can fill on that row."""
    risk: FloatArray
    """(T,), compared with the turbulence thresholds."""
    factors: FloatArray
    """(1 + N,), by which cash and shares are multiplied in FinRL's observation."""


class Account(NamedTuple):
    """The numbers of one account, in the order of its record."""

    cash: float
    value: float
    reward: float
    """Scaled, of the last step."""
    cost: float
    turbulence: float
    threshold: float
    """NaN where there is no turbulence rule."""
    day: int
    start: int
    last: int
    """Row on which the episode ends: the last of its segment."""
    n_trades: int
    finished: bool
    has_traded: bool
    """Whether shares have changed hands (FinRL's zero prices depend on it)."""


ACCOUNT = np.dtype([(name, Account.__annotations__[name]) for name in Account._fields], align=True)


class Books(NamedTuple):
    """What a step reads and writes of E accounts."""

    records: AnyArray
    """(E,) of ACCOUNT: compiled code takes one array of records sooner than eleven arrays."""
    shares: FloatArray
    buy_rate: FloatArray
    sell_rate: FloatArray
    ledger: FloatArray
    """(E, T, 5), row t - start for day t; see LEDGER_COLUMNS."""
    trades: FloatArray
    """(E, T - 1, N) executed shares per step, or (E, 0, N) when they are not recorded."""


PLAN = np.dtype(
    [
        ("traded", np.float64),
        ("cost_before", np.float64),
        ("row", np.int64),
        ("n_stops", np.int64),
        ("n_sells", np.int64),
        ("n_buys", np.int64),
        ("over", np.bool_),
        ("liquidate", np.bool_),
        ("may_buy", np.bool_),
        ("small", np.bool_),
    ],
    align=True,
)
"""What one account does in a step: the amount traded so far, the episode's costs before, the row on
which orders fill, numbers of trades and orders, whether its episode is over, what the turbulence
rule says, and whether all orders are whole and small."""


class Orders(NamedTuple):
    """The orders of E accounts in one step, and what became of them."""

    signed: FloatArray
    """(E, N) shares, sells negative; overwritten by what can be filled."""
    executed: FloatArray
    """(E, N) shares that changed hands, sells negative."""
    sequence: IntArray
    """(E, N) tickers in the order of trading: sells from the front, buys from the back."""


class Block(NamedTuple):
    """The accounts first..end - 1, which are traded together."""

    first: int
    end: int
    plans: AnyArray
    """Of PLAN; account e has plans[e - first]."""
    keys: IntArray
    """(N, accounts) of int32, whole small orders to sort by; (0, accounts) where none are sorted
    so."""


class Switches(NamedTuple):
    """The rules that can be chosen, as numbers."""

    reward_scaling: float
    lag: int
    """0: orders fill on the row they were decided on; 1: on the next."""
    fractional: bool
    finrl_prices: bool
    """FinRL's arithmetic at zero prices and for cash rounded below 0."""
    finrl_liquidation: bool
    """Liquidation asks for a positive price instead of a tradable ticker."""
    count_empty: bool
    """Count a buy that could not pay for one share as a trade."""
    presorted: bool
    """The order of trading is given and not worked out."""
    dummy_step: bool
    """An episode ends one step after its last day."""
    as_shares_of_account: bool
    """Observations show cash and positions as shares of the account value."""


class Limits(NamedTuple):
    """Options beyond FinRL's env, with what they need to remember of E accounts.

    Arrays have no columns where nothing needs them.
    """

    stop: float
    """Fraction of the average buy price below which a position is sold; 0 for never."""
    profit: float
    """The same, at or above which it is sold; infinity for never."""
    cooldown: int
    """Periods without orders in a ticker after a trade in it."""
    cash_share: float
    """Share of the account value that should be cash; 0 for no penalty."""
    reward: int
    """One of `rewards.REWARDS`; 0 for FinRL's."""
    rate: float
    """Weight of the latest return in `averages`."""
    impact: FloatArray
    """(T, N) fraction by which one share moves the price of its trade; or (0, N)."""
    lots: FloatArray
    """(N,) least tradable quantities, or (0,)."""
    buy_price: FloatArray
    """(E, N) average price paid for what is held, without costs, 0 for nothing held; or (E, 0)."""
    free_from: IntArray
    """(E, N) first row on which orders are taken again; or (E, 0)."""
    penalty: FloatArray
    """(E, T - 1) taken off the reward of each step, in its unit; or (E, 0)."""
    benchmark: FloatArray
    """(E, 2) cash of buy & hold, and its last value, in currency; or (E, 0)."""
    benchmark_shares: FloatArray
    """(E, N) shares that it holds; or (E, 0)."""
    averages: FloatArray
    """(E, 2) moving averages of simple returns and of their squares; or (E, 0)."""


class Margin(NamedTuple):
    """What short sales are bound by; without them the kernel is given None."""

    maintenance: float
    """Least account value as a share of what the shares owed are worth."""
    fees: FloatArray
    """(T,) share of the value of the shares owed that is charged at each close."""


def as_read_only(array: AnyArray, dtype: Any = None) -> AnyArray:
    """Return `array` as a contiguous array that cannot be written to, copied only if it must be.

    The compiled functions are specialised on contiguity and on writability; one form for all
    market arrays means one compilation.
    """
    result: AnyArray = np.ascontiguousarray(array, dtype=dtype).view()
    result.setflags(write=False)
    return result
