"""What an env says of its account, as an account of the whole window."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from own_envs import small_market

from finrl_ray.config.env import EnvConfig
from finrl_ray.env.own.account import AccountWindow
from finrl_ray.errors import ConfigError

CLOSE = [[10.0, 20.0], [11.0, 20.0], [11.0, 22.0], [12.0, 22.0], [12.0, 24.0]]
CONFIG = EnvConfig(initial_amount=1000.0, buy_cost_pct=0.0, sell_cost_pct=0.0)


def window() -> AccountWindow:
    return AccountWindow(small_market(CLOSE), CONFIG, "MyEnv (my_env.py, line 3)")


def test_values_alone_stand_beside_buy_and_hold_begun_with_the_same_amount() -> None:
    history = window().history([500.0, 510.0, 505.0, 520.0, 530.0], [1.0, 2.0, 3.0, 4.0])
    assert history.account_value.tolist() == [500.0, 510.0, 505.0, 520.0, 530.0]
    assert history.rewards.tolist() == [1.0, 2.0, 3.0, 4.0]
    # 1000 buys 50 shares of 10 and 25 of 20: 1000, 1050, 1100, 1150, 1200; half of each
    assert history.benchmark_value is not None
    assert history.benchmark_value.tolist() == [500.0, 525.0, 550.0, 575.0, 600.0]
    assert history.cash is history.cost is history.traded_amount is history.trades is None
    assert history.n_trades is None
    assert history.position_value is None


def test_days_before_and_after_count_as_unchanged() -> None:
    own = window()
    history = own.history(
        {
            "dates": ["2020-01-02", "2020-01-03", "2020-01-04"],
            "account_value": [500.0, 510.0, 505.0],
            "cash": [500.0, 100.0, 90.0],
            "cost": [1.0, 2.0],
            "traded_amount": [400.0, 10.0],
            "trades": [[1.0, 2.0], [0.0, -1.0]],
            "n_trades": 3,
        },
        [5.0, 6.0],
    )
    assert own.covered == (1, 4)
    assert history.account_value.tolist() == [500.0, 500.0, 510.0, 505.0, 505.0]
    assert history.cash is not None
    assert history.cash.tolist() == [500.0, 500.0, 100.0, 90.0, 90.0]
    assert history.rewards.tolist() == [0.0, 5.0, 6.0, 0.0]
    assert history.cost is not None
    assert history.cost.tolist() == [0.0, 1.0, 2.0, 0.0]
    assert history.trades is not None
    assert history.trades.tolist() == [[0.0, 0.0], [1.0, 2.0], [0.0, -1.0], [0.0, 0.0]]
    assert history.position_value is not None
    assert history.position_value.tolist() == [0.0, 0.0, 410.0, 415.0, 415.0]


def test_a_frame_of_finrl_is_read() -> None:
    frame = pd.DataFrame(
        {"date": [f"2020-01-0{day}" for day in range(1, 6)], "account_value": np.arange(1.0, 6.0)}
    )
    assert window().history(frame).account_value.tolist() == [1.0, 2.0, 3.0, 4.0, 5.0]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"account_values": [1.0]}, "'account_values'.*Did you mean 'account_value'"),
        ({"cash": [1.0]}, "must have account_value"),
        ("much", "got a str"),
        ([1.0], "2 days or more, got 1"),
        ([1.0, 2.0, 3.0], "has 3 values and the window 5 days.*give dates"),
        ([1.0, float("nan"), 1.0, 1.0, 1.0], r"account_value\[1\] must be a finite number"),
        ({"account_value": [1.0] * 5, "cost": [1.0] * 5}, r"one number per step, 4 of them"),
        ({"account_value": [1.0] * 5, "trades": [[1.0]] * 4}, r"shape \(4, 2\), got \(4, 1\)"),
        (
            {"account_value": [1.0, 2.0], "dates": ["2020-01-02", "2020-01-04"]},
            "none left out",
        ),
        ({"account_value": [1.0, 2.0], "dates": ["2019-01-02", "2019-01-03"]}, "days of the win"),
        ({"account_value": [1.0, 2.0], "dates": ["2020-01-03", "2020-01-02"]}, "increasing"),
        ({"account_value": [1.0, 2.0], "dates": ["2020-01-03"]}, "one per value, 2, got 1"),
        ({"account_value": [1.0, 2.0], "dates": ["then", "later"]}, "must hold dates"),
    ],
)
def test_what_is_wrong_is_said_with_the_place(given: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        window().history(given)
    assert "MyEnv (my_env.py, line 3)" in str(caught.value)


def test_an_account_that_ended_early_needs_no_dates() -> None:
    history = window().history([5.0, 4.0, 0.0], ended=True)
    assert history.account_value.tolist() == [5.0, 4.0, 0.0, 0.0, 0.0]
    part = window().history([5.0, 4.0, 0.0], whole=False)
    assert part.account_value.tolist() == [5.0, 4.0, 0.0]
