"""Orders as a table, a CSV and JSON."""

import csv
import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from finrl_ray.deployment.feature_ranges import UnfamiliarFeature
from finrl_ray.deployment.order_table import (
    in_figures,
    orders_json,
    orders_of,
    orders_table,
    write_orders_csv,
    write_orders_json,
)
from finrl_ray.deployment.signal import Signal
from finrl_ray.errors import DataError

PRICE = 1.0 / 3.0


def signal(*, cost: float = 7.0, borrow_fee: float = 0.0, count: int = 4) -> Signal:
    """Buys 10 of A at 100, sells 5 of B at 40, holds C against its plan, and leaves D alone."""
    return Signal(
        date="2020-03-24",
        tickers=("A", "B", "C", "D")[:count],
        action=np.zeros(count),
        planned=np.array([10.0, -5.0, 3.0, 0.0])[:count],
        orders=np.array([10.0, -5.0, 0.0, 0.0])[:count],
        reference_price=np.array([100.0, 40.0, 1.0, PRICE])[:count],
        holdings_before=np.array([0.0, 15.0, 0.0, 6.0])[:count],
        holdings_after=np.array([10.0, 10.0, 0.0, 6.0])[:count],
        weight_before=np.array([0.0, 0.3, 0.0, 0.001])[:count],
        weight_after=np.array([0.5, 0.2, 0.0, 0.001])[:count],
        cost=cost,
        borrow_fee=borrow_fee,
        account_value=2000.0,
        cash_before=1398.0,
        cash_after=591.0,
        reasons=((), (), ("cool_down", "lot"), ())[:count],
        unfamiliar=(
            UnfamiliarFeature(
                name="macd",
                share=0.5,
                ticker="A",
                value=3.0,
                least=-1.0,
                most=1.0,
                z_score=float("inf"),
            ),
        ),
        unfamiliar_in_words="One feature lies outside.",
        fill="close",
    )


def test_orders_have_a_side_and_their_part_of_the_cost() -> None:
    orders = orders_of(signal(), buy_cost_pct=0.005, sell_cost_pct=0.01)
    assert [order.side for order in orders] == ["buy", "sell", "hold", "hold"]
    assert [order.shares for order in orders] == [10.0, 5.0, 0.0, 0.0]
    assert [order.cost for order in orders] == pytest.approx([5.0, 2.0, 0.0, 0.0], rel=1e-15)
    assert orders[2].planned == 3.0
    assert orders[2].reasons == ("cool_down", "lot")
    slippage = orders_of(signal(cost=12.0), buy_cost_pct=0.0, sell_cost_pct=0.0)
    assert [order.cost for order in slippage] == pytest.approx([10.0, 2.0, 0.0, 0.0], rel=1e-15)


def test_the_fee_for_borrowed_shares_is_no_orders_cost() -> None:
    made = signal(cost=10.0, borrow_fee=3.0)
    orders = orders_of(made, buy_cost_pct=0.005, sell_cost_pct=0.01)
    assert [order.cost for order in orders] == pytest.approx([5.0, 2.0, 0.0, 0.0], rel=1e-15)
    content = orders_json(made, orders, {})
    assert content["borrow_fee"] == 3.0
    assert sum(order["cost"] for order in content["orders"]) == pytest.approx(7.0)
    idle = dataclasses.replace(made, orders=np.zeros(4), cost=3.0)
    assert [order.cost for order in orders_of(idle, 0.0, 0.0)] == [0.0] * 4
    assert orders_json(idle, orders_of(idle, 0.0, 0.0), {})["borrow_fee"] == 3.0


def test_a_csv_has_every_digit_of_every_ticker(tmp_path: Path) -> None:
    orders = orders_of(signal(), 0.001, 0.001)
    path = tmp_path / "new" / "orders.csv"
    write_orders_csv(orders, path)
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["ticker"] for row in rows] == ["A", "B", "C", "D"]
    assert list(rows[0])[:4] == ["ticker", "side", "shares", "reference_price"]
    assert float(rows[3]["reference_price"]) == PRICE
    assert rows[2]["reasons"] == "cool_down lot"


def test_json_says_what_the_codes_mean_and_is_strict(tmp_path: Path) -> None:
    orders = orders_of(signal(), 0.001, 0.001)
    write_orders_json(orders_json(signal(), orders, {"agent": "agent"}), tmp_path / "orders.json")

    def refuse(name: str) -> None:
        pytest.fail(f"{name} is not JSON")

    text = (tmp_path / "orders.json").read_text(encoding="utf-8")
    read = json.loads(text, parse_constant=refuse)
    assert read["format"] == "finrl_ray orders 1"
    assert read["agent"] == "agent"
    assert read["date"] == "2020-03-24"
    assert read["orders"][3]["reference_price"] == PRICE
    assert read["orders"][2]["reasons"] == ["cool_down", "lot"]
    assert set(read["reasons"]) == {"cool_down", "lot"}
    assert read["unfamiliar"][0]["z_score"] == "infinity"
    assert sum(order["cost"] for order in read["orders"]) == pytest.approx(read["cost"])


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=r"cannot be written to .*orders\.csv: "):
        write_orders_csv(orders_of(signal(), 0.0, 0.0), tmp_path / "file" / "orders.csv")


def shown(of: Signal) -> str:
    screen = Console(width=80, color_system=None)
    with screen.capture() as captured:
        screen.print(orders_table(orders_of(of, 0.001, 0.001)))
    return captured.get()


def test_a_table_fits_and_leaves_out_what_nothing_happens_to() -> None:
    text = shown(signal())
    assert max(map(len, text.splitlines())) <= 80
    assert "cool_down, lot" in text
    assert "50.0%" in text
    assert "1 ticker more: nothing to do" in text
    assert " D " not in text
    assert "nothing to do" not in shown(signal(count=3))


@pytest.mark.parametrize(
    ("value", "text"),
    [(1234567.0, "1,234,567"), (1.5, "1.5"), (1234.567, "1,234.57"), (0.00012345, "0.00012345")],
)
def test_figures(value: float, text: str) -> None:
    assert in_figures(value) == text
    assert in_figures(float("nan")) == "-"
