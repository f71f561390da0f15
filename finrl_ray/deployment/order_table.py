"""Orders as people and programs read them: rows, a CSV, JSON and a table for 80 columns."""

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from finrl_ray._typing import FloatArray
from finrl_ray.deployment.signal import REASONS, Signal
from finrl_ray.errors import DataError
from finrl_ray.files.atomic import atomic_path
from finrl_ray.support.text import counted
from finrl_ray.support.values import to_json

if TYPE_CHECKING:
    from rich.table import Table

FORMAT = "finrl_ray orders 1"
Side = Literal["buy", "sell", "hold"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Order:
    """What to do with one ticker after a bar.

    Parameters
    ----------
    ticker : name
    side : `hold` where nothing is traded
    shares : to trade, 0 or above
    reference_price : close of the bar, currency per share
    amount : shares at that price, currency
    cost : estimate of what trading them costs, currency; the orders' costs and the signal's
        `borrow_fee` add up to the signal's `cost`
    weight_before, weight_after : share of the account value, below 0 where shares are owed
    holdings_before, holdings_after : shares
    planned : signed shares that the policy ordered, before the rules and cash were asked
    reasons : codes of `REASONS`
    """

    ticker: str
    side: Side
    shares: float
    reference_price: float
    amount: float
    cost: float
    weight_before: float
    weight_after: float
    holdings_before: float
    holdings_after: float
    planned: float
    reasons: tuple[str, ...]


def orders_of(signal: Signal, buy_cost_pct: float, sell_cost_pct: float) -> tuple[Order, ...]:
    """Return one order per ticker, in the order of the agent's tickers.

    The cost of all orders is what the env charges, without the fee for shares owed, which is due
    for positions, traded or not. Each bears its part by amount and rate: exactly what it costs
    where costs are rates, and an estimate with slippage.

    Parameters
    ----------
    signal : of N tickers
    buy_cost_pct, sell_cost_pct : rates of the env, as fractions of the amount
    """
    amounts = np.abs(signal.orders) * signal.reference_price
    paid = max(signal.cost - signal.borrow_fee, 0.0)
    costs = _costs(signal.orders, amounts, paid, buy_cost_pct, sell_cost_pct)
    return tuple(
        Order(
            ticker=ticker,
            side="buy" if signal.orders[i] > 0 else "sell" if signal.orders[i] < 0 else "hold",
            shares=abs(float(signal.orders[i])),
            reference_price=float(signal.reference_price[i]),
            amount=float(amounts[i]),
            cost=float(costs[i]),
            weight_before=float(signal.weight_before[i]),
            weight_after=float(signal.weight_after[i]),
            holdings_before=float(signal.holdings_before[i]),
            holdings_after=float(signal.holdings_after[i]),
            planned=float(signal.planned[i]),
            reasons=tuple(signal.reasons[i]),
        )
        for i, ticker in enumerate(signal.tickers)
    )


def _costs(
    orders: FloatArray,
    amounts: FloatArray,
    cost: float,
    buy_cost_pct: float,
    sell_cost_pct: float,
) -> FloatArray:
    rates = np.where(orders > 0, buy_cost_pct, sell_cost_pct)
    parts = amounts * rates
    if not parts.sum() > 0:
        parts = amounts  # slippage alone
    total = float(parts.sum())
    shares: FloatArray = parts / total if total > 0 else np.zeros_like(amounts)
    return shares * cost


def write_orders_csv(orders: Sequence[Order], path: Path) -> None:
    """Write one line per ticker, with every digit; reasons are separated by spaces.

    Raises
    ------
    DataError
        If the file cannot be written.
    """
    names = list(Order.__dataclass_fields__)
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(names)
    for order in orders:
        row = asdict(order) | {"reasons": " ".join(order.reasons)}
        lines.writerow([repr(v) if isinstance(v, float) else v for v in row.values()])
    _write(path, text.getvalue())


def orders_json(
    signal: Signal, orders: Sequence[Order], facts: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the orders and what they rest on as plain values; see docs/after_the_search.md.

    Parameters
    ----------
    signal : the orders are of it
    orders : from `orders_of`
    facts : more to say: agent, prices, account, verdict, notes
    """
    used = sorted({code for order in orders for code in order.reasons})
    content = {
        "format": FORMAT,
        "date": signal.date,
        "fill": signal.fill,
        **facts,
        "account_value": signal.account_value,
        "cash_before": signal.cash_before,
        "cash_after": signal.cash_after,
        "cost": signal.cost,
        "borrow_fee": signal.borrow_fee,
        "orders": [asdict(order) for order in orders],
        "reasons": {code: REASONS.get(code, "") for code in used},
        "unfamiliar": [vars(one) for one in signal.unfamiliar],
        "unfamiliar_in_words": signal.unfamiliar_in_words,
    }
    result: dict[str, Any] = to_json(content)
    return result


def write_orders_json(content: Mapping[str, Any], path: Path) -> None:
    """Write what `orders_json` has returned.

    Raises
    ------
    DataError
        If the file cannot be written.
    """
    _write(path, json.dumps(content, indent=1, allow_nan=False) + "\n")


def orders_table(orders: Sequence[Order]) -> "Table":
    """Return the orders as a table within 80 columns; tickers that nothing happens to are left out.

    A ticker that is held in spite of an order of the policy's is shown with the reason.
    """
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), width=80)
    for name in ("ticker", "side"):
        table.add_column(name, no_wrap=True, overflow="ellipsis", max_width=10)
    for name in ("shares", "price", "before", "after", "cost"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("why not as planned", ratio=1, overflow="fold")
    styles = {"buy": "green", "sell": "red", "hold": "dim"}
    shown = [order for order in orders if order.side != "hold" or order.reasons]
    for order in shown:
        table.add_row(
            Text(order.ticker),
            Text(order.side, style=styles[order.side]),
            in_figures(order.shares),
            in_figures(order.reference_price),
            f"{order.weight_before:.1%}",
            f"{order.weight_after:.1%}",
            in_figures(order.cost, 2),
            Text(", ".join(order.reasons)),
        )
    left_out = len(orders) - len(shown)
    if left_out:
        table.caption = f"{counted(left_out, 'ticker')} more: nothing to do"
        table.caption_justify = "left"
    return table


def in_figures(value: float, digits: int | None = None) -> str:
    """Return a number as a table shows it: whole, or with as many decimals as tell it apart."""
    if math.isnan(value):
        return "-"
    if digits is not None:
        return f"{value:,.{digits}f}"
    if value == round(value) and abs(value) < 1e12:
        return f"{value:,.0f}"
    return f"{value:,.2f}" if abs(value) >= 10 else f"{value:.5g}"


def _write(path: Path, text: str) -> None:
    try:
        with atomic_path(path) as temporary:
            temporary.write_text(text, encoding="utf-8", newline="")
    except OSError as error:
        raise DataError(
            f"the orders cannot be written to {path}: {error}; name a file in a folder that may be "
            "written to"
        ) from error
