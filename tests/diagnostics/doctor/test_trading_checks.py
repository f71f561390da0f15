"""What `doctor` says of the size of trades, of slippage and of short sales."""

import dataclasses
from typing import Any

import numpy as np
import pytest
from env_markets import hand_market

from finrl_ray.config.data import SplitConfig
from finrl_ray.config.env import EnvConfig
from finrl_ray.config.experiment import ExperimentConfig
from finrl_ray.config.search import SearchConfig
from finrl_ray.data.market_data import MarketData
from finrl_ray.diagnostics.doctor.data_checks import check_windows
from finrl_ray.diagnostics.findings import Finding, FindingList

WHERE = ("env.hmax", "env.hmax_unit", "env.initial_amount", "env.volume_slippage", "env.short")
WHERE += ("env.borrow_rate", "env.maintenance_margin")


def market(volume: Any = None) -> MarketData:
    """600 days of a ticker at 10 and one at 200."""
    close = np.tile([10.0, 200.0], (600, 1))
    found = hand_market(close, tickers=("AAA", "BBB"))
    if volume is None:
        return found
    return dataclasses.replace(found, volume=np.array(np.broadcast_to(volume, close.shape), float))


def said(
    data: MarketData | None = None, space: dict[str, Any] | None = None, **env: Any
) -> list[Finding]:
    env = {"initial_amount": 10_000.0, "hmax": 1_000, **env}
    split = SplitConfig(
        train=(None, "2021-01-01"),
        validation=("2021-01-01", "2021-04-01"),
        test=("2021-04-01", None),
    )
    search = SearchConfig(space=space or {})
    config = ExperimentConfig(env=EnvConfig(**env), split=split, search=search)
    findings = FindingList()
    check_windows(config, market() if data is None else data, findings)
    return [one for one in findings if one.where in WHERE]


def test_orders_and_account_in_order_are_not_spoken_of() -> None:
    assert said() == []
    assert said(action="target_weights") == []
    assert said(market(1e7), volume_slippage=0.1) == []


@pytest.mark.parametrize(
    ("env", "named"),
    [
        # 40 at 10 are 4 % of 10,000, and so are 2 at 200
        ({"hmax": {"BBB": 500, "AAA": 40}}, "AAA (40 shares, 4.00%)"),
        ({"hmax": [600, 2]}, "BBB (2 shares, 4.00%)"),
        ({"hmax": [499, 9_000], "hmax_unit": "money"}, "AAA (499 of money, 4.99%)"),
        ({"hmax": [0.9, 0.04], "hmax_unit": "account_share"}, "BBB (4 % of the account, 4.00%)"),
    ],
)
def test_a_ticker_whose_own_orders_are_too_small_is_named(env: dict[str, Any], named: str) -> None:
    (item,) = said(**env)
    assert (item.where, item.level) == ("env.hmax", "warning")
    assert f"the largest orders of {named} are less than 5% of env.initial_amount" in item.what
    assert "set env.action to target_weights" in item.remedy


@pytest.mark.parametrize(
    "env",
    [
        {"hmax": [50, 50]},
        {"hmax": [500, 9_000], "hmax_unit": "money"},
        {"hmax": {"AAA": 0.05, "BBB": 1.0}, "hmax_unit": "account_share"},
    ],
)
def test_orders_of_a_twentieth_of_the_account_are_large_enough(env: dict[str, Any]) -> None:
    assert said(**env) == []


def test_what_is_searched_over_is_left_alone() -> None:
    space = {"env.hmax_unit": {"choice": ["money", "shares"]}}
    assert said(space=space, hmax=[2_000, 2_000]) == []


@pytest.mark.parametrize(
    ("env", "where", "what"),
    [
        ({"hmax": 150, "hmax_unit": "money"}, "env.hmax_unit", "less than one share of BBB,"),
        ({"hmax": 0.019, "hmax_unit": "account_share"}, "env.hmax_unit", "one share of BBB,"),
        (
            {"initial_amount": 399.0, "action": "target_weights"},
            "env.initial_amount",
            "equal weight",
        ),
        (
            {"action": "target_weights", "lot_size": 30, "hmax": 30},
            "env.initial_amount",
            "an equal weight of env.initial_amount is usually less than one lot of BBB,",
        ),
    ],
)
def test_orders_of_less_than_a_share_buy_nothing(
    env: dict[str, Any], where: str, what: str
) -> None:
    (item,) = [one for one in said(**env) if one.where == where]
    assert item.level == "warning"
    assert what in item.what
    assert "fractional_shares" in item.remedy
    free = {**env, "fractional_shares": True, "lot_size": None}
    assert not [one for one in said(**free) if one.where == where]


def test_slippage_without_volumes_is_an_error_with_the_name_of_the_window() -> None:
    (item,) = said(volume_slippage=0.1)
    assert (item.where, item.level) == ("env.volume_slippage", "error")
    assert item.what.startswith("train window: volume_slippage needs the traded volume of every")
    known = np.full((600, 2), 1e7)
    known[366:480, 1] = np.nan
    (item,) = said(market(known), volume_slippage=0.1)
    assert "validation window: " in item.what
    assert "got none for ['BBB']" in item.what


def test_rows_without_volume_are_counted() -> None:
    volume = np.full((600, 2), 1e7)
    volume[:366:4, 1] = 0.0
    (item,) = said(market(volume), volume_slippage=0.1)
    assert "so it is in many rows of BBB (25%)" in item.what
    assert said(market(volume)) == []


@pytest.mark.parametrize(
    ("env", "volume", "what"),
    [
        (
            {"hmax": 100},
            150.0,
            "a trade of the largest order is 66.67% of the traded volume in the median row and "
            "moves its price by 6.67%",
        ),
        # 5000 are 500 shares of AAA and 25 of BBB
        (
            {"action": "target_weights"},
            500.0,
            "a trade of an equal weight of the account is 52.50% of the traded volume in the "
            "median row and moves its price by 5.25%",
        ),
    ],
)
def test_trades_that_are_large_beside_the_volume_are_told(
    env: dict[str, Any], volume: float, what: str
) -> None:
    (item,) = said(market(volume), volume_slippage=0.1, **env)
    assert (item.where, item.level) == ("env.volume_slippage", "warning")
    assert what in item.what
    assert "in thousands" in item.remedy
    assert said(market(volume * 1.4), volume_slippage=0.1, **env) == []


def test_short_sales_are_explained_and_what_they_cost_is_asked_for() -> None:
    (note,) = said(short=True)
    assert (note.where, note.level) == ("env.short", "note")
    assert "sells of up to env.hmax beyond what is held" in note.what
    found = said(short=True, action="target_weights", borrow_rate=0.0, maintenance_margin=0.0)
    assert [(one.where, one.level) for one in found] == [
        ("env.borrow_rate", "warning"),
        ("env.maintenance_margin", "warning"),
        ("env.short", "note"),
    ]
    assert "weights of -1 to 1" in found[2].what
