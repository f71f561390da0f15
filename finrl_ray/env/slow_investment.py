"""How many rows pass until `hmax`, the largest order, lets an account invest all its cash."""

import math
from dataclasses import dataclass

import numpy as np

from finrl_ray.config.env import EnvConfig
from finrl_ray.config.trial.order_size import in_words
from finrl_ray.data.labels import date_label
from finrl_ray.data.market_data import MarketData
from finrl_ray.data.windows.split import Split, Window
from finrl_ray.env.orders.sizes import largest_orders

SLOW_SHARE = 0.1
"""Share of a window's rows; an account that needs more of them is reported."""
FEW_ROWS = 5
"""So few rows are never reported; the proposed `hmax` invests all cash within them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SlowInvestment:
    """An account that `hmax` keeps in cash for a good part of a window.

    Parameters
    ----------
    window : its name
    rows_needed : until all cash could be spent, every order being a full buy; None: never
    n_rows : of the window
    what, remedy : sentences
    """

    window: str
    rows_needed: int | None
    n_rows: int
    what: str
    remedy: str


def slow_investment(
    market_data: MarketData, split: Split, config: EnvConfig
) -> SlowInvestment | None:
    """Return the worse of train and validation window if `hmax` is too small for it, or None.

    Of an env of the user's nothing is known.
    """
    if config.class_ is not None:
        return None
    found = [
        item
        for window in (split.train, split.validation)
        if (item := _of_window(market_data, window, config)) is not None
    ]
    return max(
        found,
        key=lambda item: math.inf if item.rows_needed is None else item.rows_needed / item.n_rows,
        default=None,
    )


def _of_window(market_data: MarketData, window: Window, config: EnvConfig) -> SlowInvestment | None:
    if config.action == "target_weights":  # which no `hmax` bounds
        return None
    data = window.cut(market_data)
    largest = np.where(data.tradable, largest_orders(config, data), 0.0).sum(axis=1)
    daily = largest * (1.0 + config.buy_cost_pct)
    # the last row is not traded any more
    enough = np.flatnonzero(np.cumsum(daily[:-1]) >= config.initial_amount)
    needed = int(enough[0]) + 1 if enough.size else None
    n_rows = data.n_periods
    if needed is not None and needed <= max(FEW_ROWS, SLOW_SHARE * n_rows):
        return None
    most = in_words(config.hmax, config.hmax_unit)
    start = date_label(data.dates[0])
    words = (
        f"needs {needed} of the {n_rows} rows of the {window.name} window"
        if needed is not None
        else f"cannot be invested within the {n_rows} rows of the {window.name} window"
    )
    what = (
        f"an account {words}{' to be invested' if needed is not None else ''}: an action of 1.0 "
        f"buys at most env.hmax = {most} of a ticker, on {start} {daily[0]:,.0f} in all, and "
        f"env.initial_amount is {config.initial_amount:,.0f}; until then most of it is cash, "
        "whatever the agent does"
    )
    first = float(daily[daily > 0][0]) if (daily > 0).any() else math.nan
    if not first > 0:
        return None
    proposal = larger_hmax(config, config.initial_amount / (FEW_ROWS * first))
    remedy = (
        f"{proposal}, with which it takes {FEW_ROWS} rows, lower "
        "env.initial_amount, or set env.action to target_weights, which env.hmax does not bound"
    )
    return SlowInvestment(
        window=window.name, rows_needed=needed, n_rows=n_rows, what=what, remedy=remedy
    )


def larger_hmax(config: EnvConfig, factor: float) -> str:
    """Return the words that propose an `hmax` this many times as large, in its unit."""
    if isinstance(config.hmax, (tuple, dict)):
        return f"raise the numbers of env.hmax to {rounded_up(factor, whole=False):.10g} times"
    whole = config.hmax_unit == "shares" and not config.fractional_shares
    wanted = rounded_up(config.hmax * factor, whole=whole)
    if config.hmax_unit == "account_share":
        wanted = min(wanted, 1.0)
    return f"set env.hmax to {wanted:.10g} or more"


def rounded_up(value: float, *, whole: bool) -> float:
    """Return the value with two digits, rounded up; a whole number where that is wanted."""
    unit = 10.0 ** (math.floor(math.log10(value)) - 1)
    rounded = math.ceil(value / unit - 1e-9) * unit
    return float(max(1, math.ceil(rounded - 1e-9))) if whole else float(f"{rounded:.2g}")
