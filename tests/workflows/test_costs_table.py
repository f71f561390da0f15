"""What a backtest says of costs: its words, and that it is read again as it was."""

import dataclasses
import json
import math

import numpy as np
import pytest
from made_costs import made_costs

from finrl_ray.metrics.holding_periods import HoldingPeriods
from finrl_ray.workflows.costs_table import TradingCosts


def test_rows_are_named_by_what_differs() -> None:
    made = made_costs()
    names = ["1 x costs", "2 x costs", "3 x costs", "slippage 0.1"]
    assert [made.label(row) for row in made.rows] == names
    slipping = [dataclasses.replace(row, volume_slippage=0.2) for row in made.rows[:3]]
    without = dataclasses.replace(made.rows[0], volume_slippage=0.0)
    other = dataclasses.replace(made, rows=(*slipping, without))
    assert [other.label(row) for row in other.rows] == [*names[:3], "no slippage"]
    assert "and slippage 0.2 of a trade's share of the volume" in other.costs_sentence()


def test_the_costs_in_one_sentence() -> None:
    assert made_costs().costs_sentence() == (
        "1 x costs: 0.1000% of what is bought, 0.2000% of what is sold, no slippage; in every row "
        "the same agent acts in an env with these costs, beside buy & hold at the same"
    )


def test_turnover_holding_periods_and_capacity_in_words() -> None:
    turnover, holding, first, one, five, without, note = made_costs(notes=("a note",)).lines()
    assert turnover == "turnover: 12.50 times the account a year"
    assert holding.startswith("holding periods: 4 positions were held for 12.5 days on average")
    assert first.startswith("capacity: the largest order of a day was 0.20 % of its ticker's")
    assert "passes 1% on the median day for an account that begins with more than 5,000,000" in one
    assert "passes 5%" in five
    assert without == "3 orders in rows without a volume are left out of that"
    assert note == "a note"


def test_what_is_not_known_is_left_out() -> None:
    made = made_costs(notes=("why",))
    empty = dataclasses.replace(made, turnover=math.nan, holding=None, capacity=None)
    assert empty.lines() == ["why"]


@pytest.mark.parametrize("known", [True, False])
def test_it_is_read_again_from_json(known: bool) -> None:
    made = made_costs(notes=("a note",))
    if not known:
        made = dataclasses.replace(made, turnover=math.nan, holding=None, capacity=None)
    text = json.dumps(made.to_dict(), allow_nan=False)
    read = TradingCosts.from_dict(json.loads(text))
    np.testing.assert_equal(dataclasses.asdict(read), dataclasses.asdict(made))
    assert isinstance(read.holding, HoldingPeriods) == known
    assert [read.label(row) for row in read.rows] == [made.label(row) for row in made.rows]


def test_what_is_missing_is_an_error() -> None:
    content = made_costs().to_dict()
    for name in ("rows", "holding", "capacity", "turnover", "notes"):
        with pytest.raises(KeyError, match=name):
            TradingCosts.from_dict({key: content[key] for key in content if key != name})
